//! The objects that decisions read, pruned to what decides.
//!
//! This is the one place that knows the shapes of the Kubernetes API: everything else sees these types only. Each is read
//! from an object's JSON text.

mod budget;
mod identity;
mod incident;
mod node;
mod page;
mod pod;
mod pod_status;
mod quantity;
mod rollout;
mod selector;
mod wire;
mod workload;

pub use budget::{BudgetCondition, BudgetStatus, DisruptionBudget, UnhealthyPods};
pub use identity::{NodeName, ObjectName, OwnerRef, Uid};
pub use incident::{Incident, Involved};
pub use node::{Node, RECORD_ANNOTATION, UNSCHEDULABLE_TAINT};
pub use page::Page;
pub use pod::{Deletion, EmptyDir, Phase, Pod, ToolHold};
pub use pod_status::{ContainerRole, ContainerState, ContainerStatus, PodStatus, Probe, Termination};
pub use quantity::{IntOrPercent, InvalidIntOrPercent};
pub use rollout::{
    CHANGE_CAUSE_ANNOTATION, Condition, REVISION_ANNOTATION, REVISION_HASH_LABEL, Revision, RevisionCounts, Rollout,
    RolloutCounts, RolloutKind, RolloutStrategy, TEMPLATE_HASH_LABEL, VersionKey, Writer,
};
pub use selector::{InvalidSelector, Selector};
pub use workload::{JobRules, OnEviction, UpdateStrategy, Workload, WorkloadKind};
