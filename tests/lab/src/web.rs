//! A web server on the loopback that answers as the pods of a Service would.
//!
//! Requests go round robin to its ready endpoints, or, if there is none, to those that still serve while they
//! terminate, as kube-proxy has it. The answer is 200 with `Server: nginx/TAG`, where TAG is that of the image of the
//! pod's first container, and the pod's name in the body. Without endpoints it is 503.

use std::{
    convert::Infallible,
    future::ready,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::Result;
use futures::StreamExt;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::{
    core::v1::Pod,
    discovery::v1::{EndpointConditions, EndpointSlice},
};
use kube::{
    Api, Client, Resource,
    runtime::{
        WatchStreamExt, reflector,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use serde::de::DeserializeOwned;
use tokio::{net::TcpListener, task::JoinSet};

/// The web server, until it is dropped.
pub struct Site {
    address: SocketAddr,
    state: Arc<State>,
    /// The server and its two watches.
    _tasks: JoinSet<()>,
}

struct State {
    namespace: String,
    slices: Store<EndpointSlice>,
    pods: Store<Pod>,
    turn: AtomicUsize,
}

impl Site {
    /// Its address as an URL: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The pods that requests go to now.
    pub fn pods(&self) -> Vec<String> {
        self.state.backends()
    }
}

/// A web server for `service`, which follows its `EndpointSlice`s.
pub(crate) async fn serve(client: &Client, namespace: &str, service: &str) -> Result<Site> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let mut tasks = JoinSet::new();
    let which = watcher::Config::default().labels(&format!("kubernetes.io/service-name={service}"));
    let slices = follow(&mut tasks, Api::namespaced(client.clone(), namespace), which);
    let pods = follow(&mut tasks, Api::namespaced(client.clone(), namespace), watcher::Config::default());
    slices.wait_until_ready().await?;
    pods.wait_until_ready().await?;
    let state = Arc::new(State { namespace: namespace.to_owned(), slices, pods, turn: AtomicUsize::new(0) });
    tasks.spawn(accept(listener, Arc::clone(&state)));
    Ok(Site { address, state, _tasks: tasks })
}

fn follow<K>(tasks: &mut JoinSet<()>, api: Api<K>, which: watcher::Config) -> Store<K>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let events = reflector(writer, watcher(api, which).default_backoff());
    tasks.spawn(events.for_each(async |_| {}));
    store
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let service = service_fn(|_: Request<Incoming>| ready(Ok::<_, Infallible>(answer(&state))));
            // A client may leave whenever it likes.
            let _ =
                http1::Builder::new().title_case_headers(true).serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn answer(state: &State) -> Response<Full<Bytes>> {
    let backends = state.backends();
    let turn = state.turn.fetch_add(1, Ordering::Relaxed);
    let Some(pod) = backends.get(turn % backends.len().max(1)) else {
        let mut answer = Response::new(Full::from("no pod is ready\n"));
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return answer;
    };
    let mut answer = Response::new(Full::from(format!("{pod}\n")));
    if let Ok(server) = format!("nginx/{}", state.tag(pod)).parse() {
        answer.headers_mut().insert(header::SERVER, server);
    }
    answer
}

impl State {
    fn backends(&self) -> Vec<String> {
        let ready = self.pods_where(|conditions| conditions.ready.unwrap_or(true));
        if !ready.is_empty() {
            return ready;
        }
        let is = |condition: Option<bool>| condition == Some(true);
        self.pods_where(|conditions| is(conditions.serving) && is(conditions.terminating))
    }

    fn pods_where(&self, holds: impl Fn(&EndpointConditions) -> bool) -> Vec<String> {
        let mut pods = Vec::new();
        for slice in self.slices.state() {
            for endpoint in slice.endpoints.iter().flatten() {
                let pod = endpoint.target_ref.as_ref().and_then(|target| target.name.clone());
                if holds(&endpoint.conditions.clone().unwrap_or_default()) {
                    pods.extend(pod);
                }
            }
        }
        pods.sort();
        pods.dedup();
        pods
    }

    /// The tag of a pod's image; `latest` if it has none.
    fn tag(&self, pod: &str) -> String {
        let found = self.pods.get(&ObjectRef::new(pod).within(&self.namespace));
        let image = found.as_ref().and_then(|pod| pod.spec.as_ref()?.containers.first()?.image.as_deref());
        let last = image.unwrap_or_default().rsplit('/').next().unwrap_or_default();
        last.split_once(':').map_or("latest", |(_, tag)| tag).to_owned()
    }
}
