//! The workloads and revisions that may be named at a place of the command line.

use cluster::{
    connect::Connection,
    names::{Named, Row, names},
    observe::rollouts::{WantedRollouts, observe_rollouts},
};
use disruption::{
    model::RolloutKind,
    rollout::{
        document::{HistoryRevision, RevisionMark},
        history,
    },
};
use futures::future::try_join_all;
use plugin::{
    complete::{Answer, Candidate, Line},
    error::CliError,
};

use crate::{
    arguments::{HistoryFlags, kind, named_by},
    history::mark_word,
    look::targets,
};

/// What the cluster has to offer for an argument.
pub(crate) async fn offer(line: Line) -> Result<Answer, CliError> {
    match line.argument.as_str() {
        "workloads" => workloads(&line).await.map(Answer::from),
        "revision" | "to_revision" => revisions(&line).await,
        "diff" => revisions(&line).await.map(|answer| pairs(answer, &line.typed)),
        _ => Ok(Answer::default()),
    }
}

/// How workloads are named at this place.
#[derive(Debug, PartialEq, Eq)]
enum Form {
    /// TYPE/NAME, with the type as it was typed.
    Slashed(Vec<(String, RolloutKind)>),
    /// NAME, after these types.
    Bare(Vec<RolloutKind>),
}

async fn workloads(line: &Line) -> Result<Vec<Candidate>, CliError> {
    let Some(form) = form(line) else { return Ok(Vec::new()) };
    let connection = line.connect()?;
    let mut candidates = Vec::new();
    match form {
        Form::Slashed(types) => {
            let lists = types.iter().map(|(_, kind)| *kind);
            for ((word, kind), rows) in types.iter().zip(list(&connection, lists).await?) {
                let value = |row: &Row| format!("{word}/{}", row.name);
                let is_new = |value: &String| !line.words.iter().any(|named| is_same(named, value));
                let rows = rows.iter().map(|row| (value(row), row)).filter(|(value, _)| is_new(value));
                candidates.extend(rows.map(|(value, row)| Candidate::new(value, describe(*kind, row))));
            }
        }
        Form::Bare(kinds) => {
            for (kind, rows) in kinds.iter().zip(list(&connection, kinds.iter().copied()).await?) {
                let rows = rows.iter().filter(|row| !line.words[1..].contains(&row.name));
                candidates.extend(rows.map(|row| Candidate::new(&row.name, describe(*kind, row))));
            }
        }
    }
    if line.words.is_empty() && !line.typed.contains('/') {
        let types = RolloutKind::ALL.map(|kind| Candidate::new(kind.singular(), "then the NAME"));
        candidates.extend(types);
    }
    Ok(candidates)
}

/// The form that the words before decide; none where nothing more can follow.
fn form(line: &Line) -> Option<Form> {
    let typed_type = line.typed.split_once('/').map(|(word, _)| word);
    match (line.words.first(), typed_type) {
        (Some(first), _) if !first.contains('/') => {
            first.split(',').map(kind).collect::<Result<_, _>>().ok().map(Form::Bare)
        }
        (_, Some(word)) => Some(Form::Slashed(vec![(word.to_owned(), kind(word).ok()?)])),
        (_, None) => Some(Form::Slashed(RolloutKind::ALL.map(|kind| (kind.singular().to_owned(), kind)).to_vec())),
    }
}

/// Whether two words in TYPE/NAME form name the same workload.
fn is_same(one: &str, other: &str) -> bool {
    let read = |word: &str| word.split_once('/').and_then(|(of, name)| Some((kind(of).ok()?, name.to_owned())));
    read(one).is_some_and(|one| read(other) == Some(one))
}

async fn list(connection: &Connection, kinds: impl Iterator<Item = RolloutKind>) -> Result<Vec<Vec<Row>>, CliError> {
    let namespace = connection.namespace();
    Ok(try_join_all(kinds.map(|kind| names(connection, Named::Rollouts(kind, namespace)))).await?)
}

fn describe(kind: RolloutKind, row: &Row) -> String {
    match kind {
        RolloutKind::Deployment | RolloutKind::StatefulSet => format!("{} ready", row.cell("Ready")),
        RolloutKind::DaemonSet => format!("{}/{} ready", row.cell("Ready"), row.cell("Desired")),
    }
}

/// The revisions of the only workload on the line, newest first.
async fn revisions(line: &Line) -> Result<Answer, CliError> {
    let wanted = named_by(&line.words)?;
    if !matches!(&wanted, WantedRollouts::Named(named) if named.len() == 1) {
        return Ok(Answer::default());
    }
    let connection = line.connect()?;
    let observed = Box::pin(observe_rollouts(&connection, connection.namespace(), &wanted)).await?;
    let Some(rollout) = targets(&observed).next() else { return Ok(Answer::default()) };
    let subject = observed.view.subject(rollout, observed.taken_at);
    let history = history::history(&subject, history::last_good(&subject, &HistoryFlags::limits()));
    let mut candidates: Vec<_> = history.document().revisions.iter().map(revision).collect();
    candidates.reverse();
    Ok(Answer { keeps_order: true, ..candidates.into() })
}

/// A..B: what follows the A that was typed, else each revision with the newest.
fn pairs(revisions: Answer, typed: &str) -> Answer {
    let Answer { mut candidates, keeps_order, files } = revisions;
    let from = typed.split_once("..").map(|(from, _)| from.to_owned());
    let newest = candidates.first().map(|candidate| candidate.value.clone()).unwrap_or_default();
    candidates.retain(|candidate| candidate.value != *from.as_ref().unwrap_or(&newest));
    for Candidate { value, description: _ } in &mut candidates {
        *value = match &from {
            Some(from) => format!("{from}..{value}"),
            None => format!("{value}..{newest}"),
        };
    }
    Answer { candidates, keeps_order, files }
}

/// A revision, with its marks, its images and its cause.
fn revision(revision: &HistoryRevision) -> Candidate {
    let HistoryRevision { revision, version: _, created_at: _, images, ready: _, change_cause, marks } = revision;
    let mark = |mark: &RevisionMark| mark_word(*mark).to_owned();
    let parts = marks.iter().map(mark).chain(images.values().cloned()).chain(change_cause.clone());
    Candidate::new(revision.to_string(), parts.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn forms_of_workloads() {
        #[track_caller]
        fn check(words: &[&str], typed: &str, expected: Option<&str>) {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            let form = form(&Line { words, typed: typed.to_owned(), ..Line::default() }).map(|form| match form {
                Form::Slashed(all) => all.into_iter().map(|(word, _)| word + "/").collect::<Vec<_>>().join(" "),
                Form::Bare(kinds) => kinds.into_iter().map(RolloutKind::plural).collect::<Vec<_>>().join(" "),
            });
            assert_eq!(form.as_deref(), expected, "{typed}");
        }
        let all = Some("deployment/ statefulset/ daemonset/");
        check(&[], "", all);
        check(&[], "dep", all);
        check(&[], "deploy/", Some("deploy/"));
        check(&[], "sts/d", Some("sts/"));
        check(&[], "deployments.apps/", Some("deployments.apps/"));
        check(&[], "pod/", None);
        check(&["deployment/web"], "", all);
        check(&["deployment/web"], "ds/", Some("ds/"));
        check(&["deployment"], "", Some("deployments"));
        check(&["deploy", "web"], "a", Some("deployments"));
        check(&["deploy,sts"], "", Some("deployments statefulsets"));
        check(&["pod"], "", None);
    }

    #[test]
    fn the_same_workload_by_other_names() {
        assert!(is_same("deploy/web", "deployment/web"));
        assert!(!is_same("deploy/web", "sts/web"));
        assert!(!is_same("deploy/web", "deploy/webshop"));
        assert!(!is_same("web", "web"));
    }

    #[test]
    fn two_revisions_to_compare() {
        #[track_caller]
        fn check(typed: &str, expected: &[&str]) {
            let candidates = ["9", "8", "1"].map(|number| Candidate::new(number, "")).to_vec();
            let Answer { candidates, keeps_order, files } =
                pairs(Answer { candidates, keeps_order: true, files: false }, typed);
            let values: Vec<_> = candidates.into_iter().map(|candidate| candidate.value).collect();
            assert_eq!(
                (values, keeps_order, files),
                (expected.iter().map(|it| (*it).to_owned()).collect(), true, false)
            );
        }
        check("", &["8..9", "1..9"]);
        check("8", &["8..9", "1..9"]);
        check("1..", &["1..9", "1..8"]);
        check("9..1", &["9..8", "9..1"]);
        assert_eq!(pairs(Answer::default(), ""), Answer::default());
    }

    #[test]
    fn what_is_said_of_a_revision() {
        let described = revision(&HistoryRevision {
            revision: 3,
            version: "abc".to_owned(),
            created_at: None,
            images: BTreeMap::from([("main".to_owned(), "shop/web:2".to_owned())]),
            ready: Some(2),
            change_cause: Some("release 2".to_owned()),
            marks: vec![RevisionMark::Current, RevisionMark::LastGood],
        });
        assert_eq!(described, Candidate::new("3", "current, last-good, shop/web:2, release 2"));
    }
}
