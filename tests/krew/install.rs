//! krew installs the plugins from what is built here, and kubectl runs them.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use anyhow::{Context, Result, bail};
use xtask::{PLATFORMS, PLUGINS, Platform, Plugin, archive};

use crate::{
    krew::{Krew, serve},
    packed::{self, Packed},
};

/// The plugins themselves, packed once.
fn real() -> &'static Packed {
    static REAL: OnceLock<Packed> = OnceLock::new();
    REAL.get_or_init(|| packed::real("v0.1.0", "https://example.com/kubectl-x").expect("packing the plugins"))
}

fn here() -> &'static Platform {
    Platform::of(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH)).expect("a platform that is released")
}

/// The arguments that install a plugin from files.
fn from_files(packed: &Packed, plugin: &Plugin, platform: &Platform) -> [String; 4] {
    [
        "krew".to_owned(),
        "install".to_owned(),
        format!("--manifest={}", packed.manifest(plugin).display()),
        format!("--archive={}", packed.archive(plugin, platform).display()),
    ]
}

#[tokio::test]
async fn both_plugins_are_installed_from_manifest_and_archive_run_through_kubectl_and_are_removed() -> Result<()> {
    let krew = Krew::new()?;
    // krew lists and removes nothing before it has an index; this one has other versions.
    let index = Index::new()?;
    index.publish(&packed::stand_in("v1.0.0", "https://example.com/kubectl-x")?)?;
    let output = krew.kubectl(&["krew", "index", "add", "other", &index.url()]).output().await?;
    assert_eq!(output.code, Some(0), "{output}");
    for plugin in &PLUGINS {
        let name = plugin.name;
        let output = krew.kubectl(&from_files(real(), plugin, here()).each_ref().map(String::as_str)).output().await?;
        assert_eq!(output.code, Some(0), "{output}");
        let caveats = output.stderr.clone();
        for said in
            [format!("Installing plugin: {name}"), format!("Installed plugin: {name}"), format!("\tkubectl {name}\n")]
        {
            assert!(output.stderr.contains(&said), "{output}");
        }
        let binary = plugin.binary(here());
        assert_eq!(krew.linked(&binary)?, format!("store/{name}/v0.1.0/{binary}"));
        let store = format!("store/{name}/v0.1.0");
        assert_eq!(krew.names(&store)?, ["LICENSE", "README.md", "THIRD-PARTY-LICENSES.txt", &binary]);
        let licence = fs::read_to_string(krew.path(&format!("{store}/LICENSE")))?;
        assert_eq!(licence, fs::read_to_string(xtask::workspace().join("LICENSE"))?);

        let output = krew.kubectl(&[name, "version"]).output().await?;
        assert_eq!((output.code, output.stdout.contains(env!("CARGO_PKG_VERSION"))), (Some(0), true), "{output}");
        // What krew says after the installation.
        let command = advised(&caveats).context("no command in the caveats")?;
        let output = krew.kubectl(&command.split_whitespace().skip(1).collect::<Vec<_>>()).output().await?;
        assert_eq!(output.code, Some(0), "{output}");
        let completer = format!("kubectl_complete-{}", name.replace('-', "_"));
        assert_eq!(
            fs::canonicalize(krew.path(&format!("bin/{completer}")))?,
            fs::canonicalize(krew.path(&krew.linked(&binary)?))?
        );
        let output = krew.kubectl(&["__complete", name, "ver"]).output().await?;
        assert!(output.stdout.starts_with("version\t"), "{output}");
        let output = krew.kubectl(&[name, "--no-such-flag"]).output().await?;
        assert_eq!(output.code, Some(1), "{output}");
    }
    let output = krew.kubectl(&["krew", "list"]).output().await?;
    assert_eq!(output.stdout, "detached/rollout-guard\ndetached/safe-drain\n", "{output}");
    let output = krew.kubectl(&["plugin", "list", "--name-only"]).output().await?;
    assert!(output.stdout.contains("kubectl-rollout_guard\nkubectl-safe_drain\n"), "{output}");

    let output = krew.kubectl(&["krew", "uninstall", "safe-drain", "rollout-guard"]).output().await?;
    assert_eq!(output.code, Some(0), "{output}");
    // krew takes back what it has placed; the completers are ours, and the README removes them.
    assert_eq!(krew.names("bin")?, ["kubectl_complete-rollout_guard", "kubectl_complete-safe_drain"]);
    let readme = fs::read_to_string(xtask::workspace().join("README.md"))?;
    let removal = readme.lines().find(|line| line.starts_with("rm ")).context("no command that removes them")?;
    let removed = Command::new("sh").args(["-c", removal]).env("KREW_ROOT", krew.path("")).status()?;
    assert!(removed.success(), "{removal}");
    assert_eq!(krew.names("bin")?, Vec::<String>::new());
    for dir in ["receipts", "store"] {
        assert_eq!(krew.names(dir)?, Vec::<String>::new(), "{dir}");
    }
    let output = krew.kubectl(&["safe-drain", "version"]).output().await?;
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("unknown command \"safe-drain\""), "{output}");
    Ok(())
}

/// The line of krew's caveats that is a command; krew frames them with bars.
fn advised(said: &str) -> Option<&str> {
    let mut lines = said.lines().map(|line| line.trim_matches(|char: char| "|\\/ \t".contains(char)));
    lines.rfind(|line| line.starts_with("kubectl ") && line.contains(" completion "))
}

#[tokio::test]
async fn a_second_installation_changes_nothing() -> Result<()> {
    let krew = Krew::new()?;
    let release = packed::stand_in("v1.0.0", "https://example.com/kubectl-x")?;
    let args = from_files(&release, &PLUGINS[0], here());
    for said in ["Installed plugin: safe-drain", "Skipping plugin \"safe-drain\", it is already installed"] {
        let output = krew.kubectl(&args.each_ref().map(String::as_str)).output().await?;
        assert_eq!(output.code, Some(0), "{output}");
        assert!(output.stderr.contains(said), "{output}");
    }
    Ok(())
}

#[tokio::test]
async fn an_archive_with_another_byte_is_refused_and_leaves_nothing() -> Result<()> {
    let krew = Krew::new()?;
    let release = packed::stand_in("v1.0.0", "https://example.com/kubectl-x")?;
    let path = release.archive(&PLUGINS[0], here());
    let mut bytes = fs::read(&path)?;
    *bytes.last_mut().context("an empty archive")? ^= 1;
    fs::write(&path, bytes)?;
    let args = from_files(&release, &PLUGINS[0], here());
    let output = krew.kubectl(&args.each_ref().map(String::as_str)).output().await?;
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("checksum does not match"), "{output}");
    for dir in ["bin", "receipts"] {
        assert_eq!(krew.names(dir)?, Vec::<String>::new(), "{dir}");
    }
    Ok(())
}

#[tokio::test]
async fn every_platform_is_installed_and_its_link_is_the_one_that_kubectl_looks_up() -> Result<()> {
    let release = packed::stand_in("v1.0.0", "https://example.com/kubectl-x")?;
    for plugin in &PLUGINS {
        for platform in &PLATFORMS {
            let krew = Krew::new()?;
            let args = from_files(&release, plugin, platform);
            let run = krew.kubectl(&args.each_ref().map(String::as_str));
            let output = run.env("KREW_OS", platform.os).env("KREW_ARCH", platform.arch).output().await?;
            assert_eq!(output.code, Some(0), "{output}");
            let binary = plugin.binary(platform);
            assert_eq!(binary.split_once('.').is_some_and(|(_, suffix)| suffix == "exe"), platform.os == "windows");
            let installed = krew.path(&krew.linked(&binary)?);
            let script = fs::read_to_string(&installed)?;
            assert_eq!(
                script,
                format!("#!/bin/sh\necho {} v1.0.0 on {}/{}\n", plugin.name, platform.os, platform.arch)
            );
            assert_eq!(fs::metadata(&installed)?.permissions().mode() & 0o777, 0o755);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_validator_of_the_index_downloads_and_installs_every_platform() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let release = packed::stand_in("v1.0.0", &format!("http://{}", listener.local_addr()?))?;
    serve(vec![release.dir.path().to_owned()], listener);
    for plugin in &PLUGINS {
        let output = Krew::new()?.validate(&release.manifest(plugin), &[]).await?;
        assert_eq!(output.code, Some(0), "{output}");
        let said = format!("all {} spec.platforms installed fine", PLATFORMS.len());
        assert!(output.stderr.contains(&said), "{output}");
    }
    Ok(())
}

#[tokio::test]
async fn upgrades_come_from_an_index() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let [old, new] = [packed::stand_in("v1.0.0", &url)?, packed::stand_in("v1.1.0", &url)?];
    serve(vec![old.dir.path().to_owned(), new.dir.path().to_owned()], listener);
    let index = Index::new()?;
    index.publish(&old)?;

    let krew = Krew::new()?;
    let ok = async |args: &[&str]| -> Result<String> {
        let output = krew.kubectl(args).output().await?;
        assert_eq!(output.code, Some(0), "{args:?}: {output}");
        Ok(output.stdout)
    };
    ok(&["krew", "index", "add", "ours", &index.url()]).await?;
    ok(&["krew", "install", "ours/safe-drain", "ours/rollout-guard"]).await?;
    assert_eq!(ok(&["safe-drain"]).await?, format!("safe-drain v1.0.0 on linux/{}\n", here().arch));

    index.publish(&new)?;
    ok(&["krew", "update"]).await?;
    ok(&["krew", "upgrade"]).await?;
    for plugin in &PLUGINS {
        let Plugin { name, .. } = plugin;
        assert_eq!(ok(&[name]).await?, format!("{name} v1.1.0 on linux/{}\n", here().arch));
        let binary = plugin.binary(here());
        assert_eq!(krew.linked(&binary)?, format!("store/{name}/v1.1.0/{binary}"));
        assert_eq!(krew.names(&format!("store/{name}"))?, ["v1.1.0"]);
    }
    ok(&["krew", "uninstall", "safe-drain", "rollout-guard"]).await?;
    assert_eq!(krew.names("bin")?, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_same_files_are_packed_into_the_same_bytes() -> Result<()> {
    let again = packed::real("v0.1.0", "https://example.com/kubectl-x")?;
    for plugin in &PLUGINS {
        let [one, other] = [real(), &again].map(|packed| fs::read(packed.archive(plugin, here())));
        assert_eq!(archive::sha256(&one?), archive::sha256(&other?));
    }
    assert_eq!(real().manifests, again.manifests);
    Ok(())
}

/// A git repository with manifests below `plugins/`.
struct Index(tempfile::TempDir);

impl Index {
    fn new() -> Result<Self> {
        let index = Self(tempfile::tempdir()?);
        index.git(&["init", "--quiet", "--initial-branch=main"])?;
        fs::create_dir(index.path().join("plugins"))?;
        Ok(index)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn url(&self) -> String {
        format!("file://{}", self.path().display())
    }

    /// Commits the manifests of a release.
    fn publish(&self, release: &Packed) -> Result<()> {
        for plugin in &PLUGINS {
            let file = PathBuf::from(format!("plugins/{}.yaml", plugin.name));
            fs::copy(release.manifest(plugin), self.path().join(file))?;
        }
        self.git(&["add", "--all"])?;
        self.git(&["-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "--message=release"])
    }

    fn git(&self, args: &[&str]) -> Result<()> {
        let output =
            Command::new("git").args(args).current_dir(self.path()).output().context("git: please install it")?;
        if !output.status.success() {
            bail!("git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }
}
