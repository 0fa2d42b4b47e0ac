//! Nodes.

use jiff::Timestamp;

use super::{NodeName, Uid, wire};

/// The taint that the node controller puts on a cordoned node.
pub const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";

/// The annotation on a node that says which drain works on it, see [`crate::journal`].
pub const RECORD_ANNOTATION: &str = "kubectl-safe-drain/run";

/// A node, pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// Its UID.
    pub uid: Uid,
    /// Its labels, which `-l` selects by.
    pub labels: std::collections::BTreeMap<String, String>,
    /// `spec.unschedulable`: cordoned.
    pub unschedulable: bool,
    /// Whether condition Ready is True: a kubelet that answers. Pods of a node that isn't Ready never finish stopping.
    pub ready: bool,
    /// Why it isn't Ready, in the kubelet's or the node controller's words.
    pub not_ready_reason: Option<String>,
    /// `metadata.resourceVersion`, which a change of it must name.
    pub resource_version: String,
    /// The text of [`RECORD_ANNOTATION`].
    pub record: Option<String>,
    /// When the node controller saw the cordon: `timeAdded` of [`UNSCHEDULABLE_TAINT`].
    pub cordoned_at: Option<Timestamp>,
    /// The field manager that wrote `spec.unschedulable`, such as `kubectl-cordon`.
    pub cordoned_by: Option<String>,
}

impl Node {
    /// Reads a node from its JSON.
    ///
    /// # Errors
    /// Names what does not have the shape of a node.
    pub fn read(object: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<wire::Node>(object).map(Self::from)
    }
}

impl From<wire::Node> for Node {
    fn from(mut node: wire::Node) -> Self {
        let ready = node
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref())
            .and_then(|conditions| conditions.iter().find(|condition| condition.r#type == "Ready"));
        let is_ready = ready.is_some_and(|condition| condition.status.as_deref() == Some("True"));
        Self {
            ready: is_ready,
            not_ready_reason: ready
                .filter(|_| !is_ready)
                .and_then(|condition| condition.reason.clone())
                .filter(|reason| !reason.is_empty()),
            resource_version: node.metadata.resource_version.take().unwrap_or_default(),
            record: node.metadata.annotations.as_mut().and_then(|annotations| annotations.remove(RECORD_ANNOTATION)),
            cordoned_at: cordoned_at(&node),
            cordoned_by: cordoned_by(&node.metadata),
            unschedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default(),
            name: NodeName(node.metadata.name.take().unwrap_or_default()),
            uid: Uid::take(&mut node.metadata),
            labels: node.metadata.labels.take().unwrap_or_default(),
        }
    }
}

fn cordoned_at(node: &wire::Node) -> Option<Timestamp> {
    let taints = node.spec.as_ref()?.taints.as_ref()?;
    taints.iter().find(|taint| taint.key == UNSCHEDULABLE_TAINT)?.time_added
}

fn cordoned_by(meta: &wire::Meta) -> Option<String> {
    let owns_it = |fields: &wire::OwnedFields| fields.spec.as_ref().is_some_and(|spec| spec.unschedulable.is_some());
    let entries = meta.managed_fields.as_ref()?;
    entries.iter().find(|entry| entry.fields_v1.as_ref().is_some_and(owns_it))?.manager.clone()
}
