//! A cluster in virtual time: it answers a guard as the API server, the controllers and the kubelets would.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{
    action::{Action, Change, Input, Machine, Part, RemovalAnswer, RolloutAnswer, Trouble, TroubleKind, Watch},
    fixture::{NAMESPACE, now},
    model::{
        Condition, ContainerRole, ContainerState, ContainerStatus, NodeName, ObjectName, OwnerRef, Phase, PodStatus,
        Revision, RevisionCounts, Rollout, RolloutKind, Termination, Uid, VersionKey,
    },
    outcome::Exit,
    rollout::{
        document::RolloutResult,
        event::Event,
        machine::{Guard, Target, Task},
        options::{GuardOptions, OnStall, UndoOn},
        template,
        verdict::Limits,
        view::View,
    },
    snapshot::Object,
};

/// A guard and its cluster.
pub(super) struct Sim {
    pub(super) guard: Guard,
    pub(super) now: Timestamp,
    pub(super) events: Vec<(Timestamp, Event)>,
    /// Patches that the server accepted: when, and the image of the template that they brought.
    pub(super) accepted: Vec<(Timestamp, String)>,
    /// Pods that were deleted by the guard: when, which, and whether they were Ready.
    pub(super) deleted: Vec<(Timestamp, String, bool)>,
    /// The fewest Ready pods that there were since the beginning.
    pub(super) fewest_ready: usize,
    pub(super) world: World,
    pub(super) habits: Habits,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    number: u64,
    dice: u64,
    watches: BTreeMap<Watch, Timestamp>,
    /// Watches that miss what happens.
    deaf: BTreeSet<Watch>,
    is_patching: bool,
    interrupted_at: Option<Timestamp>,
    calls: u64,
}

/// The workload `web` of one namespace, and what belongs to it.
pub(super) struct World {
    pub(super) rollout: Option<Rollout>,
    revisions: Vec<Revision>,
    pub(super) pods: Vec<PodStatus>,
    made: usize,
}

/// How the cluster behaves.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    /// The most that a watch lags behind, in milliseconds.
    pub(super) lag: i64,
    /// Of a hundred requests, how many fail in some way.
    pub(super) faults: u64,
    /// How a pod of an image fares.
    pub(super) fates: BTreeMap<&'static str, Fate>,
    /// Whether objects that a template needs are there.
    pub(super) has_references: bool,
    /// Whether another writer takes each undo back, and after how many milliseconds.
    pub(super) reverts_after: Option<i64>,
    /// What the server says to the first deletions by the guard, which it then does not do.
    pub(super) deletions: Vec<RemovalAnswer>,
    /// How many milliseconds after a patch was done its answer comes: the watches may have told more by then.
    pub(super) answers_after: i64,
    /// Whether pods that are asked to go never do: their node does not answer.
    pub(super) lingers: bool,
}

/// How pods fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Ready after so many milliseconds.
    Ready(i64),
    /// The image cannot be pulled, in the registry's words.
    NotPulled(&'static str),
    /// Ends so many milliseconds after its start, so many times, is Ready in between, and then well.
    Ends { after: i64, times: i32 },
    /// Runs, never Ready.
    NeverReady,
    /// Ready and unready by turns of so many milliseconds.
    Flaps(i64),
}

/// Something that will happen.
#[derive(Debug, Clone)]
enum Happening {
    Deliver(Box<Input>),
    Patch(String),
    Ready(Uid),
    Unready(Uid, i64),
    Fail(Uid, &'static str),
    End(Uid, i64, i32),
    Start(Uid, i64, i32),
    Gone(Uid),
    Sync,
    Meddle(Meddling),
}

/// What somebody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meddling {
    Nothing,
    /// Rolls out another version.
    Roll(&'static str),
    Scale(i32),
    Pause,
    DeleteWorkload,
    KillPod(usize),
    LoseWatch(usize),
    RestoreWatches,
    RefuseWatch,
    Interrupt,
}

impl Default for Habits {
    fn default() -> Self {
        let fates = [
            ("web:1", Fate::Ready(400)),
            ("web:2", Fate::Ready(400)),
            ("web:missing", Fate::NotPulled("not found")),
            ("web:busy", Fate::NotPulled("503 Service Unavailable")),
            ("web:ends", Fate::Ends { after: 500, times: i32::MAX }),
            ("web:late", Fate::Ends { after: 12_000, times: i32::MAX }),
            ("web:heals", Fate::Ends { after: 500, times: 2 }),
            ("web:slow", Fate::Ready(60_000)),
            ("web:never", Fate::NeverReady),
            ("web:flaps", Fate::Flaps(3000)),
            // Ready, and answers nobody.
            ("web:mute", Fate::Ready(400)),
        ];
        Self {
            lag: 0,
            faults: 0,
            fates: fates.into(),
            has_references: true,
            reverts_after: None,
            deletions: Vec::new(),
            answers_after: 0,
            lingers: false,
        }
    }
}

/// What a guard does unless it is told otherwise, with a short stability window.
pub(super) fn options() -> GuardOptions {
    GuardOptions {
        limits: Limits {
            stall: SignedDuration::from_secs(120),
            max_restarts: 3,
            stable_for: Some(SignedDuration::from_secs(5)),
        },
        timeout: None,
        on_stall: OnStall::Undo,
        undo_on: UndoOn::Version,
        to_revision: None,
        probes: Vec::new(),
        change_cause: None,
    }
}

fn template(image: &str) -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}],
        "volumes": [{"name": "cfg", "configMap": {"name": "cfg"}}]}})
}

fn image(template: &Value) -> String {
    template::images(template).get("web").cloned().unwrap_or_default()
}

impl World {
    /// A workload that has rolled out the images one after the other, and asks for the last one since now.
    pub(super) fn new(kind: RolloutKind, replicas: i32, images: &[&str]) -> Self {
        let object = json!({
            "metadata": {"name": "web", "namespace": NAMESPACE, "uid": "web-uid", "generation": 1},
            "spec": {
                "replicas": replicas, "serviceName": "web", "selector": {"matchLabels": {"app": "web"}},
                "template": template(images[0]), "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
                "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            },
            "status": {"observedGeneration": 1, "replicas": 0},
        });
        let mut object = object;
        if kind == RolloutKind::Deployment {
            object["spec"].as_object_mut().unwrap().remove("updateStrategy");
        } else {
            object["spec"].as_object_mut().unwrap().remove("strategy");
        }
        let rollout = Rollout::read(kind, &object.to_string()).unwrap();
        Self { rollout: Some(rollout), revisions: Vec::new(), pods: Vec::new(), made: 0 }
    }

    /// Asks for another image.
    pub(super) fn roll(&mut self, to: &str) {
        if let Some(rollout) = &mut self.rollout {
            rollout.template = template(to);
            rollout.generation += 1;
        }
    }

    fn revision_of(&self, template: &Value) -> Option<usize> {
        self.revisions.iter().position(|revision| template::same(&revision.template, template))
    }

    fn is_of(&self, pod: &PodStatus, version: &VersionKey) -> bool {
        let label = self.rollout.as_ref().map_or("", |rollout| rollout.kind.version_label());
        pod.labels.get(label) == Some(&version.0)
    }

    fn ready(&self) -> usize {
        self.pods.iter().filter(|pod| pod.is_ready() && !pod.is_terminating()).count()
    }
}

impl Sim {
    /// A workload whose first versions are rolled out one after the other, and that asks for the last one now.
    pub(super) fn new(
        kind: RolloutKind,
        replicas: i32,
        images: &[&str],
        options: GuardOptions,
        habits: Habits,
    ) -> Self {
        let world = World::new(kind, replicas, images);
        let guard = Guard::new(View::default(), Vec::new(), &[], options.clone(), now());
        let mut sim = Self {
            guard,
            now: now() - SignedDuration::from_hours(1),
            events: Vec::new(),
            accepted: Vec::new(),
            deleted: Vec::new(),
            fewest_ready: usize::MAX,
            world,
            habits,
            queue: BTreeMap::new(),
            number: 0,
            dice: 1,
            watches: BTreeMap::new(),
            deaf: BTreeSet::new(),
            is_patching: false,
            interrupted_at: None,
            calls: 0,
        };
        for (number, image) in images.iter().enumerate() {
            if number + 1 == images.len() {
                sim.now = now();
            }
            if number > 0 {
                sim.world.roll(image);
            }
            sim.later(0, Happening::Sync);
            if number + 1 < images.len() {
                sim.settle();
            }
        }
        sim.fewest_ready = sim.world.ready();
        sim.begin(options, Task::Guard);
        sim
    }

    /// Begins to guard what is there now.
    pub(super) fn begin(&mut self, options: GuardOptions, task: Task) {
        self.begin_beside(options, task, None);
    }

    /// Begins to guard what is there now, and the `StatefulSet` `db`, whose kind nobody may watch from soon on.
    pub(super) fn begin_beside_unwatched(&mut self, options: GuardOptions) {
        let mut db = World::new(RolloutKind::StatefulSet, 3, &["db:1"]).rollout.unwrap();
        (db.name, db.uid) = (ObjectName::new(NAMESPACE, "db"), Uid("db-uid".into()));
        self.begin_beside(options, Task::Guard, Some(db));
        let watch = Watch::Rollouts(RolloutKind::StatefulSet, everything());
        let refused = Input::Watched(watch, Change::Refused("you cannot watch".into()));
        self.later(700, Happening::Deliver(Box::new(refused)));
    }

    fn begin_beside(&mut self, options: GuardOptions, task: Task, other: Option<Rollout>) {
        let mut view = View::default();
        self.objects().into_iter().for_each(|object| view.insert(object));
        let kind = self.world.rollout.as_ref().unwrap().kind;
        let revisions = match kind {
            RolloutKind::Deployment => Watch::ReplicaSets(everything()),
            _ => Watch::ControllerRevisions(everything()),
        };
        let mut watches = vec![Watch::Rollouts(kind, everything()), revisions, Watch::PodStatuses(everything())];
        let mut targets = vec![Target { kind, name: ObjectName::new(NAMESPACE, "web"), task }];
        if let Some(other) = other {
            watches.push(Watch::Rollouts(other.kind, everything()));
            targets.push(Target { kind: other.kind, name: other.name.clone(), task: Task::Guard });
            view.insert(Object::Rollout(Box::new(other)));
        }
        self.guard = Guard::new(view, watches, &targets, options, self.now);
    }

    pub(super) fn seeded(mut self, seed: u64) -> Self {
        self.dice = seed | 1;
        self
    }

    pub(super) fn meddle(&mut self, after: i64, meddling: Meddling) {
        self.later(after, Happening::Meddle(meddling));
    }

    /// Runs the guard to its end.
    pub(super) fn run(&mut self) -> RolloutResult {
        let mut inputs = Vec::new();
        loop {
            self.calls += 1;
            assert!(self.calls < 100_000, "it does not end: {:?}", self.events.last());
            for action in self.guard.handle(self.now, std::mem::take(&mut inputs)) {
                self.perform(action);
            }
            if self.guard.is_finished() {
                return self.guard.result();
            }
            let wake = self.guard.next_wake();
            assert!(wake.is_none_or(|at| at > self.now), "it would not sleep: {wake:?} at {}", self.now);
            let next = self.queue.keys().next().map(|(at, _)| *at);
            self.now = [wake, next].into_iter().flatten().min().expect("nothing will ever happen");
            while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
                let happening = entry.remove();
                self.happen(happening, &mut inputs);
            }
            self.fewest_ready = self.fewest_ready.min(self.world.ready());
        }
    }

    pub(super) fn exit(&self) -> Exit {
        self.guard.exit()
    }

    /// Lets everything happen that will by itself, at most for ten minutes.
    fn settle(&mut self) {
        let until = self.now + SignedDuration::from_mins(10);
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= until) {
            self.now = entry.key().0;
            let happening = entry.remove();
            self.happen(happening, &mut Vec::new());
        }
        self.queue.clear();
    }

    fn later(&mut self, millis: i64, happening: Happening) {
        self.number += 1;
        self.queue.insert((self.now + SignedDuration::from_millis(millis), self.number), happening);
    }

    fn roll_dice(&mut self, below: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below.max(1)
    }

    fn millis(&mut self, most: i64) -> i64 {
        i64::try_from(self.roll_dice(u64::try_from(most).unwrap() + 1)).unwrap()
    }

    fn perform(&mut self, action: Action<Event>) {
        match action {
            Action::Tell(event) => self.events.push((self.now, event)),
            Action::Watch(watch) => {
                assert!(self.watches.insert(watch, self.now).is_none(), "a watch is asked for once");
            }
            Action::PatchRollout { patch, uid, .. } => {
                assert!(!self.is_patching, "two patches at once");
                assert!(self.interrupted_at.is_none(), "a patch after the interrupt");
                assert_eq!(uid.0, "web-uid");
                self.is_patching = true;
                let delay = 1 + self.millis(20);
                self.later(delay, Happening::Patch(patch));
            }
            Action::DeletePod { pod, uid, resource_version } => {
                let found = self.world.pods.iter().find(|there| there.uid == uid).cloned();
                let answer = match found {
                    _ if !self.habits.deletions.is_empty() => self.habits.deletions.remove(0),
                    None => RemovalAnswer::NotFound,
                    Some(there) if there.resource_version != resource_version => {
                        RemovalAnswer::Conflict("changed".into())
                    }
                    Some(there) => {
                        assert_eq!(there.name, pod);
                        self.deleted.push((self.now, pod.name.clone(), there.is_ready()));
                        self.remove_pod(&uid);
                        RemovalAnswer::Accepted
                    }
                };
                self.later(5, Happening::Deliver(Box::new(Input::PodDeleted { pod: uid, answer })));
            }
            Action::Look(wanted) => {
                let found = match self.roll_dice(100) {
                    roll if roll < self.habits.faults => Err("forbidden".to_owned()),
                    _ => Ok(self.habits.has_references),
                };
                let delay = 1 + self.millis(20);
                self.later(delay, Happening::Deliver(Box::new(Input::LookedUp { wanted, found })));
            }
            Action::ReadLog { uid, container, .. } => {
                let lines = Ok(vec!["no database".to_owned()]);
                if self.roll_dice(100) >= self.habits.faults {
                    self.later(10, Happening::Deliver(Box::new(Input::LogRead { pod: uid, container, lines })));
                }
            }
            Action::Probe(url) => {
                let answers = |pod: &&PodStatus| pod.is_ready() && pod.containers[0].image != "web:mute";
                let is_answered = url != "http://nowhere" && self.world.pods.iter().any(|pod| answers(&pod));
                let answer = if is_answered { Ok(200) } else { Ok(503) };
                self.later(5, Happening::Deliver(Box::new(Input::Probed { url, answer })));
            }
            other => panic!("a guard asks for {other:?}"),
        }
    }

    fn happen(&mut self, happening: Happening, inputs: &mut Vec<Input>) {
        match happening {
            Happening::Deliver(input) => {
                self.is_patching &= !matches!(*input, Input::RolloutPatched { .. });
                inputs.push(*input);
            }
            Happening::Patch(patch) => {
                let answer = self.patch(&patch);
                let answer = Input::RolloutPatched { uid: Uid("web-uid".into()), answer };
                self.later(self.habits.answers_after, Happening::Deliver(Box::new(answer)));
            }
            Happening::Ready(uid) => self.change_pod(&uid, |pod, at| set_ready(pod, true, at)),
            Happening::Unready(uid, period) => {
                let was_ready = self.pod(&uid).is_some_and(PodStatus::is_ready);
                self.change_pod(&uid, |pod, at| set_ready(pod, !was_ready, at));
                if self.pod(&uid).is_some() {
                    self.later(period, Happening::Unready(uid, period));
                }
            }
            Happening::Fail(uid, why) => self.change_pod(&uid, |pod, _| {
                let image = pod.containers[0].image.clone();
                let message = format!("rpc error: code = Unknown desc = {image}: {why}");
                pod.containers[0].state = ContainerState::Waiting { reason: "ErrImagePull".into(), message };
            }),
            Happening::End(uid, after, left) => {
                self.change_pod(&uid, |pod, at| {
                    set_ready(pod, false, at);
                    let container = &mut pod.containers[0];
                    let ended = Termination {
                        exit_code: 1,
                        reason: "Error".into(),
                        message: String::new(),
                        started_at: Some(at),
                        finished_at: Some(at),
                    };
                    container.last = Some(ended.clone());
                    container.state = ContainerState::Terminated(ended);
                });
                let restarts = self.pod(&uid).map_or(0, PodStatus::restarts);
                self.later(1000 << restarts.min(4), Happening::Start(uid, after, left - 1));
            }
            Happening::Start(uid, after, left) => {
                self.change_pod(&uid, |pod, at| {
                    set_ready(pod, true, at);
                    pod.containers[0].restarts += 1;
                    pod.containers[0].state = ContainerState::Running { since: Some(at) };
                });
                if left > 0 && self.pod(&uid).is_some() {
                    self.later(after, Happening::End(uid, after, left));
                }
            }
            Happening::Gone(uid) => {
                if let Some(at) = self.world.pods.iter().position(|pod| pod.uid == uid) {
                    let pod = self.world.pods.remove(at);
                    self.show(Object::PodStatus(Box::new(pod)), true);
                    self.later(5, Happening::Sync);
                }
            }
            Happening::Sync => self.sync(),
            Happening::Meddle(meddling) => self.do_meddle(meddling, inputs),
        }
    }

    fn do_meddle(&mut self, meddling: Meddling, inputs: &mut Vec<Input>) {
        match meddling {
            Meddling::Roll(image) => {
                self.world.roll(image);
                self.show_rollout();
                self.later(20, Happening::Sync);
            }
            Meddling::Scale(replicas) => {
                if let Some(rollout) = &mut self.world.rollout {
                    (rollout.replicas, rollout.generation) = (replicas, rollout.generation + 1);
                }
                self.show_rollout();
                self.later(20, Happening::Sync);
            }
            Meddling::Pause => {
                if let Some(rollout) = &mut self.world.rollout {
                    (rollout.is_paused, rollout.generation) = (true, rollout.generation + 1);
                }
                self.show_rollout();
                self.later(20, Happening::Sync);
            }
            Meddling::DeleteWorkload => {
                if let Some(rollout) = self.world.rollout.take() {
                    self.show(Object::Rollout(Box::new(rollout)), true);
                }
            }
            Meddling::KillPod(number) if !self.world.pods.is_empty() => {
                let uid = self.world.pods[number % self.world.pods.len()].uid.clone();
                self.later(0, Happening::End(uid, 0, 1));
            }
            Meddling::LoseWatch(number) if !self.watches.is_empty() => {
                let watch = self.watches.keys().nth(number % self.watches.len()).cloned().unwrap();
                self.say(&watch, Change::Lost("reset".into()));
                self.deaf.insert(watch);
            }
            Meddling::RestoreWatches => {
                for watch in std::mem::take(&mut self.deaf) {
                    let listed = self.objects().into_iter().filter(|object| object.kind() == watch.kind()).collect();
                    self.say(&watch, Change::Listed(listed));
                    self.say(&watch, Change::Restored);
                }
            }
            Meddling::RefuseWatch => {
                let watch = self.watches.keys().find(|watch| matches!(watch, Watch::Rollouts(..))).cloned().unwrap();
                self.say(&watch, Change::Refused("you cannot watch".into()));
                self.deaf.insert(watch);
            }
            Meddling::Interrupt => {
                self.interrupted_at.get_or_insert(self.now);
                inputs.push(Input::Interrupted);
            }
            Meddling::Nothing | Meddling::KillPod(_) | Meddling::LoseWatch(_) => {}
        }
    }

    /// Whatever the server does with a patch.
    fn patch(&mut self, patch: &str) -> RolloutAnswer {
        let lost = |message: &str| {
            RolloutAnswer::Trouble(Trouble { kind: TroubleKind::NoAnswer, message: message.into(), retry_after: None })
        };
        match self.roll_dice(200) {
            roll if roll < self.habits.faults / 2 => return lost("before it was done"),
            roll if roll < self.habits.faults => {
                self.apply(patch);
                return lost("after it was done");
            }
            _ => {}
        }
        self.apply(patch)
    }

    fn apply(&mut self, text: &str) -> RolloutAnswer {
        let operations: Vec<Value> = serde_json::from_str(text).unwrap();
        let Some(rollout) = &mut self.world.rollout else { return RolloutAnswer::Deleted };
        for operation in &operations {
            let holds = match operation["path"].as_str().unwrap() {
                "/metadata/uid" => operation["value"] == rollout.uid.0,
                "/spec/template" => operation["op"] == "replace" || operation["value"] == rollout.template,
                _ => true,
            };
            if !holds {
                return RolloutAnswer::Changed(Box::new(rollout.clone()));
            }
        }
        for operation in operations.iter().filter(|operation| operation["op"] != "test") {
            let path = operation["path"].as_str().unwrap();
            let value = operation["value"].clone();
            if path == "/spec/template" {
                rollout.template = value;
                rollout.generation += 1;
            } else if path == "/spec/paused" {
                rollout.is_paused = true;
                rollout.generation += 1;
            } else if let Some(key) = path.strip_prefix("/metadata/annotations/") {
                let key = key.replace("~1", "/").replace("~0", "~");
                rollout.annotations.insert(key, value.as_str().unwrap().to_owned());
            }
        }
        let stands = rollout.clone();
        self.accepted.push((self.now, image(&stands.template)));
        self.show_rollout();
        self.later(30, Happening::Sync);
        if let Some(after) = self.habits.reverts_after {
            self.later(after, Happening::Meddle(Meddling::Roll("web:missing")));
        }
        RolloutAnswer::Stands(Box::new(stands))
    }

    /// The controllers' turn: one step towards what is wanted, and the numbers.
    fn sync(&mut self) {
        let Some(mut rollout) = self.world.rollout.clone() else { return };
        let current = self.revise(&rollout);
        let version = self.world.revisions[current].version.clone();
        let before = self.world.pods.len();
        match rollout.kind {
            RolloutKind::Deployment => self.sync_deployment(&rollout, current),
            _ => self.sync_stateful_set(&rollout, current),
        }
        let staying: Vec<&PodStatus> = self.world.pods.iter().filter(|pod| !pod.is_terminating()).collect();
        let count = |holds: &dyn Fn(&PodStatus) -> bool| {
            i32::try_from(staying.iter().filter(|pod| holds(pod)).count()).unwrap()
        };
        rollout.observed_generation = rollout.generation;
        rollout.counts.current = count(&|_| true);
        rollout.counts.updated = count(&|pod| self.world.is_of(pod, &version));
        rollout.counts.ready = count(&PodStatus::is_ready);
        rollout.counts.available = rollout.counts.ready;
        if rollout.kind == RolloutKind::StatefulSet {
            rollout.update_revision = Some(version.clone());
            if rollout.counts.updated == rollout.replicas && rollout.counts.ready == rollout.replicas {
                rollout.current_revision = Some(version);
            }
        }
        for number in 0..self.world.revisions.len() {
            let of = self.world.revisions[number].version.clone();
            let pods = |ready: bool| {
                let counts = |pod: &&PodStatus| {
                    self.world.is_of(pod, &of) && !pod.is_terminating() && (!ready || pod.is_ready())
                };
                i32::try_from(self.world.pods.iter().filter(counts).count()).unwrap()
            };
            let counts =
                RevisionCounts { desired: pods(false), current: pods(false), ready: pods(true), available: pods(true) };
            let is_replica_set = rollout.kind == RolloutKind::Deployment;
            if is_replica_set && self.world.revisions[number].counts != Some(counts) {
                self.world.revisions[number].counts = Some(counts);
                let shown = self.world.revisions[number].clone();
                self.show(Object::Revision(Box::new(shown)), false);
            }
        }
        if self.world.rollout.as_ref() != Some(&rollout) {
            self.world.rollout = Some(rollout);
            self.show_rollout();
        }
        if self.world.pods.len() != before {
            self.later(20, Happening::Sync);
        }
    }

    /// The revision of the template: made if need be, and given the highest number.
    fn revise(&mut self, rollout: &Rollout) -> usize {
        let newest = self.world.revisions.iter().filter_map(|revision| revision.number).max().unwrap_or_default();
        let at = if let Some(at) = self.world.revision_of(&rollout.template) {
            at
        } else {
            let version = match rollout.kind {
                RolloutKind::Deployment => format!("v{}", self.world.revisions.len() + 1),
                _ => format!("web-v{}", self.world.revisions.len() + 1),
            };
            self.world.revisions.push(Revision {
                name: ObjectName::new(NAMESPACE, format!("web-{version}")),
                uid: Uid(format!("{version}-uid")),
                owner: owner(rollout.kind.as_str(), &rollout.uid),
                labels: BTreeMap::new(),
                number: None,
                version: VersionKey(version),
                template: rollout.template.clone(),
                created_at: Some(self.now),
                change_cause: None,
                counts: (rollout.kind == RolloutKind::Deployment).then(RevisionCounts::default),
                failure: None,
            });
            self.world.revisions.len() - 1
        };
        if self.world.revisions[at].number != Some(newest) || newest == 0 {
            self.world.revisions[at].number = Some(newest + 1);
            let shown = self.world.revisions[at].clone();
            self.show(Object::Revision(Box::new(shown)), false);
        }
        at
    }

    /// One pod too many at most, none too few; of an older version those go first that are not Ready.
    fn sync_deployment(&mut self, rollout: &Rollout, current: usize) {
        let wanted = usize::try_from(rollout.replicas).unwrap();
        let version = self.world.revisions[current].version.clone();
        let is_new = |world: &World, pod: &PodStatus| world.is_of(pod, &version);
        let staying: Vec<PodStatus> = self.world.pods.iter().filter(|pod| !pod.is_terminating()).cloned().collect();
        let (new, mut old): (Vec<_>, Vec<_>) = staying.into_iter().partition(|pod| is_new(&self.world, pod));
        old.sort_by_key(PodStatus::is_ready);
        let ready = self.world.ready();
        if new.len() > wanted {
            self.remove_pod(&new[0].uid.clone());
        } else if new.len() < wanted && new.len() + old.len() <= wanted {
            self.make_pod(rollout, current, None);
        }
        for pod in &old {
            if !pod.is_ready() || ready > wanted || (wanted == 0) {
                self.remove_pod(&pod.uid.clone());
                break;
            }
        }
    }

    /// Ordered: nothing happens while a pod is not Ready; then the highest of an older version goes.
    fn sync_stateful_set(&mut self, rollout: &Rollout, current: usize) {
        let version = self.world.revisions[current].version.clone();
        for ordinal in 0..rollout.replicas {
            let Some(pod) = self.world.pods.iter().find(|pod| pod.ordinal() == Some(ordinal)) else {
                self.make_pod(rollout, current, Some(ordinal));
                return;
            };
            if !pod.is_ready() || pod.is_terminating() {
                return;
            }
        }
        let extra = self.world.pods.iter().find(|pod| pod.ordinal() >= Some(rollout.replicas));
        let old = self.world.pods.iter().filter(|pod| !self.world.is_of(pod, &version));
        if let Some(uid) = extra.or(old.max_by_key(|pod| pod.ordinal())).map(|pod| pod.uid.clone()) {
            self.remove_pod(&uid);
        }
    }

    fn make_pod(&mut self, rollout: &Rollout, current: usize, ordinal: Option<i32>) {
        self.world.made += 1;
        let made = self.world.made;
        let revision = &self.world.revisions[current];
        let name = ordinal.map_or_else(|| format!("web-{made}"), |ordinal| format!("web-{ordinal}"));
        let image = image(&revision.template);
        let owner = match rollout.kind {
            RolloutKind::Deployment => owner("ReplicaSet", &revision.uid),
            kind => owner(kind.as_str(), &rollout.uid),
        };
        let pod = PodStatus {
            name: ObjectName::new(NAMESPACE, name),
            uid: Uid(format!("pod-{made}")),
            resource_version: "1".into(),
            labels: [(rollout.kind.version_label().to_owned(), revision.version.0.clone())].into(),
            controller: Some(owner),
            node: Some(NodeName("n1".into())),
            created_at: Some(self.now),
            deletion_at: None,
            phase: Phase::Running,
            reason: String::new(),
            message: String::new(),
            conditions: Vec::new(),
            readiness_gates: Vec::new(),
            containers: vec![ContainerStatus {
                name: "web".into(),
                role: ContainerRole::Main,
                image: image.clone(),
                state: ContainerState::Waiting { reason: "ContainerCreating".into(), message: String::new() },
                last: None,
                restarts: 0,
                ready: false,
                started: None,
                readiness: None,
                startup: None,
                liveness: None,
                memory_limit: None,
            }],
        };
        let uid = pod.uid.clone();
        self.world.pods.push(pod.clone());
        self.show(Object::PodStatus(Box::new(pod)), false);
        let fate = *self.habits.fates.get(image.as_str()).unwrap_or(&Fate::Ready(400));
        match fate {
            Fate::NotPulled(why) => self.later(200, Happening::Fail(uid, why)),
            Fate::NeverReady => self.change_pod(&uid, |pod, at| {
                pod.containers[0].state = ContainerState::Running { since: Some(at) };
            }),
            Fate::Ready(after) => {
                self.change_pod(&uid, |pod, at| pod.containers[0].state = ContainerState::Running { since: Some(at) });
                self.later(after, Happening::Ready(uid));
            }
            Fate::Ends { after, times } => {
                self.change_pod(&uid, |pod, at| {
                    pod.containers[0].state = ContainerState::Running { since: Some(at) };
                    set_ready(pod, true, at);
                });
                self.later(after, Happening::End(uid, after, times));
            }
            Fate::Flaps(period) => {
                self.change_pod(&uid, |pod, at| pod.containers[0].state = ContainerState::Running { since: Some(at) });
                self.later(period, Happening::Unready(uid, period));
            }
        }
    }

    fn remove_pod(&mut self, uid: &Uid) {
        let at = self.now + SignedDuration::from_secs(30);
        self.change_pod(uid, |pod, _| pod.deletion_at = Some(at));
        let stops = 100 + self.millis(200);
        if !self.habits.lingers {
            self.later(stops, Happening::Gone(uid.clone()));
        }
    }

    fn pod(&self, uid: &Uid) -> Option<&PodStatus> {
        self.world.pods.iter().find(|pod| pod.uid == *uid)
    }

    fn change_pod(&mut self, uid: &Uid, change: impl FnOnce(&mut PodStatus, Timestamp)) {
        let now = self.now;
        let Some(pod) = self.world.pods.iter_mut().find(|pod| pod.uid == *uid) else { return };
        change(pod, now);
        pod.resource_version = (pod.resource_version.parse::<u64>().unwrap() + 1).to_string();
        let shown = pod.clone();
        self.show(Object::PodStatus(Box::new(shown)), false);
        self.later(10, Happening::Sync);
    }

    fn show_rollout(&mut self) {
        if let Some(rollout) = self.world.rollout.clone() {
            self.show(Object::Rollout(Box::new(rollout)), false);
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "shorter for every caller")]
    fn show(&mut self, object: Object, is_gone: bool) {
        let hears = |watch: &&Watch| watch.kind() == object.kind() && !self.deaf.contains(watch);
        for watch in self.watches.keys().filter(hears).cloned().collect::<Vec<_>>() {
            self.say(&watch, if is_gone { Change::Deleted(object.clone()) } else { Change::Seen(object.clone()) });
        }
    }

    /// Lets a watch say something, after all that it said before.
    fn say(&mut self, watch: &Watch, change: Change) {
        let lag = SignedDuration::from_millis(self.millis(self.habits.lag));
        let at = self.watches[watch].max(self.now + lag);
        self.watches.insert(watch.clone(), at);
        self.number += 1;
        self.queue.insert((at, self.number), Happening::Deliver(Box::new(Input::Watched(watch.clone(), change))));
    }

    fn objects(&self) -> Vec<Object> {
        let World { rollout, revisions, pods, made: _ } = &self.world;
        let rollouts = rollout.iter().cloned().map(|rollout| Object::Rollout(Box::new(rollout)));
        let revisions = revisions.iter().cloned().map(|revision| Object::Revision(Box::new(revision)));
        let pods = pods.iter().cloned().map(|pod| Object::PodStatus(Box::new(pod)));
        rollouts.chain(revisions).chain(pods).collect()
    }
}

fn everything() -> Part {
    Part { namespace: NAMESPACE.into(), name: None, labels: None }
}

fn owner(kind: &str, uid: &Uid) -> OwnerRef {
    OwnerRef { group: "apps".into(), version: "v1".into(), kind: kind.into(), name: "web".into(), uid: uid.clone() }
}

fn set_ready(pod: &mut PodStatus, ready: bool, at: Timestamp) {
    pod.containers[0].ready = ready;
    pod.conditions = vec![Condition {
        name: "Ready".into(),
        status: if ready { "True" } else { "False" }.into(),
        reason: if ready { "" } else { "ContainersNotReady" }.into(),
        message: String::new(),
        changed_at: Some(at),
        updated_at: None,
    }];
}
