//! How a command ended, as the exit code that pipelines read.

use std::fmt;

/// The exit codes of both plugins. One table: `--help` and docs/exit-codes.md are made from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exit {
    /// Done, or the plan is clear, or a selector matched nothing (which is said).
    Done,
    /// An error or wrong usage.
    Error,
    /// Refused by preflight: needs a flag or an answer.
    Refused,
    /// A disruption budget blocks.
    Blocked,
    /// No room for a replacement, or a replacement did not become Ready in time.
    NoRoom,
    /// Unfinished: a deadline passed.
    Unfinished,
    /// A rollout stalled and was undone, verified good.
    Undone,
    /// A rollout stalled and its undo could not be verified.
    UndoUnverified,
    /// A rollout stalled and was not undone.
    NotUndone,
    /// Superseded, deleted, taken over, or somebody else is at it.
    Superseded,
    /// The server forbids something that is needed.
    Forbidden,
    /// Interrupted by a signal.
    Interrupted,
}

impl Exit {
    /// Every exit in the order in which it wins when several targets end differently.
    pub const BY_PRECEDENCE: [Self; 12] = [
        Self::Interrupted,
        Self::Forbidden,
        Self::Error,
        Self::Refused,
        Self::Superseded,
        Self::Blocked,
        Self::NoRoom,
        Self::UndoUnverified,
        Self::NotUndone,
        Self::Unfinished,
        Self::Undone,
        Self::Done,
    ];

    /// The number that the process exits with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Refused => 3,
            Self::Blocked => 4,
            Self::NoRoom => 5,
            Self::Unfinished => 6,
            Self::Undone => 7,
            Self::UndoUnverified => 8,
            Self::NotUndone => 9,
            Self::Superseded => 10,
            Self::Forbidden => 11,
            Self::Interrupted => 130,
        }
    }

    /// The one with this number.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::BY_PRECEDENCE.into_iter().find(|exit| exit.code() == code)
    }

    /// What it means, as `--help` says it.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done, or nothing to do",
            Self::Error => "error or wrong usage",
            Self::Refused => "refused: needs a flag or an answer",
            Self::Blocked => "a disruption budget blocks",
            Self::NoRoom => "no room for a replacement, or it did not become Ready in time",
            Self::Unfinished => "unfinished: the deadline passed",
            Self::Undone => "the rollout stalled and was undone, verified good",
            Self::UndoUnverified => "the rollout stalled and its undo could not be verified",
            Self::NotUndone => "the rollout stalled and was not undone",
            Self::Superseded => "superseded, deleted, taken over, or somebody else is at it",
            Self::Forbidden => "the server forbids something that is needed",
            Self::Interrupted => "interrupted",
        }
    }

    /// The one that stands for all: the first by precedence, `Done` for none.
    pub fn of_all(exits: impl IntoIterator<Item = Self>) -> Self {
        let exits: Vec<Self> = exits.into_iter().collect();
        Self::BY_PRECEDENCE.into_iter().find(|exit| exits.contains(exit)).unwrap_or(Self::Done)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_by_precedence_wins() {
        #[track_caller]
        fn check(exits: &[Exit], expected: u8) {
            assert_eq!(Exit::of_all(exits.iter().copied()).code(), expected, "{exits:?}");
        }
        check(&[], 0);
        check(&[Exit::Done, Exit::Undone], 7);
        check(&[Exit::Blocked, Exit::Refused], 3);
        check(&[Exit::NoRoom, Exit::Blocked, Exit::Unfinished], 4);
        check(&[Exit::Refused, Exit::Error, Exit::Forbidden], 11);
        check(&[Exit::Forbidden, Exit::Interrupted, Exit::Done], 130);
    }
}
