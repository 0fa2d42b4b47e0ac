//! One workload on its way: watched, proven bad, brought back, verified.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Surroundings, Target, Task, evidence};
use crate::{
    action::{Action, RemovalAnswer, RolloutAnswer, Wanted},
    diagnose::{self, Class, Code, Finding},
    model::{ObjectName, PodStatus, Rollout, RolloutKind, RolloutStrategy, Uid, Writer},
    outcome::Exit,
    rollout::{
        document::{RolloutCause, RolloutEnd, RolloutFinding, RolloutOutcome, RolloutPods, RolloutWorkload, Undo},
        event::Event,
        look,
        options::{OnStall, UndoOn},
        patch::{self, FIELD_MANAGER},
        references,
        secrets::without_tokens,
        status::{self, Progress},
        target, template,
        verdict::{self, Clocks, Phase, Verdict},
        view::{Subject, View},
    },
};

/// A workload on its way.
#[derive(Debug)]
pub(super) struct Track {
    kind: RolloutKind,
    name: ObjectName,
    workload: RolloutWorkload,
    uid: Uid,
    /// The template that is guarded: another one is somebody else's rollout.
    template: Value,
    /// Who had written it by then: whoever wrote another template is none of these.
    writers: Vec<Writer>,
    /// The number of its revision, once it has one.
    revision: Option<i64>,
    clocks: Clocks,
    stage: Stage,
    cause: Option<(Finding, RolloutCause)>,
    undo: Option<UndoUnderWay>,
    /// Objects that a target needs and that are not there.
    absent: Vec<Wanted>,
    told: Told,
    log: Option<LogWanted>,
    wake: Option<Timestamp>,
}

/// Where a workload is.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    /// Its rollout is watched.
    Watching,
    /// The objects are looked up that the target needs.
    Checking {
        /// The target's number.
        to: i64,
        /// What nobody has answered yet.
        open: BTreeSet<Wanted>,
        /// Whether it was asked for.
        is_asked: bool,
    },
    /// The server is asked to change it, since then or from then on.
    Changing {
        /// To what.
        change: Change,
        /// Whether an answer is awaited; else it is asked at this time.
        next_at: Option<Timestamp>,
        /// How often it was asked.
        tries: u32,
    },
    /// The version that came back is watched.
    Verifying,
    /// It has its final word.
    Ended(Ending),
}

/// A change of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Back to the revision with this number.
    Undo(i64),
    /// It is paused.
    Pause,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
struct Ending {
    outcome: RolloutOutcome,
    exit: Exit,
    message: String,
    next: Vec<String>,
    at: Timestamp,
}

/// An undo that was accepted.
#[derive(Debug, Clone)]
struct UndoUnderWay {
    from: Option<i64>,
    to: i64,
    began: Timestamp,
    template: Value,
    bad_template: Value,
    is_verified: bool,
    /// Pods that were asked to go because they hold up a `StatefulSet`.
    unblocked: BTreeMap<Uid, Unblocking>,
}

/// The deletion of a pod that holds up a `StatefulSet`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Unblocking {
    /// It was asked for, as the pod was in this version.
    Asked(String),
    /// The pod was not in this version any more: it is looked at again once it is seen in another one.
    Changed(String),
    /// Nobody decided: it is asked for again then.
    Later(Timestamp),
    /// The server refuses, in its words.
    Refused(String),
}

/// What was told already.
#[derive(Debug, Clone, Default)]
struct Told {
    has_begun: bool,
    progress: Option<ToldProgress>,
    /// What would be told of its progress now.
    news: String,
    /// When that is due, if it was not told yet.
    news_at: Option<Timestamp>,
    findings: BTreeSet<(Code, Option<String>)>,
    end: bool,
    notes: BTreeSet<String>,
}

/// What was told of a rollout's progress last.
#[derive(Debug, Clone)]
struct ToldProgress {
    counts: RolloutPods,
    message: String,
    is_complete: bool,
    at: Timestamp,
}

/// A log that is being read.
#[derive(Debug, Clone)]
struct LogWanted {
    pod: Uid,
    pod_name: String,
    container: String,
    until: Timestamp,
}

/// How often a change is asked for while the server does not decide, or somebody else writes in between.
const TRIES: u32 = 5;

/// How long to wait before a change is asked for again.
const PAUSE_BETWEEN_TRIES: SignedDuration = SignedDuration::from_secs(1);

/// Numbers that change several times a second are told once a second.
const PAUSE_BETWEEN_NUMBERS: SignedDuration = SignedDuration::from_secs(1);

/// How long a log may take: it is read for people, and the undo does not wait for it.
const LOG_PATIENCE: SignedDuration = SignedDuration::from_secs(3);

impl Unblocking {
    const fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Self::Later(at) => Some(*at),
            Self::Asked(_) | Self::Changed(_) | Self::Refused(_) => None,
        }
    }
}

impl Track {
    /// Begins with a workload as it is seen; none where it is not there.
    pub(super) fn begin(view: &View, target: &Target, now: Timestamp) -> Option<Self> {
        let rollout = view.rollout(target.kind, &target.name)?;
        let subject = view.subject(rollout, now);
        let (findings, progress) = (diagnose::diagnose(&subject), status::progress(&subject));
        let mut clocks = Clocks::begin(&subject, &findings, &progress);
        clocks.seen_ready.extend(view.ready_before(&rollout.uid));
        Some(Self {
            kind: target.kind,
            name: target.name.clone(),
            workload: RolloutWorkload::of(rollout),
            uid: rollout.uid.clone(),
            template: rollout.template.clone(),
            writers: rollout.writers.clone(),
            revision: subject.current().and_then(|revision| revision.number),
            clocks,
            stage: match target.task {
                Task::Guard => Stage::Watching,
                Task::Undo { to } => checking(&subject, to),
            },
            cause: None,
            undo: None,
            absent: Vec::new(),
            told: Told::default(),
            log: None,
            wake: None,
        })
    }

    pub(super) fn uid(&self) -> &Uid {
        &self.uid
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// Whether the deadline of the whole command ends it: an undo that has begun is seen through.
    pub(super) fn is_watching(&self) -> bool {
        matches!(self.stage, Stage::Watching)
    }

    pub(super) fn awaits_log(&self) -> bool {
        self.log.is_some()
    }

    /// When it wants to be looked at although nothing happens. What is not seen is not looked at.
    pub(super) fn wake(&self, is_seeing: bool) -> Option<Timestamp> {
        let stage = match &self.stage {
            _ if !is_seeing => None,
            Stage::Changing { next_at, .. } => *next_at,
            Stage::Ended(_) => None,
            Stage::Watching | Stage::Verifying => [self.wake, self.told.news_at].into_iter().flatten().min(),
            Stage::Checking { .. } => self.wake,
        };
        [stage, self.log.as_ref().map(|log| log.until)].into_iter().flatten().min()
    }

    /// The exit code of this workload alone.
    pub(super) fn exit(&self) -> Exit {
        match &self.stage {
            Stage::Ended(ending) => ending.exit,
            _ => Exit::Unfinished,
        }
    }

    /// Its name, and why it did not end well.
    pub(super) fn reason(&self) -> String {
        match &self.stage {
            Stage::Ended(ending) => format!("{}: {}", self.shown(), ending.message),
            _ => self.shown(),
        }
    }

    /// Commands that help to go on.
    pub(super) fn next(&self) -> Vec<String> {
        match &self.stage {
            Stage::Ended(ending) => ending.next.clone(),
            _ => Vec::new(),
        }
    }

    /// How it ended, for the result.
    pub(super) fn end(&self) -> RolloutEnd {
        let (outcome, at) = match &self.stage {
            Stage::Ended(ending) => (ending.outcome, Some(ending.at)),
            _ => (RolloutOutcome::Unfinished, None),
        };
        RolloutEnd {
            workload: self.workload.clone(),
            outcome,
            cause: self.cause.as_ref().map(|(_, cause)| cause.clone()),
            undo: self.undo.as_ref().map(|undo| Undo {
                from: undo.from,
                to: undo.to,
                verified: undo.is_verified,
                seconds: seconds(at.unwrap_or(undo.began).duration_since(undo.began)),
            }),
            probes: Vec::new(),
        }
    }

    /// Looks at it, and does what follows.
    pub(super) fn step(&mut self, view: &View, surroundings: &Surroundings<'_>, actions: &mut Vec<Action<Event>>) {
        if self.log.as_ref().is_some_and(|log| log.until <= surroundings.now) {
            self.log = None;
        }
        if self.is_ended() {
            return;
        }
        let Some(rollout) = view.rollout(self.kind, &self.name).filter(|rollout| rollout.uid == self.uid) else {
            // While a watch is lost, nothing that is not seen is gone.
            if surroundings.is_seeing {
                let word =
                    if view.rollout(self.kind, &self.name).is_some() { "deleted and made anew" } else { "deleted" };
                self.finish(
                    RolloutOutcome::Gone,
                    Exit::Superseded,
                    format!("it was {word} meanwhile"),
                    Vec::new(),
                    surroundings,
                );
            }
            return;
        };
        let subject = view.subject(rollout, surroundings.now);
        if !self.told.has_begun {
            self.told.has_begun = true;
            let images = template::images(&rollout.template).into_iter().collect();
            let revision = subject.current().and_then(|revision| revision.number);
            actions.push(Action::Tell(Event::WatchBegan { workload: self.workload.clone(), revision, images }));
        }
        match self.stage.clone() {
            Stage::Watching | Stage::Checking { .. } if !template::same(&rollout.template, &self.template) => {
                let message = format!("somebody else has rolled out another version{}", self.written_by(rollout));
                self.finish(RolloutOutcome::Superseded, Exit::Superseded, message, Vec::new(), surroundings);
            }
            Stage::Watching => self.watch(&subject, surroundings, actions),
            Stage::Checking { .. } => self.check(&subject, surroundings, actions),
            Stage::Ended(_) => {}
            Stage::Changing { change, next_at, tries } => {
                if next_at.is_some_and(|at| at <= surroundings.now) && surroundings.is_seeing {
                    self.change(change, tries, &subject, surroundings, actions);
                }
            }
            Stage::Verifying => self.verify(&subject, surroundings, actions),
        }
    }

    fn watch(&mut self, subject: &Subject<'_>, surroundings: &Surroundings<'_>, actions: &mut Vec<Action<Event>>) {
        self.revision = subject.current().and_then(|revision| revision.number).or(self.revision);
        let (verdict, progress, others) = self.look(subject, surroundings, actions);
        self.wake = verdict.wake;
        if !surroundings.is_seeing {
            return;
        }
        match verdict.phase {
            Phase::Progressing | Phase::Waiting => {}
            // Not good while somebody asks in vain.
            Phase::Complete if surroundings.probe.is_some() || !surroundings.probes_are_known => {}
            Phase::Complete => {
                self.finish(
                    RolloutOutcome::Complete,
                    Exit::Done,
                    complete_message(&progress, subject),
                    Vec::new(),
                    surroundings,
                );
            }
            Phase::Blocked => {
                let Some(finding) = verdict.cause else { return };
                let (exit, next) = way_out(subject, &finding);
                let blame = look::blame_for(subject, &finding, &self.clocks.seen_ready);
                self.cause = Some((finding.clone(), look::cause_of(&finding, &blame)));
                self.finish(RolloutOutcome::Blocked, exit, finding.message, next, surroundings);
            }
            Phase::Stalled => {
                if let Some(cause) = verdict.cause {
                    self.stall(cause, others, subject, surroundings, actions);
                }
            }
        }
    }

    /// Looks at a version and tells what is new about it. The number is that of the findings beside the cause.
    fn look(
        &mut self,
        subject: &Subject<'_>,
        surroundings: &Surroundings<'_>,
        actions: &mut Vec<Action<Event>>,
    ) -> (Verdict, Progress, usize) {
        let mut findings = diagnose::diagnose(subject);
        findings.extend(surroundings.probe.clone());
        findings.retain(|finding| finding.code != Code::DeadlineExceeded || !self.is_from_before(subject));
        let progress = status::progress(subject);
        self.clocks.observe(subject, &findings, &progress);
        findings.extend(self.clocks.flapping(subject));
        let verdict = verdict::judge(subject, &findings, &progress, &self.clocks, &surroundings.options.limits);
        self.tell_progress(&progress, &verdict, subject, surroundings, actions);
        // A proof is told with all that there is to see of it.
        let proof = verdict.cause.as_ref().filter(|_| verdict.phase == Phase::Stalled);
        let is_proof =
            |finding: &&Finding| proof.is_some_and(|it| (it.code, &it.container) == (finding.code, &finding.container));
        for finding in findings.iter().filter(|finding| !is_proof(finding)) {
            self.tell_finding(finding, actions);
        }
        (verdict, progress, findings.len().saturating_sub(1))
    }

    /// Whether the condition that the deadline has passed is older than the version that came back.
    fn is_from_before(&self, subject: &Subject<'_>) -> bool {
        let condition = subject.rollout.condition("Progressing").and_then(|condition| condition.updated_at);
        self.undo.as_ref().is_some_and(|undo| condition.is_none_or(|at| at < undo.began))
    }

    fn tell_progress(
        &mut self,
        progress: &Progress,
        verdict: &Verdict,
        subject: &Subject<'_>,
        surroundings: &Surroundings<'_>,
        actions: &mut Vec<Action<Event>>,
    ) {
        let message = match verdict.complete_since {
            Some(_) if verdict.phase == Phase::Progressing => {
                let window = verdict::window(subject, &surroundings.options.limits);
                format!("{}; must stay good for {}", progress.message, spell(window))
            }
            _ => progress.message.clone(),
        };
        self.told.news.clone_from(&message);
        self.told.news_at = None;
        let (counts, is_complete) = (progress.counts, verdict.complete_since.is_some());
        // A countdown is no news.
        let is_news =
            self.told.progress.as_ref().is_none_or(|told| {
                told.counts != counts || (progress.available_in.is_none() && told.message != message)
            });
        // Its end says more.
        if !is_news || verdict.phase == Phase::Complete {
            return;
        }
        let now = surroundings.now;
        let last = self.told.progress.as_ref().filter(|told| told.is_complete == is_complete);
        if let Some(due) = last.map(|told| told.at + PAUSE_BETWEEN_NUMBERS).filter(|due| *due > now) {
            self.told.news_at = Some(due);
            return;
        }
        self.told.progress = Some(ToldProgress { counts, message: message.clone(), is_complete, at: now });
        actions.push(Action::Tell(Event::Progressed { workload: self.workload.clone(), counts, message }));
    }

    fn tell_finding(&mut self, finding: &Finding, actions: &mut Vec<Action<Event>>) {
        let is_ordinary = matches!(
            finding.code,
            Code::Creating
                | Code::Scheduling
                | Code::Starting
                | Code::NotReady
                | Code::InitRunning
                | Code::ImagePulling
                | Code::NotObserved
        );
        if !is_ordinary && self.told.findings.insert((finding.code, finding.container.clone())) {
            let finding = RolloutFinding::from(finding);
            actions.push(Action::Tell(Event::FindingSeen { workload: self.workload.clone(), finding }));
        }
    }

    fn stall(
        &mut self,
        finding: Finding,
        others: usize,
        subject: &Subject<'_>,
        surroundings: &Surroundings<'_>,
        actions: &mut Vec<Action<Event>>,
    ) {
        let blame = look::blame_for(subject, &finding, &self.clocks.seen_ready);
        let cause = look::cause_of(&finding, &blame);
        let evidence = evidence::gather(subject, &finding);
        actions.push(Action::Tell(Event::StallProven {
            workload: self.workload.clone(),
            cause: cause.clone(),
            others,
            evidence,
        }));
        if let Some((pod, container, previous)) = evidence::log_wanted(subject, &finding) {
            self.log = Some(LogWanted {
                pod: pod.uid.clone(),
                pod_name: pod.name.name.clone(),
                container: container.to_owned(),
                until: surroundings.now + LOG_PATIENCE,
            });
            actions.push(Action::ReadLog {
                pod: pod.name.clone(),
                uid: pod.uid.clone(),
                container: container.to_owned(),
                previous,
            });
        }
        let options = surroundings.options;
        let is_to_blame = blame.is_to_blame && !matches!(finding.class, Class::Environment | Class::Transient);
        let message = finding.message.clone();
        self.cause = Some((finding, cause));
        if !is_to_blame && options.undo_on == UndoOn::Version {
            let why = if blame.is_to_blame { "which is not the version's fault" } else { &blame.sentence };
            let target = target::choose(subject, options.to_revision, &self.clocks.seen_ready);
            let message = match target {
                Err(none) if !blame.has_before => self.with_cause(&none.to_string()),
                _ => format!("{message}; {why}: not undone"),
            };
            return self.not_undone(message, subject, surroundings);
        }
        match options.on_stall {
            OnStall::Report => self.not_undone(message, subject, surroundings),
            OnStall::Pause if subject.rollout.kind == RolloutKind::Deployment => {
                self.stage = Stage::Changing { change: Change::Pause, next_at: Some(surroundings.now), tries: 0 };
                self.change(Change::Pause, 0, subject, surroundings, actions);
            }
            OnStall::Pause => {
                let message = format!("{message}; a {} cannot be paused", subject.rollout.kind.as_str());
                self.not_undone(message, subject, surroundings);
            }
            OnStall::Undo => self.find_target(subject, surroundings, actions),
        }
    }

    fn find_target(
        &mut self,
        subject: &Subject<'_>,
        surroundings: &Surroundings<'_>,
        actions: &mut Vec<Action<Event>>,
    ) {
        match target::choose(subject, surroundings.options.to_revision, &self.clocks.seen_ready) {
            Err(none) => {
                self.not_undone(self.with_cause(&none.to_string()), subject, surroundings);
            }
            Ok(target) => {
                let Some(to) = target.revision.number else {
                    let message = self.with_cause("the revision to go back to has no number");
                    return self.not_undone(message, subject, surroundings);
                };
                self.stage = checking(subject, to);
                self.check(subject, surroundings, actions);
            }
        }
    }

    /// Looks up what the target needs, then decides.
    fn check(&mut self, subject: &Subject<'_>, surroundings: &Surroundings<'_>, actions: &mut Vec<Action<Event>>) {
        let Stage::Checking { to, open, is_asked } = &mut self.stage else { return };
        let to = *to;
        if !std::mem::replace(is_asked, true) {
            actions.extend(open.iter().cloned().map(Action::Look));
        }
        if open.is_empty() {
            self.decide_on(to, subject, surroundings, actions);
        }
    }

    /// All that the target needs was looked up.
    fn decide_on(
        &mut self,
        to: i64,
        subject: &Subject<'_>,
        surroundings: &Surroundings<'_>,
        actions: &mut Vec<Action<Event>>,
    ) {
        if let Some(absent) = self.absent.first() {
            let message = format!("revision {to} needs {absent}, which is not there");
            return self.not_undone(self.with_cause(&message), subject, surroundings);
        }
        self.stage = Stage::Changing { change: Change::Undo(to), next_at: Some(surroundings.now), tries: 0 };
        self.change(Change::Undo(to), 0, subject, surroundings, actions);
    }

    fn change(
        &mut self,
        change: Change,
        tries: u32,
        subject: &Subject<'_>,
        surroundings: &Surroundings<'_>,
        actions: &mut Vec<Action<Event>>,
    ) {
        let rollout = subject.rollout;
        // An answer was lost, and the watch shows that it was done all the same.
        if tries > 0 && self.stands(change, rollout) {
            self.writers.clone_from(&rollout.writers);
            self.take_in_done(change, surroundings.now);
            return self.verify(subject, surroundings, actions);
        }
        // Decided on the version that was watched: another one is somebody else's.
        if !template::same(&rollout.template, &self.template) {
            let message = format!("somebody else has rolled out another version{}", self.written_by(rollout));
            return self.finish(RolloutOutcome::Superseded, Exit::Superseded, message, Vec::new(), surroundings);
        }
        let operations = match change {
            Change::Pause => patch::pause(rollout),
            Change::Undo(to) => {
                let Some(revision) = subject.revision(to) else {
                    let message = self.with_cause(&format!("revision {to} is gone"));
                    return self.not_undone(message, subject, surroundings);
                };
                let because = self.cause.as_ref().map(|(finding, _)| finding);
                let cause = patch::change_cause(surroundings.options.change_cause.as_deref(), revision, because);
                let bad = because.and(subject.version());
                if tries == 0 {
                    let why = target::choose(subject, surroundings.options.to_revision, &self.clocks.seen_ready)
                        .map(|target| target.to_string())
                        .unwrap_or_default();
                    let diff = template::diff(&rollout.template, &revision.template, &rollout.shown());
                    let from = subject.current().and_then(|current| current.number);
                    actions.push(Action::Tell(Event::UndoBegan {
                        workload: self.workload.clone(),
                        from,
                        to,
                        why,
                        diff,
                    }));
                }
                self.undo = Some(UndoUnderWay {
                    from: subject.current().and_then(|current| current.number),
                    to,
                    began: surroundings.now,
                    template: revision.template.clone(),
                    bad_template: rollout.template.clone(),
                    is_verified: false,
                    unblocked: BTreeMap::new(),
                });
                patch::undo(rollout, revision, &cause, bad)
            }
        };
        actions.push(Action::PatchRollout {
            kind: self.kind,
            name: self.name.clone(),
            uid: self.uid.clone(),
            patch: operations,
        });
        self.stage = Stage::Changing { change, next_at: None, tries: tries + 1 };
    }

    /// Takes in the answer to a change.
    pub(super) fn take_in_patch(&mut self, answer: RolloutAnswer, now: Timestamp) -> Option<Event> {
        let Stage::Changing { change, tries, .. } = self.stage else { return None };
        let again = Stage::Changing { change, next_at: Some(now + PAUSE_BETWEEN_TRIES), tries };
        let (exit, message) = match answer {
            RolloutAnswer::Stands(rollout) | RolloutAnswer::Changed(rollout) if self.stands(change, &rollout) => {
                self.writers = rollout.writers;
                self.take_in_done(change, now);
                let workload = self.workload.clone();
                return (change == Change::Pause).then_some(Event::RolloutPaused { workload });
            }
            RolloutAnswer::Stands(_) => {
                (Exit::UndoUnverified, "the server accepted the change, but it does not stand".to_owned())
            }
            // Somebody else wrote in between: it is decided again on what stands now.
            RolloutAnswer::Changed(_) if tries < TRIES => {
                self.stage = Stage::Changing { change, next_at: Some(now), tries };
                return None;
            }
            RolloutAnswer::Changed(_) => (Exit::NotUndone, "somebody else kept changing it".to_owned()),
            RolloutAnswer::Trouble(_) if tries < TRIES => {
                self.stage = again;
                return None;
            }
            RolloutAnswer::Trouble(trouble) => (Exit::NotUndone, trouble.message),
            RolloutAnswer::Deleted => (Exit::Superseded, "it was deleted meanwhile".to_owned()),
            RolloutAnswer::Forbidden(message) => (Exit::Forbidden, message),
            RolloutAnswer::Denied(message) => (Exit::NotUndone, message),
        };
        self.undo = None;
        let outcome = if exit == Exit::Superseded { RolloutOutcome::Gone } else { RolloutOutcome::NotUndone };
        let message = self.with_cause(&message);
        self.stage = Stage::Ended(Ending { outcome, exit, message, next: Vec::new(), at: now });
        None
    }

    /// Whether a workload is as a change should make it.
    fn stands(&self, change: Change, rollout: &Rollout) -> bool {
        match change {
            Change::Pause => rollout.is_paused,
            Change::Undo(_) => self.undo.as_ref().is_some_and(|undo| template::same(&rollout.template, &undo.template)),
        }
    }

    fn take_in_done(&mut self, change: Change, now: Timestamp) {
        self.stage = match change {
            Change::Undo(_) => {
                self.told.progress = None;
                self.told.findings.clear();
                self.wake = Some(now);
                Stage::Verifying
            }
            Change::Pause => Stage::Ended(Ending {
                outcome: RolloutOutcome::NotUndone,
                exit: Exit::NotUndone,
                message: format!("{}; paused", self.cause_message()),
                next: vec![format!("kubectl -n {} rollout resume {}", self.name.namespace, self.shown())],
                at: now,
            }),
        };
    }

    fn verify(&mut self, subject: &Subject<'_>, surroundings: &Surroundings<'_>, actions: &mut Vec<Action<Event>>) {
        let Some(undo) = self.undo.clone() else { return };
        let rollout = subject.rollout;
        if !template::same(&rollout.template, &undo.template) {
            let writer = self.written_by(rollout);
            if template::same(&rollout.template, &undo.bad_template) {
                let message = format!("the undo to revision {} was reverted{writer}", undo.to);
                let next = vec!["change it where that writer takes it from, or suspend that writer".to_owned()];
                self.finish(RolloutOutcome::UndoFailed, Exit::UndoUnverified, message, next, surroundings);
            } else {
                let message = format!("after the undo, somebody else has rolled out another version{writer}");
                self.finish(RolloutOutcome::Superseded, Exit::Superseded, message, Vec::new(), surroundings);
            }
            return;
        }
        // The clocks of the version that came back begin with it.
        if self.clocks.began() < undo.began {
            let (findings, progress) = (diagnose::diagnose(subject), status::progress(subject));
            let seen_ready = std::mem::take(&mut self.clocks.seen_ready);
            self.clocks = Clocks::begin_anew(subject, &findings, &progress);
            self.clocks.seen_ready.extend(seen_ready);
        }
        let (verdict, _, _) = self.look(subject, surroundings, actions);
        self.wake = verdict.wake;
        if !surroundings.is_seeing {
            return;
        }
        self.unblock(subject, surroundings, actions);
        if let Some(why) = self.refused_unblocking(subject) {
            let to = self.undo.as_ref().map_or(0, |undo| undo.to);
            let message = format!("undone to revision {to}, but {why}");
            let next = delete_stuck_pod(subject).into_iter().collect();
            return self.finish(RolloutOutcome::UndoFailed, Exit::UndoUnverified, message, next, surroundings);
        }
        let retry = self.undo.iter().flat_map(|undo| undo.unblocked.values()).filter_map(Unblocking::retry_at);
        let retry = retry.filter(|at| *at > surroundings.now);
        self.wake = self.wake.into_iter().chain(retry).min();
        match verdict.phase {
            Phase::Complete if surroundings.probe.is_some() || !surroundings.probes_are_known => {}
            Phase::Complete => {
                if let Some(undo) = &mut self.undo {
                    undo.is_verified = true;
                }
                let now_number = subject.current().and_then(|revision| revision.number);
                let renumbered = now_number.filter(|number| *number != undo.to);
                let renumbered = renumbered.map(|number| format!(", now revision {number}")).unwrap_or_default();
                let message = match self.cause_message() {
                    cause if cause.is_empty() => format!("rolled back to revision {}{renumbered}, verified", undo.to),
                    cause => format!("{cause}; undone: back on revision {}{renumbered}, verified", undo.to),
                };
                let exit = if self.cause.is_some() { Exit::Undone } else { Exit::Done };
                self.finish(RolloutOutcome::Undone, exit, message, Vec::new(), surroundings);
            }
            Phase::Blocked if verdict.cause.as_ref().is_some_and(|cause| cause.code == Code::OnDelete) => {
                let message =
                    format!("revision {} is back in the template: its pods get it when somebody deletes them", undo.to);
                let next = look::delete_old_pods(subject).into_iter().collect();
                self.finish(RolloutOutcome::Blocked, Exit::Refused, message, next, surroundings);
            }
            // While a pod of the bad version holds up a StatefulSet, it is unblocked.
            Phase::Stalled | Phase::Blocked
                if verdict.cause.as_ref().is_none_or(|cause| cause.code != Code::OrdinalStuck) =>
            {
                let why = verdict.cause.map(|cause| cause.message).unwrap_or_default();
                let message = format!("undone to revision {}, which does not become good either: {why}", undo.to);
                let next = vec![format!("kubectl rollout-guard -n {} status {}", self.name.namespace, self.shown())];
                self.finish(RolloutOutcome::UndoFailed, Exit::UndoUnverified, message, next, surroundings);
            }
            _ => {}
        }
    }

    /// A `StatefulSet` with ordered pods waits for ever for a pod of the bad version to become Ready (k/k#67250): exactly
    /// that one is deleted, one at a time, and never one that is Ready.
    fn unblock(&mut self, subject: &Subject<'_>, surroundings: &Surroundings<'_>, actions: &mut Vec<Action<Event>>) {
        let (Some(stuck), Some(undo)) = (stuck_pod(subject), &mut self.undo) else { return };
        let is_due = match undo.unblocked.get(&stuck.uid) {
            None => true,
            Some(Unblocking::Asked(_) | Unblocking::Refused(_)) => false,
            Some(Unblocking::Changed(version)) => *version != stuck.resource_version,
            Some(Unblocking::Later(at)) => *at <= surroundings.now,
        };
        if !is_due {
            return;
        }
        let asked = Unblocking::Asked(stuck.resource_version.clone());
        actions.push(Action::DeletePod {
            pod: stuck.name.clone(),
            uid: stuck.uid.clone(),
            resource_version: stuck.resource_version.clone(),
        });
        if undo.unblocked.insert(stuck.uid.clone(), asked).is_none() {
            actions.push(Action::Tell(Event::PodUnblocked {
                workload: self.workload.clone(),
                pod: stuck.name.name.clone(),
            }));
        }
    }

    /// Why the server does not let the pod go that holds up a `StatefulSet`.
    fn refused_unblocking(&self, subject: &Subject<'_>) -> Option<String> {
        let stuck = stuck_pod(subject)?;
        match self.undo.as_ref()?.unblocked.get(&stuck.uid)? {
            Unblocking::Refused(why) => Some(format!("pod {} must be deleted by hand: {why}", stuck.name.name)),
            _ => None,
        }
    }

    /// Takes in the answer to the deletion of a stuck pod: one that changed meanwhile is looked at again.
    pub(super) fn take_in_deletion(&mut self, pod: &Uid, answer: &RemovalAnswer, now: Timestamp) {
        let Some(unblocking) = self.undo.as_mut().and_then(|undo| undo.unblocked.get_mut(pod)) else { return };
        let Unblocking::Asked(version) = unblocking else { return };
        *unblocking = match answer {
            RemovalAnswer::Accepted | RemovalAnswer::NotFound => return,
            RemovalAnswer::Conflict(_) => Unblocking::Changed(std::mem::take(version)),
            RemovalAnswer::Trouble(trouble) => {
                Unblocking::Later(now + trouble.retry_after.unwrap_or(PAUSE_BETWEEN_TRIES))
            }
            RemovalAnswer::BudgetForbids(why)
            | RemovalAnswer::SeveralBudgets(why)
            | RemovalAnswer::NamespaceTerminating(why)
            | RemovalAnswer::Forbidden(why)
            | RemovalAnswer::Denied(why) => Unblocking::Refused(why.clone()),
        };
    }

    /// Takes in whether an object is there that a target needs.
    pub(super) fn take_in_look(&mut self, wanted: &Wanted, found: &Result<bool, String>) {
        let Stage::Checking { open, .. } = &mut self.stage else { return };
        if !open.remove(wanted) {
            return;
        }
        // What nobody may look at is not known to be missing.
        if found == &Ok(false) {
            self.absent.push(wanted.clone());
        }
    }

    /// Takes in a log.
    pub(super) fn take_in_log(
        &mut self,
        pod: &Uid,
        container: &str,
        lines: &Result<Vec<String>, String>,
    ) -> Option<Event> {
        let log = self.log.take_if(|log| log.pod == *pod && log.container == container)?;
        let workload = self.workload.clone();
        match lines {
            Ok(lines) if lines.is_empty() => None,
            Ok(lines) => {
                let lines = lines.iter().map(|line| without_tokens(line)).collect();
                Some(Event::LogRead { workload, pod: log.pod_name, container: log.container, lines })
            }
            Err(message) => {
                let message = format!("the log of container {container:?} cannot be read: {message}");
                self.told.notes.insert(message.clone()).then_some(Event::Noted { workload: Some(workload), message })
            }
        }
    }

    /// Ends it before anything was done.
    pub(super) fn refuse(&mut self, exit: Exit, message: &str, now: Timestamp) {
        if !self.is_ended() {
            let outcome = if exit == Exit::Refused { RolloutOutcome::Blocked } else { RolloutOutcome::Unfinished };
            let message = message.to_owned();
            self.stage = Stage::Ended(Ending { outcome, exit, message, next: Vec::new(), at: now });
        }
    }

    /// The user wants it to end. A change that was asked for is waited for, to be able to say what stands.
    pub(super) fn interrupt(&mut self, surroundings: &Surroundings<'_>) {
        if self.is_ended() || matches!(self.stage, Stage::Changing { next_at: None, .. }) {
            return;
        }
        let (outcome, message) = match (&self.stage, &self.undo) {
            (Stage::Verifying, Some(undo)) => (
                RolloutOutcome::UndoFailed,
                format!("interrupted: revision {} was brought back, and is not verified", undo.to),
            ),
            // The server did not say what became of it.
            (Stage::Changing { change: Change::Undo(to), tries: 1.., .. }, _) => (
                RolloutOutcome::UndoFailed,
                format!("interrupted while revision {to} was asked for: whether it is back is not known"),
            ),
            (Stage::Changing { change: Change::Pause, tries: 1.., .. }, _) => {
                (RolloutOutcome::Unfinished, "interrupted while it was being paused".to_owned())
            }
            _ => (RolloutOutcome::Unfinished, "interrupted: nothing was undone".to_owned()),
        };
        let next = vec![format!("kubectl rollout-guard -n {} status {}", self.name.namespace, self.shown())];
        self.finish(outcome, Exit::Interrupted, message, next, surroundings);
    }

    /// The time of the whole command is over: a rollout that is still watched is unfinished.
    pub(super) fn give_up(&mut self, surroundings: &Surroundings<'_>) {
        if self.is_watching() {
            let message = format!("the time is over: {}", self.told.news);
            let next = vec![format!("kubectl rollout-guard -n {} status {}", self.name.namespace, self.shown())];
            self.finish(RolloutOutcome::Unfinished, Exit::Unfinished, message, next, surroundings);
        }
    }

    /// Its final word, once.
    pub(super) fn tell_end(&mut self) -> Option<Event> {
        let Stage::Ended(ending) = &self.stage else { return None };
        if std::mem::replace(&mut self.told.end, true) {
            return None;
        }
        Some(Event::RolloutEnded {
            workload: self.workload.clone(),
            outcome: ending.outcome,
            message: ending.message.clone(),
            after: ending.at.duration_since(self.clocks.began()),
        })
    }

    fn not_undone(&mut self, message: String, subject: &Subject<'_>, surroundings: &Surroundings<'_>) {
        let namespace = &self.name.namespace;
        let mut next = vec![format!("kubectl rollout-guard -n {namespace} status {}", self.shown())];
        if target::choose(subject, surroundings.options.to_revision, &self.clocks.seen_ready).is_ok() {
            next.push(format!("kubectl rollout-guard -n {namespace} undo {}", self.shown()));
        } else {
            next.push("roll out a version that works".to_owned());
            if self.kind == RolloutKind::Deployment {
                next.push(format!("kubectl -n {namespace} rollout pause {}", self.shown()));
            }
        }
        // An undo that somebody asked for needs another answer; one that was to follow a stall leaves the stall.
        let exit = if self.cause.is_some() { Exit::NotUndone } else { Exit::Refused };
        self.finish(RolloutOutcome::NotUndone, exit, message, next, surroundings);
    }

    fn finish(
        &mut self,
        outcome: RolloutOutcome,
        exit: Exit,
        message: String,
        next: Vec<String>,
        surroundings: &Surroundings<'_>,
    ) {
        self.stage = Stage::Ended(Ending { outcome, exit, message, next, at: surroundings.now });
    }

    /// Who wrote another template than the one that stood, as far as field managers tell: ` by argocd-controller`. Their
    /// times are whole seconds, so that they alone do not tell who was last.
    fn written_by(&self, rollout: &Rollout) -> String {
        let owners = || rollout.writers.iter().filter(|writer| writer.owns_template);
        let fresh = owners().filter(|writer| !self.writers.contains(writer)).max_by_key(|writer| writer.at);
        let last = || owners().max_by_key(|writer| (writer.at, writer.manager != FIELD_MANAGER));
        match fresh.or_else(last) {
            Some(writer) if !writer.manager.is_empty() => format!(" by {}", writer.manager),
            _ => String::new(),
        }
    }

    fn cause_message(&self) -> String {
        self.cause.as_ref().map(|(finding, _)| finding.message.clone()).unwrap_or_default()
    }

    /// Why it was not undone, behind what should have been undone.
    fn with_cause(&self, why: &str) -> String {
        match self.cause_message() {
            cause if cause.is_empty() => format!("not undone: {why}"),
            cause => format!("{cause}; not undone: {why}"),
        }
    }

    fn shown(&self) -> String {
        format!("{}/{}", self.kind.singular(), self.name.name)
    }
}

fn checking(subject: &Subject<'_>, to: i64) -> Stage {
    let namespace = &subject.rollout.name.namespace;
    let target = subject.revision(to);
    let open = target.map(|revision| references::needed(&revision.template, namespace)).unwrap_or_default();
    Stage::Checking { to, open, is_asked: false }
}

/// The pod that a `StatefulSet` with ordered pods waits for in vain: the lowest that isn't Ready, if it is of another
/// version than the one that is wanted, and above the partition.
fn stuck_pod<'a>(subject: &Subject<'a>) -> Option<&'a PodStatus> {
    let RolloutStrategy::Ordinal { partition, is_ordered: true, start } = subject.rollout.strategy else { return None };
    if !subject.rollout.is_observed() {
        return None;
    }
    let wanted = subject.rollout.update_revision.as_ref()?;
    let lowest = start.saturating_add(partition.unwrap_or_default());
    let mut pods: Vec<(i32, &PodStatus)> = subject.pods.iter().filter_map(|pod| Some((pod.ordinal()?, *pod))).collect();
    pods.sort_by_key(|(ordinal, _)| *ordinal);
    let (ordinal, pod) = pods.into_iter().find(|(_, pod)| !pod.is_ready())?;
    let is_old = subject.version_of(pod).as_ref() != Some(wanted);
    (is_old && ordinal >= lowest && !pod.is_terminating()).then_some(pod)
}

/// The exit of a blocked rollout, and the command that lets it go on.
fn way_out(subject: &Subject<'_>, finding: &Finding) -> (Exit, Vec<String>) {
    let namespace = &subject.rollout.name.namespace;
    match finding.code {
        Code::Paused => {
            (Exit::Refused, vec![format!("kubectl -n {namespace} rollout resume {}", subject.rollout.shown())])
        }
        Code::OnDelete => (Exit::Refused, look::delete_old_pods(subject).into_iter().collect()),
        Code::OrdinalStuck => (Exit::NotUndone, delete_stuck_pod(subject).into_iter().collect()),
        _ => (Exit::NotUndone, finding.remedy().into_iter().collect()),
    }
}

/// The command that lets a `StatefulSet` go on.
fn delete_stuck_pod(subject: &Subject<'_>) -> Option<String> {
    let ObjectName { namespace, name } = &stuck_pod(subject)?.name;
    Some(format!("kubectl -n {namespace} delete pod {name}"))
}

fn complete_message(progress: &Progress, subject: &Subject<'_>) -> String {
    let except = match progress.excepted.as_slice() {
        [] => String::new(),
        nodes => {
            let names: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
            format!(", except node {}", names.join(", "))
        }
    };
    let revision = subject.current().and_then(|revision| revision.number);
    let revision = revision.map(|number| format!(" revision {number}")).unwrap_or_default();
    format!("successfully rolled out{revision}{except}")
}

fn spell(duration: SignedDuration) -> String {
    format!("{}s", duration.as_secs())
}

fn seconds(duration: SignedDuration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}
