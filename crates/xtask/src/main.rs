//! `cargo xtask`: builds, packs and describes what is released.

use std::io::{self, Write};

use anyhow::{Result, ensure};
use clap::Parser;
use xtask::{
    Task,
    dist::{self, Built},
    workspace,
};

fn main() -> Result<()> {
    let workspace = workspace();
    let mut out = io::stdout().lock();
    match Task::parse() {
        Task::Dist { target } => {
            let mut excess = Vec::new();
            for built in dist::dist(workspace, target.as_deref())? {
                let Built { archive, binary_size, archive_size, help } = &built;
                let archive = archive.strip_prefix(workspace).unwrap_or(archive).display();
                let help = help.map(|help| format!(", --help {:.1} ms", help.as_secs_f64() * 1000.0));
                writeln!(
                    out,
                    "{archive}: {:.2} MB, binary {:.2} MB{}",
                    megabytes(*archive_size),
                    megabytes(*binary_size),
                    help.unwrap_or_default()
                )?;
                if let Some(slowness) = built.slowness() {
                    writeln!(io::stderr(), "warning: {archive}: {slowness}")?;
                }
                excess.extend(built.excess().into_iter().map(|excess| format!("{archive}: {excess}")));
            }
            ensure!(excess.is_empty(), "too large to be released:\n{}", excess.join("\n"));
        }
        Task::Manifests { dir } => dist::release_manifests(workspace, &dir)?,
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
