//! What a probe asked, and what it was told.

use jiff::Timestamp;

use super::{pod::Case, text};
use crate::model::{ContainerStatus, Incident, Probe};

/// What a probe asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Readiness,
    Liveness,
    Startup,
}

impl Asked {
    /// As the kubelet's messages begin.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
            Self::Startup => "Startup",
        }
    }

    fn of(self, container: &ContainerStatus) -> Option<&Probe> {
        match self {
            Self::Readiness => container.readiness.as_ref(),
            Self::Liveness => container.liveness.as_ref(),
            Self::Startup => container.startup.as_ref(),
        }
    }
}

/// `GET :8080/healthz answers 404`; empty for a container without such a probe.
pub(super) fn answer(case: &Case<'_>, container: &ContainerStatus, asked: Asked, since: Option<Timestamp>) -> String {
    let Some(probe) = asked.of(container) else { return String::new() };
    let last = failures(case, container, asked, since).last();
    let told = last.map_or_else(|| "has not succeeded yet".to_owned(), |incident| told(&incident.message, probe));
    format!("{} {told}", probe.question)
}

/// The probe's failures since then, oldest first.
pub(super) fn failures<'a, 's>(
    case: &'s Case<'a>,
    container: &'s ContainerStatus,
    asked: Asked,
    since: Option<Timestamp>,
) -> impl Iterator<Item = &'a Incident> + 's {
    let is_such = move |incident: &&Incident| {
        let is_recent = since.is_none_or(|since| incident.last_at.is_none_or(|last| last >= since));
        text::of_event(&incident.message).starts_with(asked.as_str()) && is_recent
    };
    case.reported_of(container, &["Unhealthy"]).filter(is_such)
}

/// `Readiness probe failed: HTTP probe failed with statuscode: 404` as what the asked one does. Addresses of pods, which
/// the kubelet's words are full of, stay out.
fn told(message: &str, probe: &Probe) -> String {
    let said = text::scrubbed(text::of_event(message));
    let said = said.split_once(": ").map_or("", |(_, said)| said).trim();
    if let Some((_, code)) = said.split_once("statuscode: ") {
        return format!("answers {code}");
    }
    if let Some(state) = text::between(said, "responded with \"", "\"") {
        return format!("answers {state}");
    }
    let known = ANSWERS.iter().find(|(words, _)| text::has_any(said, words));
    match known {
        Some((_, "")) => format!("does not answer within {}s", probe.timeout),
        Some((_, does)) => (*does).to_owned(),
        None if said.is_empty() => "fails".to_owned(),
        None => format!("fails: {}", said.split_once("\": ").map_or(said, |(_, rest)| rest)),
    }
}

/// What the kubelet's words mean; empty for a timeout.
const ANSWERS: [(&[&str], &str); 5] = [
    (&["connection refused"], "refuses the connection"),
    (&["deadline exceeded", "timed out", "i/o timeout", "Client.Timeout", "timeout: "], ""),
    (&["connection reset", ": EOF", "broken pipe"], "drops the connection"),
    (&["no route to host", "network is unreachable", "host is down"], "cannot be reached"),
    (&["executable file not found", "no such file or directory"], "cannot be run: no such command in the image"),
];
