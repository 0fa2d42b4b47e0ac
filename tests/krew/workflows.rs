//! The workflows call what there is here, for every platform that is released.

use std::{fs, process::Command};

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::Value;
use xtask::{PLATFORMS, PLUGINS, Task};

fn workflow(name: &str) -> Result<Value> {
    let path = xtask::workspace().join(".github/workflows").join(name);
    Ok(serde_saphyr::from_str(&fs::read_to_string(path)?)?)
}

fn steps<'a>(workflow: &'a Value, job: &str) -> Result<&'a [Value]> {
    let steps = workflow["jobs"][job]["steps"].as_array();
    Ok(steps.with_context(|| format!("no job {job}"))?.as_slice())
}

/// What the steps of a job run.
fn commands(workflow: &Value, job: &str) -> Result<Vec<String>> {
    Ok(steps(workflow, job)?.iter().filter_map(|step| step["run"].as_str()).map(str::to_owned).collect())
}

#[test]
fn ci_runs_check_and_builds_what_is_released() -> Result<()> {
    let ci = workflow("ci.yml")?;
    assert_eq!(commands(&ci, "check")?, ["./check"]);
    assert_eq!(commands(&ci, "msrv")?, ["./check msrv"]);
    assert_eq!(commands(&ci, "deny")?, ["cargo install --locked cargo-deny", "./check deny"]);
    assert_eq!(commands(&ci, "dist")?, ["cargo xtask dist"]);
    assert_eq!(ci["jobs"].as_object().map(serde_json::Map::len), Some(4));

    let check = fs::read_to_string(xtask::workspace().join("check"))?;
    for command in ["cargo fmt", "cargo clippy", "cargo test --workspace", "\nmsrv)\n", "\ndeny)\n"] {
        assert!(check.contains(command), "{command}");
    }
    let output = Command::new(xtask::workspace().join("check")).arg("nonsense").output()?;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "usage: ./check [msrv|deny]\n");
    Ok(())
}

#[test]
fn a_release_is_built_for_every_platform() -> Result<()> {
    let release = workflow("release.yml")?;
    let matrix = release["jobs"]["dist"]["strategy"]["matrix"]["include"].as_array().context("no matrix")?;
    let built: Vec<&str> = matrix.iter().filter_map(|entry| entry["target"].as_str()).collect();
    assert_eq!(built, PLATFORMS.map(|platform| platform.target));
    for (entry, platform) in matrix.iter().zip(&PLATFORMS) {
        let runner = entry["runner"].as_str().context("no runner")?;
        let system = match platform.os {
            "linux" => "ubuntu",
            "darwin" => "macos",
            os => os,
        };
        assert!(runner.starts_with(system), "{runner}");
    }
    let commands = commands(&release, "dist")?;
    assert!(commands.contains(&"cargo xtask dist --target ${{ matrix.target }}".to_owned()), "{commands:?}");
    Ok(())
}

#[test]
fn what_is_published_is_what_xtask_writes() -> Result<()> {
    let release = workflow("release.yml")?;
    let commands = commands(&release, "publish")?;
    assert!(commands.contains(&"cargo xtask manifests --dir dist".to_owned()), "{commands:?}");
    let create = commands.iter().find(|command| command.starts_with("gh release create")).context("no release")?;
    for file in ["dist/*.tar.gz", "dist/SHA256SUMS", "krew-manifest.yaml"] {
        assert!(create.contains(file), "{create}");
    }
    let templates: Vec<&str> = steps(&release, "index")?
        .iter()
        .filter(|step| step["uses"].as_str().is_some_and(|action| action.starts_with("rajatjindal/krew-release-bot@")))
        .filter_map(|step| step["with"]["krew_template_file"].as_str())
        .collect();
    assert_eq!(templates, PLUGINS.map(|plugin| format!(".krew/{}.yaml", plugin.name)));
    for plugin in &PLUGINS {
        assert!(create.contains(&format!("plugins/{}.yaml", plugin.name)), "{create}");
    }
    let tag = &release["on"]["push"]["tags"];
    assert_eq!(*tag, serde_json::json!(["v*.*.*"]));
    assert_eq!(release["jobs"]["publish"]["needs"], "dist");
    let index = &release["jobs"]["index"];
    assert_eq!(
        (&index["needs"], &index["permissions"]),
        (&"publish".into(), &Value::Null),
        "it may write nothing here"
    );
    Ok(())
}

#[test]
fn xtask_knows_the_commands_that_the_workflows_call() -> Result<()> {
    let release = workflow("release.yml")?;
    let mut called = 0;
    for job in ["dist", "publish"] {
        for command in commands(&release, job)?.iter().filter(|command| command.starts_with("cargo xtask")) {
            // The first word stands for the program, as `cargo` does here; an expression of the workflow is one word.
            let words = command.replace("${{ matrix.target }}", PLATFORMS[0].target);
            Task::try_parse_from(words.split_whitespace().skip(1))?;
            called += 1;
        }
    }
    assert_eq!(called, 2);
    let alias = fs::read_to_string(xtask::workspace().join(".cargo/config.toml"))?;
    assert!(alias.contains("xtask = \"run --quiet --package xtask --\""), "{alias}");
    Ok(())
}
