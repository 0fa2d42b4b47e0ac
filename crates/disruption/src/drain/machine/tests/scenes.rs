//! One drain each, in virtual time: who is asked when, and how it ends.

use std::{num::NonZeroUsize, time::Duration};

use jiff::SignedDuration;

use super::sim::{Habits, Meddling, Prepared, RUN, Sim, names, trouble};
use crate::{
    action::{Action, Machine, NodeAnswer, RemovalAnswer, Trouble, TroubleKind},
    drain::{
        document::{NodeOutcome, PodOutcome},
        machine::Drain,
        options::{Execution, MaxUnavailable, OnBlocked, OnFailure, Options, Run},
        plan,
    },
    event::Event,
    fixture::{budget, daemon_set, deployment, node, now, pod, stateful_set, world},
    journal::{DEAD_AFTER, Record},
    model::{Node, Pod, Uid},
    snapshot::Snapshot,
};

fn shop() -> Snapshot {
    world().nodes(["n1", "n2", "n3"])
}

/// Three of four pods on the node, under a budget of one.
fn budgeted() -> Snapshot {
    shop().runs(&deployment("web"), ["n1", "n1", "n1", "n2"]).with(budget("web").max_unavailable("1"))
}

fn drain(world: Snapshot) -> Sim {
    Sim::new(world, "n1", &Options::default(), Execution::default())
}

#[expect(clippy::needless_pass_by_value, reason = "shorter for every caller")]
fn drain_with(world: Snapshot, options: Options, execution: Execution) -> Sim {
    Sim::new(world, "n1", &options, execution)
}

fn with_timeout(seconds: u64) -> Options {
    Options { timeout: Some(Duration::from_secs(seconds)), ..Options::default() }
}

/// Checks the exit code, the nodes' words, the removals that were sent (milliseconds and pod), and each pod's word with
/// its reason.
#[track_caller]
fn check(mut sim: Sim, exit: u8, nodes: &str, sent: &[&str], pods: &[&str]) -> Sim {
    let result = sim.result();
    let words: Vec<String> = result.nodes.iter().map(|node| format!("{:?}", node.outcome)).collect();
    let told: Vec<String> = result
        .pods
        .iter()
        .map(|pod| {
            let reason = if pod.reason.is_empty() { String::new() } else { format!(": {}", pod.reason) };
            format!("{} {:?}{reason}", pod.name, pod.outcome)
        })
        .collect();
    let (sent, pods): (Vec<String>, Vec<String>) =
        (sent.iter().map(ToString::to_string).collect(), pods.iter().map(ToString::to_string).collect());
    assert_eq!((result.exit_code, words.join(" ").as_str(), sim.sent(), told), (exit, nodes, sent, pods));
    sim
}

/// The waits that were told, in their order.
fn waits(sim: &Sim) -> Vec<String> {
    let wait = |event: &Event| match event {
        Event::WaitBegan { pods, message, .. } => Some(format!("{pods}: {message}")),
        _ => None,
    };
    sim.events.iter().filter_map(|(_, event)| wait(event)).collect()
}

fn lets(kind: TroubleKind, retry_after: Option<i64>) -> Prepared {
    let retry_after = retry_after.map(SignedDuration::from_secs);
    Prepared::Instead(RemovalAnswer::Trouble(Trouble { kind, message: "busy".into(), retry_after }))
}

const EVICTED: [&str; 3] = ["web-1 Evicted", "web-2 Evicted", "web-3 Evicted"];
const ONE_BY_ONE: [&str; 3] = ["0 web-1", "1100 web-2", "2200 web-3"];

#[test]
fn under_a_budget_of_one_each_goes_when_the_replacement_before_it_is_ready() {
    let sim = check(drain(budgeted()), 0, "Drained", &ONE_BY_ONE, &EVICTED);
    assert_eq!(
        waits(&sim),
        ["2: disruption budget shop/web needs 3 healthy pods", "0: Deployment shop/web gets its Ready pods back"]
    );
    let replaced =
        |sim: &Sim| sim.drain.result().pods.iter().map(|pod| pod.replacement_seconds).collect::<Vec<Option<f64>>>();
    assert_eq!(replaced(&sim), [Some(1.1), Some(1.1), Some(1.1)]);
    // One that wants fewer than run is not replaced by those that ran before.
    let world = shop().runs(&deployment("web"), ["n1", "n2", "n2", "n2"]).with(deployment("web").replicas(3));
    let sim = check(drain(world), 0, "Drained", &["0 web-1"], &["web-1 Evicted"]);
    assert_eq!(replaced(&sim), [None]);
}

#[test]
fn without_a_budget_the_workload_s_own_update_is_the_measure() {
    let world = shop().runs(&deployment("web"), ["n1", "n1", "n1", "n2"]);
    check(drain(world.clone()), 0, "Drained", &ONE_BY_ONE, &EVICTED);
    let unlimited = Options { max_unavailable: MaxUnavailable::Unlimited, ..Options::default() };
    let all = ["0 web-1", "0 web-2", "0 web-3"];
    check(drain_with(world.clone(), unlimited.clone(), Execution::default()), 0, "Drained", &all, &EVICTED);
    let two = Execution { concurrency: NonZeroUsize::new(2).unwrap(), ..Execution::default() };
    let sim = check(drain_with(world, unlimited, two), 0, "Drained", &all, &EVICTED);
    let ended = sim.events.iter().rfind(|(_, event)| matches!(event, Event::NodeEnded { .. })).unwrap().0;
    assert_eq!(sim.millis(ended), 1100, "a node is drained when what left it runs again");
    let deleted = ["web-1 Deleted", "web-2 Deleted", "web-3 Deleted"];
    let delete = Options { disable_eviction: true, ..Options::default() };
    check(drain_with(budgeted(), delete, Execution::default()), 0, "Drained", &ONE_BY_ONE, &deleted);
}

#[test]
fn a_stateful_set_comes_back_under_its_name() {
    let world = shop().runs(&stateful_set("db"), ["n1", "n1", "n2"]);
    // Its replacement can only come when the old pod is gone.
    check(drain(world.clone()), 0, "Drained", &["0 db-1", "1600 db-2"], &["db-1 Evicted", "db-2 Evicted"]);
    let slow = Habits { stop: Some(SignedDuration::from_secs(1000)), ..Habits::default() };
    let sim = drain(world).with_habits(slow, 1);
    check(sim, 0, "Drained", &["0 db-1", "1001100 db-2"], &["db-1 Evicted", "db-2 Evicted"]);
}

#[test]
fn answers_that_are_not_yes() {
    #[track_caller]
    fn one(answers: impl IntoIterator<Item = Prepared>, exit: u8, sent: &[&str], end: &str) {
        let world = shop().runs(&deployment("web"), ["n1", "n2"]);
        let outcome = if exit == 0 { "Drained" } else { "Uncordoned" };
        check(drain(world).prepare("web-1", answers), exit, outcome, sent, &[end]);
    }
    let instead = Prepared::Instead;
    one([instead(RemovalAnswer::NotFound)], 0, &["0 web-1"], "web-1 Gone: it went without us");
    one([lets(TroubleKind::Throttled, Some(7))], 0, &["0 web-1", "7000 web-1"], "web-1 Evicted");
    one([instead(RemovalAnswer::Forbidden("no".into()))], 11, &["0 web-1"], "web-1 Left: no");
    one([instead(RemovalAnswer::Denied("policy".into()))], 1, &["0 web-1"], "web-1 Left: policy");
    // Refused by the budget although our count allows it: asked again without news after ten seconds.
    one([instead(RemovalAnswer::BudgetForbids("not now".into()))], 0, &["0 web-1", "10000 web-1"], "web-1 Evicted");
    // Accepted, but nobody heard it: the watch tells.
    one([Prepared::Lost], 0, &["0 web-1"], "web-1 Evicted");
}

#[test]
fn failures_are_tried_again_ever_more_slowly_and_not_for_ever() {
    let world = || shop().runs(&deployment("web"), ["n1", "n2"]);
    for kind in [TroubleKind::NoAnswer, TroubleKind::HeldByWebhook, TroubleKind::Throttled] {
        let mut sim = drain(world()).prepare("web-1", vec![Prepared::Instead(trouble(kind)); 3]);
        let result = sim.result();
        assert_eq!((result.exit_code, sim.sent.len()), (0, 4), "{kind:?}");
        let gaps: Vec<i64> = sim.sent.windows(2).map(|pair| sim.millis(pair[1].0) - sim.millis(pair[0].0)).collect();
        assert!((500..=625).contains(&gaps[0]) && (1000..=1250).contains(&gaps[1]), "{gaps:?}");
        assert!((2000..=2500).contains(&gaps[2]), "{gaps:?}");
    }
    let broken = vec![Prepared::Instead(trouble(TroubleKind::ServerError)); 100];
    let mut sim = drain(world()).prepare("web-1", broken);
    let result = sim.result();
    assert_eq!((result.exit_code, result.reason.as_str()), (1, "node n1: pod shop/web-1: it failed"));
    assert_eq!(sim.millis(sim.now), 300_000);
}

#[test]
fn a_pod_that_was_replaced_meanwhile_is_not_evicted() {
    let world = shop().runs(&stateful_set("db"), ["n1", "n2"]);
    let mut sim = drain(world).prepare("db-1", [lets(TroubleKind::Throttled, Some(5))]);
    // While it backs off, the pod comes again elsewhere, and the watch of the node says nothing of it.
    sim = sim.meddle(1000, Meddling::DeletePod(0));
    sim.habits.lag = 0;
    check(sim, 0, "Drained", &["0 db-1"], &["db-1 Gone: it was terminating already"]);
    // A wrong UID is found out by reading, and never sent again.
    let world = shop().runs(&stateful_set("db"), ["n1", "n2"]);
    let conflict = Prepared::Instead(RemovalAnswer::Conflict("the UID does not match".into()));
    let mut sim = drain(world).prepare("db-1", [conflict]);
    sim.world.pods[0].uid = Uid("another".into());
    check(sim, 0, "Drained", &["0 db-1"], &["db-1 Gone: it went without us"]);
}

#[test]
fn impossible_budgets() {
    let world = || shop().runs(&deployment("web"), ["n1", "n1"]).with(budget("web").max_unavailable("0"));
    let message = "disruption budget shop/web needs 2 healthy pods and has 2 currently: its maxUnavailable of 0 never \
                   allows an eviction";
    let left = ["web-1 Left: nothing was begun", "web-2 Left: nothing was begun"];
    let sim = check(drain(world()), 4, "NotStarted", &[], &left);
    assert_eq!(sim.drain.result().reason, format!("node n1: pods shop/web-1, shop/web-2: {message}"));
    assert_eq!(sim.node("n1").unwrap().resource_version, "1", "the node is untouched");
    // What needs a flag comes first and keeps quiet about nothing.
    let result = drain(world().with(pod("bare").on("n1"))).result();
    let needs_flag = "cannot delete Pods that declare no controller (use --force to override): shop/bare";
    assert_eq!(result.reason, format!("node n1: {needs_flag}; pods shop/web-1, shop/web-2: {message}"));
    assert_eq!(result.exit_code, 3);
    // Two budgets are named at once.
    let two = world().runs(&deployment("api"), ["n1"]).with(budget("api").max_unavailable("0"));
    let of_api = message.replace("web", "api").replace('2', "1");
    assert_eq!(
        drain(two).result().reason,
        format!("node n1: pod shop/api-1: {of_api}; pods shop/web-1, shop/web-2: {message}")
    );

    let wait =
        Execution { on_blocked: OnBlocked::Wait, deadline: Some(Duration::from_secs(5)), ..Execution::default() };
    let world = world().runs(&deployment("api"), ["n1", "n2"]);
    let reason = format!("the deadline of 5s passed: {message}");
    let expected = ["api-1 Evicted".to_owned(), format!("web-1 Left: {reason}"), format!("web-2 Left: {reason}")];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(drain_with(world, Options::default(), wait), 6, "LeftCordoned", &["0 api-1"], &expected);

    // One that becomes impossible on the way ends it after a while.
    let sim = drain(budgeted()).meddle(500, Meddling::TightenBudget(0));
    let mut sim = check_words(sim, 4, "LeftCordoned");
    assert_eq!(sim.millis(sim.now), 10_500);
    assert_eq!(sim.result().exit_code, 4);
}

/// Checks the exit code and the nodes' words alone.
#[track_caller]
fn check_words(mut sim: Sim, exit: u8, nodes: &str) -> Sim {
    let result = sim.result();
    let words: Vec<String> = result.nodes.iter().map(|node| format!("{:?}", node.outcome)).collect();
    assert_eq!((result.exit_code, words.join(" ").as_str()), (exit, nodes), "{result:?}");
    sim
}

#[test]
fn blocked_now_waits_and_goes_the_moment_it_may() {
    let world = shop()
        .runs(&deployment("web"), ["n1", "n2", "n3"])
        .with(budget("web").max_unavailable("1"))
        .pod("web-2", |pod| pod.unready("CrashLoopBackOff"));
    let waits_for = "disruption budget shop/web needs 2 healthy pods and has 2 currently: waits for pod shop/web-2 on n2 \
                     (not Ready, CrashLoopBackOff)";
    let sim = check(
        drain_with(world.clone(), with_timeout(5), Execution::default()),
        6,
        "Uncordoned",
        &[],
        &[&format!("web-1 Left: the timeout of 5s passed: {waits_for}")],
    );
    assert_eq!(waits(&sim), [format!("1: {waits_for}")]);
    // Somebody deletes the broken pod: its replacement is Ready 1.1 s later.
    let sim = drain(world).meddle(3000, Meddling::DeletePod(1));
    check(sim, 0, "Drained", &["4100 web-1"], &["web-1 Evicted"]);
}

#[test]
fn replacements_that_do_not_come() {
    let execution = Execution { replacement_timeout: Some(Duration::from_secs(20)), ..Execution::default() };
    let never =
        Habits { start: None, trouble: Some("0/3 nodes are available: 3 Insufficient cpu."), ..Habits::default() };
    let sim = drain_with(budgeted(), Options::default(), execution.clone()).with_habits(never, 1);
    let mut sim = check_words(sim, 5, "LeftCordoned");
    let reason = sim.result().reason;
    let start = "node n1: Deployment shop/web did not get its Ready pods back within 20s: pod shop/web-rs-";
    assert!(reason.starts_with(start), "{reason}");
    assert!(reason.ends_with(" is not Ready, Unschedulable: 0/3 nodes are available: 3 Insufficient cpu."), "{reason}");
    assert_eq!((sim.millis(sim.now), sim.sent.len()), (20_000, 1));

    // Where time is up before, that is said.
    let never = Habits { start: None, trouble: Some("0/3 nodes are available."), ..Habits::default() };
    let world = shop().runs(&deployment("web"), ["n1", "n2"]);
    let sim =
        check_words(drain_with(world, with_timeout(9), Execution::default()).with_habits(never, 1), 6, "LeftCordoned");
    let reason = sim.drain.result().nodes[0].reason.clone();
    let start = "the timeout of 9s passed; Deployment shop/web has not got its Ready pods back: pod shop/web-rs-";
    assert!(reason.starts_with(start) && reason.ends_with("Unschedulable: 0/3 nodes are available."), "{reason}");

    // Whoever wants fewer pods now, or is deleted, waits for none.
    for meddling in [Meddling::ScaleDown(0), Meddling::DeleteOwner(0)] {
        let never = Habits { start: None, ..Habits::default() };
        let world = shop().runs(&deployment("web"), ["n1", "n2", "n2", "n2"]);
        let sim = drain_with(world, Options::default(), execution.clone()).with_habits(never, 1).meddle(3000, meddling);
        let sim = check(sim, 0, "Drained", &["0 web-1"], &["web-1 Evicted"]);
        assert_eq!(sim.millis(sim.now), 3000, "{meddling:?}");
        assert_eq!(sim.drain.result().pods[0].replacement_seconds, None);
    }
}

#[test]
fn interrupts() {
    let blocked = || budgeted().pod("web-4", |pod| pod.unready(""));
    let mut sim = drain(blocked()).meddle(2000, Meddling::Interrupt);
    let result = sim.result();
    assert_eq!((result.exit_code, result.nodes[0].outcome), (130, NodeOutcome::Uncordoned));
    assert_eq!((result.restored, sim.millis(sim.now)), (vec!["node/n1 uncordoned".to_owned()], 2000));
    assert!(sim.node("n1").unwrap().record.is_none());

    let sim = check_words(drain(budgeted()).meddle(100, Meddling::Interrupt), 130, "LeftCordoned");
    let reasons: Vec<String> = sim.drain.result().pods.into_iter().map(|pod| pod.reason).collect();
    assert_eq!(
        reasons,
        [
            "interrupted; it was evicted and is still stopping",
            "interrupted: disruption budget shop/web needs 3 healthy pods",
            "interrupted: disruption budget shop/web needs 3 healthy pods",
        ]
    );
    assert_eq!(
        sim.drain.result().next,
        ["kubectl get pods --all-namespaces --field-selector spec.nodeName=n1", "kubectl safe-drain uncordon n1"]
    );

    let keep = Execution { on_failure: OnFailure::Keep, ..Execution::default() };
    let sim = drain_with(blocked(), Options::default(), keep).meddle(2000, Meddling::Interrupt);
    check_words(sim, 130, "LeftCordoned");
    let uncordon = Execution { on_failure: OnFailure::Uncordon, ..Execution::default() };
    let sim = drain_with(budgeted(), Options::default(), uncordon).meddle(100, Meddling::Interrupt);
    check_words(sim, 130, "Uncordoned");
    let mut cordoned = blocked();
    cordoned.nodes[0] = node("n1").cordoned();
    let sim = check_words(drain(cordoned).meddle(2000, Meddling::Interrupt), 130, "LeftCordoned");
    assert!(sim.node("n1").unwrap().unschedulable && sim.node("n1").unwrap().record.is_none());
}

fn record(run: &str, seconds_ago: i64) -> Record {
    let at = now() - SignedDuration::from_secs(seconds_ago);
    Record {
        run: run.into(),
        owner: "bob".into(),
        reason: "disk".into(),
        started: at,
        heartbeat: at,
        was_unschedulable: false,
        surges: Vec::new(),
        finished: None,
    }
}

fn recorded(record: &Record) -> Snapshot {
    let mut world = budgeted();
    let text = serde_json::to_string(record).unwrap();
    let cordoned_by = Some("kubectl-safe-drain".to_owned());
    world.nodes[0] =
        Node { record: Some(text), cordoned_at: Some(record.started), cordoned_by, ..node("n1").cordoned() };
    world
}

#[test]
fn others_at_the_same_node() {
    let occupied = "node n1: a drain by bob (run run-0, since 2026-01-01T11:59:50Z, \"disk\") works on it";
    let mut sim = drain(recorded(&record("run-0", 10)));
    let result = sim.result();
    assert_eq!((result.exit_code, result.reason.as_str()), (10, occupied));
    assert_eq!((result.nodes[0].outcome, sim.sent.len()), (NodeOutcome::NotStarted, 0));
    assert_eq!(result.next, ["kubectl safe-drain status n1"]);

    let was_told = |sim: &Sim| {
        sim.events.iter().any(|(_, event)| matches!(event, Event::NodeTakenOver { from, .. } if from.contains("bob")))
    };
    let take_over = Execution { take_over: true, ..Execution::default() };
    let world = recorded(&record("run-0", 10));
    let sim = check(drain_with(world, Options::default(), take_over), 0, "Drained", &ONE_BY_ONE, &EVICTED);
    assert!(was_told(&sim));
    let dead = record("run-0", DEAD_AFTER.as_secs() + 1);
    let sim = check(drain(recorded(&dead)), 0, "Drained", &ONE_BY_ONE, &EVICTED);
    assert!(was_told(&sim));
    // A cordon that a dead drain made is taken back like our own.
    let mut blocked = recorded(&dead);
    blocked = blocked.pod("web-4", |pod| pod.unready(""));
    check_words(drain(blocked).meddle(2000, Meddling::Interrupt), 130, "Uncordoned");

    for (meddling, outcome) in
        [(Meddling::TakeOver, NodeOutcome::LeftCordoned), (Meddling::Uncordon, NodeOutcome::Uncordoned)]
    {
        let mut sim = drain(budgeted()).meddle(500, meddling);
        let result = sim.result();
        assert_eq!((result.exit_code, result.nodes[0].outcome, sim.sent.len()), (10, outcome, 1), "{meddling:?}");
    }
    // Somebody else was faster to cordon it: then it is theirs, and stays.
    let sim = check_words(
        drain(budgeted().pod("web-4", |pod| pod.unready("")))
            .meddle(0, Meddling::Cordon)
            .meddle(2000, Meddling::Interrupt),
        130,
        "LeftCordoned",
    );
    assert!(sim.events.iter().any(|(_, event)| matches!(event, Event::NodeCordoned { already: true, .. })));
    let node = sim.node("n1").unwrap();
    assert_eq!((node.unschedulable, &node.record), (true, &None));
    // Where the watch of the node says nothing, the next sign of life finds it out, and leaves the other record alone.
    let never = Habits { start: None, ..Habits::default() };
    let sim = drain(budgeted()).with_habits(never, 1).meddle(0, Meddling::Silence(0)).meddle(500, Meddling::TakeOver);
    let sim = check_words(sim, 10, "LeftCordoned");
    assert_eq!(sim.millis(sim.now), 30_000);
    assert!(sim.node("n1").unwrap().record.as_ref().unwrap().contains("\"bob\""), "{:?}", sim.node("n1"));
    let sim = drain(budgeted()).meddle(700, Meddling::DeleteNode);
    let left = ["web-1 Evicted", "web-2 Gone: the node was deleted", "web-3 Gone: the node was deleted"];
    check(sim, 0, "Drained", &["0 web-1"], &left);
}

#[test]
fn signs_of_life() {
    let slow = Habits { start: Some(SignedDuration::from_secs(39)), ..Habits::default() };
    let mut sim = drain(budgeted()).with_habits(slow, 1);
    let result = sim.result();
    assert_eq!(result.exit_code, 0);
    // Cordon, beats at 30, 60 and 90 seconds, and the end.
    assert_eq!(sim.node("n1").unwrap().resource_version, "6");
    let record: Record = serde_json::from_str(sim.node("n1").unwrap().record.as_ref().unwrap()).unwrap();
    assert_eq!((record.run.as_str(), record.started, record.finished), (RUN, now(), Some(sim.now)));
}

#[test]
fn lost_watches_hold_evictions_back() {
    let sim = drain(budgeted()).meddle(1000, Meddling::LoseWatches).meddle(9000, Meddling::RestoreWatches);
    let sim = check(sim, 0, "Drained", &["0 web-1", "9000 web-2", "10100 web-3"], &EVICTED);
    let told = |wanted: &Event| sim.events.iter().filter(|(_, event)| event == wanted).count();
    assert_eq!(told(&Event::ConnectionLost { message: "reset".into() }), 1);
    assert_eq!(told(&Event::ConnectionRestored), 1);
}

#[test]
fn pods_that_appear_and_pods_that_stay() {
    let forced = Options { force: true, ..Options::default() };
    let sim = drain_with(budgeted(), forced, Execution::default()).meddle(600, Meddling::AddPod);
    let mut sim = check_words(sim, 0, "Drained");
    assert_eq!((sim.result().pods.len(), sim.sent.len()), (4, 4));
    let sim = drain(budgeted()).meddle(600, Meddling::AddPod);
    let sim = check_words(sim, 3, "LeftCordoned");
    assert_eq!(sim.sent.len(), 3, "the others go");

    // What tolerates the cordon comes straight back, and is given up after some tries.
    let tolerant = |pod: Pod| Pod { tolerates_cordon: true, ..pod };
    let world = || shop().runs(&deployment("web"), ["n1", "n2"]);
    let back = Habits { elsewhere: "n1", ..Habits::default() };
    let sim = check_words(drain(world().pod("web-1", tolerant)).with_habits(back.clone(), 1), 5, "LeftCordoned");
    assert_eq!(sim.sent.len(), 4);
    // So is what its owner binds to the node itself.
    let sim = check_words(drain(world()).with_habits(back, 1), 5, "LeftCordoned");
    assert_eq!(sim.sent.len(), 4);
    // Many that come at once, bound before the scheduler saw the cordon, are drained.
    let mut sim = drain(world().with(budget("web").max_unavailable("100%")));
    for number in 0..6 {
        sim.extra.push_back(pod(&format!("late-{number}")).of(&deployment("web")).on("n1"));
        sim = sim.meddle(100, Meddling::AddPod);
    }
    let mut sim = check_words(sim, 0, "Drained");
    assert_eq!(sim.result().pods.len(), 7);

    let ignoring = Options { ignore_daemonsets: true, ..Options::default() };
    let world = shop().runs(&daemon_set("log"), ["n1"]).with(pod("old").terminating_since(-5));
    let words = ["log-1 Skipped: ignoring DaemonSet-managed Pods", "old Left: nothing was begun"];
    let bare = check_outcomes(drain_with(world, ignoring, Execution::default()), 3);
    assert_eq!(bare.len(), words.len());
}

#[track_caller]
fn check_outcomes(mut sim: Sim, exit: u8) -> Vec<String> {
    let result = sim.result();
    assert_eq!(result.exit_code, exit, "{result:?}");
    result.pods.iter().map(|pod| format!("{} {:?}", pod.name, pod.outcome)).collect()
}

#[test]
fn pods_that_do_not_stop() {
    let hangs = |change: fn(Pod) -> Pod| {
        let world = shop().runs(&deployment("web"), ["n1", "n2"]).pod("web-1", change);
        let never = Habits { stop: None, ..Habits::default() };
        let mut sim = drain_with(world, with_timeout(60), Execution::default()).with_habits(never, 1);
        let result = sim.result();
        assert_eq!((result.exit_code, result.nodes[0].outcome), (6, NodeOutcome::LeftCordoned));
        result.pods[0].reason.clone()
    };
    assert_eq!(
        hangs(|pod| Pod { finalizers: vec!["example.com/keep".into()], ..pod }),
        "the timeout of 1m passed; it was evicted and is still stopping: finalizer example.com/keep keeps it"
    );
    assert_eq!(
        hangs(|pod| pod),
        "the timeout of 1m passed; it was evicted and is still stopping: its grace period is over, and its kubelet has \
         not confirmed that it stopped"
    );
    let mut world = shop().runs(&deployment("web"), ["n1", "n2"]);
    world.nodes[0] = node("n1").not_ready("NodeStatusUnknown");
    let never = Habits { stop: None, ..Habits::default() };
    let sim = drain_with(world, with_timeout(10), Execution::default()).with_habits(never, 1);
    let sim = check_words(sim, 6, "LeftCordoned");
    let named = "node n1 is not Ready (NodeStatusUnknown): its kubelet may never confirm that Pods stopped: shop/web-1";
    assert!(waits(&sim).contains(&format!("1: {named}")), "{:?}", waits(&sim));

    let skip = Options { skip_wait_for_delete_timeout: Some(Duration::from_secs(20)), ..Options::default() };
    let world = shop().runs(&deployment("web"), ["n1", "n2"]).pod("web-1", |pod| pod.terminating_since(-5));
    let never = Habits { stop: None, ..Habits::default() };
    let mut sim = drain_with(world, skip, Execution::default()).with_habits(never, 1);
    sim.run(30);
    assert_eq!(sim.sent.len(), 0, "it is terminating already");
}

#[test]
fn several_nodes() {
    let world = shop().runs(&deployment("web"), ["n1", "n2"]).runs(&deployment("api"), ["n1", "n2"]);
    let both = |world: Snapshot, execution| Sim::new(world, "n1 n2", &Options::default(), execution);
    let habits = Habits::default();
    let mut sim = both(world.clone(), Execution::default()).with_habits(habits, 1);
    assert_eq!(sim.result().exit_code, 0);
    assert_eq!(sim.sent(), ["0 api-1", "0 web-1", "1100 api-2", "1100 web-2"], "one at a time of each, on all nodes");
    let serial = Execution { parallel: NonZeroUsize::new(1), ..Execution::default() };
    let only = shop().runs(&deployment("web"), ["n1"]).runs(&deployment("api"), ["n2"]);
    let mut sim = both(only, serial);
    assert_eq!(sim.result().exit_code, 0);
    assert_eq!(sim.sent(), ["0 web-1", "1100 api-1"], "the second node's turn comes when the first is drained");

    // A node that is refused keeps no other from going.
    let mut sim = both(world.with(pod("bare").on("n1")), Execution::default());
    let result = sim.result();
    let outcomes: Vec<NodeOutcome> = result.nodes.iter().map(|node| node.outcome).collect();
    assert_eq!((result.exit_code, outcomes), (3, vec![NodeOutcome::NotStarted, NodeOutcome::Drained]));
    let message = "node n1: cannot delete Pods that declare no controller (use --force to override): shop/bare";
    assert_eq!(result.reason, message);
}

#[test]
fn a_missing_right_begins_nothing() {
    let world = budgeted();
    let (targets, options) = (names("n1"), Options::default());
    let plan = plan::plan(&world, &targets, &options).unwrap();
    let mut drain = Drain::new(&plan, Execution::default(), Run::default());
    drain.forbid("you cannot create pods/eviction");
    let actions = drain.handle(now(), Vec::new());
    assert!(actions.iter().all(|action| matches!(action, Action::Tell(_))), "{actions:?}");
    assert_eq!((drain.result().exit_code, drain.exit().code()), (11, 11));
}

#[test]
fn a_budget_s_no_ends_the_doubt_about_an_answer_that_was_lost() {
    let refusals = vec![Prepared::Instead(RemovalAnswer::BudgetForbids("not now".into())); 2];
    let lost = [Prepared::Instead(trouble(TroubleKind::NoAnswer))];
    let mut sim =
        drain(shop().runs(&deployment("web"), ["n1", "n2"])).prepare("web-1", lost.into_iter().chain(refusals));
    assert_eq!(sim.result().exit_code, 0);
    let gaps: Vec<i64> = sim.sent.windows(2).map(|pair| sim.millis(pair[1].0) - sim.millis(pair[0].0)).collect();
    assert_eq!(gaps[1..], [10_000, 10_000], "not asked again and again");
}

#[test]
fn a_server_that_asks_for_time_gets_it_for_all_pods() {
    let world = shop().runs(&deployment("web"), ["n1", "n1", "n2"]);
    let unlimited = Options { max_unavailable: MaxUnavailable::Unlimited, ..Options::default() };
    let one = Execution { concurrency: NonZeroUsize::MIN, ..Execution::default() };
    let busy = Habits { lag: 1, ..Habits::default() };
    let sim = drain_with(world, unlimited, one).with_habits(busy, 1);
    let mut sim = sim.prepare("web-1", [lets(TroubleKind::Throttled, Some(2))]);
    assert_eq!(sim.result().exit_code, 0);
    let later: Vec<i64> = sim.sent[1..].iter().map(|(at, _)| sim.millis(*at)).collect();
    assert!(later.len() == 2 && later.iter().all(|at| *at >= 2000), "{:?}", sim.sent());
}

#[test]
fn what_goes_on_is_said_once_and_not_per_try() {
    for kind in [TroubleKind::ServerError, TroubleKind::Throttled, TroubleKind::NoAnswer, TroubleKind::HeldByWebhook] {
        let world = shop().runs(&deployment("web"), ["n1", "n2"]);
        let mut sim = drain(world).prepare("web-1", vec![Prepared::Instead(trouble(kind)); 6]);
        sim.result();
        let told = waits(&sim);
        assert_eq!(
            (sim.sent.len(), told.iter().filter(|wait| wait.ends_with(": it failed")).count()),
            (7, 1),
            "{told:?}"
        );
    }
    let refusals = vec![Prepared::Instead(RemovalAnswer::BudgetForbids("not now".into())); 4];
    let mut sim = drain(shop().runs(&deployment("web"), ["n1", "n2"])).prepare("web-1", refusals);
    sim.result();
    assert_eq!((sim.sent.len(), waits(&sim).iter().filter(|wait| *wait == "1: not now").count()), (5, 1));
}

#[test]
fn a_namespace_in_deletion_is_asked_ever_more_slowly() {
    let ending = Prepared::Instead(RemovalAnswer::NamespaceTerminating("it is being terminated".into()));
    let mut sim = drain(shop().runs(&deployment("web"), ["n1", "n2"])).prepare("web-1", vec![ending; 8]);
    assert_eq!(sim.result().exit_code, 0);
    let gaps: Vec<i64> = sim.sent.windows(2).map(|pair| sim.millis(pair[1].0) - sim.millis(pair[0].0)).collect();
    assert!((500..=625).contains(&gaps[0]) && (4000..=5000).contains(&gaps[3]), "{gaps:?}");
    assert!(gaps[5..].iter().all(|gap| (10_000..=12_500).contains(gap)), "{gaps:?}");
    let told = waits(&sim);
    assert_eq!(told.iter().filter(|wait| *wait == "1: it is being terminated").count(), 1, "{told:?}");
}

#[test]
fn several_budgets_that_only_the_server_sees() {
    let several = || vec![Prepared::Instead(RemovalAnswer::SeveralBudgets("more than one".into())); 100];
    let world = || shop().runs(&deployment("web"), ["n1", "n2"]);
    let hidden = Habits { hides_budgets: true, ..Habits::default() };
    let sim = drain(world()).with_habits(hidden.clone(), 1).prepare("web-1", several());
    let sim = check(sim, 4, "Uncordoned", &["0 web-1"], &["web-1 Left: more than one"]);
    assert_eq!(sim.millis(sim.now), 10_000);
    let wait =
        Execution { on_blocked: OnBlocked::Wait, deadline: Some(Duration::from_secs(25)), ..Execution::default() };
    let sim = drain_with(world(), Options::default(), wait).with_habits(hidden, 1).prepare("web-1", several());
    let left = "web-1 Left: the deadline of 25s passed: more than one";
    check(sim, 6, "Uncordoned", &["0 web-1", "10000 web-1", "20000 web-1"], &[left]);
}

#[test]
fn a_budget_that_opens_again_lets_go_at_once() {
    let wait = Execution { on_blocked: OnBlocked::Wait, ..Execution::default() };
    let sim = drain_with(budgeted(), Options::default(), wait);
    let sim = sim.meddle(500, Meddling::TightenBudget(0)).meddle(60_000, Meddling::LoosenBudget(0));
    let sent = ["0 web-1", "60000 web-2", "60000 web-3"];
    check(sim, 0, "Drained", &sent, &EVICTED);
}

#[test]
fn who_cannot_say_that_it_lives_evicts_nothing() {
    let down = Trouble { kind: TroubleKind::ServerError, message: "down".into(), retry_after: None };
    let from = |seconds| Some((now() + SignedDuration::from_secs(seconds), NodeAnswer::Trouble(down.clone())));
    let slow = Habits { start: Some(SignedDuration::from_secs(95)), broken_nodes: from(1), ..Habits::default() };
    let mut sim = drain_with(budgeted(), with_timeout(200), Execution::default()).with_habits(slow, 1);
    let result = sim.result();
    assert_eq!((result.exit_code, sim.sent()), (6, vec!["0 web-1".to_owned()]));
    assert!(
        waits(&sim).contains(&"2: the record of this drain on it could not be renewed".to_owned()),
        "{:?}",
        waits(&sim)
    );
    assert_eq!(result.nodes[0].outcome, NodeOutcome::LeftCordoned);
    assert_eq!(result.next.last().unwrap(), "kubectl safe-drain repair n1");
    // A node that is empty is drained, whether or not its record could be settled.
    let broken = Habits { broken_nodes: from(1), ..Habits::default() };
    let sim = drain(shop().runs(&deployment("web"), ["n1", "n2"])).with_habits(broken, 1);
    let sim = check(sim, 0, "Drained", &["0 web-1"], &["web-1 Evicted"]);
    assert_eq!(sim.drain.result().next, ["kubectl safe-drain repair n1"]);
}

#[test]
fn a_cordon_of_which_nobody_knows_is_taken_back() {
    let interrupted = |first_write_lost, lag| {
        let habits = Habits { lag, first_write_lost, ..Habits::default() };
        let mut sim = drain(budgeted()).with_habits(habits, 1).meddle(500, Meddling::Interrupt);
        let result = sim.result();
        let node = sim.node("n1").unwrap();
        assert_eq!((result.exit_code, node.unschedulable, node.record.as_deref()), (130, false, None));
        assert_eq!((sim.sent(), result.next.len()), (vec![], 1), "nothing is left to repair: {:?}", result.next);
        (result.nodes[0].outcome, result.restored)
    };
    let uncordoned = (NodeOutcome::Uncordoned, vec!["node/n1 uncordoned".to_owned()]);
    assert_eq!(interrupted(Some(true), 0), uncordoned);
    assert_eq!(interrupted(Some(true), 5000), uncordoned, "though no watch has shown it");
    assert_eq!(interrupted(Some(false), 0), (NodeOutcome::NotStarted, vec![]));
}

#[test]
fn an_answer_that_never_comes_leaves_the_node_cordoned() {
    let world = shop().runs(&deployment("web"), ["n1", "n2"]);
    let stuck = Habits { stop: None, ..Habits::default() };
    let sim = drain(world).with_habits(stuck, 1).prepare("web-1", [Prepared::Never]).meddle(1000, Meddling::Interrupt);
    let left = "web-1 Left: interrupted; its eviction was sent, and the answer did not come";
    let sim = check(sim, 130, "LeftCordoned", &["0 web-1"], &[left]);
    assert_eq!(sim.millis(sim.now), 6000);
}

#[test]
fn a_lost_watch_holds_back_its_own_namespace_alone() {
    let world = shop().runs(&deployment("web"), ["n1", "n2"]).with(pod("bare").in_namespace("other"));
    let forced = Options { force: true, ..Options::default() };
    // The third watch is that of the pods of the shop.
    let sim = drain_with(world, forced, Execution::default());
    let sim = sim.meddle(0, Meddling::LoseWatch(2)).meddle(9000, Meddling::RestoreWatches);
    check(sim, 0, "Drained", &["0 bare", "9000 web-1"], &["bare Evicted", "web-1 Evicted"]);
}

#[test]
fn pods_of_workloads_that_were_not_on_the_node() {
    // Two of an operator: the second waits for the first one's replacement, which nobody makes here.
    let operated = |name: &str| pod(name).of_kind("example.com/v1", "Thing", "db");
    let execution = Execution { replacement_timeout: Some(Duration::from_secs(20)), ..Execution::default() };
    let mut sim = drain_with(budgeted(), Options::default(), execution);
    sim.extra = [operated("db-1"), operated("db-2")].into();
    sim = sim.meddle(100, Meddling::AddPod).meddle(100, Meddling::AddPod);
    let mut sim = check_words(sim, 5, "LeftCordoned");
    assert_eq!(sim.result().pods.iter().filter(|pod| pod.outcome == PodOutcome::Left).count(), 1);
    assert_eq!(sim.sent().iter().filter(|sent| sent.contains("db-")).count(), 1, "{:?}", sim.sent());

    // A DaemonSet of another namespace, or one that is younger than the drain, keeps its pods.
    let ignoring = Options { ignore_daemonsets: true, force: true, ..Options::default() };
    let mut sim = drain_with(budgeted(), ignoring, Execution::default());
    sim.extra = [pod("log-1").of_kind("apps/v1", "DaemonSet", "log").in_namespace("kube-system")].into();
    let sim = sim.meddle(100, Meddling::AddPod);
    let pods = ["web-1 Evicted", "web-2 Evicted", "web-3 Evicted", "log-1 Skipped: ignoring DaemonSet-managed Pods"];
    check(sim, 0, "Drained", &ONE_BY_ONE, &pods);
}

#[test]
fn pods_that_stop_for_too_long_are_skipped() {
    let skip = Options { skip_wait_for_delete_timeout: Some(Duration::from_secs(20)), ..Options::default() };
    let never = Habits { stop: None, ..Habits::default() };
    let world = shop().runs(&deployment("web"), ["n1", "n2"]);
    let mut sim = drain_with(world, skip, Execution::default()).with_habits(never, 1);
    let result = sim.result();
    // Evicted at once with a grace of 30 s, and more than 20 s over it.
    assert_eq!((result.exit_code, sim.millis(sim.now)), (0, 51_000));
    assert_eq!(result.pods[0].outcome, PodOutcome::Skipped, "{result:?}");
}
