//! What every answer tells besides its body: warnings and the server's time; and a log line per request.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, header};
use kube::client::Body;
use tokio::time::Instant;
use tower::{BoxError, Layer, Service};

use super::clock::{self, ServerClock};

/// Target of the log line that each request gets (`-v 6`).
pub const REQUEST_LOG: &str = "cluster::request";

/// A server could send a new warning with every answer: more than these are dropped.
const MAX_WARNINGS: usize = 1000;

/// What was learned from all answers so far; clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Exchanges(Arc<Mutex<Learned>>);

#[derive(Debug, Default)]
struct Learned {
    warnings_seen: HashSet<String>,
    warnings_new: Vec<String>,
    clock: ServerClock,
    requests: u64,
}

impl Exchanges {
    /// The warnings that were not taken yet, each text once in the life of the connection.
    pub(super) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.learned().warnings_new)
    }

    pub(super) fn clock(&self) -> ServerClock {
        self.learned().clock
    }

    pub(super) fn requests(&self) -> u64 {
        self.learned().requests
    }

    fn learn(&self, headers: &HeaderMap, sent: jiff::Timestamp) {
        let mut learned = self.learned();
        if let Some(date) = headers.get(header::DATE).and_then(|value| value.to_str().ok()) {
            learned.clock.observe(date, sent, clock::local_now());
        }
        for value in headers.get_all(header::WARNING) {
            for text in warnings(&String::from_utf8_lossy(value.as_bytes())) {
                if learned.warnings_seen.len() < MAX_WARNINGS && learned.warnings_seen.insert(text.clone()) {
                    learned.warnings_new.push(text);
                }
            }
        }
    }

    fn learned(&self) -> MutexGuard<'_, Learned> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts `Exchanges` around a client's service.
#[derive(Debug, Clone)]
pub(super) struct ExchangeLayer {
    pub(super) exchanges: Exchanges,
    /// Scheme and authority of the server, for the log: kube's requests carry the path only.
    pub(super) server: String,
}

impl<S> Layer<S> for ExchangeLayer {
    type Service = Exchange<S>;

    fn layer(&self, inner: S) -> Exchange<S> {
        Exchange { inner, exchanges: self.exchanges.clone(), server: self.server.clone() }
    }
}

/// A service that learns from the answers that pass.
pub(super) struct Exchange<S> {
    inner: S,
    exchanges: Exchanges,
    server: String,
}

impl<S, B> Service<Request<Body>> for Exchange<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<B>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.exchanges.learned().requests += 1;
        let exchanges = self.exchanges.clone();
        // kube ends a path with `?` even when no query follows.
        let line = format!("{} {}{}", request.method(), self.server, request.uri().to_string().trim_end_matches('?'));
        let sent = clock::local_now();
        let started = Instant::now();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into);
            let millis = started.elapsed().as_millis();
            if let Ok(response) = &answer {
                tracing::info!(target: REQUEST_LOG, "{line} {} in {millis} ms", response.status());
                exchanges.learn(response.headers(), sent);
            } else {
                tracing::info!(target: REQUEST_LOG, "{line} failed in {millis} ms");
            }
            answer
        })
    }
}

/// The texts in a `Warning` header: `299 - "text"`, several divided by commas (RFC 7234, 5.5).
///
/// As client-go does, only code 299 counts, and what cannot be parsed is dropped.
fn warnings(header: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((code, after_code)) = rest.split_once(' ') else { break };
        let Some((_agent, after_agent)) = after_code.trim_start().split_once(' ') else { break };
        let Some((text, after_text)) = quoted(after_agent.trim_start()) else { break };
        if code == "299" && !text.is_empty() {
            texts.push(text);
        }
        // A date may follow, in quotes of its own.
        let after_text = after_text.trim_start();
        rest = quoted(after_text).map_or(after_text, |(_date, after_date)| after_date);
    }
    texts
}

/// A quoted string at the start of `text`, without its escapes, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut plain = String::new();
    let mut characters = inside.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((plain, &inside[at + 1..])),
            '\\' => plain.push(characters.next()?.1),
            other => plain.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warning_headers_are_parsed() {
        #[track_caller]
        fn check(header: &str, expected: &[&str]) {
            assert_eq!(warnings(header), expected, "{header}");
        }
        check("", &[]);
        check("nonsense", &[]);
        check(r#"299 - "old API""#, &["old API"]);
        check(r#"299 - "one", 299 - "two, with a comma""#, &["one", "two, with a comma"]);
        check(r#"299 - "say \"hi\" and \\""#, &[r#"say "hi" and \"#]);
        check(r#"299 - "dated" "Wed, 21 Oct 2015 07:28:00 GMT", 299 - "next""#, &["dated", "next"]);
        check(r#"214 - "transformed", 299 host:80 "ours""#, &["ours"]);
        check(r#"299 - "", 299 - "x""#, &["x"]);
        check(r#"299 - "never closed"#, &[]);
    }
}
