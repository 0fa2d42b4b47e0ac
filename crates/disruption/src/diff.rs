//! Unified diffs of what will change.

use std::fmt::Write as _;

use similar::{
    ChangeTag, DiffOp,
    algorithms::{Capture, Compact, Replace, myers},
    group_diff_ops,
    udiff::UnifiedHunkHeader,
};

/// Lines shown around a change.
const CONTEXT_LINES: usize = 3;

/// The unified diff of two texts that describe `object` before and after; empty when they are equal.
pub fn unified(object: &str, before: &str, after: &str) -> String {
    between((&format!("before/{object}"), before), (&format!("after/{object}"), after))
}

/// The unified diff of two texts, each under its title; empty when they are equal.
pub fn between((old, before): (&str, &str), (new, after): (&str, &str)) -> String {
    if before == after {
        return String::new();
    }
    let mut diff = format!("--- {old}\n+++ {new}\n");
    let (before, after) = (lines(before), lines(after));
    for hunk in group_diff_ops(changes(&before, &after), CONTEXT_LINES) {
        let _ = writeln!(diff, "{}", UnifiedHunkHeader::new(&hunk));
        for change in hunk.iter().flat_map(|op| op.iter_changes(&before, &after)) {
            let sign = match change.tag() {
                ChangeTag::Equal => ' ',
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
            };
            let _ = writeln!(diff, "{sign}{}", change.value());
        }
    }
    diff
}

/// Only one algorithm on one kind of sequence: all that `similar` can do is half a megabyte.
fn changes(before: &[&str], after: &[&str]) -> Vec<DiffOp> {
    let mut changes = Compact::new(Replace::new(Capture::new()), before, after);
    // Writing down what is captured cannot fail.
    let Ok(()) = myers::diff(&mut changes, before, 0..before.len(), after, 0..after.len());
    changes.into_inner().into_inner().into_ops()
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_no_diff() {
        assert_eq!(unified("node/a", "x\n", "x\n"), "");
    }

    #[test]
    fn a_change_is_shown_with_its_object() {
        assert_eq!(
            unified("node/a", "spec:\n  unschedulable: false\n", "spec:\n  unschedulable: true\n"),
            "--- before/node/a\n+++ after/node/a\n@@ -1,2 +1,2 @@\n spec:\n-  unschedulable: false\n+  unschedulable: true\n"
        );
    }
}
