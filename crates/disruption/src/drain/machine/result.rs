//! How a drain ended, or how it stands.

use super::{
    Drain,
    node::NodeDrain,
    pod::{End, Stage, Tracked},
};
use crate::{
    document::in_seconds,
    drain::document::{DrainResult, NodeOutcome, NodeResult, PodOutcome, PodResult},
    model::ObjectName,
    outcome::Exit,
};

impl Drain {
    /// How it ended; before its end, how it stands.
    pub fn result(&self) -> DrainResult {
        let worst = self.worst_node().filter(|node| node.worst().is_some());
        let mut result = DrainResult {
            finished_at: self.now,
            exit_code: worst.map_or(Exit::Done, NodeDrain::exit).code(),
            reason: worst.map(|node| format!("node {}: {}", node.seen.name, node.reason())).unwrap_or_default(),
            nodes: self.nodes.iter().map(NodeDrain::result).collect(),
            pods: self.pods.iter().map(Tracked::result).collect(),
            ..DrainResult::begun(self.started)
        };
        let uncordoned = self.nodes.iter().filter(|node| node.was_uncordoned);
        result.restored = uncordoned.map(|node| format!("node/{} uncordoned", node.seen.name)).collect();
        result.next = self.nodes.iter().flat_map(NodeDrain::next).collect();
        result
    }

    /// The exit code of the command.
    pub fn exit(&self) -> Exit {
        Exit::of_all(self.nodes.iter().map(NodeDrain::exit))
    }

    fn worst_node(&self) -> Option<&NodeDrain> {
        let exit = self.exit();
        self.nodes.iter().find(|node| node.exit() == exit)
    }
}

impl NodeDrain {
    fn result(&self) -> NodeResult {
        NodeResult {
            name: self.seen.name.0.clone(),
            outcome: self.outcome.unwrap_or(NodeOutcome::NotStarted),
            reason: self.reason(),
            seconds: self.begun.zip(self.ended).map(|(begun, ended)| in_seconds(ended.duration_since(begun))),
        }
    }

    /// Commands that help to go on.
    fn next(&self) -> Vec<String> {
        let name = &self.seen.name;
        let mut next: Vec<String> = self.worst().and_then(|problem| problem.next(name)).into_iter().collect();
        if self.is_unsettled {
            next.push(format!("kubectl safe-drain repair {name}"));
        } else if self.outcome == Some(NodeOutcome::LeftCordoned) && self.cordon_is_ours() {
            next.push(format!("kubectl safe-drain uncordon {name}"));
        }
        next
    }
}

impl Tracked {
    fn result(&self) -> PodResult {
        let ObjectName { namespace, name } = self.pod.name.clone();
        let (outcome, reason) = match &self.stage {
            Stage::Ended(End { outcome, reason }) => (*outcome, reason.clone()),
            _ => (PodOutcome::Left, self.waits_for.clone().unwrap_or_default()),
        };
        PodResult {
            namespace,
            name,
            uid: self.pod.uid.0.clone(),
            node: self.node.0.clone(),
            outcome,
            reason,
            seconds: self.accepted.zip(self.gone).map(|(at, gone)| in_seconds(gone.duration_since(at)).max(0.0)),
            replacement_seconds: self.replaced_after.map(in_seconds),
        }
    }
}
