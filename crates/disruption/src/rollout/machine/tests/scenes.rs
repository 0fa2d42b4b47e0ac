//! Scenes in virtual time, to the second.

use jiff::SignedDuration;

use super::sim::{Habits, Meddling, Sim, options};
use crate::{
    fixture::now,
    model::RolloutKind::{self, Deployment, StatefulSet},
    rollout::{
        document::RolloutOutcome::{self, Complete, Gone, NotUndone, Superseded, UndoFailed, Undone, Unfinished},
        event::Event,
        options::{GuardOptions, OnStall, UndoOn},
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

#[test]
fn not_back_to_what_is_bad() {
    // The last good one is not the one before.
    check(Deployment, &["web:1", "web:2", "web:missing"], (Undone, 7, &["web:2"], 6));
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
    let mut patient = options();
    patient.limits.stable_for = None;
    let paused = [(6000, Meddling::Pause)];
    let sim =
        check_with(Deployment, &["web:1", "web:late"], patient, Habits::default(), &paused, (NotUndone, 9, &[], 39));
    let result = sim.guard.result();
    assert!(result.reason.ends_with("; not undone: the rollout is paused"), "{}", result.reason);
    assert!(result.next.iter().any(|next| next.ends_with("rollout resume deployment/web")), "{:?}", result.next);
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
    // One that nobody ever answered is no reason to undo anything, but what came back is not verified by it.
    let nowhere = |images: &[&str], expected: (RolloutOutcome, u8, &[&str], i64)| {
        let options = GuardOptions { probes: vec!["http://nowhere".into()], ..options() };
        check_with(Deployment, images, options, Habits::default(), &[], expected);
    };
    nowhere(&["web:1", "web:2"], (Complete, 0, &[], 6));
    nowhere(&["web:1", "web:missing"], (UndoFailed, 8, &["web:1"], 11));
}
