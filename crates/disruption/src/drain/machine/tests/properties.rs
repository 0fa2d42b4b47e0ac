//! What holds in every drain, whatever happens.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use proptest::prelude::*;

use super::sim::{Habits, Meddling, RUN, Sim, names, want_what_is_there};
use crate::{
    drain::{
        document::{DrainResult, NodeOutcome, PodOutcome},
        options::{Execution, OnBlocked, OnFailure, Options},
        plan,
    },
    event::Event,
    fixture::any_world,
    journal::{self, Record},
    model::Uid,
    snapshot::Snapshot,
};

/// Everything that chance decides.
#[expect(clippy::struct_excessive_bools, reason = "each is one coin")]
#[derive(Debug, Clone)]
struct Chances {
    seed: u64,
    /// Whether it has timeouts.
    is_timed: bool,
    both: bool,
    wait: bool,
    unlimited: bool,
    concurrency: usize,
    parallel: usize,
    lag: i64,
    faults: u64,
    starts: bool,
    stops: bool,
    cordoned: bool,
    on_failure: usize,
    meddling: Vec<(i64, usize, usize)>,
}

fn chances() -> impl Strategy<Value = Chances> {
    let flags = any::<[bool; 6]>();
    let numbers = (1..6_usize, 0..3_usize, 0..400_i64, 0..40_u64, 0..3_usize);
    let meddling = proptest::collection::vec((0..8000_i64, 0..18_usize, 0..8_usize), 0..5);
    (any::<u64>(), flags, numbers, meddling).prop_map(|(seed, flags, numbers, meddling)| {
        let [both, wait, unlimited, sluggish, stuck, cordoned] = flags;
        let (concurrency, parallel, lag, faults, on_failure) = numbers;
        let (starts, stops) = (!sluggish || seed % 3 > 0, !stuck || seed % 5 > 0);
        Chances {
            seed,
            is_timed: true,
            both,
            wait,
            unlimited,
            concurrency,
            parallel,
            lag,
            faults,
            starts,
            stops,
            cordoned,
            on_failure,
            meddling,
        }
    })
}

fn meddling(kind: usize, number: usize) -> Meddling {
    match kind {
        0 => Meddling::DeletePod(number),
        1 => Meddling::ScaleDown(number),
        2 => Meddling::DeleteOwner(number),
        3 => Meddling::Uncordon,
        4 => Meddling::TakeOver,
        5 => Meddling::DeleteNode,
        6 => Meddling::TightenBudget(number),
        7 => Meddling::RemoveBudget(number),
        8 => Meddling::AddPod,
        9 => Meddling::LoseWatches,
        10 => Meddling::RestoreWatches,
        11 => Meddling::Interrupt,
        12 => Meddling::LoseWatch(number),
        13 => Meddling::Relist(number),
        14 => Meddling::LoosenBudget(number),
        15 => Meddling::Sicken(number),
        16 => Meddling::Silence(number),
        _ => Meddling::Nothing,
    }
}

fn sim(world: Snapshot, chances: &Chances) -> Sim {
    let mut world = world;
    want_what_is_there(&mut world);
    if chances.cordoned {
        world.nodes[0] = world.nodes[0].clone().cordoned();
    }
    let timed = |seconds| chances.is_timed.then(|| Duration::from_secs(seconds));
    let options = Options {
        force: true,
        delete_emptydir_data: true,
        timeout: timed(120),
        max_unavailable: if chances.unlimited {
            crate::drain::options::MaxUnavailable::Unlimited
        } else {
            crate::drain::options::MaxUnavailable::Auto
        },
        ..Options::default()
    };
    let execution = Execution {
        concurrency: chances.concurrency.try_into().unwrap(),
        parallel: chances.parallel.try_into().ok(),
        deadline: timed(300),
        replacement_timeout: timed(30),
        on_blocked: if chances.wait { OnBlocked::Wait } else { OnBlocked::Refuse },
        on_failure: [OnFailure::Auto, OnFailure::Uncordon, OnFailure::Keep][chances.on_failure],
        take_over: false,
    };
    let habits = Habits {
        start: chances.starts.then(|| SignedDuration::from_millis(700)),
        stop: chances.stops.then(|| SignedDuration::from_millis(400)),
        lag: chances.lag,
        faults: chances.faults,
        ..Habits::default()
    };
    let nodes = if chances.both { "n1 n2" } else { "n1" };
    let sim = Sim::new(world, nodes, &options, execution).with_habits(habits, chances.seed);
    let mut sim =
        chances.meddling.iter().fold(sim, |sim, (at, kind, number)| sim.meddle(*at, meddling(*kind, *number)));
    // Whatever connection was lost comes back.
    sim = sim.meddle(20_000, Meddling::RestoreWatches);
    sim
}

/// What must hold at the end of every drain.
fn check_end(sim: &Sim, result: &DrainResult, chances: &Chances) -> Result<(), TestCaseError> {
    let mut words: BTreeMap<String, usize> = BTreeMap::new();
    let mut node_words: BTreeMap<String, usize> = BTreeMap::new();
    for (_, event) in &sim.events {
        match event {
            Event::PodEnded { uid, .. } => *words.entry(uid.0.clone()).or_default() += 1,
            Event::NodeEnded { node, .. } => *node_words.entry(node.0.clone()).or_default() += 1,
            _ => {}
        }
    }
    prop_assert!(words.values().all(|count| *count == 1), "one final word a pod: {words:?}");
    prop_assert!(result.nodes.iter().all(|node| node_words.get(&node.name) == Some(&1)), "{node_words:?}");
    let mut uids: Vec<&str> = result.pods.iter().map(|pod| pod.uid.as_str()).collect();
    uids.sort_unstable();
    uids.dedup();
    prop_assert_eq!(uids.len(), result.pods.len(), "each pod once");
    prop_assert_eq!(result.exit_code == 0, result.reason.is_empty(), "{}", result.reason);
    for node in &result.nodes {
        let Some(truth) = sim.node(&node.name) else { continue };
        let record: Option<Record> = truth.record.as_deref().map(|text| serde_json::from_str(text).unwrap());
        let is_settled = record.as_ref().is_none_or(|record| record.finished.is_some() || record.run != RUN);
        prop_assert!(is_settled || result.next.iter().any(|next| next.contains("repair")), "{node:?} {record:?}");
        let standing = journal::standing(truth, sim.now);
        prop_assert!(!matches!(&standing, journal::Standing::Dead(dead) if dead.run == RUN), "{standing:?}");
        let others = chances.meddling.iter().any(|(_, kind, _)| matches!(kind, 3..=5));
        let left = result.pods.iter().filter(|pod| pod.node == node.name);
        let lost = left.clone().any(|pod| matches!(pod.outcome, PodOutcome::Evicted | PodOutcome::Deleted));
        let asked = sim.accepted.iter().any(|(_, uid)| left.clone().any(|pod| pod.uid == uid.0));
        if others || !result.next.iter().all(|next| !next.contains("repair")) {
            continue;
        }
        let was_cordoned = chances.cordoned && node.name == "n1";
        match node.outcome {
            NodeOutcome::Drained => prop_assert!(truth.unschedulable),
            NodeOutcome::Uncordoned => prop_assert!(!truth.unschedulable && !was_cordoned),
            NodeOutcome::LeftCordoned => prop_assert!(truth.unschedulable),
            NodeOutcome::NotStarted => prop_assert_eq!(truth.unschedulable, was_cordoned),
        }
        prop_assert!(!was_cordoned || truth.unschedulable, "cordoned before, so still");
        let failed = !matches!(node.outcome, NodeOutcome::Drained | NodeOutcome::NotStarted);
        if failed && chances.on_failure == 0 && !lost && !asked && !was_cordoned && chances.faults == 0 {
            prop_assert_eq!(node.outcome, NodeOutcome::Uncordoned, "none has left: {:?}", result);
        }
        let appeared = chances.meddling.iter().any(|(_, kind, _)| *kind == 8);
        if node.outcome == NodeOutcome::Drained && !appeared {
            let there = sim.world.pods.iter().filter(|pod| pod.node.as_ref().is_some_and(|on| on.0 == node.name));
            let stays = there.clone().filter(|pod| {
                result.pods.iter().all(|known| known.uid != pod.uid.0 || known.outcome != PodOutcome::Skipped)
            });
            prop_assert_eq!(stays.count(), 0, "a drained node is empty: {:?}", result);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6144, ..ProptestConfig::default() })]

    /// The simulation itself asserts: no second removal in flight for a UID, none after the interrupt, none of a UID
    /// that is known to be replaced or terminating, and no busy loop.
    #[test]
    fn every_drain_ends_well(world in any_world(), chances in chances()) {
        let mut sim = sim(world, &chances);
        prop_assert!(sim.run(600), "it ends; it waits for {:?}", sim.drain.told);
        let result = sim.drain.result();
        check_end(&sim, &result, &chances)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2048, ..ProptestConfig::default() })]

    /// Where nobody else meddles, nothing falls below what it must keep, however slow the watches are and whatever
    /// requests fail; and where they are fast and none fails, all goes that the plan lets go.
    #[test]
    fn a_calm_drain_keeps_every_promise(world in any_world(), chances in chances()) {
        let chances = Chances {
            meddling: Vec::new(), starts: true, stops: true, unlimited: false, wait: true, ..chances
        };
        let is_fast = chances.seed.is_multiple_of(2);
        // A plan's waves are those of all nodes at once.
        let chances = if is_fast { Chances { lag: 0, faults: 0, parallel: 0, ..chances } } else { chances };
        let mut sim = sim(world, &chances);
        let world = sim.world.clone();
        let options = Options { force: true, delete_emptydir_data: true, ..Options::default() };
        let targets = names(if chances.both { "n1 n2" } else { "n1" });
        let plan = plan::plan(&world, &targets, &options).unwrap();
        let has_budget = |uid: &Uid| plan.pods.iter().any(|planned| {
            plan.ledger.gate(planned.pod).is_some_and(|gate| gate.uid == uid)
                && plan.ledger.budgets_of(planned.pod).next().is_some()
        });
        prop_assert!(sim.run(600));
        for account in plan.ledger.implied().filter(|account| !has_budget(account.uid)) {
            let least = account.target.min(account.ready) - account.allowance.unwrap_or(i32::MAX);
            for (at, owner, ready) in &sim.ready_after {
                prop_assert!(owner != account.uid || *ready >= least, "{:?} has {} at {}", account, ready, at);
            }
        }
        // Here nobody plays the Job controller.
        let has_jobs = world.pods.iter().any(|pod| pod.controller.as_ref().is_some_and(|owner| owner.kind == "Job"));
        let result = sim.drain.result();
        for planned in plan.pods.iter().filter(|planned| planned.wave().is_some() && is_fast && !has_jobs) {
            let word = result.pods.iter().find(|pod| pod.uid == planned.pod.uid.0).unwrap();
            // The StatefulSet controller removes finished pods itself, perhaps before us.
            let is_removed = planned.pod.is_finished() && word.outcome == PodOutcome::Gone;
            prop_assert!(is_removed || word.outcome == PodOutcome::Evicted, "{:?} of {:?}", word, result);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1536, ..ProptestConfig::default() })]

    /// Without any timeout it ends, too, once budgets let everything go and what runs becomes Ready.
    #[test]
    fn a_patient_drain_ends_once_it_can(world in any_world(), chances in chances()) {
        let chances = Chances { is_timed: false, starts: true, stops: true, ..chances };
        let mut sim = sim(world, &chances).meddle(30_000, Meddling::Heal);
        for _ in 0..6 {
            sim = sim.meddle(30_000, Meddling::RemoveBudget(0));
        }
        prop_assert!(sim.run(1200), "it ends; it waits for {:?}", sim.drain.told);
        let result = sim.drain.result();
        check_end(&sim, &result, &chances)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_same_inputs_give_the_same_actions(world in any_world(), chances in chances()) {
        let run = || {
            let mut sim = sim(world.clone(), &chances);
            sim.run(600);
            (sim.sent, format!("{:?} {:?}", sim.events, sim.drain.result()))
        };
        prop_assert_eq!(run(), run());
    }
}
