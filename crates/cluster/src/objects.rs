//! Where the API keeps objects: the one place that knows paths for lists and watches.

use disruption::{
    action::{Part, Watch},
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
        let (plural, group) = kind.plural_and_group();
        let root = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
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

#[cfg(test)]
mod tests {
    use disruption::model::WorkloadKind;

    use super::*;

    #[test]
    fn where_each_kind_is() {
        #[track_caller]
        fn check(kind: Kind, path: &str) {
            assert_eq!(Collection::of(kind).path, path);
        }
        check(Kind::Node, "/api/v1/nodes");
        check(Kind::Pod, "/api/v1/pods");
        check(Kind::Incident, "/api/v1/events");
        check(Kind::PodDisruptionBudget, "/apis/policy/v1/poddisruptionbudgets");
        check(Kind::ControllerRevision, "/apis/apps/v1/controllerrevisions");
        check(Kind::Workload(WorkloadKind::Deployment), "/apis/apps/v1/deployments");
        check(Kind::Workload(WorkloadKind::ReplicaSet), "/apis/apps/v1/replicasets");
        check(Kind::Workload(WorkloadKind::StatefulSet), "/apis/apps/v1/statefulsets");
        check(Kind::Workload(WorkloadKind::DaemonSet), "/apis/apps/v1/daemonsets");
        check(Kind::Workload(WorkloadKind::ReplicationController), "/api/v1/replicationcontrollers");
        check(Kind::Workload(WorkloadKind::Job), "/apis/batch/v1/jobs");
        let part = Part { namespace: "shop".into(), name: Some("web".into()), labels: None };
        let watched = Collection::watched(&Watch::PodStatuses(part));
        assert_eq!((watched.path.as_str(), watched.plural), ("/api/v1/namespaces/shop/pods", "pods"));
        assert_eq!(watched.params.field_selector.as_deref(), Some("metadata.name=web"));
    }
}
