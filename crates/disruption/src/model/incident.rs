//! Incidents: what the cluster's components report about objects, the API's own events.

use jiff::Timestamp;

use super::{Uid, wire};

/// An object of kind Event. (An event of ours is a [`crate::event`].)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// Its own namespace.
    pub namespace: String,
    /// Its own name.
    pub name: String,
    /// What it is about.
    pub about: Involved,
    /// Whether its type is Warning.
    pub is_warning: bool,
    /// Such as `FailedMount`.
    pub reason: String,
    /// In the component's words.
    pub message: String,
    /// How often it was seen.
    pub count: i32,
    /// When it was seen first.
    pub first_at: Option<Timestamp>,
    /// When it was seen last.
    pub last_at: Option<Timestamp>,
}

/// What an incident is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Involved {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: Uid,
    /// The container of the pod, if it is about one.
    pub container: Option<String>,
}

impl Incident {
    /// Reads an Event from its JSON.
    ///
    /// # Errors
    /// Names what does not have the shape of an Event.
    pub fn read(object: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<wire::Event>(object).map(Self::from)
    }
}

impl From<wire::Event> for Incident {
    fn from(event: wire::Event) -> Self {
        let wire::Reference { kind, name, uid, field_path } = event.involved_object;
        let at = event.at;
        let series = event.series.unwrap_or_default();
        let first_at = event.first_timestamp.or(at);
        let last_at = event.last_timestamp.max(series.last_observed_time);
        let created_at = event.metadata.creation_timestamp;
        Self {
            namespace: event.metadata.namespace.unwrap_or_default(),
            name: event.metadata.name.unwrap_or_default(),
            about: Involved {
                kind: kind.unwrap_or_default(),
                name: name.unwrap_or_default(),
                uid: Uid(uid.unwrap_or_default()),
                container: field_path.as_deref().and_then(container_of),
            },
            is_warning: event.r#type.as_deref() == Some("Warning"),
            reason: event.reason.unwrap_or_default(),
            message: event.message.unwrap_or_default(),
            count: event.count.or(series.count).unwrap_or(1).max(1),
            first_at: first_at.or(created_at),
            last_at: last_at.or(first_at).or(created_at),
        }
    }
}

/// The container in `spec.containers{web}` or `spec.initContainers{migrate}`.
fn container_of(path: &str) -> Option<String> {
    let inner = path.strip_prefix("spec.").and_then(|path| path.split_once('{'))?.1;
    inner.strip_suffix('}').map(str::to_owned)
}
