//! Archives and manifests to try: packed and rendered as a release is, from the binaries at hand.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;
use xtask::{
    PLATFORMS, PLUGINS, Platform, Plugin, Release, dist,
    licences::{self, Dependency},
};

/// A release in a directory of its own.
pub(crate) struct Packed {
    pub(crate) dir: TempDir,
    pub(crate) release: Release,
    /// Those of [`PLUGINS`], in their order.
    pub(crate) manifests: [String; 2],
}

impl Packed {
    pub(crate) fn archive(&self, plugin: &Plugin, platform: &Platform) -> PathBuf {
        self.dir.path().join(plugin.archive(&self.release.version, platform))
    }

    pub(crate) fn manifest(&self, plugin: &Plugin) -> PathBuf {
        self.dir.path().join(format!("plugins/{}.yaml", plugin.name))
    }
}

/// A release for all platforms whose binaries are scripts that say their names.
pub(crate) fn stand_in(version: &str, repository: &str) -> Result<Packed> {
    pack(version, repository, &PLATFORMS, &[], |plugin, platform| {
        Ok(format!("#!/bin/sh\necho {} {version} on {}/{}\n", plugin.name, platform.os, platform.arch).into_bytes())
    })
}

/// A release for this machine's platform with the plugins themselves.
pub(crate) fn real(version: &str, repository: &str) -> Result<Packed> {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let dependencies = licences::dependencies(xtask::workspace(), "kubectl-safe-drain", &host)?;
    pack(version, repository, &[*Platform::of(&host)?], &dependencies, |plugin, _| stripped(&lab::plugin(plugin.name)?))
}

/// A binary without what debuggers read: most of a binary for tests, and slow to pack.
fn stripped(binary: &Path) -> Result<Vec<u8>> {
    let copy = tempfile::NamedTempFile::new()?.into_temp_path();
    let output = Command::new("strip").arg("-o").arg(&copy).arg(binary).output().context("strip: install binutils")?;
    if !output.status.success() {
        bail!("strip: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(fs::read(&copy)?)
}

fn pack(
    version: &str,
    repository: &str,
    platforms: &[Platform],
    dependencies: &[Dependency],
    binary: impl Fn(&Plugin, &Platform) -> Result<Vec<u8>>,
) -> Result<Packed> {
    let dir = tempfile::tempdir()?;
    let release = Release { repository: repository.to_owned(), version: version.to_owned() };
    for plugin in &PLUGINS {
        for platform in platforms {
            let binary = binary(plugin, platform)?;
            let bytes = dist::pack(xtask::workspace(), &release, plugin, platform, binary, dependencies)?;
            fs::write(dir.path().join(plugin.archive(version, platform)), bytes)?;
        }
    }
    dist::manifests(dir.path(), &release, dir.path(), platforms)?;
    let read = |plugin: &Plugin| fs::read_to_string(dir.path().join(format!("plugins/{}.yaml", plugin.name)));
    let manifests = [read(&PLUGINS[0])?, read(&PLUGINS[1])?];
    Ok(Packed { dir, release, manifests })
}
