//! `completion`: the scripts for shells, and the link by which kubectl finds the completion of a plugin.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
#[cfg(unix)]
use std::{fs, io};

use clap::{Args, ValueEnum};
use disruption::outcome::Exit;

use crate::complete;
use crate::error::CliError;
use crate::shell::Shell;

/// The flags of `completion`.
#[derive(Debug, Clone, Args)]
pub struct CompletionFlags {
    /// The shell whose script is printed
    #[arg(value_name = "bash|zsh|fish", required_unless_present = "install")]
    shell: Option<ShellName>,

    /// Place a link beside the plugin by which kubectl itself completes it, in any shell
    #[arg(long, conflicts_with = "shell")]
    install: bool,
}

/// A shell that there is a script for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ShellName {
    Bash,
    Zsh,
    Fish,
}

/// What stands in the scripts for the program's name, and for a function's.
const PROGRAM: &str = "kubectl-PLUGIN";
const FUNCTION: &str = "kubectl_PLUGIN";

/// Prints a script, or places the link. `plugin` is the plugin's name, as in `safe-drain`.
///
/// # Errors
/// The link cannot be placed, or something else stands there.
pub fn run(flags: &CompletionFlags, plugin: &str, shell: &mut Shell) -> Result<Exit, CliError> {
    let name = plugin.replace('-', "_");
    if let Some(of) = flags.shell {
        shell.printer.out.text(&script(of, &name));
    } else {
        let said = install(&name)?;
        shell.printer.out.line(said);
    }
    Ok(Exit::Done)
}

fn script(of: ShellName, name: &str) -> String {
    let template = match of {
        ShellName::Bash => include_str!("completion/script.bash"),
        ShellName::Zsh => include_str!("completion/script.zsh"),
        ShellName::Fish => include_str!("completion/script.fish"),
    };
    template.replace(PROGRAM, &format!("kubectl-{name}")).replace(FUNCTION, &format!("kubectl_{name}"))
}

/// Places the link, and says what was done.
fn install(name: &str) -> Result<String, CliError> {
    let program = env::args_os().next().unwrap_or_default();
    let program = found(&program, env::var_os("PATH")).ok_or_else(|| {
        CliError::new(format!("kubectl-{name} is not on PATH")).hint("put it there, as kubectl needs it too")
    })?;
    let link = program.with_file_name(format!("{}{name}", complete::PREFIX));
    place(&program, &link)
}

/// Where a program was found: the directory that it was called in, else the first on `PATH` that has it. Not what links
/// lead to: krew's do not stay where they are.
fn found(program: &OsString, path: Option<OsString>) -> Option<PathBuf> {
    let program = Path::new(program);
    if program.parent().is_some_and(|parent| !parent.as_os_str().is_empty()) {
        return Some(program.to_owned());
    }
    env::split_paths(&path?).map(|dir| dir.join(program)).find(|candidate| candidate.is_file())
}

#[cfg(unix)]
fn place(program: &Path, link: &Path) -> Result<String, CliError> {
    // Relative, so that the directory may move and the program may be replaced.
    let target = Path::new(program.file_name().unwrap_or_default());
    let shown = link.display();
    match fs::read_link(link) {
        Ok(present) if present == target || leads_to(link, program) => {
            return Ok(format!("{shown} is in place already"));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // Not a link, or one to somewhere else.
        Ok(_) | Err(_) => {
            return Err(CliError::new(format!("{shown} exists and does not belong to this plugin"))
                .hint("remove it if nothing needs it, then try again"));
        }
    }
    std::os::unix::fs::symlink(target, link)
        .map_err(|error| CliError::new(format!("{shown} cannot be created: {error}")).hint(elsewhere(program, link)))?;
    Ok(format!("{shown} created: kubectl 1.26 and newer completes the plugin now"))
}

/// Where no links are made as a matter of course, the user does it.
#[cfg(not(unix))]
fn place(program: &Path, link: &Path) -> Result<String, CliError> {
    let link = link.with_extension("exe");
    if link.exists() {
        return Ok(format!("{} is in place already: copy the plugin there again after an update", link.display()));
    }
    Err(CliError::new("links are not placed on this system").hint(elsewhere(program, &link)))
}

#[cfg(unix)]
fn leads_to(link: &Path, program: &Path) -> bool {
    matches!((fs::canonicalize(link), fs::canonicalize(program)), (Ok(link), Ok(program)) if link == program)
}

#[cfg(unix)]
fn elsewhere(program: &Path, link: &Path) -> String {
    let name = link.file_name().unwrap_or_default().display();
    format!("in a directory on PATH: ln -s {} {name}", program.display())
}

#[cfg(not(unix))]
fn elsewhere(program: &Path, link: &Path) -> String {
    format!("copy {} {}", program.display(), link.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_the_one_that_the_program_was_found_in() {
        let home = tempfile::tempdir().unwrap();
        let [empty, bin] = ["empty", "bin"].map(|name| home.path().join(name));
        for dir in [&empty, &bin] {
            fs::create_dir(dir).unwrap();
        }
        fs::write(bin.join("kubectl-do_it"), "").unwrap();
        let path = env::join_paths([&empty, &bin]).unwrap();
        let found = |program: &str| found(&program.into(), Some(path.clone()));
        assert_eq!(found("kubectl-do_it"), Some(bin.join("kubectl-do_it")));
        assert_eq!(found("/opt/kubectl-do_it"), Some("/opt/kubectl-do_it".into()));
        assert_eq!(found("./kubectl-do_it"), Some("./kubectl-do_it".into()));
        assert_eq!(found("kubectl-other"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_is_placed_once_and_nothing_is_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let [program, link, other] =
            ["kubectl-do_it", "kubectl_complete-do_it", "other"].map(|name| home.path().join(name));
        fs::write(&program, "").unwrap();
        fs::write(&other, "").unwrap();
        let shown = link.display();
        let created = format!("{shown} created: kubectl 1.26 and newer completes the plugin now");
        assert_eq!(place(&program, &link), Ok(created));
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("kubectl-do_it"));
        let already = Ok(format!("{shown} is in place already"));
        assert_eq!(place(&program, &link), already);

        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&program, &link).unwrap();
        assert_eq!(place(&program, &link), already, "an absolute link does as well");

        let foreign = format!("{shown} exists and does not belong to this plugin");
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert_eq!(place(&program, &link).unwrap_err().message, foreign);
        fs::remove_file(&link).unwrap();
        fs::write(&link, "mine").unwrap();
        assert_eq!(place(&program, &link).unwrap_err().message, foreign);
        assert_eq!(fs::read_to_string(&link).unwrap(), "mine");

        let nowhere = place(&program, &home.path().join("no/kubectl_complete-do_it")).unwrap_err();
        let expected = format!("in a directory on PATH: ln -s {} kubectl_complete-do_it", program.display());
        assert!(nowhere.message.contains("cannot be created: No such file"), "{nowhere}");
        assert_eq!(nowhere.hints, [expected]);
    }

    #[test]
    fn scripts_name_the_program() {
        for of in ShellName::value_variants() {
            let script = script(*of, "do_it");
            assert!(script.contains("kubectl-do_it __complete") && !script.contains("PLUGIN"), "{script}");
        }
    }
}
