//! One case for each rule of the disruption controller, with what comes out of it.

use serde_json::{Value, json};

use super::population::{Case, Kind, Reference, Selector, State, case, owner};

/// Cases that can be alone have a namespace of their own; the others share one.
pub(super) fn cases() -> Vec<Case> {
    [numbers(), selectors(), owners(), errors(), pods(), evictions()].concat()
}

fn numbers() -> Vec<Case> {
    vec![
        case("numbers and percentages of three")
            .of(owner(Kind::Deployment, 3))
            .budget(min(0), "expects 3, needs 0, has 3, allows 3")
            .budget(min(2), "expects 3, needs 2, has 3, allows 1")
            .budget(min(3), "expects 3, needs 3, has 3, allows 0")
            .budget(min(4), "expects 3, needs 4, has 3, allows 0")
            .budget(min(i32::MAX), "expects 3, needs 2147483647, has 3, allows 0")
            .budget(min("0%"), "expects 3, needs 0, has 3, allows 3")
            .budget(min("1%"), "expects 3, needs 1, has 3, allows 2")
            .budget(min("34%"), "expects 3, needs 2, has 3, allows 1")
            .budget(min("66%"), "expects 3, needs 2, has 3, allows 1")
            .budget(min("67%"), "expects 3, needs 3, has 3, allows 0")
            .budget(min("100%"), "expects 3, needs 3, has 3, allows 0")
            .budget(max(0), "expects 3, needs 3, has 3, allows 0")
            .budget(max(1), "expects 3, needs 2, has 3, allows 1")
            .budget(max(5), "expects 3, needs 0, has 3, allows 3")
            .budget(max(i32::MAX), "expects 3, needs 0, has 3, allows 3")
            .budget(max("0%"), "expects 3, needs 3, has 3, allows 0")
            .budget(max("1%"), "expects 3, needs 2, has 3, allows 1")
            .budget(max("34%"), "expects 3, needs 1, has 3, allows 2")
            .budget(max("007%"), "expects 3, needs 2, has 3, allows 1")
            .budget(max("100%"), "expects 3, needs 0, has 3, allows 3")
            .budget(json!({}), "expects 0, needs 0, has 3, allows 0"),
        case("100% of one").of(owner(Kind::Deployment, 1)).budget(min("100%"), "expects 1, needs 1, has 1, allows 0"),
        case("no number").of(owner(Kind::Deployment, 2)).budget(json!({}), "expects 0, needs 0, has 2, allows 0"),
        case("nothing is left")
            .of(owner(Kind::Deployment, 0))
            .budget(min(1), "expects 0, needs 1, has 0, allows 0")
            .budget(max(1), "expects 0, needs 0, has 0, allows 0")
            .budget(max("50%"), "expects 0, needs 0, has 0, allows 0"),
    ]
}

fn selectors() -> Vec<Case> {
    vec![
        case("an empty selector, none, and one for others")
            .of(owner(Kind::Deployment, 2))
            .of(owner(Kind::Pods(Reference::None), 1))
            .selecting(Selector::Missing, max(1), Some("expects 0, needs 0, has 0, allows 0"))
            .selecting(Selector::Missing, min(1), Some("expects 0, needs 1, has 0, allows 0"))
            .selecting(written(json!({})), max(1), Some("expects 2, needs 1, has 3, allows 2"))
            .selecting(written(json!({})), min(1), Some("expects 3, needs 1, has 3, allows 2"))
            .selecting(
                written(json!({"matchLabels": {"app": "x"}})),
                min(1),
                Some("expects 0, needs 1, has 0, allows 0"),
            )
            .alone(),
        case("an empty selector alone")
            .of(owner(Kind::Deployment, 2))
            .selecting(written(json!({})), max(1), Some("expects 2, needs 1, has 2, allows 1"))
            .alone(),
        case("expressions")
            .of(owner(Kind::Deployment, 3).tier("front"))
            .of(owner(Kind::ReplicaSet, 2).tier("back"))
            .selecting(expression("In", &["front", "back"]), max(1), Some("expects 5, needs 4, has 5, allows 1"))
            .selecting(expression("NotIn", &["front"]), max(1), Some("expects 2, needs 1, has 2, allows 1"))
            .selecting(expression("Exists", &[]), max(1), Some("expects 5, needs 4, has 5, allows 1"))
            .selecting(expression("DoesNotExist", &[]), max(1), Some("expects 0, needs 0, has 0, allows 0"))
            .alone(),
        case("one budget for both owners")
            .of(owner(Kind::Deployment, 3))
            .of(owner(Kind::StatefulSet, 2))
            .budget(max("30%"), "expects 5, needs 3, has 5, allows 2"),
        case("a budget for one owner and another for all")
            .of(owner(Kind::Deployment, 2))
            .of(owner(Kind::ReplicaSet, 2))
            .selecting(Selector::Owner(0), max(1), Some("expects 2, needs 1, has 2, allows 1"))
            .budget(min("50%"), "expects 4, needs 2, has 4, allows 2"),
    ]
}

fn owners() -> Vec<Case> {
    let rollout = |surge_is_ready| owner(Kind::Rollout { surge_is_ready }, 3);
    let pods = |reference, count| owner(Kind::Pods(reference), count);
    vec![
        one("a Deployment", Kind::Deployment, max(1), "expects 3, needs 2, has 3, allows 1"),
        one("a ReplicaSet", Kind::ReplicaSet, max(1), "expects 3, needs 2, has 3, allows 1"),
        one("a ReplicationController", Kind::ReplicationController, min("50%"), "expects 3, needs 2, has 3, allows 1"),
        one("a StatefulSet", Kind::StatefulSet, max("50%"), "expects 3, needs 1, has 3, allows 2"),
        one("a ReplicaSet without its Deployment", Kind::Held, max(1), "expects 3, needs 2, has 3, allows 1"),
        case("a rollout counts once, and surge pods that are not Ready do not")
            .of(rollout(false))
            .budget(max(1), "expects 3, needs 2, has 3, allows 1"),
        case("a rollout whose surge pods are not Ready, by number")
            .of(rollout(false))
            .budget(min(3), "expects 5, needs 3, has 3, allows 0"),
        case("Ready surge pods").of(rollout(true)).budget(max(1), "expects 3, needs 2, has 5, allows 3"),
        case("Ready surge pods, by number").of(rollout(true)).budget(min(3), "expects 5, needs 3, has 5, allows 2"),
        case("a Job, by number").of(owner(Kind::Job, 2)).budget(min(1), "expects 2, needs 1, has 2, allows 1"),
        case("a DaemonSet, by number")
            .of(owner(Kind::DaemonSet, 1))
            .budget(min(1), "expects 1, needs 1, has 1, allows 0"),
        case("mirrors of static pods, by number")
            .of(pods(Reference::Node, 2))
            .budget(min(1), "expects 2, needs 1, has 2, allows 1"),
        case("bare pods").of(pods(Reference::None, 2)).budget(max(1), "expects 0, needs 0, has 2, allows 0"),
        case("bare pods, by number").of(pods(Reference::None, 2)).budget(min(1), "expects 2, needs 1, has 2, allows 1"),
        case("bare pods beside owned ones")
            .of(pods(Reference::None, 1))
            .of(owner(Kind::Deployment, 2))
            .budget(max(0), "expects 2, needs 2, has 3, allows 1"),
        case("an owner that does not control")
            .of(pods(Reference::NotController, 2))
            .budget(max(1), "expects 0, needs 0, has 2, allows 0"),
        case("a custom owner that wants more")
            .of(pods(Reference::Widget(5), 3))
            .budget(max(1), "expects 5, needs 4, has 3, allows 0"),
        case("a custom owner that wants less")
            .of(pods(Reference::Widget(2), 3))
            .budget(min("100%"), "expects 2, needs 2, has 3, allows 1"),
        case("a custom owner without a scale, by number")
            .of(pods(Reference::Gadget, 2))
            .budget(min(1), "expects 2, needs 1, has 2, allows 1"),
        case("pods directly of a Deployment")
            .of(pods(Reference::Deployment(4), 2))
            .budget(max(3), "expects 4, needs 1, has 2, allows 1"),
    ]
}

fn errors() -> Vec<Case> {
    let of = |reference| owner(Kind::Pods(reference), 1);
    let without_scale = |resource: &str| format!("{resource} does not implement the scale subresource");
    vec![
        one("a Job", Kind::Job, max(1), &without_scale("jobs.batch")),
        case("a finished Job")
            .of(owner(Kind::Job, 1).all(State::Succeeded))
            .budget(max(1), &without_scale("jobs.batch")),
        case("a DaemonSet").of(owner(Kind::DaemonSet, 1)).budget(min("50%"), &without_scale("daemonsets.apps")),
        case("a mirror of a static pod").of(of(Reference::Node)).budget(max(1), &without_scale("nodes")),
        case("a custom owner without a scale")
            .of(of(Reference::Gadget))
            .budget(max(1), &without_scale("gadgets.lab.test")),
        case("an owner of the core group").of(of(Reference::ConfigMap)).budget(max(1), &without_scale("configmaps")),
        case("one owner without a scale among others")
            .of(owner(Kind::Deployment, 2))
            .of(of(Reference::Gadget))
            .budget(max(1), &without_scale("gadgets.lab.test")),
        absent("an absent ReplicaSet", Reference::Absent("apps/v1", "ReplicaSet"), FOUND_NO_CONTROLLERS),
        absent("an absent StatefulSet", Reference::Absent("apps/v1", "StatefulSet"), FOUND_NO_CONTROLLERS),
        absent(
            "an absent ReplicationController",
            Reference::Absent("v1", "ReplicationController"),
            FOUND_NO_CONTROLLERS,
        ),
        absent("an absent Deployment", Reference::Absent("apps/v1", "Deployment"), FOUND_NO_CONTROLLERS),
        absent("an absent custom owner", Reference::Absent("lab.test/v1", "Widget"), FOUND_NO_CONTROLLERS),
        absent("another ReplicaSet of that name", Reference::Impostor, FOUND_NO_CONTROLLERS),
        absent("an absent Job", Reference::Absent("batch/v1", "Job"), &without_scale("jobs.batch")),
        absent("an absent Gadget", Reference::Absent("lab.test/v1", "Gadget"), &without_scale("gadgets.lab.test")),
        case("an absent owner, by number")
            .of(owner(Kind::Pods(Reference::Absent("apps/v1", "ReplicaSet")), 2))
            .budget(min(1), "expects 2, needs 1, has 0, allows 0"),
        case("a kind that the server does not have")
            .of(of(Reference::Unserved("nowhere.test/v1", "Ghost")))
            .budget(max(1), r#"no matches for kind "Ghost" in version "nowhere.test/v1""#),
        case("a version that the server does not have")
            .of(of(Reference::Unserved("lab.test/v2", "Widget")))
            .budget(max(1), r#"no matches for kind "Widget" in version "lab.test/v2""#),
        case("a version of a built-in kind that the server has no more")
            .of(of(Reference::Unserved("extensions/v1beta1", "ReplicaSet")))
            .budget(max(1), r#"no matches for kind "ReplicaSet" in version "extensions/v1beta1""#),
    ]
}

fn pods() -> Vec<Case> {
    let three = |states: &[State]| owner(Kind::Deployment, 3).with(states);
    let both = |title: &str, states: &[State], by_scale: &str, by_number: &str| {
        [
            case(title).of(three(states)).budget(max(1), by_scale),
            case(&format!("{title}, by number")).of(three(states)).budget(min(2), by_number),
        ]
    };
    let two_of_three = "expects 3, needs 2, has 2, allows 0";
    let three_and_one = "expects 4, needs 2, has 3, allows 1";
    [
        both("a pod that is not Ready", &[State::Unready], two_of_three, two_of_three).to_vec(),
        both(
            "a terminating pod and its replacement",
            &[State::Terminating],
            "expects 3, needs 2, has 3, allows 1",
            three_and_one,
        )
        .to_vec(),
        both(
            "a failed pod and its replacement",
            &[State::Failed],
            "expects 3, needs 2, has 3, allows 1",
            three_and_one,
        )
        .to_vec(),
        both(
            "a failed pod whose condition is still Ready",
            &[State::FailedButReady],
            "expects 3, needs 2, has 4, allows 2",
            "expects 4, needs 2, has 4, allows 2",
        )
        .to_vec(),
        both(
            "a pod in phase Unknown",
            &[State::Unknown],
            "expects 3, needs 2, has 3, allows 1",
            "expects 3, needs 2, has 3, allows 1",
        )
        .to_vec(),
        vec![
            case("no room").of(owner(Kind::Crowded, 3)).budget(max(1), "expects 3, needs 2, has 1, allows 0").alone(),
            case("no room at all")
                .of(owner(Kind::ReplicaSet, 2).all(State::Pending))
                .budget(max("50%"), "expects 2, needs 1, has 0, allows 0"),
            case("a StatefulSet's pod hangs")
                .of(owner(Kind::StatefulSet, 3).with(&[State::Terminating, State::Unready]))
                .budget(max(1), "expects 3, needs 2, has 1, allows 0"),
            case("bare pods in all states")
                .of(owner(Kind::Pods(Reference::None), 7).with(&[
                    State::Unready,
                    State::Pending,
                    State::Creating,
                    State::Succeeded,
                    State::Failed,
                    State::Terminating,
                ]))
                .budget(min(1), "expects 7, needs 1, has 1, allows 0"),
            case("scaled to nothing while a pod hangs")
                .of(owner(Kind::Pods(Reference::Widget(0)), 1).all(State::Terminating))
                .budget(max(1), "expects 0, needs 0, has 0, allows 0"),
            case("an eviction that was granted and did not happen")
                .of(owner(Kind::Deployment, 3))
                .budget(max(2), "expects 3, needs 1, has 2, allows 1")
                .granting(1),
            case("all evictions were granted and none happened")
                .of(owner(Kind::Deployment, 3))
                .budget(min(1), "expects 3, needs 1, has 1, allows 0")
                .granting(2),
        ],
    ]
    .concat()
}

/// What matters for the answers to evictions rather than for the numbers.
fn evictions() -> Vec<Case> {
    let policy = |mut budget: Value, policy: &str| {
        budget["unhealthyPodEvictionPolicy"] = policy.into();
        budget
    };
    let unready = |count| owner(Kind::Deployment, 3).with(&vec![State::Unready; count]);
    vec![
        case("not Ready, while enough others are").of(unready(1)).budget(max(1), "expects 3, needs 2, has 2, allows 0"),
        case("not Ready, while not enough others are")
            .of(unready(2))
            .budget(max(1), "expects 3, needs 2, has 1, allows 0"),
        case("not Ready, and free to go")
            .of(unready(2))
            .budget(policy(max(1), "AlwaysAllow"), "expects 3, needs 2, has 1, allows 0"),
        case("not Ready, by the default's name")
            .of(unready(1))
            .budget(policy(max(1), "IfHealthyBudget"), "expects 3, needs 2, has 2, allows 0"),
        case("nothing is needed and nothing is Ready")
            .of(owner(Kind::Deployment, 1).all(State::Unready))
            .budget(max(1), "expects 1, needs 0, has 0, allows 0"),
        case("nothing is needed and one is Ready")
            .of(owner(Kind::Deployment, 2).with(&[State::Unready]))
            .budget(max(2), "expects 2, needs 0, has 1, allows 1"),
        case("two budgets, both of which allow it")
            .of(owner(Kind::Deployment, 2).with(&[State::Unready]))
            .budget(policy(min(0), "AlwaysAllow"), "expects 2, needs 0, has 1, allows 1")
            .budget(policy(max(2), "AlwaysAllow"), "expects 2, needs 0, has 1, allows 1"),
        case("no budget").of(owner(Kind::Deployment, 2)),
    ]
}

const FOUND_NO_CONTROLLERS: &str = r#"found no controllers for pod "{case}-0-0""#;

/// Three pods of one owner under one budget.
fn one(title: &str, kind: Kind, budget: Value, expected: &str) -> Case {
    case(title).of(owner(kind, 3)).budget(budget, expected)
}

/// A pod whose owner does not exist.
fn absent(title: &str, reference: Reference, expected: &str) -> Case {
    case(title).of(owner(Kind::Pods(reference), 1)).budget(max(1), expected)
}

fn min(available: impl Into<Value>) -> Value {
    json!({"minAvailable": available.into()})
}

fn max(unavailable: impl Into<Value>) -> Value {
    json!({"maxUnavailable": unavailable.into()})
}

fn written(selector: Value) -> Selector {
    Selector::Written(selector)
}

fn expression(operator: &str, values: &[&str]) -> Selector {
    let mut expression = json!({"key": "tier", "operator": operator});
    if !values.is_empty() {
        expression["values"] = json!(values);
    }
    written(json!({"matchExpressions": [expression]}))
}
