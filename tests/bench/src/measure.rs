//! Runs programs and says how long they took and how much memory they had.

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::sys::{
    resource::{Usage, UsageWho, getrusage},
    time::TimeValLike,
};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::table::{Bytes, Ratio, Time};

/// The hidden command of this program that calls [`run_and_describe`].
pub(crate) const COMMAND: &str = "__measure";

/// A program to be run again and again, with a home of its own that it may keep a cache in.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    kubeconfig: Option<PathBuf>,
    codes: Vec<i32>,
    home: TempDir,
}

/// What several runs of a program took; there is at least one.
#[derive(Debug)]
pub(crate) struct Sample(Vec<Run>);

/// What one run took.
#[derive(Debug, Serialize, Deserialize)]
struct Run {
    /// `None` if a signal killed it.
    code: Option<i32>,
    elapsed: Duration,
    /// User and system time.
    processor: Duration,
    peak_bytes: u64,
    stderr: String,
}

/// Runs two programs in turns, so that whatever else the machine does slows both. The first run of each only fills
/// caches and is not counted.
pub(crate) fn alternate(one: &Program, other: &Program, runs: usize) -> Result<(Sample, Sample)> {
    one.run()?;
    other.run()?;
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        ones.push(one.run()?);
        others.push(other.run()?);
    }
    Ok((Sample(ones), Sample(others)))
}

/// Runs a program that is the only child of this process ever, and describes the run for [`Program::run`].
///
/// The kernel tells the peak memory of all children together, so each program needs a parent of its own. It counts
/// what the child had before it became the program too, a copy of its parent: so the parent must be small.
pub(crate) fn run_and_describe(program: &Path, args: &[OsString]) -> Result<String> {
    let started = Instant::now();
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .with_context(|| format!("starting {}", program.display()))?;
    let elapsed = started.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let run = Run {
        code: output.status.code(),
        elapsed,
        processor: processor_time(&usage)?,
        peak_bytes: u64::try_from(usage.max_rss())? * RUSAGE_UNIT,
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    Ok(serde_json::to_string(&run)?)
}

/// The processor time that this process has had so far: unlike the time on the clock, others take none of it.
pub(crate) fn own_processor_time() -> Result<Duration> {
    processor_time(&getrusage(UsageWho::RUSAGE_SELF)?)
}

fn processor_time(usage: &Usage) -> Result<Duration> {
    let total = usage.user_time() + usage.system_time();
    Ok(Duration::from_micros(u64::try_from(total.num_microseconds())?))
}

/// The unit of `ru_maxrss`: bytes on macOS, kilobytes elsewhere.
const RUSAGE_UNIT: u64 = if cfg!(target_os = "macos") { 1 } else { 1024 };

impl Program {
    /// A program that is expected to exit with 0, in an otherwise empty environment.
    pub(crate) fn new(path: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            args: args.into_iter().map(|arg| arg.as_ref().to_owned()).collect(),
            kubeconfig: None,
            codes: vec![0],
            home: tempfile::tempdir()?,
        })
    }

    /// Sets `KUBECONFIG`.
    pub(crate) fn kubeconfig(self, path: &Path) -> Self {
        Self { kubeconfig: Some(path.to_owned()), ..self }
    }

    /// Expects one of these exit codes.
    pub(crate) fn codes(self, codes: &[i32]) -> Self {
        Self { codes: codes.to_vec(), ..self }
    }

    /// Runs it so many times, at least once.
    pub(crate) fn sample(&self, runs: usize) -> Result<Sample> {
        let first = self.run()?;
        let others = (1..runs).map(|_| self.run());
        Ok(Sample(std::iter::once(Ok(first)).chain(others).collect::<Result<_>>()?))
    }

    fn run(&self) -> Result<Run> {
        let Self { path, args, kubeconfig, codes, home } = self;
        let mut command = Command::new(std::env::current_exe()?);
        command.args([COMMAND, "--"]).arg(path).args(args).stdin(Stdio::null());
        command.env_clear().env("HOME", home.path()).env("PATH", "/usr/bin:/bin").env("LANG", "C.UTF-8");
        command.envs(kubeconfig.iter().map(|path| ("KUBECONFIG", path)));
        let output = command.current_dir(home.path()).output()?;
        if !output.status.success() {
            bail!("{} could not be run: {}", path.display(), String::from_utf8_lossy(&output.stderr));
        }
        let run: Run = serde_json::from_slice(&output.stdout).context("the description of a run")?;
        if !run.code.is_some_and(|code| codes.contains(&code)) {
            bail!("{} {args:?} ended with {:?}, not {codes:?}: {}", path.display(), run.code, run.stderr);
        }
        Ok(run)
    }
}

impl Sample {
    /// The median time.
    pub(crate) fn time(&self) -> Time {
        Time(median(self.0.iter().map(|run| run.elapsed).collect()))
    }

    /// The median processor time.
    pub(crate) fn processor_time(&self) -> Time {
        Time(median(self.0.iter().map(|run| run.processor).collect()))
    }

    /// The most memory that any run had.
    pub(crate) fn peak(&self) -> Bytes {
        Bytes(self.0.iter().map(|run| run.peak_bytes).max().unwrap_or_default())
    }

    /// How many times as long as the other's this median is.
    pub(crate) fn ratio(&self, other: &Self) -> Ratio {
        self.time().ratio(other.time())
    }
}

impl Time {
    /// How many times the other this is.
    pub(crate) fn ratio(self, other: Self) -> Ratio {
        Ratio(self.0.as_secs_f64() / other.0.as_secs_f64())
    }
}

/// The time in the middle; zero for none.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
