//! Waiting for the cluster to reach a state: by watch, with a limit, and with the last thing seen in the error.

use std::{collections::BTreeMap, fmt::Debug, pin::pin, time::Duration};

use anyhow::{Context, Result, bail};
use futures::TryStreamExt;
use kube::{
    Api, Resource, ResourceExt,
    runtime::{WatchStreamExt, watcher, watcher::Event},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::time::timeout;

/// How long the waiting functions without a limit of their own wait.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Waits until `holds` is true of all objects that `which` selects, and returns them.
///
/// # Errors
/// `limit` passed: the text says what was waited for and shows the objects last seen.
pub async fn until_all<K>(
    api: Api<K>,
    which: watcher::Config,
    what: &str,
    limit: Duration,
    holds: impl Fn(&[K]) -> bool,
) -> Result<Vec<K>>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let mut last = Vec::new();
    match timeout(limit, watch(api, which, &holds, &mut last)).await {
        Ok(done) => done.map(|()| last),
        Err(_) => bail!("still waiting for {what} after {} s; last seen:\n{}", limit.as_secs(), shown(&last)),
    }
}

/// Waits until `holds` is true of the object called `name`; `None` is an object that is not there.
///
/// # Errors
/// As [`until_all`].
pub async fn until<K>(
    api: Api<K>,
    name: &str,
    what: &str,
    limit: Duration,
    holds: impl Fn(Option<&K>) -> bool,
) -> Result<Option<K>>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned + Send + 'static,
{
    let which = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let what = format!("{what} ({name})");
    let objects = until_all(api, which, &what, limit, |objects| holds(objects.first())).await?;
    Ok(objects.into_iter().next())
}

/// Whether an object of a well-known kind does all it is meant to do. Other kinds are ready when they exist.
pub fn is_ready(kind: &str, object: &Value) -> bool {
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64);
    let status = |field: &str| number(&format!("/status/{field}")).unwrap_or(0);
    let wanted = number("/spec/replicas").unwrap_or(1);
    let observed = status("observedGeneration") >= number("/metadata/generation").unwrap_or(0);
    match kind {
        "Deployment" => {
            observed
                && ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"]
                    .iter()
                    .all(|field| status(field) == wanted)
        }
        "ReplicaSet" | "ReplicationController" => {
            observed && ["replicas", "readyReplicas", "availableReplicas"].iter().all(|field| status(field) == wanted)
        }
        "StatefulSet" => {
            observed && ["replicas", "readyReplicas", "updatedReplicas"].iter().all(|field| status(field) == wanted)
        }
        "DaemonSet" => {
            let scheduled = status("desiredNumberScheduled");
            observed
                && scheduled > 0
                && status("numberReady") == scheduled
                && status("updatedNumberScheduled") == scheduled
        }
        "Job" => status("ready") > 0 && status("ready") == status("active") || condition(object, "Complete"),
        "Pod" | "Node" => condition(object, "Ready") && object.pointer("/metadata/deletionTimestamp").is_none(),
        _ => true,
    }
}

/// Whether a condition of the object is True.
pub(crate) fn condition(object: &Value, kind: &str) -> bool {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == kind && condition["status"] == "True")
}

async fn watch<K>(api: Api<K>, which: watcher::Config, holds: &impl Fn(&[K]) -> bool, last: &mut Vec<K>) -> Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watcher(api, which).default_backoff());
    let mut seen: BTreeMap<(String, String), K> = BTreeMap::new();
    let mut complete = false;
    loop {
        let event = match events.try_next().await {
            Ok(event) => event.context("the watch ended")?,
            // The watcher tries again, until our limit.
            Err(_) => continue,
        };
        match event {
            Event::Init => {
                seen.clear();
                complete = false;
            }
            Event::Apply(object) | Event::InitApply(object) => drop(seen.insert(key(&object), object)),
            Event::Delete(object) => drop(seen.remove(&key(&object))),
            Event::InitDone => complete = true,
        }
        if complete {
            last.clear();
            last.extend(seen.values().cloned());
            if holds(last) {
                return Ok(());
            }
        }
    }
}

fn key<K: Resource>(object: &K) -> (String, String) {
    (object.namespace().unwrap_or_default(), object.name_any())
}

fn shown<K: Serialize>(objects: &[K]) -> String {
    if objects.is_empty() {
        return "nothing".to_owned();
    }
    let mut text = String::new();
    for object in objects.iter().take(20) {
        let mut object = json!(object);
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        // One object in full is readable, twenty are not.
        let line = if objects.len() == 1 {
            format!("{object:#}")
        } else {
            format!("{} {}", object["metadata"]["name"], object["status"])
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_the_last_generation_counts_for_nothing() {
        let status = json!({"replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2});
        let mut object = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
        object["status"]["observedGeneration"] = 1.into();
        assert!(!is_ready("Deployment", &object));
        object["status"]["observedGeneration"] = 2.into();
        assert!(is_ready("Deployment", &object));
    }
}
