//! The lab by hand: `up`, `down`, `status`, `demo` and `lesson`. The hidden commands are the lab's own processes.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, Subcommand};
use lab::{Lab, demo, lesson, supervisor};

const NOT_RUNNING: &str = "no lab is running";

/// A throwaway Kubernetes control plane with simulated nodes.
#[derive(Parser)]
#[command(name = "lab")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the control plane in the background, if it does not run.
    Up,
    /// End it, and delete all it has written; one that another build has left too. Tests that use it finish first.
    Down,
    /// Show whether it runs, and where.
    Status,
    /// Build a small shop on four nodes in it, and start it if need be.
    Demo,
    /// Hold a control plane of its own for docs/walkthrough.md, until Ctrl-C.
    Lesson,
    #[command(name = "__supervise", hide = true)]
    Supervise { dir: PathBuf, binaries: PathBuf, linger: u64 },
    #[command(name = "__watch", hide = true)]
    Watch { supervisor: i32, dir: PathBuf },
    #[command(name = "__exec", hide = true)]
    Exec {
        parent: i32,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Hold a private control plane until killed: for the test that nothing survives that.
    #[command(name = "__occupy", hide = true)]
    Occupy,
}

fn main() -> ExitCode {
    match run(Args::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Up => {
            let lab = Lab::start()?;
            lab.hold()?;
            say(&introduction(&lab));
        }
        Command::Down => {
            let held = Lab::held()?;
            if held.is_empty() {
                say(NOT_RUNNING);
            }
            for lab in held {
                let server = lab.facts().server.clone();
                if !lab.release()? {
                    say(&format!("others still use the lab at {server}: it ends with the last of them"));
                }
            }
        }
        Command::Status => match Lab::running()? {
            Some(lab) => say(&introduction(&lab)),
            None => say(NOT_RUNNING),
        },
        Command::Demo => {
            let lab = Lab::start()?;
            lab.hold()?;
            say(&introduction(&lab));
            runtime()?.block_on(demo::build(&lab))?;
            say(&format!("\n{}", demo::DESCRIPTION));
        }
        Command::Lesson => {
            let lab = Lab::private()?;
            runtime()?.block_on(async {
                let site = lesson::build(&lab).await?;
                say(&lesson_introduction(&lab, &site.url()));
                std::future::pending::<Result<()>>().await
            })?;
        }
        Command::Supervise { dir, binaries, linger } => supervisor::supervise(&dir, &binaries, linger)?,
        Command::Watch { supervisor, dir } => supervisor::watch(supervisor, &dir)?,
        Command::Exec { parent, program, args } => supervisor::exec(parent, &program, &args)?,
        Command::Occupy => {
            let lab = Lab::private()?;
            say(&serde_json::to_string(lab.facts())?);
            loop {
                std::thread::park();
            }
        }
    }
    Ok(())
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn lesson_introduction(lab: &Lab, url: &str) -> String {
    format!(
        "# The lesson's cluster runs until Ctrl-C. In another terminal:\n\
         export KUBECONFIG={}\n\
         export URL={url}\n\
         export PATH={}:$PATH",
        lab.kubeconfig().display(),
        lab.facts().binaries.display(),
    )
}

fn introduction(lab: &Lab) -> String {
    format!(
        "# The lab is running at {}; end it with `cargo run -p lab -- down`.\n\
         # Contexts: lab (all rights), lab-admin, lab-drainer, lab-viewer.\n\
         # Its kubectl: {}\n\
         export KUBECONFIG={}",
        lab.facts().server,
        lab.kubectl().display(),
        lab.kubeconfig().display()
    )
}

/// Nobody may be listening any more, as in `lab status | head -1`.
fn say(text: &str) {
    io::stdout().write_all(format!("{text}\n").as_bytes()).ok();
}

#[expect(clippy::print_stderr, reason = "this is the user interface")]
fn report(error: &anyhow::Error) {
    eprintln!("error: {error:#}");
}
