//! Looks at workloads before anything is done with them: what is there, who else writes it, and which rights are missing.

use std::collections::BTreeSet;

use cluster::{
    connect::Connection,
    look::autoscalers,
    observe::rollouts::{ObservedRollouts, WantedRollouts, observe_rollouts},
    rights,
};
use disruption::{
    drain::rights::{Right, Scope},
    model::{Rollout, RolloutKind},
    outcome::Exit,
    rollout::{owner, view::View},
    snapshot::{Kind, Unreadable},
};
use plugin::{error::CliError, shell::Shell};

/// What was seen.
pub(crate) struct Look {
    pub(crate) connection: Connection,
    pub(crate) observed: ObservedRollouts,
    /// What was named and does not exist: told already.
    pub(crate) errors: Vec<CliError>,
}

/// Looks at the workloads that are meant. What is named and not there is told, and the others go on, as for kubectl.
pub(crate) async fn look(wanted: &WantedRollouts, shell: &mut Shell) -> Result<Look, CliError> {
    look_for(wanted, shell, |_| true).await
}

/// The same, warning only of those kinds that matter where they could not be read.
pub(crate) async fn look_for(
    wanted: &WantedRollouts,
    shell: &mut Shell,
    matters: fn(Kind) -> bool,
) -> Result<Look, CliError> {
    let (connection, observed) = observe(wanted, shell).await?;
    let mut errors = Vec::new();
    for (kind, name) in &observed.missing {
        let resource = format!("{}.apps", kind.plural());
        let message = format!("Error from server (NotFound): {resource} {:?} not found", name.name);
        let error = CliError::cluster(message);
        shell.printer.error(&error);
        errors.push(error);
    }
    warn_of_unknowns(&observed.view, shell, matters);
    if observed.targets.is_empty() && observed.missing.is_empty() {
        shell.printer.err.line(format_args!("No resources found in {} namespace.", connection.namespace()));
    }
    Ok(Look { connection, observed, errors })
}

/// Looks, and tells nothing.
pub(crate) async fn observe(
    wanted: &WantedRollouts,
    shell: &mut Shell,
) -> Result<(Connection, ObservedRollouts), CliError> {
    let connection = shell.connect()?;
    // On the heap: many lists at once are too large for every caller's stack.
    let observed = Box::pin(observe_rollouts(&connection, connection.namespace(), wanted)).await?;
    Ok((connection, observed))
}

/// Says what could not be read, once a kind.
fn warn_of_unknowns(view: &View, shell: &mut Shell, matters: fn(Kind) -> bool) {
    for (kind, why) in view.unknown.iter().filter(|(kind, _)| matters(**kind)) {
        let without = match kind {
            Kind::Incident => "causes that only events tell are not found",
            Kind::Pod => "causes that pods tell are not found",
            Kind::Node => "nodes that do not answer are not known",
            _ => "versions are not told apart",
        };
        match why {
            Unreadable::Forbidden(message) | Unreadable::Failed(message) => {
                shell.printer.warning(&format!("{} could not be read, so that {without}: {message}", kind.resource()));
            }
            // Files are made of what somebody thought to be enough.
            Unreadable::NotInFile => {}
        }
    }
}

/// Why nothing may be undone, if so: the first workload that another tool manages, which would change it back, else the
/// first right that is missing. `otherwise` says which flags do without.
pub(crate) async fn refusal(
    connection: &Connection,
    observed: &ObservedRollouts,
    force: bool,
    otherwise: &str,
) -> Result<Option<CliError>, CliError> {
    let reverting = targets(observed).find_map(|rollout| {
        let managed = owner::managed_by(rollout).filter(|managed| managed.reverts() && !force)?;
        let message = format!("{} is managed by {}, which would revert an undo", rollout.shown(), managed.name());
        Some(CliError::new(message).hint(managed.way()).hint(otherwise).exit(Exit::Refused))
    });
    match reverting {
        Some(refusal) => Ok(Some(refusal)),
        None => missing_right(connection, observed).await,
    }
}

/// Notes which tools will not know of an undo, and which autoscalers change numbers of pods meanwhile.
pub(crate) async fn note_owners(connection: &Connection, observed: &ObservedRollouts, shell: &mut Shell) {
    let autoscalers = autoscalers(connection, connection.namespace()).await;
    for rollout in targets(observed) {
        if let Some(autoscaler) = owner::scaled_by(rollout, &autoscalers) {
            let shown = rollout.shown();
            shell.printer.err.line(format_args!("note: {shown} is scaled by {autoscaler}"));
        }
        if let Some(managed) = owner::managed_by(rollout) {
            let (shown, name, way) = (rollout.shown(), managed.name(), managed.way());
            shell.printer.err.line(format_args!("note: {shown} is managed by {name}: {way}"));
        }
    }
}

/// The rights without which the workloads cannot be undone: the first that is missing, as an error.
async fn missing_right(connection: &Connection, observed: &ObservedRollouts) -> Result<Option<CliError>, CliError> {
    // What is not there yet may be made.
    let kinds: BTreeSet<RolloutKind> =
        observed.targets.iter().chain(&observed.missing).map(|(kind, _)| *kind).collect();
    let patch = |kind: &RolloutKind| Right { verb: "patch", group: "apps", resource: kind.plural(), subresource: "" };
    let mut needed: Vec<Right> = kinds.iter().map(patch).collect();
    if kinds.contains(&RolloutKind::StatefulSet) {
        needed.push(Right { verb: "delete", group: "", resource: "pods", subresource: "" });
    }
    let scope = Scope { namespace: Some(connection.namespace()), name: None };
    let questions: Vec<_> = needed.iter().map(|right| (*right, scope)).collect();
    let granted = rights::ask(connection, &questions).await?;
    let missing = needed.into_iter().zip(granted).find(|(_, granted)| !granted);
    Ok(missing.map(|(right, _)| forbidden(right, connection.namespace())))
}

fn forbidden(right: Right, namespace: &str) -> CliError {
    let Right { verb, group, resource, subresource: _ } = right;
    let dot = if group.is_empty() { "" } else { "." };
    CliError::new(format!(
        "forbidden: you cannot {verb} resource \"{resource}{dot}{group}\" in the namespace {namespace:?}, which an undo needs"
    ))
    .hint(format!("kubectl auth can-i {verb} {resource}{dot}{group} -n {namespace}"))
    .exit(Exit::Forbidden)
}

/// The workloads that are meant, in their order.
pub(crate) fn targets(observed: &ObservedRollouts) -> impl Iterator<Item = &Rollout> {
    observed.targets.iter().filter_map(|(kind, name)| observed.view.rollout(*kind, name))
}
