//! Follows a part of the cluster: what changes comes as inputs of a machine, whatever happens to the connection.

#[cfg(test)]
mod tests;

use std::{error::Error as StdError, io, mem, time::Duration};

use disruption::action::{Change, Input, Watch};
use futures::{AsyncBufRead, AsyncBufReadExt, StreamExt};
use http::{HeaderValue, header};
use kube::{
    api::WatchParams,
    core::{Request, Status, request::Error as RequestError},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{Instant, sleep, timeout},
};

use crate::{
    connect::Connection,
    error::{Error, chain},
    objects::Collection,
    observe::{self, Chunks, Listed},
};

/// How long the server is asked to keep a watch open. It ends it then by itself, and we go on from the same version.
const WATCH_SECONDS: u32 = 290;

/// A watch on which nothing comes for so long is dead: the API server sends a bookmark every minute.
const SILENCE: Duration = Duration::from_secs(100);

/// A watch that ends sooner than this without a word has broken, as for client-go's reflector: to go on at once would
/// only ask a broken proxy ever again.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long a watch that has stood may be refused before we believe it: an API server that has just started refuses what
/// it allows as soon as it has read the roles.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// The first wait after a failure; doubled with each further one.
const FIRST_BACK_OFF: Duration = Duration::from_millis(200);

/// The longest wait between two tries.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);

/// A failure that passes sooner is none worth telling.
const TOLD_AFTER: Duration = Duration::from_secs(3);

/// Follows one watch from a version on, until it is dropped or the server refuses it for good.
pub async fn follow(connection: Connection, watch: Watch, version: Option<String>, inputs: UnboundedSender<Input>) {
    let collection = Collection::watched(&watch);
    Follower { connection: &connection, watch: &watch, collection: &collection, inputs: &inputs }.follow(version).await;
}

/// One watch on its way.
struct Follower<'a> {
    connection: &'a Connection,
    watch: &'a Watch,
    collection: &'a Collection,
    inputs: &'a UnboundedSender<Input>,
}

/// A line of a watch.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: EventKind,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum EventKind {
    Added,
    Modified,
    Deleted,
    Bookmark,
    Error,
}

/// What every object has, also the one of a bookmark.
#[derive(Deserialize)]
struct Versioned {
    metadata: Version,
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "resourceVersion")]
    resource_version: String,
}

/// How a stretch of a watch ended.
enum End {
    /// As the server ends each one after a while.
    Regular,
    /// The version is too old, or of no use: everything must be listed.
    Outdated,
    /// The server does not let us.
    Refused(String),
    /// It broke.
    Failed(String),
}

/// Since when a watch has failed.
struct Failure {
    since: Instant,
    tries: u32,
    is_told: bool,
}

impl Follower<'_> {
    /// Stretch by stretch, listing everything where it has no version to go on from.
    async fn follow(&self, mut version: Option<String>) {
        let mut failure: Option<Failure> = None;
        let mut has_stood = false;
        let mut refused_since: Option<Instant> = None;
        loop {
            let end = match &mut version {
                None => {
                    let read = |object: &str| self.watch.read(object);
                    match observe::list_from(self.connection, self.collection, Chunks::default(), &read).await {
                        Ok(Listed { objects, version: listed }) => {
                            self.send(Change::Listed(objects));
                            version = Some(listed);
                            self.restore(&mut failure);
                            (has_stood, refused_since) = (true, None);
                            continue;
                        }
                        Err(error) => end_of(error),
                    }
                }
                Some(version) => self.stretch(version, &mut failure, &mut has_stood).await,
            };
            let refused = matches!(end, End::Refused(_)).then(|| *refused_since.get_or_insert_with(Instant::now));
            refused_since = refused;
            match end {
                End::Regular => self.recover(&mut failure),
                End::Outdated => version = None,
                End::Refused(message) if !has_stood || refused.is_some_and(|since| since.elapsed() >= REFUSED_FOR) => {
                    return self.send(Change::Refused(message));
                }
                End::Refused(message) | End::Failed(message) => {
                    let failing = failure.get_or_insert(Failure { since: Instant::now(), tries: 0, is_told: false });
                    failing.tries += 1;
                    if !failing.is_told && (failing.tries > 1 || failing.since.elapsed() >= TOLD_AFTER) {
                        failing.is_told = true;
                        self.send(Change::Lost(message));
                    }
                    // What happened meanwhile is listed: then nothing depends on how much the server remembers.
                    if failing.is_told {
                        version = None;
                    }
                    sleep(self.back_off(failing.tries)).await;
                }
            }
        }
    }

    /// One request, until it ends.
    async fn stretch(&self, version: &mut String, failure: &mut Option<Failure>, has_stood: &mut bool) -> End {
        let Collection { path, plural, params } = self.collection;
        let mut wanted = WatchParams::default().timeout(WATCH_SECONDS);
        wanted.field_selector.clone_from(&params.field_selector);
        wanted.label_selector.clone_from(&params.label_selector);
        let what = format!("watch {plural}");
        let mut lines = match self.open(&what, Request::new(path).watch(&wanted, version)).await {
            Ok(stream) => stream.lines(),
            Err(error) => return end_of(error),
        };
        *has_stood = true;
        let (began, mut has_spoken) = (Instant::now(), false);
        loop {
            let line = match timeout(SILENCE, lines.next()).await {
                Err(_) => return End::Failed(format!("{what}: nothing came for {SILENCE:?}")),
                Ok(Some(Ok(line))) => line,
                Ok(Some(Err(error))) if !is_cut(&error) => {
                    return end_of(self.connection.explain(&what, kube::Error::ReadEvents(error)));
                }
                Ok(_) if !has_spoken && began.elapsed() < SHORTEST => {
                    return End::Failed(format!("{what}: it ended at once"));
                }
                Ok(_) => return End::Regular,
            };
            match serde_json::from_str(&line).and_then(|event| self.take(&event, version)) {
                Ok(None) => {}
                Ok(Some(end)) => return end,
                // An object that cannot be read is no reason to miss the others.
                Err(error) => {
                    tracing::warn!("{what}: {error}");
                    continue;
                }
            }
            has_spoken = true;
            self.recover(failure);
        }
    }

    async fn open(
        &self,
        what: &str,
        request: Result<http::Request<Vec<u8>>, RequestError>,
    ) -> Result<impl AsyncBufRead + Unpin, Error> {
        let mut request = request.map_err(|error| self.connection.explain(what, kube::Error::BuildRequest(error)))?;
        // Servers compress each event for itself, which our decompression takes for the end after the first.
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(Box::pin(self.connection.call(what, self.connection.client().request_stream(request)).await?))
    }

    /// Passes on what an event tells, and notes its version; an end if it tells one.
    fn take(&self, event: &Event<'_>, version: &mut String) -> Result<Option<End>, serde_json::Error> {
        let Event { kind, object } = event;
        if *kind == EventKind::Error {
            return Ok(Some(end_of_status(&serde_json::from_str(object.get())?)));
        }
        let Versioned { metadata } = serde_json::from_str(object.get())?;
        *version = metadata.resource_version;
        let change = match kind {
            EventKind::Added | EventKind::Modified => self.watch.read(object.get())?.map(Change::Seen),
            EventKind::Deleted => self.watch.read(object.get())?.map(Change::Deleted),
            EventKind::Bookmark | EventKind::Error => None,
        };
        if let Some(change) = change {
            self.send(change);
        }
        Ok(None)
    }

    /// Everything was listed, so nothing was missed. Whether the watch holds is still to be seen: until it speaks, another
    /// failure is not the first.
    fn restore(&self, failure: &mut Option<Failure>) {
        if failure.as_mut().is_some_and(|failure| mem::take(&mut failure.is_told)) {
            self.send(Change::Restored);
        }
    }

    /// The watch holds.
    fn recover(&self, failure: &mut Option<Failure>) {
        self.restore(failure);
        *failure = None;
    }

    fn send(&self, change: Change) {
        // Nobody listens any more once the machine has finished.
        let _ = self.inputs.send(Input::Watched(self.watch.clone(), change));
    }

    /// Doubled with each try, and spread by what is watched, so that many watches do not come back at one moment.
    fn back_off(&self, tries: u32) -> Duration {
        let doubled = FIRST_BACK_OFF.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(LONGEST_BACK_OFF);
        let spread = format!("{:?}", self.watch).bytes().fold(0_u32, |sum, byte| (sum * 31 + u32::from(byte)) % 101);
        doubled + doubled * spread / 400
    }
}

/// Whether a connection ended without its last chunk: so proxies end those on which nothing comes for a while, which is no
/// failure for client-go either. TLS has a kind of error for it, hyper's reader of chunks tells it in words alone.
fn is_cut(error: &io::Error) -> bool {
    let is_end = |cause: &(dyn StdError + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof)
            || cause.to_string().contains("unexpected EOF during chunk")
    };
    error.get_ref().is_some_and(|inner| chain(inner).any(is_end))
}

fn end_of(error: Error) -> End {
    match error {
        Error::Api(status) => end_of_status(&status),
        other => End::Failed(other.to_string()),
    }
}

fn end_of_status(status: &Status) -> End {
    match status.code {
        410 => End::Outdated,
        // The server is behind the version: "Too large resource version".
        504 if status.message.contains("resource version") => End::Outdated,
        403..=405 => End::Refused(status.message.clone()),
        _ => End::Failed(status.message.clone()),
    }
}
