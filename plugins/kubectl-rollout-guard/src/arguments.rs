//! The command line: as it is typed, and what it means.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use cluster::observe::rollouts::WantedRollouts;
use disruption::{
    model::{InvalidSelector, RolloutKind, Selector},
    outcome::Exit,
    rollout::{
        options::{GuardOptions, OnStall, UndoOn},
        verdict::Limits,
    },
};
use jiff::{SignedDuration, Timestamp};
use plugin::{
    completion::CompletionFlags,
    error::CliError,
    exit,
    values::{self, DryRunFlag, OutputFlag},
    version::VersionFlags,
};

/// Watch rollouts, say why they stall, and bring the last good version back
///
/// Watches deployments, statefulsets and daemonsets until they are rolled out and have stayed good for a while. Says
/// within seconds why a rollout does not proceed. Where the new version is to blame it brings the last good version back
/// and verifies that it serves; where it is not, it says so and changes nothing.
#[derive(Debug, Parser)]
#[command(
    name = "rollout-guard",
    version,
    before_help = EXAMPLES,
    after_help = exit::exit_codes(&EXITS),
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) guard: GuardFlags,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command, and guard the rollouts that it starts
    #[command(before_help = RUN_EXAMPLES)]
    Run(RunFlags),
    /// Look once: how a rollout stands, why, and what an undo would do
    #[command(before_help = STATUS_EXAMPLES)]
    Status(StatusFlags),
    /// The revisions: their images, ready pods and causes, and which of them are good or bad
    #[command(before_help = HISTORY_EXAMPLES)]
    History(HistoryFlags),
    /// Go back to an earlier revision, and verify that it serves
    #[command(before_help = UNDO_EXAMPLES)]
    Undo(UndoFlags),
    /// Print a shell's script for completion, or have kubectl complete this plugin
    #[command(before_help = COMPLETION_EXAMPLES)]
    Completion(CompletionFlags),
    /// Print the version
    #[command(before_help = VERSION_EXAMPLES)]
    Version(VersionFlags),
}

/// Which workloads.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct WorkloadsFlags {
    /// Workloads, as TYPE/NAME or TYPE NAME; a TYPE is deployment, statefulset or daemonset
    #[arg(value_name = "TYPE/NAME")]
    workloads: Vec<String>,

    #[command(flatten)]
    selection: SelectionFlags,
}

/// Workloads by what they have in common.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct SelectionFlags {
    /// Selector (label query) to filter workloads on
    #[arg(short = 'l', long = "selector", value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    selector: String,

    /// All workloads in the namespace, of the TYPE if one is given
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct GuardFlags {
    #[command(flatten)]
    pub(crate) workloads: WorkloadsFlags,
    #[command(flatten)]
    pub(crate) watch: WatchFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlag,
}

/// How rollouts are watched.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct WatchFlags {
    /// How long to watch, all workloads together, zero means without end; a timeout alone never undoes
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = values::duration)]
    timeout: Duration,

    #[command(flatten)]
    proof: ProofFlags,

    /// What to do with a version that is to blame: bring the last good one back, pause the Deployment, or say so
    #[arg(long, value_name = "WHAT", default_value = "undo", value_enum)]
    on_stall: Stall,

    /// How long a complete rollout must stay good: auto (10s where every container has a readiness probe, else 30s), or a
    /// duration
    #[arg(long, value_name = "DURATION", default_value = "auto", value_parser = stable_for)]
    stable_for: StableFor,

    /// What may be undone: a version that is to blame, or any that stalls
    #[arg(long, value_name = "WHAT", default_value = "version", value_enum)]
    undo_on: Undoable,

    /// A URL to request meanwhile, repeatable: its failures count against the new version
    #[arg(long = "probe", value_name = "URL", value_parser = url)]
    probes: Vec<String>,

    /// Watch this revision only: fail if another one is rolled out
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub(crate) revision: i64,

    /// Undo also what another tool manages, which may revert it
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunFlags {
    #[command(flatten)]
    selection: SelectionFlags,

    #[command(flatten)]
    pub(crate) watch: WatchFlags,

    #[command(flatten)]
    pub(crate) output: OutputFlag,

    /// Workloads, then -- and the command
    #[arg(value_name = "TYPE/NAME")]
    workloads: Vec<String>,

    /// The command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StatusFlags {
    #[command(flatten)]
    pub(crate) workloads: WorkloadsFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlag,

    #[command(flatten)]
    proof: ProofFlags,

    /// Look at what `kubectl get deploy,sts,ds,rs,controllerrevisions,pods,events,nodes -o yaml` printed, - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,

    /// With --from-file, the time to look at (RFC 3339); else the file's newest
    #[arg(long, value_name = "TIME", value_parser = values::timestamp, requires = "from_file")]
    pub(crate) now: Option<Timestamp>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct HistoryFlags {
    #[command(flatten)]
    pub(crate) workloads: WorkloadsFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlag,

    /// Show the pod template of this revision
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    revision: i64,

    /// Show what changed in the pod template from revision A to revision B
    #[arg(long, value_name = "A..B", value_parser = revisions, conflicts_with_all = ["revision", "plain", "output"])]
    pub(crate) diff: Option<(i64, i64)>,

    /// Print exactly what `kubectl rollout history` does
    #[arg(long, conflicts_with = "output")]
    pub(crate) plain: bool,

    /// Look at what `kubectl get deploy,sts,ds,rs,controllerrevisions,pods -o yaml` printed, - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,

    /// With --from-file, the time to look at (RFC 3339); else the file's newest
    #[arg(long, value_name = "TIME", value_parser = values::timestamp, requires = "from_file")]
    pub(crate) now: Option<Timestamp>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct UndoFlags {
    #[command(flatten)]
    pub(crate) workloads: WorkloadsFlags,
    #[command(flatten)]
    pub(crate) dry_run: DryRunFlag,
    #[command(flatten)]
    pub(crate) output: OutputFlag,

    /// The revision to go back to, zero means the last good one
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    to_revision: i64,

    /// Why, for the history (kubernetes.io/change-cause)
    #[arg(long, value_name = "TEXT")]
    change_cause: Option<String>,

    /// Return when the server has accepted it, without verifying that it serves
    #[arg(long)]
    pub(crate) no_wait: bool,

    #[command(flatten)]
    verify: VerifyFlags,

    /// Undo also what another tool manages, which may revert it
    #[arg(long)]
    pub(crate) force: bool,
}

/// How an undo is verified.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub(crate) struct VerifyFlags {
    /// How long until it must be verified, all workloads together, zero means without end; what is not by then stays as
    /// it is
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = values::duration)]
    timeout: Duration,

    /// How long a complete rollout must stay good: auto (10s where every container has a readiness probe, else 30s), or a
    /// duration
    #[arg(long, value_name = "DURATION", default_value = "auto", value_parser = stable_for)]
    stable_for: StableFor,

    #[command(flatten)]
    proof: ProofFlags,

    /// A URL that must answer, repeatable
    #[arg(long = "probe", value_name = "URL", value_parser = url)]
    probes: Vec<String>,
}

/// How much is proof against a version.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
struct ProofFlags {
    /// How long a version in which something fails may go without progress. One whose pods are merely not ready yet has
    /// its progress deadline, or its probes' window if that is longer
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = values::duration)]
    stall_timeout: Duration,

    /// How often a container may fail before its version counts as bad
    #[arg(long, value_name = "COUNT", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    max_restarts: u32,
}

/// `--on-stall`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stall {
    Undo,
    Pause,
    Report,
}

/// `--undo-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Undoable {
    Version,
    Any,
}

/// `--stable-for`: none is auto.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StableFor(Option<Duration>);

fn stable_for(text: &str) -> Result<StableFor, String> {
    if text == "auto" { Ok(StableFor(None)) } else { values::duration(text).map(|time| StableFor(Some(time))) }
}

fn revisions(text: &str) -> Result<(i64, i64), String> {
    let number = |text: &str| text.parse().ok().filter(|number: &i64| *number > 0);
    let both = text.split_once("..").and_then(|(from, to)| Some((number(from)?, number(to)?)));
    both.ok_or_else(|| format!("{text:?} does not name two revisions, as in 2..3"))
}

fn url(text: &str) -> Result<String, String> {
    let has_host = text
        .split_once("://")
        .is_some_and(|(scheme, rest)| matches!(scheme, "http" | "https") && !rest.is_empty() && !rest.starts_with('/'));
    if has_host { Ok(text.to_owned()) } else { Err(format!("{text:?} is not a URL such as http://shop.example.com/")) }
}

impl Arguments {
    /// Flags of a watch before a command would say nothing: they belong behind it.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        let nothing = Self::parse_from([""]).guard;
        if self.command.is_none() || self.guard == nothing {
            return Ok(());
        }
        Err(CliError::usage("workloads and flags of a command go behind it, as in status deployment/web"))
    }
}

impl WorkloadsFlags {
    /// The workloads that are meant.
    pub(crate) fn resolve(&self) -> Result<WantedRollouts, CliError> {
        wanted(&self.workloads, &self.selection, None)
    }

    /// The same; all there are if none was named.
    pub(crate) fn resolve_or_everything(&self) -> Result<WantedRollouts, CliError> {
        wanted(&self.workloads, &self.selection, Some(everything()))
    }
}

impl RunFlags {
    /// The workloads that the command may change; all of the namespace if none was named.
    pub(crate) fn resolve(&self) -> Result<WantedRollouts, CliError> {
        wanted(&self.workloads, &self.selection, Some(everything()))
    }

    /// The same as words of a command line.
    pub(crate) fn selection(&self) -> String {
        let SelectionFlags { selector, all: _ } = &self.selection;
        let selector = Some(selector).filter(|selector| !selector.is_empty());
        let words = self.workloads.iter().cloned().chain(selector.map(|selector| format!("-l '{selector}'")));
        Some(words.collect::<Vec<_>>().join(" ")).filter(|words| !words.is_empty()).unwrap_or("--all".to_owned())
    }
}

impl WatchFlags {
    pub(crate) fn options(&self) -> GuardOptions {
        GuardOptions {
            limits: self.proof.limits(self.stable_for),
            timeout: deadline(self.timeout),
            on_stall: match self.on_stall {
                Stall::Undo => OnStall::Undo,
                Stall::Pause => OnStall::Pause,
                Stall::Report => OnStall::Report,
            },
            undo_on: match self.undo_on {
                Undoable::Version => UndoOn::Version,
                Undoable::Any => UndoOn::Any,
            },
            to_revision: None,
            probes: self.probes.clone(),
            change_cause: None,
        }
    }

    /// The only revision to be watched.
    pub(crate) fn wanted_revision(&self) -> Result<Option<i64>, CliError> {
        positive(self.revision)
    }
}

impl StatusFlags {
    pub(crate) fn limits(&self) -> Limits {
        self.proof.limits(StableFor(None))
    }
}

impl HistoryFlags {
    /// The only revision to be shown.
    pub(crate) fn wanted_revision(&self) -> Result<Option<i64>, CliError> {
        positive(self.revision)
    }

    /// What counts as good: as a watch without flags has it.
    pub(crate) fn limits() -> Limits {
        Arguments::parse_from([""]).guard.watch.options().limits
    }
}

impl UndoFlags {
    pub(crate) fn options(&self) -> GuardOptions {
        let VerifyFlags { timeout, stable_for, proof, probes } = &self.verify;
        GuardOptions {
            limits: proof.limits(*stable_for),
            timeout: deadline(*timeout),
            on_stall: OnStall::Undo,
            undo_on: UndoOn::Any,
            to_revision: Some(self.to_revision).filter(|number| *number != 0),
            probes: probes.clone(),
            change_cause: self.change_cause.clone(),
        }
    }
}

impl ProofFlags {
    fn limits(&self, StableFor(stable_for): StableFor) -> Limits {
        let Self { stall_timeout, max_restarts } = self;
        Limits { stall: signed(*stall_timeout), max_restarts: *max_restarts, stable_for: stable_for.map(signed) }
    }
}

/// The number of a revision; 0 stands for none.
fn positive(number: i64) -> Result<Option<i64>, CliError> {
    match number {
        0 => Ok(None),
        number if number < 0 => Err(CliError::new(format!("revision must be a positive integer: {number}"))),
        number => Ok(Some(number)),
    }
}

/// A deadline; zero stands for none.
fn deadline(timeout: Duration) -> Option<SignedDuration> {
    Some(timeout).filter(|timeout| !timeout.is_zero()).map(signed)
}

/// Go's durations end after 292 years.
fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn everything() -> WantedRollouts {
    WantedRollouts::Selected { kinds: RolloutKind::ALL.to_vec(), labels: Selector::default() }
}

/// The workloads that words name.
pub(crate) fn named_by(words: &[String]) -> Result<WantedRollouts, CliError> {
    wanted(words, &SelectionFlags { selector: String::new(), all: false }, None)
}

/// The workloads that are meant, by kubectl's rules for TYPE/NAME and TYPE NAME (`resource.Builder`).
fn wanted(
    workloads: &[String],
    selection: &SelectionFlags,
    otherwise: Option<WantedRollouts>,
) -> Result<WantedRollouts, CliError> {
    let labels: Selector =
        selection.selector.parse().map_err(|invalid: InvalidSelector| CliError::new(invalid.to_string()))?;
    let is_selection = selection.all || !labels.is_empty();
    if selection.all && !labels.is_empty() {
        return Err(CliError::usage("cannot set --all and --selector at the same time"));
    }
    let slashes = workloads.iter().filter(|argument| argument.contains('/')).count();
    if slashes > 0 && slashes < workloads.len() {
        return Err(CliError::new(
            "there is no need to specify a resource type as a separate argument when passing arguments in \
             resource/name form (e.g. 'rollout-guard deployment/web' instead of 'rollout-guard deployment deployment/web')",
        ));
    }
    if slashes > 0 {
        if is_selection {
            return Err(CliError::usage("name cannot be provided when a selector is specified"));
        }
        return workloads.iter().map(|argument| named(argument)).collect::<Result<_, _>>().map(WantedRollouts::Named);
    }
    match (workloads, is_selection, otherwise) {
        ([], true, _) => Ok(WantedRollouts::Selected { kinds: RolloutKind::ALL.to_vec(), labels }),
        ([], false, Some(otherwise)) => Ok(otherwise),
        ([], false, None) => Err(CliError::usage("required resource not specified")
            .hint("name one, as in deployment/web, or select some with -l app=web or --all")),
        ([types], true, _) => {
            Ok(WantedRollouts::Selected { kinds: types.split(',').map(kind).collect::<Result<_, _>>()?, labels })
        }
        ([types], false, _) => {
            kind(types.split(',').next().unwrap_or_default())
                .map_err(|error| error.hint(format!("a name goes behind its TYPE, as in deployment/{types}")))?;
            Err(CliError::usage(format!(
                "resource(s) were provided, but no name was specified: {types} needs a NAME, -l or --all"
            )))
        }
        (_, true, _) => Err(CliError::usage("name cannot be provided when a selector is specified")),
        ([types, names @ ..], false, _) => {
            let kinds = types.split(',').map(kind).collect::<Result<Vec<_>, _>>()?;
            let mut all = Vec::new();
            for kind in kinds {
                for name in names {
                    all.push((kind, valid_name(name)?));
                }
            }
            Ok(WantedRollouts::Named(all))
        }
    }
}

/// TYPE/NAME.
fn named(argument: &str) -> Result<(RolloutKind, String), CliError> {
    let (of, name) = argument.split_once('/').unwrap_or_default();
    if name.contains('/') {
        return Err(CliError::new("arguments in resource/name form may not have more than one slash"));
    }
    if of.is_empty() || name.is_empty() {
        return Err(CliError::new("arguments in resource/name form must have a single resource and name"));
    }
    Ok((kind(of)?, valid_name(name)?))
}

/// A kind by all its names: singular, plural, short, with version and group.
pub(crate) fn kind(text: &str) -> Result<RolloutKind, CliError> {
    let lower = text.to_lowercase();
    let word = lower.strip_suffix(".apps").map_or(lower.as_str(), |word| word.strip_suffix(".v1").unwrap_or(word));
    match word {
        "deployment" | "deployments" | "deploy" => Ok(RolloutKind::Deployment),
        "statefulset" | "statefulsets" | "sts" => Ok(RolloutKind::StatefulSet),
        "daemonset" | "daemonsets" | "ds" => Ok(RolloutKind::DaemonSet),
        _ => {
            let error =
                CliError::new(format!("{text:?} is not a kind that rolls out: deployment, statefulset or daemonset"));
            Err(if COMMANDS.contains(&word) {
                error.hint(format!("{word} is a command here, which goes first"))
            } else {
                error
            })
        }
    }
}

/// The longest name of an object: a DNS subdomain.
const MAX_NAME: usize = 253;

fn valid_name(name: &str) -> Result<String, CliError> {
    let is_valid = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'));
    if is_valid {
        Ok(name.to_owned())
    } else {
        Err(CliError::new(format!("{name:?} is not a valid name: lower case letters, digits, '-' and '.'")))
    }
}

/// Words that are commands when they stand first.
const COMMANDS: [&str; 7] = ["run", "status", "history", "undo", "completion", "version", "help"];

/// The codes that this program exits with.
const EXITS: [Exit; 10] = [
    Exit::Done,
    Exit::Error,
    Exit::Refused,
    Exit::Unfinished,
    Exit::Undone,
    Exit::UndoUnverified,
    Exit::NotUndone,
    Exit::Superseded,
    Exit::Forbidden,
    Exit::Interrupted,
];

const EXAMPLES: &str = "  # Watch a rollout, undo it if its version is to blame
  kubectl rollout-guard deployment/web

  # Change something, and guard what that changes
  kubectl rollout-guard run -- kubectl set image deployment/web web=shop/web:2

  # Everything of a release, ten minutes at most, while a URL is requested
  kubectl rollout-guard -l release=shop --timeout 10m --probe http://shop.test/

  # Look once: why does it hang, and what would an undo do?
  kubectl rollout-guard status deployment/web

  # Go back to the last good version
  kubectl rollout-guard undo deployment/web";

const RUN_EXAMPLES: &str = "  # Set an image, and undo it if it doesn't come up
  kubectl rollout-guard run -- kubectl set image deployment/web web=shop/web:2

  # Guard some workloads of what is applied, and only say what is wrong
  kubectl rollout-guard run -l tier=front --on-stall report -- kubectl apply -f shop.yaml

  # Upgrade a release within ten minutes, for a pipeline
  kubectl rollout-guard run -n shop --timeout 10m -o json -- helm upgrade shop ./chart";

const STATUS_EXAMPLES: &str = "  # Why does it hang, and what would an undo do?
  kubectl rollout-guard status deployment/web

  # All statefulsets of a namespace, for a program
  kubectl rollout-guard status statefulset --all -n shop -o json

  # From a file, without a cluster
  kubectl rollout-guard status --from-file rollout.yaml";

const HISTORY_EXAMPLES: &str = "  # Which revisions are there, and which of them are good?
  kubectl rollout-guard history deployment/web

  # The pod template of one of them
  kubectl rollout-guard history deployment/web --revision 2

  # What changed between two of them
  kubectl rollout-guard history deployment/web --diff 2..3";

const UNDO_EXAMPLES: &str = "  # Show what going back to the last good version would change
  kubectl rollout-guard undo deployment/web --dry-run

  # Go back to it
  kubectl rollout-guard undo deployment/web

  # Go back to a certain revision, and say why
  kubectl rollout-guard undo deployment/web --to-revision 3 --change-cause 'back before the sale'";

const COMPLETION_EXAMPLES: &str = "  # Have kubectl complete the plugin, in any shell that completes kubectl
  kubectl rollout-guard completion --install

  # Complete kubectl-rollout_guard itself in this bash
  source <(kubectl-rollout_guard completion bash)";

const VERSION_EXAMPLES: &str = "  # Print the version, for a program
  kubectl rollout-guard version -o json";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &str) -> Result<String, String> {
        let words = args.split(' ').filter(|word| !word.is_empty());
        let parsed =
            Arguments::try_parse_from(["rollout-guard"].into_iter().chain(words)).map_err(|error| error.to_string())?;
        match parsed.guard.workloads.resolve().map_err(|error| error.message)? {
            WantedRollouts::Named(named) => {
                Ok(named.iter().map(|(kind, name)| format!("{}/{name}", kind.singular())).collect::<Vec<_>>().join(" "))
            }
            WantedRollouts::Selected { kinds, labels } => {
                Ok(format!("{} where {labels}", kinds.iter().map(|kind| kind.plural()).collect::<Vec<_>>().join(",")))
            }
        }
    }

    #[test]
    fn workloads_as_kubectl_takes_them() {
        #[track_caller]
        fn check(args: &str, expected: &str) {
            assert_eq!(parse(args).as_deref(), Ok(expected), "{args}");
        }
        #[track_caller]
        fn refuse(args: &str, expected: &str) {
            let error = parse(args).unwrap_err();
            assert!(error.starts_with(expected), "{args}: {error}");
        }
        check("deployment/web", "deployment/web");
        check("deploy/web sts/db daemonsets.apps/agent", "deployment/web statefulset/db daemonset/agent");
        check("deployment web api", "deployment/web deployment/api");
        check("deploy,sts web", "deployment/web statefulset/web");
        check("Deployments.v1.apps/web", "deployment/web");
        check("-l app=web", "deployments,statefulsets,daemonsets where app=web");
        check("deploy -l app=web", "deployments where app=web");
        check("deploy,ds --all", "deployments,daemonsets where ");
        refuse("", "required resource not specified");
        refuse("web", "\"web\" is not a kind that rolls out");
        assert_eq!(
            named_by(&["web".to_owned()]).unwrap_err().hints,
            ["a name goes behind its TYPE, as in deployment/web"]
        );
        refuse("pod/web", "\"pod\" is not a kind that rolls out");
        refuse("deployment", "resource(s) were provided, but no name was specified");
        refuse("deployment deployment/web", "there is no need to specify a resource type");
        refuse("deployment/web/x", "arguments in resource/name form may not have more than one slash");
        refuse("deployment/", "arguments in resource/name form must have a single resource and name");
        refuse("deployment/web -l app=web", "name cannot be provided when a selector is specified");
        refuse("deployment/WEB", "\"WEB\" is not a valid name");
        refuse("--all -l app=web", "cannot set --all and --selector at the same time");
    }
}
