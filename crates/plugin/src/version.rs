//! `version`: what a plugin is.

use clap::Args;
use disruption::{document::API_VERSION, outcome::Exit};
use serde::Serialize;

use crate::{error::CliError, shell::Shell, values::OutputFlag};

/// The flags of `version`.
#[derive(Debug, Clone, Args)]
pub struct VersionFlags {
    #[command(flatten)]
    output: OutputFlag,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version<'a> {
    version: &'a str,
    /// The `apiVersion` of the documents that it prints.
    documents: &'static str,
}

/// Prints the version of `plugin`, as in `safe-drain`.
///
/// # Errors
/// It cannot be written.
pub fn run(flags: &VersionFlags, plugin: &str, version: &str, shell: &mut Shell) -> Result<Exit, CliError> {
    let version = format!("v{version}");
    match flags.output.output {
        Some(format) => {
            shell.printer.out.document(format, &Version { version: &version, documents: API_VERSION })?;
        }
        None => shell.printer.out.line(format_args!("kubectl {plugin} {version}")),
    }
    Ok(Exit::Done)
}
