//! The verdict on a rollout: from findings, and from how often and how long they are there.
//!
//! Nothing here changes with the way the cluster is watched: one look has the times that objects tell, a watch adds what
//! it saw with its own eyes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{status::Progress, view::Subject};
use crate::{
    diagnose::{self, Class, Code, Finding, primary},
    model::{ContainerRole, ContainerState, PodStatus, RolloutKind, Uid, VersionKey},
};

/// How much is proof.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a version in which something fails may go without structural progress (`--stall-timeout`).
    pub stall: SignedDuration,
    /// How often a container may fail (`--max-restarts`).
    pub max_restarts: u32,
    /// How long a complete rollout must stay good; none for a time that fits its probes (`--stable-for`).
    pub stable_for: Option<SignedDuration>,
}

/// A rollout in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It proceeds, or has the time to.
    Progressing,
    /// It waits for something that passes by itself.
    Waiting,
    /// It does not proceed, and that is proven.
    Stalled,
    /// Somebody must do something else than undo it.
    Blocked,
    /// It is complete, and stayed good for long enough.
    Complete,
}

/// The verdict at one moment.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// In one word.
    pub phase: Phase,
    /// What decides it: the proof of a stall or a block, else what is waited for.
    pub cause: Option<Finding>,
    /// When it may be another one although nothing happens.
    pub wake: Option<Timestamp>,
    /// Since when it has been complete, if it is.
    pub complete_since: Option<Timestamp>,
}

/// What one look cannot tell: since when things are as they are.
#[derive(Debug, Clone)]
pub struct Clocks {
    began: Timestamp,
    /// The farthest that it came.
    farthest: Farthest,
    progressed_at: Timestamp,
    complete_since: Option<Timestamp>,
    /// When it was complete last.
    complete_until: Option<Timestamp>,
    sightings: BTreeMap<Sighting, Seen>,
    /// When it was looked at last: what nobody looked for is not out of sight.
    looked_at: Timestamp,
    readiness: BTreeMap<Uid, Readiness>,
    /// Failures of containers before the watch began, where their pods were well then.
    forgiven: BTreeMap<(Uid, String), u32>,
    restarts: i32,
    /// When somebody asked for this version, if that was in the time of this watch: what is older is about another one.
    anew_at: Option<Timestamp>,
    /// Versions of which a pod was seen Ready.
    pub seen_ready: BTreeSet<VersionKey>,
}

/// How far a rollout came. Only what grows counts as progress: a pod that becomes Ready a second time does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Farthest {
    created: usize,
    placed: usize,
    started: usize,
    ready: usize,
    available: i32,
    old_gone: i32,
}

/// What is one finding from look to look, whatever its words.
type Sighting = (Code, Option<String>, Option<String>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    since: Timestamp,
    last: Timestamp,
}

#[derive(Debug, Clone, Copy, Default)]
struct Readiness {
    is_ready: bool,
    losses: u32,
}

/// How long something must be so before one sighting is proof: a status that is there for a moment only, between two
/// writes of the kubelet, proves nothing.
const HELD: SignedDuration = SignedDuration::from_secs(1);

/// How long a finding may be out of sight and still be the same: pull errors and back-offs take turns.
const OUT_OF_SIGHT: SignedDuration = SignedDuration::from_secs(5);

/// How long something that is tried again and again, but not counted, may fail: an object that is applied a moment
/// later is there by then.
const TRIED_FOR: SignedDuration = SignedDuration::from_secs(15);

/// How long nobody may answer a probe although every pod is Ready: load balancers need some seconds to find new pods.
const UNANSWERED: SignedDuration = SignedDuration::from_secs(10);

/// How long what passes by itself may take at least: registries and node autoscalers need minutes.
const TRANSIENT: SignedDuration = SignedDuration::from_mins(5);

/// The progress deadline of kinds that have none: what the API gives to a Deployment that names none.
const DEFAULT_DEADLINE: SignedDuration = SignedDuration::from_secs(600);

/// How often a pod may lose its readiness before that is a finding.
const FLAPS: u32 = 3;

/// How long a complete rollout must stay good where every container has a readiness probe.
const STABLE_WITH_PROBES: SignedDuration = SignedDuration::from_secs(10);

/// The same where one has none: a container that fails late looks good until then.
const STABLE_WITHOUT_PROBES: SignedDuration = SignedDuration::from_secs(30);

/// Decides on a rollout.
pub fn judge(
    subject: &Subject<'_>,
    findings: &[Finding],
    progress: &Progress,
    clocks: &Clocks,
    limits: &Limits,
) -> Verdict {
    let now = subject.now;
    let at_once = findings.iter().find(|finding| matches!(finding.code, Code::Paused | Code::OnDelete));
    if let Some(finding) = at_once {
        return Verdict::of(Phase::Blocked, Some(finding), None);
    }
    let matters = |finding: &&Finding| !progress.is_complete || matches!(finding.class, Class::Fatal | Class::Repeated);
    let deadline_has_passed = deadline_has_passed(subject, clocks);
    let proofs: Vec<(&Finding, Option<Timestamp>)> = findings
        .iter()
        .filter(matters)
        .map(|finding| (finding, clocks.proven_at(subject, finding, limits, deadline_has_passed)))
        .collect();
    let is_proven = |at: &Option<Timestamp>| at.is_some_and(|at| at <= now);
    let proven: Vec<Finding> =
        proofs.iter().filter(|(_, at)| is_proven(at)).map(|(finding, _)| (*finding).clone()).collect();
    if let Some(cause) = primary(&proven) {
        let phase = if cause.class == Class::Blocked { Phase::Blocked } else { Phase::Stalled };
        return Verdict::of(phase, Some(cause), None);
    }
    let next_proof = proofs.iter().filter_map(|(_, at)| *at).min();
    let cause = primary(findings);
    if let (true, Some(since)) = (progress.is_complete, clocks.complete_since) {
        let stable_at = since + window(subject, limits);
        let (phase, cause) = if stable_at <= now { (Phase::Complete, None) } else { (Phase::Progressing, cause) };
        let wake = [Some(stable_at), next_proof].into_iter().flatten().filter(|at| *at > now).min();
        return Verdict { complete_since: Some(since), ..Verdict::of(phase, cause, wake) };
    }
    let phase = match cause.map(|cause| cause.class) {
        Some(Class::Transient | Class::Environment | Class::Blocked) => Phase::Waiting,
        _ => Phase::Progressing,
    };
    let available_at = progress.available_in.map(|wait| now + wait);
    Verdict::of(phase, cause, next_proof.into_iter().chain(available_at).min())
}

/// Whether the controller has given up the current version, in the time of this watch or before it.
fn deadline_has_passed(subject: &Subject<'_>, clocks: &Clocks) -> bool {
    let given_up = diagnose::deadline(subject);
    given_up.is_some_and(|finding| clocks.anew_at.is_none_or(|anew| finding.since >= Some(anew)))
}

/// How long a complete rollout must stay good.
pub fn window(subject: &Subject<'_>, limits: &Limits) -> SignedDuration {
    if subject.rollout.replicas == 0 {
        return SignedDuration::ZERO;
    }
    let automatic = if every_container_has_a_readiness_probe(&subject.rollout.template) {
        STABLE_WITH_PROBES
    } else {
        STABLE_WITHOUT_PROBES
    };
    let min_ready = SignedDuration::from_secs(subject.rollout.min_ready_seconds.into());
    limits.stable_for.unwrap_or(automatic.max(min_ready))
}

fn every_container_has_a_readiness_probe(template: &Value) -> bool {
    let list = |path: &str| template.pointer(path).and_then(Value::as_array).into_iter().flatten();
    let sidecars = list("/spec/initContainers").filter(|container| container["restartPolicy"] == "Always");
    list("/spec/containers").chain(sidecars).all(|container| container["readinessProbe"].is_object())
}

impl Verdict {
    fn of(phase: Phase, cause: Option<&Finding>, wake: Option<Timestamp>) -> Self {
        Self { phase, cause: cause.cloned(), wake, complete_since: None }
    }
}

impl Clocks {
    /// Begins with a first look: times are those that the objects tell.
    pub fn begin(subject: &Subject<'_>, findings: &[Finding], progress: &Progress) -> Self {
        let complete_since = progress.is_complete.then(|| good_since(subject));
        let mut clocks = Self {
            began: subject.now,
            farthest: Farthest::NOWHERE,
            progressed_at: last_progress(subject),
            complete_since: None,
            complete_until: None,
            sightings: BTreeMap::new(),
            looked_at: subject.now,
            readiness: BTreeMap::new(),
            forgiven: BTreeMap::new(),
            restarts: 0,
            anew_at: None,
            seen_ready: BTreeSet::new(),
        };
        // What a finished rollout's pods went through before is no sign of this watch, nor is how long ago it finished.
        if complete_since.is_some() {
            clocks.progressed_at = subject.now;
            clocks.forgive(subject);
        }
        let progressed_at = clocks.progressed_at;
        clocks.observe(subject, findings, progress);
        clocks.progressed_at = progressed_at;
        clocks.complete_since = complete_since;
        for finding in findings {
            if let (Some(seen), Some(since)) = (clocks.sightings.get_mut(&sighting(finding)), finding.since) {
                seen.since = since.min(subject.now);
            }
        }
        clocks
    }

    /// Begins for a version that somebody has just asked for: everything that was before counts for nothing.
    pub fn begin_anew(subject: &Subject<'_>, findings: &[Finding], progress: &Progress) -> Self {
        let mut clocks = Self::begin(subject, findings, progress);
        clocks.progressed_at = subject.now;
        clocks.anew_at = Some(subject.now);
        clocks.complete_since = progress.is_complete.then_some(subject.now);
        clocks.sightings.values_mut().for_each(|seen| seen.since = subject.now);
        clocks.forgive(subject);
        clocks
    }

    /// Takes in another look.
    pub fn observe(&mut self, subject: &Subject<'_>, findings: &[Finding], progress: &Progress) {
        let now = subject.now;
        for finding in findings {
            let fresh = Seen { since: now, last: now };
            let seen = self.sightings.entry(sighting(finding)).or_insert(fresh);
            if seen.last < self.looked_at && now.duration_since(seen.last) > OUT_OF_SIGHT {
                *seen = fresh;
            }
            seen.last = now;
        }
        self.looked_at = now;
        let new_pods = subject.new_pods();
        for pod in &new_pods {
            let readiness = self.readiness.entry(pod.uid.clone()).or_default();
            let is_ready = pod.is_ready();
            if readiness.is_ready && !is_ready {
                readiness.losses += 1;
            }
            readiness.is_ready = is_ready;
        }
        let ready_versions = subject.pods.iter().filter(|pod| pod.is_ready()).filter_map(|pod| subject.version_of(pod));
        self.seen_ready.extend(ready_versions);
        if self.farthest.advance(&Farthest::of(&new_pods, progress)) {
            self.progressed_at = now;
        }
        let restarts = new_pods.iter().map(|pod| pod.restarts()).sum();
        match (progress.is_complete, self.complete_since) {
            (false, Some(_)) => {
                self.complete_since = None;
                self.complete_until = Some(now);
            }
            (true, None) => self.complete_since = Some(now),
            // It has to stay good from here on.
            (true, Some(_)) if restarts > self.restarts => self.complete_since = Some(now),
            (false, None) | (true, Some(_)) => {}
        }
        self.restarts = restarts;
    }

    /// What only a watch can find: pods of the new version that lose their readiness again and again.
    pub fn flapping(&self, subject: &Subject<'_>) -> Option<Finding> {
        let losses = |pod: &PodStatus| self.readiness.get(&pod.uid).map_or(0, |readiness| readiness.losses);
        let pods = subject.new_pods();
        let pod = pods.iter().filter(|pod| losses(pod) >= FLAPS).max_by_key(|pod| losses(pod))?;
        Some(Finding {
            code: Code::ReadinessFlaps,
            class: Class::Timed,
            pod: Some(pod.name.clone()),
            container: None,
            is_init: false,
            node: pod.node.clone(),
            count: losses(pod),
            since: None,
            message: "becomes Ready and unready by turns".to_owned(),
        })
    }

    /// Since when a finding has been seen.
    pub fn seen_since(&self, finding: &Finding) -> Option<Timestamp> {
        self.sightings.get(&sighting(finding)).map(|seen| seen.since)
    }

    /// When the watch began.
    pub fn began(&self) -> Timestamp {
        self.began
    }

    fn forgive(&mut self, subject: &Subject<'_>) {
        for pod in subject.new_pods() {
            for container in &pod.containers {
                let restarts = u32::try_from(container.restarts).unwrap_or_default();
                self.forgiven.insert((pod.uid.clone(), container.name.clone()), restarts);
            }
        }
    }

    /// When a finding is proof, if it goes on; none for one that is none however long it lasts.
    fn proven_at(
        &self,
        subject: &Subject<'_>,
        finding: &Finding,
        limits: &Limits,
        deadline_has_passed: bool,
    ) -> Option<Timestamp> {
        let seen = self.sightings.get(&sighting(finding)).map_or(subject.now, |seen| seen.since);
        // A pod that fails after the rollout was complete begins its own time then. Who becomes Ready by turns makes it
        // complete again and again.
        let proceeded_at = match finding.code {
            Code::ReadinessFlaps => self.progressed_at,
            _ => self.complete_until.map_or(self.progressed_at, |until| until.max(self.progressed_at)),
        };
        let without_progress = |time: SignedDuration| Some(proceeded_at + time);
        match finding.class {
            Class::Fatal => Some(seen + HELD),
            // Between two versions of a `Recreate` nobody answers: what counts is who answers afterwards.
            Class::Repeated if finding.code == Code::ProbeFailed => match self.complete_since {
                Some(since) => Some(seen.max(since) + UNANSWERED),
                None => without_progress(limits.stall),
            },
            Class::Repeated if self.count(subject, finding) >= limits.max_restarts => Some(seen),
            Class::Repeated if is_counted(finding.code) => None,
            Class::Repeated => Some(seen + TRIED_FOR),
            // Nothing else explains it, and the controller has given it up.
            Class::Timed if finding.code == Code::DeadlineExceeded => Some(seen + HELD),
            Class::Timed if is_merely_waiting(finding.code) => {
                let window = probes_window(subject);
                if deadline_has_passed {
                    return without_progress(window);
                }
                without_progress(deadline(subject)?.max(window))
            }
            Class::Transient if is_merely_waiting(finding.code) || finding.code == Code::Restarted => None,
            Class::Transient => without_progress(TRANSIENT.max(limits.stall)),
            Class::Timed | Class::Environment | Class::Blocked => without_progress(limits.stall),
        }
    }

    /// How often it failed in this watch.
    fn count(&self, subject: &Subject<'_>, finding: &Finding) -> u32 {
        let pod = subject.pods.iter().find(|pod| Some(&pod.name) == finding.pod.as_ref());
        let key = pod.zip(finding.container.clone()).map(|(pod, container)| (pod.uid.clone(), container));
        let forgiven = key.and_then(|key| self.forgiven.get(&key)).copied().unwrap_or_default();
        finding.count.saturating_sub(forgiven)
    }
}

/// Whether its count is the number of failures, so that time alone proves nothing.
fn is_counted(code: Code) -> bool {
    matches!(
        code,
        Code::CrashLoop
            | Code::Exits
            | Code::OutOfMemory
            | Code::LivenessFailed
            | Code::StartupFailed
            | Code::PostStartFailed
            | Code::PodRejected
    )
}

/// Whether nothing fails: it is just not there yet.
fn is_merely_waiting(code: Code) -> bool {
    matches!(
        code,
        Code::NotReady
            | Code::Starting
            | Code::InitRunning
            | Code::Creating
            | Code::Scheduling
            | Code::ImagePulling
            | Code::ReadinessGate
    )
}

/// How long a rollout may go without progress by its own word; none for ever.
fn deadline(subject: &Subject<'_>) -> Option<SignedDuration> {
    match subject.rollout.kind {
        RolloutKind::Deployment => subject.rollout.progress_deadline_seconds.map(SignedDuration::from_secs),
        RolloutKind::StatefulSet | RolloutKind::DaemonSet => Some(DEFAULT_DEADLINE),
    }
}

/// How long the probes of its pods give a container to become ready.
fn probes_window(subject: &Subject<'_>) -> SignedDuration {
    let pods = subject.new_pods();
    let windows = pods.iter().flat_map(|pod| &pod.containers).map(|container| {
        let patience =
            |probe: &crate::model::Probe| probe.initial_delay + probe.period * probe.failures + probe.timeout;
        let startup = container.startup.as_ref().map_or(0, patience);
        let ready = container.readiness.as_ref();
        let ready = ready.map_or(0, |probe| patience(probe) + probe.period * (probe.successes - 1));
        startup.saturating_add(ready)
    });
    SignedDuration::from_secs(windows.max().unwrap_or_default())
}

fn sighting(finding: &Finding) -> Sighting {
    (finding.code, finding.pod.as_ref().map(|pod| pod.name.clone()), finding.container.clone())
}

/// When a rollout came farther the last time, as far as objects tell. A pod that is not Ready any more was, until then.
fn last_progress(subject: &Subject<'_>) -> Timestamp {
    let current = subject.current().and_then(|revision| revision.created_at);
    let pods = subject.new_pods();
    let of_pods = pods.iter().flat_map(|pod| {
        let placed = pod.condition("PodScheduled").filter(|condition| condition.status == "True");
        let readiness = pod.condition("Ready").and_then(|condition| condition.changed_at);
        [pod.created_at, placed.and_then(|condition| condition.changed_at), readiness]
    });
    let controllers = subject.rollout.condition("Progressing").filter(|condition| condition.status == "True");
    let latest = of_pods.chain([current, controllers.and_then(|condition| condition.updated_at)]).flatten().max();
    latest.map_or(subject.now, |at| at.min(subject.now))
}

/// Since when all its pods have been good, as far as objects tell.
fn good_since(subject: &Subject<'_>) -> Timestamp {
    let pods = subject.new_pods();
    let running = pods.iter().flat_map(|pod| &pod.containers).filter_map(|container| match container.state {
        ContainerState::Running { since } => since,
        _ => None,
    });
    let latest = running.chain(pods.iter().filter_map(|pod| pod.ready_since())).max();
    latest.map_or(subject.now, |at| at.min(subject.now))
}

impl Farthest {
    const NOWHERE: Self = Self { created: 0, placed: 0, started: 0, ready: 0, available: 0, old_gone: i32::MIN };

    fn of(new_pods: &[&PodStatus], progress: &Progress) -> Self {
        let count = |holds: &dyn Fn(&PodStatus) -> bool| new_pods.iter().filter(|pod| holds(pod)).count();
        let is_started = |pod: &PodStatus| {
            let mut lasting = pod.containers.iter().filter(|container| container.role != ContainerRole::Init);
            lasting.all(|container| matches!(container.state, ContainerState::Running { .. }))
        };
        Self {
            created: new_pods.len(),
            placed: count(&|pod| pod.node.is_some()),
            started: count(&is_started),
            ready: count(&PodStatus::is_ready),
            available: progress.counts.available,
            old_gone: -progress.counts.old,
        }
    }

    /// Takes over what is farther. Whether anything was.
    fn advance(&mut self, other: &Self) -> bool {
        let before = *self;
        let Self { created, placed, started, ready, available, old_gone } = other;
        self.created = self.created.max(*created);
        self.placed = self.placed.max(*placed);
        self.started = self.started.max(*started);
        self.ready = self.ready.max(*ready);
        self.available = self.available.max(*available);
        self.old_gone = self.old_gone.max(*old_gone);
        *self != before
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::rollout::{
        fixture::{Scene, template},
        status,
    };

    /// One pod, Ready two hours before the look; and the same pod when it is not Ready any more.
    fn scene(is_ready: bool) -> Scene {
        let running = json!({"running": {"startedAt": "2026-01-01T11:59:40Z"}});
        let status = json!([{"name": "web", "ready": is_ready, "restartCount": 0, "image": "", "imageID": "", "state": running}]);
        let scene = Scene::new(RolloutKind::Deployment, &template("x:2")).set("/spec/replicas", 1);
        let scene = scene.revision(1, &template("x:1"), 0, 0).revision(2, &template("x:2"), 1, i32::from(is_ready));
        scene.pod("web-1", 2, is_ready, &status)
    }

    fn at(scene: &Scene, now: &str, look: impl FnOnce(&Subject<'_>, &[Finding], &Progress)) {
        let mut subject = scene.subject();
        subject.now = now.parse().unwrap();
        look(&subject, &diagnose::diagnose(&subject), &status::progress(&subject));
    }

    #[test]
    fn a_finished_rollout_has_its_time_anew() {
        let limits = Limits { stall: SignedDuration::from_mins(2), max_restarts: 3, stable_for: None };
        let mut clocks = None;
        at(&scene(true), "2026-01-01T14:00:00Z", |subject, findings, progress| {
            assert!(progress.is_complete);
            clocks = Some(Clocks::begin(subject, findings, progress));
        });
        let mut clocks = clocks.unwrap();
        let mut check = |now: &str, expected: Phase| {
            at(&scene(false), now, |subject, findings, progress| {
                clocks.observe(subject, findings, progress);
                assert_eq!(judge(subject, findings, progress, &clocks, &limits).phase, expected, "{now}");
            });
        };
        check("2026-01-01T14:00:05Z", Phase::Progressing);
        check("2026-01-01T14:10:04Z", Phase::Progressing);
        check("2026-01-01T14:10:05Z", Phase::Stalled);
    }

    #[test]
    fn a_pod_that_was_ready_until_now_has_its_time() {
        let limits = Limits { stall: SignedDuration::from_mins(2), max_restarts: 3, stable_for: None };
        let check = |now: &str, expected: Phase| {
            at(&scene(false), now, |subject, findings, progress| {
                let clocks = Clocks::begin(subject, findings, progress);
                assert_eq!(judge(subject, findings, progress, &clocks, &limits).phase, expected, "{now}");
            });
        };
        check("2026-01-01T12:09:49Z", Phase::Progressing);
        check("2026-01-01T12:09:50Z", Phase::Stalled);
    }

    /// The API's times are whole seconds, and the server's clock is known to the second only.
    #[test]
    fn a_pod_that_becomes_ready_in_a_moment_is_ready() {
        at(&scene(true), "2026-01-01T11:59:49.9Z", |_, _, progress| assert!(progress.is_complete));
    }

    #[test]
    fn what_time_alone_completes_is_looked_at_again() {
        let scene = scene(true).set("/spec/minReadySeconds", 10);
        at(&scene, "2026-01-01T11:59:55Z", |subject, findings, progress| {
            let limits = Limits { stall: SignedDuration::from_mins(2), max_restarts: 3, stable_for: None };
            let clocks = Clocks::begin(subject, findings, progress);
            let wake = judge(subject, findings, progress, &clocks, &limits).wake;
            assert_eq!(wake, Some("2026-01-01T12:00:00Z".parse().unwrap()));
        });
    }

    /// Init containers have ended by then.
    #[test]
    fn a_pod_whose_containers_run_has_started() {
        let running = json!({"running": {"startedAt": "2026-01-01T11:59:40Z"}});
        let ended = json!({"terminated": {"exitCode": 0}});
        let of = |name: &str, state: &Value| json!([{"name": name, "ready": false, "restartCount": 0, "image": "", "imageID": "", "state": state}]);
        let pod = json!({
            "metadata": {"name": "web-1", "uid": "web-1"},
            "spec": {"initContainers": [{"name": "init"}], "containers": [{"name": "web"}]},
            "status": {"initContainerStatuses": of("init", &ended), "containerStatuses": of("web", &running)},
        });
        let pod = PodStatus::read(&pod.to_string()).unwrap();
        at(&scene(true), "2026-01-01T12:00:00Z", |_, _, progress| {
            assert_eq!(Farthest::of(&[&pod], progress).started, 1);
        });
    }
}
