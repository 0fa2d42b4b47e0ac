//! Writes down how many pods of a world serve, change by change.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use anyhow::Result;
use futures::TryStreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use lab::World;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::after::is_ready;

/// Watches the pods of a world until it is dropped.
pub(crate) struct Recorder {
    lowest: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Recorder {
    /// Begins with the pods that are there.
    pub(crate) async fn start(world: &World) -> Result<Self> {
        let lowest = Arc::new(AtomicUsize::new(usize::MAX));
        let (listed, is_listed) = oneshot::channel();
        let task = tokio::spawn(record(world.api(), lowest.clone(), listed));
        is_listed.await?;
        Ok(Self { lowest, task })
    }

    /// The fewest pods that were Ready and not asked to stop at any moment since the start.
    pub(crate) fn lowest(&self) -> usize {
        self.lowest.load(SeqCst)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(api: Api<Pod>, lowest: Arc<AtomicUsize>, listed: oneshot::Sender<()>) {
    let mut events = pin!(watcher(api, watcher::Config::default()).default_backoff());
    let (mut serving, mut listed) = (BTreeSet::new(), Some(listed));
    loop {
        let (pod, is_gone) = match events.try_next().await {
            Ok(Some(Event::Apply(pod) | Event::InitApply(pod))) => (pod, false),
            Ok(Some(Event::Delete(pod))) => (pod, true),
            Ok(Some(Event::InitDone)) => {
                lowest.fetch_min(serving.len(), SeqCst);
                let _ = listed.take().map(|listed| listed.send(()));
                continue;
            }
            Ok(None) => return,
            Ok(Some(Event::Init)) | Err(_) => continue,
        };
        if !is_gone && pod.metadata.deletion_timestamp.is_none() && is_ready(&pod) {
            serving.insert(pod.uid());
        } else {
            serving.remove(&pod.uid());
        }
        if listed.is_none() {
            lowest.fetch_min(serving.len(), SeqCst);
        }
    }
}
