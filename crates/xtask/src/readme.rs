//! README.md as it is packed: in an archive its links lead to the repository.

use crate::Release;

/// Makes links to files of the repository absolute: to what they were at the release. Those within the text, and those
/// elsewhere, stay.
pub fn pack(text: &str, release: &Release) -> String {
    let Release { repository, version } = release;
    let link = |(number, part): (usize, &str)| {
        let target = part.split(')').next().unwrap_or_default();
        match number {
            0 => part.to_owned(),
            _ if target.starts_with('#') || target.contains(':') => format!("]({part}"),
            _ => format!("]({repository}/blob/{version}/{part}"),
        }
    };
    text.split("](").enumerate().map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_become_absolute() {
        #[track_caller]
        fn check(text: &str, expected: &str) {
            let release = Release { repository: "https://example.com/r".into(), version: "v1.2.3".into() };
            assert_eq!(pack(text, &release), expected);
        }
        check("no link (at all)", "no link (at all)");
        check(
            "[a](docs/a.md), [b](B.md).",
            "[a](https://example.com/r/blob/v1.2.3/docs/a.md), [b](https://example.com/r/blob/v1.2.3/B.md).",
        );
        check("[a](docs/a.md#b)\n", "[a](https://example.com/r/blob/v1.2.3/docs/a.md#b)\n");
        check("[a](#b) and [c](https://krew.sigs.k8s.io)", "[a](#b) and [c](https://krew.sigs.k8s.io)");
        check("[a](mailto:b@example.com)", "[a](mailto:b@example.com)");
    }
}
