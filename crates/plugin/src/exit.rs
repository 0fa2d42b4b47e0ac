//! The exit codes, as `--help` lists them.

use std::fmt::Write as _;

use disruption::outcome::Exit;

/// The table of the exit codes that a command uses, for the end of its `--help`.
pub fn exit_codes(exits: &[Exit]) -> String {
    let mut text = String::from("Exit codes:");
    for exit in exits {
        let _ = write!(text, "\n  {:>3}  {}", exit.code(), exit.meaning());
    }
    text
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
