//! Runs a program as a user would, but from nowhere: an empty home, a known environment, a time limit.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, timeout},
};

/// A program to run, see [`run`].
#[derive(Debug)]
#[must_use = "nothing runs before `output` or `start`"]
pub struct Run {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    path: Vec<PathBuf>,
    stdin: Option<String>,
    limit: Duration,
}

/// A program that runs; it is killed when this is dropped.
#[derive(Debug)]
#[must_use = "the program is killed when this is dropped"]
pub struct Running {
    child: Child,
    started: Instant,
    limit: Duration,
    home: TempDir,
}

/// How a program ended and what it wrote.
#[derive(Debug, Clone)]
#[must_use = "the exit code tells whether it worked"]
#[non_exhaustive]
pub struct Output {
    /// `None` if a signal killed it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
    /// How long it ran.
    pub elapsed: Duration,
}

/// How long a program that did not end in time has to end after a Ctrl-C.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Prepares to run `program` with an empty home directory, no variable of ours and a closed standard input.
pub fn run(program: &Path) -> Run {
    Run {
        program: program.to_owned(),
        args: Vec::new(),
        env: Vec::new(),
        path: ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from).to_vec(),
        stdin: None,
        limit: Duration::from_secs(120),
    }
}

impl Run {
    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets `KUBECONFIG`.
    pub fn kubeconfig(self, path: &Path) -> Self {
        self.env("KUBECONFIG", path)
    }

    /// Sets a variable.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Puts a directory in front of `PATH`, e.g. the one of a plugin for kubectl to find.
    pub fn path(mut self, dir: &Path) -> Self {
        self.path.insert(0, dir.to_owned());
        self
    }

    /// Sends `text` to standard input and closes it.
    pub fn stdin(mut self, text: &str) -> Self {
        self.stdin = Some(text.to_owned());
        self
    }

    /// Kills the program after this time, which is an error. Two minutes if nothing is said.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// It cannot be started, or does not end in time.
    pub async fn output(self) -> Result<Output> {
        self.start()?.end().await
    }

    /// Starts the program.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(self) -> Result<Running> {
        let home = tempfile::tempdir()?;
        let stdin = match &self.stdin {
            // A file, so that nobody has to feed a pipe.
            Some(text) => {
                let mut file = tempfile::tempfile()?;
                file.write_all(text.as_bytes())?;
                std::io::Seek::rewind(&mut file)?;
                Stdio::from(file)
            }
            None => Stdio::null(),
        };
        let child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env("PATH", std::env::join_paths(&self.path)?)
            .env("LANG", "C.UTF-8")
            .envs(self.env)
            .current_dir(home.path())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        Ok(Running { child, started: Instant::now(), limit: self.limit, home })
    }
}

impl Running {
    /// Sends the signal of Ctrl-C.
    ///
    /// # Errors
    /// The program has ended.
    pub fn interrupt(&self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// Sends the signal that asks a program to end.
    ///
    /// # Errors
    /// The program has ended.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Kills the program as `kill -9` does.
    ///
    /// # Errors
    /// The program has ended.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Waits for the end of the program.
    ///
    /// # Errors
    /// It does not end in time.
    pub async fn end(self) -> Result<Output> {
        let Self { child, started, limit, home } = self;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let mut ending = std::pin::pin!(child.wait_with_output());
        let Ok(ended) = timeout(limit, &mut ending).await else {
            // What it said helps to see why.
            pid.map(|pid| rustix::process::kill_process(pid, Signal::INT));
            let said = match timeout(LAST_WORDS, ending).await {
                Ok(Ok(ended)) => format!("\n{}{}", lossy(&ended.stdout), lossy(&ended.stderr)),
                _ => String::new(),
            };
            bail!("the program did not end within {} s and was killed{said}", limit.as_secs());
        };
        let ended = ended?;
        drop(home);
        Ok(Output {
            code: ended.status.code(),
            stdout: lossy(&ended.stdout),
            stderr: lossy(&ended.stderr),
            elapsed: started.elapsed(),
        })
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("the program has ended")?;
        Ok(rustix::process::kill_process(pid, signal)?)
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr, elapsed } = self;
        let code = code.map_or_else(|| "a signal".to_owned(), |code| format!("exit code {code}"));
        write!(f, "{code} after {:.1} s\n--- stdout\n{stdout}--- stderr\n{stderr}", elapsed.as_secs_f64())
    }
}
