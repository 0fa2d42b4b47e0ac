//! Looks at a cluster: reads everything that a plan needs into a snapshot, each kind in as few requests as it takes.

pub mod rollouts;

use std::collections::BTreeMap;

use disruption::{
    budget::ledger::Ledger,
    drain::options::Options,
    model::{Node, NodeName, ObjectName, OwnerRef, Page, Selector, Uid},
    snapshot::{Kind, Object, Snapshot, Unreadable},
    workload::Scale,
};
use futures::{StreamExt, TryStreamExt, future::join_all, stream};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::APIResourceList;
use kube::{api::ListParams, core::Request};

use crate::{
    act,
    connect::{self, Connection},
    error::Error,
    objects::Collection,
};

/// Which nodes to read.
#[derive(Debug, Clone)]
pub enum WantedNodes {
    /// These, each by its name: needs `get nodes`.
    Named(Vec<NodeName>),
    /// Those that a label selector selects: needs `list nodes`.
    Selected(Selector),
}

/// How large lists are read (`--chunk-size`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Chunks {
    /// A first page of [`FIRST_CHUNK`] objects, as kubectl asks for, and large ones after it.
    #[default]
    Growing,
    /// Pages of this many objects.
    Of(u32),
    /// Everything in one answer.
    Whole,
}

/// kubectl's chunk size: what fits here needs one request.
pub const FIRST_CHUNK: u32 = 500;

/// What follows: few round trips, and still an answer that comes well within the timeout of a request (some 50 MB of
/// pods).
const NEXT_CHUNK: u32 = 10_000;

/// Requests under way at once. More would only queue at the server.
const CONCURRENCY: usize = 10;

/// A snapshot, and from where watches go on.
#[derive(Debug)]
pub struct Observed {
    /// What was seen.
    pub snapshot: Snapshot,
    /// The resourceVersions of its lists.
    pub versions: Versions,
}

/// The resourceVersions of lists. A watch that begins there shows everything that happened since.
#[derive(Debug, Clone, Default)]
pub struct Versions(BTreeMap<Kind, String>);

impl Versions {
    /// The version of a kind's list; of a kind that was read object by object, that of the pods, which is as new.
    pub fn of(&self, kind: Kind) -> Option<&str> {
        self.0.get(&kind).or_else(|| self.0.get(&Kind::Pod)).map(String::as_str)
    }
}

/// A list, and its resourceVersion.
pub(crate) struct Listed {
    pub(crate) objects: Vec<Object>,
    pub(crate) version: String,
}

/// What is read of an object from its JSON; nothing of one that is of no interest.
type Read<'a> = &'a (dyn Fn(&str) -> Result<Option<Object>, serde_json::Error> + Sync);

/// Reads the nodes and everything that decides about their pods.
///
/// Nodes and pods must be readable. Other kinds that are forbidden, or that the server doesn't have, are marked unknown;
/// any other failure is an error, since a plan without them could be wrong.
pub async fn observe(connection: &Connection, nodes: &WantedNodes, chunks: Chunks) -> Result<Observed, Error> {
    // The answers to the first requests tell the server's time.
    let mut snapshot = Snapshot::new(Timestamp::UNIX_EPOCH);
    let beside: Vec<Kind> = Kind::all().filter(|kind| !matches!(kind, Kind::Node | Kind::Pod)).collect();
    let (nodes, pods, others) = futures::join!(
        self::nodes(connection, nodes, chunks),
        list(connection, Kind::Pod, chunks),
        join_all(beside.iter().map(|kind| list(connection, *kind, chunks))),
    );
    snapshot.nodes = nodes?;
    let pods = pods?;
    let mut versions = Versions([(Kind::Pod, pods.version)].into());
    for pod in pods.objects {
        snapshot.insert(pod);
    }
    for (kind, listed) in beside.into_iter().zip(others) {
        match listed {
            Ok(listed) => {
                versions.0.insert(kind, listed.version);
                listed.objects.into_iter().for_each(|object| snapshot.insert(object));
            }
            Err(error) => snapshot.mark_unknown(kind, degrade(error)?),
        }
    }
    let no_clock = || Error::Answer { what: "read the server's clock".into(), reason: "no Date header".into() };
    snapshot.taken_at = connection.server_now().ok_or_else(no_clock)?;
    Ok(Observed { snapshot, versions })
}

/// Asks the server for the scale of the custom owners on which budgets of a drain depend. An owner about which it gives
/// no answer stays unasked, so that its budgets are believed from their status.
pub async fn observe_scales(connection: &Connection, snapshot: &mut Snapshot, targets: &[NodeName], options: &Options) {
    let leaving: Vec<_> =
        snapshot.pods.iter().filter(|pod| pod.node.as_ref().is_some_and(|node| targets.contains(node))).collect();
    let unasked = Ledger::open(snapshot, &leaving, options).unasked_scales(&snapshot.workloads);
    let mut by_version: BTreeMap<(String, String), Vec<(ObjectName, OwnerRef)>> = BTreeMap::new();
    for (namespace, owner) in unasked {
        let name = ObjectName::new(namespace, &owner.name);
        by_version.entry((owner.group.clone(), owner.version.clone())).or_default().push((name, owner));
    }
    for ((group, version), owners) in by_version {
        let Ok(served) = discover(connection, &group, &version).await else { continue };
        let served = served.as_ref();
        let asked = stream::iter(owners).map(|(name, owner)| async move {
            let answer = scale(connection, served, &name, &owner).await;
            Some((owner.uid, answer.ok()?))
        });
        let answers: Vec<Option<(Uid, Scale)>> = asked.buffer_unordered(CONCURRENCY).collect().await;
        for (owner, scale) in answers.into_iter().flatten() {
            snapshot.workloads.insert_scale(owner, scale);
        }
    }
}

/// Reads nodes: by name in the order of the names, by selector in the server's order.
pub async fn nodes(connection: &Connection, nodes: &WantedNodes, chunks: Chunks) -> Result<Vec<Node>, Error> {
    match nodes {
        WantedNodes::Named(names) => {
            stream::iter(names).map(|name| act::get_node(connection, name)).buffered(CONCURRENCY).try_collect().await
        }
        WantedNodes::Selected(selector) => {
            let params = ListParams::default().labels(&selector.to_string());
            let selected = Collection::under(Kind::Node, None, params);
            let read = |node: &str| Node::read(node).map(Object::Node).map(Some);
            let listed = list_from(connection, &selected, chunks, &read).await?;
            let node = |object| match object {
                Object::Node(node) => Some(node),
                _ => None,
            };
            Ok(listed.objects.into_iter().filter_map(node).collect())
        }
    }
}

/// Lists a kind over all namespaces, as drains read it.
async fn list(connection: &Connection, kind: Kind, chunks: Chunks) -> Result<Listed, Error> {
    let read = move |object: &str| Object::read_for_drain(kind, object);
    list_from(connection, &Collection::of(kind), chunks, &read).await
}

/// Lists objects page by page, keeping of each page only what is read.
pub(crate) async fn list_from(
    connection: &Connection,
    collection: &Collection,
    chunks: Chunks,
    read: Read<'_>,
) -> Result<Listed, Error> {
    let what = format!("list {}", collection.plural);
    let mut params = collection.params.clone();
    params.limit = match chunks {
        Chunks::Growing => Some(FIRST_CHUNK),
        Chunks::Of(size) => Some(size),
        Chunks::Whole => None,
    };
    let mut objects = Vec::new();
    loop {
        let request = Request::new(&collection.path).list(&params);
        let page = connection.ask(&what, request, |answer| {
            let Page { version, next, items } = Page::read(answer)?;
            for item in items {
                objects.extend(read(item.get())?);
            }
            Ok((version, next))
        });
        match page.await? {
            (version, None) => return Ok(Listed { objects, version }),
            (_, next) => params.continue_token = next,
        }
        if chunks == Chunks::Growing {
            params.limit = Some(NEXT_CHUNK);
        }
    }
}

fn degrade(error: Error) -> Result<Unreadable, Error> {
    match error {
        Error::Api(status) if status.is_forbidden() => Ok(Unreadable::Forbidden(status.message)),
        error if error.is_not_found() => Ok(Unreadable::Failed("the server does not have it".to_owned())),
        other => Err(other),
    }
}

/// The resources of a group and version; `None` where the server has none.
async fn discover(connection: &Connection, group: &str, version: &str) -> Result<Option<APIResourceList>, Error> {
    let client = connection.client();
    let what = format!("discover {group}/{version}");
    let answer = if group.is_empty() {
        connection.call(&what, client.list_core_api_resources(version)).await
    } else {
        connection.call(&what, client.list_api_group_resources(&format!("{group}/{version}"))).await
    };
    match answer {
        Ok(resources) => Ok(Some(resources)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the disruption controller would learn about an owner's scale.
async fn scale(
    connection: &Connection,
    served: Option<&APIResourceList>,
    name: &ObjectName,
    owner: &OwnerRef,
) -> Result<Scale, Error> {
    let OwnerRef { group, version, kind, .. } = owner;
    let resources = served.map(|list| list.resources.as_slice()).unwrap_or_default();
    let Some(resource) = resources.iter().find(|resource| &resource.kind == kind && !resource.name.contains('/'))
    else {
        let group_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        return Ok(Scale::Failed(format!("no matches for kind {kind:?} in version {group_version:?}")));
    };
    let plural = &resource.name;
    let subresource = format!("{plural}/scale");
    if !resources.iter().any(|resource| resource.name == subresource) {
        let dot = if group.is_empty() { "" } else { "." };
        return Ok(Scale::NotImplemented(format!("{plural}{dot}{group}")));
    }
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let path = format!("{root}/namespaces/{}/{plural}/{}/scale", name.namespace, name.name);
    let what = format!("get scale of {kind} {name}");
    let request = http::Request::get(path).body(Vec::new());
    match connection.ask(&what, request, connect::json).await {
        Ok(scale) if scale["metadata"]["uid"] == owner.uid.0 => {
            let replicas = scale["spec"]["replicas"].as_i64().and_then(|replicas| i32::try_from(replicas).ok());
            Ok(Scale::Replicas(replicas.unwrap_or_default()))
        }
        Ok(_) => Ok(Scale::NotFound),
        Err(error) if error.is_not_found() => Ok(Scale::NotFound),
        Err(error) => Err(error),
    }
}
