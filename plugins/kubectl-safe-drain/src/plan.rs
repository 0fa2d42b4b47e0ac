//! `plan`, and `--dry-run`: what a drain would do, from a live cluster or from a file.

use std::{fs::File, io, path::Path};

use cluster::{
    act::{self, Effect, Removal},
    connect::Connection,
    error::Error,
    observe::{self, WantedNodes},
    rights,
};
use disruption::{
    drain::{
        document::{DrainPlan, Place, ServerAnswer, ServerRequest},
        options::Options,
        plan::{self, PlanError},
        rights::{Naming, Right, required},
    },
    model::{NodeName, ObjectName, Uid},
    outcome::Exit,
    snapshot::{self, Kind, Snapshot, Unreadable},
};
use plugin::{error::CliError, shell::Shell, values::DryRun};

use crate::{
    arguments::{DrainFlags, Request},
    cordon, render,
};

/// Requests of a server dry run under way at once.
const CONCURRENCY: usize = 10;

pub(crate) async fn run(flags: DrainFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let request = flags.resolve()?;
    let dry_run = flags.dry_run.strategy(&mut shell.printer);
    let (document, missing) = match &flags.from_file {
        Some(_) if dry_run == DryRun::Server => {
            return Err(CliError::new("--dry-run=server needs a server, --from-file has none"));
        }
        Some(path) => {
            let mut snapshot = read_file(path)?;
            snapshot.taken_at = flags.now.unwrap_or(snapshot.taken_at);
            let targets = targets(&snapshot, &request.nodes)?;
            (Some(write_down(&snapshot, &targets, &request.options, Place::default())?), Vec::new())
        }
        None => look(&request, dry_run, shell).await?,
    };
    let Some(document) = document else {
        return Ok(Exit::Done);
    };
    if let (true, WantedNodes::Selected(selector)) = (document.nodes.is_empty(), &request.nodes) {
        cordon::nothing_selected(shell, selector);
    }
    warn_of_unknowns(&document, flags.from_file.is_some(), shell);
    match flags.output.output {
        Some(format) => shell.printer.out.document(format, &document)?,
        None => render::plan(&mut shell.printer.out, &document),
    }
    for right in &missing {
        shell.printer.error(&forbidden(*right));
    }
    Ok(document.exit())
}

/// Plans from a live cluster. The rights that reading doesn't prove are asked for beside it.
async fn look(
    request: &Request,
    dry_run: DryRun,
    shell: &mut Shell,
) -> Result<(Option<DrainPlan>, Vec<Right>), CliError> {
    let connection = shell.connect()?;
    let naming = match request.nodes {
        WantedNodes::Named(_) => Naming::Names,
        WantedNodes::Selected(_) => Naming::Selector,
    };
    let rights: Vec<Right> = required(naming, request.options.disable_eviction)
        .into_iter()
        .filter(|right| !matches!(right.verb, "get" | "list"))
        .collect();
    let (snapshot, missing) = futures::join!(
        // On the heap: nine lists at once are too large for every caller's stack.
        Box::pin(observe::observe(&connection, &request.nodes, request.chunks)),
        rights::missing(&connection, &rights)
    );
    let mut snapshot = snapshot?;
    let missing = missing?;
    let targets = targets(&snapshot, &request.nodes)?;
    observe::observe_scales(&connection, &mut snapshot, &targets, &request.options).await?;
    let place = Place {
        context: connection.context().map(str::to_owned),
        // In a pod there is no name for the cluster but its address.
        cluster: Some(connection.cluster().unwrap_or(connection.server()).to_owned()),
    };
    let mut document = write_down(&snapshot, &targets, &request.options, place)?;
    if !missing.is_empty() {
        document.forbid();
    } else if dry_run == DryRun::Server {
        let answers = ask_server(&connection, &document, &request.options).await?;
        document.record_server_answers(answers);
    }
    Ok((Some(document), missing))
}

fn write_down(
    snapshot: &Snapshot,
    targets: &[NodeName],
    options: &Options,
    place: Place,
) -> Result<DrainPlan, CliError> {
    let plan = plan::plan(snapshot, targets, options).map_err(|error| {
        let cli_error = CliError::new(error.to_string());
        match error {
            PlanError::NodeNotFound(_) => match known_nodes(snapshot) {
                Some(known) => cli_error.hint(known),
                None => cli_error,
            },
            PlanError::NodeTwice(_) | PlanError::NoPods(_) => cli_error,
        }
    })?;
    Ok(DrainPlan::new(&plan, place))
}

/// How many nodes a hint lists.
const MOST_NODES: usize = 8;

fn known_nodes(snapshot: &Snapshot) -> Option<String> {
    let mut names: Vec<&str> = snapshot.nodes.iter().map(|node| node.name.0.as_str()).collect();
    names.sort_unstable();
    let total = names.len();
    names.truncate(MOST_NODES);
    let more = if total > MOST_NODES { ", …" } else { "" };
    (total > 0).then(|| format!("the file has {total} nodes: {}{more}", names.join(", ")))
}

fn targets(snapshot: &Snapshot, nodes: &WantedNodes) -> Result<Vec<NodeName>, CliError> {
    match nodes {
        WantedNodes::Named(names) => Ok(names.clone()),
        WantedNodes::Selected(selector) if snapshot.knows(Kind::Node) => Ok(plan::select(snapshot, selector)),
        WantedNodes::Selected(_) => Err(CliError::new("the file holds no nodes to select from: name them instead")),
    }
}

fn read_file(path: &Path) -> Result<Snapshot, CliError> {
    let (name, snapshot) = if path == Path::new("-") {
        ("standard input".to_owned(), snapshot::read(io::stdin().lock()))
    } else {
        let name = path.display().to_string();
        (name, File::open(path).map_err(snapshot::ReadError::from).and_then(snapshot::read))
    };
    snapshot.map_err(|error| CliError::new(format!("cannot read a snapshot from {name}: {error}")))
}

/// One warning for each kind that the server kept from us; one for all that a file lacks.
fn warn_of_unknowns(document: &DrainPlan, is_file: bool, shell: &mut Shell) {
    if is_file {
        let missing: Vec<&str> = document
            .unknowns
            .iter()
            .filter(|unknown| unknown.message == Unreadable::NotInFile.to_string())
            .map(|unknown| unknown.resource.as_str())
            .collect();
        if !missing.is_empty() {
            shell.printer.warning(&format!("the file has no {}: unknown, not empty", missing.join(", ")));
        }
        return;
    }
    for unknown in &document.unknowns {
        shell.printer.warning(&format!("{} unknown: {}", unknown.resource, unknown.message));
    }
}

fn forbidden(right: Right) -> CliError {
    let Right { verb, group: _, resource, subresource } = right;
    let resource = if subresource.is_empty() { resource.to_owned() } else { format!("{resource}/{subresource}") };
    CliError::new(format!(
        "forbidden: you cannot {verb} resource {resource:?} at the cluster scope, which a drain needs"
    ))
    .hint(format!("kubectl auth can-i {verb} {resource} --all-namespaces"))
    .exit(Exit::Forbidden)
}

/// Sends the server's own dry run of the cordon and of each eviction of the first wave.
async fn ask_server(
    connection: &Connection,
    document: &DrainPlan,
    options: &Options,
) -> Result<Vec<ServerAnswer>, CliError> {
    use futures::{StreamExt as _, stream};

    let mut answers = Vec::new();
    for node in document.nodes.iter().filter(|node| node.will_cordon) {
        let name = NodeName(node.name.clone());
        let outcome = act::cordon(connection, &name, true, Effect::DryRun).await.map(drop);
        answers.push(answer(format!("node/{}", node.name), ServerRequest::Cordon, outcome)?);
    }
    let (request, removal) = if options.disable_eviction {
        (ServerRequest::Delete, Removal::Delete)
    } else {
        (ServerRequest::Evict, Removal::Evict)
    };
    let first_wave: Vec<_> = document.pods.iter().filter(|pod| pod.wave == Some(1)).collect();
    let outcomes: Vec<_> = stream::iter(first_wave)
        .map(|pod| async move {
            let name = ObjectName::new(&pod.namespace, &pod.name);
            let uid = Uid(pod.uid.clone());
            let outcome =
                act::remove(connection, &name, &uid, removal, options.grace_period_seconds, Effect::DryRun).await;
            (format!("pod/{name}"), outcome)
        })
        .buffered(CONCURRENCY)
        .collect()
        .await;
    for (object, outcome) in outcomes {
        answers.push(answer(object, request, outcome)?);
    }
    Ok(answers)
}

fn answer(object: String, request: ServerRequest, outcome: Result<(), Error>) -> Result<ServerAnswer, CliError> {
    let (accepted, code, budget, message) = match outcome {
        Ok(()) => (true, None, false, String::new()),
        // The pod went meanwhile, or another took its name: nothing is left to evict.
        Err(error) if error.is_not_found() || error.is_conflict() => (true, None, false, String::new()),
        Err(Error::Api(status)) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            let budget = causes.clone().find(|cause| cause.reason == "DisruptionBudget");
            let by_budget = budget.is_some() || status.message.contains("more than one PodDisruptionBudget");
            let message = budget.map_or(status.message.clone(), |cause| cause.message.clone());
            (false, Some(status.code), by_budget, message)
        }
        Err(other) => return Err(other.into()),
    };
    Ok(ServerAnswer { object, request, accepted, code, by_budget: budget, message })
}
