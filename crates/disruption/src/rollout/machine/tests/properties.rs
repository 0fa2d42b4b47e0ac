//! What holds in every guarded rollout, whatever happens.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::sim::{Habits, Meddling, Sim, options};
use crate::{
    model::RolloutKind,
    rollout::{document::RolloutOutcome, event::Event, options::GuardOptions},
};

/// Everything that chance decides.
#[derive(Debug, Clone)]
struct Chances {
    seed: u64,
    is_stateful: bool,
    replicas: i32,
    before: usize,
    after: usize,
    lag: i64,
    faults: u64,
    meddling: Vec<(i64, usize, usize)>,
}

const GOOD: [&str; 2] = ["web:1", "web:2"];

const ANY: [&str; 8] =
    ["web:3", "web:missing", "web:ends", "web:late", "web:heals", "web:slow", "web:never", "web:flaps"];

fn chances() -> impl Strategy<Value = Chances> {
    let meddling = proptest::collection::vec((0..40_000_i64, 0..9_usize, 0..8_usize), 0..4);
    let versions = (any::<bool>(), 1..5_i32, 0..2_usize, 0..8_usize);
    (any::<u64>(), versions, 0..500_i64, 0..60_u64, meddling).prop_map(
        |(seed, (is_stateful, replicas, before, after), lag, faults, meddling)| Chances {
            seed,
            is_stateful,
            replicas,
            before,
            after,
            lag,
            faults,
            meddling,
        },
    )
}

fn meddling(kind: usize, number: usize) -> Meddling {
    match kind {
        0 => Meddling::Roll(ANY[number]),
        1 => Meddling::Scale(i32::try_from(number).unwrap() % 4),
        2 => Meddling::DeleteWorkload,
        3 => Meddling::KillPod(number),
        4 => Meddling::LoseWatch(number),
        5 => Meddling::Interrupt,
        _ => Meddling::Nothing,
    }
}

fn sim(chances: &Chances, options: GuardOptions) -> Sim {
    let kind = if chances.is_stateful { RolloutKind::StatefulSet } else { RolloutKind::Deployment };
    let habits = Habits { lag: chances.lag, faults: chances.faults, ..Habits::default() };
    let images = [GOOD[chances.before], ANY[chances.after]];
    Sim::new(kind, chances.replicas, &images, options, habits).seeded(chances.seed)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn it_ends_with_one_word_and_one_attempt(chances in chances()) {
        let options = GuardOptions { timeout: Some(SignedDuration::from_mins(30)), ..options() };
        let mut sim = sim(&chances, options);
        for (after, kind, number) in &chances.meddling {
            sim.meddle(*after, meddling(*kind, *number));
            // What is lost comes back some time.
            sim.meddle(after + 30_000, Meddling::RestoreWatches);
        }
        let result = sim.run();
        let words = sim.events.iter().filter(|(_, event)| matches!(event, Event::RolloutEnded { .. })).count();
        prop_assert_eq!(words, 1);
        prop_assert_eq!(result.exit_code, sim.exit().code());
        prop_assert_eq!(result.reason.is_empty(), result.exit_code == 0);
        // Our own change is nobody else's, even if its answer was lost.
        let others_roll = chances.meddling.iter().any(|(_, kind, _)| *kind == 0);
        prop_assert!(others_roll || result.rollouts[0].outcome != RolloutOutcome::Superseded, "{:?}", result);
        // One attempt, never a flip-flop, and never to anything but the version before.
        prop_assert!(sim.accepted.len() <= 1, "{:?}", sim.accepted);
        prop_assert!(sim.accepted.iter().all(|(_, image)| image == GOOD[chances.before]));
        prop_assert!(sim.deleted.iter().all(|(_, _, is_ready)| !is_ready), "{:?}", sim.deleted);
    }

    #[test]
    fn good_versions_stay_and_bad_ones_go(chances in chances()) {
        let mut sim = sim(&Chances { faults: 0, ..chances.clone() }, options());
        let result = sim.run();
        // One that fails late is found only by who waits for it: see the scenes.
        let expected = match ANY[chances.after] {
            "web:3" | "web:heals" | "web:slow" => Some(RolloutOutcome::Complete),
            "web:late" => None,
            _ => Some(RolloutOutcome::Undone),
        };
        prop_assert!(expected.is_none_or(|expected| result.rollouts[0].outcome == expected), "{:?}", result);
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_same_again(chances in chances()) {
        let one = sim(&chances, options()).run();
        let other = sim(&chances, options()).run();
        prop_assert_eq!(one, other);
    }
}
