//! Scenes in virtual time, to the second.

use jiff::SignedDuration;

use super::sim::{Habits, Meddling, Sim, options};
use crate::{
    action::{RemovalAnswer, Trouble, TroubleKind},
    fixture::{NAMESPACE, now},
    model::{
        CHANGE_CAUSE_ANNOTATION,
        RolloutKind::{self, Deployment, StatefulSet},
    },
    rollout::{
        document::RolloutOutcome::{self, Complete, Gone, NotUndone, Superseded, UndoFailed, Undone, Unfinished},
        event::Event,
        machine::Task,
        options::{GuardOptions, OnStall, UndoOn},
        target::bad_versions,
    },
};

/// What comes of a rollout of three pods from one image to the other: outcome, exit code, accepted changes, seconds.
#[track_caller]
fn check(kind: RolloutKind, images: &[&str], expected: (RolloutOutcome, u8, &[&str], i64)) {
    check_with(kind, images, options(), Habits::default(), &[], expected);
}

#[track_caller]
fn check_with(
    kind: RolloutKind,
    images: &[&str],
    options: GuardOptions,
    habits: Habits,
    meddling: &[(i64, Meddling)],
    (outcome, exit, accepted, seconds): (RolloutOutcome, u8, &[&str], i64),
) -> Sim {
    let mut sim = Sim::new(kind, 3, images, options, habits);
    let began = sim.now;
    for (after, what) in meddling {
        sim.meddle(*after, *what);
    }
    let result = sim.run();
    let told: Vec<&str> = sim.accepted.iter().map(|(_, image)| image.as_str()).collect();
    let took = sim.now.duration_since(began).as_secs();
    assert_eq!(
        (result.rollouts[0].outcome, result.exit_code, told.as_slice(), took),
        (outcome, exit, accepted, seconds),
        "{}",
        result.reason
    );
    assert_eq!(result.exit_code, sim.exit().code());
    sim
}

#[test]
fn what_is_good_is_left_alone() {
    check(Deployment, &["web:1", "web:2"], (Complete, 0, &[], 6));
    check(StatefulSet, &["web:1", "web:2"], (Complete, 0, &[], 6));
    // Nothing to undo it to, and no reason.
    check(Deployment, &["web:1"], (Complete, 0, &[], 5));
    check(Deployment, &["web:1", "web:slow"], (Complete, 0, &[], 185));
    // It fails twice, and then is well.
    check(Deployment, &["web:1", "web:heals"], (Complete, 0, &[], 9));
}

#[test]
fn what_is_to_blame_is_undone() {
    let sim = check_with(
        Deployment,
        &["web:1", "web:missing"],
        options(),
        Habits::default(),
        &[],
        (Undone, 7, &["web:1"], 6),
    );
    assert_eq!(sim.fewest_ready, 3, "nothing went down");
    check(Deployment, &["web:1", "web:ends"], (Undone, 7, &["web:1"], 9));
    // Twelve seconds until it ends: the controller calls it complete long before.
    check(Deployment, &["web:1", "web:late"], (Complete, 0, &[], 5));
    let patient = || {
        let mut options = options();
        options.limits.stable_for = None;
        options
    };
    check_with(Deployment, &["web:1", "web:late"], patient(), Habits::default(), &[], (Undone, 7, &["web:1"], 69));
    // The progress deadline's ten minutes: nothing fails, it is just not ready.
    check(Deployment, &["web:1", "web:never"], (Undone, 7, &["web:1"], 605));
    // Two minutes without structural progress since the first pod was ready.
    check(Deployment, &["web:1", "web:flaps"], (Undone, 7, &["web:1"], 140));
}

/// What lies with the environment condemns no version, even where an undo of it was asked for.
#[test]
fn only_what_is_proven_bad_is_remembered() {
    #[track_caller]
    fn check_remembered(image: &str, undo_on: UndoOn, seconds: i64, is_remembered: bool) {
        let options = GuardOptions { undo_on, ..options() };
        let expected: (RolloutOutcome, u8, &[&str], i64) = (Undone, 7, &["web:1"], seconds);
        let sim = check_with(Deployment, &["web:1", image], options, Habits::default(), &[], expected);
        let rollout = sim.world.rollout.as_ref().unwrap();
        assert_eq!(!bad_versions(rollout).is_empty(), is_remembered, "{image}");
        assert!(rollout.annotations[CHANGE_CAUSE_ANNOTATION].starts_with("rollout-guard: undo to revision 1 ("));
    }
    check_remembered("web:missing", UndoOn::Version, 6, true);
    check_remembered("web:missing", UndoOn::Any, 6, true);
    check_remembered("web:busy", UndoOn::Any, 305, false);
    check(Deployment, &["web:1", "web:busy"], (NotUndone, 9, &[], 300));
}

#[test]
fn not_back_to_what_is_bad() {
    // The last good one is not the one before.
    check(Deployment, &["web:1", "web:2", "web:missing"], (Undone, 7, &["web:2"], 6));
}

/// Who asks for an undo is told beforehand, as long as nothing is done.
#[test]
fn what_was_applied_must_be_changed_in_its_file_too() {
    #[track_caller]
    fn check_notes(images: &[&str], task: Task, expected: &[&str]) {
        let mut sim = Sim::new(Deployment, 3, images, options(), Habits::default());
        let rollout = sim.world.rollout.as_mut().unwrap();
        rollout.annotations.insert("kubectl.kubernetes.io/last-applied-configuration".into(), "{}".into());
        sim.begin(options(), task);
        assert_eq!(sim.run().rollouts[0].outcome, Undone);
        assert_eq!(notes(&sim), expected);
    }
    let note = "it was made with 'kubectl apply', which will not know of the undo: change the file that you apply, too";
    check_notes(&["web:1", "web:missing"], Task::Guard, &[note]);
    check_notes(&["web:1", "web:2", "web:2"], Task::Undo { to: 1 }, &[]);
}

fn notes(sim: &Sim) -> Vec<&str> {
    let notes = sim.events.iter().filter_map(|(_, event)| match event {
        Event::Noted { message, .. } => Some(message.as_str()),
        _ => None,
    });
    notes.collect()
}

#[test]
fn an_ordered_stateful_set_is_unblocked() {
    let sim = check_with(
        StatefulSet,
        &["web:1", "web:missing"],
        options(),
        Habits::default(),
        &[],
        (Undone, 7, &["web:1"], 7),
    );
    let deleted: Vec<(&str, bool)> = sim.deleted.iter().map(|(_, name, ready)| (name.as_str(), *ready)).collect();
    assert_eq!(deleted, [("web-2", false)]);
}

#[test]
fn what_is_asked_for_is_done() {
    let report = GuardOptions { on_stall: OnStall::Report, ..options() };
    check_with(Deployment, &["web:1", "web:missing"], report, Habits::default(), &[], (NotUndone, 9, &[], 1));
    let pause = GuardOptions { on_stall: OnStall::Pause, ..options() };
    let sim = check_with(
        Deployment,
        &["web:1", "web:missing"],
        pause,
        Habits::default(),
        &[],
        (NotUndone, 9, &["web:missing"], 1),
    );
    assert!(sim.world.rollout.as_ref().is_some_and(|rollout| rollout.is_paused));
    // A first rollout has nothing to go back to.
    check(Deployment, &["web:missing"], (NotUndone, 9, &[], 1));
    let any = GuardOptions { undo_on: UndoOn::Any, ..options() };
    check_with(Deployment, &["web:missing"], any, Habits::default(), &[], (NotUndone, 9, &[], 1));
    // The target's ConfigMap is gone.
    let habits = Habits { has_references: false, ..Habits::default() };
    check_with(Deployment, &["web:1", "web:missing"], options(), habits, &[], (NotUndone, 9, &[], 1));
    let timeout = GuardOptions { timeout: Some(SignedDuration::from_secs(30)), ..options() };
    check_with(Deployment, &["web:1", "web:slow"], timeout, Habits::default(), &[], (Unfinished, 6, &[], 30));
}

#[test]
fn what_others_do_meanwhile() {
    #[track_caller]
    fn meddled(images: &[&str], after: i64, what: Meddling, expected: (RolloutOutcome, u8, &[&str], i64)) {
        check_with(Deployment, images, options(), Habits::default(), &[(after, what)], expected);
    }
    let bad = ["web:1", "web:missing"];
    meddled(&bad, 700, Meddling::Roll("web:2"), (Superseded, 10, &[], 0));
    meddled(&bad, 1500, Meddling::Roll("web:2"), (Superseded, 10, &["web:1"], 1));
    meddled(&bad, 700, Meddling::DeleteWorkload, (Gone, 10, &[], 0));
    meddled(&bad, 700, Meddling::Interrupt, (Unfinished, 130, &[], 0));
    meddled(&bad, 2000, Meddling::Interrupt, (UndoFailed, 130, &["web:1"], 2));
    meddled(&["web:1", "web:2"], 300, Meddling::Scale(5), (Complete, 0, &[], 6));
    meddled(&["web:1", "web:2"], 2500, Meddling::KillPod(0), (Complete, 0, &[], 8));
}

#[test]
fn what_is_paused_is_not_undone() {
    // Its pods end after twelve seconds, and somebody pauses it before: nothing that is written would be rolled out.
    #[track_caller]
    fn check_next(images: &[&str], why: &str, next: &[&str]) {
        let mut patient = options();
        patient.limits.stable_for = None;
        let paused = [(6000, Meddling::Pause)];
        let sim = check_with(Deployment, images, patient, Habits::default(), &paused, (NotUndone, 9, &[], 39));
        let result = sim.guard.result();
        let commands: Vec<String> =
            result.next.iter().map(|next| next.replace(&format!(" -n {NAMESPACE}"), "")).collect();
        assert_eq!(commands, next, "{}", result.reason);
        assert!(result.reason.ends_with(&format!("; not undone: {why}")), "{}", result.reason);
    }
    let (status, resume) = ("kubectl rollout-guard status deployment/web", "kubectl rollout resume deployment/web");
    check_next(
        &["web:1", "web:late"],
        "the rollout is paused",
        &[status, resume, "kubectl rollout-guard undo deployment/web"],
    );
    let first = "this is the first rollout: there is no earlier revision";
    check_next(&["web:late"], first, &[status, "roll out a version that works", resume]);
}

#[test]
fn what_takes_long_is_told_once() {
    let timeout = GuardOptions { timeout: Some(SignedDuration::from_secs(30)), ..options() };
    let sim =
        check_with(Deployment, &["web:1", "web:never"], timeout, Habits::default(), &[], (Unfinished, 6, &[], 30));
    let told: Vec<i64> = sim
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::FindingSeen { .. }))
        .map(|(at, _)| at.duration_since(now()).as_secs())
        .collect();
    assert_eq!(told, [10]);
    let reason = sim.guard.result().reason;
    assert!(reason.contains("not ready"), "the last word says what it waited for: {reason}");
}

#[test]
fn what_ends_early_names_what_it_waited_for() {
    #[track_caller]
    fn check_cause(
        image: &'static str,
        seconds: i64,
        ends: (i64, Meddling),
        exit: u8,
        expected: Option<(&str, Option<bool>)>,
    ) {
        let timeout = GuardOptions { timeout: Some(SignedDuration::from_secs(seconds)), ..options() };
        let took = seconds.min(ends.0 / 1000);
        let expected_end = (Unfinished, exit, &[] as &[&str], took);
        let sim = check_with(Deployment, &["web:1", image], timeout, Habits::default(), &[ends], expected_end);
        let result = sim.guard.result();
        let cause = result.rollouts[0].cause.as_ref();
        assert_eq!(cause.map(|cause| (cause.code.as_str(), cause.changed)), expected, "{}", result.reason);
    }
    let never = (3_600_000, Meddling::Nothing);
    let (waits, restarted) = (Some(("NotReady", Some(true))), Some(("Restarted", Some(true))));
    check_cause("web:never", 30, never, 6, waits);
    check_cause("web:never", 30, (20_000, Meddling::Interrupt), 130, waits);
    // Complete for the controller, and not yet for long enough.
    check_cause("web:heals", 6, never, 6, restarted);
    check_cause("web:2", 3, never, 6, None);
}

#[test]
fn an_undo_that_is_reverted_is_not_repeated() {
    let habits = Habits { reverts_after: Some(2000), ..Habits::default() };
    check_with(Deployment, &["web:1", "web:missing"], options(), habits, &[], (UndoFailed, 8, &["web:1"], 3));
}

#[test]
fn what_is_not_seen_is_no_verdict() {
    // The watch of the pods is lost before the pull fails, and comes back a minute later.
    let meddling = [(100, Meddling::LoseWatch(2)), (60_000, Meddling::RestoreWatches)];
    check_with(
        Deployment,
        &["web:1", "web:missing"],
        options(),
        Habits::default(),
        &meddling,
        (Undone, 7, &["web:1"], 66),
    );
}

#[test]
fn a_right_that_is_lost_is_named_with_what_stands() {
    #[track_caller]
    fn check_reason(image: &str, after: i64, expected: (RolloutOutcome, u8, &[&str], i64), reason: &str) {
        let refused = [(after, Meddling::RefuseWatch)];
        let sim = check_with(Deployment, &["web:1", image], options(), Habits::default(), &refused, expected);
        let result = sim.guard.result();
        assert_eq!(result.reason, format!("deployment/web: forbidden to watch it{reason}: you cannot watch"));
        assert_eq!(result.next, [format!("kubectl auth can-i watch deployments.apps -n {NAMESPACE}")]);
    }
    check_reason("web:2", 700, (Unfinished, 11, &[], 0), ": nothing was undone");
    let brought_back = ": revision 1 was brought back, and is not verified";
    check_reason("web:missing", 2000, (UndoFailed, 11, &["web:1"], 2), brought_back);
}

#[test]
fn a_right_that_is_lost_for_one_kind_ends_no_guard_of_another() {
    let mut sim = Sim::new(Deployment, 3, &["web:1", "web:missing"], options(), Habits::default());
    sim.begin_beside_unwatched(options());
    let result = sim.run();
    let ends: Vec<_> = result.rollouts.iter().map(|end| (end.workload.name.as_str(), end.outcome)).collect();
    assert_eq!(ends, [("web", Undone), ("db", Unfinished)], "{}", result.reason);
    assert_eq!(result.exit_code, 11);
    assert!(
        result.reason.ends_with("; statefulset/db: forbidden to watch it: nothing was undone: you cannot watch"),
        "{}",
        result.reason
    );
    let asks: Vec<&String> = result.next.iter().filter(|command| command.contains("can-i watch")).collect();
    assert_eq!(asks, [&format!("kubectl auth can-i watch statefulsets.apps -n {NAMESPACE}")]);
}

#[test]
fn a_version_that_answers_nobody() {
    let probed = || GuardOptions { probes: vec!["http://web".into()], ..options() };
    let ends = |images: &[&str], expected: (RolloutOutcome, u8, &[&str], i64)| {
        let sim = check_with(Deployment, images, probed(), Habits::default(), &[], expected);
        sim.guard.result().rollouts[0].probes[0].clone()
    };
    let good = ends(&["web:1", "web:2"], (Complete, 0, &[], 6));
    assert_eq!((good.requests > 5, good.failures, good.longest_gap_seconds), (true, 0, 0.0));
    // Ten seconds after the last pod that answered is gone.
    let bad = ends(&["web:1", "web:mute"], (Undone, 7, &["web:1"], 17));
    assert!(bad.failures >= 20 && (10.0..12.0).contains(&bad.longest_gap_seconds), "{bad:?}");
}

/// One that nobody ever answered is no reason to undo anything, and no sign that a version is good.
#[test]
fn a_probe_that_nobody_ever_answered() {
    let nowhere = |undo_on: UndoOn, images: &[&str], expected: (RolloutOutcome, u8, &[&str], i64)| {
        let options = GuardOptions { probes: vec!["http://nowhere".into()], undo_on, ..options() };
        check_with(Deployment, images, options, Habits::default(), &[], expected)
    };
    for undo_on in [UndoOn::Version, UndoOn::Any] {
        let sim = nowhere(undo_on, &["web:1", "web:2"], (NotUndone, 9, &[], 11));
        let result = sim.guard.result();
        assert_eq!(
            result.reason,
            "deployment/web: all pods are Ready, but no request to http://nowhere succeeded: it answers 503; not known \
             to be good, and not undone"
        );
        assert_eq!(result.next[0], "see whether the probe's URL is right and can be reached from here");
        let cause = result.rollouts[0].cause.clone().unwrap();
        assert_eq!((cause.code.as_str(), cause.changed), ("ProbeFailed", None));
        assert_eq!(notes(&sim).len(), 1, "{:?}", notes(&sim));
    }
    // Whoever waits for a slow version is not hurried by it.
    nowhere(UndoOn::Version, &["web:1", "web:slow"], (NotUndone, 9, &[], 190));
    nowhere(UndoOn::Version, &["web:1", "web:missing"], (UndoFailed, 8, &["web:1"], 11));
}

#[test]
fn an_undo_that_somebody_asked_for_has_its_time() {
    #[track_caller]
    fn undo(images: &[&str], habits: Habits, seconds: i64) -> (RolloutOutcome, u8, String, i64) {
        let options = GuardOptions { timeout: Some(SignedDuration::from_secs(seconds)), ..options() };
        let mut sim = Sim::new(Deployment, 3, images, options.clone(), habits);
        let began = sim.now;
        sim.begin(options, Task::Undo { to: 1 });
        let result = sim.run();
        let took = sim.now.duration_since(began).as_secs();
        (result.rollouts[0].outcome, result.exit_code, result.reason, took)
    }
    // Asked for once more, so that it is rolled out by now.
    let done = undo(&["web:1", "web:2", "web:2"], Habits::default(), 30);
    assert_eq!(done, (Undone, 0, String::new(), 6));
    // What comes back takes a minute a pod.
    let slow = undo(&["web:slow", "web:1", "web:1"], Habits::default(), 30);
    let reason = "deployment/web: the time is over: revision 1 was brought back, and is not verified: \
                  1 of 3 pods updated, 0 ready, 0 available, 3 old: container \"web\" is not ready (pod web-7)";
    assert_eq!(slow, (UndoFailed, 8, reason.to_owned(), 30));
    // The server never says what became of it.
    let (outcome, exit, reason, took) =
        undo(&["web:1", "web:2", "web:2"], Habits { faults: 400, ..Habits::default() }, 3);
    assert_eq!((outcome, exit, took), (UndoFailed, 8, 3));
    assert_eq!(
        reason,
        "deployment/web: the time is over while revision 1 was asked for: whether it is back is not known"
    );
}

/// Time alone completes it, and nothing happens meanwhile: the old pods' node does not answer.
#[test]
fn what_time_alone_changes_is_looked_at() {
    let habits = Habits { lingers: true, ..Habits::default() };
    let sim = check_with(Deployment, &["web:1", "web:2"], options(), habits, &[], (Complete, 0, &[], 97));
    let told: Vec<(i64, &str)> = sim
        .events
        .iter()
        .filter_map(|(at, event)| match event {
            Event::FindingSeen { finding, .. } => Some((at.duration_since(now()).as_secs(), finding.code.as_str())),
            _ => None,
        })
        .collect();
    // Half a minute to stop in, and half a minute more.
    assert_eq!(told, [(62, "TerminatingStuck")]);
}

#[test]
fn a_stuck_pod_that_may_not_be_deleted() {
    let refused = |deletions: Vec<RemovalAnswer>, expected: (RolloutOutcome, u8, &[&str], i64)| {
        let habits = Habits { deletions, ..Habits::default() };
        check_with(StatefulSet, &["web:1", "web:missing"], options(), habits, &[], expected)
    };
    for answer in [RemovalAnswer::Forbidden("no right".into()), RemovalAnswer::Denied("no right".into())] {
        let sim = refused(vec![answer], (UndoFailed, 8, &["web:1"], 1));
        let result = sim.guard.result();
        assert!(
            result.reason.ends_with("undone to revision 1, but pod web-2 must be deleted by hand: no right"),
            "{}",
            result.reason
        );
        assert_eq!(result.next, [format!("kubectl -n {NAMESPACE} delete pod web-2")]);
    }
    // Nobody decided, or it was another one by then: it is asked for again.
    let trouble = Trouble { kind: TroubleKind::ServerError, message: "later".into(), retry_after: None };
    let sim = refused(vec![RemovalAnswer::Trouble(trouble)], (Undone, 7, &["web:1"], 8));
    assert_eq!(sim.deleted.len(), 1);
}

/// The watch has told by then that the controller has seen the change, and nothing more happens: its pod is stuck.
#[test]
fn an_answer_that_comes_late_takes_nothing_back() {
    let habits = Habits { answers_after: 500, ..Habits::default() };
    check_with(StatefulSet, &["web:1", "web:missing"], options(), habits, &[], (Undone, 7, &["web:1"], 7));
}
