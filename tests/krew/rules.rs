//! The rules for a manifest and its archives: krew's own, those of its index, and those of its reviewers.

use std::path::{Component, Path};

use serde_json::Value;
use xtask::archive::{self, File};

/// What an index is checked with: every platform that krew knows.
const KNOWN: [(&str, &str); 11] = [
    ("windows", "386"),
    ("windows", "amd64"),
    ("windows", "arm64"),
    ("linux", "386"),
    ("linux", "amd64"),
    ("linux", "arm"),
    ("linux", "arm64"),
    ("linux", "ppc64le"),
    ("darwin", "386"),
    ("darwin", "amd64"),
    ("darwin", "arm64"),
];
/// File names that count as a licence, in any case.
const LICENCES: [&str; 9] = [
    "license",
    "license.txt",
    "license.md",
    "licenses",
    "licenses.txt",
    "licenses.md",
    "copying",
    "copying.txt",
    "copying.md",
];
const SHORT_DESCRIPTION_LIMIT: usize = 50;
const LINE_LIMIT: usize = 80;

/// The rules that a manifest breaks.
pub(crate) fn broken(file: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let mut must = |holds: bool, rule: String| {
        if !holds {
            broken.push(rule);
        }
    };
    let Ok(manifest) = serde_saphyr::from_str::<Value>(text) else {
        return vec!["it is no YAML".to_owned()];
    };
    let word = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();

    must(
        word("/apiVersion") == "krew.googlecontainertools.github.com/v1alpha2" && word("/kind") == "Plugin",
        "it is no Plugin of v1alpha2".to_owned(),
    );
    let name = word("/metadata/name");
    let kebab = |name: &str| {
        name.split('-')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
    };
    must(kebab(name) && name.contains('-'), format!("the name {name:?} is not of several words in lower case"));
    must(!name.contains("kube"), format!("the name {name:?} says kube"));
    must(file == format!("{name}.yaml"), format!("the file is {file}, not {name}.yaml"));

    let version = word("/spec/version");
    let semantic = version.strip_prefix('v').is_some_and(|version| semver::Version::parse(version).is_ok());
    must(semantic, format!("the version {version:?} is not v and a semantic version"));
    must(word("/spec/homepage").starts_with("https://"), "the homepage is no URL".to_owned());

    let short = word("/spec/shortDescription");
    must(
        !short.is_empty() && short.chars().count() <= SHORT_DESCRIPTION_LIMIT && !short.contains(['\n', '\r']),
        format!("the short description is not one line of at most {SHORT_DESCRIPTION_LIMIT} characters"),
    );
    let description = word("/spec/description");
    must(!description.trim().is_empty(), "there is no description".to_owned());
    for line in description.lines() {
        must(line.chars().count() <= LINE_LIMIT, format!("a line of the description is too long: {line}"));
        let usage = [&format!("kubectl {name}"), " --", "$ ", "Usage", "Example"];
        must(!usage.iter().any(|sign| line.contains(*sign)), format!("the description shows usage: {line}"));
    }

    let none = Vec::new();
    let platforms = manifest.pointer("/spec/platforms").and_then(Value::as_array).unwrap_or(&none);
    must(!platforms.is_empty(), "there are no platforms".to_owned());
    for platform in platforms {
        for rule in broken_in(platform) {
            must(false, rule);
        }
    }
    for (os, arch) in KNOWN {
        let matching = platforms.iter().filter(|platform| selects(platform, os, arch)).count();
        must(matching <= 1, format!("{os}/{arch} is selected by {matching} platforms"));
    }
    broken
}

/// The rules that one entry of a manifest's platforms breaks.
fn broken_in(platform: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let mut must = |holds: bool, rule: String| {
        if !holds {
            broken.push(rule);
        }
    };
    let word = |key: &str| platform[key].as_str().unwrap_or_default();
    let uri = word("uri");
    must(
        ["https://", "http://127.0.0.1:"].iter().any(|scheme| uri.starts_with(scheme)) && uri.ends_with(".tar.gz"),
        format!("the URI {uri:?} names no archive"),
    );
    let sum = word("sha256");
    must(
        sum.len() == 64 && sum.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')),
        format!("the sum {sum:?} is no SHA-256 in lower case"),
    );
    let labels = platform["selector"]["matchLabels"].as_object();
    must(
        labels.is_some_and(|labels| !labels.is_empty() && labels.keys().all(|key| key == "os" || key == "arch")),
        "the selector is not by os and arch".to_owned(),
    );
    must(KNOWN.iter().any(|(os, arch)| selects(platform, os, arch)), "the selector selects nothing".to_owned());

    let bin = word("bin");
    let none = Vec::new();
    let files = platform["files"].as_array().unwrap_or(&none);
    must(!files.is_empty(), "the list of files is empty".to_owned());
    must(files.iter().any(|file| file["from"] == bin), format!("the binary {bin:?} is none of the files"));
    must(
        (bin.rsplit('.').next() == Some("exe")) == selects(platform, "windows", "amd64"),
        format!("the binary is {bin:?}"),
    );
    for file in files {
        let (from, to) = (file["from"].as_str().unwrap_or_default(), file["to"].as_str().unwrap_or_default());
        must(is_clean(from), format!("the file {from:?} is not a clean path"));
        must(to == "." || is_clean(to), format!("the destination {to:?} is not a clean path"));
    }
    broken
}

/// The rules that an archive breaks which the platform's entry describes.
pub(crate) fn broken_archive(platform: &Value, bytes: &[u8]) -> Vec<String> {
    let files = match archive::unpack(bytes) {
        Ok(files) => files,
        Err(error) => return vec![error.to_string()],
    };
    let mut broken = Vec::new();
    let mut must = |holds: bool, rule: String| {
        if !holds {
            broken.push(rule);
        }
    };
    must(platform["sha256"] == archive::sha256(bytes), "the sum is another".to_owned());
    let mut listed: Vec<&str> =
        platform["files"].as_array().into_iter().flatten().filter_map(|file| file["from"].as_str()).collect();
    listed.sort_unstable();
    let held: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    must(held == listed, format!("it holds {held:?}, the manifest lists {listed:?}"));
    must(held.iter().any(|name| LICENCES.contains(&name.to_lowercase().as_str())), "it holds no licence".to_owned());
    for File { name, mode, bytes } in &files {
        let expected = if platform["bin"] == name.as_str() { 0o755 } else { 0o644 };
        must(*mode == expected, format!("{name} has the mode {mode:o}"));
        must(is_clean(name), format!("{name} is not a clean path"));
        must(!bytes.is_empty(), format!("{name} is empty"));
    }
    broken
}

fn selects(platform: &Value, os: &str, arch: &str) -> bool {
    let labels = &platform["selector"]["matchLabels"];
    [("os", os), ("arch", arch)].iter().all(|(key, value)| labels[key].as_str().is_none_or(|label| label == *value))
}

/// Whether Go's `filepath.Clean` would leave it as it is, and it stays below where it starts.
fn is_clean(path: &str) -> bool {
    let normal = Path::new(path).components().all(|component| matches!(component, Component::Normal(_)));
    normal
        && !path.is_empty()
        && !path.contains("//")
        && !path.contains("/./")
        && !path.ends_with(['/', '\\'])
        && !path.ends_with("/.")
}

/// Every rule is seen broken once: a table of one change each to a manifest that keeps them all.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::packed;

    fn manifest() -> String {
        packed::stand_in("v1.2.3", "https://example.com/kubectl-x").unwrap().manifests[0].clone()
    }

    #[test]
    fn each_rule_can_be_broken() {
        assert_eq!(broken("safe-drain.yaml", &manifest()), Vec::<String>::new());
        assert_eq!(broken("drain.yaml", &manifest()), ["the file is drain.yaml, not safe-drain.yaml"]);
        let long = "x".repeat(81);
        #[rustfmt::skip]
        let table: [(&str, &str, &str); 22] = [
            ("v1alpha2", "v1alpha3", "it is no Plugin of v1alpha2"),
            ("kind: Plugin", "kind: Plugins", "it is no Plugin of v1alpha2"),
            ("  name: safe-drain", "  name: Safe-drain", "the name \"Safe-drain\" is not of several words in lower case"),
            ("  name: safe-drain", "  name: drain", "the name \"drain\" is not of several words in lower case"),
            ("  name: safe-drain", "  name: kube-drain", "the name \"kube-drain\" says kube"),
            ("version: v1.2.3", "version: 1.2.3", "the version \"1.2.3\" is not v and a semantic version"),
            ("version: v1.2.3", "version: v1.2", "the version \"v1.2\" is not v and a semantic version"),
            ("homepage: https", "homepage: gopher", "the homepage is no URL"),
            ("shortDescription: ", &format!("shortDescription: {long}"), "the short description is not one line of at most 50 characters"),
            ("Empties nodes", &long, "a line of the description is too long"),
            ("Empties nodes", "kubectl safe-drain NODE", "the description shows usage"),
            ("  platforms:", "  platform:", "there are no platforms"),
            ("https://example.com/kubectl-x/releases", "ftp://example.com", "the URI \"ftp://example.com"),
            ("sha256: ", "sha256: A", "is no SHA-256 in lower case"),
            ("        os: linux", "        system: linux", "the selector is not by os and arch"),
            ("        arch: amd64", "        arch: z80", "the selector selects nothing"),
            ("        arch: amd64\n", "", "linux/arm64 is selected by 2 platforms"),
            ("bin: kubectl-safe_drain\n", "bin: kubectl-safe-drain\n", "the binary \"kubectl-safe-drain\" is none of the files"),
            ("bin: kubectl-safe_drain.exe", "bin: kubectl-safe_drain", "the binary is \"kubectl-safe_drain\""),
            ("from: LICENSE", "from: ../LICENSE", "the file \"../LICENSE\" is not a clean path"),
            ("      to: .", "      to: ./here", "the destination \"./here\" is not a clean path"),
            ("    files:", "    file:", "the list of files is empty"),
        ];
        for (from, to, rule) in table {
            let changed = manifest().replacen(from, to, 1);
            assert_ne!(changed, manifest(), "{from}");
            let broken = broken("safe-drain.yaml", &changed);
            assert!(broken.iter().any(|found| found.contains(rule)), "{to}: {broken:?}");
        }
    }

    #[test]
    fn each_rule_for_archives_can_be_broken() {
        let manifest: Value = serde_saphyr::from_str(&manifest()).unwrap();
        let platform = &manifest["spec"]["platforms"][0];
        let good = [
            File::document("LICENSE", "text"),
            File::document("README.md", "text"),
            File::document("THIRD-PARTY-LICENSES.txt", "texts"),
            File::binary("kubectl-safe_drain", "binary"),
        ];
        let check = |files: &[File], rule: &str| {
            let bytes = archive::pack(files).unwrap();
            let mut platform = platform.clone();
            platform["sha256"] = archive::sha256(&bytes).into();
            let broken = broken_archive(&platform, &bytes);
            assert!(
                broken.iter().any(|found| found.contains(rule)) || (rule.is_empty() && broken.is_empty()),
                "{rule}: {broken:?}"
            );
        };
        check(&good, "");
        check(&good[1..], "it holds no licence");
        check(&good[..3], "it holds [");
        let with = |index: usize, file: File| {
            let mut files = good.clone();
            files[index] = file;
            files
        };
        check(&with(3, File::document("kubectl-safe_drain", "binary")), "kubectl-safe_drain has the mode 644");
        check(&with(0, File::binary("LICENSE", "text")), "LICENSE has the mode 755");
        check(&with(1, File::document("README.md", "")), "README.md is empty");
        check(&with(1, File::document("docs/README.md", "text")), "it holds [");
        let bytes = archive::pack(&good).unwrap();
        assert_eq!(broken_archive(platform, &bytes), ["the sum is another"]);
        assert_eq!(broken_archive(platform, b"plain text").len(), 1);
    }
}
