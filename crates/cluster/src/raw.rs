//! Objects whose templates stay raw JSON, on kube's typed API.

use std::{borrow::Cow, fmt, marker::PhantomData};

use disruption::{
    model::{Revision, Rollout, RolloutKind},
    snapshot::Object,
};
use k8s_openapi::{api::apps::v1 as apps, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::Resource;
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

/// An object of kind `K`, read from its JSON.
pub(crate) struct Raw<K> {
    metadata: ObjectMeta,
    object: Option<Object>,
    kind: PhantomData<fn() -> K>,
}

/// A kind that is read from its JSON.
pub(crate) trait FromRaw {
    /// What rollouts read of it; none for one that is of no interest to them.
    fn read(object: Value) -> Result<Option<Object>, serde_json::Error>;
}

impl<K> Raw<K> {
    /// What rollouts read of it.
    pub(crate) fn into_object(self) -> Option<Object> {
        self.object
    }
}

impl FromRaw for apps::Deployment {
    fn read(object: Value) -> Result<Option<Object>, serde_json::Error> {
        rollout(RolloutKind::Deployment, object)
    }
}

impl FromRaw for apps::StatefulSet {
    fn read(object: Value) -> Result<Option<Object>, serde_json::Error> {
        rollout(RolloutKind::StatefulSet, object)
    }
}

impl FromRaw for apps::DaemonSet {
    fn read(object: Value) -> Result<Option<Object>, serde_json::Error> {
        rollout(RolloutKind::DaemonSet, object)
    }
}

impl FromRaw for apps::ReplicaSet {
    fn read(object: Value) -> Result<Option<Object>, serde_json::Error> {
        Ok(Revision::read_replica_set(object)?.map(|revision| Object::Revision(Box::new(revision))))
    }
}

impl FromRaw for apps::ControllerRevision {
    fn read(object: Value) -> Result<Option<Object>, serde_json::Error> {
        Ok(Revision::read_controller_revision(object)?.map(|revision| Object::Revision(Box::new(revision))))
    }
}

fn rollout(kind: RolloutKind, object: Value) -> Result<Option<Object>, serde_json::Error> {
    Ok(Some(Object::Rollout(Box::new(Rollout::read(kind, object)?))))
}

impl<'de, K: FromRaw> Deserialize<'de> for Raw<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let metadata = object.get("metadata").cloned().unwrap_or_default();
        let metadata = serde_json::from_value(metadata).map_err(D::Error::custom)?;
        Ok(Self { metadata, object: K::read(object).map_err(D::Error::custom)?, kind: PhantomData })
    }
}

impl<K> Clone for Raw<K> {
    fn clone(&self) -> Self {
        Self { metadata: self.metadata.clone(), object: self.object.clone(), kind: PhantomData }
    }
}

impl<K> fmt::Debug for Raw<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.object.fmt(f)
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Raw<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
