//! What is completed where, without a cluster.

use std::time::Instant;

use clap::ValueEnum;

use super::*;
use crate::completion::CompletionFlags;
use crate::values::{DryRunFlag, OutputFlag};

/// Do the thing
#[derive(Debug, Parser)]
#[command(name = "do-it", version = "1.2.3")]
struct Cli {
    /// What to do it to
    things: Vec<String>,
    /// Do it anyway
    #[arg(short, long)]
    force: bool,
    /// How long to try
    #[arg(long, value_name = "DURATION", default_value = "0")]
    timeout: String,
    /// What to do about it
    #[arg(long, default_value = "undo")]
    on_stall: Stall,
    /// Which things
    #[arg(short = 'l', long)]
    selector: Option<String>,
    /// What to ask, repeatable
    #[arg(long)]
    probe: Vec<String>,
    /// From a file
    #[arg(long)]
    from_file: Option<std::path::PathBuf>,
    #[command(flatten)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    output: OutputFlag,
    #[command(subcommand)]
    command: Option<Subcommand>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Stall {
    Undo,
    Report,
}

#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Only say what would be done
    Plan {
        things: Vec<String>,
        /// Say all of it
        #[arg(long)]
        all: bool,
    },
    /// Run a command
    Run {
        things: Vec<String>,
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Print a script
    Completion(CompletionFlags),
}

/// What is offered where the cluster is asked: what it was asked for.
async fn echo(line: Line) -> Result<Answer, CliError> {
    let Line { command, argument, words, .. } = &line;
    let namespace = line.connect_options()?.namespace.unwrap_or_default();
    let said = format!("{}:{argument}:{}:{namespace}", command.as_deref().unwrap_or_default(), words.join("+"));
    Ok(vec![Candidate::new(line.typed.clone() + "@" + &said, "")].into())
}

/// The values and the directive that are offered behind these words; `_` stands for an empty one.
fn offered(words: &str) -> String {
    let words: Vec<String> = words.split_whitespace().map(|word| word.replace('_', "")).collect();
    let answer = answer(&cli::command::<Cli>(), &words, echo);
    let values: Vec<_> = answer.lines().map(|line| line.split('\t').next().unwrap_or_default()).collect();
    values.join(" ")
}

#[test]
fn what_is_completed_where() {
    #[track_caller]
    fn check(words: &str, expected: &str) {
        assert_eq!(offered(words), expected, "{words}");
    }
    // Words: commands first, then things; more of them, but no commands behind a thing or a flag.
    check("_", "plan run completion @:things:: :4");
    check("pl", "plan pl@:things:: :4");
    check("a _", "@:things:a: :4");
    check("--force _", "@:things:: :4");
    check("-n shop _", "plan run completion @:things::shop :4");
    check("plan _", "@plan:things:: :4");
    check("plan a b c", "c@plan:things:a+b: :4");
    check("plan plan p", "p@plan:things:plan: :4");
    check("-- _", "@:things:: :4");
    check("-- -x", "-x@:things:: :4");
    check("completion _", "bash zsh fish @completion:shell:: :4");
    check("completion z", "zsh z@completion:shell:: :4");
    check("completion zsh _", ":4");
    check("", "plan run completion @:things:: :4");

    // Whose help: a command, and nothing more.
    check("help _", "plan run completion :4");
    check("-n shop help pl", "plan :4");
    check("help plan _", ":4");
    check("plan help _", "@plan:things:help: :4");
    check("a help _", "@:things:a+help: :4");

    // Another program's words.
    check("run a -- _", ":0");
    check("run -- kubectl get -", ":0");

    // Flags: not twice unless they repeat, short ones only behind a lone dash.
    check("--f", "--force --from-file :4");
    check("--force --f", "--from-file :4");
    check("-f --f", "--from-file :4");
    check("--probe x --pro", "--probe :4");
    check("--force --probe=x -l a --", &offered("--").replacen("--force ", "", 1).replacen("--selector ", "", 1));
    check("--dry", "--dry-run=none --dry-run=client --dry-run=server :4");
    check("plan --a", "--all --as --as-group --as-uid --as-user-extra :4");
    check("plan --f", ":4");
    check("--nothing --from", "--from-file :4");

    // Their values, in one word or two.
    check("--on-stall _", "undo report @:on_stall:: :4");
    check("--on-stall=r", "report r@:on_stall:: :4");
    check("-o _", "json yaml @:output:: :4");
    check("-o=y", "yaml y@:output:: :4");
    check("--dry-run=_", "none client server @:dry_run:: :4");
    check("--dry-run a", "a@:things:: :4");
    check("--force=_", "true false @:force:: :4");
    check("--force x _", "@:things:x: :4");
    check("--timeout _", "@:timeout:: :4");
    check("--color _", "auto always never @:color:: :4");
    check("plan --color=a", "auto always a@plan:color:: :4");
    check("--from-file _", ":0");
    check("--kubeconfig=_", ":0");
    check("--unknown=x", ":4");

    // What was typed before reaches whoever knows the cluster.
    check("plan a -n shop b --namespace=bar x", "x@plan:things:a+b:bar :4");
    check("-fnshop x", "x@:things::shop :4");
    check("-fn=shop x", "x@:things::shop :4");
    check("-lapp=web -v 6 x", "x@:things:: :4");
    check("--request-timeout=soon x", ":4");
}

#[test]
fn values_that_are_fixed_need_no_cluster() {
    #[track_caller]
    fn check(words: &[&str]) {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let unasked = async |line: Line| panic!("asked for {line:?}");
        assert!(answer(&cli::command::<Cli>(), &words, unasked).ends_with(":4\n"), "{words:?}");
    }
    check(&["-"]);
    check(&["--unknown="]);
}

#[test]
fn descriptions_are_the_helps_first_lines() {
    let answer = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        answer(&cli::command::<Cli>(), &words, async |_| Ok(Answer::default()))
    };
    insta::assert_snapshot!(answer(&[""]), @r"
    plan	Only say what would be done
    run	Run a command
    completion	Print a script
    :4
    ");
    insta::assert_snapshot!(answer(&["plan", "--a"]), @r"
    --all	Say all of it
    --as	Username to impersonate for the operation. User could be a regular user or a service account in a namespace.
    --as-group	Group to impersonate for the operation, this flag can be repeated to specify multiple groups.
    --as-uid	UID to impersonate for the operation.
    --as-user-extra	User extras to impersonate for the operation, this flag can be repeated to specify multiple values for the same key.
    :4
    ");
    let short = |line: &&str| line.len() > 1 && line.as_bytes()[1] != b'-' && line.starts_with('-');
    let shorts: Vec<_> = answer(&["-"]).lines().filter(short).map(|line| line[..3].to_owned()).collect();
    assert_eq!(shorts.concat(), "-f\t-l\t-o\t-n\t-s\t-v\t");
}

#[test]
fn names_of_the_kubeconfig() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("config");
    std::fs::write(
        &file,
        "contexts: [{name: a, context: {cluster: c}}, {name: 'arn:aws:eks:eu:1:cluster/b', context: {cluster: d}}, \
         {name: $(reboot), context: {cluster: c}}, {name: \"x\\ny\", context: {cluster: c}}]\n\
         clusters: [{name: c, cluster: {server: \"https://c\\x1b:6443\"}}]\nusers: [{name: admin}]\n",
    )
    .unwrap();
    let kubeconfig = format!("--kubeconfig={}", file.display());
    let answer = |words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        answer(&cli::command::<Cli>(), &words, async |_| Ok(Answer::default()))
    };
    assert_eq!(answer(&[&kubeconfig, "--context", ""]), "a\tc\narn:aws:eks:eu:1:cluster/b\td\n:4\n");
    assert_eq!(answer(&["plan", &kubeconfig, "--context=arn:"]), "arn:aws:eks:eu:1:cluster/b\td\n:4\n");
    assert_eq!(answer(&[&kubeconfig, "--cluster="]), "c\thttps://c^[:6443\n:4\n");
    assert_eq!(answer(&[&kubeconfig, "--user", ""]), "admin\n:4\n");
    assert_eq!(answer(&["--kubeconfig=/nowhere", "--context", ""]), ":4\n");
}

#[test]
fn only_who_asks_is_answered() {
    let asked = |words: &[&str]| asked(words.iter().map(OsString::from));
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    assert_eq!(asked(&["/bin/kubectl_complete-do_it", "plan", ""]), words(&["plan", ""]));
    assert_eq!(asked(&["kubectl_complete-do_it.exe"]), words(&[]));
    assert_eq!(asked(&["kubectl-do_it", "__complete", "x"]), words(&["x"]));
    assert_eq!(asked(&["kubectl-do_it", "plan"]), None);
    assert_eq!(asked(&["kubectl-do_it"]), None);
    assert_eq!(asked(&[]), None);
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a real clock for a real limit")]
fn a_cluster_that_hangs_is_left_alone() {
    let started = Instant::now();
    let answer = answer(&cli::command::<Cli>(), &["a".to_owned(), String::new()], async |_| {
        // As a credential plugin would.
        std::thread::park();
        Ok(vec![Candidate::new("too-late", "")].into())
    });
    assert_eq!(answer, ":4\n");
    assert!(started.elapsed() >= LIMIT, "{:?}", started.elapsed());
}

#[test]
fn an_order_of_its_own_is_kept() {
    let ordered =
        Answer { keeps_order: true, ..vec![Candidate::new("10", ""), Candidate::new("9", "x\ty\u{1b}")].into() };
    assert_eq!(render(&ordered, ""), "10\n9\tx\\ty^[\n:36\n");
    assert_eq!(render(&ordered, "9"), "9\tx\\ty^[\n:36\n");
}
