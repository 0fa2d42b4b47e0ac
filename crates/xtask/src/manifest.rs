//! The krew manifests of a release, all rendered from one text.

use crate::{
    licences,
    platform::{PLATFORMS, Platform},
    plugin::{PLUGINS, Plugin},
};

/// What every URL and version of a release comes from.
#[derive(Debug, Clone)]
pub struct Release {
    /// The URL of the repository.
    pub repository: String,
    /// As in the tag: `v1.2.3`.
    pub version: String,
}

/// An archive of a release.
#[derive(Debug, Clone)]
pub struct Packed {
    /// What it runs on.
    pub platform: Platform,
    /// The SHA-256 of the archive.
    pub sha256: String,
}

impl Release {
    /// The release that this workspace would make.
    pub fn current() -> Self {
        Self { repository: env!("CARGO_PKG_REPOSITORY").to_owned(), version: format!("v{}", env!("CARGO_PKG_VERSION")) }
    }

    /// The manifest of a plugin: `plugins/NAME.yaml`.
    pub fn manifest(&self, plugin: &Plugin, packed: &[Packed]) -> String {
        let Self { repository, version } = self;
        let mut text = head(plugin, repository, version);
        for Packed { platform, sha256 } in packed {
            let uri = url(plugin, repository, version, platform);
            text.push_str(&entry(plugin, platform, &format!("uri: {uri}\n    sha256: {sha256}")));
        }
        text
    }

    /// Both manifests in one file, `krew-manifest.yaml`, below what krew makes of it. `example` is one of the platforms.
    pub fn both(&self, manifests: &[String; PLUGINS.len()], example: &Platform) -> String {
        let install = |plugin: &Plugin| {
            let (name, archive) = (plugin.name, plugin.archive(&self.version, example));
            format!("#   kubectl krew install --manifest=plugins/{name}.yaml --archive=dist/{archive}\n")
        };
        let commands: Vec<String> = PLUGINS.iter().map(install).collect();
        let documents: Vec<String> = manifests.iter().map(|manifest| format!("---\n{manifest}")).collect();
        format!(
            "\
# The krew manifests of both plugins, for people to read and for tools that split documents. krew itself reads only the
# first document of a file, safe-drain's, and installs one plugin a manifest. So install from the files that are the same
# document by document, each with its archive:
#
{}#
# Without --archive krew downloads the archive that the manifest names, which is there once that version is released.
#
# Rendered by `cargo xtask dist`, for the platforms that it built.
{}",
            commands.concat(),
            documents.concat()
        )
    }
}

/// What krew-release-bot makes the manifest of a later release from: `.krew/NAME.yaml`, for all platforms. The bot puts
/// the tag and the sums of the published archives in.
pub fn template(plugin: &Plugin, repository: &str) -> String {
    let tag = "{{ .TagName }}";
    let mut text = head(plugin, repository, tag);
    for platform in &PLATFORMS {
        let uri = url(plugin, repository, tag, platform);
        // The bot's answer has two lines, the second indented by four spaces.
        text.push_str(&entry(plugin, platform, &format!("{{{{addURIAndSha \"{uri}\" .TagName }}}}")));
    }
    text
}

fn url(plugin: &Plugin, repository: &str, version: &str, platform: &Platform) -> String {
    format!("{repository}/releases/download/{version}/{}", plugin.archive(version, platform))
}

fn head(plugin: &Plugin, repository: &str, version: &str) -> String {
    let Plugin { name, short_description, description } = plugin;
    let indented: Vec<String> = description.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "\
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: {name}
spec:
  version: {version}
  homepage: {repository}
  shortDescription: {short_description}
  description: |
{}  caveats: |
    To complete its arguments in the shell, run once:
      kubectl {name} completion --install
  platforms:
",
        indented.concat()
    )
}

fn entry(plugin: &Plugin, platform: &Platform, source: &str) -> String {
    let Platform { os, arch, target: _ } = platform;
    let binary = plugin.binary(platform);
    let files = [binary.as_str(), "LICENSE", "README.md", licences::FILE]
        .map(|file| format!("    - from: {file}\n      to: .\n"))
        .concat();
    format!(
        "  - selector:
      matchLabels:
        os: {os}
        arch: {arch}
    {source}
    bin: {binary}
    files:
{files}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest() {
        let release = Release { repository: "https://example.com/kubectl-x".into(), version: "v1.2.3".into() };
        let packed =
            [PLATFORMS[0], PLATFORMS[4]].map(|platform| Packed { platform, sha256: "0123456789abcdef".repeat(4) });
        insta::assert_snapshot!(release.manifest(&PLUGINS[0], &packed));
    }

    #[test]
    fn a_template() {
        insta::assert_snapshot!(template(&PLUGINS[1], "https://example.com/kubectl-x"));
    }
}
