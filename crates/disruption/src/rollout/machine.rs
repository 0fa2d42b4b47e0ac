//! Guarded rollouts under way: watches several workloads of one namespace, each until it has its final word.
//!
//! What happens is taken in here; what follows for one workload is decided in [`track`].

mod evidence;
mod probes;
#[cfg(test)]
mod tests;
mod track;

use std::collections::BTreeSet;

use jiff::Timestamp;

use self::{probes::Probes, track::Track};
use super::{
    document::{RolloutEnd, RolloutResult},
    event::Event,
    options::GuardOptions,
    view::View,
};
use crate::{
    action::{Action, Change, Input, Machine, RolloutAnswer, Watch},
    diagnose::Finding,
    document::API_VERSION,
    model::{ObjectName, RolloutKind},
    outcome::Exit,
    snapshot::{Object, Unreadable},
};

/// A workload to be guarded, and with what it begins.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its kind.
    pub kind: RolloutKind,
    /// Its name.
    pub name: ObjectName,
    /// What to do with it.
    pub task: Task,
}

/// What to do with a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Watch its rollout, and undo it if it must be.
    Guard,
    /// Undo it now, and verify that.
    Undo {
        /// The revision that was chosen.
        to: i64,
    },
}

/// A run of the guard: a machine for a driver.
#[derive(Debug)]
pub struct Guard {
    options: GuardOptions,
    view: View,
    watches: Vec<Watch>,
    tracks: Vec<Track>,
    probes: Probes,
    started: Timestamp,
    now: Timestamp,
    lost: BTreeSet<Watch>,
    is_interrupted: bool,
    has_begun: bool,
    actions: Vec<Action<Event>>,
}

/// What every workload's way depends on, beside its own state.
struct Surroundings<'a> {
    options: &'a GuardOptions,
    now: Timestamp,
    /// Whether every watch stands: what is not seen proves nothing.
    is_seeing: bool,
    /// The probe that has failed for longest since the watch began well, as a finding.
    probe: Option<Finding>,
    /// A probe that never succeeded: no sign of a version's fault, and none that it is good.
    never: Option<Finding>,
    /// Whether every probe was answered for at least once.
    probes_are_known: bool,
}

impl Surroundings<'_> {
    /// Whether nobody asks in vain: a version is not good before.
    fn all_are_answered(&self) -> bool {
        self.probe.is_none() && self.never.is_none() && self.probes_are_known
    }
}

impl Guard {
    /// Begins with what was seen of the targets, and goes on from there by `watches`.
    pub fn new(view: View, watches: Vec<Watch>, targets: &[Target], options: GuardOptions, now: Timestamp) -> Self {
        let tracks = targets.iter().filter_map(|target| Track::begin(&view, target, now)).collect();
        let probes = Probes::new(&options.probes);
        Self {
            options,
            view,
            watches,
            tracks,
            probes,
            started: now,
            now,
            lost: BTreeSet::new(),
            is_interrupted: false,
            has_begun: false,
            actions: Vec::new(),
        }
    }

    /// Ends before anything was done: a right is missing, or somebody else would take an undo back.
    pub fn refuse(&mut self, exit: Exit, message: &str) {
        for track in &mut self.tracks {
            track.refuse(exit, message, self.now);
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        let interrupted = self.is_interrupted.then_some(Exit::Interrupted);
        Exit::of_all(self.tracks.iter().map(Track::exit).chain(interrupted))
    }

    /// How it ended.
    pub fn result(&self) -> RolloutResult {
        let mut next = Vec::new();
        for command in self.tracks.iter().flat_map(Track::next) {
            if !next.contains(&command) {
                next.push(command);
            }
        }
        let exit = self.exit();
        let reasons: Vec<String> =
            self.tracks.iter().filter(|track| track.exit() != Exit::Done).map(Track::reason).collect();
        let ends = self.tracks.iter().map(|track| RolloutEnd { probes: self.probes.results(), ..track.end() });
        RolloutResult {
            api_version: API_VERSION.to_owned(),
            kind: "RolloutResult".to_owned(),
            started_at: self.started,
            finished_at: self.now,
            exit_code: exit.code(),
            reason: if exit == Exit::Done { String::new() } else { reasons.join("; ") },
            rollouts: ends.collect(),
            next,
        }
    }

    fn take_in(&mut self, input: Input) {
        match input {
            Input::Watched(watch, change) => self.take_in_change(watch, change),
            Input::RolloutPatched { uid, answer } => {
                if let RolloutAnswer::Stands(rollout) | RolloutAnswer::Changed(rollout) = &answer {
                    self.view.insert(Object::Rollout(rollout.clone()));
                }
                if let Some(track) = self.tracks.iter_mut().find(|track| track.uid() == &uid) {
                    self.actions.extend(track.take_in_patch(answer, self.now).map(Action::Tell));
                }
            }
            Input::PodDeleted { pod, answer } => {
                self.tracks.iter_mut().for_each(|track| track.take_in_deletion(&pod, &answer, self.now));
            }
            Input::LookedUp { wanted, found } => {
                let told = self.tracks.iter_mut().filter_map(|track| track.take_in_look(&wanted, &found));
                self.actions.extend(told.map(Action::Tell));
            }
            Input::LogRead { pod, container, lines } => {
                let told = self.tracks.iter_mut().find_map(|track| track.take_in_log(&pod, &container, &lines));
                self.actions.extend(told.map(Action::Tell));
            }
            Input::Probed { url, answer } => {
                let told = self.probes.take_in(&url, &answer, self.now);
                self.actions.extend(told.map(Action::Tell));
            }
            Input::Interrupted => {
                self.actions.push(Action::Tell(Event::Interrupted));
                self.is_interrupted = true;
            }
            // Answers to what no guard asks for.
            Input::Removed { .. } | Input::PodRead { .. } | Input::NodeWritten { .. } => {}
        }
    }

    fn take_in_change(&mut self, watch: Watch, change: Change) {
        match change {
            Change::Seen(object) => self.view.insert(object),
            Change::Deleted(object) => self.view.remove(&object),
            Change::Listed(objects) => {
                self.view.clear(watch.kind());
                for object in objects {
                    self.view.insert(object);
                }
            }
            Change::Refused(message) => {
                let kind = watch.kind();
                self.lost.remove(&watch);
                // Rights are per resource: workloads of other kinds are still seen.
                if let Watch::Rollouts(refused, _) = watch {
                    let unseen = self.tracks.iter_mut().filter(|track| track.kind() == refused);
                    unseen.for_each(|track| track.lose_right(&message, self.now));
                } else {
                    let message = format!("changes of {} are not seen: {message}", kind.resource());
                    self.actions.push(Action::Tell(Event::Noted { workload: None, message: message.clone() }));
                    self.view.unknown.insert(kind, Unreadable::Forbidden(message));
                }
            }
            Change::Lost(message) => {
                if self.lost.is_empty() {
                    self.actions.push(Action::Tell(Event::ConnectionLost { message }));
                }
                self.lost.insert(watch);
            }
            Change::Restored => {
                self.lost.remove(&watch);
                if self.lost.is_empty() {
                    self.actions.push(Action::Tell(Event::ConnectionRestored));
                }
            }
        }
    }

    fn step(&mut self) {
        let surroundings = Surroundings {
            options: &self.options,
            now: self.now,
            is_seeing: self.lost.is_empty(),
            probe: self.probes.finding(),
            never: self.probes.never(),
            probes_are_known: self.probes.are_known(),
        };
        let deadline = self.options.timeout.map(|timeout| self.started + timeout);
        for track in &mut self.tracks {
            if self.is_interrupted {
                track.interrupt(&self.view, &surroundings);
            }
            track.step(&self.view, &surroundings, &mut self.actions);
            if deadline.is_some_and(|deadline| deadline <= self.now) {
                track.give_up(&self.view, &surroundings);
            }
            self.actions.extend(track.tell_end().map(Action::Tell));
        }
    }
}

impl Machine for Guard {
    type Event = Event;

    fn handle(&mut self, now: Timestamp, inputs: Vec<Input>) -> Vec<Action<Event>> {
        self.now = self.now.max(now);
        if !self.has_begun {
            self.has_begun = true;
            if self.tracks.iter().any(|track| !track.is_ended()) {
                self.actions.extend(self.watches.iter().cloned().map(Action::Watch));
            }
        }
        for input in inputs {
            self.take_in(input);
        }
        self.step();
        if !self.is_finished() {
            self.actions.extend(self.probes.due(self.now).into_iter().map(Action::Probe));
        }
        std::mem::take(&mut self.actions)
    }

    fn next_wake(&self) -> Option<Timestamp> {
        let deadline = self.options.timeout.map(|timeout| self.started + timeout);
        let is_timed = self.tracks.iter().any(Track::is_timed);
        let tracks = self.tracks.iter().filter_map(|track| track.wake(self.lost.is_empty()));
        tracks.chain(self.probes.next_at()).chain(deadline.filter(|_| is_timed)).min()
    }

    fn is_finished(&self) -> bool {
        self.tracks.iter().all(|track| track.is_ended() && !track.awaits_log())
    }
}
