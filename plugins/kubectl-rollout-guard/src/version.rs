//! `version`: what this is.

use disruption::{document::API_VERSION, outcome::Exit};
use plugin::{error::CliError, shell::Shell};
use serde::Serialize;

use crate::arguments::VersionFlags;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    version: &'static str,
    /// The `apiVersion` of the documents that it prints.
    documents: &'static str,
}

pub(crate) fn run(flags: &VersionFlags, shell: &mut Shell) -> Result<Exit, CliError> {
    let version = Version { version: concat!("v", env!("CARGO_PKG_VERSION")), documents: API_VERSION };
    match flags.output.output {
        Some(format) => shell.printer.out.document(format, &version)?,
        None => shell.printer.out.line(format_args!("kubectl rollout-guard {}", version.version)),
    }
    Ok(Exit::Done)
}
