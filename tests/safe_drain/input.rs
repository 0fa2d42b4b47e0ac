//! Bad input ends with a clear sentence and exit code 1, never with a panic, and never reaches the terminal raw.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::runner::{offline, safe_drain};

#[tokio::test]
async fn wrong_usage_is_told_in_kubectls_words() -> Result<()> {
    for (args, message) in [
        (vec!["--dry-run"], "error: USAGE: safe-drain NODE [flags]"),
        (vec!["plan"], "error: USAGE: safe-drain NODE [flags]\nSee 'kubectl safe-drain plan --help' for usage.\n"),
        (
            vec!["repair", "n", "-l", "a=b"],
            "error: cannot specify both a node name and a --selector option\n\
             See 'kubectl safe-drain repair --help' for usage.\n",
        ),
        (vec!["plan", "n", "-l", "a=b"], "error: cannot specify both a node name and a --selector option"),
        (vec!["plan", "n", "node/n"], "error: node \"n\" is named twice"),
        (vec!["plan", "pod/n"], "error: expected resource of type node, got \"pod\""),
        (vec!["plan", "-l", "a in (b"], "error: unbalanced parentheses in \"a in (b\""),
        (
            vec!["plan", "n", "--pod-selector", "=b"],
            "error: --pod-selector=<pod_selector> must be a valid label selector",
        ),
        (
            vec!["plan", "n", "--timeout", "300"],
            "error: invalid argument \"300\" for \"--timeout\" flag: time: missing unit in duration \"300\"",
        ),
        (
            vec!["plan", "n", "--timeout", "999999999h"],
            "error: invalid argument \"999999999h\" for \"--timeout\" flag: time: invalid duration \"999999999h\"",
        ),
        (vec!["plan", "n", "--timeout=-5s"], "error: invalid argument \"-5s\" for \"--timeout\" flag:"),
        (vec!["plan", "n", "--deadline", "-5s"], "error: invalid argument \"-5s\" for \"--deadline\" flag:"),
        (
            vec!["plan", "n", "--grace-period", "-1", "--chunk-size", "-1"],
            "error: --chunk-size must be zero or a count",
        ),
        (
            vec!["plan", "n", "--grace-period", "99999999999"],
            "error: --grace-period=99999999999 is longer than a century",
        ),
        (vec!["plan", "n", "--chunk-size=-1"], "error: --chunk-size must be zero or a count of objects"),
        (
            vec!["plan", "n", "--dry-run=all"],
            "error: Invalid dry-run value (all). Must be \"none\", \"server\", or \"client\".",
        ),
        (
            vec!["plan", "n", "-o", "name"],
            "error: unable to match a printer suitable for the output format \"name\", allowed formats are: json,yaml",
        ),
        (
            vec!["plan", "n", "--max-unavailable", "some"],
            "error: invalid argument \"some\" for \"--max-unavailable\" flag:",
        ),
        (
            vec!["plan", "n", "--max-unavailable", "0"],
            "error: invalid argument \"0\" for \"--max-unavailable\" flag: with 0",
        ),
        (vec!["--force", "plan", "n"], "error: nodes and flags of a command go behind it, as in plan NODE --force"),
        (vec!["n", "plan", "--dry-run"], "error: \"plan\" is a command here, which goes first"),
        (
            vec!["plan", "n", "--now", "2026-01-01T00:00:00Z"],
            "error: the following required arguments were not provided: --from-file",
        ),
        (
            vec!["plan", "n", "--now", "noon", "--from-file", "-"],
            "error: invalid argument \"noon\" for \"--now\" flag:",
        ),
        (
            vec!["plan", "n", "--from-file", "-", "--dry-run=server"],
            "error: --dry-run=server needs a server, --from-file has none",
        ),
        (
            vec!["plan", "n", "--from-file", "no/such/file"],
            "error: cannot read a snapshot from no/such/file: No such file or directory",
        ),
        (vec!["plan", "n", "--no-such-flag"], "error: unknown flag: --no-such-flag"),
    ] {
        let output = offline(&args, "").await?;
        assert_eq!(output.code, Some(1), "{args:?}: {output}");
        assert!(output.stderr.starts_with(message), "{args:?}: {output}");
        assert_eq!(output.stdout, "", "{args:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_is_not_there() -> Result<()> {
    let world = lab::shared()?.world("absent").await?;
    let output = safe_drain(&world, &["plan", "no-such-node"]).await?;
    assert_eq!(output.code, Some(1));
    assert_eq!(
        output.stderr,
        "Error from server (NotFound): nodes \"no-such-node\" not found\nhint: kubectl get nodes lists what is there\n"
    );
    let output = safe_drain(&world, &["plan", "-l", "no=such", "-o", "json"]).await?;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), "no node matches the selector no=such\n"));
    let plan: serde_json::Value = serde_json::from_str(&output.stdout)?;
    assert_eq!((&plan["nodes"], &plan["verdict"]), (&json!([]), &json!("Clear")));

    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop.yaml");
    let output = offline(&["plan", "worker-9", "--from-file", example], "").await?;
    assert_eq!(output.code, Some(1));
    let expected = "error: nodes \"worker-9\" not found\n\
                    hint: the file has 4 nodes: worker-1, worker-2, worker-3, worker-4\n";
    assert!(output.stderr.ends_with(expected), "{output}");
    Ok(())
}

#[tokio::test]
async fn files_that_are_no_snapshot() -> Result<()> {
    let example = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/shop.yaml"))?;
    let half = &example[..example.len() / 2];
    let cut_json = r#"{"kind": "List", "items": [{"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"#;
    let large = "a".repeat(100 << 20);
    let large_pods = format!("kind: List\nitems:\n{}", "- {kind: Secret, metadata: {name: s}}\n".repeat(1 << 18));
    for (text, expected) in [
        ("", "it is empty"),
        ("  \n\n", "it is empty"),
        ("\u{0}\u{1}\u{2}ELF", "neither JSON nor YAML"),
        (cut_json, "line 1"),
        (half, "the file is cut off after item "),
        ("kind: Secret\napiVersion: v1\nmetadata: {name: s}\n", "it holds no node and no pod"),
        ("[]", "bare array"),
        ("hello", "line 1"),
        (large.as_str(), ""),
        (large_pods.as_str(), "it holds no node and no pod"),
    ] {
        let shown = text.get(..40).unwrap_or(text);
        let output = offline(&["plan", "n", "--from-file", "-"], text).await?;
        assert_eq!(output.code, Some(1), "{shown:?}: {output}");
        let start = "error: cannot read a snapshot from standard input: ";
        assert!(output.stderr.starts_with(start), "{shown:?}: {}", &output.stderr[..output.stderr.len().min(500)]);
        assert!(output.stderr.contains(expected), "{shown:?}: {output}");
        assert!(output.stderr.len() < 2_000, "{shown:?}: a message, not the file");
        assert!(output.elapsed < Duration::from_secs(60), "{shown:?}: {:?}", output.elapsed);
    }
    Ok(())
}

#[tokio::test]
async fn control_characters_never_reach_the_terminal() -> Result<()> {
    let evil = "\u{1b}[2J\u{7}\u{202e}\rweb";
    let list = json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "n"},
            "status": {"conditions": [{"type": "Ready", "status": "False", "reason": evil}]}},
        {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": evil, "namespace": evil, "finalizers": [evil],
            "ownerReferences": [{"apiVersion": "x/v1", "kind": evil, "name": evil, "uid": "u", "controller": true}]},
            "spec": {"nodeName": "n", "containers": [], "volumes": [{"name": "v", "hostPath": {"path": evil}}]}},
    ]});
    for format in [
        &["plan", "n", "--from-file", "-"][..],
        &["plan", "n", "--from-file", "-", "-o", "json"],
        &["plan", "n", "--from-file", "-", "-o", "yaml"],
    ] {
        let output = offline(format, &list.to_string()).await?;
        let printed = format!("{}{}", output.stdout, output.stderr);
        let raw =
            printed.chars().find(|&character| (character.is_control() && character != '\n') || character == '\u{202e}');
        assert_eq!(raw, None, "{format:?}: {printed:?}");
        assert!(printed.contains("web"), "{format:?}: {printed}");
    }
    Ok(())
}
