//! Runs a machine: feeds it what happens in the cluster, and performs what it asks for.

use std::{io, mem, time::Duration};

use disruption::action::{Action, Input, Machine};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    act::{self, Effect},
    connect::Connection,
    look,
    observe::Versions,
    signals, watch,
};

/// Runs a machine to its end. Its watches go on from `versions`; its clock begins at `start`, the server's time now.
/// Each message on `interrupted` tells it that the user wants it to end.
pub async fn drive<M: Machine>(
    connection: &Connection,
    machine: &mut M,
    versions: &Versions,
    start: Timestamp,
    mut interrupted: UnboundedReceiver<()>,
    mut tell: impl FnMut(Option<Timestamp>, M::Event),
) {
    let clock = Clock { start, began: Instant::now() };
    let (sender, mut inputs) = unbounded_channel();
    // Whatever is still under way at the end is dropped with it.
    let mut tasks = JoinSet::new();
    let mut batch = Vec::new();
    loop {
        for action in machine.handle(clock.now(), mem::take(&mut batch)) {
            perform(action, connection, versions, &mut tasks, &sender, &mut |event| tell(Some(clock.now()), event));
        }
        if machine.is_finished() {
            return;
        }
        let wake = machine.next_wake().map(|at| clock.instant(at));
        tokio::select! {
            biased;
            Some(()) = interrupted.recv() => batch.push(Input::Interrupted),
            Some(input) = inputs.recv() => batch.push(input),
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {}
        }
        // Many events, one decision.
        while let Ok(input) = inputs.try_recv() {
            batch.push(input);
        }
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

/// [`drive`] under signals: the first one tells the machine that the user wants it to end, the second leaves at once.
/// Whether the machine came to its end.
///
/// # Errors
/// The operating system does not hand signals over.
pub async fn drive_until_interrupted<M: Machine>(
    connection: &Connection,
    machine: &mut M,
    versions: &Versions,
    start: Timestamp,
    tell: impl FnMut(Option<Timestamp>, M::Event),
) -> io::Result<bool> {
    let mut interrupts = signals::interrupts()?;
    let (first, interrupted) = unbounded_channel();
    let second = async {
        interrupts.next().await;
        // Nobody listens once the machine has finished.
        let _ = first.send(());
        interrupts.next().await;
    };
    tokio::select! {
        () = drive(connection, machine, versions, start, interrupted, tell) => Ok(true),
        () = second => Ok(false),
    }
}

/// The server's time, from one look at it and a clock that never jumps.
struct Clock {
    start: Timestamp,
    began: Instant,
}

impl Clock {
    fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX);
        self.start.checked_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    fn instant(&self, at: Timestamp) -> Instant {
        let after = Duration::try_from(at.duration_since(self.start)).unwrap_or_default();
        // A timer far away is as good as none.
        self.began.checked_add(after).unwrap_or(self.began + FAR_AWAY)
    }
}

/// Longer than any drain.
const FAR_AWAY: Duration = Duration::from_secs(365 * 24 * 3600);

fn perform<E>(
    action: Action<E>,
    connection: &Connection,
    versions: &Versions,
    tasks: &mut JoinSet<()>,
    inputs: &UnboundedSender<Input>,
    tell: &mut impl FnMut(E),
) {
    let (connection, inputs) = (connection.clone(), inputs.clone());
    match action {
        Action::Tell(event) => tell(event),
        Action::Watch(watch) => {
            let version = versions.of(watch.kind()).map(str::to_owned);
            tasks.spawn(watch::follow(connection, watch, version, inputs));
        }
        Action::Remove { pod, uid, removal, grace_period_seconds } => {
            tasks.spawn(async move {
                let answer = act::remove(&connection, &pod, &uid, removal, grace_period_seconds, Effect::Real).await;
                answered(&inputs, Input::Removed { pod: uid, answer: act::removal_answer(answer) });
            });
        }
        Action::ReadPod { pod, uid } => {
            tasks.spawn(async move {
                let found = act::read_pod_uid(&connection, &pod).await;
                answered(&inputs, Input::PodRead { pod: uid, found });
            });
        }
        Action::WriteNode { node, resource_version, change } => {
            tasks.spawn(async move {
                let answer = act::write_node(&connection, &node, &resource_version, &change, Effect::Real).await;
                answered(&inputs, Input::NodeWritten { node, answer });
            });
        }
        Action::PatchRollout { kind, name, uid, patch } => {
            tasks.spawn(async move {
                let answer = act::rollout::patch(&connection, kind, &name, &patch, Effect::Real).await;
                answered(&inputs, Input::RolloutPatched { uid, answer });
            });
        }
        Action::DeletePod { pod, uid, resource_version } => {
            tasks.spawn(async move {
                let answer = act::rollout::delete_pod(&connection, &pod, &uid, &resource_version, Effect::Real).await;
                answered(&inputs, Input::PodDeleted { pod: uid, answer });
            });
        }
        Action::Look(wanted) => {
            tasks.spawn(async move {
                let found = look::is_there(&connection, &wanted).await;
                answered(&inputs, Input::LookedUp { wanted, found });
            });
        }
        Action::ReadLog { pod, uid, container, previous } => {
            tasks.spawn(async move {
                let lines = look::log(&connection, &pod, &container, previous).await;
                answered(&inputs, Input::LogRead { pod: uid, container, lines });
            });
        }
        Action::Probe(url) => {
            tasks.spawn(async move {
                let answer = match connection.prober() {
                    Ok(prober) => prober.probe(&url).await,
                    Err(reason) => Err(reason),
                };
                answered(&inputs, Input::Probed { url, answer });
            });
        }
    }
}

fn answered(inputs: &UnboundedSender<Input>, input: Input) {
    // The machine may have finished meanwhile.
    let _ = inputs.send(input);
}
