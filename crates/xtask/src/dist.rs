//! Builds the plugins as they are shipped, packs them, and writes the manifests.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    archive::{self, File},
    licences::{self, Dependency},
    manifest::{self, Packed, Release},
    platform::{PLATFORMS, Platform},
    plugin::{PLUGINS, Plugin},
    readme,
};

/// More makes an installation noticeably slow.
const BINARY_LIMIT: usize = 10_000_000;
/// As above, for the download.
const ARCHIVE_LIMIT: usize = 4_500_000;
/// kubectl itself needs four times as much to print its help.
const HELP_LIMIT: Duration = Duration::from_millis(10);
/// How often the help is asked for; the median counts.
const HELP_RUNS: usize = 21;

/// Relocations as bits (`DT_RELR`): a third of a megabyte less. musl 1.2.4 and glibc 2.36 know them.
const SHORT_RELOCATIONS: &str = "-Clink-arg=-Wl,-z,pack-relative-relocs";

/// What was built for one plugin, and how large and fast it is.
#[derive(Debug)]
pub struct Built {
    /// Its archive.
    pub archive: PathBuf,
    /// Bytes of the binary.
    pub binary_size: usize,
    /// Bytes of the archive.
    pub archive_size: usize,
    /// The median time of `--help`; `None` if it cannot run here.
    pub help: Option<Duration>,
}

impl Built {
    /// What is larger than a release may be, in words.
    pub fn excess(&self) -> Vec<String> {
        let Self { archive: _, binary_size, archive_size, help: _ } = self;
        let mut excess = Vec::new();
        if *binary_size > BINARY_LIMIT {
            excess.push(format!("the binary has {binary_size} bytes, more than {BINARY_LIMIT}"));
        }
        if *archive_size > ARCHIVE_LIMIT {
            excess.push(format!("the archive has {archive_size} bytes, more than {ARCHIVE_LIMIT}"));
        }
        excess
    }

    /// Says so when `--help` takes longer than it is meant to, which may lie with the machine.
    pub fn slowness(&self) -> Option<String> {
        let help = self.help.filter(|help| *help > HELP_LIMIT)?;
        Some(format!("--help takes {help:?}, more than {HELP_LIMIT:?}"))
    }
}

/// Builds both plugins with the profile `dist` for `target`, or for this machine, packs them into `dist/`, and writes the
/// manifests for that platform alone.
///
/// # Errors
/// The platform is not released, or the build fails.
pub fn dist(workspace: &Path, target: Option<&str>) -> Result<Vec<Built>> {
    let host = host()?;
    let triple = target.unwrap_or(&host);
    let platform = Platform::of(triple)?;
    let binaries = build(workspace, platform, target)?;
    let dir = workspace.join("dist");
    fs::create_dir_all(&dir)?;
    let release = Release::current();
    let mut built = Vec::new();
    for plugin in &PLUGINS {
        let path = binaries.join(plugin.binary(platform));
        let binary = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let binary_size = binary.len();
        let dependencies = licences::dependencies(workspace, &plugin.package(), triple)?;
        let packed = pack(workspace, &release, plugin, platform, binary, &dependencies)?;
        let archive = dir.join(plugin.archive(&release.version, platform));
        fs::write(&archive, &packed)?;
        let help = if Platform::of(&host)? == platform { Some(help(&path)?) } else { None };
        built.push(Built { archive, binary_size, archive_size: packed.len(), help });
    }
    manifests(workspace, &release, &dir, &[*platform])?;
    Ok(built)
}

/// The archive of a plugin.
///
/// # Errors
/// A file of the workspace cannot be read.
pub fn pack(
    workspace: &Path,
    release: &Release,
    plugin: &Plugin,
    platform: &Platform,
    binary: Vec<u8>,
    dependencies: &[Dependency],
) -> Result<Vec<u8>> {
    let name = plugin.binary(platform);
    let read = |name: &str| fs::read_to_string(workspace.join(name)).with_context(|| format!("reading {name}"));
    Ok(archive::pack(&[
        File::document("LICENSE", read("LICENSE")?),
        File::document("README.md", readme::pack(&read("README.md")?, release)),
        File::document(licences::FILE, licences::text(&name, dependencies)),
        File::binary(&name, binary),
    ])?)
}

/// Writes the manifests and the bot's templates from the archives in `dir`, and their sums beside them.
///
/// # Errors
/// An archive of one of the platforms is missing.
pub fn manifests(workspace: &Path, release: &Release, dir: &Path, platforms: &[Platform]) -> Result<()> {
    let mut sums = Vec::new();
    let mut rendered = PLUGINS.map(|_| String::new());
    fs::create_dir_all(workspace.join(".krew"))?;
    fs::create_dir_all(workspace.join("plugins"))?;
    for (plugin, rendered) in PLUGINS.iter().zip(&mut rendered) {
        let mut packed = Vec::new();
        for platform in platforms {
            let name = plugin.archive(&release.version, platform);
            let sha256 = archive::sha256(&fs::read(dir.join(&name)).with_context(|| format!("reading {name}"))?);
            sums.push(format!("{sha256}  {name}\n"));
            packed.push(Packed { platform: *platform, sha256 });
        }
        *rendered = release.manifest(plugin, &packed);
        let file = format!("{}.yaml", plugin.name);
        fs::write(workspace.join("plugins").join(&file), &rendered)?;
        fs::write(workspace.join(".krew").join(&file), manifest::template(plugin, &release.repository))?;
    }
    let example = platforms.first().context("no platform")?;
    fs::write(workspace.join("krew-manifest.yaml"), release.both(&rendered, example))?;
    fs::write(dir.join("SHA256SUMS"), sums.concat())?;
    Ok(())
}

/// As [`manifests`], for a release: of all platforms.
///
/// # Errors
/// An archive is missing.
pub fn release_manifests(workspace: &Path, dir: &Path) -> Result<()> {
    manifests(workspace, &Release::current(), dir, &PLATFORMS)
}

/// Builds, and says where the binaries are.
fn build(workspace: &Path, platform: &Platform, target: Option<&str>) -> Result<PathBuf> {
    let mut cargo = crate::cargo(workspace);
    cargo.args(["build", "--locked", "--profile", "dist"]);
    for plugin in &PLUGINS {
        cargo.args(["--package", &plugin.package()]);
    }
    let mut binaries = target_dir(workspace);
    if let Some(target) = target {
        cargo.args(["--target", target]);
        binaries.push(target);
    }
    // Panics name source files: the same names wherever it is built.
    let home = cargo_home()?;
    let remap = [(home.as_path(), "/cargo"), (workspace, "/source")]
        .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display()));
    let mut flags = Vec::from(remap);
    if platform.os == "linux" {
        flags.push(SHORT_RELOCATIONS.to_owned());
    }
    let status = cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).status().context("starting cargo")?;
    if !status.success() {
        bail!("cargo could not build the plugins");
    }
    Ok(binaries.join("dist"))
}

fn target_dir(workspace: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from)
}

fn cargo_home() -> Result<PathBuf> {
    match env::var_os("CARGO_HOME") {
        Some(home) => Ok(home.into()),
        None => Ok(env::home_dir().context("neither CARGO_HOME nor HOME is set")?.join(".cargo")),
    }
}

/// The target triple of this machine.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output().context("starting rustc")?;
    let said = String::from_utf8(output.stdout)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc does not name its host")?.to_owned())
}

/// The median time of `--help`.
#[expect(clippy::disallowed_methods, reason = "a stopwatch around another program")]
fn help(binary: &Path) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..HELP_RUNS {
        let started = std::time::Instant::now();
        let status = Command::new(binary).arg("--help").stdout(Stdio::null()).status()?;
        times.push(started.elapsed());
        if !status.success() {
            bail!("{} --help failed", binary.display());
        }
    }
    times.sort();
    Ok(times[HELP_RUNS / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(binary_size: usize, archive_size: usize, help: u64) -> Built {
        Built { archive: "dist/x.tar.gz".into(), binary_size, archive_size, help: Some(Duration::from_micros(help)) }
    }

    #[test]
    fn each_limit_is_one() {
        #[track_caller]
        fn check(built: &Built, expected: &[&str]) {
            assert_eq!(built.excess(), expected);
        }
        check(&built(BINARY_LIMIT, ARCHIVE_LIMIT, 10_001), &[]);
        let binary = "the binary has 10000001 bytes, more than 10000000";
        let archive = "the archive has 4500001 bytes, more than 4500000";
        check(&built(10_000_001, 4_500_001, 1), &[binary, archive]);
        assert_eq!(built(1, 1, 10_001).slowness().unwrap(), "--help takes 10.001ms, more than 10ms");
        assert_eq!(
            [built(1, 1, 10_000), Built { help: None, ..built(1, 1, 0) }].map(|built| built.slowness()),
            [None, None]
        );
    }

    #[test]
    fn an_archive_that_is_missing_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let release = Release { repository: "https://example.com/r".into(), version: "v1.2.3".into() };
        let error = manifests(dir.path(), &release, dir.path(), &PLATFORMS).unwrap_err().to_string();
        assert_eq!(error, "reading kubectl-safe_drain-v1.2.3-linux-amd64.tar.gz");
    }
}
