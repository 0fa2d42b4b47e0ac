//! Unified diffs of what will change.

use similar::TextDiff;

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
    TextDiff::from_lines(before, after).unified_diff().context_radius(CONTEXT_LINES).header(old, new).to_string()
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
