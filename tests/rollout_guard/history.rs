//! `history`: kubectl's own words where they are wanted, and more where they are not.

use std::path::{Path, PathBuf};

use anyhow::Result;
use lab::{World, world::Workload};
use serde_json::{Value, json};

use crate::runner::{guard, guard_json, kubectl, offline, program};

/// A Deployment, a StatefulSet and a DaemonSet with two revisions each, the second with a cause.
async fn three(world: &World) -> Result<()> {
    world.node("a").create().await?;
    world.config_map("settings", &json!({"color": "blue"})).await?;
    rich(world.deployment("web").replicas(2)).create().await?;
    rich(world.stateful_set("db").replicas(2)).create().await?;
    rich(world.daemon_set("agent")).create().await?;
    for object in ["deployment/web", "statefulset/db", "daemonset/agent"] {
        world.ready(object).await?;
        world.annotate(object, "kubernetes.io/change-cause", Some("the second, with \"quotes\"")).await?;
        world.set_image(object, "nginx:1.17.0").await?;
    }
    for object in ["deployment/web", "statefulset/db", "daemonset/agent"] {
        let status = kubectl(world, &["rollout", "status", object]).await?;
        assert_eq!(status.code, Some(0), "{status}");
    }
    Ok(())
}

/// With a little of everything that a template can have.
fn rich(workload: Workload<'_>) -> Workload<'_> {
    workload
        .image("nginx:1.16.1")
        .port(80)
        .readiness_probe()
        .requests("10m", "16Mi")
        .empty_dir()
        .config_map_volume("settings")
        .init_container("prepare", "busybox:1")
        .container("env", json!([{"name": "LEVEL", "value": "info"}]))
        .container("args", json!(["--listen", ":80"]))
}

#[tokio::test]
async fn kubectls_own_output_byte_for_byte() -> Result<()> {
    let world = lab::shared()?.world("history-plain").await?;
    three(&world).await?;
    let mut cases = Vec::new();
    for object in ["deployment/web", "statefulset/db", "daemonset/agent"] {
        for revision in ["", "--revision=0", "--revision=1", "--revision=2", "--revision=3", "--revision=-1"] {
            cases.push([object, revision].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>());
        }
    }
    cases.push(vec!["deployment/web", "statefulset/db", "daemonset/agent"]);
    cases.push(vec!["deployment,statefulset,daemonset", "-l", "app in (web,db,agent)"]);
    for case in cases {
        let theirs = kubectl(&world, &[&["rollout", "history"], case.as_slice()].concat()).await?;
        let ours = guard(&world, &[&["history", "--plain"], case.as_slice()].concat()).await?;
        assert_eq!(ours.stdout, theirs.stdout, "{case:?}: {ours}{theirs}");
        assert_eq!(ours.code, theirs.code, "{case:?}: {ours}{theirs}");
        let error = |text: &str| text.lines().next().map(str::to_owned);
        assert_eq!(error(&ours.stderr), error(&theirs.stderr), "{case:?}");
    }
    Ok(())
}

#[tokio::test]
async fn revisions_with_their_images_and_marks() -> Result<()> {
    let world = lab::shared()?.world("history").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).image("nginx:1.16.1").change_cause("first").create().await?;
    world.ready("deployment/web").await?;
    let marks = |document: &Value| -> Vec<(i64, String, Value)> {
        let revisions = document["revisions"].as_array().cloned().unwrap_or_default();
        let row = |revision: &Value| {
            let marks: Vec<&str> =
                revision["marks"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            (revision["revision"].as_i64().unwrap_or_default(), marks.join(" "), revision["ready"].clone())
        };
        revisions.iter().map(row).collect()
    };
    let history = |args: &'static [&'static str]| {
        let world = &world;
        async move {
            let output = guard(world, &[&["history", "deployment/web", "-o", "json"], args].concat()).await?;
            assert_eq!(output.code, Some(0), "{output}");
            anyhow::Ok(serde_json::from_str::<Value>(&output.stdout)?)
        }
    };
    assert_eq!(marks(&history(&[]).await?), [(1, "Current LastGood".into(), json!(2))]);

    // Undone: the bad one is marked, the good one has a new number and says why it is back.
    world.set_image("deployment/web", "nginx:1.17.23").await?;
    let (output, _, _) = guard_json(&world, &["deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let document = history(&[]).await?;
    assert_eq!(document["kind"], "RolloutHistory");
    assert_eq!(marks(&document), [(2, "Bad".into(), json!(0)), (3, "Current LastGood".into(), json!(2))]);
    assert_eq!(document["revisions"][0]["images"], json!({"main": "nginx:1.17.23"}));

    // A restart is no other version.
    let restart = kubectl(&world, &["rollout", "restart", "deployment/web"]).await?;
    assert_eq!(restart.code, Some(0), "{restart}");
    let status = kubectl(&world, &["rollout", "status", "deployment/web"]).await?;
    assert_eq!(status.code, Some(0), "{status}");
    let (output, _, _) = guard_json(&world, &["deployment/web", "--stable-for", "0s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert_eq!(
        marks(&history(&[]).await?),
        [
            (2, "Bad".into(), json!(0)),
            (3, String::new(), json!(0)),
            (4, "Current LastGood RestartOnly".into(), json!(2))
        ]
    );
    assert_eq!(marks(&history(&["--revision=2"]).await?), [(2, "Bad".into(), json!(0))]);

    let table = guard(&world, &["history", "deploy", "web"]).await?;
    let rows: Vec<Vec<&str>> = table.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["deployment/web"]);
    // The causes stand below, as they are long.
    assert_eq!(rows[1], ["REVISION", "AGE", "READY", "MARKS", "IMAGES"]);
    let row = |number: &str| rows.iter().find(|row| row.first() == Some(&number)).map(|row| &row[2..]);
    assert_eq!(row("2"), Some(&["0", "bad", "nginx:1.17.23"][..]), "{table}");
    assert_eq!(row("4"), Some(&["2", "current,last-good,restart-only", "nginx:1.16.1"][..]), "{table}");
    assert!(table.stdout.contains("\n  change-cause: rollout-guard: undo to revision 1"), "{table}");

    let diff = guard(&world, &["history", "deployment/web", "--diff", "2..3"]).await?;
    assert_eq!(diff.code, Some(0), "{diff}");
    let changed: Vec<&str> = diff.stdout.lines().filter(|line| line.starts_with(['+', '-'])).collect();
    assert_eq!(changed[..2], ["--- deployment/web revision 2", "+++ deployment/web revision 3"]);
    assert!(changed[2].ends_with("image: nginx:1.17.23") && changed[3].ends_with("image: nginx:1.16.1"), "{diff}");
    let unknown = guard(&world, &["history", "deployment/web", "--diff", "1..3"]).await?;
    let expected = "error: unable to find the specified revision\nhint: deployment/web has the revisions 2, 3, 4\n";
    assert_eq!((unknown.code, unknown.stderr.as_str()), (Some(1), expected));

    let template = guard(&world, &["history", "deployment/web", "--revision=2"]).await?;
    assert!(template.stdout.starts_with("# deployment/web: revision 2, bad, "), "{template}");
    assert!(template.stdout.contains("image: nginx:1.17.23\n"), "{template}");
    Ok(())
}

#[tokio::test]
async fn live_and_from_a_file_are_equal() -> Result<()> {
    let world = lab::shared()?.world("history-file").await?;
    three(&world).await?;
    let live = guard(&world, &["history", "--all", "-o", "json"]).await?;
    assert_eq!(live.code, Some(0), "{live}");
    let taken = kubectl(&world, &["get", "deploy,sts,ds,rs,controllerrevisions,pods", "-o", "yaml"]).await?;
    let from_file = offline(&["history", "--from-file", "-", "-o", "json"], &taken.stdout).await?;
    assert_eq!(from_file.stdout, live.stdout, "{from_file}{live}");
    Ok(())
}

fn stalls() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/stalls")
}

#[tokio::test]
async fn of_every_recorded_stall() -> Result<()> {
    let mut count = 0;
    for entry in std::fs::read_dir(stalls())? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        count += 1;
        let file = path.display().to_string();
        let output = offline(&["history", "--from-file", &file, "-o", "json"], "").await?;
        assert_eq!(output.code, Some(0), "{file}: {output}");
        let document: Value = serde_json::from_str(&output.stdout)?;
        let revisions = document["revisions"].as_array().cloned().unwrap_or_default();
        let current = |revision: &&Value| revision["marks"].as_array().is_some_and(|it| it.contains(&json!("Current")));
        assert_eq!(revisions.iter().filter(current).count(), 1, "{file}: {document:#}");
        let table = offline(&["history", "--from-file", &file], "").await?;
        let images: usize = revisions.iter().filter_map(|it| it["images"].as_object()).map(serde_json::Map::len).sum();
        assert_eq!(table.stdout.lines().count(), 2 + images, "{table}");
        let plain = offline(&["history", "deployment/web", "--plain", "--from-file", &file], "").await?;
        assert_eq!(plain.stdout.lines().count(), 3 + revisions.len(), "{plain}");
    }
    assert_eq!(count, 33);
    Ok(())
}

/// A recorded stall with names and causes as long as they get.
fn long_winded(cause: &str) -> Result<String> {
    let text = std::fs::read_to_string(stalls().join("e-nonexistent-tag-90s.json"))?;
    let mut list: Value =
        serde_json::from_str(&text.replace("nginx:1", "registry.example/shop/storefront/web:2026.1"))?;
    for object in list["items"].as_array_mut().into_iter().flatten() {
        if object["kind"] == "ReplicaSet" {
            object["metadata"]["annotations"]["kubernetes.io/change-cause"] = json!(cause);
        }
        if let Some(Value::Array(containers)) = object.pointer_mut("/spec/template/spec/containers") {
            containers.push(json!({"name": "proxy", "image": "proxy:1"}));
        }
    }
    Ok(list.to_string())
}

#[tokio::test]
async fn sentences_fit_the_screen() -> Result<()> {
    let long = "kubectl set image deployment/web nginx=registry.example/shop/storefront/web:2026.1.99-nope \
                --record=true, as change 4711 of the shop's frontend wants it";
    let file = long_winded(long)?;
    insta::assert_snapshot!(offline(&["history", "--from-file", "-"], &file).await?.stdout);
    let revision = offline(&["history", "--from-file", "-", "--revision=1"], &file).await?.stdout;
    let comments: Vec<&str> = revision.lines().filter(|line| line.starts_with('#')).collect();
    insta::assert_snapshot!(comments.join("\n"));
    for columns in ["220", "60"] {
        let run = lab::run(&program()?).stdin(&file).env("COLUMNS", columns).args(["history", "--from-file", "-"]);
        insta::assert_snapshot!(format!("columns_{columns}"), run.output().await?.stdout);
    }
    insta::assert_snapshot!(offline(&["status", "--from-file", "-"], &file).await?.stdout);
    for entry in std::fs::read_dir(stalls())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let file = path.display().to_string();
            let status = offline(&["status", "--from-file", &file], "").await?;
            let is_long = |line: &&str| line.chars().count() > 80 && line.trim().contains(' ');
            // What would change is shown as it is.
            let sentences = status.stdout.lines().take_while(|line| !line.starts_with("--- "));
            assert_eq!(sentences.filter(is_long).collect::<Vec<_>>(), Vec::<&str>::new(), "{file}: {status}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn of_a_recorded_stall() -> Result<()> {
    let file = stalls().join("e-nonexistent-tag-90s.json").display().to_string();
    let of = |args: &'static [&'static str]| {
        let file = &file;
        async move { offline(&[&["history", "--from-file", file.as_str()], args].concat(), "").await }
    };
    insta::assert_snapshot!(of(&["deployment/web"]).await?.stdout);
    insta::assert_snapshot!(of(&["--revision", "1"]).await?.stdout);
    insta::assert_snapshot!(of(&["--diff", "1..2"]).await?.stdout);
    insta::assert_snapshot!(of(&["-o", "yaml"]).await?.stdout);
    let later = of(&["--now", "2030-01-01T00:00:00Z"]).await?;
    assert!(
        later
            .stdout
            .lines()
            .nth(2)
            .is_some_and(|row| row.split_whitespace().nth(1).is_some_and(|age| age.ends_with('d')))
    );
    let same = of(&["--diff", "1..1"]).await?;
    let expected = ("", "deployment/web: revisions 1 and 1 have the same pod template\n");
    assert_eq!((same.stdout.as_str(), same.stderr.as_str()), expected);
    Ok(())
}

#[tokio::test]
async fn wrong_usage_and_files_that_lack() -> Result<()> {
    let file = stalls().join("g-oom.json").display().to_string();
    #[rustfmt::skip]
    let cases: [(&[&str], &str); 9] = [
        (&["--revision=-1"], "error: revision must be a positive integer: -1\n"),
        (&["--revision=7"], "error: unable to find the specified revision\nhint: deployment/web has the revisions "),
        (&["--revision=7", "--plain"], "error: unable to find the specified revision\n"),
        (&["--diff", "1..9"], "error: unable to find the specified revision\n"),
        (&["--diff", "1-2"], "error: invalid argument \"1-2\" for \"--diff\" flag: \"1-2\" does not name two revisions, as in 2..3"),
        (&["--diff", "1..2", "--plain"], "error: the argument '--diff <A..B>' cannot be used with '--plain"),
        (&["deployment/api"], "error: the file holds no deployment/api\n"),
        (&["-l", "app=nothing"], "error: the file holds no Deployment, StatefulSet or DaemonSet that is meant\n"),
        (&["--now", "noon"], "error: invalid argument \"noon\" for \"--now\" flag:"),
    ];
    for (args, expected) in cases {
        let output = offline(&[&["history", "--from-file", file.as_str()], args].concat(), "").await?;
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{args:?}: {output}");
        assert!(output.stderr.starts_with(expected), "{args:?}: {output}");
    }
    let deployment = r#"{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"a","uid":"u"},
        "spec":{"selector":{},"template":{}}}"#;
    let output = offline(&["history", "--from-file", "-"], deployment).await?;
    let expected = "error: deployment/web: the file holds no replicasets.apps, which are its revisions\n";
    assert_eq!((output.code, output.stderr.as_str()), (Some(1), expected));
    for (text, expected) in [
        ("", "error: standard input: it is empty\n"),
        ("{", "error: standard input: "),
        ("kind: Pod", "error: standard input: "),
    ] {
        let output = offline(&["history", "--from-file", "-"], text).await?;
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{text}: {output}");
        assert!(output.stderr.starts_with(expected), "{text}: {output}");
    }
    Ok(())
}
