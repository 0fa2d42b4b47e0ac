//! What kwok plays: `kwok-stages.yaml`, where a line `@name` stands for the text of `stages/name.*`.

const STAGES: &str = include_str!("../kwok-stages.yaml");

const PARTS: [(&str, &str); 10] = [
    ("@culprit", include_str!("../stages/culprit.tpl")),
    ("@ended", include_str!("../stages/ended.tpl")),
    ("@ends", include_str!("../stages/ends.jq")),
    ("@ends-after", include_str!("../stages/ends-after.jq")),
    ("@event", include_str!("../stages/event.tpl")),
    ("@fallen", include_str!("../stages/fallen.jq")),
    ("@not-made", include_str!("../stages/not-made.tpl")),
    ("@pull", include_str!("../stages/pull.tpl")),
    ("@unready", include_str!("../stages/unready.tpl")),
    ("@waiting", include_str!("../stages/waiting.tpl")),
];

/// The configuration of kwok.
pub(crate) fn text() -> String {
    let mut text = String::new();
    write(STAGES, "", &mut text);
    text
}

fn write(lines: &str, indent: &str, text: &mut String) {
    for line in lines.lines() {
        let word = line.trim_start();
        let own = &line[..line.len() - word.len()];
        match PARTS.iter().find(|(name, _)| *name == word) {
            Some((_, part)) => write(part, &format!("{indent}{own}"), text),
            None => text.extend([indent, line, "\n"]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_is_left_out() {
        let text = text();
        let left: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with('@')).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
