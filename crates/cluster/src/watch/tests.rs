//! Watches and the loop that runs a machine, against an API server that a test plays in virtual time.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use disruption::{
    action::{Action, Change, Input, Machine, Removal, RemovalAnswer, Watch},
    model::{ObjectName, Uid},
    snapshot::Object,
};
use futures::{Stream, StreamExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use jiff::Timestamp;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver},
    time::{Instant, sleep, timeout},
};

use super::*;
use crate::{drive::drive, observe::Versions};

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// What the server does with a request.
enum Act {
    /// Lines at their times after the request, in milliseconds; then the end.
    Stream(Vec<(u64, Value)>),
    /// The same, and then the connection is cut after so many milliseconds.
    Cut(Vec<(u64, Value)>, u64),
    /// The same, and then nothing more for ever.
    Open(Vec<(u64, Value)>),
    /// A status and a body, after so many milliseconds.
    Status(u64, u16, Value),
    /// No answer, ever.
    Silence,
}

/// A server with prepared answers, which notes what it was asked.
#[derive(Clone, Default)]
struct Server {
    acts: Arc<Mutex<VecDeque<Act>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(acts: impl IntoIterator<Item = Act>) -> Self {
        Self { acts: Arc::new(Mutex::new(acts.into_iter().collect())), seen: Arc::default() }
    }

    fn connection(&self) -> Connection {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            let (parts, _) = request.into_parts();
            async move { Ok::<Answer, Infallible>(server.answer(parts).await) }
        });
        Connection::over(service, "default")
    }

    async fn answer(&self, request: http::request::Parts) -> Answer {
        let query = request.uri.query().unwrap_or_default();
        let version = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion="));
        let kind = if query.contains("watch=true") { "watch" } else { request.method.as_str() };
        self.seen.lock().unwrap().push(format!("{kind} {} {}", request.uri.path(), version.unwrap_or("-")));
        let act = self.acts.lock().unwrap().pop_front();
        match act.unwrap_or(Act::Silence) {
            Act::Stream(lines) => answer_of(lines_of(lines)),
            Act::Cut(lines, after) => answer_of(lines_of(lines).chain(stream::once(async move {
                sleep(Duration::from_millis(after)).await;
                Err(io::ErrorKind::UnexpectedEof.into())
            }))),
            Act::Open(lines) => answer_of(lines_of(lines).chain(stream::pending())),
            Act::Status(after, code, body) => {
                sleep(Duration::from_millis(after)).await;
                let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed_unsync();
                Response::builder().status(code).header("content-type", "application/json").body(body).unwrap()
            }
            Act::Silence => std::future::pending().await,
        }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn lines_of(lines: Vec<(u64, Value)>) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
    let began = Instant::now();
    stream::iter(lines).then(move |(at, line)| async move {
        tokio::time::sleep_until(began + Duration::from_millis(at)).await;
        Ok(Frame::data(Bytes::from(format!("{line}\n"))))
    })
}

fn answer_of(lines: impl Stream<Item = io::Result<Frame<Bytes>>> + Send + 'static) -> Answer {
    let body = StreamBody::new(lines).boxed_unsync();
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

fn pod(name: &str, version: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": name, "resourceVersion": version.to_string()}})
}

fn event(kind: &str, name: &str, version: u32) -> Value {
    json!({"type": kind, "object": pod(name, version)})
}

fn gone() -> Value {
    json!({"kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version"})
}

fn list(names: &[&str], version: u32) -> Value {
    json!({"apiVersion": "v1", "kind": "PodList", "metadata": {"resourceVersion": version.to_string()},
        "items": names.iter().map(|name| pod(name, version)).collect::<Vec<_>>()})
}

/// Follows the pods of a namespace from version 5 on for so many seconds, and tells what came.
async fn follow_for(server: &Server, seconds: u64) -> Vec<String> {
    let (sender, mut inputs) = mpsc::unbounded_channel();
    let following = follow(server.connection(), Watch::PodsIn("shop".into()), Some("5".into()), sender);
    let _ = timeout(Duration::from_secs(seconds), following).await;
    told(&mut inputs)
}

fn told(inputs: &mut UnboundedReceiver<Input>) -> Vec<String> {
    let name = |object: &Object| match object {
        Object::Pod(pod) => pod.name.name.clone(),
        other => format!("{other:?}"),
    };
    let mut told = Vec::new();
    while let Ok(Input::Watched(_, change)) = inputs.try_recv() {
        told.push(match change {
            Change::Seen(object) => format!("seen {}", name(&object)),
            Change::Deleted(object) => format!("deleted {}", name(&object)),
            Change::Listed(objects) => format!("listed {}", objects.iter().map(name).collect::<Vec<_>>().join(" ")),
            Change::Refused(message) => format!("refused {message}"),
            Change::Lost(_) => "lost".into(),
            Change::Restored => "restored".into(),
        });
    }
    told
}

const PATH: &str = "/api/v1/namespaces/shop/pods";

#[tokio::test(start_paused = true)]
async fn a_regular_end_is_none() {
    let bookmark = json!({"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"resourceVersion": "9"}}});
    let server = Server::new([
        Act::Stream(vec![(10, event("ADDED", "a", 6)), (20, event("DELETED", "b", 7)), (30, bookmark)]),
        Act::Open(vec![
            (10, json!({"type": "ADDED", "object": {"metadata": "garbage"}})),
            (20, event("MODIFIED", "a", 10)),
        ]),
    ]);
    assert_eq!(follow_for(&server, 50).await, ["seen a", "deleted b", "seen a"]);
    assert_eq!(server.seen(), [format!("watch {PATH} 5"), format!("watch {PATH} 9")], "no list, and from where it was");
}

#[tokio::test(start_paused = true)]
async fn proxies_cut_what_is_idle() {
    let server = Server::new([
        Act::Cut(vec![(10, event("ADDED", "a", 6))], 20_000),
        Act::Cut(vec![], 20_000),
        Act::Cut(vec![], 20_000),
        Act::Open(vec![(10, event("ADDED", "b", 7))]),
    ]);
    assert_eq!(follow_for(&server, 90).await, ["seen a", "seen b"]);
    let expected = [5, 6, 6, 6].map(|version| format!("watch {PATH} {version}"));
    assert_eq!(server.seen(), expected, "nothing is listed");
    // What breaks at once is broken.
    let cuts = (0..2).map(|_| Act::Cut(vec![], 10));
    let server = Server::new(cuts.chain([Act::Status(0, 200, list(&["a"], 30)), Act::Open(vec![])]));
    assert_eq!(follow_for(&server, 60).await, ["lost", "listed a", "restored"]);
}

#[tokio::test(start_paused = true)]
async fn an_old_version_is_listed_anew() {
    for first in [Act::Status(0, 410, gone()), Act::Stream(vec![(0, json!({"type": "ERROR", "object": gone()}))])] {
        let server = Server::new([
            first,
            Act::Status(0, 200, list(&["a", "b"], 20)),
            Act::Open(vec![(10, event("ADDED", "c", 21))]),
        ]);
        assert_eq!(follow_for(&server, 50).await, ["listed a b", "seen c"]);
        let expected = [format!("watch {PATH} 5"), format!("GET {PATH} -"), format!("watch {PATH} 20")];
        assert_eq!(server.seen(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_told_once_and_nothing_is_missed() {
    let broken = || Act::Status(0, 503, json!({"kind": "Status", "code": 503, "message": "shutting down"}));
    let server = Server::new([
        Act::Stream(vec![(10, event("ADDED", "a", 6))]),
        broken(),
        broken(),
        broken(),
        Act::Status(0, 200, list(&["a"], 30)),
        Act::Open(vec![]),
    ]);
    assert_eq!(follow_for(&server, 60).await, ["seen a", "lost", "listed a", "restored"]);
    // One failure that passes at once is not worth a word.
    let server = Server::new([broken(), Act::Open(vec![(10, event("ADDED", "a", 6))])]);
    assert_eq!(follow_for(&server, 60).await, ["seen a"]);
    assert_eq!(server.seen(), [format!("watch {PATH} 5"), format!("watch {PATH} 5")]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_never_speaks_is_not_believed() {
    let server =
        Server::new([Act::Open(vec![]), Act::Open(vec![]), Act::Status(0, 200, list(&["a"], 30)), Act::Open(vec![])]);
    assert_eq!(follow_for(&server, 290).await, ["lost", "listed a", "restored"]);
    // Nor one whose headers never come.
    let server = Server::new([Act::Silence, Act::Silence, Act::Status(0, 200, list(&[], 30)), Act::Open(vec![])]);
    assert_eq!(follow_for(&server, 90).await, ["lost", "listed ", "restored"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_forbidden_is_not_tried_again() {
    let status = json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"});
    let server = Server::new([Act::Status(0, 403, status)]);
    assert_eq!(follow_for(&server, 50).await, ["refused no"]);
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_has_stood_is_not_refused_for_a_moment() {
    let refusal =
        || Act::Status(0, 403, json!({"kind": "Status", "code": 403, "reason": "Forbidden", "message": "no"}));
    let stands = || Act::Stream(vec![(10, event("ADDED", "a", 6))]);
    // As an API server that restarts: connections break, and until it has read the roles it refuses.
    let server = Server::new([
        stands(),
        refusal(),
        refusal(),
        refusal(),
        Act::Status(0, 200, list(&["a"], 30)),
        Act::Open(vec![(10, event("ADDED", "b", 31))]),
    ]);
    assert_eq!(follow_for(&server, 60).await, ["seen a", "lost", "listed a", "restored", "seen b"]);
    // As a right that is taken away.
    let server = Server::new([stands()].into_iter().chain((0..50).map(|_| refusal())));
    let began = Instant::now();
    assert_eq!(follow_for(&server, 60).await, ["seen a", "lost", "refused no"]);
    assert!(
        (30..=36).contains(&began.elapsed().as_secs()),
        "after half a minute, at the next try: {:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_ends_at_once_is_asked_ever_more_slowly() {
    let (ends, listed) = (|| Act::Stream(vec![]), || Act::Status(0, 200, list(&["a"], 30)));
    let pairs = (0..50).flat_map(|_| [listed(), ends()]);
    let server = Server::new([ends(), ends()].into_iter().chain(pairs));
    let told = follow_for(&server, 60).await;
    assert_eq!(told[..4], ["lost", "listed a", "restored", "lost"]);
    assert!(server.seen().len() < 40, "{} requests in a minute", server.seen().len());
}

/// A machine that does what a test says, and notes what it is told.
struct Script {
    begin: Vec<Action>,
    calls: Vec<(i64, Vec<String>)>,
    wake: Option<Timestamp>,
    calls_to_make: usize,
}

const START: &str = "2026-01-01T12:00:00Z";

impl Machine for Script {
    type Event = disruption::event::Event;

    fn handle(&mut self, now: Timestamp, inputs: Vec<Input>) -> Vec<Action> {
        let start: Timestamp = START.parse().unwrap();
        let told = inputs.iter().map(|input| match input {
            Input::Removed { pod, answer } => format!("{pod} {answer:?}"),
            Input::Interrupted => "interrupted".to_owned(),
            Input::Watched(_, change) => format!("{change:?}").split('(').next().unwrap().to_owned(),
            other => format!("{other:?}"),
        });
        self.calls.push((now.duration_since(start).as_millis().try_into().unwrap(), told.collect()));
        std::mem::take(&mut self.begin)
    }

    fn next_wake(&self) -> Option<Timestamp> {
        self.wake.filter(|_| self.calls.len() < 2)
    }

    fn is_finished(&self) -> bool {
        self.calls.len() >= self.calls_to_make
    }
}

async fn run(server: &Server, mut script: Script, interrupt_after: Option<u64>) -> Vec<(i64, Vec<String>)> {
    let (sender, interrupted) = mpsc::unbounded_channel();
    if let Some(after) = interrupt_after {
        tokio::spawn(async move {
            sleep(Duration::from_millis(after)).await;
            sender.send(()).unwrap();
            std::future::pending::<()>().await;
        });
    }
    let connection = server.connection();
    drive(&connection, &mut script, &Versions::default(), START.parse().unwrap(), interrupted, |_, _| {}).await;
    script.calls
}

fn remove(uid: &str) -> Action {
    let pod = ObjectName::new("shop", uid);
    Action::Remove { pod, uid: Uid(uid.into()), removal: Removal::Evict, grace_period_seconds: None }
}

#[tokio::test(start_paused = true)]
async fn answers_come_back_to_their_pods() {
    let created = || json!({"kind": "Status", "status": "Success", "code": 201});
    let cause = json!({"kind": "Status", "code": 429, "reason": "TooManyRequests", "message": "no",
        "details": {"causes": [{"reason": "DisruptionBudget", "message": "needs 2"}]}});
    let server = Server::new([Act::Status(700, 201, created()), Act::Status(300, 429, cause)]);
    let script = Script { begin: vec![remove("a"), remove("b")], calls: Vec::new(), wake: None, calls_to_make: 3 };
    let calls = run(&server, script, None).await;
    assert_eq!(calls[1], (300, vec![format!("b {:?}", RemovalAnswer::BudgetForbids("needs 2".into()))]));
    assert_eq!(calls[2], (700, vec!["a Accepted".to_owned()]));
    assert_eq!(server.seen().len(), 2, "a 429 is not sent again behind the machine's back");
}

#[tokio::test(start_paused = true)]
async fn timers_are_exact_and_interrupts_come_at_once() {
    let wake = Some("2026-01-01T12:00:05.250Z".parse().unwrap());
    let script = Script { begin: vec![remove("a")], calls: Vec::new(), wake, calls_to_make: 3 };
    let calls = run(&Server::new([]), script, Some(7000)).await;
    assert_eq!(calls, [(0, vec![]), (5250, vec![]), (7000, vec!["interrupted".to_owned()])]);
}

#[tokio::test(start_paused = true)]
async fn many_events_are_one_decision() {
    let burst = (6..26).map(|version| (100, event("MODIFIED", "a", version))).collect();
    let watch = Action::Watch(Watch::PodsIn("shop".into()));
    let list = Act::Status(0, 200, list(&[], 5));
    let server = Server::new([list, Act::Open(burst)]);
    let script = Script { begin: vec![watch], calls: Vec::new(), wake: None, calls_to_make: 3 };
    let calls = run(&server, script, None).await;
    assert_eq!((calls[1].1.len(), calls[2].1.len()), (1, 20), "{calls:?}");
}
