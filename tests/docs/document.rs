//! The documents of the repository, and the commands and outputs in them.

use std::{
    env, fs,
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// Outputs of blocks with this word are compared.
pub(crate) const EXECUTED: &str = "console";
/// In the walkthrough every other block must say so.
pub(crate) const NOT_RUN: &str = "not-run";

/// A document of the repository.
pub(crate) struct Document {
    /// Where it is, from the root of the repository.
    pub(crate) name: String,
    pub(crate) lines: Vec<String>,
}

/// A fenced block.
pub(crate) struct Block {
    /// What follows the opening fence.
    pub(crate) info: String,
    /// The lines between the fences.
    pub(crate) inside: Range<usize>,
}

/// A command of a `console` block and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) command: String,
    /// The lines of the output.
    pub(crate) output: Range<usize>,
}

/// Whether documents are to be written instead of compared.
pub(crate) fn is_update() -> bool {
    env::var_os("UPDATE_DOCS").is_some()
}

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Document {
    /// Reads `name`, e.g. `docs/faq.md`.
    pub(crate) fn read(name: &str) -> Result<Self> {
        let text = fs::read_to_string(root().join(name)).with_context(|| format!("reading {name}"))?;
        Ok(Self { name: name.to_owned(), lines: text.lines().map(str::to_owned).collect() })
    }

    /// The README and everything in docs/.
    pub(crate) fn all() -> Result<Vec<Self>> {
        let mut names = vec!["README.md".to_owned()];
        for entry in fs::read_dir(root().join("docs"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
                names.push(format!("docs/{name}"));
            }
        }
        names.sort();
        names.iter().map(|name| Self::read(name)).collect()
    }

    /// Replaces lines by those of `text`, in the file too.
    pub(crate) fn replace(&mut self, lines: Range<usize>, text: &str) -> Result<()> {
        self.lines.splice(lines, text.lines().map(str::to_owned));
        Ok(fs::write(root().join(&self.name), self.lines.join("\n") + "\n")?)
    }

    /// The fenced blocks, in order.
    pub(crate) fn blocks(&self) -> Result<Vec<Block>> {
        let mut blocks = Vec::new();
        let mut opened: Option<(usize, &str)> = None;
        for (number, line) in self.lines.iter().enumerate() {
            let Some(info) = line.strip_prefix("```") else { continue };
            opened = match opened {
                None => Some((number, info.trim())),
                Some((first, info)) => {
                    blocks.push(Block { info: info.to_owned(), inside: first + 1..number });
                    None
                }
            };
        }
        match opened {
            None => Ok(blocks),
            Some((first, _)) => bail!("{}:{}: the block has no end", self.name, first + 1),
        }
    }

    /// The commands of all `console` blocks, in order.
    pub(crate) fn steps(&self) -> Result<Vec<Step>> {
        let mut steps: Vec<Step> = Vec::new();
        for block in self.blocks()?.into_iter().filter(|block| block.info == EXECUTED) {
            let before = steps.len();
            for number in block.inside {
                let line = &self.lines[number];
                match (line.strip_prefix("$ "), line.strip_prefix("> "), steps.get_mut(before..)) {
                    (Some(command), _, _) => {
                        steps.push(Step { command: command.to_owned(), output: number + 1..number + 1 });
                    }
                    // bash asks so for the rest of a command.
                    (None, Some(rest), Some([.., step])) if step.output.is_empty() => {
                        step.command.push('\n');
                        step.command.push_str(rest);
                        step.output = number + 1..number + 1;
                    }
                    (None, _, Some([.., step])) => step.output.end = number + 1,
                    _ => bail!("{}:{}: an output without a command", self.name, number + 1),
                }
            }
        }
        Ok(steps)
    }

    /// The text of some lines.
    pub(crate) fn text(&self, lines: Range<usize>) -> String {
        self.lines[lines].iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

#[test]
fn commands_go_on_after_a_greater_than_sign() {
    let text = "a\n```console\n$ one \\\n> two\nout\n> no command\n$ three\n```\n```sh\n$ no\n```";
    let document = Document { name: String::new(), lines: text.lines().map(str::to_owned).collect() };
    let steps = document.steps().unwrap();
    assert_eq!(
        steps,
        [Step { command: "one \\\ntwo".to_owned(), output: 4..6 }, Step { command: "three".to_owned(), output: 7..7 },]
    );
}
