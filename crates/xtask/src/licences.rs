//! The licences of what is linked into a binary, in one file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// The name of the file in an archive.
pub const FILE: &str = "THIRD-PARTY-LICENSES.txt";

/// Something that is linked into a binary.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency {
    /// The crate's name.
    pub name: String,
    /// The crate's version.
    pub version: String,
    /// Its licence, as SPDX has it.
    pub licence: String,
    /// The texts that come with it.
    pub texts: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    manifest_path: PathBuf,
    /// `None` for the packages of this workspace.
    source: Option<String>,
}

/// What the binary of a package is linked from, on a target; without build scripts, macros and what only tests need.
///
/// # Errors
/// Cargo's own words; or a crate comes without the text of a licence that the workspace does not have either.
pub fn dependencies(workspace: &Path, package: &str, target: &str) -> Result<Vec<Dependency>> {
    let metadata = cargo(workspace, &["metadata", "--locked", "--format-version=1"])?;
    let Metadata { packages } = serde_json::from_str(&metadata)?;
    let by_name: BTreeMap<(&str, &str), &Package> =
        packages.iter().map(|package| ((package.name.as_str(), package.version.as_str()), package)).collect();
    linked(workspace, package, target)?
        .iter()
        .filter_map(|(name, version)| match by_name.get(&(name.as_str(), version.as_str())) {
            None => Some(Err(anyhow::anyhow!("cargo tree knows {name} {version}, cargo metadata does not"))),
            Some(Package { source: None, .. }) => None,
            Some(package) => Some(dependency(workspace, package)),
        })
        .collect()
}

/// The file: which crates there are, then each text once with the crates that it came with.
pub fn text(binary: &str, dependencies: &[Dependency]) -> String {
    let mut by_text: BTreeMap<String, (&str, Vec<String>)> = BTreeMap::new();
    let mut parts = vec![format!("{binary} is linked from these crates of others:\n\n")];
    for Dependency { name, version, licence, texts } in dependencies {
        parts.push(format!("{name} {version}: {licence}\n"));
        for text in texts {
            // Texts that differ in their line breaks alone are one.
            let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
            by_text.entry(words).or_insert((text, Vec::new())).1.push(format!("{name} {version}"));
        }
    }
    let mut texts: Vec<_> = by_text.into_values().collect();
    texts.sort_by(|(_, one), (_, other)| one.cmp(other));
    let line = "=".repeat(80);
    for (text, mut users) in texts {
        users.dedup();
        parts.push(format!("\n{line}\n{}\n\n{}\n", users.join(", "), text.trim_matches('\n')));
    }
    parts.concat()
}

/// Names and versions of what is linked into a package's binary, with the features that it is built with.
fn linked(workspace: &Path, package: &str, target: &str) -> Result<BTreeSet<(String, String)>> {
    let tree = cargo(
        workspace,
        &[
            "tree",
            "--locked",
            "--package",
            package,
            "--target",
            target,
            "--edges",
            "normal,no-proc-macro",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ],
    )?;
    tree.lines()
        .map(|line| {
            let (name, rest) = line.split_once(" v").with_context(|| format!("a line of cargo tree: {line}"))?;
            let version = rest.split_whitespace().next().unwrap_or_default();
            Ok((name.to_owned(), version.to_owned()))
        })
        .collect()
}

fn dependency(workspace: &Path, package: &Package) -> Result<Dependency> {
    let Package { name, version, license, manifest_path, source: _ } = package;
    let licence = license.clone().with_context(|| format!("{name} {version} names no licence"))?;
    let mut texts = texts(manifest_path.parent().context("a manifest without a directory")?)?;
    if texts.is_empty() {
        // The one text that is the same for everybody: ours.
        if !licence.split([' ', '/', '(', ')']).any(|word| word == "Apache-2.0") {
            bail!("{name} {version} comes without the text of its licence, {licence}");
        }
        texts.push(read(&workspace.join("LICENSE"))?);
    }
    Ok(Dependency { name: name.clone(), version: version.clone(), licence, texts })
}

/// The licences and notices in a crate's top directory, by the names of their files.
fn texts(dir: &Path) -> Result<Vec<String>> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)?
        .map(|entry| Ok(entry?.path()))
        .filter(|path: &Result<PathBuf>| path.as_ref().is_ok_and(|path| path.is_file() && is_licence(path)))
        .collect::<Result<_>>()?;
    files.sort();
    files.iter().map(|path| read(path)).collect()
}

fn is_licence(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    ["licen", "copying", "copyright", "notice", "unlicense"].iter().any(|word| name.starts_with(word))
}

fn read(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
}

fn cargo(workspace: &Path, args: &[&str]) -> Result<String> {
    let output = crate::cargo(workspace).args(args).output().context("starting cargo")?;
    if !output.status.success() {
        bail!("cargo {}:\n{}", args.join(" "), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dependency(name: &str, texts: &[&str]) -> Dependency {
        let texts = texts.iter().map(ToString::to_string).collect();
        Dependency { name: name.into(), version: "1.0.0".into(), licence: "MIT OR Apache-2.0".into(), texts }
    }

    #[test]
    fn each_text_stands_once_with_all_that_came_with_it() {
        let apache = "Apache License\n\nVersion 2.0\n";
        let dependencies = [
            dependency("a", &[apache, "Copyright A"]),
            dependency("b", &["Apache License\nVersion 2.0"]),
            dependency("c", &["Copyright C", "Copyright C"]),
        ];
        insta::assert_snapshot!(text("kubectl-x", &dependencies));
    }

    #[test]
    fn every_crate_of_both_plugins_has_a_text_and_macros_are_not_linked() {
        let workspace = crate::workspace();
        for package in ["kubectl-safe-drain", "kubectl-rollout-guard"] {
            let found = super::dependencies(workspace, package, "x86_64-unknown-linux-gnu").unwrap();
            assert!(found.len() > 100, "{}", found.len());
            assert!(found.iter().all(|dependency| dependency.texts.iter().any(|text| text.len() > 100)));
            let has = |name: &str| found.iter().any(|dependency| dependency.name == name);
            assert!(has("kube-client") && has("rustls") && has("clap"));
            assert!(!has("serde_derive") && !has("insta") && !has("disruption"));
        }
    }
}
