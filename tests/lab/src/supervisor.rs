//! The process that owns a control plane. It ends, and everything with it, when nobody is connected any more.
//!
//! Three nets, so that nothing survives a test run: the supervisor ends by itself after the last connection; a
//! watchdog notices the supervisor's end, kills what is left of its process group and removes the state; and each
//! component asks the kernel to be killed when the supervisor dies.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{
            net::{UnixListener, UnixStream},
            process::CommandExt,
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use k8s_openapi::api::{
    core::v1::{Namespace, Node, PersistentVolume, Pod},
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams},
};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt},
    net::unix::OwnedWriteHalf,
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{binaries::Binaries, cargo, control_plane::ControlPlane, identity, state::State};

/// Below this a control plane would end between two test binaries of one `cargo test`.
pub(crate) const LINGER_SECONDS: u64 = 3;

/// What a client asks of the supervisor: one line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Stay without clients, until [`Request::Release`].
    Hold,
    /// Do not stay any longer: end now, or with the last of the others that are connected.
    Release,
    /// Stay for this many seconds after the last client, if that is longer than what is set.
    Linger(u64),
    /// Delete what belongs to a world, in the background.
    Forget(String),
    /// Kill a component.
    Stop(String),
    /// Start a component again.
    Start(String),
}

/// What the supervisor tells a client.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The first line: the control plane is ready for use.
    Ready(Facts),
    /// The control plane cannot be used, and ends. May come at any time.
    Failed(String),
    /// What was asked for is done, or not, and why.
    Done(Result<(), String>),
}

/// What a client must know about a control plane.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// Where its state is.
    pub dir: PathBuf,
    /// Where its executables are.
    pub binaries: PathBuf,
    /// The address of the apiserver.
    pub server: String,
    /// The process id of the supervisor.
    pub supervisor: u32,
    /// The components' process ids.
    pub pids: HashMap<String, u32>,
    /// Whether it stays without anybody connected.
    pub held: bool,
}

/// Starts a supervisor for the empty directory of `state`; connect to its socket and wait for the first line.
pub(crate) fn launch(state: &State, binaries: &Binaries, linger: u64) -> Result<()> {
    let program = cargo::lab()?;
    // Bound here, so that there is no moment in which a client could not connect.
    let unnamed = state.file("socket.new");
    let listener = UnixListener::bind(&unnamed).context("binding the supervisor's socket")?;
    // Whoever sees its name can connect: `sweep` relies on that.
    fs::rename(unnamed, state.socket())?;
    let log = File::create(state.log("supervisor"))?;
    let mut supervisor = Command::new(program)
        .arg("__supervise")
        .args([state.dir(), binaries.dir()])
        .arg(linger.to_string())
        .current_dir(state.dir())
        .stdin(OwnedFd::from(listener))
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting the supervisor")?;
    // Somebody must take note of its end, or it stays as a zombie for as long as this process lives.
    std::thread::spawn(move || supervisor.wait());
    Ok(())
}

/// Connects to the supervisor of `state` and waits until its control plane is ready. The rest of what the supervisor
/// says is to be read by [`answers`].
pub(crate) fn connect(state: &State) -> Result<(UnixStream, Facts, BufReader<UnixStream>)> {
    let stream = UnixStream::connect(state.socket())?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    match serde_json::from_str(&line).context("the supervisor ended")? {
        Answer::Ready(facts) => Ok((stream, facts, reader)),
        Answer::Failed(why) => Err(anyhow!(why).context(NotStarted)),
        Answer::Done(_) => bail!("the supervisor answered before it was asked"),
    }
}

/// The control plane itself failed to start: trying again would fail again.
#[derive(Debug)]
pub(crate) struct NotStarted;

impl std::fmt::Display for NotStarted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the control plane did not start")
    }
}

/// A command for `program` that is killed by the kernel when this process ends.
pub(crate) fn bound_to_us(program: &Path) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("__exec").arg(std::process::id().to_string()).arg(program);
    Ok(command)
}

/// The body of `lab __exec`: becomes `program`, bound to the life of `parent`.
///
/// # Errors
/// The program cannot be started. There is no other way to return.
pub fn exec(parent: i32, program: &Path, args: &[String]) -> Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the kernel was told.
    if rustix::process::getppid().is_none_or(|pid| pid.as_raw_nonzero().get() != parent) {
        bail!("the supervisor is gone");
    }
    Err(Command::new(program).args(args).exec()).with_context(|| format!("becoming {}", program.display()))
}

/// The body of `lab __watch`: waits for the end of the supervisor, whose end closes our standard input.
///
/// # Errors
/// The state cannot be removed.
pub fn watch(supervisor: i32, dir: &Path) -> Result<()> {
    io::stdin().read_to_end(&mut Vec::new())?;
    if let Some(group) = Pid::from_raw(supervisor) {
        // No such group: all of them are gone already.
        rustix::process::kill_process_group(group, Signal::KILL).ok();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        // A process that is being killed may still write a last file.
        for _ in 0..100 {
            if fs::remove_dir_all(dir).is_ok() || !dir.exists() {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    });
    Ok(())
}

/// Removes what supervisors left that were killed together with their watchdogs.
pub(crate) fn sweep(base: &Path) -> Result<()> {
    for entry in fs::read_dir(base)? {
        let state = State::at(entry?.path());
        let refused =
            UnixStream::connect(state.socket()).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        if refused {
            fs::remove_dir_all(state.dir()).ok();
        }
    }
    Ok(())
}

/// The body of `lab __supervise`: standard input is the listening socket.
///
/// # Errors
/// The control plane does not start, or a component dies.
pub fn supervise(dir: &Path, binaries: &Path, linger: u64) -> Result<()> {
    rustix::process::setsid().context("leaving the caller's session")?;
    let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
    listener.set_nonblocking(true)?;
    // Its standard input is a pipe that closes when this process ends, in whatever way.
    let _watchdog = Command::new(std::env::current_exe()?)
        .arg("__watch")
        .arg(std::process::id().to_string())
        .arg(dir)
        .process_group(0)
        .stdin(Stdio::piped())
        .spawn()
        .context("starting the watchdog")?;
    // One thread: the kernel binds the components to the thread that started them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let state = State::at(dir);
    let mut supervisor = Supervisor { listener, clients: HashMap::new(), held: false, linger, state: state.clone() };
    let result = runtime.block_on(async {
        match ControlPlane::start(&state, &Binaries::given(binaries)?).await {
            Ok(mut plane) => {
                let result = supervisor.serve(&mut plane).await;
                plane.end().await;
                result
            }
            Err(error) => {
                supervisor.turn_away(&error).await;
                Err(error)
            }
        }
    });
    // A client that waits for our end knows that the state is gone by then.
    fs::remove_dir_all(dir).ok();
    result
}

struct Supervisor {
    listener: tokio::net::UnixListener,
    clients: HashMap<u64, OwnedWriteHalf>,
    held: bool,
    linger: u64,
    state: State,
}

/// A line from client number .0, or its end.
struct Heard(u64, Option<Request>);

impl Supervisor {
    async fn serve(&mut self, plane: &mut ControlPlane) -> Result<()> {
        let (heard, mut hearing) = mpsc::unbounded_channel();
        let mut number = 0;
        let mut idle_since = Instant::now();
        loop {
            let idle = self.clients.is_empty() && !self.held;
            let end = idle_since + Duration::from_secs(self.linger);
            tokio::select! {
                Ok((stream, _)) = self.listener.accept() => {
                    number += 1;
                    let (reader, writer) = stream.into_split();
                    self.clients.insert(number, writer);
                    tokio::spawn(listen(number, reader, heard.clone()));
                    let facts = self.facts(plane);
                    self.tell(number, &Answer::Ready(facts)).await;
                }
                Some(Heard(client, request)) = hearing.recv() => match request {
                    None => {
                        self.clients.remove(&client);
                        idle_since = Instant::now();
                    }
                    Some(Request::Release) if self.clients.len() <= 1 => return Ok(()),
                    Some(Request::Release) => {
                        self.held = false;
                        self.tell(client, &Answer::Done(Ok(()))).await;
                    }
                    Some(Request::Hold) => {
                        self.held = true;
                        self.tell(client, &Answer::Done(Ok(()))).await;
                    }
                    Some(Request::Linger(seconds)) => self.linger = self.linger.max(seconds),
                    Some(Request::Forget(world)) => {
                        tokio::spawn(forget(self.state.clone(), world));
                    }
                    Some(Request::Stop(name)) => {
                        let done = plane.stop(&name).await;
                        self.tell(client, &Answer::Done(done.map_err(|error| format!("{error:#}")))).await;
                    }
                    Some(Request::Start(name)) => {
                        let done = plane.start_again(&name).await;
                        self.tell(client, &Answer::Done(done.map_err(|error| format!("{error:#}")))).await;
                    }
                },
                error = plane.failure() => {
                    let numbers: Vec<u64> = self.clients.keys().copied().collect();
                    for number in numbers {
                        self.tell(number, &Answer::Failed(error.to_string())).await;
                    }
                    return Err(error);
                }
                () = sleep_until(end), if idle => return Ok(()),
            }
        }
    }

    /// Tells everybody who waits that there is no control plane.
    async fn turn_away(&mut self, error: &anyhow::Error) {
        while let Ok(Ok((mut stream, _))) = timeout(Duration::from_millis(200), self.listener.accept()).await {
            stream.write_all(&line(&Answer::Failed(format!("{error:#}")))).await.ok();
        }
    }

    /// A client that does not listen any more will be heard to have ended.
    async fn tell(&mut self, client: u64, answer: &Answer) {
        if let Some(writer) = self.clients.get_mut(&client) {
            writer.write_all(&line(answer)).await.ok();
        }
    }

    fn facts(&self, plane: &ControlPlane) -> Facts {
        Facts {
            dir: self.state.dir().to_owned(),
            binaries: plane.binaries().to_owned(),
            server: plane.server(),
            supervisor: std::process::id(),
            pids: plane.pids().into_iter().collect(),
            held: self.held,
        }
    }
}

/// Sends a request from a client's side.
pub(crate) fn send(mut stream: &UnixStream, request: &Request) -> Result<()> {
    stream.write_all(&line(request)).context("the supervisor of the lab is gone")
}

/// Reads answers on a client's side until the supervisor ends.
pub(crate) fn answers(reader: BufReader<UnixStream>) -> impl Iterator<Item = Answer> {
    let lines = reader.lines().map_while(Result::ok);
    lines.map_while(|line| serde_json::from_str(&line).ok())
}

fn line(message: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

async fn listen(number: u64, reader: tokio::net::unix::OwnedReadHalf, heard: mpsc::UnboundedSender<Heard>) {
    let mut lines = tokio::io::BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(request) = serde_json::from_str(&line) {
            heard.send(Heard(number, Some(request))).ok();
        }
    }
    heard.send(Heard(number, None)).ok();
}

/// Deletes a world's objects. Nobody waits for it and nobody is helped by its errors.
async fn forget(state: State, world: String) {
    let Ok(admin) = identity::client(&state, identity::ADMIN).await else { return };
    let now = DeleteParams::default().grace_period(0);
    let of_world = ListParams::default().labels(&format!("test={world}"));
    Api::<Namespace>::all(admin.clone()).delete(&world, &now).await.ok();
    Api::<Pod>::namespaced(admin.clone(), &world).delete_collection(&now, &ListParams::default()).await.ok();
    Api::<Node>::all(admin.clone()).delete_collection(&now, &of_world).await.ok();
    Api::<PersistentVolume>::all(admin.clone()).delete_collection(&now, &of_world).await.ok();
    Api::<ClusterRoleBinding>::all(admin.clone()).delete_collection(&now, &of_world).await.ok();
    Api::<ClusterRole>::all(admin).delete_collection(&now, &of_world).await.ok();
}
