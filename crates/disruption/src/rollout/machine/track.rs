//! One workload on its way: watched here; what follows a stall is in [`stall`], the way back in [`undo`].

mod stall;
mod undo;

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use self::{
    stall::{LogWanted, checking},
    undo::{Change, UndoUnderWay, delete_stuck_pod},
};
use super::{Surroundings, Target, Task};
use crate::{
    action::{Action, Wanted},
    diagnose::{self, Code, Finding},
    document::in_seconds,
    model::{ObjectName, Rollout, RolloutKind, Uid, Writer},
    outcome::Exit,
    rollout::{
        document::{RolloutCause, RolloutEnd, RolloutFinding, RolloutOutcome, RolloutPods, RolloutWorkload, Undo},
        event::Event,
        look,
        patch::FIELD_MANAGER,
        status::{self, Progress},
        template,
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
    /// What decided the last look at it: a proof, or what is waited for.
    foremost: Option<Finding>,
    /// What it ended for, or is undone for.
    cause: Option<(Finding, RolloutCause)>,
    /// That proves the version bad: the next undo must not lead back to it.
    is_proven_bad: bool,
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

/// How it ended.
#[derive(Debug, Clone, PartialEq)]
struct Ending {
    outcome: RolloutOutcome,
    exit: Exit,
    message: String,
    next: Vec<String>,
    at: Timestamp,
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

/// How long until the next look although nothing happens: time alone makes pods available or overdue, and a finding that
/// nobody looks at counts as out of sight.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(2);

/// Numbers that change several times a second are told once a second.
const PAUSE_BETWEEN_NUMBERS: SignedDuration = SignedDuration::from_secs(1);

/// How long what every pod goes through may last before it is worth a word: most pods are Ready within that time.
const ORDINARY_FOR: SignedDuration = SignedDuration::from_secs(10);

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
            foremost: None,
            cause: None,
            is_proven_bad: false,
            undo: None,
            absent: Vec::new(),
            told: Told::default(),
            log: None,
            wake: None,
        })
    }

    pub(super) fn kind(&self) -> RolloutKind {
        self.kind
    }

    pub(super) fn uid(&self) -> &Uid {
        &self.uid
    }

    pub(super) fn is_ended(&self) -> bool {
        matches!(self.stage, Stage::Ended(_))
    }

    /// Whether the deadline of the whole command ends it: an undo that follows a stall is seen through, and an answer
    /// that is awaited tells what stands.
    pub(super) fn is_timed(&self) -> bool {
        match self.stage {
            Stage::Watching => true,
            Stage::Checking { .. } | Stage::Changing { next_at: Some(_), .. } | Stage::Verifying => {
                self.cause.is_none()
            }
            Stage::Changing { next_at: None, .. } | Stage::Ended(_) => false,
        }
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
                seconds: in_seconds(at.unwrap_or(undo.began).duration_since(undo.began)),
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
        let Some(rollout) = self.seen_in(view) else {
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
        self.wake = Some(next_look(&verdict, surroundings.now));
        if !surroundings.is_seeing {
            return;
        }
        match verdict.phase {
            Phase::Progressing | Phase::Waiting => {}
            // Not good while somebody asks in vain.
            Phase::Complete if !surroundings.all_are_answered() => {}
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
                self.name_cause(finding.clone(), subject);
                self.finish(RolloutOutcome::Blocked, exit, finding.message, next, surroundings);
            }
            Phase::Stalled => match verdict.cause {
                None => {}
                Some(cause) if cause.code == Code::ProbeFailed && surroundings.probe.is_none() => {
                    self.end_unanswered(cause, surroundings, actions);
                }
                Some(cause) => self.stall(cause, others, subject, surroundings, actions),
            },
        }
    }

    /// All pods are Ready, and nobody was ever reached: no proof against the version, and none that it is good.
    fn end_unanswered(&mut self, finding: Finding, surroundings: &Surroundings<'_>, actions: &mut Vec<Action<Event>>) {
        let message = format!("all pods are Ready, but {}", finding.message);
        actions.push(Action::Tell(Event::Noted {
            workload: Some(self.workload.clone()),
            message: format!("{message}; it did not before either, which is no proof against the version"),
        }));
        let RolloutFinding { code, class, message: cause, .. } = RolloutFinding::from(&finding);
        let cause = RolloutCause { code, class, message: cause, changed: None, paths: Vec::new() };
        self.cause = Some((finding, cause));
        let next =
            vec!["see whether the probe's URL is right and can be reached from here".to_owned(), self.status_command()];
        let message = format!("{message}; not known to be good, and not undone");
        self.finish(RolloutOutcome::NotUndone, Exit::NotUndone, message, next, surroundings);
    }

    /// Looks at a version and tells what is new about it. The number is that of the findings beside the cause.
    fn look(
        &mut self,
        subject: &Subject<'_>,
        surroundings: &Surroundings<'_>,
        actions: &mut Vec<Action<Event>>,
    ) -> (Verdict, Progress, usize) {
        let mut findings = diagnose::diagnose(subject);
        let is_verifying = self.stage == Stage::Verifying;
        let progress = status::progress(subject);
        findings.extend(surroundings.probe.clone());
        // Who was never reached is missed once every pod should answer.
        let never = surroundings.never.clone().filter(|_| progress.is_complete && surroundings.probe.is_none());
        findings.extend(never);
        findings.retain(|finding| finding.code != Code::DeadlineExceeded || !self.is_from_before(subject));
        self.clocks.observe(subject, &findings, &progress);
        findings.extend(self.clocks.flapping(subject));
        let mut verdict = verdict::judge(subject, &findings, &progress, &self.clocks, &surroundings.options.limits);
        self.foremost.clone_from(&verdict.cause);
        self.tell_progress(&progress, &verdict, subject, surroundings, actions);
        // A proof is told with all that there is to see of it, and what blocks a rollout is its last word.
        let proof = verdict.cause.as_ref().filter(|_| match verdict.phase {
            Phase::Stalled => true,
            Phase::Blocked => !is_verifying,
            Phase::Progressing | Phase::Waiting | Phase::Complete => false,
        });
        let is_proof =
            |finding: &&Finding| proof.is_some_and(|it| (it.code, &it.container) == (finding.code, &finding.container));
        for finding in findings.iter().filter(|finding| !is_proof(finding)) {
            let due = self.clocks.seen_since(finding).filter(|_| is_ordinary(finding.code)).map(|at| at + ORDINARY_FOR);
            match due.filter(|due| *due > surroundings.now) {
                Some(due) => verdict.wake = Some(verdict.wake.map_or(due, |wake| wake.min(due))),
                None => self.tell_finding(finding, actions),
            }
        }
        (verdict, progress, findings.len().saturating_sub(1))
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
        if self.told.findings.insert((finding.code, finding.container.clone())) {
            let finding = RolloutFinding::from(finding);
            actions.push(Action::Tell(Event::FindingSeen { workload: self.workload.clone(), finding }));
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

    /// Ends it where it is: the server refuses to show it, in its words.
    pub(super) fn lose_right(&mut self, refusal: &str, now: Timestamp) {
        if self.is_ended() {
            return;
        }
        let (outcome, standing) = self.standing();
        let message = format!("forbidden to watch it{standing}: {refusal}");
        let next = vec![format!("kubectl auth can-i watch {}.apps -n {}", self.kind.plural(), self.name.namespace)];
        self.stage = Stage::Ended(Ending { outcome, exit: Exit::Forbidden, message, next, at: now });
    }

    /// The user wants it to end. A change that was asked for is waited for, to be able to say what stands.
    pub(super) fn interrupt(&mut self, view: &View, surroundings: &Surroundings<'_>) {
        if self.is_ended() || matches!(self.stage, Stage::Changing { next_at: None, .. }) {
            return;
        }
        if matches!(self.stage, Stage::Watching) {
            self.name_foremost(view, surroundings);
        }
        let (outcome, standing) = self.standing();
        self.finish(
            outcome,
            Exit::Interrupted,
            format!("interrupted{standing}"),
            vec![self.status_command()],
            surroundings,
        );
    }

    /// The time of the whole command is over: a rollout that is still watched is unfinished, an undo that was asked for
    /// is not verified.
    pub(super) fn give_up(&mut self, view: &View, surroundings: &Surroundings<'_>) {
        if !self.is_timed() {
            return;
        }
        let why = self.foremost.as_ref().map(|finding| match &finding.pod {
            Some(pod) => format!(": {} (pod {})", finding.message, pod.name),
            None => format!(": {}", finding.message),
        });
        let why = why.unwrap_or_default();
        let (outcome, message) = if matches!(self.stage, Stage::Watching) {
            self.name_foremost(view, surroundings);
            (RolloutOutcome::Unfinished, format!("the time is over: {}{why}", self.told.news))
        } else {
            let (outcome, standing) = self.standing();
            let news = Some(&self.told.news).filter(|news| !news.is_empty());
            let news = news.map(|news| format!(": {news}{why}")).unwrap_or_default();
            (outcome, format!("the time is over{standing}{news}"))
        };
        let exit = if outcome == RolloutOutcome::UndoFailed { Exit::UndoUnverified } else { Exit::Unfinished };
        self.finish(outcome, exit, message, vec![self.status_command()], surroundings);
    }

    /// What stands where it is broken off, as the end of a sentence.
    fn standing(&self) -> (RolloutOutcome, String) {
        match (&self.stage, &self.undo) {
            (Stage::Verifying, Some(undo)) => {
                (RolloutOutcome::UndoFailed, format!(": revision {} was brought back, and is not verified", undo.to))
            }
            // The server did not say what became of it.
            (Stage::Changing { change: Change::Undo(to), tries: 1.., .. }, _) => (
                RolloutOutcome::UndoFailed,
                format!(" while revision {to} was asked for: whether it is back is not known"),
            ),
            (Stage::Changing { change: Change::Pause, tries: 1.., .. }, _) => {
                (RolloutOutcome::Unfinished, " while it was being paused".to_owned())
            }
            _ => (RolloutOutcome::Unfinished, ": nothing was undone".to_owned()),
        }
    }

    fn status_command(&self) -> String {
        format!("kubectl rollout-guard -n {} status {}", self.name.namespace, self.shown())
    }

    /// What a watch that ends early waited for is its cause.
    fn name_foremost(&mut self, view: &View, surroundings: &Surroundings<'_>) {
        if let (Some(finding), Some(rollout)) = (self.foremost.take(), self.seen_in(view)) {
            self.name_cause(finding, &view.subject(rollout, surroundings.now));
        }
    }

    fn name_cause(&mut self, finding: Finding, subject: &Subject<'_>) {
        let blame = look::blame_for(subject, &finding, &self.clocks.seen_ready);
        let cause = look::cause_of(&finding, &blame);
        self.cause = Some((finding, cause));
    }

    /// It as it is seen, unless it is gone or another one of its name has come.
    fn seen_in<'v>(&self, view: &'v View) -> Option<&'v Rollout> {
        view.rollout(self.kind, &self.name).filter(|rollout| rollout.uid == self.uid)
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

    fn shown(&self) -> String {
        format!("{}/{}", self.kind.singular(), self.name.name)
    }
}

/// Whether every pod goes through it.
const fn is_ordinary(code: Code) -> bool {
    matches!(
        code,
        Code::Creating
            | Code::Scheduling
            | Code::Starting
            | Code::NotReady
            | Code::InitRunning
            | Code::ImagePulling
            | Code::NotObserved
    )
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

fn complete_message(progress: &Progress, subject: &Subject<'_>) -> String {
    let except = match progress.excepted.as_slice() {
        [] => String::new(),
        nodes => {
            let names: Vec<&str> = nodes.iter().map(|node| node.0.as_str()).collect();
            format!(", except {} {}", if names.len() == 1 { "node" } else { "nodes" }, names.join(", "))
        }
    };
    let revision = subject.current().and_then(|revision| revision.number);
    let revision = revision.map(|number| format!(" revision {number}")).unwrap_or_default();
    format!("successfully rolled out{revision}{except}")
}

fn spell(duration: SignedDuration) -> String {
    format!("{}s", duration.as_secs())
}

/// When to look again although nothing happens.
fn next_look(verdict: &Verdict, now: Timestamp) -> Timestamp {
    let latest = now + LOOK_AGAIN;
    verdict.wake.map_or(latest, |wake| wake.min(latest))
}
