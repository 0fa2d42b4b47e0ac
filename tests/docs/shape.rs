//! What of an output may differ from one run to the next: the rules, in one place.

use std::sync::LazyLock;

use regex::Regex;

/// What is replaced, in this order: names that nobody chooses, times, counts that the machine's speed decides.
const REPLACED: &[(&str, &str)] = &[
    // A pod of a Deployment, its ReplicaSet, a pod of a DaemonSet. Kubernetes makes random names without vowels.
    (r"\b([a-z][a-z0-9-]*)-[b-df-hj-np-tv-xz2456789]{6,10}(-[b-df-hj-np-tv-xz2456789]{5})?\b", "$1-<random>"),
    (r"\b([a-z][a-z0-9-]*)-[b-df-hj-np-tv-xz2456789]{5}\b", "$1-<random>"),
    // 2026-11-21T22:43:50Z
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "<time>"),
    // 12s, 1m20s, 0.2s, 32 s
    (r"\b(\d+(\.\d+)?(ms|s|m|h|d))+\b", "<duration>"),
    (r"\b\d+(\.\d+)? s\b", "<duration>"),
    // Requests of a probe, and answers of the curl loop by their code.
    (r"\bof \d+ requests", "of <count> requests"),
    (r"^ *\d+ (\d{3})$", "<count> $1"),
    // The port of the lab's web server.
    (r"http://127\.0\.0\.1:\d+/", "<url>"),
    // How many pods have shown it so far.
    (r" \(and \d+ more findings?\)$", ""),
    (r" \(\d+ times\):$", ":"),
    (r"\b(ErrImagePull|ImagePullBackOff)\b", "<pull>"),
    // On which of the two workers a listed pod is.
    (r"^( *\S+-<random> .*)\blesson-worker2?\b", "$1<node>"),
    // Widths of columns.
    (r"\s+", " "),
];

/// Lines that come once, twice or not at all: what a watch saw in between.
const IGNORED: &[&str] = &[
    r#"^Waiting for deployment "\S+" rollout to finish: "#,
    r"^ ?<duration> \S+ the controller has not seen the newest spec yet$",
    r"^ ?<duration> \S+ \d+ of \d+ pods updated, \d+ ready, ",
    r"^ ?<duration> \S+ image .* not found \(pod \S+\)$",
];

/// Neighbours among these lines come in any order.
const UNORDERED: &[&str] =
    &[r"^ ?\S+-<random> ", r"^(evicting pod \S+|pod/\S+ evicted.*|\d+ pods? waits?: .*|waiting until .*)$"];

/// The lines of an output without what may differ.
pub(crate) fn shape(output: &str) -> Vec<String> {
    static REPLACE: LazyLock<Vec<(Regex, &str)>> =
        LazyLock::new(|| REPLACED.iter().map(|(pattern, by)| (regex(pattern), *by)).collect());
    static IGNORE: LazyLock<Vec<Regex>> = LazyLock::new(|| IGNORED.iter().map(|pattern| regex(pattern)).collect());
    static UNORDER: LazyLock<Vec<Regex>> = LazyLock::new(|| UNORDERED.iter().map(|pattern| regex(pattern)).collect());

    let replaced = output.lines().map(|line| {
        let line = line.trim_end().to_owned();
        REPLACE.iter().fold(line, |line, (pattern, by)| pattern.replace_all(&line, *by).into_owned())
    });
    let mut lines: Vec<String> = replaced.filter(|line| !IGNORE.iter().any(|pattern| pattern.is_match(line))).collect();
    for pattern in UNORDER.iter() {
        for neighbours in lines.chunk_by_mut(|a, b| pattern.is_match(a) && pattern.is_match(b)) {
            neighbours.sort();
        }
    }
    lines
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern of this file")
}

#[test]
fn what_may_differ() {
    #[track_caller]
    fn same(a: &str, b: &str) {
        assert_eq!(shape(a), shape(b));
    }
    #[track_caller]
    fn other(a: &str, b: &str) {
        assert_ne!(shape(a), shape(b));
    }
    same("web-d56bc65b6-htnpk   1/1   Running   0   3s", "web-cbb48c855-949kh 1/1 Running 0 1m20s");
    same("agent-hdxbq x\nweb-d56bc65b6-htnpk y", "web-cbb48c855-949kh y\nagent-x6krr x");
    same("   2.1s  deployment/web  2 of 4 pods updated, 1 ready, 1 available, 3 old", "");
    same("     27 200\n     15 503", "     9 200\n     1 503");
    same("probe http://127.0.0.1:44129/: 0 of 23 requests failed", "probe http://127.0.0.1:1/: 0 of 1 requests failed");
    same("evicting pod a\npod/a evicted\nx", "pod/a evicted\nevicting pod a\nx");
    other("web-d56bc65b6-htnpk   1/1   Running   0   3s", "web-d56bc65b6-htnpk   0/1   Running   0   3s");
    other("     27 200", "     27 503");
    other("probe x: 0 of 23 requests failed", "probe x: 2 of 23 requests failed");
    other("node/a drained\nevicting pod a", "evicting pod a\nnode/a drained");
    other("   1.4s  deployment/web  COMPLETE: revision 1", "   1.4s  deployment/web  COMPLETE: revision 2");
    other("4 lesson-worker", "4 lesson-worker2");
    other("exit code 7", "exit code 8");
}
