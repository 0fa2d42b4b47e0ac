//! The command line of `cargo xtask`.

use std::path::PathBuf;

use clap::Parser;

/// What a maintainer does with this repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
pub enum Task {
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
