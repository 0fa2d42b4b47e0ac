//! No document names a command, a flag or a file that doesn't exist.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf};

use anyhow::Result;
use regex::Regex;

use crate::document::{Document, EXECUTED, root};

/// The plugins as documents call them.
const PLUGINS: [&str; 2] = ["safe-drain", "rollout-guard"];

/// All flags, made from the definitions of the command lines.
const REFERENCE: &str = "docs/cli.md";

/// Flags of other programs that documents name by themselves.
const FOREIGN: &[&str] = &["--watch"];

/// What a synopsis writes for a value, and a value.
const PLACEHOLDERS: &[(&str, &str)] =
    &[("N", "1"), ("A..B", "1..2"), ("TIME", "2026-11-21T22:43:50Z"), ("$URL", "http://web.test/")];

#[tokio::test]
async fn every_command_is_understood() -> Result<()> {
    let mut wrong = String::new();
    for document in Document::all()? {
        for (plugin, words) in commands(&document)? {
            // Words that are wrong are found before the help that is asked for last.
            let rest = words.iter().position(|word| word == "--").unwrap_or(words.len());
            let args = [&words[..rest], &["--help".to_owned()]].concat();
            let output = lab::run(&lab::plugin(plugin)?).args(&args).output().await?;
            if output.code != Some(0) {
                let (name, call) = (&document.name, words.join(" "));
                writeln!(wrong, "{name}: kubectl {plugin} {call}\n{}", output.stderr)?;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    Ok(())
}

#[test]
fn every_flag_exists() -> Result<()> {
    let flag = Regex::new(r"--[a-z][a-z-]+")?;
    let reference = Document::read(REFERENCE)?.lines.join("\n");
    let mut known: BTreeSet<&str> = FOREIGN.iter().copied().collect();
    known.extend(flag.find_iter(&reference).map(|found| found.as_str()));
    for document in Document::all()?.iter().filter(|document| document.name != REFERENCE) {
        for span in spans(document)?.iter().filter(|span| !is_foreign(span)) {
            for found in flag.find_iter(span) {
                assert!(known.contains(found.as_str()), "{}: no {} in `{span}`", document.name, found.as_str());
            }
        }
    }
    Ok(())
}

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    let link = Regex::new(r"\]\(([^)#:]+)(#[^)]*)?\)")?;
    for document in Document::all()? {
        let place: PathBuf = root().join(&document.name).parent().map(PathBuf::from).unwrap_or_default();
        for line in &document.lines {
            for found in link.captures_iter(line) {
                assert!(place.join(&found[1]).exists(), "{}: {} does not exist", document.name, &found[1]);
            }
        }
    }
    Ok(())
}

/// Whether a command is another program's.
fn is_foreign(span: &str) -> bool {
    let is_ours = PLUGINS.iter().any(|plugin| span.starts_with(&format!("kubectl {plugin}")));
    ["kubectl ", "cargo ", "k3d ", "kind "].iter().any(|program| span.starts_with(program)) && !is_ours
}

/// The calls of the plugins, by plugin and words: those in code, without what follows a pipe or a redirection.
fn commands(document: &Document) -> Result<Vec<(&'static str, Vec<String>)>> {
    let mut found = Vec::new();
    for text in spans(document)? {
        for plugin in PLUGINS {
            for call in text.split(&format!("kubectl {plugin} ")).skip(1) {
                found.push((plugin, words(call)));
            }
        }
    }
    Ok(found)
}

/// What is in backticks, the lines of code, and the commands of executed blocks as a whole.
fn spans(document: &Document) -> Result<Vec<String>> {
    let mut spans: Vec<String> = Vec::new();
    spans.extend(document.steps()?.into_iter().map(|step| step.command));
    let blocks = document.blocks()?;
    for block in blocks.iter().filter(|block| block.info != EXECUTED) {
        let lines = document.lines[block.inside.clone()].iter();
        // Without a language it is a session, of which only the commands are meant.
        let commands = lines.filter(|line| !block.info.is_empty() || line.starts_with("$ "));
        spans.extend(commands.map(|line| line.trim_start_matches("$ ").to_owned()));
    }
    let is_prose =
        |number: &usize| !blocks.iter().any(|block| (block.inside.start - 1..=block.inside.end).contains(number));
    let prose: Vec<&str> =
        (0..document.lines.len()).filter(is_prose).map(|number| document.lines[number].as_str()).collect();
    spans.extend(prose.join(" ").split('`').skip(1).step_by(2).map(str::to_owned));
    Ok(spans)
}

/// The words of a call as a shell would split them, up to the end of the command; a synopsis becomes a call.
fn words(call: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for letter in call.chars() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (_, Some(open)) if letter == open => quote = None,
            (' ' | '\n', None) => words.push(std::mem::take(&mut word)),
            // A synopsis has these around what may be left out.
            ('[' | ']' | '…', None) => {}
            _ => word.push(letter),
        }
    }
    words.push(word);
    let ends = |word: &String| matches!(word.as_str(), "#" | "&&" | ">" | "|" | ";");
    // In a table the other way to say it stands behind `\|`.
    let meant =
        words.iter().filter(|word| !word.is_empty() && *word != "\\|" && *word != "\\").take_while(|word| !ends(word));
    meant.map(|word| plain(word)).collect()
}

/// A value for a placeholder, the first of several.
fn plain(word: &str) -> String {
    let (flag, value) = word.split_once('=').map_or(("", word), |(flag, value)| (flag, value));
    let first = value.split("\\|").next().unwrap_or_default().split('|').next().unwrap_or_default();
    let value = PLACEHOLDERS.iter().find(|(name, _)| *name == first).map_or(first, |(_, value)| value);
    if flag.is_empty() { value.to_owned() } else { format!("{flag}={value}") }
}

#[test]
fn a_synopsis_becomes_a_call() {
    #[track_caller]
    fn check(call: &str, expected: &str) {
        assert_eq!(words(call).join(" "), expected);
    }
    check("NODE… \\| -l SELECTOR", "NODE -l SELECTOR");
    check("undo TYPE/NAME… --to-revision N # back", "undo TYPE/NAME --to-revision 1");
    check("undo web --dry-run=client\\|server", "undo web --dry-run=client");
    check("plan n --reason 'a b' | head", "plan n --reason a b");
    check("status [NODE… \\| -l SELECTOR]", "status NODE -l SELECTOR");
}
