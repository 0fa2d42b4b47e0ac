//! Containers that end: judged by how they ended and by how often, never by the word `CrashLoopBackOff`, which real
//! kubelets mostly do not show.

use jiff::Timestamp;

use super::{Class, Code, Finding, container::named, pod, pod::Case, probe, probe::Asked, text};
use crate::model::{ContainerRole, ContainerStatus, Incident, Termination};

/// How often a container must be killed from outside before that counts against it.
const KILLS: u32 = 3;

/// What an exit code says, by what shells and kernels agree on.
const EXITS: [(i32, &str); 10] = [
    (1, "error"),
    (126, "the command cannot be run"),
    (127, "command not found"),
    (132, "illegal instruction"),
    (134, "aborted"),
    (135, "bus error"),
    (136, "arithmetic error"),
    (137, "killed"),
    (139, "segmentation fault"),
    (143, "told to stop"),
];

/// Exit codes of a process that somebody killed: SIGKILL and SIGTERM do not come from itself.
const KILLED: [i32; 2] = [137, 143];

/// What a container's end says about it.
struct Cause {
    code: Code,
    class: Class,
    message: String,
    /// Whether how often it restarted belongs into the message.
    counts: bool,
}

/// A container that ended, and is down now or runs for another try.
pub(super) fn ended(case: &Case<'_>, container: &ContainerStatus, end: &Termination, is_down: bool) -> Finding {
    let restarts = container.restarts.max(0).unsigned_abs();
    let count = restarts + u32::from(is_down);
    let Cause { code, class, message, counts } = cause(case, container, end, count);
    let again = match restarts {
        0 => String::new(),
        _ if !counts => String::new(),
        restarts => format!(", restarted {}", text::times(restarts)),
    };
    case.finding(code, class, &format!("{message}{again}")).seen(count).since(began(case, container, end))
}

/// A container that waits for its next try.
pub(super) fn waits(case: &Case<'_>, container: &ContainerStatus, reason: &str, message: &str) -> Finding {
    let count = container.restarts.max(0).unsigned_abs() + 1;
    let since = container.last.as_ref().and_then(|end| began(case, container, end)).or(case.pod.created_at);
    match (reason, &container.last) {
        ("RunContainerError", _) => {
            let Cause { code, class, message, .. } = not_started(container, message);
            case.finding(code, class, &message).seen(count).since(since)
        }
        ("PostStartHookError", _) => {
            let Cause { code, class, message, .. } = hook(container);
            case.finding(code, class, &message).seen(count).since(since)
        }
        (_, Some(end)) => ended(case, container, end, true),
        (_, None) => {
            let message = format!("{} ends again and again", named(container));
            case.finding(Code::CrashLoop, Class::Repeated, &message).seen(count).since(since)
        }
    }
}

/// A container that ended and runs well again.
pub(super) fn restarted(case: &Case<'_>, container: &ContainerStatus, end: &Termination) -> Finding {
    let restarts = container.restarts.max(1).unsigned_abs();
    let how = match end.reason.as_str() {
        "OOMKilled" => "out of memory".to_owned(),
        "ContainerStatusUnknown" | "Unknown" => "its node lost it".to_owned(),
        _ => format!("exit {}", exit(end.exit_code)),
    };
    let message = format!("{} runs again, restarted {}, last: {how}", named(container), text::times(restarts));
    case.finding(Code::Restarted, Class::Transient, &message).seen(restarts)
}

/// The runtime's message without the names of its layers, each of which says that the next one failed.
pub(super) fn without_layers(message: &str) -> &str {
    const LAYERS: [&str; 5] = [
        "failed to create containerd task: ",
        "failed to create shim task: ",
        "OCI runtime create failed: ",
        "runc create failed: ",
        "unable to start container process: ",
    ];
    let message = message.trim_end_matches(": unknown");
    LAYERS.iter().fold(message, |message, layer| message.split_once(layer).map_or(message, |(_, rest)| rest))
}

fn cause(case: &Case<'_>, container: &ContainerStatus, end: &Termination, count: u32) -> Cause {
    let who = named(container);
    let said = text::scrubbed(&end.message);
    match end.reason.as_str() {
        "OOMKilled" => return out_of_memory(container),
        "StartError" | "ContainerCannotRun" => return not_started(container, &said),
        "ContainerStatusUnknown" | "Unknown" => {
            let message = format!("{who} was lost by its node");
            return Cause { code: Code::Restarted, class: Class::Transient, message, counts: true };
        }
        "" | "Error" | "Completed" => {}
        reason => {
            let message = format!("{who} ended, {reason} (exit {})", end.exit_code);
            return Cause { code: Code::Unknown, class: Class::Timed, message, counts: true };
        }
    }
    if said.contains("exec format error") {
        return not_started(container, &said);
    }
    if let Some(asked) = killed_by(case, container, end) {
        return probe_kill(case, container, asked);
    }
    if case.reported_of(container, &["FailedPostStartHook"]).any(|incident| is_of(incident, container, end)) {
        return hook(container);
    }
    by_exit(&who, container, end.exit_code, count)
}

fn by_exit(who: &str, container: &ContainerStatus, code: i32, count: u32) -> Cause {
    let repeated = |code, message| Cause { code, class: Class::Repeated, message, counts: true };
    if code == 0 && container.role != ContainerRole::Init {
        return repeated(Code::Exits, format!("{who} ends by itself (exit 0)"));
    }
    if KILLED.contains(&code) {
        let class = if count < KILLS { Class::Transient } else { Class::Repeated };
        let message = format!("{who} is killed from outside (signal {})", code - 128);
        return Cause { code: Code::CrashLoop, class, message, counts: true };
    }
    repeated(Code::CrashLoop, format!("{who} exits with {}", exit(code)))
}

/// `1 (error)`, `3`.
fn exit(code: i32) -> String {
    match EXITS.iter().find(|(known, _)| *known == code) {
        Some((_, meaning)) => format!("{code} ({meaning})"),
        None => code.to_string(),
    }
}

fn out_of_memory(container: &ContainerStatus) -> Cause {
    let message = match &container.memory_limit {
        Some(limit) => format!("out of memory: needs more than its limit of {limit}"),
        None => "out of memory: its node has no more".to_owned(),
    };
    Cause { code: Code::OutOfMemory, class: Class::Repeated, message, counts: false }
}

/// The kubelet says who had it killed in an incident only: the exit code is whatever the process makes of a SIGTERM.
fn killed_by(case: &Case<'_>, container: &ContainerStatus, end: &Termination) -> Option<Asked> {
    [Asked::Startup, Asked::Liveness].into_iter().find(|asked| {
        let said = format!("failed {} probe", asked.as_str().to_lowercase());
        let mut kills = case.reported_of(container, &["Killing"]).filter(|incident| incident.message.contains(&said));
        kills.any(|kill| is_of(kill, container, end))
    })
}

/// Whether an incident is about this end: it came while that run went on, or it came at most ends. (Of many events the
/// API stores only some.)
fn is_of(incident: &Incident, container: &ContainerStatus, end: &Termination) -> bool {
    let began = end.started_at.is_none_or(|began| incident.last_at.is_some_and(|last| last >= began));
    began || incident.count.saturating_mul(2) > container.restarts
}

fn probe_kill(case: &Case<'_>, container: &ContainerStatus, asked: Asked) -> Cause {
    let code = if asked == Asked::Startup { Code::StartupFailed } else { Code::LivenessFailed };
    let answer = probe::answer(case, container, asked, None);
    let message = format!("{} is killed by its {} probe: {answer}", named(container), asked.as_str().to_lowercase());
    Cause { code, class: Class::Repeated, message, counts: true }
}

fn hook(container: &ContainerStatus) -> Cause {
    let message = format!("postStart hook of {} fails", named(container));
    Cause { code: Code::PostStartFailed, class: Class::Repeated, message, counts: false }
}

/// The runtime could not start the command.
fn not_started(container: &ContainerStatus, message: &str) -> Cause {
    let who = named(container);
    let why = without_layers(message);
    if why.contains("exec format error") {
        let message = format!("{who} cannot be run: its image is built for another kind of processor");
        return Cause { code: Code::CommandFailed, class: Class::Repeated, message, counts: false };
    }
    let command = text::between(why, "exec: \"", "\"");
    if let Some(command) = command
        && let Some((_, why)) = COMMAND.iter().find(|(said, _)| why.contains(said))
    {
        let message = format!("{who} cannot run \"{command}\": {why}");
        return Cause { code: Code::CommandFailed, class: Class::Fatal, message, counts: false };
    }
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let message = format!("{who} does not start{why}");
    Cause { code: Code::ContainerStart, class: Class::Repeated, message, counts: false }
}

/// Why a command cannot be run, as the runtimes say it.
const COMMAND: [(&str, &str); 4] = [
    ("executable file not found", "no such command in the image"),
    ("no such file or directory", "no such command in the image"),
    ("permission denied", "permission denied"),
    ("is a directory", "it is a directory"),
];

/// Since when it fails: the first back-off that was reported, else the run that ended last. (Containers that never started
/// are given the epoch.)
fn began(case: &Case<'_>, container: &ContainerStatus, end: &Termination) -> Option<Timestamp> {
    let is_real = |at: &Timestamp| *at > Timestamp::UNIX_EPOCH;
    let run = end.started_at.filter(is_real).or(end.finished_at.filter(is_real)).or(case.pod.created_at);
    pod::first(case.reported_of(container, &["BackOff"])).into_iter().chain(run).min()
}
