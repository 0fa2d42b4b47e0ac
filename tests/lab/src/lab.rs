//! A connection to a running control plane, shared by the tests of all processes or private to one test.

use std::{
    fs,
    io::Write,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        mpsc::{self, Receiver},
    },
};

use anyhow::{Context, Result, anyhow};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;

use crate::{
    audit::Audit,
    binaries::Binaries,
    identity, stages,
    state::{self, State},
    supervisor::{self, Answer, Facts, LINGER_SECONDS, NotStarted, Request},
    world::World,
};

/// A running control plane. It lives for as long as somebody holds one of these, in whatever process.
#[derive(Debug, Clone)]
pub struct Lab(Arc<Connection>);

#[derive(Debug)]
struct Connection {
    facts: Facts,
    state: State,
    stream: UnixStream,
    answers: Mutex<Receiver<Result<(), String>>>,
    /// What the supervisor said when the control plane failed.
    failure: Arc<Mutex<Option<String>>>,
}

/// The control plane that all tests of this user share, started if there is none (six seconds).
///
/// # Errors
/// The executables cannot be had, or a component does not start: the text holds the end of its log.
pub fn shared() -> Result<Lab> {
    static SHARED: OnceLock<Result<Lab, String>> = OnceLock::new();
    SHARED.get_or_init(|| Lab::start().map_err(|error| format!("{error:#}"))).clone().map_err(|text| anyhow!(text))
}

/// [`shared`] for tests that have nothing to say about its errors.
///
/// # Panics
/// There is no control plane; the text says why.
pub fn shared_or_panic() -> Lab {
    match shared() {
        Ok(lab) => lab,
        Err(error) => panic!("{error:#}"),
    }
}

/// The kubectl of the shared control plane.
///
/// # Errors
/// As [`shared`].
pub fn kubectl() -> Result<PathBuf> {
    Ok(shared()?.kubectl())
}

impl Lab {
    /// Connects to the shared control plane of the user, or starts it.
    ///
    /// # Errors
    /// As [`shared`].
    pub fn start() -> Result<Self> {
        let binaries = Binaries::find()?;
        let key = key(&binaries);
        let base = state::base()?;
        let _alone = state::lock(&base.join(format!("{key}.lock")))?;
        let pointer = base.join(format!("{key}.current"));
        // A control plane that is about to end, or was killed, does not answer.
        let lab = if let Some(lab) = Self::running_at(&pointer) {
            lab
        } else {
            supervisor::sweep(&base)?;
            let lab = Self::launch(&key, &binaries, LINGER_SECONDS)?;
            fs::write(&pointer, lab.dir().as_os_str().as_encoded_bytes())?;
            lab
        };
        if let Some(seconds) = std::env::var("LAB_LINGER_SECONDS").ok().and_then(|text| text.parse().ok()) {
            lab.send(&Request::Linger(seconds))?;
        }
        Ok(lab)
    }

    /// The shared control plane if it runs.
    ///
    /// # Errors
    /// `LAB_BIN` lacks a program, or there is no place for state.
    pub fn running() -> Result<Option<Self>> {
        let Some(binaries) = Binaries::present()? else { return Ok(None) };
        let key = key(&binaries);
        Ok(Self::running_at(&state::base()?.join(format!("{key}.current"))))
    }

    /// All control planes of the user that stay without anybody connected, those of other builds of the lab too.
    ///
    /// # Errors
    /// There is no place for state.
    pub fn held() -> Result<Vec<Self>> {
        let mut held = Vec::new();
        for entry in fs::read_dir(state::base()?)? {
            let lab = Self::connect(&State::at(entry?.path()));
            held.extend(lab.ok().filter(|lab| lab.facts().held));
        }
        Ok(held)
    }

    /// Starts a control plane for one test, which may stop parts of it. It ends when this is dropped.
    ///
    /// # Errors
    /// As [`shared`].
    pub fn private() -> Result<Self> {
        Self::launch("private", &Binaries::find()?, 0)
    }

    /// A new world of its own for one test.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn world(&self, name: &str) -> Result<World> {
        World::create(self, name).await
    }

    /// The audit log.
    pub fn audit(&self) -> Audit {
        Audit::of(self.0.state.clone())
    }

    /// A new user with the rights that `rules` give, in the whole cluster: its kubeconfig.
    ///
    /// # Errors
    /// The apiserver refuses.
    pub async fn user(&self, name: &str, rules: &[PolicyRule]) -> Result<PathBuf> {
        identity::limited_user(self.state(), &self.admin().await?, name, rules, "").await
    }

    /// A new user with all rights, to be found by this name in the audit log: its kubeconfig.
    ///
    /// # Errors
    /// The certificate cannot be made.
    pub fn powerful_user(&self, name: &str) -> Result<PathBuf> {
        identity::powerful_user(self.state(), name)
    }

    /// The kubeconfig of a fixed user: [`identity::TOOL`], [`identity::DRAINER`] or [`identity::VIEWER`].
    pub fn kubeconfig_of(&self, user: &str) -> PathBuf {
        self.state().user_kubeconfig(user)
    }

    /// The kubeconfig for people, with the contexts lab, lab-admin, lab-drainer and lab-viewer.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state().kubeconfig()
    }

    /// The kubectl of the control plane's version.
    pub fn kubectl(&self) -> PathBuf {
        self.0.facts.binaries.join("kubectl")
    }

    /// Processes, addresses and directories.
    pub fn facts(&self) -> &Facts {
        &self.0.facts
    }

    /// The state directory.
    pub fn dir(&self) -> &Path {
        &self.0.facts.dir
    }

    /// A client that may do everything and leaves no trace in the audit log. It belongs to the caller's runtime.
    ///
    /// # Errors
    /// The kubeconfig is gone, with the lab.
    pub async fn admin(&self) -> Result<Client> {
        self.client(identity::ADMIN).await
    }

    /// A client with a user's name and rights. It belongs to the caller's runtime.
    ///
    /// # Errors
    /// There is no such user.
    pub async fn client(&self, user: &str) -> Result<Client> {
        let client = identity::client(self.state(), user).await;
        client.with_context(|| self.0.failure().unwrap_or_else(|| format!("a client for {user}")))
    }

    /// Keeps the control plane without anybody connected, until [`Lab::release`].
    ///
    /// # Errors
    /// The supervisor is gone.
    pub fn hold(&self) -> Result<()> {
        self.ask(&Request::Hold)
    }

    /// Takes [`Lab::hold`] back. Whether the control plane has ended, with its processes and files: while others are
    /// connected it goes on, and ends with the last of them.
    ///
    /// # Errors
    /// The supervisor is gone.
    pub fn release(self) -> Result<bool> {
        self.send(&Request::Release)?;
        let answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        // The channel closes when the supervisor does.
        Ok(answers.recv().is_err())
    }

    /// Kills one component, e.g. `kube-apiserver`. For private control planes.
    ///
    /// # Errors
    /// There is no such component.
    pub fn stop_component(&self, name: &str) -> Result<()> {
        self.ask(&Request::Stop(name.to_owned()))
    }

    /// Starts one component again and waits until it is ready; kills it first if it runs.
    ///
    /// # Errors
    /// It does not get ready.
    pub fn start_component(&self, name: &str) -> Result<()> {
        self.ask(&Request::Start(name.to_owned()))
    }

    /// What killed the control plane, if something did.
    pub fn failure(&self) -> Option<String> {
        self.0.failure()
    }

    /// Has the objects of a world deleted, without waiting for it.
    pub(crate) fn forget(&self, world: &str) {
        self.send(&Request::Forget(world.to_owned())).ok();
    }

    pub(crate) fn state(&self) -> &State {
        &self.0.state
    }

    fn launch(label: &str, binaries: &Binaries, linger: u64) -> Result<Self> {
        let state = State::create(label)?;
        let started = supervisor::launch(&state, binaries, linger).and_then(|()| Self::connect(&state));
        started.map_err(|error| {
            if error.is::<NotStarted>() {
                return error;
            }
            let said = state::tail(&state.log("supervisor"));
            fs::remove_dir_all(state.dir()).ok();
            error.context(format!("the supervisor of the lab did not start: {said}"))
        })
    }

    fn running_at(pointer: &Path) -> Option<Self> {
        let dir = fs::read_to_string(pointer).ok()?;
        Self::connect(&State::at(dir)).ok()
    }

    fn connect(state: &State) -> Result<Self> {
        let (stream, facts, reader) = supervisor::connect(state)?;
        let (done, answers) = mpsc::channel();
        let failure = Arc::new(Mutex::new(None));
        let failed = failure.clone();
        std::thread::spawn(move || {
            for answer in supervisor::answers(reader) {
                match answer {
                    Answer::Done(result) => drop(done.send(result)),
                    Answer::Failed(why) => {
                        // Whatever the tests say now, this is why.
                        std::io::stderr().write_all(format!("lab: {why}\n").as_bytes()).ok();
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                    }
                    Answer::Ready(_) => {}
                }
            }
        });
        let answers = Mutex::new(answers);
        Ok(Self(Arc::new(Connection { facts, state: state.clone(), stream, answers, failure })))
    }

    fn ask(&self, request: &Request) -> Result<()> {
        let answers = self.0.answers.lock().unwrap_or_else(PoisonError::into_inner);
        self.send(request)?;
        let gone = || self.failure().unwrap_or_else(|| "the supervisor of the lab is gone".to_owned());
        answers.recv().map_err(|_| anyhow!(gone()))?.map_err(|text| anyhow!(text))
    }

    fn send(&self, request: &Request) -> Result<()> {
        supervisor::send(&self.0.stream, request)
    }
}

impl Connection {
    fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The reading thread holds the socket open; this is the end of file that the supervisor waits for.
        self.stream.shutdown(std::net::Shutdown::Both).ok();
    }
}

/// Control planes of other executables or of another version of this code are not ours.
fn key(binaries: &Binaries) -> String {
    let stages = stages::text();
    let code = [include_str!("supervisor.rs"), include_str!("control_plane.rs"), &stages];
    let mut key = state::stamp(code.into_iter().chain([binaries.dir().to_string_lossy().as_ref()]));
    key.truncate(8);
    key
}
