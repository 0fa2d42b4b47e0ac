//! Who an object is: (namespace, name, UID). The same name with another UID is another object.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::{Deserialize, Serialize};

use super::wire::Meta;

/// The UID that the API server gave to an object; empty when a snapshot has none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Uid(pub String);

/// The name of a node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(pub String);

/// A namespace and a name in it, shown as `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The namespace.
    pub namespace: String,
    /// The name within the namespace.
    pub name: String,
}

/// The controlling owner of an object: the owner reference with `controller: true`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerRef {
    /// The API group, empty for the core group.
    pub group: String,
    /// The API version without the group.
    pub version: String,
    /// The kind, such as `ReplicaSet`.
    pub kind: String,
    /// The owner's name, in the namespace of what it owns.
    pub name: String,
    /// The owner's UID.
    pub uid: Uid,
}

impl OwnerRef {
    /// Whether this names the kind in the group, whatever the version.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        self.group == group && self.kind == kind
    }

    /// The controlling owner among an object's owner references.
    pub(super) fn controller_of(meta: &Meta) -> Option<Self> {
        let OwnerReference { api_version, kind, name, uid, .. } =
            meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Some(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.clone(),
            name: name.clone(),
            uid: Uid(uid.clone()),
        })
    }
}

impl ObjectName {
    /// A name in a namespace.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Takes namespace and name out of an object's metadata.
    pub(super) fn take(meta: &mut Meta) -> Self {
        Self::new(meta.namespace.take().unwrap_or_default(), meta.name.take().unwrap_or_default())
    }
}

impl Uid {
    /// Takes the UID out of an object's metadata.
    pub(super) fn take(meta: &mut Meta) -> Self {
        Self(meta.uid.take().unwrap_or_default())
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}
