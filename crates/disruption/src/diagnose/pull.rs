//! Images that cannot be pulled, by what the registry or the runtime says.
//!
//! `ErrImagePull` and `ImagePullBackOff` alternate: they are one finding. Texts differ by runtime and version, so single
//! phrases are matched, none of which can be part of an image's name.

use jiff::Timestamp;

use super::{Class, Code, Finding, container::named, pod, pod::Case, text};
use crate::{
    model::{ContainerStatus, Incident},
    rollout::template,
};

/// The reasons of containers that wait for their image (`kubelet/images/types.go`).
pub(super) const REASONS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "RegistryUnavailable",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "SignatureValidationFailed",
];

/// Why a pull fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// The registry answers, but not now.
    Busy(&'static str),
    /// Nobody answers: of a registry that was never used before, its name may be wrong.
    Network(&'static str),
    NoSpace,
    /// The registry refuses. Some say so of tags and repositories that do not exist, so it proves as much as those do: who
    /// is to blame is told by what the rollout changed, and by old pods that cannot pull either ([`crate::rollout::blame`]).
    Denied,
    Platform,
    NotFound,
    Unclear,
}

/// Transient first, then authorization, then not found: registries wrap the former into the latter.
const TROUBLES: [(&[&str], Trouble); 11] = [
    (&["no space left on device"], Trouble::NoSpace),
    (
        &[
            "toomanyrequests",
            "429 Too Many",
            "Too Many Requests",
            "too many requests",
            "pull rate limit",
            "QPS exceeded",
        ],
        Trouble::Busy("the registry limits the rate"),
    ),
    (
        &["500 Internal Server", "502 Bad Gateway", "503 Service Unavailable", "504 Gateway Time", "529 "],
        Trouble::Busy("the registry fails"),
    ),
    (
        &["no such host", "server misbehaving", "failure in name resolution"],
        Trouble::Network("its registry's name is unknown"),
    ),
    (&["x509: ", "certificate"], Trouble::Network("its registry's certificate is not trusted")),
    (&["server gave HTTP response to HTTPS client"], Trouble::Network("its registry does not speak TLS")),
    (
        &[
            "i/o timeout",
            "TLS handshake timeout",
            "timeout awaiting",
            "Client.Timeout",
            "deadline exceeded",
            "DeadlineExceeded",
            "connection refused",
            "connection reset",
            "no route to host",
            "network is unreachable",
            "unexpected EOF",
            ": EOF",
            "request canceled",
            "registry is unavailable",
        ],
        Trouble::Network("its registry does not answer"),
    ),
    (
        &[
            "pull access denied",
            "access denied",
            "denied: ",
            ": denied",
            "unauthorized: ",
            ": unauthorized",
            "401 Unauthorized",
            "403 Forbidden",
            "authentication required",
            "no basic auth credentials",
            "insufficient_scope",
            "authorization failed",
            "failed to authorize",
        ],
        Trouble::Denied,
    ),
    (&["no match for platform", "no matching manifest", "does not match the specified platform"], Trouble::Platform),
    (
        &["not found", "manifest unknown", "name unknown", "does not exist", "unsupported media", "404 Not Found"],
        Trouble::NotFound,
    ),
    (&[], Trouble::Unclear),
];

/// A container whose image cannot be had.
pub(super) fn fails(case: &Case<'_>, container: &ContainerStatus, reason: &str, message: &str) -> Finding {
    let image = &container.image;
    let (code, class, shown) = match reason {
        "InvalidImageName" => (Code::ImageInvalid, Class::Fatal, format!("image name \"{image}\" is not valid")),
        "ErrImageNeverPull" => {
            let shown = format!("image \"{image}\" is not on the node, and imagePullPolicy is Never");
            (Code::ImageNeverPulled, Class::Fatal, shown)
        }
        "SignatureValidationFailed" => {
            (Code::ImageUntrusted, Class::Fatal, format!("image \"{image}\" has no signature that is trusted"))
        }
        "ImageInspectError" => {
            let shown = format!("image \"{image}\" cannot be read on the node: {message}");
            (Code::ImagePullFailed, Class::Repeated, shown)
        }
        _ => pull(case, container, reason, message),
    };
    let tries = pod::count(failures(case, container));
    case.finding(code, class, &shown).seen(tries).since(began(case, container))
}

/// A pull that goes on: begun, and neither done nor failed since.
pub(super) fn runs(case: &Case<'_>, container: &ContainerStatus) -> Option<Finding> {
    let last = case.reported_of(container, &["Pulling", "Pulled", "Failed", "BackOff"]).last()?;
    if last.reason != "Pulling" {
        return None;
    }
    let message = format!("{} waits for its image \"{}\" to be pulled", named(container), container.image);
    Some(case.finding(Code::ImagePulling, Class::Transient, &message).since(last.last_at))
}

fn pull(case: &Case<'_>, container: &ContainerStatus, reason: &str, message: &str) -> (Code, Class, String) {
    let image = &container.image;
    let said = cause(case, container, message);
    let trouble = if reason == "RegistryUnavailable" { Trouble::Busy("the registry fails") } else { trouble(&said) };
    match trouble {
        Trouble::Busy(why) => {
            (Code::RegistryUnavailable, Class::Transient, format!("image \"{image}\" cannot be pulled now: {why}"))
        }
        Trouble::Network(why) => {
            let class = if is_registry_known(case, image) { Class::Transient } else { Class::Timed };
            (Code::RegistryUnavailable, class, format!("image \"{image}\" cannot be pulled now: {why}"))
        }
        Trouble::NoSpace => {
            let shown = format!("image \"{image}\" cannot be pulled: no space left on the node");
            (Code::ImagePullFailed, Class::Environment, shown)
        }
        Trouble::Denied => {
            let shown =
                format!("image \"{image}\" is refused: credentials are missing or wrong, or no such repository");
            (Code::ImageUnauthorized, Class::Repeated, shown)
        }
        Trouble::Platform => {
            (Code::ImageNotFound, Class::Fatal, format!("image \"{image}\" is not built for the node's platform"))
        }
        Trouble::NotFound => (Code::ImageNotFound, Class::Fatal, format!("image \"{image}\" not found")),
        Trouble::Unclear => {
            let why = if said.is_empty() { String::new() } else { format!(": {}", without_layers(&said)) };
            (Code::ImagePullFailed, Class::Repeated, format!("image \"{image}\" cannot be pulled{why}"))
        }
    }
}

fn trouble(cause: &str) -> Trouble {
    let is_said = |phrases: &[&str]| phrases.is_empty() || text::has_any(cause, phrases);
    TROUBLES.iter().find(|(phrases, _)| is_said(phrases)).map_or(Trouble::Unclear, |(_, trouble)| *trouble)
}

/// What went wrong. Kubelets before 1.32 say `Back-off pulling image "X"` alone: the try before tells.
fn cause(case: &Case<'_>, container: &ContainerStatus, message: &str) -> String {
    let own = match message.split_once("ErrImagePull: ") {
        Some((_, own)) => own,
        None if message == "ErrImagePull" || message.starts_with("Back-off pulling image") => "",
        None => message,
    };
    if !own.is_empty() {
        return own.to_owned();
    }
    let last = failures(case, container).last().map(|incident| text::scrubbed(text::of_event(&incident.message)));
    last.as_deref()
        .and_then(|message| message.split_once("\": "))
        .map(|(_, cause)| cause.to_owned())
        .unwrap_or_default()
}

/// Cuts `failed to pull and unpack image "X": failed to resolve image: …` down to its end.
fn without_layers(cause: &str) -> &str {
    const LAYERS: [&str; 4] =
        [" desc = ", "failed to pull and unpack image ", "failed to resolve ", "failed to copy: "];
    LAYERS.iter().fold(cause, |cause, layer| match cause.split_once(layer) {
        Some((_, rest)) if layer.starts_with("failed") => rest.split_once(": ").map_or(rest, |(_, rest)| rest),
        Some((_, rest)) => rest,
        None => cause,
    })
}

fn failures<'a, 's>(case: &'s Case<'a>, container: &'s ContainerStatus) -> impl Iterator<Item = &'a Incident> + 's {
    let is_pull = |incident: &&Incident| {
        let said = text::of_event(&incident.message);
        incident.reason == "InspectFailed" || said.starts_with("Failed to pull image")
    };
    case.reported_of(container, &["Failed", "InspectFailed"]).filter(is_pull)
}

fn began(case: &Case<'_>, container: &ContainerStatus) -> Option<Timestamp> {
    pod::first(failures(case, container)).or(case.pod.created_at)
}

/// Whether another revision names an image of the same registry.
fn is_registry_known(case: &Case<'_>, image: &str) -> bool {
    let current = case.subject.current().map(|revision| &revision.uid);
    let others = case.subject.revisions.iter().filter(|revision| Some(&revision.uid) != current);
    let mut images = others.flat_map(|revision| template::images(&revision.template).into_values());
    images.any(|other| registry(&other) == registry(image))
}

/// The registry's host; Docker Hub's where the image names none.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}
