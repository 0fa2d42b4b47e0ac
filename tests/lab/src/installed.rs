//! A plugin where kubectl finds it, with its completion.

use std::{ffi::OsStr, os::unix::fs::symlink, path::Path};

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::{
    cargo,
    lab::kubectl,
    run::{Output, run},
};

/// A directory for `PATH` with a plugin and, as `completion --install` places it, the link for its completion.
#[derive(Debug)]
pub struct Installed {
    bin: TempDir,
    plugin: String,
}

/// Installs a plugin, e.g. `safe-drain`, as its users do.
///
/// # Errors
/// It cannot be built, or it places no link.
pub async fn installed(plugin: &str) -> Result<Installed> {
    let program = cargo::plugin(plugin)?;
    let bin = tempfile::tempdir()?;
    symlink(&program, bin.path().join(program.file_name().unwrap_or_default()))?;
    let installed = Installed { bin, plugin: plugin.to_owned() };
    let placed = run(&kubectl()?).path(installed.bin()).args([plugin, "completion", "--install"]).output().await?;
    let link = installed.bin().join(format!("kubectl_complete-{}", plugin.replace('-', "_")));
    let said = format!("{} created: kubectl 1.26 and newer completes the plugin now\n", link.display());
    ensure!(placed.code == Some(0) && placed.stdout == said, "no link: {placed}");
    Ok(installed)
}

impl Installed {
    /// The directory.
    pub fn bin(&self) -> &Path {
        self.bin.path()
    }

    /// Runs the plugin through kubectl.
    ///
    /// # Errors
    /// It does not end.
    pub async fn kubectl(&self, kubeconfig: &Path, args: &[&str]) -> Result<Output> {
        self.run(&[&[self.plugin.as_str()], args].concat(), kubeconfig).await
    }

    /// What kubectl offers behind these words: `VALUE<TAB>DESCRIPTION` a line, at last the directive as in `:4`.
    ///
    /// # Errors
    /// It does not end, or writes into the user's line.
    pub async fn completed(&self, kubeconfig: &Path, words: &[&str]) -> Result<Vec<String>> {
        let output = self.run(&[&["__complete", self.plugin.as_str()], words].concat(), kubeconfig).await?;
        // What cobra and kubectl say themselves.
        let is_known =
            |line: &str| line.starts_with("[Debug] ") || line.starts_with("Completion ended with directive:");
        let is_silent = output.stderr.lines().all(is_known);
        ensure!(output.code == Some(0) && is_silent, "{words:?}: {output}");
        Ok(output.stdout.lines().map(str::to_owned).collect())
    }

    /// The same without descriptions, in one line.
    ///
    /// # Errors
    /// As [`Self::completed`].
    pub async fn offered(&self, kubeconfig: &Path, words: &[&str]) -> Result<String> {
        let lines = self.completed(kubeconfig, words).await?;
        let values: Vec<_> = lines.iter().map(|line| line.split('\t').next().unwrap_or_default()).collect();
        Ok(values.join(" "))
    }

    async fn run(&self, args: &[impl AsRef<OsStr>], kubeconfig: &Path) -> Result<Output> {
        run(&kubectl()?).path(self.bin()).kubeconfig(kubeconfig).args(args).output().await
    }
}
