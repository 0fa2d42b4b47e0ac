//! Benchmarks that print ratios against kubectl in the same run: `cargo run --release -p bench`.
//!
//! They are programs, not tests: a missed target is printed and ends nothing, since a busy machine can miss any.

mod complete;
mod drain;
mod guard;
mod measure;
mod offline;
mod plan;
mod start_up;
mod synthetic;
mod table;

use std::{ffi::OsString, path::PathBuf};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};

use crate::table::Table;

/// Measure kubectl safe-drain and rollout-guard, beside kubectl where that does the same; without a command, everything.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// How long `--help` takes, and how much memory
    StartUp,
    /// How long the plan of a node of a live cluster takes, and how many requests
    Plan,
    /// How long a shell waits for names to complete
    Complete,
    /// How long real drains take, with requests and memory
    Drain,
    /// How long a guard takes to its verdict and back, with requests and memory
    Guard,
    /// How long the plan of a large cluster takes, in memory and from a file
    Offline,
    /// Run one program and print what it took, from a process that has little memory itself
    #[command(name = measure::COMMAND, hide = true)]
    Measure { program: PathBuf, args: Vec<OsString> },
}

fn main() -> Result<()> {
    let command = Arguments::parse().command;
    if let Some(Command::Measure { program, args }) = command {
        return show(&measure::run_and_describe(&program, &args)?);
    }
    if cfg!(debug_assertions) {
        bail!("a build without optimization measures nothing: cargo run --release -p bench");
    }
    let benchmarks: &[fn() -> Result<Table>] = match command {
        Some(Command::StartUp) => &[start_up::run],
        Some(Command::Plan) => &[plan::run],
        Some(Command::Complete) => &[complete::run],
        Some(Command::Drain) => &[drain::run],
        Some(Command::Guard) => &[guard::run],
        Some(Command::Offline) => &[offline::run],
        _ => &[start_up::run, plan::run, complete::run, drain::run, guard::run, offline::run],
    };
    for benchmark in benchmarks {
        show(&format!("{}\n", benchmark()?))?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, clippy::unnecessary_wraps, reason = "this is the user interface")]
fn show(text: &str) -> Result<()> {
    println!("{text}");
    Ok(())
}
