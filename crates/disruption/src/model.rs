//! The objects that decisions read, pruned to what decides.
//!
//! This is the one place that knows the shapes of the Kubernetes API: everything else sees these types only.

mod budget;
mod identity;
mod node;
mod pod;
mod quantity;
mod selector;
mod workload;

pub use budget::{BudgetCondition, BudgetStatus, DisruptionBudget, UnhealthyPods};
pub use identity::{NodeName, ObjectName, OwnerRef, Uid};
pub use node::{Node, RECORD_ANNOTATION, UNSCHEDULABLE_TAINT};
pub use pod::{Deletion, EmptyDir, Phase, Pod, ToolHold};
pub use quantity::{IntOrPercent, InvalidIntOrPercent};
pub use selector::{InvalidSelector, Selector};
pub use workload::{JobRules, OnEviction, UpdateStrategy, Workload, WorkloadKind};
