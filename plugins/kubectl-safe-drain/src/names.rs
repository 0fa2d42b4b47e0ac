//! The nodes that may be named at a place of the command line.

use cluster::names::{Named, Row, names};
use plugin::{
    complete::{Answer, Candidate, Line},
    error::CliError,
};

use crate::arguments::COMMANDS;

/// What the cluster has to offer for an argument.
pub(crate) async fn offer(line: Line) -> Result<Answer, CliError> {
    if line.argument != "nodes" {
        return Ok(Answer::default());
    }
    let rows = names(&line.connect()?, Named::Nodes).await?;
    Ok(choose(&line, &rows).into())
}

/// The nodes that were not named yet and that the command does something about.
fn choose(line: &Line, rows: &[Row]) -> Vec<Candidate> {
    let kind = line.typed.split_once('/').map(|(kind, _)| kind);
    let is_named = |node: &Row| line.words.iter().any(|word| word.rsplit('/').next() == Some(node.name.as_str()));
    let is_meant = |node: &Row| match line.command.as_deref() {
        Some("cordon") => !is_cordoned(node),
        Some("uncordon") => is_cordoned(node),
        _ => true,
    };
    let candidate = |node: &Row| {
        let name = &node.name;
        let value = match kind {
            Some(kind) => format!("{kind}/{name}"),
            None if COMMANDS.contains(&name.as_str()) => format!("node/{name}"),
            None => name.clone(),
        };
        Candidate::new(value, node.cell("Status"))
    };
    let is_kind_of_node = kind.is_none_or(|kind| matches!(kind, "node" | "nodes" | "no"));
    rows.iter().filter(|node| is_kind_of_node && !is_named(node) && is_meant(node)).map(candidate).collect()
}

/// As `kubectl get nodes` shows it.
fn is_cordoned(node: &Row) -> bool {
    node.cell("Status").split(',').any(|word| word == "SchedulingDisabled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_the_command_does_something_about() {
        #[track_caller]
        fn check(rows: &[Row], command: Option<&str>, words: &[&str], typed: &str, expected: &str) {
            let line = Line {
                command: command.map(str::to_owned),
                words: words.iter().map(|word| (*word).to_owned()).collect(),
                typed: typed.to_owned(),
                ..Line::default()
            };
            let values: Vec<_> = choose(&line, rows).into_iter().map(|candidate| candidate.value).collect();
            assert_eq!(values.join(" "), expected, "{command:?} {words:?} {typed}");
        }
        let row = |name, status| Row::new(name, [("Status", status)]);
        let rows =
            [row("a", "Ready"), row("b", "Ready,SchedulingDisabled"), row("c", "NotReady"), row("plan", "Ready")];
        check(&rows, None, &[], "", "a b c node/plan");
        check(&rows, None, &["a", "node/c"], "", "b node/plan");
        check(&rows, None, &[], "node/", "node/a node/b node/c node/plan");
        check(&rows, Some("plan"), &[], "no/", "no/a no/b no/c no/plan");
        check(&rows, Some("plan"), &[], "pod/", "");
        check(&rows, Some("cordon"), &[], "", "a c node/plan");
        check(&rows, Some("uncordon"), &[], "", "b");
        check(&rows, Some("uncordon"), &["b"], "", "");
        assert_eq!(choose(&Line::default(), &rows)[1].description, "Ready,SchedulingDisabled");
    }
}
