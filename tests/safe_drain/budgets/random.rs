//! Random populations: owners of any kind, pods in any state, budgets that overlap.

use serde_json::{Value, json};

use super::population::{Case, Kind, Owner, Reference, Selector, State, case, owner};

/// The budgets of one namespace.
const BUDGETS: usize = 5;

/// A sequence of random numbers that a seed repeats (`SplitMix64`).
pub(super) struct Dice(u64);

/// Cases with so many budgets, each with a namespace of its own.
pub(super) fn cases(dice: &mut Dice, budgets: usize) -> Vec<Case> {
    let full = std::iter::repeat_n(BUDGETS, budgets / BUDGETS);
    let rest = Some(budgets % BUDGETS).filter(|rest| *rest > 0);
    full.chain(rest).enumerate().map(|(number, budgets)| random_case(dice, number, budgets)).collect()
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        usize::try_from(bits % bound as u64).unwrap_or_default()
    }

    fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }
}

fn random_case(dice: &mut Dice, number: usize, budgets: usize) -> Case {
    let mut owners: Vec<Owner> = (0..2 + dice.below(3)).map(|_| counted(dice)).collect();
    // One at most: of several errors the controller tells any.
    if dice.below(3) == 0 {
        owners.push(uncounted(dice));
    }
    let overlap = dice.below(2) == 0;
    let count = owners.len();
    let case = owners.into_iter().fold(case(&format!("random {number}")).alone(), Case::of);
    (0..budgets).fold(case, |case, number| {
        // Pods with one budget are evicted by another path than those with several.
        let selector = if overlap { selector(dice, count) } else { own_selector(number, count) };
        case.selecting(selector, spec(dice), None)
    })
}

/// An owner with a scale, or none.
fn counted(dice: &mut Dice) -> Owner {
    let kind = dice.pick(&[
        Kind::Deployment,
        Kind::Deployment,
        Kind::Crowded,
        Kind::Rollout { surge_is_ready: true },
        Kind::Rollout { surge_is_ready: false },
        Kind::Held,
        Kind::ReplicaSet,
        Kind::ReplicationController,
        Kind::StatefulSet,
        Kind::Pods(Reference::None),
        Kind::Pods(Reference::NotController),
        Kind::Pods(Reference::Widget(0)),
        Kind::Pods(Reference::Widget(3)),
        Kind::Pods(Reference::Widget(7)),
        Kind::Pods(Reference::Deployment(2)),
    ]);
    let replicas = match kind {
        // A rollout of one has no surge.
        Kind::Rollout { .. } => 2 + dice.below(4),
        _ => dice.below(7),
    };
    let owner = owner(kind, replicas);
    let states: &[State] = match kind {
        Kind::Deployment | Kind::ReplicaSet | Kind::ReplicationController => {
            if dice.below(8) == 0 {
                return tiered(dice, owner.all(State::Pending));
            }
            &[State::Ready, State::Unready, State::Failed, State::FailedButReady, State::Unknown, State::Terminating]
        }
        Kind::StatefulSet => &[State::Ready, State::Unready, State::Terminating],
        Kind::Pods(reference) => {
            let all = [
                State::Unready,
                State::Creating,
                State::Succeeded,
                State::Failed,
                State::FailedButReady,
                State::Unknown,
                State::Terminating,
                State::Ready,
                State::Pending,
            ];
            // The scale of an owner is asked for when a node has one of its pods.
            let placed = if matches!(reference, Reference::None) { all.len() } else { all.len() - 1 };
            return with_states(dice, owner, replicas, &all[..placed]);
        }
        _ => &[State::Ready],
    };
    with_states(dice, owner, replicas, states)
}

/// An owner that makes the controller fail where it must count by scale.
fn uncounted(dice: &mut Dice) -> Owner {
    let kind = dice.pick(&[
        Kind::Job,
        Kind::DaemonSet,
        Kind::Pods(Reference::Node),
        Kind::Pods(Reference::Gadget),
        Kind::Pods(Reference::ConfigMap),
        Kind::Pods(Reference::Absent("apps/v1", "ReplicaSet")),
        Kind::Pods(Reference::Absent("batch/v1", "Job")),
        Kind::Pods(Reference::Absent("lab.test/v1", "Widget")),
        Kind::Pods(Reference::Impostor),
        Kind::Pods(Reference::Unserved("nowhere.test/v1", "Ghost")),
    ]);
    let replicas = match kind {
        Kind::Job | Kind::Pods(Reference::Node | Reference::Gadget | Reference::ConfigMap) => 1 + dice.below(3),
        // The controller names the pod.
        _ => 1,
    };
    with_states(dice, owner(kind, replicas), replicas, &[State::Ready, State::Unready])
}

fn with_states(dice: &mut Dice, owner: Owner, replicas: usize, states: &[State]) -> Owner {
    // Mostly Ready, as pods are.
    let picked: Vec<State> =
        (0..replicas).map(|_| if dice.below(2) == 0 { State::Ready } else { dice.pick(states) }).collect();
    tiered(dice, owner.with(&picked))
}

fn tiered(dice: &mut Dice, owner: Owner) -> Owner {
    owner.tier(dice.pick(&["a", "b", "c"]))
}

fn spec(dice: &mut Dice) -> Value {
    let percent = dice.pick(&["0%", "1%", "10%", "33%", "34%", "50%", "66%", "67%", "90%", "99%", "100%"]);
    let count = dice.below(8);
    let mut spec = match dice.below(9) {
        0 | 1 => json!({"minAvailable": count}),
        2 | 3 => json!({"minAvailable": percent}),
        4 | 5 => json!({"maxUnavailable": count}),
        6 | 7 => json!({"maxUnavailable": percent}),
        _ => json!({}),
    };
    match dice.below(4) {
        0 => spec["unhealthyPodEvictionPolicy"] = "AlwaysAllow".into(),
        1 => spec["unhealthyPodEvictionPolicy"] = "IfHealthyBudget".into(),
        _ => {}
    }
    spec
}

fn selector(dice: &mut Dice, owners: usize) -> Selector {
    let tiers = |operator: &str, values: &[&str]| {
        let expression = json!({"key": "tier", "operator": operator, "values": values});
        Selector::Written(json!({"matchExpressions": [expression]}))
    };
    match dice.below(10) {
        0..4 => Selector::Owner(dice.below(owners)),
        4 => Selector::Case,
        5 => Selector::Written(json!({})),
        6 => Selector::Missing,
        7 => Selector::Written(json!({"matchLabels": {"tier": dice.pick(&["a", "b", "c"])}})),
        8 => tiers("In", &["a", "b"]),
        _ => tiers("NotIn", &["a"]),
    }
}

/// Each owner has one budget at most; what is left over covers nothing.
fn own_selector(number: usize, owners: usize) -> Selector {
    if number < owners { Selector::Owner(number) } else { Selector::Missing }
}
