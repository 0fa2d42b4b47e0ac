//! Every event and a result, as people and programs see them.

use disruption::rollout::document::{FindingClass, Undo};
use plugin::printer::ColorChoice;

use super::*;

fn workload(kind: &str, name: &str) -> RolloutWorkload {
    RolloutWorkload { kind: kind.into(), namespace: "shop".into(), name: name.into(), uid: format!("uid-{name}") }
}

fn web() -> RolloutWorkload {
    workload("Deployment", "web")
}

fn db() -> RolloutWorkload {
    workload("StatefulSet", "database")
}

fn at(seconds: i64) -> Timestamp {
    let began: Timestamp = "2026-01-01T12:00:00.25Z".parse().unwrap();
    began + SignedDuration::from_secs(seconds)
}

fn cause() -> RolloutCause {
    let value = |text: &str| Some(serde_json::Value::from(text));
    let path = |path: &str, before, after| ChangedPath { path: path.into(), before, after };
    RolloutCause {
        code: "ImageNotFound".into(),
        class: FindingClass::Fatal,
        message: "image \"shop/web:2\" not found".into(),
        changed: Some(true),
        paths: vec![
            path("spec.containers[web].image", value("shop/web:1"), value("shop/web:2")),
            path("spec.imagePullSecrets", None, Some(serde_json::json!([{"name": "registry"}]))),
        ],
    }
}

fn evidence() -> Evidence {
    let pod = |name: &str, is_new, ready, state: &str, age: Option<i64>| PodRow {
        name: name.into(),
        is_new,
        node: if state == "Pending" { String::new() } else { "worker-3".into() },
        ready: (ready, 2),
        restarts: i32::from(!is_new),
        state: state.into(),
        created_at: age.map(|age| at(20 - age)),
    };
    let warning = |about: &str, reason: &str, message: &str, count| Warning {
        about: about.into(),
        reason: reason.into(),
        message: message.into(),
        count,
    };
    let mut pods = vec![
        pod("web-6d4b9f5c7-bad01", true, 1, "ImagePullBackOff", Some(15)),
        pod("web-6d4b9f5c7-bad02", true, 0, "Pending", None),
    ];
    pods.extend((1..=10).map(|n| pod(&format!("web-588c7588f7-ok{n:02}"), false, 2, "Running", Some(180_000))));
    Evidence {
        probe: Some("readiness probe of container \"web\": GET http://:80/ready?key=s3cret, every 5 seconds".into()),
        pods,
        warnings: vec![
            warning(
                "pod/web-6d4b9f5c7-bad01",
                "Failed",
                "Failed to pull image \"shop/web:2\": failed to resolve reference: get \
                 \"https://me:pw@registry.example/v2/shop/web?token=s3cret\": not found\u{1b}[2J",
                3,
            ),
            warning("replicaset/web-6d4b9f5c7", "FailedCreate", "exceeded quota", 1),
        ],
    }
}

/// One of every kind.
fn events() -> Vec<Event> {
    let counts = RolloutPods { desired: 3, updated: 1, ready: 3, available: 3, old: 3, terminating: 0 };
    let progressed = |workload, message: &str| Event::Progressed { workload, counts, message: message.into() };
    let finding = |pod: Option<&str>, count| RolloutFinding {
        code: "ImagePulling".into(),
        class: FindingClass::Transient,
        pod: pod.map(str::to_owned),
        container: Some("web".into()),
        init: false,
        count,
        message: "the registry did not answer".into(),
    };
    let seen = |pod, count| Event::FindingSeen { workload: web(), finding: finding(pod, count) };
    let stalled = |cause, others, evidence| Event::StallProven { workload: web(), cause, others, evidence };
    let undo = |from, why: &str, diff: &str| Event::UndoBegan {
        workload: web(),
        from,
        to: 1,
        why: why.into(),
        diff: diff.into(),
    };
    let ended = |workload, outcome, message: &str| Event::RolloutEnded {
        workload,
        outcome,
        message: message.into(),
        after: SignedDuration::from_millis(5600),
    };
    let images = || vec![("web".into(), "shop/web:2".into()), ("proxy".into(), "envoy:1".into())];
    let unchanged = RolloutCause { changed: Some(false), paths: Vec::new(), ..cause() };
    let unknown = RolloutCause { changed: None, paths: Vec::new(), ..cause() };
    let diff = "--- before/deployment/web\n+++ after/deployment/web\n@@ -1 +1 @@\n spec:\n-  image: shop/web:2\n+  image: shop/web:1\n";
    vec![
        Event::WatchBegan { workload: web(), revision: Some(2), images: images() },
        Event::WatchBegan { workload: db(), revision: None, images: Vec::new() },
        progressed(web(), "1 of 3 pods updated, 3 ready, 3 available, 3 old"),
        progressed(db(), "3 of 3 pods updated and available; must stay good for 10s"),
        seen(Some("web-6d4b9f5c7-bad01"), 1),
        seen(None, 2),
        stalled(cause(), 2, evidence()),
        stalled(unchanged, 1, Evidence::default()),
        stalled(unknown, 0, Evidence::default()),
        Event::LogRead {
            workload: web(),
            pod: "web-6d4b9f5c7-bad01".into(),
            container: "web".into(),
            lines: vec!["starting".into(), "\u{1b}[31mpanic\u{1b}[0m: no postgres://me:pw@db/shop".into()],
        },
        undo(Some(2), "revision 1: 3 of 3 pods available now", diff),
        undo(None, "", ""),
        Event::PodUnblocked { workload: db(), pod: "database-2".into() },
        Event::RolloutPaused { workload: web() },
        Event::ProbeFailed { url: "http://me:pw@shop.example/?token=s3cret".into(), message: "503".into() },
        Event::ProbeRecovered { url: "http://shop.example/".into(), after: SignedDuration::from_millis(1250) },
        Event::Noted { workload: Some(web()), message: "the log of container \"web\" cannot be read".into() },
        Event::Noted { workload: None, message: "changes of events are not seen".into() },
        Event::ConnectionLost { message: "connection refused".into() },
        Event::ConnectionRestored,
        Event::Interrupted,
        ended(web(), RolloutOutcome::Complete, "successfully rolled out revision 2"),
        ended(web(), RolloutOutcome::Undone, "image not found; undone: back on revision 1, now revision 3, verified"),
        ended(web(), RolloutOutcome::UndoFailed, "the undo to revision 1 was reverted by argocd-controller"),
        ended(db(), RolloutOutcome::NotUndone, "no earlier revision"),
        ended(db(), RolloutOutcome::Blocked, "paused"),
        ended(db(), RolloutOutcome::Unfinished, "the time is over: 1 of 3 pods updated"),
        ended(db(), RolloutOutcome::Superseded, "somebody else has rolled out another version by helm"),
        ended(db(), RolloutOutcome::Gone, "it was deleted meanwhile"),
    ]
}

fn result() -> RolloutResult {
    let probe = |url: &str, failures, longest_gap_seconds| ProbeResult {
        url: url.into(),
        requests: 90,
        failures,
        longest_gap_seconds,
    };
    let end = |workload, outcome, cause, undo| RolloutEnd {
        workload,
        outcome,
        cause,
        undo,
        probes: vec![probe("http://shop.example/", 3, 1.25), probe("http://shop.example/cart", 0, 0.2)],
    };
    let undo = Undo { from: Some(2), to: 1, verified: true, seconds: 12.5 };
    RolloutResult {
        api_version: "disruption/v1alpha1".into(),
        kind: "RolloutResult".into(),
        started_at: at(0),
        finished_at: at(60),
        exit_code: 7,
        reason: "deployment/web: image not found; undone".into(),
        rollouts: vec![
            end(web(), RolloutOutcome::Undone, Some(cause()), Some(undo)),
            end(db(), RolloutOutcome::Complete, None, None),
        ],
        next: vec!["kubectl rollout-guard -n shop status deployment/web".into()],
    }
}

/// What a reporter writes: stdout, and stderr under a line.
fn told(color: ColorChoice, format: Option<Format>) -> String {
    let (mut printer, captured) = Printer::captured(color);
    let mut reporter = Reporter::new(&mut printer, format, at(0), "statefulset/database".len());
    for (second, event) in (0..).zip(events()) {
        // The server's time is not known before it has answered once.
        reporter.tell((second != 1).then(|| at(second * 3)), &event);
    }
    reporter.end(&result()).unwrap();
    format!("{}---- stderr\n{}", captured.out(), captured.err())
}

#[test]
fn for_people() {
    insta::assert_snapshot!(told(ColorChoice::Never, None));
}

#[test]
fn for_people_in_colour() {
    insta::assert_snapshot!(told(ColorChoice::Always, None).replace('\u{1b}', "ESC"));
}

#[test]
fn nothing_tells_secrets() {
    for told in [told(ColorChoice::Always, None), told(ColorChoice::Never, None)] {
        assert!(!told.contains("s3cret") && !told.contains("pw"), "{told}");
    }
}

#[test]
fn for_programs() {
    let told = told(ColorChoice::Never, Some(Format::Json));
    for line in told.lines().take(events().len()) {
        let document: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(document["at"].is_string() && document["type"].is_string(), "{line}");
    }
    insta::assert_snapshot!(told);
}

#[test]
fn for_programs_in_yaml() {
    let told = told(ColorChoice::Never, Some(Format::Yaml));
    let documents: Vec<&str> = told.split("---\n").take(8).collect();
    insta::assert_snapshot!(documents.join("---\n"));
}
