//! In which order pods go: rounds of evictions, each after the replacements of the round before are Ready.
//!
//! Waves are for a reader; a drain does not stop at their borders.

use std::collections::{BTreeMap, HashMap};

use crate::{
    budget::ledger::{Answer, Block, Draw, Ledger},
    drain::filter::Comeback,
    model::{ObjectName, Pod, Uid, WorkloadKind},
};

/// A pod that filters let go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaver<'a> {
    pub(super) pod: &'a Pod,
    pub(super) comeback: Comeback<'a>,
}

/// When a pod goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// In a wave, counted from 1, after this answer of the ledger.
    Wave(u32, Answer),
    /// Not in this drain, because of this.
    Never(Block),
}

/// The waves and how long they take.
#[derive(Debug, Default)]
pub(super) struct Schedule<'a> {
    /// By leaver: its turn.
    pub(super) turns: Vec<Turn>,
    /// By wave: the pods whose replacements it waits for.
    pub(super) waits_for: Vec<Vec<&'a Pod>>,
    /// From the first eviction until the last pod is gone and replaced, in seconds: an estimate from grace periods and
    /// observed start times.
    pub(super) estimated_seconds: i64,
}

/// How long a replacement is taken to need until it is Ready, where no pod of its owner shows it.
const ASSUMED_START_SECONDS: i64 = 10;

/// Plays the drain through on the ledger.
pub(super) fn schedule<'a>(
    leavers: &[Leaver<'a>],
    ledger: &mut Ledger<'_>,
    grace_period_seconds: Option<u32>,
    all_pods: &[Pod],
) -> Schedule<'a> {
    let start_times = observed_starts(leavers, all_pods);
    let mut schedule = Schedule { turns: vec![Turn::Never(Block::Now); leavers.len()], ..Schedule::default() };
    let mut waiting = in_order(leavers);
    let mut last_wave: HashMap<Draw, Vec<&'a Pod>> = HashMap::new();
    // By account: when the replacements of its last wave are Ready, in seconds from the start.
    let mut free_at: HashMap<Draw, i64> = HashMap::new();
    for wave in 1.. {
        let mut going: Vec<(usize, Option<Draw>)> = Vec::new();
        waiting.retain(|&number| {
            let leaver = leavers[number];
            let answer = ledger.ask(leaver.pod);
            if matches!(answer, Answer::Blocked(_)) {
                return true;
            }
            let mut draw = None;
            if matches!(answer, Answer::Allowed | Answer::AllowedByImplied) {
                ledger.take(leaver.pod);
                draw = ledger.draw(leaver.pod);
            }
            schedule.turns[number] = Turn::Wave(wave, answer);
            going.push((number, draw));
            false
        });
        if going.is_empty() {
            break;
        }
        let mut waits_for: BTreeMap<&ObjectName, &'a Pod> = BTreeMap::new();
        let mut this_wave: HashMap<Draw, Vec<&'a Pod>> = HashMap::new();
        let mut next_free = free_at.clone();
        for (number, draw) in going {
            let Leaver { pod, comeback } = leavers[number];
            let begins = draw.and_then(|draw| free_at.get(&draw)).copied().unwrap_or_default();
            let stops = grace_period_seconds.map_or(pod.grace_seconds.max(0), i64::from);
            let starts = pod.controller.as_ref().and_then(|owner| start_times.get(&owner.uid)).copied();
            let replaced = begins.saturating_add(replacement_seconds(pod, comeback, stops, starts));
            schedule.estimated_seconds = schedule.estimated_seconds.max(replaced).max(begins.saturating_add(stops));
            let Some(draw) = draw else { continue };
            waits_for.extend(last_wave.get(&draw).into_iter().flatten().map(|pod| (&pod.name, *pod)));
            if comeback.is_expected() {
                ledger.refill(pod);
                this_wave.entry(draw).or_default().push(pod);
                let free = next_free.entry(draw).or_default();
                *free = replaced.max(*free);
            }
        }
        free_at = next_free;
        last_wave = this_wave;
        schedule.waits_for.push(waits_for.into_values().collect());
    }
    for number in waiting {
        if let Answer::Blocked(block) = ledger.ask(leavers[number].pod) {
            schedule.turns[number] = Turn::Never(block);
        }
    }
    schedule
}

/// Pods that are not healthy first, since they cost nothing; then the less important ones. What nobody brings back goes
/// after what comes back, or it would use up what they share.
fn in_order(leavers: &[Leaver<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..leavers.len()).collect();
    order.sort_by_key(|&number| {
        let Leaver { pod, comeback } = leavers[number];
        precedence(pod, comeback.is_expected())
    });
    order
}

/// What sorts pods by who goes first.
pub(super) fn precedence(pod: &Pod, comes_back: bool) -> (bool, i32, bool, &ObjectName) {
    (pod.is_healthy(), pod.priority, !comes_back, &pod.name)
}

/// Seconds from the eviction of a pod until what it leaves is made good.
fn replacement_seconds(pod: &Pod, comeback: Comeback<'_>, stops: i64, starts: Option<i64>) -> i64 {
    let starts = starts.unwrap_or(ASSUMED_START_SECONDS);
    match comeback {
        // The same name can only come again when the old object is gone.
        Comeback::By(workload) if workload.kind == WorkloadKind::StatefulSet => stops.saturating_add(starts),
        // Other owners create the replacement as soon as the deletion begins.
        Comeback::By(_) | Comeback::Uncertain(_) if !pod.is_finished() => starts,
        _ => 0,
    }
}

/// For each owner of a leaver, the median of how long its pods took to become Ready.
fn observed_starts<'a>(leavers: &[Leaver<'a>], all_pods: &[Pod]) -> HashMap<&'a Uid, i64> {
    let mut seen: HashMap<&Uid, Vec<i64>> = HashMap::new();
    for leaver in leavers {
        if let Some(owner) = &leaver.pod.controller {
            seen.entry(&owner.uid).or_default();
        }
    }
    for pod in all_pods {
        let times = pod.controller.as_ref().and_then(|owner| seen.get_mut(&owner.uid));
        if let (Some(times), Some(seconds)) = (times, pod.start_seconds) {
            times.push(seconds);
        }
    }
    seen.into_iter()
        .filter_map(|(owner, mut times)| {
            times.sort_unstable();
            Some((owner, *times.get(times.len() / 2)?))
        })
        .collect()
}
