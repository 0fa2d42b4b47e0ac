//! `plan`, and `--dry-run`: what a drain would do, from a live cluster or from a file.

use std::{fs::File, io, path::Path};

use cluster::{
    act::{self, Effect},
    connect::Connection,
    error::Error,
    observe::WantedNodes,
};
use disruption::{
    action::Removal,
    drain::{
        document::{DrainPlan, Place, RefusedBy, ServerAnswer, ServerRequest, Unknown},
        options::Options,
        plan::{self, Plan, PlanError},
        rights::Right,
    },
    model::{NodeName, ObjectName, Uid},
    outcome::Exit,
    snapshot::{self, Snapshot, Unreadable},
};
use kube::core::Status;
use plugin::{error::CliError, shell::Shell, values::DryRun};

use crate::{
    arguments::{DrainFlags, Request},
    cordon,
    look::{Look, forbidden, look, targets},
    render,
};

/// Requests of a server dry run under way at once.
const CONCURRENCY: usize = 10;

pub(crate) async fn run(flags: DrainFlags, dry_run: DryRun, shell: &mut Shell) -> Result<Exit, CliError> {
    let request = flags.resolve()?;
    let (document, missing) = match &flags.from_file {
        Some(_) if dry_run == DryRun::Server => {
            return Err(CliError::new("--dry-run=server needs a server, --from-file has none"));
        }
        Some(path) => {
            let mut snapshot = read_file(path)?;
            snapshot.taken_at = flags.now.unwrap_or(snapshot.taken_at);
            let targets = targets(&snapshot, &request.nodes)?;
            let plan = plan_of(&snapshot, &targets, &request.options)?;
            (DrainPlan::new(&plan, Place::default()), Vec::new())
        }
        None => plan_live(&request, dry_run, shell).await?,
    };
    if let (true, WantedNodes::Selected(selector)) = (document.nodes.is_empty(), &request.nodes) {
        cordon::nothing_selected(shell, selector);
    }
    warn_of_unknowns(&document, shell);
    match flags.output.output {
        Some(format) => shell.printer.out.document(format, &document)?,
        None => render::plan(&mut shell.printer.out, &document),
    }
    for right in &missing {
        shell.printer.error(&forbidden(*right));
    }
    Ok(document.exit())
}

/// Plans from a live cluster.
async fn plan_live(request: &Request, dry_run: DryRun, shell: &mut Shell) -> Result<(DrainPlan, Vec<Right>), CliError> {
    let Look { connection, snapshot, versions: _, targets, place, rights } = look(request, shell).await?;
    let mut document = DrainPlan::new(&plan_of(&snapshot, &targets, &request.options)?, place);
    let missing = rights.missing(&connection, &mut document).await?;
    if !missing.is_empty() {
        document.forbid(&missing);
        if dry_run == DryRun::Server {
            shell.printer.err.line("the server's dry run was not sent: rights are missing");
        }
    } else if dry_run == DryRun::Server {
        let answers = ask_server(&connection, &document, &request.options).await;
        document.record_server_answers(answers);
    }
    Ok((document, missing))
}

/// The plan, or what helps where none can be made.
pub(crate) fn plan_of<'a>(
    snapshot: &'a Snapshot,
    targets: &'a [NodeName],
    options: &'a Options,
) -> Result<Plan<'a>, CliError> {
    plan::plan(snapshot, targets, options).map_err(|error| {
        let cli_error = CliError::new(error.to_string());
        match error {
            PlanError::NodeNotFound(_) => match known_nodes(snapshot) {
                Some(known) => cli_error.hint(known),
                None => cli_error,
            },
            PlanError::NodeTwice(_) | PlanError::NoPods(_) => cli_error,
        }
    })
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

fn read_file(path: &Path) -> Result<Snapshot, CliError> {
    let (name, snapshot) = if path == Path::new("-") {
        ("standard input".to_owned(), snapshot::read(io::stdin().lock()))
    } else {
        let name = path.display().to_string();
        (name, File::open(path).map_err(snapshot::ReadError::from).and_then(snapshot::read))
    };
    snapshot.map_err(|error| CliError::new(format!("cannot read a snapshot from {name}: {error}")))
}

/// One warning for each kind that the server kept from us; one for all that a file lacks and this plan would need.
pub(crate) fn warn_of_unknowns(document: &DrainPlan, shell: &mut Shell) {
    let not_in_file = Unreadable::NotInFile.to_string();
    let (lacking, withheld): (Vec<&Unknown>, Vec<&Unknown>) =
        document.unknowns.iter().partition(|unknown| unknown.message == not_in_file);
    let lacking: Vec<&str> = lacking
        .into_iter()
        .filter(|unknown| document.needs(unknown))
        .map(|unknown| unknown.resource.as_str())
        .collect();
    if !lacking.is_empty() {
        shell.printer.warning(&format!("the file has no {}: unknown, not empty", lacking.join(", ")));
    }
    for unknown in withheld {
        shell.printer.warning(&format!("{} unknown: {}", unknown.resource, unknown.message));
    }
}

/// Sends the server's own dry run of the cordon and of each eviction of the first wave.
async fn ask_server(connection: &Connection, document: &DrainPlan, options: &Options) -> Vec<ServerAnswer> {
    use futures::{StreamExt as _, stream};

    let mut answers = Vec::new();
    for node in document.nodes.iter().filter(|node| node.will_cordon) {
        let name = NodeName(node.name.clone());
        let outcome = act::cordon(connection, &name, true, Effect::DryRun).await.map(drop);
        answers.push(answer(format!("node/{}", node.name), ServerRequest::Cordon, outcome));
    }
    let (request, removal) = if options.disable_eviction {
        (ServerRequest::Delete, Removal::Delete)
    } else {
        (ServerRequest::Evict, Removal::Evict)
    };
    let first_wave: Vec<_> = document.pods.iter().filter(|pod| pod.wave == Some(1)).collect();
    let evictions = stream::iter(first_wave).map(|pod| async move {
        let name = ObjectName::new(&pod.namespace, &pod.name);
        let uid = Uid(pod.uid.clone());
        let outcome = act::remove(connection, &name, &uid, removal, options.grace_period_seconds, Effect::DryRun).await;
        answer(format!("pod/{name}"), request, outcome)
    });
    answers.extend(evictions.buffered(CONCURRENCY).collect::<Vec<_>>().await);
    answers
}

fn answer(object: String, request: ServerRequest, outcome: Result<(), Error>) -> ServerAnswer {
    let accepted =
        |object| ServerAnswer { object, request, accepted: true, code: None, refused_by: None, message: String::new() };
    match outcome {
        Ok(()) => accepted(object),
        // The pod went meanwhile, or another took its name: nothing is left to evict.
        Err(error) if request != ServerRequest::Cordon && is_gone(&error) => accepted(object),
        Err(Error::Api(status)) => {
            let refused_by = refuser(&status);
            let (code, message) = (Some(status.code), budget_cause(&status).unwrap_or(status.message));
            ServerAnswer { object, request, accepted: false, code, refused_by: Some(refused_by), message }
        }
        Err(error) => {
            let (refused_by, message) = (Some(RefusedBy::NoAnswer), error.to_string());
            ServerAnswer { object, request, accepted: false, code: None, refused_by, message }
        }
    }
}

fn is_gone(error: &Error) -> bool {
    error.is_not_found() || (error.is_conflict() && error.to_string().contains("UID in the precondition"))
}

/// What a budget says of its refusal, in the status's causes.
fn budget_cause(status: &Status) -> Option<String> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.filter(|cause| cause.reason == "DisruptionBudget").map(|cause| cause.message.clone()).next()
}

/// Who refused (`eviction.go`): a 429 without a budget's cause is throttling, a 403 about the budget is the budget's.
fn refuser(status: &Status) -> RefusedBy {
    let is_about_budget = status.details.as_ref().is_some_and(|details| details.kind == "poddisruptionbudget")
        || status.message.starts_with("This pod has more than one PodDisruptionBudget");
    match status.code {
        _ if is_about_budget || budget_cause(status).is_some() => RefusedBy::Budget,
        429 | 500.. => RefusedBy::NoAnswer,
        _ => RefusedBy::Server,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_refused() {
        #[track_caller]
        fn check(status: serde_json::Value, request: ServerRequest, expected: Option<RefusedBy>) {
            let status: Status = serde_json::from_value(status).unwrap();
            let shown = format!("{status:?}");
            let answer = answer("pod/a/b".into(), request, Err(Error::Api(Box::new(status))));
            assert_eq!((answer.refused_by, answer.accepted), (expected, expected.is_none()), "{shown}");
        }
        use ServerRequest::{Cordon, Evict};
        let cause = json!({"causes": [{"reason": "DisruptionBudget", "message": "needs 2 healthy pods"}]});
        check(json!({"code": 429, "reason": "TooManyRequests", "details": cause}), Evict, Some(RefusedBy::Budget));
        check(json!({"code": 429, "reason": "TooManyRequests"}), Evict, Some(RefusedBy::NoAnswer));
        check(json!({"code": 503}), Evict, Some(RefusedBy::NoAnswer));
        check(json!({"code": 500, "message": "Internal error occurred: webhook"}), Evict, Some(RefusedBy::NoAnswer));
        let several =
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        check(json!({"code": 500, "message": several}), Evict, Some(RefusedBy::Budget));
        let budget = json!({"kind": "poddisruptionbudget", "group": "policy"});
        check(json!({"code": 403, "reason": "Forbidden", "details": budget}), Evict, Some(RefusedBy::Budget));
        check(json!({"code": 403, "reason": "Forbidden", "message": "denied"}), Evict, Some(RefusedBy::Server));
        check(json!({"code": 404, "reason": "NotFound"}), Evict, None);
        check(json!({"code": 404, "reason": "NotFound"}), Cordon, Some(RefusedBy::Server));
        let uid = "the UID in the precondition (a) does not match the UID in record (b)";
        check(json!({"code": 409, "reason": "Conflict", "message": uid}), Evict, None);
        check(json!({"code": 409, "reason": "Conflict", "message": "changed"}), Cordon, Some(RefusedBy::Server));
    }
}
