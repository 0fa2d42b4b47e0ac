//! What the apiserver was asked, by whom: the audit log as a test's witness.

use std::{
    collections::HashMap,
    fs::File,
    io::{Read, Seek, SeekFrom},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{identity, state, state::State};

/// The audit log of a lab, from a mark on.
#[derive(Debug, Clone)]
pub struct Audit {
    state: State,
    from: Mark,
}

/// A place in the audit log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark(u64);

/// One request that the apiserver answered, or is answering if it is a watch.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`.
    pub verb: String,
    /// E.g. `pods`; empty for paths like `/version`.
    pub resource: String,
    /// E.g. `eviction`; often empty.
    pub subresource: String,
    /// Empty for requests about the cluster.
    pub namespace: String,
    /// Empty for lists.
    pub name: String,
    /// Path and query.
    pub uri: String,
    /// Who asked.
    pub user: String,
    /// With which program.
    pub user_agent: String,
    /// The HTTP status; 0 if there is none yet.
    pub code: u16,
    /// What was sent, for requests that change something.
    pub request_object: Option<Value>,
    /// When the apiserver received it.
    pub received: jiff::Timestamp,
}

impl Request {
    /// Whether the request asks to change something and is not a dry run.
    pub fn changes(&self) -> bool {
        let reads = ["get", "list", "watch"].contains(&self.verb.as_str());
        // A review is a question, although it is created.
        let asks = self.resource.ends_with("reviews");
        !reads && !asks && !self.uri.contains("dryRun=All")
    }

    /// `create pods/eviction shop/web-1`: for messages and for comparing lists of requests.
    pub fn summary(&self) -> String {
        let what = match (self.resource.as_str(), self.subresource.as_str()) {
            ("", _) => self.uri.clone(),
            (resource, "") => resource.to_owned(),
            (resource, subresource) => format!("{resource}/{subresource}"),
        };
        let whom = match (self.namespace.as_str(), self.name.as_str()) {
            ("", name) | (name, "") => name.to_owned(),
            (namespace, name) => format!("{namespace}/{name}"),
        };
        format!("{} {what} {whom}", self.verb).trim_end().to_owned()
    }
}

impl Audit {
    pub(crate) fn of(state: State) -> Self {
        Self { state, from: Mark::default() }
    }

    /// The end of the log as it is now.
    ///
    /// # Errors
    /// The lab is gone.
    pub fn mark(&self) -> Result<Mark> {
        let log = std::fs::metadata(self.state.audit_log()).context("the audit log is gone")?;
        Ok(Mark(log.len()))
    }

    /// The log from `mark` on.
    #[must_use]
    pub fn since(self, mark: Mark) -> Self {
        Self { from: mark, ..self }
    }

    /// The requests of one user, in the order of their arrival.
    ///
    /// All requests that were answered before the call are among them: the apiserver writes a request's line before
    /// its handler returns, and this makes a request of its own first and reads until it has seen that one's line.
    /// A watch that still runs is there too, from its start.
    ///
    /// # Errors
    /// The lab is gone, or a line is not what the apiserver should write.
    pub async fn by(&self, user: &str) -> Result<Vec<Request>> {
        self.catch_up().await?;
        let needle = format!("\"username\":{}", Value::from(user));
        let mut requests: HashMap<String, Request> = HashMap::new();
        for line in self.text()?.lines() {
            if !line.contains(&needle) {
                continue;
            }
            let event: Value = serde_json::from_str(line).context("a line of the audit log")?;
            let request = request(&event)?;
            if request.user == user {
                // A watch has two events, at its start and at its end.
                requests.insert(word(&event, "/auditID"), request);
            }
        }
        let mut requests: Vec<Request> = requests.into_values().collect();
        requests.sort_by_key(|request| request.received);
        Ok(requests)
    }

    async fn catch_up(&self) -> Result<()> {
        let place = self.mark()?;
        let path = format!("/version?marker={}{}", state::suffix(), state::suffix());
        let client = identity::client(&self.state, identity::MARKER).await?;
        client.request_text(http::Request::get(&path).body(Vec::new())?).await?;
        let recent = self.clone().since(place);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if recent.text()?.contains(&path) {
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        bail!("the audit log does not show {path} after 10 s")
    }

    /// The whole lines from the mark on: the last one may be half written.
    fn text(&self) -> Result<String> {
        let mut log = File::open(self.state.audit_log()).context("the audit log is gone")?;
        log.seek(SeekFrom::Start(self.from.0))?;
        let mut bytes = Vec::new();
        log.read_to_end(&mut bytes)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1);
        bytes.truncate(end);
        Ok(String::from_utf8(bytes)?)
    }
}

fn request(event: &Value) -> Result<Request> {
    Ok(Request {
        verb: word(event, "/verb"),
        resource: word(event, "/objectRef/resource"),
        subresource: word(event, "/objectRef/subresource"),
        namespace: word(event, "/objectRef/namespace"),
        name: word(event, "/objectRef/name"),
        uri: word(event, "/requestURI"),
        user: word(event, "/user/username"),
        user_agent: word(event, "/userAgent"),
        code: event.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or(0).try_into()?,
        request_object: event.get("requestObject").cloned(),
        received: word(event, "/requestReceivedTimestamp").parse().context("a time in the audit log")?,
    })
}

fn word(event: &Value, pointer: &str) -> String {
    event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event() -> Value {
        json!({
            "auditID": "a", "verb": "create", "requestURI": "/api/v1/namespaces/n/pods/p/eviction",
            "user": {"username": "tool"}, "userAgent": "kubectl",
            "objectRef": {"resource": "pods", "subresource": "eviction", "namespace": "n", "name": "p"},
            "responseStatus": {"code": 429}, "requestReceivedTimestamp": "2026-01-01T00:00:00.000001Z",
            "requestObject": {"kind": "Eviction"},
        })
    }

    #[test]
    fn an_eviction_is_read() {
        let request = request(&event()).unwrap();
        assert_eq!(request.summary(), "create pods/eviction n/p");
        assert_eq!(request.code, 429);
        assert!(request.changes());
        assert_eq!(request.request_object.unwrap()["kind"], "Eviction");
    }

    #[test]
    fn a_dry_run_changes_nothing() {
        let mut event = event();
        event["requestURI"] = "/api/v1/namespaces/n/pods/p/eviction?dryRun=All".into();
        assert!(!request(&event).unwrap().changes());
    }
}
