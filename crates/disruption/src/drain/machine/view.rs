//! What the watches of a drain show, kept as a snapshot that decisions can read.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;

use crate::{
    action::{Change, Watch},
    model::{NodeName, Pod, Uid, WorkloadKind},
    snapshot::{Object, Snapshot},
};

/// The part of the cluster that a drain looks at.
#[derive(Debug)]
pub(super) struct View {
    pub(super) snapshot: Snapshot,
    targets: HashSet<NodeName>,
    places: HashMap<Uid, usize>,
    /// By namespace: how often its budgets have changed.
    budget_changes: HashMap<String, u64>,
    /// Watches whose connection is lost at the moment.
    lost: BTreeSet<Watch>,
    /// Watches that the server refuses: what they would show stays as it was.
    refused: BTreeSet<Watch>,
}

/// What a change means for the pods on the nodes of the drain.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Pods that were seen there.
    pub(super) seen: Vec<Pod>,
    /// Pods that are there no more.
    pub(super) gone: Vec<Uid>,
}

impl View {
    /// A view of everything that a snapshot shows: pods may come onto the nodes from any namespace. Of the nodes the drain
    /// keeps its own.
    pub(super) fn new(snapshot: &Snapshot, targets: &[NodeName]) -> Self {
        let mut snapshot = Snapshot { nodes: Vec::new(), ..snapshot.clone() };
        // These are not followed: one that is not known may well have been made since.
        snapshot.workloads.mark_unknown(WorkloadKind::DaemonSet);
        snapshot.workloads.mark_unknown(WorkloadKind::Job);
        Self {
            places: snapshot.pods.iter().enumerate().map(|(place, pod)| (pod.uid.clone(), place)).collect(),
            snapshot,
            targets: targets.iter().cloned().collect(),
            budget_changes: HashMap::new(),
            lost: BTreeSet::new(),
            refused: BTreeSet::new(),
        }
    }

    /// Takes in what a watch showed. Pods that are bound to a node of the drain are believed from that node's watch
    /// alone, so that two watches never contradict each other about one pod.
    pub(super) fn apply(&mut self, watch: &Watch, change: Change) -> News {
        let mut news = News::default();
        if matches!(watch, Watch::BudgetsIn(_)) {
            self.note_budget_change(watch);
        }
        match change {
            Change::Seen(object) => self.see(watch, object, &mut news),
            Change::Deleted(object) => self.delete(watch, object, &mut news),
            Change::Listed(objects) => self.relist(watch, objects, &mut news),
            Change::Lost(_) => _ = self.lost.insert(watch.clone()),
            Change::Restored => _ = self.lost.remove(watch),
            Change::Refused(_) => {
                self.lost.remove(watch);
                self.refused.insert(watch.clone());
            }
        }
        news
    }

    /// The moment that decisions are made at.
    pub(super) fn set_now(&mut self, now: Timestamp) {
        self.snapshot.taken_at = now;
    }

    /// Whether some connection is lost at the moment.
    pub(super) fn is_lost(&self) -> bool {
        !self.lost.is_empty()
    }

    /// Whether what decides about a pod may be out of date, because a connection is lost.
    pub(super) fn is_blind_for(&self, pod: &Pod) -> bool {
        self.lost.iter().any(|watch| match watch {
            Watch::Node(node) | Watch::PodsOn(node) => pod.node.as_ref() == Some(node),
            Watch::PodsIn(namespace) | Watch::BudgetsIn(namespace) | Watch::WorkloadsIn(_, namespace) => {
                &pod.name.namespace == namespace
            }
            _ => false,
        })
    }

    /// Whether the statuses of a namespace's budgets are followed.
    pub(super) fn follows_budgets(&self, namespace: &str) -> bool {
        !self.refused.contains(&Watch::BudgetsIn(namespace.to_owned()))
    }

    /// How often the budgets of a namespace have changed.
    pub(super) fn budget_changes(&self, namespace: &str) -> u64 {
        self.budget_changes.get(namespace).copied().unwrap_or_default()
    }

    fn is_on_target(&self, pod: &Pod) -> bool {
        pod.node.as_ref().is_some_and(|node| self.targets.contains(node))
    }

    fn see(&mut self, watch: &Watch, object: Object, news: &mut News) {
        match (watch, object) {
            (Watch::PodsOn(_), Object::Pod(pod)) => {
                self.put((*pod).clone());
                news.seen.push(*pod);
            }
            // Of before that node's watch showed it: a bound pod never gets another node.
            (Watch::PodsIn(_), Object::Pod(pod)) if self.get(&pod.uid).is_some_and(|it| self.is_on_target(it)) => {}
            // It was waiting for a node, and got one of ours: that node's watch tells the rest.
            (Watch::PodsIn(_), Object::Pod(pod)) if self.is_on_target(&pod) => self.take(&pod.uid),
            (Watch::PodsIn(_), Object::Pod(pod)) => self.put(*pod),
            (Watch::BudgetsIn(_), Object::Budget(budget)) => {
                self.snapshot.budgets.retain(|known| known.name != budget.name);
                self.snapshot.budgets.push(*budget);
            }
            (Watch::WorkloadsIn(..), Object::Workload(workload)) => self.snapshot.workloads.insert(*workload),
            _ => {}
        }
    }

    fn delete(&mut self, watch: &Watch, object: Object, news: &mut News) {
        match (watch, object) {
            (Watch::PodsOn(_), Object::Pod(pod)) => {
                self.take(&pod.uid);
                news.gone.push(pod.uid);
            }
            (Watch::PodsIn(_), Object::Pod(pod)) if !self.is_on_target(&pod) => self.take(&pod.uid),
            (Watch::BudgetsIn(_), Object::Budget(budget)) => {
                self.snapshot.budgets.retain(|known| known.name != budget.name || known.uid != budget.uid);
            }
            (Watch::WorkloadsIn(..), Object::Workload(workload)) => self.snapshot.workloads.remove(&workload),
            _ => {}
        }
    }

    fn relist(&mut self, watch: &Watch, objects: Vec<Object>, news: &mut News) {
        match watch {
            Watch::PodsOn(node) => {
                let missing = self.missing(&objects, |pod| pod.node.as_ref() == Some(node));
                for uid in missing {
                    self.take(&uid);
                    news.gone.push(uid);
                }
            }
            Watch::PodsIn(namespace) => {
                let missing = self.missing(&objects, |pod| &pod.name.namespace == namespace && !self.is_on_target(pod));
                for uid in missing {
                    self.take(&uid);
                }
            }
            Watch::BudgetsIn(namespace) => {
                self.snapshot.budgets.retain(|budget| &budget.name.namespace != namespace);
            }
            Watch::WorkloadsIn(kind, namespace) => {
                let workloads = &mut self.snapshot.workloads;
                workloads.retain(|workload| (&workload.name.namespace, workload.kind) != (namespace, *kind));
            }
            _ => {}
        }
        for object in objects {
            self.see(watch, object, news);
        }
    }

    /// The known pods of a watch that its new list has no more.
    fn missing(&self, listed: &[Object], belongs: impl Fn(&Pod) -> bool) -> Vec<Uid> {
        let listed: HashSet<&Uid> = listed
            .iter()
            .filter_map(|object| match object {
                Object::Pod(pod) => Some(&pod.uid),
                _ => None,
            })
            .collect();
        let known = self.snapshot.pods.iter().filter(|pod| belongs(pod) && !listed.contains(&pod.uid));
        known.map(|pod| pod.uid.clone()).collect()
    }

    fn note_budget_change(&mut self, watch: &Watch) {
        if let Watch::BudgetsIn(namespace) = watch {
            *self.budget_changes.entry(namespace.clone()).or_default() += 1;
        }
    }

    fn get(&self, uid: &Uid) -> Option<&Pod> {
        self.places.get(uid).map(|&place| &self.snapshot.pods[place])
    }

    fn put(&mut self, pod: Pod) {
        if let Some(&place) = self.places.get(&pod.uid) {
            self.snapshot.pods[place] = pod;
        } else {
            self.places.insert(pod.uid.clone(), self.snapshot.pods.len());
            self.snapshot.pods.push(pod);
        }
    }

    fn take(&mut self, uid: &Uid) {
        let Some(place) = self.places.remove(uid) else { return };
        self.snapshot.pods.swap_remove(place);
        if let Some(moved) = self.snapshot.pods.get(place) {
            self.places.insert(moved.uid.clone(), place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{pod, world};

    #[test]
    fn of_a_pod_on_a_target_its_node_s_watch_is_believed() {
        let node = NodeName("n1".into());
        let on = Watch::PodsOn(node.clone());
        let within = Watch::PodsIn("shop".into());
        let seen = |pod: &Pod| Change::Seen(Object::Pod(Box::new(pod.clone())));
        let bound = Pod { node: Some(node.clone()), ready: true, ..pod("web") };
        let unbound = Pod { node: None, ready: false, ..bound.clone() };
        let nodes = |view: &View| view.snapshot.pods.iter().map(|pod| pod.node.clone()).collect::<Vec<_>>();

        let mut view = View::new(&world(), std::slice::from_ref(&node));
        view.apply(&within, seen(&unbound));
        assert_eq!(nodes(&view), [None]);
        // The namespace's watch is the first to show that it is bound: it is left to the node's.
        view.apply(&within, seen(&bound));
        assert_eq!(nodes(&view), []);
        view.apply(&on, seen(&bound));
        assert_eq!(nodes(&view), [Some(node.clone())]);

        // The node's watch is the first: what the namespace's still has from before changes nothing.
        let mut view = View::new(&world(), std::slice::from_ref(&node));
        view.apply(&on, seen(&bound));
        view.apply(&within, seen(&unbound));
        view.apply(&within, seen(&bound));
        assert_eq!(nodes(&view), [Some(node)]);
    }
}
