//! The exit codes, as `--help` lists them.

use std::fmt::Write as _;

use disruption::outcome::Exit;

/// The table of the exit codes that a command uses, for the end of its `--help`.
pub fn exit_codes(exits: &[Exit]) -> String {
    let mut text = String::from("Exit codes:");
    for exit in exits {
        let _ = write!(text, "\n  {:>3}  {}", exit.code(), meaning(*exit));
    }
    text
}

fn meaning(exit: Exit) -> &'static str {
    match exit {
        Exit::Done => "done, or nothing to do",
        Exit::Error => "error or wrong usage",
        Exit::Refused => "refused: needs a flag or an answer",
        Exit::Blocked => "a disruption budget blocks",
        Exit::NoRoom => "no room for a replacement, or it did not become Ready in time",
        Exit::Unfinished => "unfinished: the deadline passed",
        Exit::Undone => "the rollout stalled and was undone, verified good",
        Exit::UndoUnverified => "the rollout stalled and its undo could not be verified",
        Exit::NotUndone => "the rollout stalled and was not undone",
        Exit::Superseded => "superseded, deleted, taken over, or somebody else is at it",
        Exit::Forbidden => "the server forbids something that is needed",
        Exit::Interrupted => "interrupted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned() {
        insta::assert_snapshot!(exit_codes(&[Exit::Done, Exit::Error, Exit::Interrupted]), @r"
        Exit codes:
            0  done, or nothing to do
            1  error or wrong usage
          130  interrupted
        ");
    }
}
