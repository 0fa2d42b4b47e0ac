//! What is released: archives for each platform, and the krew manifests that describe them.

use std::{env, path::Path, process::Command};

pub mod archive;
pub mod dist;
pub mod licences;
pub mod manifest;
pub mod platform;
pub mod plugin;
pub mod readme;
pub mod task;

pub use manifest::Release;
pub use platform::{PLATFORMS, Platform};
pub use plugin::{PLUGINS, Plugin};
pub use task::Task;

/// The top directory of this repository.
pub fn workspace() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Cargo, in the workspace, without what the cargo that runs us says of us: build scripts that look at it would run again.
pub(crate) fn cargo(workspace: &Path) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let is_about_us = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_about_us)) {
        cargo.env_remove(name);
    }
    cargo.current_dir(workspace);
    cargo
}
