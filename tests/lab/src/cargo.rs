//! Builds binaries of this workspace, with the profile and into the directory of the running binary.

use std::{
    collections::HashMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
};

use anyhow::{Context, Result, bail};

/// The path of a plugin's binary, e.g. of `safe-drain`; built once per process.
///
/// # Errors
/// Cargo's own words when the build fails.
pub fn plugin(name: &str) -> Result<PathBuf> {
    build(&format!("kubectl-{name}"), &format!("kubectl-{}", name.replace('-', "_")))
}

/// The path of the lab's own binary, which is the supervisor of a control plane.
pub(crate) fn lab() -> Result<PathBuf> {
    let running = env::current_exe()?;
    if running.file_name().is_some_and(|name| name == "lab") {
        return Ok(running);
    }
    let (target, profile) = place(&running)?;
    let built = target.join(profile).join("lab");
    // Cargo would wait here for any other cargo that builds.
    if is_fresh(&built).unwrap_or(false) { Ok(built) } else { build("lab", "lab") }
}

/// Whether a binary is younger than the sources that cargo's list beside it names.
fn is_fresh(binary: &Path) -> Result<bool> {
    let age = fs::metadata(binary)?.modified()?;
    let list = fs::read_to_string(binary.with_extension("d"))?;
    for source in list.split_whitespace().skip(1) {
        if fs::metadata(source)?.modified()? > age {
            return Ok(false);
        }
    }
    Ok(true)
}

fn build(package: &str, binary: &str) -> Result<PathBuf> {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let built = built.get_or_insert_default();
    if let Some(path) = built.get(binary) {
        return Ok(path.clone());
    }
    let (target, profile) = place(&env::current_exe()?)?;
    // The directory `debug` belongs to the profile `dev`.
    let profile_name = if profile == "debug" { "dev" } else { &profile };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What `cargo test` says of the running test. Build scripts that look at it would run again, here and in the next
    // `cargo test`, and everything above them would be compiled twice a time.
    let is_about_us = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_about_us)) {
        cargo.env_remove(name);
    }
    let output = cargo
        .args(["build", "--quiet", "--package", package, "--bin", binary, "--profile", profile_name, "--target-dir"])
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("cargo could not build {binary}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let path = target.join(&profile).join(binary);
    built.insert(binary.to_owned(), path.clone());
    Ok(path)
}

/// The target directory and the name of the profile's directory in it.
fn place(running: &Path) -> Result<(PathBuf, String)> {
    let mut dir = running.parent().context("a binary without a directory")?;
    // Tests are in `deps`, examples in `examples`, binaries in the directory itself.
    if dir.ends_with("deps") || dir.ends_with("examples") {
        dir = dir.parent().context("deps without a parent")?;
    }
    let profile = dir.file_name().context("no profile")?.to_string_lossy().into_owned();
    Ok((dir.parent().context("no target directory")?.to_owned(), profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_binary_shows_where_the_others_are() {
        let here = place(Path::new("/w/target/debug/deps/safe_drain-0a1b")).unwrap();
        assert_eq!(here, (PathBuf::from("/w/target"), "debug".to_owned()));
        let here = place(Path::new("/t/release/lab")).unwrap();
        assert_eq!(here, (PathBuf::from("/t"), "release".to_owned()));
    }
}
