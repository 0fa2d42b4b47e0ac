//! Small looks beside the watches: whether an object is there, what a container wrote, what a URL answers.

use std::time::Duration;

use disruption::{
    action::{Wanted, WantedKind},
    model::ObjectName,
};
use futures::AsyncReadExt as _;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use tokio::time::timeout;

use crate::{
    connect::{Connection, json},
    error::Error,
};

/// How many lines of a container's log are read: enough for a stack trace's end, few enough to be read at once.
const LOG_LINES: u32 = 20;

/// How many bytes of a log at most.
const LOG_BYTES: u32 = 64 * 1024;

/// How long a probe waits for its answer. A server that takes longer is as good as down for who waits.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Whether an object is there, with the keys that it must have.
///
/// # Errors
/// In words, why nobody knows: mostly that we may not read it.
pub async fn is_there(connection: &Connection, wanted: &Wanted) -> Result<bool, String> {
    let Wanted { kind, namespace, name, keys } = wanted;
    let path = match kind {
        WantedKind::ConfigMap => format!("/api/v1/namespaces/{namespace}/configmaps/{name}"),
        WantedKind::Secret => format!("/api/v1/namespaces/{namespace}/secrets/{name}"),
        WantedKind::ServiceAccount => format!("/api/v1/namespaces/{namespace}/serviceaccounts/{name}"),
        WantedKind::Claim => format!("/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"),
        WantedKind::PriorityClass => format!("/apis/scheduling.k8s.io/v1/priorityclasses/{name}"),
        WantedKind::RuntimeClass => format!("/apis/node.k8s.io/v1/runtimeclasses/{name}"),
    };
    let has = |object: &Value, key: &String| {
        ["data", "binaryData"].iter().any(|field| object.get(field).is_some_and(|data| data.get(key).is_some()))
    };
    match connection.ask(&format!("get {name}"), Request::get(path).body(Vec::new()), json).await {
        Ok(object) => Ok(keys.iter().all(|key| has(&object, key))),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// The `HorizontalPodAutoscaler`s of a namespace as the server gives them. None where they cannot be read: nothing is
/// decided by them.
pub async fn autoscalers(connection: &Connection, namespace: &str) -> Vec<Value> {
    let path = format!("/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers");
    match connection.ask("list horizontalpodautoscalers", Request::get(path).body(Vec::new()), json).await {
        Ok(mut list) => list["items"].as_array_mut().map(std::mem::take).unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

/// The last lines that a container wrote, oldest first. Where the container before its last restart is meant and left
/// nothing, those of the one after it.
///
/// # Errors
/// In one clause, why there are none: an API server that reached no kubelet tells all that it tried, the cause last.
pub async fn log(
    connection: &Connection,
    pod: &ObjectName,
    container: &str,
    previous: bool,
) -> Result<Vec<String>, String> {
    let mut text = read_log(connection, pod, container, previous).await;
    if previous && text.as_ref().map_or(true, String::is_empty) {
        text = read_log(connection, pod, container, false).await;
    }
    match text {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(error) => Err(error.to_string().rsplit(": ").next().unwrap_or_default().to_owned()),
    }
}

async fn read_log(connection: &Connection, pod: &ObjectName, container: &str, previous: bool) -> Result<String, Error> {
    let what = format!("read the log of pod {pod}");
    let ObjectName { namespace, name } = pod;
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{name}/log?container={container}&previous={previous}&tailLines={LOG_LINES}&limitBytes={LOG_BYTES}"
    );
    let request = Request::get(path).body(Vec::new());
    let request = request.map_err(|error| Error::Request { what: what.clone(), reason: error.to_string() })?;
    // Programs write what they like, and the limit may cut a character in two.
    let bytes = async {
        let mut bytes = Vec::new();
        let stream = connection.client().request_stream(request).await?;
        std::pin::pin!(stream).read_to_end(&mut bytes).await.map_err(kube::Error::ReadEvents)?;
        Ok(bytes)
    };
    Ok(String::from_utf8_lossy(&connection.call(&what, bytes).await?).into_owned())
}

/// Requests URLs, each time on a new connection, as a visitor would.
#[derive(Debug, Clone)]
pub struct Prober(Client<HttpsConnector<HttpConnector>, Empty<bytes::Bytes>>);

impl Prober {
    /// With the operating system's certificates.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn new() -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        Ok(Self(Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(connector)))
    }

    /// Requests a URL once: the status code.
    ///
    /// # Errors
    /// In words, why there is none.
    pub async fn probe(&self, url: &str) -> Result<u16, String> {
        let url: Uri = url.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let answer = async {
            let response = self.0.get(url).await.map_err(|error| crate::error::innermost(&error))?;
            let status = response.status().as_u16();
            // An answer that breaks off is none.
            response.into_body().collect().await.map_err(|error| error.to_string())?;
            Ok(status)
        };
        timeout(PROBE_TIMEOUT, answer).await.unwrap_or_else(|_| Err(format!("no answer within {PROBE_TIMEOUT:?}")))
    }
}
