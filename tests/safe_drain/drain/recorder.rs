//! Writes down how the pods of a world fare, change by change.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use anyhow::Result;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use lab::World;
use tokio::{sync::oneshot, task::JoinHandle};

use super::is_ready;

/// Watches the pods of a world until it is dropped.
pub(super) struct Recorder {
    seen: Arc<Mutex<Vec<Sighting>>>,
    task: JoinHandle<()>,
}

/// A pod at a moment.
#[derive(Debug, Clone)]
pub(super) struct Sighting {
    /// When we were told.
    pub(super) at: SystemTime,
    /// Its resource version: the order in which things happened in the cluster.
    pub(super) version: u64,
    pub(super) name: String,
    pub(super) uid: String,
    /// Ready and not asked to stop.
    pub(super) serves: bool,
    /// Asked to stop, or gone.
    pub(super) leaves: bool,
}

impl Recorder {
    /// Begins with the pods that are there.
    pub(super) async fn start(world: &World) -> Result<Self> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (listed, is_listed) = oneshot::channel();
        let task = tokio::spawn(record(world.api::<Pod>(), seen.clone(), listed));
        is_listed.await?;
        Ok(Self { seen, task })
    }

    pub(super) fn sightings(&self) -> Vec<Sighting> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The fewest pods that ever served at once, since all that were there at the start had been seen.
    pub(super) fn lowest(&self, at_start: usize) -> usize {
        let mut serving: BTreeMap<String, bool> = BTreeMap::new();
        let mut lowest = usize::MAX;
        for sighting in self.sightings() {
            serving.insert(sighting.uid, sighting.serves);
            if serving.len() >= at_start {
                lowest = lowest.min(serving.values().filter(|serves| **serves).count());
            }
        }
        lowest
    }

    /// The first sight of each pod as it leaves, in order.
    pub(super) fn departures(&self) -> Vec<Sighting> {
        first_of_each(self.sightings().into_iter().filter(|sighting| sighting.leaves))
    }

    /// The first sight of each pod as it serves, in order; those of the start come first.
    pub(super) fn arrivals(&self) -> Vec<Sighting> {
        first_of_each(self.sightings().into_iter().filter(|sighting| sighting.serves))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn first_of_each(sightings: impl Iterator<Item = Sighting>) -> Vec<Sighting> {
    let mut firsts: Vec<Sighting> = Vec::new();
    for sighting in sightings {
        if firsts.iter().all(|first| first.uid != sighting.uid) {
            firsts.push(sighting);
        }
    }
    firsts
}

#[expect(clippy::disallowed_methods, reason = "compared with the times of the audit log, from the same clock")]
async fn record(api: kube::Api<Pod>, seen: Arc<Mutex<Vec<Sighting>>>, listed: oneshot::Sender<()>) {
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut listed = Some(listed);
    loop {
        let (pod, is_gone) = match events.try_next().await {
            Ok(Some(Event::Apply(pod) | Event::InitApply(pod))) => (pod, false),
            Ok(Some(Event::Delete(pod))) => (pod, true),
            Ok(Some(Event::InitDone)) => {
                let _ = listed.take().map(|listed| listed.send(()));
                continue;
            }
            Ok(None) => return,
            Ok(Some(Event::Init)) | Err(_) => continue,
        };
        let leaves = is_gone || pod.metadata.deletion_timestamp.is_some();
        let sighting = Sighting {
            at: SystemTime::now(),
            version: pod.resource_version().and_then(|version| version.parse().ok()).unwrap_or_default(),
            name: pod.name_any(),
            uid: pod.uid().unwrap_or_default(),
            serves: !leaves && is_ready(&pod),
            leaves,
        };
        seen.lock().unwrap_or_else(PoisonError::into_inner).push(sighting);
    }
}
