//! Every event and a result, as people and programs see them.

use disruption::drain::document::NodeResult;
use jiff::SignedDuration;
use plugin::printer::ColorChoice;

use super::*;

/// One of every kind.
fn events() -> Vec<Event> {
    let node = || NodeName("worker-3".into());
    let pod = |name: &str| ObjectName::new("shop", name);
    let uid = || Uid("u1".into());
    let ended = |outcome, reason: &str| Event::PodEnded {
        pod: pod("web-1"),
        uid: uid(),
        node: node(),
        outcome,
        reason: reason.into(),
    };
    let evicting = |removal| Event::PodEvicting { pod: pod("web-1"), uid: uid(), node: node(), removal };
    let waits = |subject: &str, code, pods, message: &str, remedy: Option<&str>| Event::WaitBegan {
        subject: subject.into(),
        code,
        pods,
        message: message.into(),
        remedy: remedy.map(str::to_owned),
    };
    let node_ended = |outcome, reason: &str| Event::NodeEnded {
        node: node(),
        outcome,
        reason: reason.into(),
        after: SignedDuration::from_millis(5600),
    };
    let needs = "disruption budget shop/web needs 5 healthy pods";
    vec![
        Event::NodeTakenOver { node: node(), from: "a drain by bob (run 1f, since 2026-01-01T12:00:00Z)".into() },
        Event::NodeCordoned { node: node(), already: false },
        Event::NodeCordoned { node: node(), already: true },
        Event::NodeRefused { node: node(), message: "this node stays".into() },
        evicting(Removal::Evict),
        evicting(Removal::Delete),
        waits("disruption budget shop/web", WaitCode::Budget, 1, needs, None),
        waits("disruption budget shop/web", WaitCode::Budget, 2, needs, Some("kubectl -n shop describe pod web-9")),
        waits("Deployment shop/web", WaitCode::Replacement, 0, "Deployment shop/web gets its Ready pods back", None),
        waits("pod shop/web-1", WaitCode::Termination, 1, "finalizer example.com/keep keeps it", None),
        waits("the server", WaitCode::Server, 3, "the server failed, tried again: no\u{1b}[31m\nnode/n drained", None),
        ended(PodOutcome::Evicted, ""),
        ended(PodOutcome::Deleted, ""),
        ended(PodOutcome::Gone, "it went without us"),
        ended(PodOutcome::Skipped, "terminating for longer than --skip-wait-for-delete-timeout"),
        ended(PodOutcome::Refused, "Pods that declare no controller (use --force to override)"),
        ended(PodOutcome::Left, "interrupted"),
        Event::ReplacementReady { pod: pod("web-1"), uid: uid(), after: SignedDuration::from_millis(1100) },
        Event::PodAppeared { pod: pod("late"), uid: uid(), node: node() },
        Event::ConnectionLost { message: "connection refused".into() },
        Event::ConnectionRestored,
        Event::WatchRefused { what: "the disruption budgets of namespace shop".into(), message: "forbidden".into() },
        Event::Interrupted,
        Event::NodeUncordoned { node: node(), already: false },
        node_ended(NodeOutcome::Drained, ""),
        node_ended(NodeOutcome::LeftCordoned, "the timeout of 1m passed"),
    ]
}

fn result() -> DrainResult {
    let at = "2026-01-01T12:00:00Z".parse().unwrap();
    let node = |name: &str, outcome, reason: &str| NodeResult {
        name: name.into(),
        outcome,
        reason: reason.into(),
        seconds: Some(60.0),
    };
    let pod = |name: &str, node: &str, outcome, reason: &str| PodResult {
        namespace: "shop".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        node: node.into(),
        outcome,
        reason: reason.into(),
        seconds: Some(0.4),
        replacement_seconds: None,
    };
    let many = (1..=12).map(|n| pod(&format!("web-{n}"), "worker-3", PodOutcome::Left, "the timeout of 1m passed"));
    DrainResult {
        api_version: "disruption/v1alpha1".into(),
        kind: "DrainResult".into(),
        started_at: at,
        finished_at: at,
        context: Some("lab".into()),
        cluster: Some("lab".into()),
        exit_code: 6,
        reason: "node worker-3: the timeout of 1m passed".into(),
        nodes: vec![
            node("worker-2", NodeOutcome::Drained, ""),
            node("worker-3", NodeOutcome::LeftCordoned, "the timeout of 1m passed"),
        ],
        pods: many.chain([pod("db-0", "worker-2", PodOutcome::Evicted, "")]).collect(),
        probes: Vec::new(),
        restored: Vec::new(),
        next: vec!["kubectl safe-drain uncordon worker-3".into()],
    }
}

/// What a reporter writes: stdout, and stderr under a line.
fn told(color: ColorChoice, format: Option<Format>, dry_run: DryRun) -> String {
    let (mut printer, captured) = Printer::captured(color);
    let mut reporter = Reporter::of_dry_run(&mut printer, format, dry_run);
    for event in events() {
        reporter.tell(Some("2026-01-01T12:00:00.25Z".parse().unwrap()), &event);
    }
    reporter.end(&result()).unwrap();
    format!("{}---- stderr\n{}", captured.out(), captured.err())
}

#[test]
fn for_people() {
    insta::assert_snapshot!(told(ColorChoice::Never, None, DryRun::None));
}

#[test]
fn for_people_in_colour() {
    insta::assert_snapshot!(told(ColorChoice::Always, None, DryRun::None).replace('\u{1b}', "ESC"));
}

#[test]
fn for_programs() {
    insta::assert_snapshot!(told(ColorChoice::Never, Some(Format::Json), DryRun::None));
}

#[test]
fn for_programs_in_yaml() {
    let told = told(ColorChoice::Never, Some(Format::Yaml), DryRun::Client);
    let documents: Vec<&str> = told.split("---\n").take(4).collect();
    insta::assert_snapshot!(documents.join("---\n"));
}
