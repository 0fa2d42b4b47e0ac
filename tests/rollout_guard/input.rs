//! Bad input ends with a clear sentence and exit code 1, never with a panic, and never reaches the terminal raw.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Result;
use lab::Output;
use serde_json::{Value, json};

use crate::runner::{guard, guard_json, offline};

fn stall(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/stalls").join(name)
}

#[tokio::test]
async fn wrong_usage_is_told_in_kubectls_words() -> Result<()> {
    let required = "error: required resource not specified\nSee 'kubectl rollout-guard --help' for usage.\n";
    for (args, message) in [
        (vec![], required),
        (
            vec!["status"],
            "error: required resource not specified\nSee 'kubectl rollout-guard status --help' for usage.\n",
        ),
        (
            vec!["-n", "shop", "undo", "deployment/web", "--all"],
            "error: name cannot be provided when a selector is specified\nSee 'kubectl rollout-guard undo --help' for usage.\n",
        ),
        (vec!["web"], "error: \"web\" is not a kind that rolls out: deployment, statefulset or daemonset\n"),
        (vec!["pod/web"], "error: \"pod\" is not a kind that rolls out"),
        (vec!["deployment"], "error: resource(s) were provided, but no name was specified"),
        (vec!["deployment/web", "status"], "error: there is no need to specify a resource type as a separate argument"),
        (vec!["deployment", "deployment/web"], "error: there is no need to specify a resource type"),
        (vec!["deployment/"], "error: arguments in resource/name form must have a single resource and name\n"),
        (vec!["deployment/a/b"], "error: arguments in resource/name form may not have more than one slash\n"),
        (vec!["deployment/Web"], "error: \"Web\" is not a valid name"),
        (vec!["deployment/web", "-l", "a=b"], "error: name cannot be provided when a selector is specified\n"),
        (vec!["--all", "-l", "a=b"], "error: cannot set --all and --selector at the same time\n"),
        (vec!["-l", "a in (b"], "error: unbalanced parentheses in \"a in (b\""),
        (vec!["deployment/web", "--revision=-1"], "error: revision must be a positive integer: -1\n"),
        (
            vec!["deployment/web", "--timeout", "300"],
            "error: invalid argument \"300\" for \"--timeout\" flag: time: missing unit in duration \"300\"\n",
        ),
        (vec!["deployment/web", "--timeout=-5s"], "error: invalid argument \"-5s\" for \"--timeout\" flag:"),
        (
            vec!["undo", "deployment/web", "--timeout", "-5s"],
            "error: invalid argument \"-5s\" for \"--timeout\" flag: time: invalid duration \"-5s\": must not be negative\n",
        ),
        (vec!["deployment/web", "--stable-for", "-5s"], "error: invalid argument \"-5s\" for \"--stable-for\" flag:"),
        (vec!["deployment/web", "--revision", "-1"], "error: revision must be a positive integer: -1\n"),
        (
            vec!["deployment/web", "--stall-timeout", "soon"],
            "error: invalid argument \"soon\" for \"--stall-timeout\" flag:",
        ),
        (vec!["deployment/web", "--stable-for", "long"], "error: invalid argument \"long\" for \"--stable-for\" flag:"),
        (
            vec!["deployment/web", "--on-stall", "panic"],
            "error: invalid argument \"panic\" for \"--on-stall\" flag: must be one of undo, pause, report\n",
        ),
        (
            vec!["deployment/web", "--undo-on", "sight"],
            "error: invalid argument \"sight\" for \"--undo-on\" flag: must be one of version, any\n",
        ),
        (vec!["deployment/web", "--max-restarts", "0"], "error: invalid argument \"0\" for \"--max-restarts\" flag:"),
        (
            vec!["deployment/web", "--max-restarts", "99999999999"],
            "error: invalid argument \"99999999999\" for \"--max-restarts\" flag:",
        ),
        (
            vec!["deployment/web", "--probe", "shop"],
            "error: invalid argument \"shop\" for \"--probe\" flag: \"shop\" is not a URL such as",
        ),
        (
            vec!["deployment/web", "-o", "name"],
            "error: unable to match a printer suitable for the output format \"name\", allowed formats are: json,yaml\n",
        ),
        (
            vec!["undo", "deployment/web", "--dry-run=all"],
            "error: Invalid dry-run value (all). Must be \"none\", \"server\", or \"client\".\n",
        ),
        (
            vec!["undo", "deployment/web", "--to-revision", "one"],
            "error: invalid argument \"one\" for \"--to-revision\" flag: strconv.ParseInt: parsing \"one\": invalid syntax\n",
        ),
        (vec!["run"], "error: the following required arguments were not provided:"),
        (vec!["run", "deployment/web", "--"], "error: "),
        (vec!["deployment/web", "undo"], "error: there is no need to specify a resource type as a separate argument"),
        (
            vec!["--force", "undo", "deployment/web"],
            "error: workloads and flags of a command go behind it, as in status deployment/web\n",
        ),
        (
            vec!["status", "deployment/web", "--now", "2026-01-01T00:00:00Z"],
            "error: the following required arguments were not provided: --from-file",
        ),
        (vec!["status", "--now", "noon", "--from-file", "-"], "error: invalid argument \"noon\" for \"--now\" flag:"),
        (vec!["deployment/web", "--no-such-flag"], "error: unknown flag: --no-such-flag\n"),
        (vec!["deployment/web", "-Z"], "error: unknown shorthand flag: 'Z' in -Z\n"),
    ] {
        let output = offline(&args, "").await?;
        assert_eq!(output.code, Some(1), "{args:?}: {output}");
        assert!(output.stderr.starts_with(message), "{args:?}: {message:?}: {output}");
        assert_eq!(output.stdout, "", "{args:?}");
    }
    Ok(())
}

async fn from_file(path: &str, stdin: &str) -> Result<Output> {
    offline(&["status", "--from-file", path], stdin).await
}

#[tokio::test]
async fn files_that_tell_nothing() -> Result<()> {
    let recorded = fs::read_to_string(stall("e-nonexistent-tag-90s.json"))?;
    let list: Value = serde_json::from_str(&recorded)?;
    let only = |kind: &str| {
        let items = list["items"].as_array().unwrap().iter().filter(|item| item["kind"] == kind).cloned();
        json!({"kind": "List", "apiVersion": "v1", "items": items.collect::<Vec<_>>()}).to_string()
    };
    let yaml = "kind: List\nitems:\n- kind: Deployment\n  metadata: {name: web}\n  spec: [";
    let nothing = "it holds no Deployment, no StatefulSet and no DaemonSet; give it what `kubectl get ";
    let large = "a".repeat(64 << 20);
    for (text, expected) in [
        ("", "it is empty"),
        (" \n\n", "it is empty"),
        ("\u{0}\u{1}\u{2}ELF", "neither JSON nor YAML"),
        (&recorded[..recorded.len() / 2], "line "),
        (&recorded[..recorded.len() - 3], ""),
        (yaml, "line "),
        ("[]", "bare array"),
        ("hello", "line 1"),
        ("{\"a\": 1}", "an object without a kind"),
        ("<html><body>502 Bad Gateway</body></html>", "line 1"),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: s}\n", nothing),
        (&only("Pod"), nothing),
        (&only("ReplicaSet"), nothing),
        (large.as_str(), ""),
    ] {
        let shown = text.get(..40).unwrap_or(text);
        let output = from_file("-", text).await?;
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{shown:?}: {output}");
        let start = "error: standard input: ";
        assert!(output.stderr.starts_with(start), "{shown:?}: {}", &output.stderr[..output.stderr.len().min(500)]);
        assert!(output.stderr.contains(expected), "{shown:?}: {expected:?}: {output}");
        assert!(output.stderr.len() < 2_000, "{shown:?}: a message, not the file");
        assert!(output.elapsed < Duration::from_secs(60), "{shown:?}: {:?}", output.elapsed);
    }
    Ok(())
}

#[tokio::test]
async fn files_that_cannot_be_read() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().to_string_lossy().into_owned();
    let output = from_file(&path, "").await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output}");
    assert!(output.stderr.starts_with("error: ") && output.stderr.contains("Is a directory"), "{output}");
    assert!(output.stderr.contains(&path), "{output}");
    let output = from_file("no/such/file", "").await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output}");
    assert_eq!(output.stderr, "error: open no/such/file: No such file or directory (os error 2)\n", "{output}");
    Ok(())
}

#[tokio::test]
async fn workloads_that_a_file_lacks() -> Result<()> {
    let file = stall("e-nonexistent-tag-90s.json").to_string_lossy().into_owned();
    let output = offline(&["status", "deployment/shop", "--from-file", &file], "").await?;
    assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output}");
    assert_eq!(output.stderr, "error: the file holds no deployment/shop\n", "{output}");
    for args in [&["sts/web"][..], &["deployment/web", "-n", "no-such"]] {
        let output = offline(&[&["status", "--from-file", &file], args].concat(), "").await?;
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{args:?}: {output}");
    }
    // The same from the file, and from standard input.
    let text = fs::read_to_string(&file)?;
    let (one, other) = (from_file(&file, "").await?, from_file("-", &text).await?);
    assert_eq!((one.code, other.code), (Some(9), Some(9)), "{one}");
    assert_eq!(one.stdout, other.stdout);
    Ok(())
}

/// Every text of every object, as somebody could have written it who wants to write to the terminal.
#[tokio::test]
async fn control_characters_never_reach_the_terminal() -> Result<()> {
    let evil = "\u{1b}[2J\u{7}\u{202e}\rweb";
    let poison = |value: &mut Value| {
        let text = value.as_str().unwrap_or_default().to_owned();
        *value = format!("{text}{evil}").into();
    };
    let mut list: Value = serde_json::from_str(&fs::read_to_string(stall("g-exit-1.json"))?)?;
    for item in list["items"].as_array_mut().unwrap() {
        for path in [
            "/message",
            "/status/message",
            "/status/containerStatuses/0/state/waiting/message",
            "/status/containerStatuses/0/state/terminated/reason",
            "/spec/template/spec/containers/0/image",
        ] {
            if let Some(text) = item.pointer_mut(path) {
                poison(text);
            }
        }
    }
    for format in [&[][..], &["-o", "json"], &["-o", "yaml"], &["--color=never"]] {
        let output = offline(&[&["status", "--from-file", "-"], format].concat(), &list.to_string()).await?;
        let printed = format!("{}{}", output.stdout, output.stderr);
        let raw =
            printed.chars().find(|&character| (character.is_control() && character != '\n') || character == '\u{202e}');
        assert_eq!(raw, None, "{format:?}: {printed:?}");
        assert!(printed.contains("web"), "{format:?}: {printed}");
    }
    Ok(())
}

#[tokio::test]
async fn workloads_that_are_not_there() -> Result<()> {
    let world = lab::shared()?.world("absent").await?;
    world.node("a").create().await?;
    world.deployment("web").create().await?;
    world.ready("deployment/web").await?;
    for args in [&["deployment/x"][..], &["status", "deployment/x"], &["undo", "deployment/x"]] {
        let output = guard(&world, args).await?;
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{args:?}: {output}");
        assert_eq!(
            output.stderr, "Error from server (NotFound): deployments.apps \"x\" not found\n",
            "{args:?}: {output}"
        );
    }
    // The others are handled all the same.
    let (output, _, result) = guard_json(&world, &["deployment/x", "deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(output.stderr, "Error from server (NotFound): deployments.apps \"x\" not found\n", "{output}");
    assert_eq!(result["rollouts"][0]["outcome"], "Complete", "{result:#}");
    assert_eq!(result["reason"], "Error from server (NotFound): deployments.apps \"x\" not found", "{result:#}");
    let output = guard(&world, &["status", "sts/x", "deployment/web"]).await?;
    assert_eq!(output.code, Some(1), "{output}");
    assert_eq!(output.stderr, "Error from server (NotFound): statefulsets.apps \"x\" not found\n", "{output}");
    assert!(output.stdout.starts_with("deployment/web revision 1: COMPLETE: "), "{output}");
    Ok(())
}

#[tokio::test]
async fn an_empty_selection_is_no_error() -> Result<()> {
    let world = lab::shared()?.world("empty").await?;
    let said = format!("No resources found in {} namespace.\n", world.namespace);
    for args in [&["-l", "no=such"][..], &["status", "-l", "no=such"], &["undo", "-l", "no=such"], &["--all"]] {
        let output = guard(&world, args).await?;
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{args:?}: {output}");
        assert_eq!(output.stderr, said, "{args:?}");
    }
    let (output, events, result) = guard_json(&world, &["--all"]).await?;
    assert_eq!((output.code, events.len()), (Some(0), 0), "{output}");
    assert_eq!(result["rollouts"], json!([]), "{result:#}");
    Ok(())
}
