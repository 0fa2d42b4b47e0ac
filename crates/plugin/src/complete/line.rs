//! A command line that is being typed: what its words are, and what may stand at its end.

use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, FromArgMatches as _};
use cluster::connect::{self, ConnectOptions, Connection};

use crate::cli;
use crate::error::CliError;
use crate::flags::GlobalFlags;

/// A command line up to the cursor.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// The command's name; none for the plugin's own.
    pub command: Option<String>,
    /// The argument that is wanted, by the name of its field; empty if none is.
    pub argument: String,
    /// The words before that are neither flags nor their values.
    pub words: Vec<String>,
    /// What was typed of the value.
    pub typed: String,
    /// kubectl's global flags; none if their values cannot be meant.
    pub flags: Option<GlobalFlags>,
    /// How the plugin calls itself to the server.
    pub user_agent: String,
}

impl Line {
    /// The connection that the global flags on the line describe.
    pub fn connect(&self) -> Result<Connection, CliError> {
        Ok(connect::connect(&self.connect_options()?)?)
    }

    pub(super) fn connect_options(&self) -> Result<ConnectOptions, CliError> {
        let flags = self.flags.as_ref().ok_or_else(|| CliError::new("a global flag has no such value"))?;
        Ok(flags.connect_options(self.user_agent.clone()))
    }
}

/// What may stand at the cursor.
#[derive(Debug)]
pub(super) enum Place<'c> {
    /// A word: a value of an argument without a flag, or one of the commands.
    Word {
        /// The argument that takes the word.
        argument: Option<&'c Arg>,
        /// Whether it may be a command.
        commands: bool,
    },
    /// The name of a flag.
    Flag {
        /// The flags before.
        given: Vec<&'c Arg>,
    },
    /// The value of a flag.
    Value(&'c Arg),
    /// Part of another program's command line.
    Foreign,
}

impl<'c> Place<'c> {
    /// The argument whose value may stand here.
    pub(super) fn argument(&self) -> Option<&'c Arg> {
        match self {
            Self::Word { argument, commands: _ } => *argument,
            Self::Value(argument) => Some(argument),
            Self::Flag { given: _ } | Self::Foreign => None,
        }
    }
}

/// The arguments of the command that the line is for, the global ones too.
pub(super) fn arguments<'c>(root: &'c Command, line: &Line) -> impl Iterator<Item = &'c Arg> + use<'c> {
    let command = line.command.as_ref().and_then(|name| root.find_subcommand(name));
    let globals = command.map(|_| root.get_arguments().filter(|arg| arg.is_global_set()));
    command.unwrap_or(root).get_arguments().chain(globals.into_iter().flatten())
}

/// The command that the words are for; none for the plugin's own.
pub(crate) fn command(root: &Command, words: &[String]) -> Option<String> {
    let (Line { command, .. }, _) = read(root, &[words, &[String::new()]].concat(), String::new());
    command
}

/// Reads the words as pflag would; the last one is what is being typed.
pub(super) fn read<'c>(root: &'c Command, words: &[String], user_agent: String) -> (Line, Place<'c>) {
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (last.as_str(), before));
    let line = Line { user_agent, ..Line::default() };
    let mut reading = Reading { root, line, given: Vec::new(), pending: None, only_words: false, is_for_help: false };
    for word in before {
        reading.word(word);
    }
    reading.end(last)
}

/// clap's own command, which is not among the root's.
const HELP: &str = "help";

struct Reading<'c> {
    root: &'c Command,
    line: Line,
    /// The flags so far with their values.
    given: Vec<(&'c Arg, Option<String>)>,
    /// The flag whose value the next word is.
    pending: Option<&'c Arg>,
    /// Behind `--`.
    only_words: bool,
    /// Behind `help`, where a command is all that may follow.
    is_for_help: bool,
}

impl<'c> Reading<'c> {
    fn word(&mut self, word: &str) {
        if let Some(flag) = self.pending.take() {
            self.given.push((flag, Some(word.to_owned())));
        } else if self.only_words || !word.starts_with('-') || word == "-" {
            if self.commands_may_follow() && self.root.find_subcommand(word).is_some() {
                self.line.command = Some(word.to_owned());
            } else if self.commands_may_follow() && word == HELP {
                self.is_for_help = true;
            } else {
                self.line.words.push(word.to_owned());
            }
        } else if word == "--" {
            self.only_words = true;
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            self.flag(self.long(name), value);
        } else {
            self.shorts(&word[1..]);
        }
    }

    /// Short flags in one word: switches, and at last one with a value.
    fn shorts(&mut self, letters: &str) {
        for (position, letter) in letters.char_indices() {
            let Some(flag) = self.short(letter) else { return };
            let rest = &letters[position + letter.len_utf8()..];
            if takes_next(flag) && !rest.is_empty() {
                return self.flag(Some(flag), Some(rest.strip_prefix('=').unwrap_or(rest)));
            }
            self.flag(Some(flag), None);
        }
    }

    fn flag(&mut self, flag: Option<&'c Arg>, value: Option<&str>) {
        match (flag, value) {
            (Some(flag), None) if takes_next(flag) => self.pending = Some(flag),
            (Some(flag), value) => self.given.push((flag, value.map(str::to_owned))),
            (None, _) => {}
        }
    }

    fn end(mut self, last: &str) -> (Line, Place<'c>) {
        let with_value = |flag: &str| flag.split_once('=').map(|(_, value)| value.to_owned());
        let place = if let Some(flag) = self.pending {
            last.clone_into(&mut self.line.typed);
            Place::Value(flag)
        } else if self.only_words && self.arguments().any(Arg::is_last_set) {
            Place::Foreign
        } else if self.only_words || !last.starts_with('-') {
            last.clone_into(&mut self.line.typed);
            Place::Word { argument: self.positional(), commands: self.commands_may_follow() }
        } else if let Some(value) = with_value(last) {
            let name = last.split('=').next().unwrap_or_default();
            let flag = match name.strip_prefix("--") {
                Some(long) => self.long(long),
                None => name[1..].chars().next_back().and_then(|letter| self.short(letter)),
            };
            self.line.typed = value;
            flag.map_or(Place::Word { argument: None, commands: false }, Place::Value)
        } else {
            last.clone_into(&mut self.line.typed);
            Place::Flag { given: self.given.iter().map(|(flag, _)| *flag).collect() }
        };
        self.line.argument = place.argument().map(|arg| arg.get_id().to_string()).unwrap_or_default();
        self.line.flags = globals(&self.given);
        (self.line, place)
    }

    /// A command stands first; only global flags may stand before it.
    fn commands_may_follow(&self) -> bool {
        let Line { command, words, .. } = &self.line;
        command.is_none()
            && words.is_empty()
            && !self.only_words
            && self.given.iter().all(|(flag, _)| flag.is_global_set())
    }

    /// The argument that takes the next word: the last one takes all that follow.
    fn positional(&self) -> Option<&'c Arg> {
        if self.is_for_help {
            return None;
        }
        let positionals: Vec<_> = self.arguments().filter(|arg| arg.is_positional() && !arg.is_last_set()).collect();
        let takes_more = |arg: &&Arg| matches!(arg.get_action(), ArgAction::Append);
        let count = self.line.words.len();
        positionals.get(count).or(positionals.last().filter(|last| takes_more(last))).copied()
    }

    fn long(&self, name: &str) -> Option<&'c Arg> {
        self.arguments().find(|arg| arg.get_long() == Some(name))
    }

    fn short(&self, letter: char) -> Option<&'c Arg> {
        self.arguments().find(|arg| arg.get_short() == Some(letter))
    }

    fn arguments(&self) -> impl Iterator<Item = &'c Arg> + use<'c> {
        arguments(self.root, &self.line)
    }
}

/// Whether the flag's value may be the next word.
fn takes_next(flag: &Arg) -> bool {
    flag.get_action().takes_values() && !flag.is_require_equals_set()
}

/// The global flags among those that were given, as a run would read them.
fn globals(given: &[(&Arg, Option<String>)]) -> Option<GlobalFlags> {
    let flags = given.iter().filter(|(flag, _)| flag.is_global_set()).filter_map(|(flag, value)| {
        let long = flag.get_long()?;
        Some(value.as_ref().map_or_else(|| format!("--{long}"), |value| format!("--{long}={value}")))
    });
    let command = GlobalFlags::augment_args(Command::new("globals").no_binary_name(true).args_override_self(true));
    let matches: ArgMatches = cli::read_like_pflag(command).try_get_matches_from(flags).ok()?;
    GlobalFlags::from_arg_matches(&matches).ok()
}
