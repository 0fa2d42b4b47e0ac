//! Who owns pods: used by budgets, gates and the question who brings a pod back.

use std::collections::{BTreeSet, HashMap};

use crate::model::{ObjectName, OwnerRef, Pod, Uid, Workload, WorkloadKind};

/// Every workload of a snapshot, found by name as the controllers find them.
#[derive(Debug, Clone, Default)]
pub struct Workloads {
    by_name: HashMap<(WorkloadKind, ObjectName), Workload>,
    unknown: BTreeSet<WorkloadKind>,
    scales: HashMap<Uid, Scale>,
}

/// What the server says about an owner's `scale` subresource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scale {
    /// `spec.replicas` of its scale.
    Replicas(i32),
    /// The kind has no scale subresource; the resource with its group, as the disruption controller names it.
    NotImplemented(String),
    /// The owner does not exist.
    NotFound,
    /// The question itself failed, in the server's words.
    Failed(String),
}

/// The controlling owner of a pod, as far as the snapshot knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// No controller: nothing brings the pod back.
    None,
    /// The node itself: a static pod, which only its kubelet's manifest directory controls.
    Node,
    /// A workload.
    Workload(&'a Workload),
    /// The reference names an owner that no longer exists.
    Gone(&'a OwnerRef),
    /// A kind that this program knows nothing about.
    Custom(&'a OwnerRef),
    /// A built-in kind that could not be read.
    Unknown(&'a OwnerRef),
}

impl Workloads {
    /// Puts a workload in.
    pub fn insert(&mut self, workload: Workload) {
        self.by_name.insert((workload.kind, workload.name.clone()), workload);
    }

    /// Takes a workload out; another one of its name stays.
    pub fn remove(&mut self, workload: &Workload) {
        let key = (workload.kind, workload.name.clone());
        if self.by_name.get(&key).is_some_and(|found| found.uid == workload.uid) {
            self.by_name.remove(&key);
        }
    }

    /// Keeps those for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&Workload) -> bool) {
        self.by_name.retain(|_, workload| keep(workload));
    }

    /// Marks a kind as one that could not be read.
    pub fn mark_unknown(&mut self, kind: WorkloadKind) {
        self.unknown.insert(kind);
    }

    /// Records what the server said about the scale of an owner of some other kind.
    pub fn insert_scale(&mut self, owner: Uid, scale: Scale) {
        self.scales.insert(owner, scale);
    }

    /// What the server said about the scale of an owner, if it was asked.
    pub fn scale(&self, owner: &Uid) -> Option<&Scale> {
        self.scales.get(owner)
    }

    /// The controlling owner of a pod.
    pub fn owner<'a>(&'a self, pod: &'a Pod) -> Owner<'a> {
        match &pod.controller {
            None => Owner::None,
            Some(reference) => self.find(&pod.name.namespace, reference),
        }
    }

    /// The workload at the top of a pod's owners: the Deployment of its `ReplicaSet`, else the owner itself.
    pub fn root<'a>(&'a self, pod: &'a Pod) -> Owner<'a> {
        match self.owner(pod) {
            Owner::Workload(set) if set.kind == WorkloadKind::ReplicaSet => match &set.controller {
                Some(above) => match self.find(&set.name.namespace, above) {
                    found @ (Owner::Workload(_) | Owner::Unknown(_)) => found,
                    // The disruption controller, too, then counts by the ReplicaSet's own scale.
                    _ => Owner::Workload(set),
                },
                None => Owner::Workload(set),
            },
            other => other,
        }
    }

    /// Finds what a reference names: by kind and name, and only with the same UID.
    pub fn find<'a>(&'a self, namespace: &str, reference: &'a OwnerRef) -> Owner<'a> {
        if reference.is("", "Node") {
            return Owner::Node;
        }
        let Some(kind) = WorkloadKind::named_by(reference) else {
            return Owner::Custom(reference);
        };
        match self.by_name.get(&(kind, ObjectName::new(namespace, &reference.name))) {
            Some(workload) if workload.uid == reference.uid => Owner::Workload(workload),
            _ if self.unknown.contains(&kind) => Owner::Unknown(reference),
            _ => Owner::Gone(reference),
        }
    }
}
