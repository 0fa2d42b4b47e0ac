//! `status`: which nodes are cordoned, by whom, why and since when, and whether a drain works on them.

use cluster::observe::{self, Chunks, WantedNodes};
use disruption::{
    document::API_VERSION,
    journal::{self, Record, Standing},
    model::{Node, Selector},
    outcome::Exit,
};
use jiff::Timestamp;
use plugin::{
    age::age,
    error::CliError,
    shell::Shell,
    table::{Cell, Table},
    values::Format,
};
use serde::Serialize;

use crate::arguments::StatusFlags;

/// What is known about cordons and drains.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct DrainStatus {
    api_version: &'static str,
    kind: &'static str,
    taken_at: String,
    exit_code: u8,
    nodes: Vec<NodeStatus>,
}

/// A node that is cordoned or has the record of a drain.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStatus {
    name: String,
    unschedulable: bool,
    /// The user, else the field manager that wrote the cordon.
    cordoned_by: Option<String>,
    cordoned_at: Option<String>,
    reason: String,
    drain: DrainState,
    run: Option<String>,
    started_at: Option<String>,
    heartbeat_at: Option<String>,
    message: String,
}

/// What a drain does on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum DrainState {
    None,
    InProgress,
    Dead,
    Finished,
    Stale,
    Unreadable,
}

pub(crate) async fn run(flags: &StatusFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let wanted = flags.nodes.resolve_or_all()?;
    let connection = shell.connect()?;
    let nodes = observe::nodes(&connection, &wanted, Chunks::default()).await?;
    let now = connection.server_now().ok_or_else(|| CliError::new("the server does not tell its time"))?;
    let mut statuses: Vec<NodeStatus> = nodes
        .iter()
        .filter(|node| node.unschedulable || node.record.is_some())
        .map(|node| NodeStatus::new(node, now))
        .collect();
    statuses.sort_by(|one, other| one.name.cmp(&other.name));
    match flags.output.output {
        Some(format) => write(shell, format, now, statuses)?,
        None if statuses.is_empty() => shell.printer.err.line(quiet(&wanted, &nodes)),
        None => {
            shell.printer.out.table(&table(&statuses, now));
            for node in statuses.iter().filter(|node| node.drain == DrainState::Dead) {
                shell.printer.err.line(format_args!("hint: kubectl safe-drain repair {}", node.name));
            }
        }
    }
    Ok(Exit::Done)
}

/// That there is nothing to show, of the nodes that were asked for.
fn quiet(wanted: &WantedNodes, nodes: &[Node]) -> String {
    match (wanted, nodes) {
        (WantedNodes::Selected(all), _) if *all == Selector::default() => {
            "no node is cordoned, and no drain is at work".to_owned()
        }
        (WantedNodes::Selected(selector), []) => format!("no node matches the selector {selector}"),
        (_, [node]) => format!("node/{} is not cordoned, and no drain is at work on it", node.name),
        (_, nodes) => format!("none of {} nodes is cordoned, and no drain is at work on them", nodes.len()),
    }
}

fn write(shell: &mut Shell, format: Format, now: Timestamp, nodes: Vec<NodeStatus>) -> Result<(), CliError> {
    let document = DrainStatus {
        api_version: API_VERSION,
        kind: "DrainStatus",
        taken_at: format!("{now:.3}"),
        exit_code: Exit::Done.code(),
        nodes,
    };
    shell.printer.out.document(format, &document)
}

fn table(nodes: &[NodeStatus], now: Timestamp) -> Table<5> {
    let mut table = Table::new(["NODE", "CORDONED-BY", "SINCE", "DRAIN", "REASON"]);
    let or_dash = |text: &str| if text.is_empty() { Cell::from("-") } else { Cell::from(text) };
    for node in nodes {
        let since = node.cordoned_at.as_deref().and_then(|at| at.parse().ok()).map(|at: Timestamp| age(now, at));
        table.row([
            node.name.as_str().into(),
            or_dash(node.cordoned_by.as_deref().unwrap_or_default()),
            or_dash(&since.unwrap_or_default()),
            or_dash(&node.message),
            or_dash(&node.reason),
        ]);
    }
    table
}

impl NodeStatus {
    fn new(node: &Node, now: Timestamp) -> Self {
        let standing = journal::standing(node, now);
        let (drain, message) = describe(&standing, now);
        let record = match &standing {
            Standing::InProgress(record) | Standing::Dead(record) | Standing::Finished(record) => Some(record),
            Standing::Free | Standing::Unreadable(_) | Standing::Stale(_) => None,
        };
        // One that was cordoned before is not the drain's cordon.
        let ours = record.filter(|record| !record.was_unschedulable);
        let millis = |at: Timestamp| format!("{at:.3}");
        Self {
            name: node.name.0.clone(),
            unschedulable: node.unschedulable,
            cordoned_by: ours
                .map(|record| record.owner.clone())
                .filter(|owner| !owner.is_empty())
                .or_else(|| node.cordoned_by.clone()),
            cordoned_at: node.cordoned_at.or(ours.map(|record| record.started)).map(millis),
            reason: record.map(|record| record.reason.clone()).unwrap_or_default(),
            drain,
            run: record.map(|record| record.run.clone()),
            started_at: record.map(|record| millis(record.started)),
            heartbeat_at: record.map(|record| millis(record.heartbeat)),
            message,
        }
    }
}

fn describe(standing: &Standing, now: Timestamp) -> (DrainState, String) {
    let sign = |record: &Record| age(now, record.heartbeat);
    // Whoever drains a node that was cordoned before did not cordon it, and is not named elsewhere.
    let by = |record: &Record| {
        let owner = Some(&record.owner).filter(|owner| record.was_unschedulable && !owner.is_empty());
        owner.map(|owner| format!("by {owner}: ")).unwrap_or_default()
    };
    match standing {
        Standing::Free => (DrainState::None, String::new()),
        Standing::InProgress(record) => {
            (DrainState::InProgress, format!("{}in progress, alive {} ago", by(record), sign(record)))
        }
        Standing::Dead(record) => (DrainState::Dead, format!("{}dead, last sign {} ago", by(record), sign(record))),
        Standing::Finished(record) => {
            let at = record.finished.unwrap_or(record.heartbeat);
            (DrainState::Finished, format!("{}ended {} ago", by(record), age(now, at)))
        }
        Standing::Stale(_) => (DrainState::Stale, "an old record, of another cordon".into()),
        Standing::Unreadable(error) => (DrainState::Unreadable, format!("a record that cannot be read: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use disruption::model::NodeName;

    use super::*;

    #[test]
    fn nothing_to_show_is_said_of_what_was_asked_for() {
        #[track_caller]
        fn check(wanted: &WantedNodes, nodes: &[&str], expected: &str) {
            let node = |name: &&str| Node::read(&format!(r#"{{"metadata": {{"name": "{name}"}}}}"#)).unwrap();
            assert_eq!(quiet(wanted, &nodes.iter().map(node).collect::<Vec<_>>()), expected);
        }
        let selected = |selector: &str| WantedNodes::Selected(selector.parse().unwrap());
        let all = WantedNodes::Selected(Selector::default());
        check(&all, &["n1", "n2"], "no node is cordoned, and no drain is at work");
        check(&all, &[], "no node is cordoned, and no drain is at work");
        check(&selected("pool=old"), &[], "no node matches the selector pool=old");
        let one = "node/n1 is not cordoned, and no drain is at work on it";
        check(&WantedNodes::Named(vec![NodeName("n1".into())]), &["n1"], one);
        check(&selected("pool=old"), &["n1"], one);
        check(&selected("pool=old"), &["n1", "n2"], "none of 2 nodes is cordoned, and no drain is at work on them");
    }
}
