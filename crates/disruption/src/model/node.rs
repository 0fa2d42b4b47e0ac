//! Nodes.

use k8s_openapi::api::core::v1 as core;

use super::{NodeName, Uid};

/// The taint that the node controller puts on a cordoned node.
pub const UNSCHEDULABLE_TAINT: &str = "node.kubernetes.io/unschedulable";

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
}

impl From<core::Node> for Node {
    fn from(mut node: core::Node) -> Self {
        let ready = node
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_ref())
            .and_then(|conditions| conditions.iter().find(|condition| condition.type_ == "Ready"));
        let is_ready = ready.is_some_and(|condition| condition.status == "True");
        Self {
            ready: is_ready,
            not_ready_reason: ready
                .filter(|_| !is_ready)
                .and_then(|condition| condition.reason.clone())
                .filter(|reason| !reason.is_empty()),
            unschedulable: node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or_default(),
            name: NodeName(node.metadata.name.take().unwrap_or_default()),
            uid: Uid::take(&mut node.metadata),
            labels: node.metadata.labels.take().unwrap_or_default(),
        }
    }
}
