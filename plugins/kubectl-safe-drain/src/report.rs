//! Tells events as they happen: kubectl's lines for people, JSON lines for programs.

use disruption::event::Event;
use jiff::Timestamp;
use plugin::{
    error::CliError,
    printer::Printer,
    values::{DryRun, Format},
};
use serde::Serialize;

/// An event as a line of JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventLine<'a> {
    at: Option<String>,
    r#type: &'a str,
    node: &'a str,
    already: bool,
    dry_run: &'a str,
}

/// Tells one event. `at` is the server's time.
pub(crate) fn tell(
    printer: &mut Printer,
    event: &Event,
    at: Option<Timestamp>,
    dry_run: DryRun,
    format: Option<Format>,
) -> Result<(), CliError> {
    let (name, node, already, word) = match event {
        Event::NodeCordoned { node, already } => ("NodeCordoned", node, *already, "cordoned"),
        Event::NodeUncordoned { node, already } => ("NodeUncordoned", node, *already, "uncordoned"),
    };
    if format.is_some() {
        let at = at.map(|at| format!("{at:.3}"));
        let dry_run = match dry_run {
            DryRun::None => "none",
            DryRun::Client => "client",
            DryRun::Server => "server",
        };
        let line = EventLine { at, r#type: name, node: &node.0, already, dry_run };
        // A YAML stream of events is one of flow mappings: every line of JSON is one.
        return printer.out.json_line(&line);
    }
    let already = if already { "already " } else { "" };
    printer.out.line(format_args!("node/{node} {already}{word}{}", suffix(dry_run)));
    Ok(())
}

/// What kubectl puts behind a line of a dry run.
fn suffix(dry_run: DryRun) -> &'static str {
    match dry_run {
        DryRun::None => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    }
}
