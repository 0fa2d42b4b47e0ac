//! A cluster in virtual time: it answers a drain as the API server, the controllers and the kubelets would.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use jiff::{SignedDuration, Timestamp};

use crate::{
    action::{
        Action, Change, Input, Machine, NodeAnswer, RecordChange, Removal, RemovalAnswer, Trouble, TroubleKind, Watch,
    },
    budget::arithmetic,
    drain::{
        document::DrainResult,
        machine::{Drain, choice::WITHOUT_NEWS, pod::Tracked},
        options::{Execution, Options, Run},
        plan,
    },
    event::Event,
    fixture::now,
    journal::Record,
    model::{Deletion, DisruptionBudget, Node, NodeName, Phase, Pod, Uid, UnhealthyPods, Workload, WorkloadKind},
    snapshot::{Object, Snapshot},
    workload::Owner,
};

/// The run of every test.
pub(super) const RUN: &str = "run-1";

/// A drain and its cluster.
pub(super) struct Sim {
    pub(super) drain: Drain,
    /// The truth.
    pub(super) world: Snapshot,
    /// All pods before the drain.
    initial: Vec<Pod>,
    pub(super) now: Timestamp,
    pub(super) events: Vec<(Timestamp, Event)>,
    /// Removals as they were sent.
    pub(super) sent: Vec<(Timestamp, Uid)>,
    /// Removals as the server accepted them.
    pub(super) accepted: Vec<(Timestamp, Uid)>,
    /// After each accepted removal of a Ready pod: its workload, and the Ready pods that it still has.
    pub(super) ready_after: Vec<(Timestamp, Uid, i32)>,
    pub(super) habits: Habits,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    number: u64,
    dice: u64,
    watches: BTreeMap<Watch, Timestamp>,
    /// Watches that miss what happens.
    deaf: BTreeSet<Watch>,
    in_flight: BTreeSet<Uid>,
    /// Pods of which the budget's status has contradicted our own count for too long to be believed.
    disbelieved: BTreeSet<Uid>,
    /// UIDs of which the machine learned that another pod has the name.
    replaced: BTreeSet<Uid>,
    /// Pods that [`Meddling::AddPod`] brings, the first one first.
    pub(super) extra: VecDeque<Pod>,
    /// Answers that a test prepared, by name of the pod; used before the server's own.
    pub(super) prepared: HashMap<String, VecDeque<Prepared>>,
    interrupted_at: Option<Timestamp>,
    calls: u64,
}

/// An answer that a test prepared.
#[derive(Debug, Clone)]
pub(super) enum Prepared {
    /// Instead of asking the server.
    Instead(RemovalAnswer),
    /// The server does what it would, but its answer is lost.
    Lost,
    /// The server does what it would, and nobody says that its answer is lost.
    Never,
}

/// How the cluster behaves.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    /// From the creation of a pod until it is Ready; none is never.
    pub(super) start: Option<SignedDuration>,
    /// From the deletion of a pod until it is gone; none is never.
    pub(super) stop: Option<SignedDuration>,
    /// The most that a watch lags behind, in milliseconds.
    pub(super) lag: i64,
    /// Of a hundred requests, how many fail in some way.
    pub(super) faults: u64,
    /// Answers to all writes of nodes, from a moment on.
    pub(super) broken_nodes: Option<(Timestamp, NodeAnswer)>,
    /// The answer to the first write of a node is lost: whether the server had done it.
    pub(super) first_write_lost: Option<bool>,
    /// Whether nobody may watch budgets.
    pub(super) hides_budgets: bool,
    /// Where new pods go.
    pub(super) elsewhere: &'static str,
    /// The scheduler's words about pods that never start.
    pub(super) trouble: Option<&'static str>,
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            start: Some(SignedDuration::from_millis(1100)),
            stop: Some(SignedDuration::from_millis(500)),
            lag: 0,
            faults: 0,
            broken_nodes: None,
            first_write_lost: None,
            hides_budgets: false,
            elsewhere: "n3",
            trouble: None,
        }
    }
}

/// Something that will happen.
#[derive(Debug, Clone)]
enum Happening {
    Deliver(Box<Input>),
    Serve { uid: Uid, removal: Removal, grace: Option<u32> },
    Write(Box<(NodeName, String, crate::action::NodeChange)>),
    Gone(Uid),
    Ready(Uid),
    Sync,
    Meddle(Meddling),
}

/// What somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meddling {
    Nothing,
    DeletePod(usize),
    ScaleDown(usize),
    DeleteOwner(usize),
    Cordon,
    Uncordon,
    TakeOver,
    DeleteNode,
    TightenBudget(usize),
    RemoveBudget(usize),
    AddPod,
    LoseWatches,
    RestoreWatches,
    /// One watch misses what happens, until it is restored.
    LoseWatch(usize),
    /// One watch misses what happens, and does not know it.
    Silence(usize),
    /// A watch had to begin anew.
    Relist(usize),
    /// The budget lets everything go.
    LoosenBudget(usize),
    /// A pod is not Ready for a while.
    Sicken(usize),
    /// Whatever runs becomes Ready.
    Heal,
    Interrupt,
}

/// The nodes of a text, as in `n1 n2`.
pub(super) fn names(nodes: &str) -> Vec<NodeName> {
    nodes.split_whitespace().map(|name| NodeName(name.to_owned())).collect()
}

impl Sim {
    /// A drain of nodes of a world.
    pub(super) fn new(world: Snapshot, nodes: &str, options: &Options, execution: Execution) -> Self {
        let mut world = world;
        sync_budgets(&mut world);
        let targets = names(nodes);
        let plan = plan::plan(&world, &targets, options).unwrap();
        let run = Run { id: RUN.into(), owner: "ann".into(), reason: String::new() };
        let drain = Drain::new(&plan, execution, run);
        let ending: Vec<Uid> =
            world.pods.iter().filter(|pod| pod.is_terminating()).map(|pod| pod.uid.clone()).collect();
        let mut sim = Self {
            drain,
            initial: world.pods.clone(),
            world,
            now: now(),
            events: Vec::new(),
            sent: Vec::new(),
            accepted: Vec::new(),
            ready_after: Vec::new(),
            habits: Habits::default(),
            queue: BTreeMap::new(),
            number: 0,
            dice: 1,
            watches: BTreeMap::new(),
            deaf: BTreeSet::new(),
            in_flight: BTreeSet::new(),
            disbelieved: BTreeSet::new(),
            replaced: BTreeSet::new(),
            extra: VecDeque::new(),
            prepared: HashMap::new(),
            interrupted_at: None,
            calls: 0,
        };
        // What was granted before the start and did not come true.
        sim.later(121_000, Happening::Sync);
        for uid in ending {
            sim.later(2000, Happening::Gone(uid));
        }
        sim
    }

    pub(super) fn with_habits(mut self, habits: Habits, seed: u64) -> Self {
        (self.habits, self.dice) = (habits, seed | 1);
        self
    }

    /// Lets somebody else do something so many milliseconds after the start.
    pub(super) fn meddle(mut self, at: i64, what: Meddling) -> Self {
        self.later(at, Happening::Meddle(what));
        self
    }

    /// The next removals of a pod end like this.
    pub(super) fn prepare(mut self, pod: &str, answers: impl IntoIterator<Item = Prepared>) -> Self {
        self.prepared.entry(pod.to_owned()).or_default().extend(answers);
        self
    }

    /// Runs it to its end, or for so many seconds; says whether it ended.
    pub(super) fn run(&mut self, limit: i64) -> bool {
        let end = now() + SignedDuration::from_secs(limit);
        let mut inputs = Vec::new();
        loop {
            self.calls += 1;
            assert!(self.calls < 20_000, "it is called again and again at {}", self.now);
            let is_over = |at: Timestamp| self.now.duration_since(at) >= WITHOUT_NEWS;
            let over = self.drain.pods.iter().filter(|tracked| tracked.contradicted_since.is_some_and(is_over));
            self.disbelieved = over.map(|tracked| tracked.pod.uid.clone()).collect();
            for action in self.drain.handle(self.now, std::mem::take(&mut inputs)) {
                self.perform(action);
            }
            if self.drain.is_finished() {
                return true;
            }
            let wake = self.drain.next_wake();
            assert!(wake.is_none_or(|at| at > self.now), "it wants to be woken in the past");
            let next = self.queue.first_key_value().map(|((at, _), _)| *at);
            let Some(at) = [wake, next].into_iter().flatten().min().filter(|at| *at <= end) else { return false };
            self.now = self.now.max(at);
            while let Some(entry) = self.queue.first_entry() {
                if entry.key().0 > self.now {
                    break;
                }
                let happening = entry.remove();
                self.happen(happening, &mut inputs);
            }
        }
    }

    /// Runs it and returns how it ended.
    pub(super) fn result(&mut self) -> DrainResult {
        assert!(self.run(3600), "it does not end; it waits for {:?}", self.drain.told);
        self.drain.result()
    }

    /// Milliseconds since the start.
    #[expect(clippy::unused_self, reason = "reads like a question to it")]
    pub(super) fn millis(&self, at: Timestamp) -> i64 {
        i64::try_from(at.duration_since(now()).as_millis()).unwrap()
    }

    /// Removals as they were sent: milliseconds since the start, and the pod.
    pub(super) fn sent(&self) -> Vec<String> {
        let name = |uid: &Uid| uid.0.trim_start_matches("pod-").to_owned();
        self.sent.iter().map(|(at, uid)| format!("{} {}", self.millis(*at), name(uid))).collect()
    }

    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.world.nodes.iter().find(|node| node.name.0 == name)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides.max(1)
    }

    fn roll_millis(&mut self, most: i64) -> i64 {
        i64::try_from(self.roll(u64::try_from(most + 1).unwrap())).unwrap()
    }

    fn later(&mut self, millis: i64, happening: Happening) {
        self.number += 1;
        self.queue.insert((self.now + SignedDuration::from_millis(millis), self.number), happening);
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Tell(event) => self.events.push((self.now, event)),
            Action::Watch(watch) => {
                assert!(self.watches.insert(watch.clone(), self.now).is_none(), "a watch is asked for once");
                if self.habits.hides_budgets && matches!(watch, Watch::BudgetsIn(_)) {
                    self.watches.remove(&watch);
                    self.later(0, Happening::Deliver(Box::new(Input::Watched(watch, Change::Refused("no".into())))));
                }
            }
            Action::Remove { pod: _, uid, removal, grace_period_seconds } => {
                assert!(self.in_flight.insert(uid.clone()), "{uid} is in flight already");
                assert!(!self.replaced.contains(&uid), "{uid} is known to be another pod");
                assert!(self.interrupted_at.is_none(), "{uid} is asked after the interrupt");
                let seen = self.drain.by_uid.get(&uid).map(|&number| &self.drain.pods[number].pod);
                assert!(seen.is_some_and(|pod| !pod.is_terminating()), "{uid} is known to be terminating");
                let asking = self.in_flight.iter().map(|uid| &self.drain.pods[self.drain.by_uid[uid]]);
                let most = usize::from(self.drain.execution.concurrency);
                assert!(asking.filter(|tracked| !tracked.is_ended()).count() <= most, "too many requests at a time");
                self.check_room(&uid, removal);
                self.sent.push((self.now, uid.clone()));
                let delay = self.roll_millis(self.habits.lag.min(50));
                self.later(delay, Happening::Serve { uid, removal, grace: grace_period_seconds });
            }
            Action::ReadPod { pod, uid } => {
                let found = self.world.pods.iter().find(|known| known.name == pod).map(|known| known.uid.clone());
                let found = if self.roll(100) < self.habits.faults { Err(no_answer()) } else { Ok(found) };
                if found.as_ref().is_ok_and(|found| found.as_ref() != Some(&uid)) {
                    self.replaced.insert(uid.clone());
                }
                self.later(1, Happening::Deliver(Box::new(Input::PodRead { pod: uid, found })));
            }
            Action::WriteNode { node, resource_version, change } => {
                let delay = self.roll_millis(self.habits.lag.min(50));
                self.later(delay, Happening::Write(Box::new((node, resource_version, change))));
            }
            other => panic!("a drain asks for {other:?}"),
        }
    }

    /// By the machine's own view, what it asks for has room: the budget's status allows it beside all that is under way
    /// and not in the status yet.
    fn check_room(&self, uid: &Uid, removal: Removal) {
        let tracked = &self.drain.pods[self.drain.by_uid[uid]];
        let pod = &tracked.pod;
        let view = &self.drain.view;
        let covers = |budget: &&DisruptionBudget| budget.covers(&pod.name.namespace, &pod.labels);
        let [budget] = view.snapshot.budgets.iter().filter(covers).collect::<Vec<_>>()[..] else { return };
        let asks = removal == Removal::Evict && pod.ready && pod.phase == Phase::Running;
        // A request without an answer is repeated.
        if !asks || self.disbelieved.contains(uid) || tracked.is_in_doubt || !view.follows_budgets(&pod.name.namespace)
        {
            return;
        }
        let others = self.in_flight.iter().filter(|other| *other != uid);
        let draws = |pod: &&Pod| covers(&budget) && budget.covers(&pod.name.namespace, &pod.labels) && pod.ready;
        // What was given up (its node was deleted, or has stopped) is the server's to count.
        let counts = |other: &&Tracked| other.is_there && !other.is_ended();
        let pods = others.map(|other| &self.drain.pods[self.drain.by_uid[other]]).filter(counts);
        let under_way = pods
            .map(|other| &other.pod)
            .filter(draws)
            .filter(|pod| !pod.is_terminating() && !budget.status.disrupted_pods.contains_key(&pod.name.name))
            .count();
        let allowed = usize::try_from(budget.status.disruptions_allowed).unwrap_or_default();
        assert!(
            allowed > under_way,
            "{} is asked although {} is exhausted: {under_way} of {:?}",
            pod.name,
            budget.name,
            budget.status
        );
    }

    fn happen(&mut self, happening: Happening, inputs: &mut Vec<Input>) {
        match happening {
            Happening::Deliver(input) => {
                if let Input::Removed { pod, .. } = &*input {
                    self.in_flight.remove(pod);
                }
                inputs.push(*input);
            }
            Happening::Serve { uid, removal, grace } => self.serve(&uid, removal, grace),
            Happening::Write(write) => self.write(*write),
            Happening::Gone(uid) => {
                if let Some(at) = self.world.pods.iter().position(|pod| pod.uid == uid && pod.finalizers.is_empty()) {
                    let pod = self.world.pods.swap_remove(at);
                    self.show(Object::Pod(Box::new(pod)), true);
                    self.later(0, Happening::Sync);
                }
            }
            Happening::Ready(uid) => {
                let pod = self.world.pods.iter_mut().find(|pod| pod.uid == uid && !pod.is_terminating());
                if let Some(pod) = pod {
                    (pod.ready, pod.phase, pod.trouble) = (true, Phase::Running, None);
                    let shown = pod.clone();
                    self.show(Object::Pod(Box::new(shown)), false);
                    self.sync_later();
                }
            }
            Happening::Sync => self.sync(),
            Happening::Meddle(what) => self.do_meddle(what, inputs),
        }
    }

    fn sync_later(&mut self) {
        let delay = self.roll_millis(self.habits.lag);
        self.later(delay, Happening::Sync);
    }

    #[expect(clippy::needless_pass_by_value, reason = "shorter for every caller")]
    fn show(&mut self, object: Object, is_gone: bool) {
        let hears = |watch: &&Watch| shows(watch, &object) && !self.deaf.contains(watch);
        let watches: Vec<Watch> = self.watches.keys().filter(hears).cloned().collect();
        for watch in watches {
            self.say(&watch, if is_gone { Change::Deleted(object.clone()) } else { Change::Seen(object.clone()) });
        }
    }

    /// Lets a watch say something, after all that it said before.
    fn say(&mut self, watch: &Watch, change: Change) {
        let lag = SignedDuration::from_millis(self.roll_millis(self.habits.lag));
        let at = self.watches[watch].max(self.now + lag);
        self.watches.insert(watch.clone(), at);
        self.number += 1;
        let input = Input::Watched(watch.clone(), change);
        self.queue.insert((at, self.number), Happening::Deliver(Box::new(input)));
    }

    fn relist(&mut self, watch: &Watch) {
        let Snapshot { nodes, pods, budgets, workloads, .. } = self.world.clone();
        let mut objects: Vec<Object> = nodes.into_iter().map(Object::from).collect();
        objects.extend(pods.into_iter().map(Object::from));
        objects.extend(budgets.into_iter().map(Object::from));
        let mut workloads = workloads;
        workloads.retain(|workload| {
            objects.push(workload.clone().into());
            true
        });
        objects.retain(|object| shows(watch, object));
        self.say(watch, Change::Listed(objects));
    }

    fn serve(&mut self, uid: &Uid, removal: Removal, grace: Option<u32>) {
        let tracked = self.drain.by_uid[uid];
        let name = self.drain.pods[tracked].pod.name.clone();
        let prepared = self.prepared.get_mut(&name.name).and_then(VecDeque::pop_front);
        let roll = self.roll(100);
        let answer = match prepared {
            Some(Prepared::Instead(answer)) => answer,
            Some(Prepared::Never) => {
                self.decide(uid, removal, grace);
                return;
            }
            Some(Prepared::Lost) => {
                self.decide(uid, removal, grace);
                trouble(TroubleKind::NoAnswer)
            }
            None if roll < self.habits.faults => match self.roll(9) {
                0 => trouble(TroubleKind::NoAnswer),
                1 => {
                    self.decide(uid, removal, grace);
                    trouble(TroubleKind::NoAnswer)
                }
                2 => trouble(TroubleKind::ServerError),
                3 => trouble(TroubleKind::Throttled),
                4 => trouble(TroubleKind::HeldByWebhook),
                5 => RemovalAnswer::NamespaceTerminating("it is being terminated".into()),
                6 => RemovalAnswer::BudgetForbids("not now".into()),
                7 => RemovalAnswer::Trouble(Trouble {
                    retry_after: Some(SignedDuration::from_secs(2)),
                    ..Trouble { kind: TroubleKind::Throttled, message: "busy".into(), retry_after: None }
                }),
                _ => RemovalAnswer::Conflict("the pod was modified".into()),
            },
            None => self.decide(uid, removal, grace),
        };
        let delay = self.roll_millis(self.habits.lag.min(50));
        self.later(delay, Happening::Deliver(Box::new(Input::Removed { pod: uid.clone(), answer })));
    }

    /// What the eviction handler does (`eviction.go`).
    fn decide(&mut self, uid: &Uid, removal: Removal, grace: Option<u32>) -> RemovalAnswer {
        let tracked = self.drain.by_uid[uid];
        let name = self.drain.pods[tracked].pod.name.clone();
        let Some(at) = self.world.pods.iter().position(|pod| pod.name == name) else { return RemovalAnswer::NotFound };
        let pod = self.world.pods[at].clone();
        if &pod.uid != uid {
            return RemovalAnswer::Conflict("the UID in the precondition does not match".into());
        }
        let is_free = pod.is_terminating() || matches!(pod.phase, Phase::Pending | Phase::Succeeded | Phase::Failed);
        if removal == Removal::Evict && !is_free {
            let covers = |budget: &DisruptionBudget| budget.covers(&pod.name.namespace, &pod.labels);
            let budgets: Vec<usize> =
                (0..self.world.budgets.len()).filter(|&number| covers(&self.world.budgets[number])).collect();
            if budgets.len() > 1 {
                return RemovalAnswer::SeveralBudgets("This pod has more than one PodDisruptionBudget".into());
            }
            if let [number] = budgets[..] {
                let budget = &mut self.world.budgets[number];
                let status = &mut budget.status;
                let goes_unready = !pod.ready
                    && match budget.unhealthy_pods {
                        UnhealthyPods::AlwaysAllow => true,
                        UnhealthyPods::IfHealthyBudget => {
                            status.current_healthy >= status.desired_healthy && status.desired_healthy > 0
                        }
                        UnhealthyPods::Unrecognized(_) => false,
                    };
                if !goes_unready {
                    if status.observed_generation < budget.generation || status.disruptions_allowed == 0 {
                        return RemovalAnswer::BudgetForbids("the budget needs more healthy pods".into());
                    }
                    status.disruptions_allowed -= 1;
                    status.disrupted_pods.insert(pod.name.name.clone(), self.now);
                    let shown = budget.clone();
                    self.show(Object::Budget(Box::new(shown)), false);
                    self.later(121_000, Happening::Sync);
                }
            }
        }
        self.accepted.push((self.now, uid.clone()));
        self.delete(at, grace);
        if let (true, Owner::Workload(root)) = (pod.is_healthy(), self.world.workloads.root(&pod)) {
            let of_root = |pod: &&Pod| self.world.workloads.root(pod) == Owner::Workload(root);
            let ready = self.world.pods.iter().filter(|pod| pod.is_healthy()).filter(of_root).count();
            self.ready_after.push((self.now, root.uid.clone(), i32::try_from(ready).unwrap()));
        }
        RemovalAnswer::Accepted
    }

    fn delete(&mut self, at: usize, grace: Option<u32>) {
        let pod = &mut self.world.pods[at];
        if pod.is_terminating() {
            return;
        }
        let grace = grace.map_or(pod.grace_seconds, i64::from);
        pod.deletion = Some(Deletion { at: self.now + SignedDuration::from_secs(grace) });
        let shown = pod.clone();
        let uid = shown.uid.clone();
        self.show(Object::Pod(Box::new(shown)), false);
        if let Some(stop) = self.habits.stop {
            self.later(i64::try_from(stop.as_millis()).unwrap(), Happening::Gone(uid));
        }
        self.later(0, Happening::Sync);
    }

    fn write(&mut self, (name, version, change): (NodeName, String, crate::action::NodeChange)) {
        let fault = if self.roll(100) < self.habits.faults { self.roll(3) } else { 3 };
        let broken = self.habits.broken_nodes.clone().filter(|(since, _)| *since <= self.now);
        let answer = match (self.habits.first_write_lost.take(), broken, fault) {
            (Some(true), ..) | (None, None, 2) => {
                self.decide_write(&name, &version, change);
                NodeAnswer::Trouble(no_answer())
            }
            (Some(false), ..) | (None, None, 0) => NodeAnswer::Trouble(no_answer()),
            (None, Some((_, answer)), _) => answer,
            (None, None, 1) => NodeAnswer::Trouble(Trouble { kind: TroubleKind::ServerError, ..no_answer() }),
            (None, None, _) => self.decide_write(&name, &version, change),
        };
        let delay = self.roll_millis(self.habits.lag.min(50));
        self.later(delay, Happening::Deliver(Box::new(Input::NodeWritten { node: name, answer })));
    }

    fn decide_write(&mut self, name: &NodeName, version: &str, change: crate::action::NodeChange) -> NodeAnswer {
        let answer = match self.world.nodes.iter_mut().find(|node| &node.name == name) {
            None => NodeAnswer::Deleted,
            Some(node) if node.resource_version != version => NodeAnswer::Changed(node.clone()),
            Some(node) => {
                if let Some(unschedulable) = change.unschedulable {
                    node.unschedulable = unschedulable;
                    node.cordoned_by = unschedulable.then(|| crate::journal::FIELD_MANAGER.to_owned());
                }
                match change.record {
                    Some(RecordChange::Set(record)) => node.record = Some(serde_json::to_string(&record).unwrap()),
                    Some(RecordChange::Remove) => node.record = None,
                    None => {}
                }
                bump(node);
                NodeAnswer::Stands(node.clone())
            }
        };
        if let NodeAnswer::Stands(node) = &answer {
            self.show(Object::Node(node.clone()), false);
        }
        answer
    }

    /// The controllers' turn: pods that are missing are created, those beyond are deleted, budgets are counted.
    fn sync(&mut self) {
        self.world.taken_at = self.now;
        for set in owners(&self.world) {
            let wanted = usize::try_from(set.replicas).unwrap_or_default();
            let is_stateful = set.kind == WorkloadKind::StatefulSet;
            let of_set = |pod: &&Pod| pod.controller.as_ref().is_some_and(|owner| owner.uid == set.uid);
            let counts = |pod: &&Pod| of_set(pod) && (is_stateful || (!pod.is_terminating() && !pod.is_finished()));
            let mut pods: Vec<&Pod> = self.world.pods.iter().filter(counts).collect();
            // A StatefulSet keeps its lowest ordinals, the others what is Ready.
            pods.sort_by_key(|pod| (!is_stateful && !pod.ready, &pod.name));
            let counted = pods.len();
            // It also brings its finished pods back.
            let beyond = pods.into_iter().enumerate().filter(|(at, pod)| *at >= wanted || pod.is_finished());
            let beyond: Vec<Uid> = beyond.map(|(_, pod)| pod.uid.clone()).collect();
            for uid in beyond {
                let at = self.world.pods.iter().position(|pod| pod.uid == uid);
                self.delete(at.unwrap(), None);
            }
            for _ in counted..wanted {
                self.create(&set);
            }
        }
        let before = self.world.budgets.clone();
        sync_budgets(&mut self.world);
        for budget in self.world.budgets.clone() {
            if before.iter().any(|old| old.name == budget.name && *old != budget) {
                self.show(Object::Budget(Box::new(budget)), false);
            }
        }
    }

    fn create(&mut self, set: &Workload) {
        self.number += 1;
        let number = self.number;
        let of_set = |pod: &&Pod| pod.controller.as_ref().is_some_and(|owner| owner.uid == set.uid);
        let Some(model) = self.initial.iter().chain(&self.world.pods).find(of_set).cloned() else { return };
        let name = if set.kind == WorkloadKind::StatefulSet {
            let is_taken = |name: &str| self.world.pods.iter().any(|pod| pod.name.name == name);
            let names = self.initial.iter().filter(of_set).map(|pod| &pod.name.name);
            let Some(free) = names.into_iter().find(|name| !is_taken(name)) else { return };
            free.clone()
        } else {
            format!("{}-{number}", set.name.name)
        };
        let mut pod = Pod {
            uid: Uid(format!("pod-new-{number}")),
            deletion: None,
            phase: Phase::Pending,
            ready: false,
            trouble: self.habits.trouble.map(|_| "Unschedulable".to_owned()),
            trouble_message: self.habits.trouble.map(str::to_owned),
            node: Some(NodeName(self.habits.elsewhere.into())),
            ..model
        };
        pod.name.name = name;
        if self.habits.start.is_none() {
            pod.node = None;
        }
        let uid = pod.uid.clone();
        self.world.pods.push(pod.clone());
        self.show(Object::Pod(Box::new(pod)), false);
        if let Some(start) = self.habits.start {
            self.later(i64::try_from(start.as_millis()).unwrap(), Happening::Ready(uid));
        }
    }

    fn do_meddle(&mut self, what: Meddling, inputs: &mut Vec<Input>) {
        let budgets = self.world.budgets.len();
        match what {
            Meddling::DeletePod(number) if !self.world.pods.is_empty() => {
                let at = number % self.world.pods.len();
                self.delete(at, None);
            }
            Meddling::ScaleDown(number) => self.scale_down(number),
            Meddling::DeleteOwner(number) => self.delete_owner(number),
            Meddling::Cordon => self.change_node(|node| node.unschedulable = true),
            Meddling::Uncordon => self.change_node(|node| {
                node.unschedulable = false;
                node.cordoned_by = None;
            }),
            Meddling::TakeOver => {
                let record = Record {
                    run: "run-2".into(),
                    owner: "bob".into(),
                    reason: String::new(),
                    started: self.now,
                    heartbeat: self.now,
                    was_unschedulable: false,
                    surges: Vec::new(),
                    finished: None,
                };
                let text = serde_json::to_string(&record).unwrap();
                self.change_node(|node| node.record = Some(text));
            }
            Meddling::DeleteNode => {
                let name = self.drain.nodes[0].seen.name.clone();
                if let Some(at) = self.world.nodes.iter().position(|node| node.name == name) {
                    let node = self.world.nodes.remove(at);
                    self.show(Object::Node(node), true);
                }
            }
            Meddling::TightenBudget(number) if budgets > 0 => {
                let budget = &mut self.world.budgets[number % budgets];
                (budget.min_available, budget.max_unavailable) = (None, Some("0".parse()));
                let shown = budget.clone();
                self.show(Object::Budget(Box::new(shown)), false);
                self.sync_later();
            }
            Meddling::RemoveBudget(number) if budgets > 0 => {
                let budget = self.world.budgets.remove(number % budgets);
                self.show(Object::Budget(Box::new(budget)), true);
            }
            Meddling::AddPod => {
                self.number += 1;
                let node = self.drain.nodes[0].seen.name.0.clone();
                let bare = || crate::fixture::pod(&format!("extra-{}", self.number)).on(&node);
                let pod = self.extra.pop_front().unwrap_or_else(bare);
                self.world.pods.push(pod.clone());
                self.show(Object::Pod(Box::new(pod)), false);
            }
            Meddling::LoosenBudget(number) if budgets > 0 => {
                let budget = &mut self.world.budgets[number % budgets];
                (budget.min_available, budget.max_unavailable) = (None, Some("100%".parse()));
                let shown = budget.clone();
                self.show(Object::Budget(Box::new(shown)), false);
                self.sync_later();
            }
            Meddling::Sicken(number) if !self.world.pods.is_empty() => {
                let at = number % self.world.pods.len();
                let pod = &mut self.world.pods[at];
                pod.ready = false;
                let shown = pod.clone();
                let uid = shown.uid.clone();
                self.show(Object::Pod(Box::new(shown)), false);
                self.sync_later();
                self.later(3000, Happening::Ready(uid));
            }
            Meddling::Heal => {
                let running: Vec<Uid> =
                    self.world.pods.iter().filter(|pod| !pod.is_finished()).map(|pod| pod.uid.clone()).collect();
                for uid in running {
                    self.later(0, Happening::Ready(uid));
                }
            }
            Meddling::Interrupt => {
                self.interrupted_at.get_or_insert(self.now);
                inputs.push(Input::Interrupted);
            }
            _ => self.meddle_with_watches(what, inputs),
        }
    }

    fn scale_down(&mut self, number: usize) {
        let roots = roots(&self.world);
        let Some(root) = roots.get(number % roots.len().max(1)) else { return };
        let scaled = root.clone().replicas(root.replicas / 2);
        self.put_workload(scaled.clone());
        for set in owners(&self.world) {
            if set.controller.as_ref().is_some_and(|owner| owner.uid == root.uid) {
                self.put_workload(set.replicas(scaled.replicas));
            }
        }
        self.sync_later();
    }

    fn delete_owner(&mut self, number: usize) {
        let roots = roots(&self.world);
        let Some(root) = roots.get(number % roots.len().max(1)) else { return };
        for set in owners(&self.world) {
            if set.uid == root.uid || set.controller.as_ref().is_some_and(|owner| owner.uid == root.uid) {
                self.world.workloads.remove(&set);
                self.show(Object::Workload(Box::new(set)), true);
            }
        }
        self.world.workloads.remove(root);
        self.show(Object::Workload(Box::new(root.clone())), true);
        self.sync_later();
    }

    fn meddle_with_watches(&mut self, what: Meddling, inputs: &mut Vec<Input>) {
        let watches: Vec<Watch> = self.watches.keys().cloned().collect();
        let nth = |number: usize| watches[number % watches.len()].clone();
        match what {
            Meddling::LoseWatches => {
                inputs.extend(watches.into_iter().map(|watch| Input::Watched(watch, Change::Lost("reset".into()))));
            }
            Meddling::RestoreWatches => {
                for watch in watches {
                    if self.deaf.remove(&watch) {
                        self.relist(&watch);
                    }
                    self.say(&watch, Change::Restored);
                }
            }
            Meddling::LoseWatch(number) if !watches.is_empty() => {
                self.say(&nth(number), Change::Lost("reset".into()));
                self.deaf.insert(nth(number));
            }
            Meddling::Silence(number) if !watches.is_empty() => _ = self.deaf.insert(nth(number)),
            Meddling::Relist(number) if !watches.is_empty() && !self.deaf.contains(&nth(number)) => {
                self.relist(&nth(number));
            }
            _ => {}
        }
    }

    fn put_workload(&mut self, workload: Workload) {
        self.world.workloads.insert(workload.clone());
        self.show(Object::Workload(Box::new(workload)), false);
    }

    pub(super) fn change_node(&mut self, change: impl FnOnce(&mut Node)) {
        let name = self.drain.nodes[0].seen.name.clone();
        if let Some(node) = self.world.nodes.iter_mut().find(|node| node.name == name) {
            change(node);
            bump(node);
            let shown = node.clone();
            self.show(Object::Node(shown), false);
        }
    }
}

/// A request that may be tried again.
pub(super) fn trouble(kind: TroubleKind) -> RemovalAnswer {
    RemovalAnswer::Trouble(Trouble { kind, message: "it failed".into(), retry_after: None })
}

fn no_answer() -> Trouble {
    Trouble { kind: TroubleKind::NoAnswer, message: "timed out".into(), retry_after: None }
}

fn bump(node: &mut Node) {
    node.resource_version = (node.resource_version.parse::<u64>().unwrap() + 1).to_string();
}

fn shows(watch: &Watch, object: &Object) -> bool {
    match (watch, object) {
        (Watch::Node(name), Object::Node(node)) => &node.name == name,
        (Watch::PodsOn(name), Object::Pod(pod)) => pod.node.as_ref() == Some(name),
        (Watch::PodsIn(namespace), Object::Pod(pod)) => &pod.name.namespace == namespace,
        (Watch::BudgetsIn(namespace), Object::Budget(budget)) => &budget.name.namespace == namespace,
        (Watch::WorkloadsIn(kind, namespace), Object::Workload(workload)) => {
            &workload.name.namespace == namespace && workload.kind == *kind
        }
        _ => false,
    }
}

/// What creates pods: `ReplicaSet`s, `StatefulSet`s and the like.
fn owners(world: &Snapshot) -> Vec<Workload> {
    let mut owners = Vec::new();
    let mut copy = world.workloads.clone();
    copy.retain(|workload| {
        let creates = matches!(
            workload.kind,
            WorkloadKind::ReplicaSet | WorkloadKind::StatefulSet | WorkloadKind::ReplicationController
        );
        if creates {
            owners.push(workload.clone());
        }
        true
    });
    owners.sort_by(|one, other| one.name.cmp(&other.name));
    owners
}

/// What people scale: Deployments, and creators that nothing is above.
fn roots(world: &Snapshot) -> Vec<Workload> {
    let mut roots = Vec::new();
    let mut copy = world.workloads.clone();
    copy.retain(|workload| {
        if workload.controller.is_none() && workload.kind.has_scale() {
            roots.push(workload.clone());
        }
        true
    });
    roots.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
    roots
}

/// Lets workloads want at least the pods that they have: who wants fewer would take some down itself.
pub(super) fn want_what_is_there(world: &mut Snapshot) {
    for owner in owners(world) {
        let of_owner = |pod: &&Pod| pod.controller.as_ref().is_some_and(|reference| reference.uid == owner.uid);
        let existing = i32::try_from(world.pods.iter().filter(of_owner).count()).unwrap();
        if owner.replicas < existing {
            for root in roots(world) {
                if owner.controller.as_ref().is_some_and(|above| above.uid == root.uid) {
                    world.workloads.insert(root.replicas(existing));
                }
            }
            world.workloads.insert(owner.replicas(existing));
        }
    }
}

/// The disruption controller.
pub(super) fn sync_budgets(world: &mut Snapshot) {
    let mut budgets = std::mem::take(&mut world.budgets);
    for budget in &mut budgets {
        let covered: Vec<&Pod> =
            world.pods.iter().filter(|pod| budget.covers(&pod.name.namespace, &pod.labels)).collect();
        let by_name: BTreeMap<&str, &Pod> = covered.iter().map(|pod| (pod.name.name.as_str(), *pod)).collect();
        budget.status.disrupted_pods.retain(|name, at| {
            let is_fresh = world.taken_at.duration_since(*at) < SignedDuration::from_secs(120);
            is_fresh && by_name.get(name.as_str()).is_some_and(|pod| !pod.is_terminating())
        });
        let sync = arithmetic::sync(budget, &covered, &world.workloads, world.taken_at);
        budget.status.observed_generation = budget.generation;
        match sync {
            Ok(sync) => {
                budget.status.expected_pods = sync.counts.expected;
                budget.status.desired_healthy = sync.counts.desired;
                budget.status.current_healthy = sync.counts.healthy;
                budget.status.disruptions_allowed = sync.counts.allowed();
            }
            Err(_) => budget.status.disruptions_allowed = 0,
        }
    }
    world.budgets = budgets;
}
