//! A proxy between a program and the API server that lets requests fail as a test says.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use futures::stream;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::sleep,
};

/// How a request fares instead of being forwarded at once.
#[derive(Debug, Clone)]
pub enum Fault {
    /// It is forwarded so much later.
    Delay(Duration),
    /// The connection is cut; the API server hears nothing.
    CutBefore,
    /// It is forwarded, and the connection is cut instead of an answer.
    CutAfter,
    /// The proxy answers itself: a code and a status.
    Answer(u16, Value),
    /// A watch begins, and never says anything.
    SilentWatch,
    /// A watch begins, and says that its version is too old.
    GoneWatch,
}

/// Requests that fare so.
#[derive(Debug, Clone)]
pub struct Rule {
    method: &'static str,
    part: String,
    times: usize,
    fault: Fault,
}

impl Rule {
    /// The next so many requests with this method whose path and query contain `part`.
    pub fn new(method: &'static str, part: &str, times: usize, fault: Fault) -> Self {
        Self { method, part: part.to_owned(), times, fault }
    }
}

/// The proxy, until it is dropped.
pub struct Proxy {
    state: Arc<State>,
    address: SocketAddr,
    dir: tempfile::TempDir,
    task: JoinHandle<()>,
}

struct State {
    client: Client,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<String>>,
    is_down: AtomicBool,
}

type Answer = Response<UnsyncBoxBody<Bytes, Broken>>;

/// The connection is to be cut.
#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut by a test")
    }
}

impl std::error::Error for Broken {}

impl Proxy {
    /// A proxy that forwards with the rights of `client`, which must not retry.
    pub(crate) async fn start(client: Client, rules: Vec<Rule>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            client,
            rules: Mutex::new(rules),
            seen: Mutex::default(),
            is_down: AtomicBool::new(false),
        });
        let task = tokio::spawn(serve(listener, Arc::clone(&state)));
        let dir = tempfile::tempdir()?;
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{address}")}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        std::fs::write(dir.path().join("kubeconfig"), config.to_string())?;
        Ok(Self { state, address, dir, task })
    }

    /// The kubeconfig that leads to it.
    pub fn kubeconfig(&self) -> PathBuf {
        Path::new(self.dir.path()).join("kubeconfig")
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a rule; earlier ones go first.
    pub fn rule(&self, rule: Rule) {
        lock(&self.state.rules).push(rule);
    }

    /// Cuts every request from now on, those under way too; or not any more.
    pub fn down(&self, is_down: bool) {
        self.state.is_down.store(is_down, Ordering::SeqCst);
    }

    /// Method, path and query of every request so far.
    pub fn seen(&self) -> Vec<String> {
        lock(&self.state.seen).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(talk(stream, Arc::clone(&state)));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves one connection; ends it when the server is to be down.
async fn talk(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| answer(request, Arc::clone(&state)));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        _ = connection => {}
        () = until_down(&state) => {}
    }
}

async fn until_down(state: &State) {
    while !state.is_down.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(20)).await;
    }
}

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Answer, Broken> {
    let target = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    lock(&state.seen).push(format!("{} {target}", request.method()));
    match take_fault(&state, request.method().as_str(), &target) {
        None => forward(request, &state).await,
        Some(Fault::Delay(delay)) => {
            sleep(delay).await;
            forward(request, &state).await
        }
        Some(Fault::CutBefore) => Err(Broken),
        Some(Fault::CutAfter) => {
            let answer = forward(request, &state).await?;
            let _ = answer.into_body().collect().await;
            Err(Broken)
        }
        Some(Fault::Answer(code, status)) => Ok(of_text(code, &status)),
        Some(Fault::SilentWatch) => {
            let silence = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
            Ok(Response::new(silence.map_err(|never| match never {}).boxed_unsync()))
        }
        Some(Fault::GoneWatch) => {
            let status =
                json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
            Ok(of_text(200, &json!({"type": "ERROR", "object": status})))
        }
    }
}

fn take_fault(state: &State, method: &str, target: &str) -> Option<Fault> {
    let mut rules = lock(&state.rules);
    let rule = rules.iter_mut().find(|rule| rule.times > 0 && rule.method == method && target.contains(&rule.part))?;
    rule.times -= 1;
    Some(rule.fault.clone())
}

fn of_text(code: u16, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(format!("{body}\n"))).map_err(|never| match never {}).boxed_unsync();
    let mut answer = Response::new(body);
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or_default();
    answer.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    answer
}

/// Sends a request on, and its answer back as it comes, line by line if it is a watch.
async fn forward(request: Request<Incoming>, state: &State) -> Result<Answer, Broken> {
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    parts.uri = parts.uri.path_and_query().and_then(|target| target.as_str().parse().ok()).ok_or(Broken)?;
    parts.headers.remove(http::header::HOST);
    parts.headers.remove(http::header::CONTENT_LENGTH);
    parts.headers.remove(http::header::ACCEPT_ENCODING);
    let request = Request::from_parts(parts, Body::from(body.to_vec()));
    let answer = state.client.send(request).await.map_err(|_| Broken)?;
    let (mut parts, body) = answer.into_parts();
    parts.headers.remove(http::header::TRANSFER_ENCODING);
    parts.headers.remove(http::header::CONTENT_LENGTH);
    Ok(Response::from_parts(parts, body.map_err(|_| Broken).boxed_unsync()))
}
