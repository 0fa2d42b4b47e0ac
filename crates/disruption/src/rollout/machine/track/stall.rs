//! A version that is proven not to proceed: who is to blame, and what follows.

use jiff::{SignedDuration, Timestamp};

use super::{Stage, Surroundings, Track, undo::Change};
use crate::{
    action::{Action, Wanted},
    diagnose::Finding,
    model::{RolloutKind, Uid},
    outcome::Exit,
    rollout::{
        blame::Fault,
        document::RolloutOutcome,
        event::Event,
        look,
        machine::evidence,
        options::{OnStall, UndoOn},
        references,
        secrets::without_tokens,
        target,
        view::Subject,
    },
};

/// A log that is being read.
#[derive(Debug, Clone)]
pub(super) struct LogWanted {
    pub(super) pod: Uid,
    pub(super) pod_name: String,
    pub(super) container: String,
    pub(super) until: Timestamp,
}

/// How long a log may take: it is read for people, and the undo does not wait for it.
const LOG_PATIENCE: SignedDuration = SignedDuration::from_secs(3);

impl Track {
    pub(super) fn stall(
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
        self.is_proven_bad = blame.proves_bad(&finding);
        let message = finding.message.clone();
        self.cause = Some((finding, cause));
        if !self.is_proven_bad && options.undo_on == UndoOn::Version {
            let is_versions = blame.fault == Fault::Version;
            let why = if is_versions { "which is not the version's fault" } else { &blame.sentence };
            let target = target::choose(subject, options.to_revision, &self.clocks.seen_ready);
            let message = match target {
                Err(none) if blame.fault == Fault::FirstRollout => self.with_cause(&none.to_string()),
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
        // Its controller would not roll out what comes back, as kubectl says when it refuses.
        if subject.rollout.is_paused {
            return self.not_undone(self.with_cause("the rollout is paused"), subject, surroundings);
        }
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
    pub(super) fn check(
        &mut self,
        subject: &Subject<'_>,
        surroundings: &Surroundings<'_>,
        actions: &mut Vec<Action<Event>>,
    ) {
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

    /// Takes in whether an object is there that a target needs. What nobody may look at is not known to be missing.
    pub(in crate::rollout::machine) fn take_in_look(
        &mut self,
        wanted: &Wanted,
        found: &Result<bool, String>,
    ) -> Option<Event> {
        let Stage::Checking { open, .. } = &mut self.stage else { return None };
        if !open.remove(wanted) {
            return None;
        }
        match found {
            Ok(true) => None,
            Ok(false) => {
                self.absent.push(wanted.clone());
                None
            }
            Err(message) => {
                let message = format!("whether there is the {wanted} that the target names is not known: {message}");
                self.note(message)
            }
        }
    }

    /// Takes in a log.
    pub(in crate::rollout::machine) fn take_in_log(
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
                self.note(message)
            }
        }
    }

    /// Says something about the workload, once.
    fn note(&mut self, message: String) -> Option<Event> {
        let workload = self.workload.clone();
        self.told.notes.insert(message.clone()).then_some(Event::Noted { workload: Some(workload), message })
    }

    pub(super) fn not_undone(&mut self, message: String, subject: &Subject<'_>, surroundings: &Surroundings<'_>) {
        let mut next = vec![self.status_command()];
        let has_target = target::choose(subject, surroundings.options.to_revision, &self.clocks.seen_ready).is_ok();
        if !has_target {
            next.push("roll out a version that works".to_owned());
        }
        next.extend(look::ways_on(subject, has_target));
        // An undo that somebody asked for needs another answer; one that was to follow a stall leaves the stall.
        let exit = if self.cause.is_some() { Exit::NotUndone } else { Exit::Refused };
        self.finish(RolloutOutcome::NotUndone, exit, message, next, surroundings);
    }

    pub(super) fn cause_message(&self) -> String {
        self.cause.as_ref().map(|(finding, _)| finding.message.clone()).unwrap_or_default()
    }

    /// Why it was not undone, behind what should have been undone.
    pub(super) fn with_cause(&self, why: &str) -> String {
        match self.cause_message() {
            cause if cause.is_empty() => format!("not undone: {why}"),
            cause => format!("{cause}; not undone: {why}"),
        }
    }
}

pub(super) fn checking(subject: &Subject<'_>, to: i64) -> Stage {
    let namespace = &subject.rollout.name.namespace;
    let target = subject.revision(to);
    let open = target.map(|revision| references::needed(&revision.template, namespace)).unwrap_or_default();
    Stage::Checking { to, open, is_asked: false }
}
