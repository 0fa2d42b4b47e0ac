//! What was seen of rollouts in one namespace, and what belongs to one of them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

pub use super::file::read;
use super::template;
use crate::{
    model::{
        Incident, Node, NodeName, ObjectName, PodStatus, Revision, Rollout, RolloutKind, RolloutStrategy, Uid,
        VersionKey, WorkloadKind,
    },
    snapshot::{Kind, Object, Unreadable},
};

/// Everything that was seen. A later look at an object replaces the earlier one.
#[derive(Debug, Clone, Default)]
pub struct View {
    rollouts: BTreeMap<(RolloutKind, ObjectName), Rollout>,
    revisions: BTreeMap<(RolloutKind, ObjectName), Revision>,
    pods: BTreeMap<ObjectName, PodStatus>,
    incidents: BTreeMap<ObjectName, Incident>,
    nodes: BTreeMap<NodeName, Node>,
    /// Kinds that could not be read: none of their objects were seen, which means nothing.
    pub unknown: BTreeMap<Kind, Unreadable>,
    ready_before: BTreeSet<(Uid, VersionKey)>,
}

/// One workload with everything that belongs to it at one moment.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The moment, by the server's clock.
    pub now: Timestamp,
    /// The workload.
    pub rollout: &'a Rollout,
    /// Its revisions by number, oldest first.
    pub revisions: Vec<&'a Revision>,
    current: Option<&'a Revision>,
    /// Its pods of all versions, those that stop too.
    pub pods: Vec<&'a PodStatus>,
    /// What was reported about it, its revisions and its pods, oldest first.
    pub incidents: Vec<&'a Incident>,
    nodes: &'a BTreeMap<NodeName, Node>,
    unknown: &'a BTreeMap<Kind, Unreadable>,
}

impl View {
    /// Takes in how an object looks now. Kinds that rollouts do not read are ignored.
    pub fn insert(&mut self, object: Object) {
        match object {
            Object::Rollout(rollout) => {
                let key = (rollout.kind, rollout.name.clone());
                // The answer to a change may come before the watch has told what was before it, or after what followed it.
                let age = |rollout: &Rollout| (rollout.generation, rollout.observed_generation);
                let is_older = |there: &Rollout| there.uid == rollout.uid && age(there) > age(&rollout);
                if !self.rollouts.get(&key).is_some_and(is_older) {
                    self.rollouts.insert(key, *rollout);
                }
            }
            Object::Revision(revision) => {
                if let Some(kind) = kind_of(&revision) {
                    self.revisions.insert((kind, revision.name.clone()), *revision);
                }
            }
            Object::PodStatus(pod) => {
                self.pods.insert(pod.name.clone(), *pod);
            }
            Object::Incident(incident) => {
                self.incidents.insert(ObjectName::new(&incident.namespace, &incident.name), *incident);
            }
            Object::Node(node) => {
                self.nodes.insert(node.name.clone(), node);
            }
            Object::Pod(_) | Object::Budget(_) | Object::Workload(_) => {}
        }
    }

    /// Takes an object out that is gone; another one of its name stays.
    pub fn remove(&mut self, object: &Object) {
        match object {
            Object::Rollout(gone) => {
                let key = (gone.kind, gone.name.clone());
                if self.rollouts.get(&key).is_some_and(|there| there.uid == gone.uid) {
                    self.rollouts.remove(&key);
                }
            }
            Object::Revision(gone) => {
                if let Some(kind) = kind_of(gone) {
                    self.revisions.remove(&(kind, gone.name.clone()));
                }
            }
            Object::PodStatus(gone) => {
                if self.pods.get(&gone.name).is_some_and(|there| there.uid == gone.uid) {
                    self.pods.remove(&gone.name);
                }
            }
            Object::Node(gone) => {
                self.nodes.remove(&gone.name);
            }
            // An incident expires after an hour, what it told stays true.
            Object::Incident(_) | Object::Pod(_) | Object::Budget(_) | Object::Workload(_) => {}
        }
    }

    /// Forgets all objects of a kind: what follows is everything there is.
    pub fn clear(&mut self, kind: Kind) {
        match kind {
            Kind::Workload(kind) => {
                self.rollouts.retain(|(of, _), _| of.workload() != kind);
                if kind == WorkloadKind::ReplicaSet {
                    self.revisions.retain(|(of, _), _| *of != RolloutKind::Deployment);
                }
            }
            Kind::ControllerRevision => self.revisions.retain(|(of, _), _| *of == RolloutKind::Deployment),
            Kind::Pod => self.pods.clear(),
            Kind::Node => self.nodes.clear(),
            Kind::Incident | Kind::PodDisruptionBudget => {}
        }
    }

    /// All workloads, by kind and name.
    pub fn rollouts(&self) -> impl Iterator<Item = &Rollout> {
        self.rollouts.values()
    }

    /// The workload of this name.
    pub fn rollout(&self, kind: RolloutKind, name: &ObjectName) -> Option<&Rollout> {
        self.rollouts.get(&(kind, name.clone()))
    }

    /// A workload with everything that belongs to it.
    pub fn subject<'a>(&'a self, rollout: &'a Rollout, now: Timestamp) -> Subject<'a> {
        let owned_by_it = |revision: &&Revision| revision.owner.uid == rollout.uid;
        let mut revisions: Vec<&Revision> = self.revisions.values().filter(owned_by_it).collect();
        revisions.sort_by_key(|revision| (revision.number, revision.created_at));
        let owners: Vec<&Uid> = match rollout.kind {
            RolloutKind::Deployment => revisions.iter().map(|revision| &revision.uid).collect(),
            RolloutKind::StatefulSet | RolloutKind::DaemonSet => vec![&rollout.uid],
        };
        let is_ours = |pod: &&PodStatus| pod.controller.as_ref().is_some_and(|owner| owners.contains(&&owner.uid));
        let pods: Vec<&PodStatus> = self.pods.values().filter(is_ours).collect();
        let concerns = |incident: &&Incident| {
            let uid = &incident.about.uid;
            *uid == rollout.uid
                || revisions.iter().any(|revision| revision.uid == *uid)
                || pods.iter().any(|pod| pod.uid == *uid)
        };
        let mut incidents: Vec<&Incident> = self.incidents.values().filter(concerns).collect();
        incidents.sort_by_key(|incident| incident.last_at);
        let current = current(rollout, &revisions);
        Subject { now, rollout, revisions, current, pods, incidents, nodes: &self.nodes, unknown: &self.unknown }
    }

    /// Takes over from an earlier look which versions had Ready pods then: those pods may be gone by now.
    pub fn remember_ready(&mut self, before: &Self, now: Timestamp) {
        for rollout in before.rollouts() {
            let subject = before.subject(rollout, now);
            let ready = subject.pods.iter().filter(|pod| pod.is_ready()).filter_map(|pod| subject.version_of(pod));
            self.ready_before.extend(ready.map(|version| (rollout.uid.clone(), version)));
        }
    }

    /// The versions of a workload that had Ready pods in an earlier look.
    pub fn ready_before(&self, rollout: &Uid) -> impl Iterator<Item = VersionKey> {
        self.ready_before.iter().filter(move |(uid, _)| uid == rollout).map(|(_, version)| version.clone())
    }
}

impl<'a> Subject<'a> {
    /// The revision that the template asks for. None until the controller has made it.
    ///
    /// A Deployment's is its oldest `ReplicaSet` with an equal template (`FindNewReplicaSet`), a `StatefulSet`'s the one
    /// that its status names, a `DaemonSet`'s the newest with an equal template.
    pub fn current(&self) -> Option<&'a Revision> {
        self.current
    }

    /// The version that the template asks for.
    pub fn version(&self) -> Option<&'a VersionKey> {
        self.current().map(|revision| &revision.version)
    }

    /// The version that a pod says it is of.
    pub fn version_of(&self, pod: &PodStatus) -> Option<VersionKey> {
        pod.labels.get(self.rollout.kind.version_label()).cloned().map(VersionKey)
    }

    /// Pods of a version that are not being deleted.
    pub fn pods_of(&self, version: &VersionKey) -> Vec<&'a PodStatus> {
        let is_of = |pod: &&&PodStatus| self.version_of(pod).as_ref() == Some(version) && !pod.is_terminating();
        self.pods.iter().filter(is_of).copied().collect()
    }

    /// Pods of the current version that are not being deleted; none until there is such a version.
    pub fn new_pods(&self) -> Vec<&'a PodStatus> {
        self.version().map(|version| self.pods_of(version)).unwrap_or_default()
    }

    /// Pods of other versions than the current one, those that stop too.
    pub fn old_pods(&self) -> Vec<&'a PodStatus> {
        let current = self.version();
        self.pods.iter().filter(|pod| self.version_of(pod).as_ref() != current).copied().collect()
    }

    /// The pod of an older version that a `StatefulSet` waits for in vain: with `OrderedReady` the controller looks at no
    /// other before the lowest that is not Ready, or stops, has become Ready (kubernetes#67250).
    pub fn stuck_pod(&self) -> Option<&'a PodStatus> {
        let RolloutStrategy::Ordinal { is_ordered: true, .. } = self.rollout.strategy else { return None };
        let version = self.version().filter(|_| self.rollout.is_observed())?;
        let awaited = self.pods.iter().filter(|pod| !pod.is_ready() || pod.is_terminating());
        let lowest = awaited.filter(|pod| pod.ordinal().is_some()).min_by_key(|pod| pod.ordinal()).copied()?;
        (!lowest.is_terminating() && self.version_of(lowest).as_ref() != Some(version)).then_some(lowest)
    }

    /// What was reported about an object, oldest first.
    pub fn incidents_of<'s>(&'s self, uid: &'s Uid) -> impl Iterator<Item = &'a Incident> + 's {
        self.incidents.iter().filter(move |incident| incident.about.uid == *uid).copied()
    }

    /// The node of this name, as far as nodes could be read.
    pub fn node(&self, name: &NodeName) -> Option<&'a Node> {
        self.nodes.get(name)
    }

    /// Whether a kind could be read: of one that could not, no object says nothing.
    pub fn knows(&self, kind: Kind) -> bool {
        !self.unknown.contains_key(&kind)
    }

    /// Whether pods are told apart by version: without the revisions, a Deployment's pods are not even known to be its.
    pub fn knows_versions(&self) -> bool {
        let revisions = match self.rollout.kind {
            RolloutKind::Deployment => Kind::Workload(WorkloadKind::ReplicaSet),
            RolloutKind::StatefulSet | RolloutKind::DaemonSet => Kind::ControllerRevision,
        };
        self.knows(Kind::Pod) && self.knows(revisions)
    }

    /// The revision with this number.
    pub fn revision(&self, number: i64) -> Option<&'a Revision> {
        self.revisions.iter().find(|revision| revision.number == Some(number)).copied()
    }
}

/// [`Subject::current`] of a workload and its revisions, oldest first.
fn current<'a>(rollout: &Rollout, revisions: &[&'a Revision]) -> Option<&'a Revision> {
    let equal = |revision: &&&Revision| template::same(&revision.template, &rollout.template);
    match rollout.kind {
        RolloutKind::Deployment => {
            revisions.iter().filter(equal).min_by_key(|revision| (revision.created_at, &revision.name)).copied()
        }
        RolloutKind::StatefulSet => {
            let named = rollout.update_revision.as_ref().filter(|_| rollout.is_observed());
            match named.and_then(|named| revisions.iter().find(|revision| revision.version == *named)) {
                Some(revision) => Some(revision),
                None => revisions.iter().rev().find(equal).copied(),
            }
        }
        RolloutKind::DaemonSet => revisions.iter().rev().find(equal).copied(),
    }
}

fn kind_of(revision: &Revision) -> Option<RolloutKind> {
    RolloutKind::ALL.into_iter().find(|kind| revision.owner.is("apps", kind.as_str()))
}
