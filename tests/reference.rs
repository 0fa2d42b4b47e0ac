//! The reference in `docs`, made from the definitions of a plugin's command line. Part of the unit tests of both plugins.

use std::{env, fmt::Write as _, fs, path::Path};

use plugin::{
    cli,
    help::{Entry, Page},
};
use roff::{Roff, bold, roman};

use crate::arguments::Arguments;

#[test]
fn the_reference_is_up_to_date() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let command = cli::command::<Arguments>();
    let commands = command.get_subcommands().map(|command| Some(command.get_name()));
    let pages: Vec<Page> = std::iter::once(None).chain(commands).map(|name| Page::of(&command, name)).collect();

    let reference = docs.join("cli.md");
    let written = fs::read_to_string(&reference).unwrap();
    keep(&reference, &with_part(&written, &part(&pages)));

    let names: Vec<String> = pages.iter().map(|page| page.invocation.replace(' ', "-") + ".1").collect();
    for (page, name) in pages.iter().zip(&names) {
        keep(&docs.join("man").join(name), &man(page, &pages));
    }
    let plugin = pages[0].invocation.replace(' ', "-");
    let present = fs::read_dir(docs.join("man")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut present: Vec<String> = present.filter(|name| name.starts_with(&plugin)).collect();
    let mut expected = names;
    present.sort();
    expected.sort();
    assert_eq!(present, expected, "docs/man: a page without a command is to be removed");
}

/// The file holds this text. `UPDATE_REFERENCE=1` writes it.
fn keep(path: &Path, expected: &str) {
    if env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(path, expected).unwrap();
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    let name = path.file_name().unwrap().display();
    assert!(
        written == expected,
        "{name} is out of date: UPDATE_REFERENCE=1 cargo test -p {} reference",
        env!("CARGO_PKG_NAME")
    );
}

/// The text with this part instead of the one with the same title.
fn with_part(written: &str, part: &str) -> String {
    const TITLE: &str = "\n\n# kubectl ";
    let part = part.trim().trim_start_matches(TITLE.trim_start());
    let mut parts: Vec<&str> = written.trim_end().split(TITLE).collect();
    match parts.iter().position(|old| old.lines().next() == part.lines().next()) {
        Some(place) => parts[place] = part,
        None => parts.push(part),
    }
    parts.join(TITLE) + "\n"
}

/// All of a plugin as Markdown.
fn part(pages: &[Page]) -> String {
    let mut text = String::new();
    for (position, page) in pages.iter().enumerate() {
        let Page { invocation, description, examples, commands, options, globals: _, footer, usage } = page;
        let level = if position == 0 { "#" } else { "\n##" };
        let _ =
            writeln!(text, "{level} {invocation}\n\n{}\n\n```\n{}\n```", description.join("\n\n"), usage.join("\n"));
        if !examples.is_empty() {
            let _ = writeln!(text, "\n```sh\n{}\n```", examples.replace("\n  ", "\n").trim_start());
        }
        if !commands.is_empty() {
            text += "\n| command | |\n|---|---|\n";
        }
        for (name, about) in commands {
            let _ = writeln!(text, "| `{name}` | {about} |");
        }
        text += &entries("Options", options);
        if !footer.is_empty() {
            let _ = writeln!(text, "\n```\n{footer}\n```");
        }
    }
    text + &entries("kubectl's own options are taken by each of these commands", &pages[0].globals)
}

fn entries(title: &str, entries: &[Entry]) -> String {
    let mut text = format!("\n{title}:\n\n");
    for Entry { flag, description } in entries {
        let _ = writeln!(text, "* `{flag}`: {}", description.replace('|', "\\|").replace('<', "&lt;"));
    }
    text
}

/// A page as `man` shows it, in the order of kubectl's own pages.
fn man(page: &Page, pages: &[Page]) -> String {
    let Page { invocation, description, examples, commands: _, options, globals, footer, usage } = page;
    let name = |invocation: &str| invocation.replace(' ', "-");
    let (summary, further) = description.split_first().unwrap();
    let mut roff = Roff::new();
    roff.control("TH", [name(invocation).to_uppercase().as_str(), "1"]);
    roff.control("SH", ["NAME"]).text([roman(format!("{} - {}", name(invocation), summary.trim_end_matches('.')))]);
    verbatim(roff.control("SH", ["SYNOPSIS"]), usage.iter().map(String::as_str));
    roff.control("SH", ["DESCRIPTION"]);
    for paragraph in further.iter().chain(further.is_empty().then_some(summary)) {
        roff.control("PP", []).text([roman(paragraph)]);
    }
    for (title, entries) in [("OPTIONS", options), ("OPTIONS OF KUBECTL", globals)] {
        roff.control("SH", [title]);
        for Entry { flag, description } in entries {
            roff.control("TP", []).text([bold(flag)]).text([roman(description)]);
        }
    }
    if !examples.is_empty() {
        verbatim(roff.control("SH", ["EXAMPLES"]), examples.lines());
    }
    if let Some((title, lines)) = footer.split_once('\n') {
        verbatim(roff.control("SH", [title.trim_end_matches(':').to_uppercase().as_str()]), lines.lines());
    }
    let others = pages.iter().filter(|other| *other != page).map(|other| format!("{}(1)", name(&other.invocation)));
    roff.control("SH", ["SEE ALSO"]).text([roman(others.collect::<Vec<_>>().join(", "))]);
    roff.to_roff()
}

fn verbatim<'l>(roff: &mut Roff, lines: impl Iterator<Item = &'l str>) {
    roff.control("nf", []);
    for line in lines {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}
