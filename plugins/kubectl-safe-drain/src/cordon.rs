//! `cordon` and `uncordon`: kubectl's lines, but a refused one is a failure, and a lost race never overwrites.

use cluster::{
    act::{self, Cordon, Effect},
    connect::Connection,
    error::Error,
    observe::{self, Chunks, WantedNodes},
};
use disruption::{
    event::Event,
    model::{NodeName, Selector},
    outcome::Exit,
};
use plugin::{error::CliError, shell::Shell, values::DryRun};

use crate::{arguments::CordonFlags, report::Reporter};

/// How the nodes shall stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Schedulable,
    Unschedulable,
}

pub(crate) async fn run(flags: &CordonFlags, wish: Wish, shell: &mut Shell) -> Result<Exit, CliError> {
    let dry_run = flags.dry_run.strategy(&mut shell.printer);
    let wanted = flags.nodes.resolve(match wish {
        Wish::Schedulable => "safe-drain uncordon NODE",
        Wish::Unschedulable => "safe-drain cordon NODE",
    })?;
    let connection = shell.connect()?;
    // All nodes are looked up first: a missing one ends the command before anything is changed.
    let nodes = observe::nodes(&connection, &wanted, Chunks::default()).await?;
    if let (true, WantedNodes::Selected(selector)) = (nodes.is_empty(), &wanted) {
        return Ok(nothing_selected(shell, selector));
    }
    let mut exits = Vec::new();
    for node in nodes {
        let stood_so = node.unschedulable == (wish == Wish::Unschedulable);
        let outcome = match dry_run {
            DryRun::Client if stood_so => Ok(Cordon::Already),
            DryRun::Client => Ok(Cordon::Changed),
            DryRun::Server => set(&connection, &node.name, wish, Effect::DryRun).await,
            DryRun::None => set(&connection, &node.name, wish, Effect::Real).await,
        };
        let event = match outcome {
            Ok(cordon) => {
                exits.push(Exit::Done);
                let (node, already) = (node.name, cordon == Cordon::Already);
                match wish {
                    Wish::Unschedulable => Event::NodeCordoned { node, already },
                    Wish::Schedulable => Event::NodeUncordoned { node, already },
                }
            }
            Err(error) => {
                let verb = if wish == Wish::Unschedulable { "cordon" } else { "uncordon" };
                let message = error.to_string();
                let full = format!("unable to {verb} node {:?}: {message}", node.name.0);
                let as_usual = CliError::from(error);
                let error = CliError { hints: as_usual.hints, ..CliError::new(full).exit(as_usual.exit) };
                shell.printer.error(&error);
                exits.push(error.exit);
                Event::NodeRefused { node: node.name, message }
            }
        };
        let mut reporter = Reporter::of_dry_run(&mut shell.printer, flags.output.output, dry_run);
        reporter.tell(connection.server_now(), &event);
        reporter.finish()?;
    }
    Ok(Exit::of_all(exits))
}

/// Says that a selector matched nothing, which is no failure.
pub(crate) fn nothing_selected(shell: &mut Shell, selector: &Selector) -> Exit {
    shell.printer.err.line(format_args!("no node matches the selector {selector}"));
    Exit::Done
}

async fn set(connection: &Connection, node: &NodeName, wish: Wish, effect: Effect) -> Result<Cordon, Error> {
    act::cordon(connection, node, wish == Wish::Unschedulable, effect).await
}
