//! `repair`: takes back what drains have left behind that were killed. What somebody else has changed since stays.

use cluster::{
    act::{self, Effect},
    connect::Connection,
    observe::{self, Chunks},
};
use disruption::{
    action::{NodeAnswer, NodeChange, RecordChange},
    drain::document::{NodeRepair, RepairOutcome, RepairResult},
    event::Event,
    journal::{self, Standing},
    model::{Node, NodeName},
    outcome::Exit,
};
use jiff::Timestamp;
use plugin::{
    age::age,
    error::CliError,
    printer::Printer,
    shell::Shell,
    values::{DryRun, Format},
};

use crate::{
    arguments::RepairFlags,
    report::{Reporter, strategy, suffix},
};

/// How often a lost race for a node is decided again.
const MOST_RACES: u32 = 5;

/// What there is to repair on a node.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    /// No drain has left a record.
    Nothing,
    /// Something that is not ours to take back, and why.
    NotOurs(String),
    /// A dead drain's cordon and its record.
    LeakedCordon,
    /// Only a record that means nothing any more, and why.
    OldRecord(&'static str),
}

pub(crate) async fn run(flags: &RepairFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let dry_run = flags.dry_run.strategy(&mut shell.printer);
    let wanted = flags.nodes.resolve_or_all()?;
    let connection = shell.connect()?;
    let nodes = observe::nodes(&connection, &wanted, Chunks::default()).await?;
    let now = connection.server_now().ok_or_else(|| CliError::new("the server does not tell its time"))?;
    let mut exits = Vec::new();
    let mut repairs = Vec::new();
    for node in nodes {
        let name = node.name.clone();
        match repair(&connection, node, now, dry_run, flags.output.output, &mut shell.printer).await {
            Ok(repaired) => repairs.extend(repaired),
            Err(error) => {
                shell.printer.error(&error);
                exits.push(error.exit);
                repairs.push(NodeRepair { name: name.0, outcome: RepairOutcome::Failed, message: error.message });
            }
        }
    }
    let exit = Exit::of_all(exits);
    tell_end(repairs, exit, dry_run, flags.output.output, &mut shell.printer)?;
    Ok(exit)
}

/// Repairs one node, deciding again when somebody else was faster. None where no drain had left a record.
async fn repair(
    connection: &Connection,
    mut node: Node,
    now: Timestamp,
    dry_run: DryRun,
    format: Option<Format>,
    printer: &mut Printer,
) -> Result<Option<NodeRepair>, CliError> {
    for _ in 0..MOST_RACES {
        let finding = find(&node, now);
        let unschedulable = match &finding {
            Finding::Nothing => return Ok(None),
            Finding::NotOurs(why) => {
                printer.err.plain(format_args!("node/{} is left alone: {why}", node.name));
                return Ok(repaired(&node.name, &finding));
            }
            Finding::LeakedCordon => Some(false),
            Finding::OldRecord(_) => None,
        };
        let change = NodeChange { unschedulable, record: Some(RecordChange::Remove) };
        let answer = match dry_run {
            DryRun::Client => NodeAnswer::Stands(node.clone()),
            DryRun::Server => {
                act::write_node(connection, &node.name, &node.resource_version, &change, Effect::DryRun).await
            }
            DryRun::None => {
                act::write_node(connection, &node.name, &node.resource_version, &change, Effect::Real).await
            }
        };
        match answer {
            NodeAnswer::Changed(fresh) => node = fresh,
            NodeAnswer::Stands(_) => {
                let repaired = repaired(&node.name, &finding);
                tell(connection.server_now(), node.name, &finding, dry_run, format, printer)?;
                return Ok(repaired);
            }
            NodeAnswer::Deleted => return Ok(Some(tell_gone(&node.name, printer))),
            NodeAnswer::Forbidden(message) => return Err(failure(&node, &message).exit(Exit::Forbidden)),
            NodeAnswer::Denied(message) => return Err(failure(&node, &message)),
            NodeAnswer::Trouble(trouble) => return Err(failure(&node, &trouble.message)),
        }
    }
    Err(failure(&node, "somebody else changes it again and again"))
}

fn find(node: &Node, now: Timestamp) -> Finding {
    match journal::standing(node, now) {
        Standing::Free => Finding::Nothing,
        Standing::InProgress(record) => {
            let owner = if record.owner.is_empty() { "somebody" } else { record.owner.as_str() };
            Finding::NotOurs(format!(
                "a drain by {owner} works on it (run {}, alive {} ago; after {}s without a sign it is dead)",
                record.run,
                age(now, record.heartbeat),
                journal::DEAD_AFTER.as_secs()
            ))
        }
        Standing::Finished(_) => Finding::NotOurs(format!(
            "its drain has ended and left it cordoned; to take that back: kubectl safe-drain uncordon {}",
            node.name
        )),
        Standing::Unreadable(error) => Finding::NotOurs(format!("its record cannot be read: {error}")),
        Standing::Dead(record) if record.was_unschedulable => {
            Finding::OldRecord("the drain was killed; the node had been cordoned before it, and stays so")
        }
        Standing::Dead(_) => Finding::LeakedCordon,
        Standing::Stale(_) if node.unschedulable => Finding::OldRecord("the cordon is somebody else's, and stays"),
        Standing::Stale(_) => Finding::OldRecord("the node is schedulable already"),
    }
}

/// Tells what was repaired, or would have been.
fn tell(
    at: Option<Timestamp>,
    node: NodeName,
    finding: &Finding,
    dry_run: DryRun,
    format: Option<Format>,
    printer: &mut Printer,
) -> Result<(), CliError> {
    match finding {
        Finding::LeakedCordon => {
            let mut reporter = Reporter::of_dry_run(printer, format, dry_run);
            reporter.tell(at, &Event::NodeUncordoned { node, already: false });
            reporter.finish()
        }
        Finding::OldRecord(why) => {
            printer.err.plain(format_args!("node/{node}: record removed{}: {why}", suffix(dry_run)));
            Ok(())
        }
        Finding::Nothing | Finding::NotOurs(_) => Ok(()),
    }
}

/// Tells that there is nothing left to repair, though there was.
fn tell_gone(node: &NodeName, printer: &mut Printer) -> NodeRepair {
    let message = "it was deleted meanwhile".to_owned();
    printer.err.plain(format_args!("node/{node}: nothing left to repair: {message}"));
    NodeRepair { name: node.0.clone(), outcome: RepairOutcome::Gone, message }
}

/// Tells how it ended; programs get the document also where there was nothing to repair.
fn tell_end(
    nodes: Vec<NodeRepair>,
    exit: Exit,
    dry_run: DryRun,
    format: Option<Format>,
    printer: &mut Printer,
) -> Result<(), CliError> {
    if let Some(format) = format {
        let result = RepairResult::new(nodes, exit, strategy(dry_run));
        return printer.out.streamed(format, &result);
    }
    if nodes.is_empty() {
        printer.err.line("nothing to repair: no drain has left a record");
    }
    Ok(())
}

/// None where no drain had left a record.
fn repaired(node: &NodeName, finding: &Finding) -> Option<NodeRepair> {
    let (outcome, message) = match finding {
        Finding::Nothing => return None,
        Finding::NotOurs(why) => (RepairOutcome::LeftAlone, why.as_str()),
        Finding::LeakedCordon => (RepairOutcome::Uncordoned, ""),
        Finding::OldRecord(why) => (RepairOutcome::RecordRemoved, *why),
    };
    Some(NodeRepair { name: node.0.clone(), outcome, message: message.to_owned() })
}

fn failure(node: &Node, message: &str) -> CliError {
    CliError::new(format!("unable to repair node {:?}: {message}", node.name.0))
}

#[cfg(test)]
mod tests {
    use plugin::printer::ColorChoice;

    use super::*;

    #[test]
    fn what_a_dry_run_would_have_done_is_marked() {
        #[track_caller]
        fn check(finding: &Finding, dry_run: DryRun, out: &str, err: &str) {
            let (mut printer, captured) = Printer::captured(ColorChoice::Never);
            tell(None, NodeName("n".into()), finding, dry_run, None, &mut printer).unwrap();
            assert_eq!((captured.out().as_str(), captured.err().as_str()), (out, err));
        }
        check(&Finding::LeakedCordon, DryRun::None, "node/n uncordoned\n", "");
        check(&Finding::LeakedCordon, DryRun::Server, "node/n uncordoned (server dry run)\n", "");
        check(&Finding::OldRecord("why"), DryRun::None, "", "node/n: record removed: why\n");
        check(&Finding::OldRecord("why"), DryRun::Client, "", "node/n: record removed (dry run): why\n");
    }

    #[test]
    fn a_node_that_goes_before_it_is_repaired_is_named() {
        let (mut printer, captured) = Printer::captured(ColorChoice::Never);
        let gone = tell_gone(&NodeName("n".into()), &mut printer);
        assert_eq!((gone.outcome, gone.message.as_str()), (RepairOutcome::Gone, "it was deleted meanwhile"));
        tell_end(vec![gone], Exit::Done, DryRun::None, None, &mut printer).unwrap();
        assert_eq!(captured.err(), "node/n: nothing left to repair: it was deleted meanwhile\n");
    }

    #[test]
    fn programs_get_a_document_even_of_nothing() {
        #[track_caller]
        fn check(format: Option<Format>, findings: &[(&str, Finding)], exit: Exit, out: &str, err: &str) {
            let (mut printer, captured) = Printer::captured(ColorChoice::Never);
            let repairs = findings.iter().filter_map(|(name, of)| repaired(&NodeName((*name).into()), of));
            tell_end(repairs.collect(), exit, DryRun::Server, format, &mut printer).unwrap();
            assert_eq!((captured.out().as_str(), captured.err().as_str()), (out, err));
        }
        let nothing = [("n", Finding::Nothing)];
        check(None, &nothing, Exit::Done, "", "nothing to repair: no drain has left a record\n");
        check(
            Some(Format::Json),
            &nothing,
            Exit::Done,
            "{\"apiVersion\":\"disruption/v1alpha1\",\"kind\":\"RepairResult\",\"exitCode\":0,\"dryRun\":\"server\",\
             \"nodes\":[]}\n",
            "",
        );
        let findings = [
            ("a", Finding::LeakedCordon),
            ("b", Finding::OldRecord("why")),
            ("c", Finding::NotOurs("alive".into())),
            ("d", Finding::Nothing),
        ];
        check(None, &findings, Exit::Forbidden, "", "");
        let expected = "---
apiVersion: disruption/v1alpha1
kind: RepairResult
exitCode: 11
dryRun: server
nodes:
- name: a
  outcome: Uncordoned
  message: \"\"
- name: b
  outcome: RecordRemoved
  message: why
- name: c
  outcome: LeftAlone
  message: alive
";
        check(Some(Format::Yaml), &findings, Exit::Forbidden, expected, "");
    }
}
