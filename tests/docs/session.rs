//! Runs the commands of a document one after the other, as somebody would who types them into one bash.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::document::{Step, root};

/// How long all commands of a document may take.
const LIMIT: Duration = Duration::from_secs(600);

/// What the commands print, stdout and stderr as they come, each with a last line `exit code N` if it isn't 0.
pub(crate) async fn run(steps: &[Step], environment: &[(&str, &str)], path: &[&Path]) -> Result<Vec<String>> {
    let place = tempfile::tempdir()?;
    std::os::unix::fs::symlink(root().canonicalize()?.join("examples"), place.path().join("examples"))?;
    let printed = |number: usize| place.path().join(format!("output-{number}"));
    let code = |number: usize| place.path().join(format!("code-{number}"));
    let mut script = format!("cd {}\n", place.path().display());
    for (number, Step { command, output: _ }) in steps.iter().enumerate() {
        let (printed, code) = (printed(number), code(number));
        writeln!(script, "exec >{} 2>&1\n{command}\necho $? >{}", printed.display(), code.display())?;
    }
    // What a command has left in the background.
    script += "kill $(jobs -p) 2>/dev/null\nexit 0\n";
    let file = place.path().join("script");
    fs::write(&file, script)?;

    let mut bash = lab::run(Path::new("/bin/bash")).args([&file]).limit(LIMIT);
    for dir in path {
        bash = bash.path(dir);
    }
    for (name, value) in environment {
        bash = bash.env(name, value);
    }
    let ended = bash.output().await;
    let mut outputs = Vec::new();
    for (number, step) in steps.iter().enumerate() {
        let said = fs::read_to_string(printed(number)).unwrap_or_default().replace('\r', "");
        let Ok(code) = fs::read_to_string(code(number)) else {
            let ended = ended.as_ref().map_or_else(|error| format!("{error:#}"), ToString::to_string);
            ensure!(false, "this did not end: {}\n{said}\n{ended}", step.command);
            break;
        };
        let code: u8 = code.trim().parse().context("an exit code")?;
        outputs.push(with_code(said, code));
    }
    let ended = ended?;
    ensure!(ended.code == Some(0), "bash itself failed: {ended}");
    Ok(outputs)
}

/// Some commands say their exit code themselves.
fn with_code(mut said: String, code: u8) -> String {
    let line = format!("exit code {code}\n");
    if code != 0 && !said.ends_with(&line) {
        said += &line;
    }
    said
}
