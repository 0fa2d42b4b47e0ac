//! The command line: as it is typed, and what it means.

use std::{
    num::{NonZeroU16, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use cluster::observe::{Chunks, WantedNodes};
use disruption::{
    drain::options::{Execution, MaxUnavailable, OnBlocked, OnFailure, Options},
    model::{InvalidSelector, NodeName, Selector},
    outcome::Exit,
};
use jiff::Timestamp;
use plugin::{
    completion::CompletionFlags,
    error::CliError,
    exit,
    values::{self, DryRunFlag, OutputFlag},
    version::VersionFlags,
};

/// Empty nodes for maintenance without breaking what runs on them
///
/// Looks first at what will move, in which order, what a disruption budget forbids and why, and begins nothing that
/// cannot end. Then it cordons, evicts as the budgets allow, and waits until what it moved runs elsewhere. Takes the
/// flags of kubectl drain.
#[derive(Debug, Parser)]
#[command(
    name = "safe-drain",
    version,
    before_help = EXAMPLES,
    after_help = exit::exit_codes(&EXITS),
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) drain: DrainFlags,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a drain would do, from a live cluster or a file
    #[command(before_help = PLAN_EXAMPLES)]
    Plan(DrainFlags),
    /// Mark nodes as unschedulable
    #[command(before_help = CORDON_EXAMPLES)]
    Cordon(CordonFlags),
    /// Mark nodes as schedulable
    #[command(before_help = UNCORDON_EXAMPLES)]
    Uncordon(CordonFlags),
    /// Show which nodes are cordoned, by whom and why, and whether a drain works on them
    #[command(before_help = STATUS_EXAMPLES)]
    Status(StatusFlags),
    /// Take back what drains have left behind that were killed
    #[command(before_help = REPAIR_EXAMPLES)]
    Repair(RepairFlags),
    /// Print a shell's script for completion, or have kubectl complete this plugin
    #[command(before_help = COMPLETION_EXAMPLES)]
    Completion(CompletionFlags),
    /// Print the version
    #[command(before_help = VERSION_EXAMPLES)]
    Version(VersionFlags),
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[expect(clippy::struct_excessive_bools, reason = "kubectl's flags are what they are")]
pub(crate) struct DrainFlags {
    #[command(flatten)]
    pub(crate) nodes: NodesFlags,

    #[command(flatten)]
    pub(crate) dry_run: DryRunFlag,

    #[command(flatten)]
    pub(crate) output: OutputFlag,

    /// Continue even if there are pods that do not declare a controller
    #[arg(long)]
    force: bool,

    /// Ignore DaemonSet-managed pods
    #[arg(long)]
    ignore_daemonsets: bool,

    /// Continue even if there are pods using emptyDir (local data that will be deleted when the node is drained)
    #[arg(long)]
    delete_emptydir_data: bool,

    /// Seconds for each pod to terminate gracefully; negative means the pod's own value
    #[arg(long, value_name = "SECONDS", default_value_t = -1)]
    grace_period: i64,

    /// How long to wait before giving up on a node, zero means infinite
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = values::duration)]
    timeout: Duration,

    /// Label selector to filter pods on the node
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    pod_selector: String,

    /// Delete pods instead of evicting them, which bypasses their disruption budgets
    #[arg(long)]
    disable_eviction: bool,

    /// Skip pods whose deletion timestamp lies more than this many seconds back; zero never skips
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    skip_wait_for_delete_timeout: i64,

    /// Return large lists in chunks of this many objects, zero means all at once
    #[arg(long, value_name = "COUNT")]
    chunk_size: Option<i64>,

    /// How many Ready pods of a workload without a disruption budget may be missing at once: auto (what its own rolling
    /// update would take), a count, a percentage (of which at least 1), or unlimited (kubectl's way)
    #[arg(long, value_name = "LIMIT", default_value = "auto", value_parser = max_unavailable)]
    max_unavailable: MaxUnavailable,

    /// How many eviction requests may be under way at once
    #[arg(long, value_name = "COUNT", default_value = "10")]
    concurrency: NonZeroU16,

    /// How many nodes are emptied at once, zero means all of them; all are cordoned first in any case
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    parallel: u16,

    /// How long to wait before giving up on the whole command, zero means infinite
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = values::duration)]
    deadline: Duration,

    /// How long a workload may take to get its Ready pods back after one has left, zero means infinite
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = values::duration)]
    replacement_timeout: Duration,

    /// What to do with a node that has pods which their disruption budgets can never let go: refuse to begin, or wait
    /// until somebody changes the budgets while the other pods go
    #[arg(long, value_name = "WHAT", default_value = "refuse", value_enum)]
    on_blocked: Blocked,

    /// What to do with the cordon of a node that could not be emptied: auto takes it back if no pod has left
    #[arg(long, value_name = "WHAT", default_value = "auto", value_enum)]
    on_failure: Failure,

    /// Why the node is drained, for others who look at it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,

    /// Also nodes that another drain works on, which then stops
    #[arg(long)]
    take_over: bool,

    /// Plan from what `kubectl get nodes,pods,pdb,deploy,rs,rc,sts,ds,jobs -A -o yaml` printed, - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,

    /// With --from-file, the time to plan for (RFC 3339); else the file's newest
    #[arg(long, value_name = "TIME", value_parser = values::timestamp, requires = "from_file")]
    pub(crate) now: Option<Timestamp>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct CordonFlags {
    #[command(flatten)]
    pub(crate) nodes: NodesFlags,
    #[command(flatten)]
    pub(crate) dry_run: DryRunFlag,
    #[command(flatten)]
    pub(crate) output: OutputFlag,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StatusFlags {
    #[command(flatten)]
    pub(crate) nodes: NodesFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlag,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RepairFlags {
    #[command(flatten)]
    pub(crate) nodes: NodesFlags,
    #[command(flatten)]
    pub(crate) dry_run: DryRunFlag,
    #[command(flatten)]
    pub(crate) output: OutputFlag,
}

/// `--on-blocked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Blocked {
    Refuse,
    Wait,
}

/// `--on-failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Failure {
    Auto,
    Uncordon,
    Keep,
}

/// Which nodes: by name or by selector.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct NodesFlags {
    /// Nodes, as NAME or node/NAME
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,

    /// Selector (label query) to filter nodes on
    #[arg(short = 'l', long = "selector", value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    selector: String,
}

/// What a drain was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) nodes: WantedNodes,
    pub(crate) options: Options,
    pub(crate) execution: Execution,
    pub(crate) chunks: Chunks,
}

impl Arguments {
    /// Flags of a drain before a command would say nothing: they belong behind it.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        let nothing = Self::parse_from([""]).drain;
        if self.command.is_none() || self.drain == nothing {
            return Ok(());
        }
        Err(CliError::usage("nodes and flags of a command go behind it, as in plan NODE --force"))
    }
}

impl DrainFlags {
    pub(crate) fn resolve(&self) -> Result<Request, CliError> {
        let pod_selector = selector(&self.pod_selector).map_err(|invalid| {
            CliError::new("--pod-selector=<pod_selector> must be a valid label selector").hint(invalid.to_string())
        })?;
        let seconds = |seconds: i64| Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        Ok(Request {
            nodes: self.nodes.resolve("safe-drain NODE")?,
            options: Options {
                force: self.force,
                ignore_daemonsets: self.ignore_daemonsets,
                delete_emptydir_data: self.delete_emptydir_data,
                grace_period_seconds: grace_period(self.grace_period)?,
                timeout: Some(self.timeout).filter(|timeout| !timeout.is_zero()),
                pod_selector: (!pod_selector.is_empty()).then_some(pod_selector),
                disable_eviction: self.disable_eviction,
                skip_wait_for_delete_timeout: Some(seconds(self.skip_wait_for_delete_timeout))
                    .filter(|timeout| !timeout.is_zero()),
                max_unavailable: self.max_unavailable,
            },
            execution: Execution {
                concurrency: self.concurrency.into(),
                parallel: NonZeroUsize::new(self.parallel.into()),
                deadline: Some(self.deadline).filter(|limit| !limit.is_zero()),
                replacement_timeout: Some(self.replacement_timeout).filter(|limit| !limit.is_zero()),
                on_blocked: match self.on_blocked {
                    Blocked::Refuse => OnBlocked::Refuse,
                    Blocked::Wait => OnBlocked::Wait,
                },
                on_failure: match self.on_failure {
                    Failure::Auto => OnFailure::Auto,
                    Failure::Uncordon => OnFailure::Uncordon,
                    Failure::Keep => OnFailure::Keep,
                },
                take_over: self.take_over,
            },
            chunks: match self.chunk_size {
                None => Chunks::Growing,
                Some(0) => Chunks::Whole,
                Some(size) => Chunks::Of(
                    u32::try_from(size)
                        .map_err(|_| CliError::new("--chunk-size must be zero or a count of objects"))?,
                ),
            },
        })
    }
}

impl NodesFlags {
    /// The nodes that were named, once each; all of them if none was.
    pub(crate) fn resolve_or_all(&self) -> Result<WantedNodes, CliError> {
        if self.nodes.is_empty() && self.selector.trim().is_empty() {
            return Ok(WantedNodes::Selected(Selector::default()));
        }
        self.resolve("safe-drain status")
    }

    /// The nodes that were named, once each. `usage` is the command as its usage line shows it.
    pub(crate) fn resolve(&self, usage: &str) -> Result<WantedNodes, CliError> {
        let selector = selector(&self.selector).map_err(|invalid| CliError::new(invalid.to_string()))?;
        match (self.nodes.as_slice(), selector.is_empty()) {
            ([], true) => Err(CliError::usage(format!("USAGE: {usage} [flags]"))),
            ([], false) => Ok(WantedNodes::Selected(selector)),
            (_, false) => Err(CliError::usage("cannot specify both a node name and a --selector option")),
            (names, true) => {
                let mut nodes: Vec<NodeName> = Vec::new();
                for name in names {
                    let node = node_name(name)?;
                    if nodes.contains(&node) {
                        return Err(CliError::new(format!("node {:?} is named twice", node.0)));
                    }
                    nodes.push(node);
                }
                Ok(WantedNodes::Named(nodes))
            }
        }
    }
}

fn node_name(argument: &str) -> Result<NodeName, CliError> {
    let name = match argument.split_once('/') {
        None => argument,
        Some((_, name)) if name.contains('/') => {
            return Err(CliError::new("arguments in resource/name form may not have more than one slash"));
        }
        Some(("node" | "nodes" | "no", name)) => name,
        Some((kind, _)) => return Err(CliError::new(format!("expected resource of type node, got {kind:?}"))),
    };
    if argument == name && COMMANDS.contains(&name) {
        return Err(CliError::new(format!("{name:?} is a command here, which goes first"))
            .hint(format!("write node/{name} for a node that is called so")));
    }
    let is_valid = !name.is_empty()
        && name.len() <= MAX_NODE_NAME
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    if is_valid {
        Ok(NodeName(name.to_owned()))
    } else {
        Err(CliError::new(format!("{name:?} is not a valid node name: lower case letters, digits, '-' and '.'")))
    }
}

/// Words that are commands when they stand first, so they are no bare names of nodes.
pub(crate) const COMMANDS: [&str; 8] =
    ["plan", "cordon", "uncordon", "status", "repair", "completion", "version", "help"];

/// The longest name of a node: a DNS subdomain.
const MAX_NODE_NAME: usize = 253;

fn selector(text: &str) -> Result<Selector, InvalidSelector> {
    text.parse()
}

fn grace_period(seconds: i64) -> Result<Option<u32>, CliError> {
    match u32::try_from(seconds) {
        Ok(seconds) => Ok(Some(seconds)),
        Err(_) if seconds < 0 => Ok(None),
        Err(_) => Err(CliError::new(format!("--grace-period={seconds} is longer than a century"))),
    }
}

fn max_unavailable(text: &str) -> Result<MaxUnavailable, String> {
    match text {
        "0" | "0%" => Err("with 0 no pod could ever go".to_owned()),
        "auto" => Ok(MaxUnavailable::Auto),
        "unlimited" => Ok(MaxUnavailable::Unlimited),
        _ => text
            .parse()
            .map(MaxUnavailable::Value)
            .map_err(|_| format!("{text:?} is none of auto, a count such as 2, a percentage such as 25%, unlimited")),
    }
}

/// The exit codes that this plugin ends with.
const EXITS: [Exit; 9] = [
    Exit::Done,
    Exit::Error,
    Exit::Refused,
    Exit::Blocked,
    Exit::NoRoom,
    Exit::Unfinished,
    Exit::Superseded,
    Exit::Forbidden,
    Exit::Interrupted,
];

const EXAMPLES: &str = "  # Show what draining a node would do
  kubectl safe-drain worker-3 --dry-run

  # Drain it, and say why for others who look
  kubectl safe-drain worker-3 --ignore-daemonsets --reason 'disk swap'

  # Drain a pool within an hour, for a pipeline
  kubectl safe-drain -l pool=old --ignore-daemonsets --deadline 1h -o json

  # Who cordoned what, and what a killed drain has left behind
  kubectl safe-drain status
  kubectl safe-drain repair";

const PLAN_EXAMPLES: &str = "  # Show what draining a node would do
  kubectl safe-drain plan worker-3

  # Ask the server too: webhooks, quotas and budgets answer as they would
  kubectl safe-drain plan worker-3 --dry-run=server --ignore-daemonsets

  # Plan all nodes of a pool as one drain, for a pipeline
  kubectl safe-drain plan -l pool=old --ignore-daemonsets -o json

  # Plan from a file, without a cluster
  kubectl safe-drain plan worker-3 --from-file cluster.yaml";

const CORDON_EXAMPLES: &str = "  # Mark a node as unschedulable
  kubectl safe-drain cordon worker-3

  # Ask the server what it would say for each node of a pool
  kubectl safe-drain cordon -l pool=old --dry-run=server";

const UNCORDON_EXAMPLES: &str = "  # Mark a node as schedulable
  kubectl safe-drain uncordon worker-3";

const STATUS_EXAMPLES: &str = "  # Which nodes are cordoned, by whom and why
  kubectl safe-drain status

  # The same of a pool, for a program
  kubectl safe-drain status -l pool=old -o json";

const REPAIR_EXAMPLES: &str = "  # Show what killed drains have left behind
  kubectl safe-drain repair --dry-run

  # Take back the cordon of one of them
  kubectl safe-drain repair worker-3";

const COMPLETION_EXAMPLES: &str = "  # Have kubectl complete the plugin, in any shell that completes kubectl
  kubectl safe-drain completion --install

  # Complete kubectl-safe_drain itself in this bash
  source <(kubectl-safe_drain completion bash)";

const VERSION_EXAMPLES: &str = "  # Print the version, for a program
  kubectl safe-drain version -o json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_as_kubectl_takes_them() {
        #[track_caller]
        fn check(argument: &str, expected: Result<&str, &str>) {
            let name = node_name(argument).map(|name| name.0).map_err(|error| error.message);
            assert_eq!(name, expected.map(str::to_owned).map_err(str::to_owned), "{argument}");
        }
        check("worker-3", Ok("worker-3"));
        check("node/worker-3", Ok("worker-3"));
        check("nodes/a.example.com", Ok("a.example.com"));
        check("node/plan", Ok("plan"));
        check("plan", Err("\"plan\" is a command here, which goes first"));
        check("pod/web", Err("expected resource of type node, got \"pod\""));
        check("node/a/b", Err("arguments in resource/name form may not have more than one slash"));
        check("", Err("\"\" is not a valid node name: lower case letters, digits, '-' and '.'"));
        check("node/..\u{1b}", Err("\"..\\u{1b}\" is not a valid node name: lower case letters, digits, '-' and '.'"));
    }

    #[test]
    fn flags_before_a_command() {
        #[track_caller]
        fn check(args: &str, command: &str, accepted: bool) {
            let parsed = Arguments::try_parse_from(args.split(' ')).unwrap();
            let name = parsed.command.as_ref().map_or("drain", |command| match command {
                Command::Plan(_) => "plan",
                Command::Cordon(_) => "cordon",
                Command::Uncordon(_) => "uncordon",
                Command::Status(_) => "status",
                Command::Repair(_) => "repair",
                Command::Completion(_) => "completion",
                Command::Version(_) => "version",
            });
            assert_eq!((name, parsed.check().is_ok()), (command, accepted), "{args}");
        }
        check("safe-drain n", "drain", true);
        check("safe-drain --force n", "drain", true);
        check("safe-drain plan n --force", "plan", true);
        check("safe-drain uncordon n", "uncordon", true);
        check("safe-drain --force plan n", "plan", false);
        check("safe-drain --dry-run cordon n", "cordon", false);
        check("safe-drain -o json version", "version", false);
    }

    #[test]
    fn grace_periods() {
        assert_eq!(grace_period(-1).unwrap(), None);
        assert_eq!(grace_period(0).unwrap(), Some(0));
        assert_eq!(grace_period(30).unwrap(), Some(30));
        assert!(grace_period(i64::MAX).is_err());
    }
}
