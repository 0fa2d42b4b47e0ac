//! The way back: the change of the template, and the proof that the version that came back serves.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{Ending, Stage, Surroundings, Track, next_look};
use crate::{
    action::{Action, RemovalAnswer, RolloutAnswer},
    diagnose::{self, Code},
    model::{ObjectName, PodStatus, Rollout, Uid},
    outcome::Exit,
    rollout::{
        document::RolloutOutcome,
        event::Event,
        look, owner, patch, status, target, template,
        verdict::{Clocks, Phase},
        view::Subject,
    },
};

/// The deletion of a pod that holds up a `StatefulSet`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unblocking {
    /// It was asked for, as the pod was in this version.
    Asked(String),
    /// The pod was not in this version any more: it is looked at again once it is seen in another one.
    Changed(String),
    /// Nobody decided: it is asked for again then.
    Later(Timestamp),
    /// The server refuses, in its words.
    Refused(String),
}

impl Unblocking {
    const fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Self::Later(at) => Some(*at),
            Self::Asked(_) | Self::Changed(_) | Self::Refused(_) => None,
        }
    }
}

/// An undo that was accepted.
#[derive(Debug, Clone)]
pub(super) struct UndoUnderWay {
    pub(super) from: Option<i64>,
    pub(super) to: i64,
    pub(super) began: Timestamp,
    pub(super) template: Value,
    pub(super) bad_template: Value,
    pub(super) is_verified: bool,
    /// Pods that were asked to go because they hold up a `StatefulSet`.
    pub(super) unblocked: BTreeMap<Uid, Unblocking>,
}

/// A change of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Back to the revision with this number.
    Undo(i64),
    /// It is paused.
    Pause,
}

/// How often a change is asked for while the server does not decide, or somebody else writes in between.
const TRIES: u32 = 5;

/// How long to wait before a change is asked for again.
const PAUSE_BETWEEN_TRIES: SignedDuration = SignedDuration::from_secs(1);

impl Track {
    pub(super) fn change(
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
                // An undo that somebody asks for leaves a bad version, too: the next one must not lead back to it.
                let proof = if self.cause.is_none() {
                    look::proof_against_version(subject, &surroundings.options.limits, &self.clocks.seen_ready)
                } else {
                    None
                };
                let is_bad = self.is_proven_bad || proof.is_some();
                let because = self.cause.as_ref().map(|(finding, _)| finding.clone()).or(proof);
                let cause =
                    patch::change_cause(surroundings.options.change_cause.as_deref(), revision, because.as_ref());
                let bad = subject.version().filter(|_| is_bad);
                if tries == 0 {
                    // Who asked for an undo was told before.
                    let warning = owner::unknown_to_apply(rollout).filter(|_| self.cause.is_some());
                    actions.extend(warning.map(|warning| {
                        let message = format!("it was {warning}");
                        Action::Tell(Event::Noted { workload: Some(self.workload.clone()), message })
                    }));
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
    pub(in crate::rollout::machine) fn take_in_patch(
        &mut self,
        answer: RolloutAnswer,
        now: Timestamp,
    ) -> Option<Event> {
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

    pub(super) fn verify(
        &mut self,
        subject: &Subject<'_>,
        surroundings: &Surroundings<'_>,
        actions: &mut Vec<Action<Event>>,
    ) {
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
        self.wake = Some(next_look(&verdict, surroundings.now));
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
            Phase::Complete if !surroundings.all_are_answered() => {}
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
                let next = vec![self.status_command()];
                self.finish(RolloutOutcome::UndoFailed, Exit::UndoUnverified, message, next, surroundings);
            }
            _ => {}
        }
    }

    /// Whether the condition that the deadline has passed is older than the version that came back.
    pub(super) fn is_from_before(&self, subject: &Subject<'_>) -> bool {
        let condition = subject.rollout.condition("Progressing").and_then(|condition| condition.updated_at);
        self.undo.as_ref().is_some_and(|undo| condition.is_none_or(|at| at < undo.began))
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
    pub(in crate::rollout::machine) fn take_in_deletion(&mut self, pod: &Uid, answer: &RemovalAnswer, now: Timestamp) {
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
}

/// The pod that is to be deleted so that a `StatefulSet` goes on: the stuck one, if it comes back in the wanted version.
fn stuck_pod<'a>(subject: &Subject<'a>) -> Option<&'a PodStatus> {
    subject.stuck_pod().filter(|pod| pod.ordinal() >= subject.rollout.strategy.lowest_updated())
}

/// The command that lets a `StatefulSet` go on.
pub(super) fn delete_stuck_pod(subject: &Subject<'_>) -> Option<String> {
    let ObjectName { namespace, name } = &stuck_pod(subject)?.name;
    Some(format!("kubectl -n {namespace} delete pod {name}"))
}
