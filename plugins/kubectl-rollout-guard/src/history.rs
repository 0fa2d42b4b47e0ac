//! `history`: the revisions of workloads, from a live cluster or a file.

use disruption::{
    model::{Rollout, RolloutKind, WorkloadKind},
    outcome::Exit,
    rollout::{
        document::{HistoryRevision, RevisionMark, RolloutHistory},
        history::{self, History, UnknownRevision},
        template,
        view::{Subject, View},
    },
    snapshot::{Kind, Unreadable},
};
use jiff::Timestamp;
use plugin::{
    age::age,
    error::CliError,
    printer::Printer,
    shell::Shell,
    styles::Styles,
    table::{Cell, Table, wrap},
    text,
};

use crate::{
    arguments::HistoryFlags,
    look::{self, Look, targets},
    report::{tell_diff, tell_sentence},
    status::{choose, read},
};

pub(crate) async fn run(flags: &HistoryFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let revision = flags.wanted_revision()?;
    if let Some(file) = &flags.from_file {
        let (view, taken_at) = read(file)?;
        let now = flags.now.unwrap_or(taken_at);
        let wanted = flags.workloads.resolve_or_everything()?;
        let chosen = choose(&view, &wanted, shell.flags.namespace.as_deref())?;
        return show_all(&view, &chosen, now, flags, revision, shell);
    }
    let wanted = flags.workloads.resolve()?;
    let Look { connection: _, observed, errors } = look::look_for(&wanted, shell, |kind| kind == Kind::Pod).await?;
    let chosen: Vec<&Rollout> = targets(&observed).collect();
    let shown = show_all(&observed.view, &chosen, observed.taken_at, flags, revision, shell)?;
    Ok(Exit::of_all(errors.iter().map(|error| error.exit).chain([shown])))
}

/// Shows the history of each workload. Where one cannot be shown the others are, as by kubectl.
fn show_all(
    view: &View,
    rollouts: &[&Rollout],
    now: Timestamp,
    flags: &HistoryFlags,
    revision: Option<i64>,
    shell: &mut Shell,
) -> Result<Exit, CliError> {
    let mut exits = Vec::new();
    let several = rollouts.len() > 1;
    for (position, rollout) in rollouts.iter().enumerate() {
        let subject = view.subject(rollout, now);
        if let Err(error) = check_readable(view, rollout) {
            shell.printer.error(&error);
            exits.push(error.exit);
            continue;
        }
        let history = history::history(&subject, history::last_good(&subject, &HistoryFlags::limits()));
        for name in &history.unnumbered {
            shell.printer.warning(&format!("the number of revision {} cannot be read", name.name));
        }
        if several && position > 0 && flags.output.output.is_none() && !flags.plain {
            shell.printer.out.line("");
        }
        let shown = match (flags.diff, flags.output.output, revision) {
            (Some((from, to)), ..) => show_diff(&history, from, to, &mut shell.printer),
            (None, Some(format), _) => match document(&history, revision) {
                Ok(document) if several => shell.printer.out.streamed(format, &document).map(Ok)?,
                Ok(document) => shell.printer.out.document(format, &document).map(Ok)?,
                Err(unknown) => Err(unknown),
            },
            (None, None, _) if flags.plain => {
                history.plain(revision).map(|plain| shell.printer.out.text(&text::multi_line(&plain)))
            }
            (None, None, Some(number)) => show_revision(&history, number, &subject, &mut shell.printer),
            (None, None, None) => {
                show_table(&history, now, &mut shell.printer);
                Ok(())
            }
        };
        if let Err(unknown) = shown {
            shell.printer.error(&not_found(unknown, &history));
            exits.push(Exit::Error);
        }
    }
    Ok(Exit::of_all(exits))
}

/// Revisions that could not be read are not none.
fn check_readable(view: &View, rollout: &Rollout) -> Result<(), CliError> {
    let kind = match rollout.kind {
        RolloutKind::Deployment => Kind::Workload(WorkloadKind::ReplicaSet),
        RolloutKind::StatefulSet | RolloutKind::DaemonSet => Kind::ControllerRevision,
    };
    let (shown, resource) = (rollout.shown(), kind.resource());
    match view.unknown.get(&kind) {
        None => Ok(()),
        Some(Unreadable::NotInFile) => {
            Err(CliError::new(format!("{shown}: the file holds no {resource}, which are its revisions")))
        }
        Some(Unreadable::Forbidden(message)) => {
            Err(CliError::new(format!("{shown}: its revisions cannot be read: {message}")).exit(Exit::Forbidden))
        }
        Some(Unreadable::Failed(message)) => {
            Err(CliError::new(format!("{shown}: its revisions cannot be read: {message}")))
        }
    }
}

fn not_found(unknown: UnknownRevision, history: &History<'_>) -> CliError {
    let error = CliError::new(unknown.to_string());
    let numbers: Vec<String> = history.entries.iter().map(|entry| entry.number.to_string()).collect();
    if numbers.is_empty() {
        return error.hint(format!("{} has no revisions", history.rollout.shown()));
    }
    error.hint(format!("{} has the revisions {}", history.rollout.shown(), numbers.join(", ")))
}

/// The history as a document, of all revisions or of one.
fn document(history: &History<'_>, revision: Option<i64>) -> Result<RolloutHistory, UnknownRevision> {
    let mut document = history.document();
    if let Some(number) = revision {
        history.entry(number)?;
        document.revisions.retain(|revision| revision.revision == number);
    }
    Ok(document)
}

fn show_diff(history: &History<'_>, from: i64, to: i64, printer: &mut Printer) -> Result<(), UnknownRevision> {
    let diff = history.diff(from, to)?;
    if diff.is_empty() {
        let shown = history.rollout.shown();
        printer.err.line(format_args!("{shown}: revisions {from} and {to} have the same pod template"));
    }
    tell_diff(printer, &diff);
    Ok(())
}

/// A template as YAML: what else is known stands above it in comments.
fn show_revision(
    history: &History<'_>,
    number: i64,
    subject: &Subject<'_>,
    printer: &mut Printer,
) -> Result<(), UnknownRevision> {
    let entry = history.entry(number)?;
    let HistoryRevision { revision: _, version, created_at, images: _, ready, change_cause, marks } =
        HistoryRevision::from(entry);
    let mut known = vec![format!("revision {number}")];
    known.extend(marks.iter().map(|mark| mark_word(*mark).to_owned()));
    known.extend(created_at.map(|at| format!("{} old", age(subject.now, at))));
    known.extend(ready.map(|ready| format!("{ready} pods ready")));
    known.extend(Some(version).filter(|version| !version.is_empty()).map(|version| format!("version {version}")));
    let mut comments = vec![format!("{}: {}", history.rollout.shown(), known.join(", "))];
    comments.extend(change_cause);
    let room = printer.out.width().saturating_sub("# ".len());
    for line in comments.iter().flat_map(|comment| wrap(&text::one_line(comment), room)) {
        let line = printer.out.styles().dim.style(format!("# {line}")).to_string();
        printer.out.line(line);
    }
    printer.out.text(&text::multi_line(&template::yaml(&entry.revision.template)));
    Ok(())
}

fn show_table(history: &History<'_>, now: Timestamp, printer: &mut Printer) {
    let RolloutHistory { api_version: _, kind: _, workload: _, revisions } = history.document();
    let title = printer.out.styles().name.style(history.rollout.shown()).to_string();
    printer.out.line(title);
    if revisions.is_empty() {
        printer.out.line("No rollout history found.");
        return;
    }
    let styles = printer.out.styles().clone();
    let rows: Vec<Vec<[Cell; 5]>> = revisions.iter().map(|revision| rows(revision, now, &styles)).collect();
    let causes = || revisions.iter().map(|revision| revision.change_cause.as_deref());

    let mut beside = Table::new(["REVISION", "AGE", "READY", "MARKS", "IMAGES", "CHANGE-CAUSE"]);
    for (rows, cause) in rows.iter().zip(causes()) {
        for (number, [revision, age, ready, marks, image]) in rows.iter().cloned().enumerate() {
            let cause = if number == 0 { cause.unwrap_or("<none>") } else { "" };
            beside.row([revision, age, ready, marks, image, cause.into()]);
        }
    }
    let width = printer.out.width();
    if beside.render(&Styles::default(), usize::MAX).lines().all(|line| line.chars().count() <= width) {
        return printer.out.table(&beside);
    }
    // No room for all beside the images: each cause stands below its revision, where it has no heading.
    let mut above = Table::new(["REVISION", "AGE", "READY", "MARKS", "IMAGES"]);
    rows.iter().flatten().cloned().for_each(|row| above.row(row));
    let text = above.render(&styles, width);
    let mut lines = text.lines();
    lines.by_ref().take(1).for_each(|heading| printer.out.line(heading));
    for (rows, cause) in rows.iter().zip(causes()) {
        lines.by_ref().take(rows.len()).for_each(|line| printer.out.line(line));
        if let Some(cause) = cause {
            tell_sentence(printer, &format!("change-cause: {cause}"));
        }
    }
}

/// A revision in columns; each further image has a row of its own.
fn rows(revision: &HistoryRevision, now: Timestamp, styles: &Styles) -> Vec<[Cell; 5]> {
    let HistoryRevision { revision: number, version: _, created_at, images, ready, change_cause: _, marks } = revision;
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let words: Vec<&str> = marks.iter().map(|mark| mark_word(*mark)).collect();
    let words = or_dash(Some(words.join(",")).filter(|words| !words.is_empty()));
    let words = match marks.as_slice() {
        marks if marks.contains(&RevisionMark::Bad) => Cell::styled(words, styles.error),
        marks if marks.contains(&RevisionMark::LastGood) => Cell::styled(words, styles.good),
        _ => Cell::from(words),
    };
    let is_alone = images.len() == 1;
    let image = |(name, image): (&String, &String)| if is_alone { image.clone() } else { format!("{name}={image}") };
    let mut images = images.iter().map(image);
    let first = [
        number.to_string().into(),
        or_dash(created_at.map(|at| age(now, at))).into(),
        or_dash(ready.map(|ready| ready.to_string())).into(),
        words,
        or_dash(images.next()).into(),
    ];
    let further =
        |image: String| std::array::from_fn(|column| if column == 4 { image.as_str().into() } else { Cell::default() });
    [first].into_iter().chain(images.map(further)).collect()
}

pub(crate) const fn mark_word(mark: RevisionMark) -> &'static str {
    match mark {
        RevisionMark::Current => "current",
        RevisionMark::LastGood => "last-good",
        RevisionMark::Bad => "bad",
        RevisionMark::RestartOnly => "restart-only",
    }
}
