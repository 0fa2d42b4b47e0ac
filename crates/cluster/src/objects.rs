//! Where the API keeps objects: the one place that knows paths for lists and watches.

use disruption::{
    action::{Part, Watch},
    model::WorkloadKind,
    snapshot::Kind,
};
use kube::api::ListParams;

/// A set of objects, to be listed or watched.
#[derive(Debug, Clone)]
pub(crate) struct Collection {
    /// The path of its list.
    pub(crate) path: String,
    /// What messages call its objects, such as `pods`.
    pub(crate) plural: &'static str,
    /// Which of the path's objects are meant.
    pub(crate) params: ListParams,
}

impl Collection {
    /// All objects of a kind, in all namespaces.
    pub(crate) fn of(kind: Kind) -> Self {
        Self::under(kind, None, ListParams::default())
    }

    /// The objects that a watch means.
    pub(crate) fn watched(watch: &Watch) -> Self {
        let everything = ListParams::default();
        let (namespace, params) = match watch {
            Watch::Node(node) => (None, everything.fields(&format!("metadata.name={node}"))),
            Watch::PodsOn(node) => (None, everything.fields(&format!("spec.nodeName={node}"))),
            Watch::Nodes => (None, everything),
            Watch::PodsIn(namespace)
            | Watch::BudgetsIn(namespace)
            | Watch::WorkloadsIn(_, namespace)
            | Watch::IncidentsIn(namespace) => (Some(namespace.as_str()), everything),
            Watch::Rollouts(_, part)
            | Watch::ReplicaSets(part)
            | Watch::ControllerRevisions(part)
            | Watch::PodStatuses(part) => (Some(part.namespace.as_str()), selecting(part)),
        };
        Self::under(watch.kind(), namespace, params)
    }

    /// The objects of a kind in a namespace, or in all.
    pub(crate) fn under(kind: Kind, namespace: Option<&str>, params: ListParams) -> Self {
        let (root, plural) = resource(kind);
        let path = match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}"),
            None => format!("{root}/{plural}"),
        };
        Self { path, plural, params }
    }
}

/// The list parameters of a part of a namespace.
fn selecting(part: &Part) -> ListParams {
    ListParams {
        field_selector: part.name.as_ref().map(|name| format!("metadata.name={name}")),
        label_selector: part.labels.clone(),
        ..ListParams::default()
    }
}

/// The path of a kind's group and version, and its plural.
fn resource(kind: Kind) -> (&'static str, &'static str) {
    const CORE: &str = "/api/v1";
    const APPS: &str = "/apis/apps/v1";
    match kind {
        Kind::Node => (CORE, "nodes"),
        Kind::Pod => (CORE, "pods"),
        Kind::Incident => (CORE, "events"),
        Kind::PodDisruptionBudget => ("/apis/policy/v1", "poddisruptionbudgets"),
        Kind::ControllerRevision => (APPS, "controllerrevisions"),
        Kind::Workload(kind) => match kind {
            WorkloadKind::Deployment => (APPS, "deployments"),
            WorkloadKind::ReplicaSet => (APPS, "replicasets"),
            WorkloadKind::StatefulSet => (APPS, "statefulsets"),
            WorkloadKind::DaemonSet => (APPS, "daemonsets"),
            WorkloadKind::ReplicationController => (CORE, "replicationcontrollers"),
            WorkloadKind::Job => ("/apis/batch/v1", "jobs"),
        },
    }
}
