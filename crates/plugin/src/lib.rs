//! What any kubectl plugin needs: kubectl's global flags, printing, errors, exit codes.
//!
//! A plugin's `main` is one call of [`cli::run`]; see its example.

pub mod age;
pub mod cli;
pub mod complete;
pub mod completion;
pub mod error;
pub mod exit;
pub mod flags;
pub mod help;
mod log;
pub mod printer;
pub mod shell;
pub mod styles;
pub mod table;
pub mod text;
pub mod values;
pub mod version;
