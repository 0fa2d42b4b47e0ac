//! Follows a part of the cluster: what changes comes as inputs of a machine, whatever happens to the connection.

#[cfg(test)]
mod tests;

use std::{fmt::Debug, mem, time::Duration};

use disruption::{
    action::{Change, Input, Watch},
    snapshot::Object,
};
use futures::TryStreamExt;
use kube::{
    Api, Resource,
    api::{ListParams, WatchEvent, WatchParams},
    core::Status,
};
use serde::de::DeserializeOwned;
use tokio::{
    sync::mpsc::UnboundedSender,
    time::{Instant, sleep, timeout},
};

use crate::{
    connect::Connection,
    error::Error,
    objects::{self, Visitor},
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
    let client = connection.client().clone();
    objects::visit(client, &watch, Follower { connection: &connection, watch: &watch, inputs: &inputs, version }).await;
}

/// One watch on its way.
struct Follower<'a> {
    connection: &'a Connection,
    watch: &'a Watch,
    inputs: &'a UnboundedSender<Input>,
    /// From where it goes on; none where everything must be listed.
    version: Option<String>,
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

impl Visitor for Follower<'_> {
    type Output = ();

    async fn visit<K, T>(mut self, api: Api<K>, params: ListParams, read: fn(K) -> T)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
        T: Into<Option<Object>> + Send + 'static,
    {
        let mut version = self.version.take();
        let mut failure: Option<Failure> = None;
        let mut has_stood = false;
        let mut refused_since: Option<Instant> = None;
        loop {
            let end = match &mut version {
                None => {
                    match observe::list_from(self.connection, &api, params.clone(), Chunks::default(), read).await {
                        Ok(Listed { objects, version: listed }) => {
                            self.send(Change::Listed(objects.into_iter().filter_map(Into::into).collect()));
                            version = Some(listed);
                            self.restore(&mut failure);
                            (has_stood, refused_since) = (true, None);
                            continue;
                        }
                        Err(error) => end_of(error),
                    }
                }
                Some(version) => self.stretch(&api, &params, version, read, &mut failure, &mut has_stood).await,
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
}

impl Follower<'_> {
    /// One request, until it ends.
    async fn stretch<K, T>(
        &self,
        api: &Api<K>,
        params: &ListParams,
        version: &mut String,
        read: fn(K) -> T,
        failure: &mut Option<Failure>,
        has_stood: &mut bool,
    ) -> End
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
        T: Into<Option<Object>>,
    {
        let mut wanted = WatchParams::default().timeout(WATCH_SECONDS);
        wanted.field_selector.clone_from(&params.field_selector);
        wanted.label_selector.clone_from(&params.label_selector);
        let what = format!("watch {}", K::plural(&()));
        let stream = match self.connection.call(&what, api.watch(&wanted, version)).await {
            Ok(stream) => stream,
            Err(error) => return end_of(error),
        };
        *has_stood = true;
        let (began, mut has_spoken) = (Instant::now(), false);
        let mut stream = std::pin::pin!(stream);
        loop {
            let event = match timeout(SILENCE, stream.try_next()).await {
                Err(_) => return End::Failed(format!("{what}: nothing came for {SILENCE:?}")),
                Ok(Ok(None)) if !has_spoken && began.elapsed() < SHORTEST => {
                    return End::Failed(format!("{what}: it ended at once"));
                }
                Ok(Ok(None)) => return End::Regular,
                // An object that cannot be read is no reason to miss the others.
                Ok(Err(error)) if is_unreadable(&error) => {
                    tracing::warn!("{what}: {error}");
                    continue;
                }
                Ok(Err(error)) => return end_of(self.connection.explain(&what, error)),
                Ok(Ok(Some(event))) => event,
            };
            has_spoken = true;
            self.recover(failure);
            let change = match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    *version = object.meta().resource_version.clone().unwrap_or_default();
                    read(object).into().map(Change::Seen)
                }
                WatchEvent::Deleted(object) => {
                    *version = object.meta().resource_version.clone().unwrap_or_default();
                    read(object).into().map(Change::Deleted)
                }
                WatchEvent::Bookmark(bookmark) => {
                    *version = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => return end_of_status(&status),
            };
            if let Some(change) = change {
                self.send(change);
            }
        }
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

/// Whether a line of a watch is no event. kube takes it for a status, of which it then has nothing.
fn is_unreadable(error: &kube::Error) -> bool {
    match error {
        kube::Error::SerdeError(_) => true,
        kube::Error::Api(status) => status.code == 0 && status.message.is_empty(),
        _ => false,
    }
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
