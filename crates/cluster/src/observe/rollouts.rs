//! Looks at rollouts in one namespace, in as few requests as it takes.

use std::collections::BTreeSet;

use disruption::{
    action::{Part, Watch},
    model::{ObjectName, Rollout, RolloutKind, Selector},
    rollout::view::View,
};
use futures::future::join_all;
use jiff::Timestamp;

use super::{Chunks, Listed, Versions, degrade, list_from};
use crate::{connect::Connection, error::Error, objects::Collection};

/// Which workloads to read, of one namespace.
#[derive(Debug, Clone)]
pub enum WantedRollouts {
    /// These, each by kind and name.
    Named(Vec<(RolloutKind, String)>),
    /// Those of some kinds that a label selector selects; all of them without one.
    Selected {
        /// The kinds.
        kinds: Vec<RolloutKind>,
        /// The selector, empty for all.
        labels: Selector,
    },
}

/// What was seen of rollouts, and from where watches go on.
#[derive(Debug)]
pub struct ObservedRollouts {
    /// The moment, by the server's clock.
    pub taken_at: Timestamp,
    /// What was seen.
    pub view: View,
    /// The resourceVersions of its lists.
    pub versions: Versions,
    /// The workloads that were wanted and found, in the order in which they were wanted.
    pub targets: Vec<(RolloutKind, ObjectName)>,
    /// Those that were wanted by name and do not exist.
    pub missing: Vec<(RolloutKind, ObjectName)>,
    /// What shows how they go on.
    pub watches: Vec<Watch>,
}

/// Reads workloads, their revisions, their pods and what was reported about them.
///
/// The workloads must be readable. Other kinds that are forbidden are marked unknown.
pub async fn observe_rollouts(
    connection: &Connection,
    namespace: &str,
    wanted: &WantedRollouts,
) -> Result<ObservedRollouts, Error> {
    let mut view = View::default();
    let mut versions = Versions::default();
    let mut watches = workloads_of(namespace, wanted);
    for (watch, listed) in watches.iter().zip(join_all(watches.iter().map(|watch| list(connection, watch))).await) {
        take(&mut view, &mut versions, watch, listed?);
    }
    let (targets, missing) = targets(&view, namespace, wanted);
    let found: Vec<&Rollout> = targets.iter().filter_map(|(kind, name)| view.rollout(*kind, name)).collect();
    let beside = beside(namespace, &found);
    for (watch, listed) in beside.iter().zip(join_all(beside.iter().map(|watch| list(connection, watch))).await) {
        match listed {
            Ok(listed) => take(&mut view, &mut versions, watch, listed),
            Err(error) => {
                view.unknown.insert(watch.kind(), degrade(error)?);
            }
        }
    }
    watches.extend(beside);
    watches.retain(|watch| !view.unknown.contains_key(&watch.kind()));
    let no_clock = || Error::Answer { what: "read the server's clock".into(), reason: "no Date header".into() };
    let taken_at = connection.server_now().ok_or_else(no_clock)?;
    Ok(ObservedRollouts { taken_at, view, versions, targets, missing, watches })
}

/// The watches of the workloads themselves: of a single one no more than it.
fn workloads_of(namespace: &str, wanted: &WantedRollouts) -> Vec<Watch> {
    let kinds: BTreeSet<RolloutKind> = match wanted {
        WantedRollouts::Named(named) => named.iter().map(|(kind, _)| *kind).collect(),
        WantedRollouts::Selected { kinds, .. } => kinds.iter().copied().collect(),
    };
    let only = |kind: RolloutKind| match wanted {
        WantedRollouts::Named(named) => {
            let mut all = named.iter().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone());
            all.next().filter(|first| all.all(|name| name == *first))
        }
        WantedRollouts::Selected { .. } => None,
    };
    kinds.into_iter().map(|kind| Watch::Rollouts(kind, Part { name: only(kind), ..everything_in(namespace) })).collect()
}

/// What must be seen beside the workloads: of a single one, what its selector selects.
fn beside(namespace: &str, targets: &[&Rollout]) -> Vec<Watch> {
    let part = match targets {
        [] => return Vec::new(),
        [only] => Part { labels: Some(only.selector.to_string()), ..everything_in(namespace) },
        _ => everything_in(namespace),
    };
    let has = |kind: RolloutKind| targets.iter().any(|target| target.kind == kind);
    let mut watches = Vec::new();
    if has(RolloutKind::Deployment) {
        watches.push(Watch::ReplicaSets(part.clone()));
    }
    if has(RolloutKind::StatefulSet) || has(RolloutKind::DaemonSet) {
        watches.push(Watch::ControllerRevisions(part.clone()));
    }
    watches.push(Watch::PodStatuses(part));
    watches.push(Watch::IncidentsIn(namespace.to_owned()));
    if has(RolloutKind::DaemonSet) {
        watches.push(Watch::Nodes);
    }
    watches
}

fn everything_in(namespace: &str) -> Part {
    Part { namespace: namespace.to_owned(), name: None, labels: None }
}

type Named = Vec<(RolloutKind, ObjectName)>;

fn targets(view: &View, namespace: &str, wanted: &WantedRollouts) -> (Named, Named) {
    match wanted {
        WantedRollouts::Named(named) => {
            let mut all: Named = Vec::new();
            for (kind, name) in named {
                let target = (*kind, ObjectName::new(namespace, name));
                if !all.contains(&target) {
                    all.push(target);
                }
            }
            all.into_iter().partition(|(kind, name)| view.rollout(*kind, name).is_some())
        }
        WantedRollouts::Selected { labels, .. } => {
            let selected = view.rollouts().filter(|rollout| labels.matches(&rollout.labels));
            (selected.map(|rollout| (rollout.kind, rollout.name.clone())).collect(), Vec::new())
        }
    }
}

fn take(view: &mut View, versions: &mut Versions, watch: &Watch, listed: Listed) {
    versions.0.insert(watch.kind(), listed.version);
    listed.objects.into_iter().for_each(|object| view.insert(object));
}

async fn list(connection: &Connection, watch: &Watch) -> Result<Listed, Error> {
    let read = |object: &str| watch.read(object);
    list_from(connection, &Collection::watched(watch), Chunks::default(), &read).await
}
