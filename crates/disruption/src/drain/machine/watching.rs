//! What a drain watches: its nodes, and whatever decides about their pods.

use super::{
    Drain,
    node::{NodeDrain, Stage as NodeStage},
};
use crate::{
    action::{Action, Watch},
    model::{NodeName, WorkloadKind},
    workload::Owner,
};

impl Drain {
    pub(super) fn begin(&mut self) {
        let open: Vec<NodeName> = self.open_nodes().map(|node| node.seen.name.clone()).collect();
        for name in open {
            self.watch(Watch::Node(name.clone()));
            self.watch(Watch::PodsOn(name));
        }
        let open: Vec<usize> = (0..self.pods.len()).filter(|&number| self.is_open(number)).collect();
        for number in open {
            self.watch_surroundings(number);
        }
    }

    fn open_nodes(&self) -> impl Iterator<Item = &NodeDrain> {
        self.nodes.iter().filter(|node| node.stage != NodeStage::Ended)
    }

    /// Whether a pod has still to go, from a node that is being drained.
    fn is_open(&self, number: usize) -> bool {
        let tracked = &self.pods[number];
        !tracked.is_ended() && self.open_nodes().any(|node| node.seen.name == tracked.node)
    }

    fn watch(&mut self, watch: Watch) {
        if self.watched.insert(watch.clone()) {
            self.actions.push(Action::Watch(watch));
        }
    }

    /// Watches what decides about a pod: the budgets of its namespace, and its workload with the other pods.
    pub(super) fn watch_surroundings(&mut self, number: usize) {
        let pod = &self.pods[number].pod;
        let namespace = pod.name.namespace.clone();
        if !self.options.disable_eviction && !pod.is_finished() {
            self.watch(Watch::BudgetsIn(namespace.clone()));
        }
        let pod = &self.pods[number].pod;
        let kinds: &[WorkloadKind] = match self.view.snapshot.workloads.root(pod) {
            Owner::Workload(workload) => match workload.kind {
                WorkloadKind::Deployment => &[WorkloadKind::Deployment, WorkloadKind::ReplicaSet],
                WorkloadKind::ReplicaSet => &[WorkloadKind::ReplicaSet],
                WorkloadKind::ReplicationController => &[WorkloadKind::ReplicationController],
                WorkloadKind::StatefulSet => &[WorkloadKind::StatefulSet],
                WorkloadKind::DaemonSet | WorkloadKind::Job => return,
            },
            Owner::Custom(_) | Owner::Unknown(_) => &[],
            Owner::None | Owner::Node | Owner::Gone(_) => return,
        };
        self.watch(Watch::PodsIn(namespace.clone()));
        for &kind in kinds {
            self.watch(Watch::WorkloadsIn(kind, namespace.clone()));
        }
    }
}
