//! What a rollout is about: changes of what runs, as users make them, and what can be read of them.

use anyhow::{Context, Result, bail};
use k8s_openapi::api::{
    apps::v1::{ControllerRevision, ReplicaSet},
    core::v1::{ConfigMap, Event, LimitRange, Namespace, ResourceQuota},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::World;
use crate::identity;

/// A version that a workload keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Revision {
    /// Its number.
    pub number: i64,
    /// The image of the first container.
    pub image: String,
    /// The annotation `kubernetes.io/change-cause`.
    pub change_cause: Option<String>,
}

impl World {
    /// An object as it is now, e.g. `deployment/web`.
    ///
    /// # Errors
    /// There is no such object.
    pub async fn workload(&self, object: &str) -> Result<Value> {
        let (_, name, api) = self.object(object)?;
        Ok(json!(api.get(name).await?))
    }

    /// Changes an object with a JSON merge patch, and returns it.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn patch(&self, object: &str, patch: &Value) -> Result<Value> {
        let (_, name, api) = self.object(object)?;
        let changed = api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await;
        Ok(json!(changed.with_context(|| format!("patching {object}"))?))
    }

    /// Gives the first container of a workload another image, and returns the workload.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn set_image(&self, object: &str, image: &str) -> Result<Value> {
        let now = self.workload(object).await?;
        let container = now.pointer("/spec/template/spec/containers/0/name").and_then(Value::as_str);
        self.set_image_of(object, container.context("no container")?, image).await
    }

    /// As [`World::set_image`], of the container with that name.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn set_image_of(&self, object: &str, container: &str, image: &str) -> Result<Value> {
        let (_, name, api) = self.object(object)?;
        let containers = json!([{"name": container, "image": image}]);
        let patch = json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let changed = api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await;
        Ok(json!(changed.with_context(|| format!("setting the image of {object}"))?))
    }

    /// Sets or removes an annotation of an object, e.g. `("pod/web-0", "sim.test/scenario", Some("none"))`, after
    /// which nothing is wrong with the pod any more.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn annotate(&self, object: &str, key: &str, value: Option<&str>) -> Result<()> {
        self.patch(object, &json!({"metadata": {"annotations": {key: value}}})).await?;
        Ok(())
    }

    /// The versions that a Deployment, StatefulSet or DaemonSet keeps, the oldest first.
    ///
    /// # Errors
    /// There is no such object, or it keeps none.
    pub async fn revisions(&self, object: &str) -> Result<Vec<Revision>> {
        let (kind, name, api) = self.object(object)?;
        let uid = api.get(name).await?.uid().context("no uid")?;
        let mut revisions = match kind {
            "Deployment" => {
                let sets = self.owned::<ReplicaSet>(&uid).await?;
                sets.iter().filter_map(|set| revision(set, "/spec/template/spec", None)).collect::<Vec<_>>()
            }
            "StatefulSet" | "DaemonSet" => {
                let kept = self.owned::<ControllerRevision>(&uid).await?;
                let template = "/data/spec/template/spec";
                kept.iter().filter_map(|kept| revision(kept, template, kept.revision)).collect()
            }
            _ => bail!("a {kind} keeps no revisions"),
        };
        revisions.sort_by_key(|revision| revision.number);
        Ok(revisions)
    }

    /// What events say about an object of that name, in the order of their creation.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn events_about(&self, name: &str) -> Result<Vec<Event>> {
        let about = ListParams::default().fields(&format!("involvedObject.name={name}"));
        let mut events = self.api::<Event>().list(&about).await?.items;
        events.sort_by_key(|event| event.metadata.creation_timestamp.clone());
        Ok(events)
    }

    /// A quota, e.g. `json!({"pods": "3"})`, known to the apiserver once this returns.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn quota(&self, hard: &Value) -> Result<()> {
        let object = self.of_kind("v1", "ResourceQuota", "quota", &json!({"spec": {"hard": hard}}));
        identity::apply(&self.api::<ResourceQuota>(), "quota", &object).await?;
        let counted = |quota: Option<&ResourceQuota>| {
            quota.is_some_and(|quota| {
                let counted = quota.status.as_ref().and_then(|status| status.hard.as_ref());
                counted.is_some() && counted == quota.spec.as_ref().and_then(|spec| spec.hard.as_ref())
            })
        };
        self.until("quota", "a quota that counts", crate::wait::LIMIT, counted).await?;
        Ok(())
    }

    /// A `LimitRange` with one limit, e.g. `json!({"type": "Container", "max": {"cpu": "1"}})`.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn limit_range(&self, limit: &Value) -> Result<()> {
        let object = self.of_kind("v1", "LimitRange", "limits", &json!({"spec": {"limits": [limit]}}));
        identity::apply(&self.api::<LimitRange>(), "limits", &object).await?;
        Ok(())
    }

    /// Enforces a level of pod security: `restricted`, `baseline` or `privileged`.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn pod_security(&self, level: &str) -> Result<()> {
        let patch = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}});
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.patch(&self.namespace, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Creates or changes a `ConfigMap`, e.g. `("settings", json!({"color": "blue"}))`.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn config_map(&self, name: &str, data: &Value) -> Result<()> {
        let object = self.of_kind("v1", "ConfigMap", name, &json!({"data": data}));
        identity::apply(&self.api::<ConfigMap>(), name, &object).await?;
        Ok(())
    }

    pub(super) fn of_kind(&self, version: &str, kind: &str, name: &str, rest: &Value) -> Value {
        let mut object = rest.clone();
        object["apiVersion"] = version.into();
        object["kind"] = kind.into();
        object["metadata"] = json!({"name": name, "namespace": self.namespace});
        object
    }

    async fn owned<K>(&self, uid: &str) -> Result<Vec<K>>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let mut objects = self.api::<K>().list(&ListParams::default()).await?.items;
        objects.retain(|object| object.owner_references().iter().any(|owner| owner.uid == uid));
        Ok(objects)
    }
}

/// A ReplicaSet has its number in an annotation.
fn revision<K: Resource + serde::Serialize>(object: &K, template: &str, number: Option<i64>) -> Option<Revision> {
    let annotation = |key| object.annotations().get(key).cloned();
    let number = number.or_else(|| annotation("deployment.kubernetes.io/revision")?.parse().ok())?;
    let image = json!(object).pointer(template)?.pointer("/containers/0/image")?.as_str()?.to_owned();
    Some(Revision { number, image, change_cause: annotation("kubernetes.io/change-cause") })
}
