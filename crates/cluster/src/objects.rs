//! Which objects of the API a watch means, and what is read of them: the one place that knows it for lists and watches.

use std::fmt::Debug;

use disruption::{
    action::{Part, Watch},
    model::{RolloutKind, Workload, WorkloadKind},
    snapshot::Object,
};
use k8s_openapi::api::{apps::v1 as apps, batch::v1 as batch, core::v1 as core, policy::v1 as policy};
use kube::{Api, Client, Resource, api::ListParams};
use serde::de::DeserializeOwned;

use crate::raw::Raw;

/// Something to do with the objects that a watch means.
pub(crate) trait Visitor {
    /// What comes of it.
    type Output;

    /// Does it. `read` tells what is kept of an object; none for one that is of no interest.
    fn visit<K, T>(
        self,
        api: Api<K>,
        params: ListParams,
        read: fn(K) -> T,
    ) -> impl Future<Output = Self::Output> + Send
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        T: Into<Option<Object>> + Send + 'static;
}

/// Shows a visitor the objects that a watch means.
pub(crate) async fn visit<V: Visitor>(client: Client, watch: &Watch, visitor: V) -> V::Output {
    let everything = ListParams::default();
    match watch {
        Watch::Node(node) => {
            let params = ListParams::default().fields(&format!("metadata.name={node}"));
            visitor.visit(Api::<core::Node>::all(client), params, |node| Object::Node(node.into())).await
        }
        Watch::PodsOn(node) => {
            let params = ListParams::default().fields(&format!("spec.nodeName={node}"));
            visitor.visit(Api::<core::Pod>::all(client), params, pod).await
        }
        Watch::PodsIn(namespace) => visitor.visit(Api::namespaced(client, namespace), everything, pod).await,
        Watch::BudgetsIn(namespace) => {
            let api = Api::<policy::PodDisruptionBudget>::namespaced(client, namespace);
            visitor.visit(api, everything, |budget| Object::Budget(Box::new(budget.into()))).await
        }
        Watch::WorkloadsIn(kind, namespace) => match kind {
            WorkloadKind::Deployment => {
                let api = Api::<apps::Deployment>::namespaced(client, namespace);
                visitor.visit(api, everything, workload).await
            }
            WorkloadKind::ReplicaSet => {
                let api = Api::<apps::ReplicaSet>::namespaced(client, namespace);
                visitor.visit(api, everything, workload).await
            }
            WorkloadKind::ReplicationController => {
                let api = Api::<core::ReplicationController>::namespaced(client, namespace);
                visitor.visit(api, everything, workload).await
            }
            WorkloadKind::StatefulSet => {
                let api = Api::<apps::StatefulSet>::namespaced(client, namespace);
                visitor.visit(api, everything, workload).await
            }
            WorkloadKind::DaemonSet => {
                let api = Api::<apps::DaemonSet>::namespaced(client, namespace);
                visitor.visit(api, everything, workload).await
            }
            WorkloadKind::Job => {
                let api = Api::<batch::Job>::namespaced(client, namespace);
                visitor.visit(api, everything, workload).await
            }
        },
        Watch::Rollouts(kind, part) => {
            let (namespace, params) = (part.namespace.as_str(), selecting(part));
            match kind {
                RolloutKind::Deployment => {
                    let api = Api::<Raw<apps::Deployment>>::namespaced(client, namespace);
                    visitor.visit(api, params, Raw::into_object).await
                }
                RolloutKind::StatefulSet => {
                    let api = Api::<Raw<apps::StatefulSet>>::namespaced(client, namespace);
                    visitor.visit(api, params, Raw::into_object).await
                }
                RolloutKind::DaemonSet => {
                    let api = Api::<Raw<apps::DaemonSet>>::namespaced(client, namespace);
                    visitor.visit(api, params, Raw::into_object).await
                }
            }
        }
        Watch::ReplicaSets(part) => {
            let api = Api::<Raw<apps::ReplicaSet>>::namespaced(client, &part.namespace);
            visitor.visit(api, selecting(part), Raw::into_object).await
        }
        Watch::ControllerRevisions(part) => {
            let api = Api::<Raw<apps::ControllerRevision>>::namespaced(client, &part.namespace);
            visitor.visit(api, selecting(part), Raw::into_object).await
        }
        Watch::PodStatuses(part) => {
            let api = Api::<core::Pod>::namespaced(client, &part.namespace);
            visitor.visit(api, selecting(part), |pod| Object::PodStatus(Box::new(pod.into()))).await
        }
        Watch::IncidentsIn(namespace) => {
            let api = Api::<core::Event>::namespaced(client, namespace);
            visitor.visit(api, everything, |event| Object::Incident(Box::new(event.into()))).await
        }
        Watch::Nodes => {
            let api = Api::<core::Node>::all(client);
            visitor.visit(api, everything, |node| Object::Node(node.into())).await
        }
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

fn pod(pod: core::Pod) -> Object {
    Object::Pod(Box::new(pod.into()))
}

pub(crate) fn workload<K: Into<Workload>>(object: K) -> Object {
    Object::Workload(Box::new(object.into()))
}
