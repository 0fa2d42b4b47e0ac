//! Tells events as they happen: kubectl's lines for people, JSON lines or YAML documents for programs.

use disruption::event::Event;
use jiff::Timestamp;
use plugin::{
    error::CliError,
    printer::Printer,
    values::{DryRun, Format},
};
use serde::Serialize;

/// An event as a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventDocument<'a> {
    at: Option<String>,
    r#type: &'a str,
    node: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    already: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    dry_run: &'a str,
}

/// Tells one event. `at` is the server's time. What was refused is told to people as an error, not here.
pub(crate) fn tell(
    printer: &mut Printer,
    event: &Event,
    at: Option<Timestamp>,
    dry_run: DryRun,
    format: Option<Format>,
) -> Result<(), CliError> {
    let Some(format) = format else {
        let (node, already, word) = match event {
            Event::NodeCordoned { node, already } => (node, *already, "cordoned"),
            Event::NodeUncordoned { node, already } => (node, *already, "uncordoned"),
            Event::NodeRefused { .. } => return Ok(()),
        };
        let already = if already { "already " } else { "" };
        printer.out.line(format_args!("node/{node} {already}{word}{}", suffix(dry_run)));
        return Ok(());
    };
    let (name, node, already, message) = match event {
        Event::NodeCordoned { node, already } => ("NodeCordoned", node, Some(*already), None),
        Event::NodeUncordoned { node, already } => ("NodeUncordoned", node, Some(*already), None),
        Event::NodeRefused { node, message } => ("NodeRefused", node, None, Some(message.as_str())),
    };
    let dry_run = match dry_run {
        DryRun::None => "none",
        DryRun::Client => "client",
        DryRun::Server => "server",
    };
    let at = at.map(|at| format!("{at:.3}"));
    let document = EventDocument { at, r#type: name, node: &node.0, already, message, dry_run };
    match format {
        Format::Json => printer.out.json_line(&document),
        Format::Yaml => {
            printer.out.line("---");
            printer.out.document(format, &document)
        }
    }
}

/// What kubectl puts behind a line of a dry run.
fn suffix(dry_run: DryRun) -> &'static str {
    match dry_run {
        DryRun::None => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    }
}
