//! How rollouts stand, as people see it.

use disruption::rollout::document::{ChangedPath, FindingClass, RolloutWorkload};
use plugin::printer::{ColorChoice, Printer};

use super::*;

fn finding(code: &str, class: FindingClass, pod: Option<&str>, message: &str) -> RolloutFinding {
    RolloutFinding {
        code: code.into(),
        class,
        pod: pod.map(str::to_owned),
        container: Some("web".into()),
        init: false,
        count: 1,
        message: message.into(),
    }
}

fn complete() -> RolloutStatus {
    RolloutStatus {
        api_version: "disruption/v1alpha1".into(),
        kind: "RolloutStatus".into(),
        workload: RolloutWorkload {
            kind: "Deployment".into(),
            namespace: "shop".into(),
            name: "web".into(),
            uid: "u".into(),
        },
        revision: Some(2),
        version: Some("6d4b9f5c7".into()),
        phase: RolloutPhase::Complete,
        counts: RolloutPods { desired: 3, updated: 3, ready: 3, available: 3, old: 0, terminating: 0 },
        message: "3 of 3 pods updated and available".into(),
        findings: Vec::new(),
        cause: None,
        undo_target: Some(UndoTarget { revision: 1, why: "revision 1: the newest".into(), diff: "-a\n+b\n".into() }),
        next: Vec::new(),
        exit_code: 0,
    }
}

fn progressing() -> RolloutStatus {
    let creating = |pod| finding("Creating", FindingClass::Timed, Some(pod), "container \"web\" is being created");
    RolloutStatus {
        phase: RolloutPhase::Progressing,
        counts: RolloutPods { desired: 3, updated: 2, ready: 0, available: 0, old: 2, terminating: 1 },
        message: "2 of 3 pods updated, 0 ready, 0 available, 2 old, 1 stopping".into(),
        findings: vec![creating("web-a"), creating("web-b"), creating("web-c")],
        next: vec!["kubectl rollout-guard -n shop deployment/web".into()],
        exit_code: 6,
        ..complete()
    }
}

fn stalled() -> RolloutStatus {
    let message = "image \"shop/web:2\" not found";
    let not_found = |pod| finding("ImageNotFound", FindingClass::Fatal, Some(pod), message);
    let (before, after) = (Some("shop/web:1".into()), Some("shop/web:2".into()));
    RolloutStatus {
        phase: RolloutPhase::Stalled,
        message: format!("1 of 3 pods updated, 0 ready, 0 available, 3 old: {message}"),
        findings: vec![
            not_found("web-a"),
            not_found("web-b"),
            finding("NodePressure", FindingClass::Environment, None, "node \u{1b}[2Jworker-3 is short of memory"),
        ],
        cause: Some(RolloutCause {
            code: "ImageNotFound".into(),
            class: FindingClass::Fatal,
            message: message.into(),
            changed: Some(true),
            paths: vec![ChangedPath { path: "spec.containers[web].image".into(), before, after }],
        }),
        undo_target: Some(UndoTarget {
            revision: 1,
            why: "revision 1: 3 of 3 pods available now".into(),
            diff: "--- before/deployment/web\n+++ after/deployment/web\n@@ -1 +1 @@\n-  image: shop/web:2\n+  image: shop/web:1\n".into(),
        }),
        next: vec!["kubectl rollout-guard -n shop undo deployment/web".into()],
        exit_code: 9,
        ..progressing()
    }
}

fn blocked() -> RolloutStatus {
    let cause = RolloutCause {
        code: "Paused".into(),
        class: FindingClass::Blocked,
        message: "the Deployment is paused".into(),
        changed: None,
        paths: Vec::new(),
    };
    RolloutStatus {
        phase: RolloutPhase::Blocked,
        findings: vec![finding("Paused", FindingClass::Blocked, None, &cause.message)],
        cause: Some(cause),
        undo_target: None,
        next: vec!["kubectl -n shop rollout resume deployment/web".into()],
        exit_code: 3,
        ..progressing()
    }
}

/// In a first rollout there is nothing to compare with and nothing to go back to.
fn first_rollout() -> RolloutStatus {
    let mut status = stalled();
    status.revision = Some(1);
    status.cause.iter_mut().for_each(|cause| (cause.changed, cause.paths) = (None, Vec::new()));
    RolloutStatus { undo_target: None, next: vec!["kubectl -n shop rollout pause deployment/web".into()], ..status }
}

fn shown_in(color: ColorChoice, status: &RolloutStatus) -> String {
    let (mut printer, captured) = Printer::captured(color);
    render(&mut printer, status);
    format!("{}---- stderr\n{}", captured.out(), captured.err())
}

#[test]
fn for_people() {
    let all = [complete(), progressing(), stalled(), blocked(), first_rollout()];
    let shown: Vec<String> = all.iter().map(|status| shown_in(ColorChoice::Never, status)).collect();
    insta::assert_snapshot!(shown.join("========\n"));
}

#[test]
fn for_people_in_colour() {
    insta::assert_snapshot!(shown_in(ColorChoice::Always, &stalled()).replace('\u{1b}', "ESC"));
}
