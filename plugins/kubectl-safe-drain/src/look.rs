//! Looks at a cluster, for a plan and for a drain: a snapshot, the nodes that are meant, and the rights that are missing.

use std::collections::BTreeSet;

use cluster::{
    connect::Connection,
    error::Error,
    observe::{self, Observed, Versions, WantedNodes},
    rights,
};
use disruption::{
    drain::{
        document::{DrainPlan, Place, PodAction, Unknown},
        plan,
        rights::{Naming, Right, Scope, required},
    },
    model::NodeName,
    outcome::Exit,
    snapshot::{Kind, Snapshot},
};
use plugin::{error::CliError, shell::Shell};

use crate::arguments::Request;

/// What was seen.
pub(crate) struct Look {
    pub(crate) connection: Connection,
    pub(crate) snapshot: Snapshot,
    /// From where watches go on.
    pub(crate) versions: Versions,
    pub(crate) targets: Vec<NodeName>,
    pub(crate) place: Place,
    pub(crate) rights: AskedRights,
}

/// The rights that reading doesn't prove, and whether we have them everywhere.
pub(crate) struct AskedRights {
    rights: Vec<Right>,
    granted: Result<Vec<bool>, Error>,
}

/// Looks at everything that decides about the pods of the nodes. Rights are asked for beside it.
pub(crate) async fn look(request: &Request, shell: &mut Shell) -> Result<Look, CliError> {
    let connection = shell.connect()?;
    let naming = match request.nodes {
        WantedNodes::Named(_) => Naming::Names,
        WantedNodes::Selected(_) => Naming::Selector,
    };
    let rights: Vec<Right> = required(naming, request.options.disable_eviction)
        .into_iter()
        .filter(|right| !matches!(right.verb, "get" | "list"))
        .collect();
    let everywhere: Vec<_> = rights.iter().map(|right| (*right, Scope::default())).collect();
    let (observed, granted) = futures::join!(
        // On the heap: nine lists at once are too large for every caller's stack.
        Box::pin(observe::observe(&connection, &request.nodes, request.chunks)),
        rights::ask(&connection, &everywhere)
    );
    let Observed { mut snapshot, versions } = observed?;
    let targets = targets(&snapshot, &request.nodes)?;
    observe::observe_scales(&connection, &mut snapshot, &targets, &request.options).await;
    let place = Place {
        context: connection.context().map(str::to_owned),
        // In a pod there is no name for the cluster but its address.
        cluster: Some(connection.cluster().unwrap_or(connection.server()).to_owned()),
    };
    Ok(Look { connection, snapshot, versions, targets, place, rights: AskedRights { rights, granted } })
}

impl AskedRights {
    /// Those that the drain needs and we lack. If nobody could say, the document tells so.
    pub(crate) async fn missing(
        self,
        connection: &Connection,
        document: &mut DrainPlan,
    ) -> Result<Vec<Right>, CliError> {
        match self.granted {
            _ if document.nodes.is_empty() => Ok(Vec::new()),
            Ok(granted) => {
                let denied =
                    self.rights.into_iter().zip(granted).filter(|(_, granted)| !granted).map(|(right, _)| right);
                missing_where_needed(connection, denied, document).await
            }
            Err(error) => {
                let resource = "selfsubjectaccessreviews.authorization.k8s.io".to_owned();
                document.unknowns.push(Unknown { resource, message: error.to_string() });
                Ok(Vec::new())
            }
        }
    }
}

/// Of rights that we don't have everywhere, those that we don't have where this drain needs them: on its nodes, and in
/// the namespaces of the pods that leave. Watching the pods of a node needs the whole cluster.
async fn missing_where_needed(
    connection: &Connection,
    denied: impl Iterator<Item = Right>,
    document: &DrainPlan,
) -> Result<Vec<Right>, CliError> {
    let namespaces: BTreeSet<&str> =
        document.pods.iter().filter(|pod| pod.action != PodAction::Skip).map(|pod| pod.namespace.as_str()).collect();
    let mut missing = Vec::new();
    for right in denied {
        let questions: Vec<(Right, Scope<'_>)> = match right.resource {
            "nodes" => document
                .nodes
                .iter()
                .map(|node| (right, Scope { name: Some(&node.name), ..Scope::default() }))
                .collect(),
            _ if right.verb == "watch" => Vec::new(),
            _ => namespaces
                .iter()
                .map(|namespace| (right, Scope { namespace: Some(namespace), ..Scope::default() }))
                .collect(),
        };
        let granted = rights::ask(connection, &questions).await?;
        if right.verb == "watch" || granted.contains(&false) {
            missing.push(right);
        }
    }
    Ok(missing)
}

/// The nodes that are meant.
pub(crate) fn targets(snapshot: &Snapshot, nodes: &WantedNodes) -> Result<Vec<NodeName>, CliError> {
    match nodes {
        WantedNodes::Named(names) => Ok(names.clone()),
        WantedNodes::Selected(selector) if snapshot.knows(Kind::Node) => Ok(plan::select(snapshot, selector)),
        WantedNodes::Selected(_) => Err(CliError::new("the file holds no nodes to select from: name them instead")),
    }
}

/// A missing right as an error.
pub(crate) fn forbidden(right: Right) -> CliError {
    let Right { verb, group: _, resource, subresource } = right;
    let (resource, scope) = match (resource, subresource) {
        ("nodes", _) => (resource.to_owned(), ""),
        (_, "") => (resource.to_owned(), " --all-namespaces"),
        (_, _) => (format!("{resource}/{subresource}"), " --all-namespaces"),
    };
    let message =
        format!("forbidden: you cannot {verb} resource {resource:?} at the cluster scope, which a drain needs");
    CliError::new(message).hint(format!("kubectl auth can-i {verb} {resource}{scope}")).exit(Exit::Forbidden)
}
