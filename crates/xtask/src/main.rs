//! `cargo xtask`: builds, packs and describes what is released.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Result;
use clap::Parser;
use xtask::{
    dist::{self, Built},
    workspace,
};

/// What a maintainer does with this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
enum Task {
    /// Build both plugins as they are shipped, pack them into dist/ and write the krew manifests
    Dist {
        /// What to build for, as a target triple of Rust; this machine if nothing is said
        #[arg(long)]
        target: Option<String>,
    },
    /// Write the krew manifests of a release from the archives of all platforms
    Manifests {
        /// Where the archives are
        #[arg(long)]
        dir: PathBuf,
    },
}

fn main() -> Result<()> {
    let workspace = workspace();
    let mut out = io::stdout().lock();
    match Task::parse() {
        Task::Dist { target } => {
            for Built { archive, binary_size, archive_size, help } in dist::dist(workspace, target.as_deref())? {
                let help = help.map(|help| format!(", --help {:.1} ms", help.as_secs_f64() * 1000.0));
                writeln!(
                    out,
                    "{}: {:.2} MB, binary {:.2} MB{}",
                    archive.strip_prefix(workspace).unwrap_or(&archive).display(),
                    megabytes(archive_size),
                    megabytes(binary_size),
                    help.unwrap_or_default()
                )?;
            }
        }
        Task::Manifests { dir } => dist::release_manifests(workspace, &dir)?,
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
