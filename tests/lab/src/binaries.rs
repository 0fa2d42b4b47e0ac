//! The executables of the control plane: taken from `LAB_BIN`, else built once with Go into the user's cache.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::time::Instant;

use crate::state;

/// A directory that holds every executable a lab needs.
#[derive(Debug, Clone)]
pub struct Binaries {
    dir: PathBuf,
}

/// Programs that are built together and kept in one directory.
struct Set {
    /// In the words of a sentence.
    what: &'static str,
    modules: &'static [&'static Module],
    programs: &'static [Program],
}

/// A Go module and the program to build in it.
struct Program {
    name: &'static str,
    package: &'static str,
    module: &'static Module,
}

/// A pinned set of Go dependencies.
struct Module {
    name: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
}

static ETCD: Module =
    Module { name: "etcd", go_mod: include_str!("../etcd/go.mod"), go_sum: include_str!("../etcd/go.sum") };
static KWOK: Module =
    Module { name: "kwok", go_mod: include_str!("../kwok/go.mod"), go_sum: include_str!("../kwok/go.sum") };
static KUBERNETES: Module =
    Module { name: "k8s", go_mod: include_str!("../k8s/go.mod"), go_sum: include_str!("../k8s/go.sum") };
static KREW: Module =
    Module { name: "krew", go_mod: include_str!("../krew/go.mod"), go_sum: include_str!("../krew/go.sum") };

static PROGRAMS: [Program; 6] = [
    Program { name: "etcd", package: "go.etcd.io/etcd/server/v3", module: &ETCD },
    Program { name: "kwok", package: "sigs.k8s.io/kwok/cmd/kwok", module: &KWOK },
    Program { name: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl", module: &KUBERNETES },
    Program { name: "kube-apiserver", package: "k8s.io/kubernetes/cmd/kube-apiserver", module: &KUBERNETES },
    Program {
        name: "kube-controller-manager",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
        module: &KUBERNETES,
    },
    Program { name: "kube-scheduler", package: "k8s.io/kubernetes/cmd/kube-scheduler", module: &KUBERNETES },
];

static CONTROL_PLANE: Set =
    Set { what: "the control plane's programs", modules: &[&ETCD, &KWOK, &KUBERNETES], programs: &PROGRAMS };

static KREW_AND_VALIDATOR: Set = Set {
    what: "krew",
    modules: &[&KREW],
    programs: &[
        Program { name: "krew", package: "sigs.k8s.io/krew/cmd/krew", module: &KREW },
        Program {
            name: "validate-krew-manifest",
            package: "sigs.k8s.io/krew/cmd/validate-krew-manifest",
            module: &KREW,
        },
    ],
};

impl Binaries {
    /// `LAB_BIN` if it is set, else the cache, which is filled first if need be (ten minutes on two cores).
    ///
    /// # Errors
    /// `LAB_BIN` lacks a program, there is no Go, or the build fails.
    pub fn find() -> Result<Self> {
        match env::var_os("LAB_BIN") {
            Some(dir) => Self::given(Path::new(&dir)),
            None => Ok(Self { dir: CONTROL_PLANE.built()? }),
        }
    }

    /// The programs in `dir`.
    ///
    /// # Errors
    /// Names the first program that is missing.
    pub fn given(dir: &Path) -> Result<Self> {
        for Program { name, .. } in &PROGRAMS {
            if !dir.join(name).is_file() {
                bail!("LAB_BIN is {}, which holds no {name}", dir.display());
            }
        }
        Ok(Self { dir: fs::canonicalize(dir)? })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of one program.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What [`Binaries::find`] would find without a build.
    ///
    /// # Errors
    /// `LAB_BIN` lacks a program, or there is no cache directory.
    pub fn present() -> Result<Option<Self>> {
        match env::var_os("LAB_BIN") {
            Some(dir) => Self::given(Path::new(&dir)).map(Some),
            None => Ok(Some(Self { dir: cache_dir()?.join(CONTROL_PLANE.stamp()) }).filter(|built| built.dir.is_dir())),
        }
    }
}

/// The directory of `krew` and `validate-krew-manifest`: `LAB_BIN` if it has them, else the cache, which is filled first
/// if need be (a minute on two cores).
///
/// # Errors
/// There is no Go, or the build fails.
pub fn krew() -> Result<PathBuf> {
    let Set { programs, .. } = &KREW_AND_VALIDATOR;
    let given = env::var_os("LAB_BIN").map(PathBuf::from);
    match given.filter(|dir| programs.iter().all(|program| dir.join(program.name).is_file())) {
        Some(dir) => Ok(fs::canonicalize(dir)?),
        None => KREW_AND_VALIDATOR.built(),
    }
}

impl Set {
    /// The directory of the programs in the cache, which is filled first if need be.
    fn built(&self) -> Result<PathBuf> {
        let cache = cache_dir()?;
        fs::create_dir_all(&cache).with_context(|| format!("making {}", cache.display()))?;
        let stamp = self.stamp();
        let dir = cache.join(&stamp);
        if dir.is_dir() {
            return Ok(dir);
        }
        let go = go(&env::var_os("PATH").unwrap_or_default())?;
        say(&format!("lab: {} must be built, once, or are being built by somebody else", self.what));
        let _alone = state::lock(&cache.join(format!("{stamp}.lock")))?;
        if !dir.is_dir() {
            let unfinished = cache.join(format!("{stamp}.unfinished"));
            if unfinished.exists() {
                fs::remove_dir_all(&unfinished)?;
            }
            self.build(&go, &unfinished)?;
            fs::rename(unfinished.join("bin"), &dir)?;
            fs::remove_dir_all(&unfinished)?;
        }
        Ok(dir)
    }

    fn stamp(&self) -> String {
        let sums = self.modules.iter().flat_map(|module| [module.go_mod, module.go_sum]);
        let flags: String = self.modules.last().map(|module| linker_flags(module)).unwrap_or_default();
        state::stamp(sums.chain([flags.as_str()]))
    }

    fn build(&self, go: &Path, work: &Path) -> Result<()> {
        let bin = work.join("bin");
        fs::create_dir_all(&bin)?;
        for (index, program) in self.programs.iter().enumerate() {
            let Program { name, package, module } = program;
            let dir = work.join(module.name);
            fs::create_dir_all(&dir)?;
            fs::write(dir.join("go.mod"), module.go_mod)?;
            fs::write(dir.join("go.sum"), module.go_sum)?;
            let log = work.join(format!("{name}.log"));
            let mut command = Command::new(go);
            command
                .args(["build", "-trimpath", "-ldflags", &linker_flags(module), "-o"])
                .args([&bin.join(name)])
                .arg(package)
                .current_dir(&dir)
                .env("CGO_ENABLED", "0")
                .env_remove("GOOS")
                .env_remove("GOARCH")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(&log)?);
            let what = format!("lab: building {name} ({} of {}, once)", index + 1, self.programs.len());
            if !run_with_progress(command, &what)? {
                bail!("go could not build {name}:\n{}", state::tail(&log));
            }
        }
        Ok(())
    }
}

/// Finds the Go command in a search path.
///
/// # Errors
/// Says in one sentence what to install.
pub fn go(path: &OsStr) -> Result<PathBuf> {
    env::split_paths(path).map(|dir| dir.join("go")).find(|go| go.is_file()).context(
        "the lab builds a control plane with Go, which is not in PATH: install Go 1.26 or newer (https://go.dev/dl), \
         or set LAB_BIN to a directory with etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl and kwok",
    )
}

fn cache_dir() -> Result<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => env::home_dir().context("neither XDG_CACHE_HOME nor HOME is set")?.join(".cache"),
    };
    Ok(cache.join("kubectl-disruption-lab"))
}

/// Kubernetes learns its version from the linker only; without it `kubectl version` shows nonsense.
fn linker_flags(module: &Module) -> String {
    let mut flags = String::from("-s -w");
    let version = module.go_mod.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    if let Some(version) = version.and_then(|rest| rest.split_whitespace().next()).filter(|_| module.name == "k8s") {
        let minor = version.split('.').nth(1).unwrap_or_default();
        for package in ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"] {
            for (name, value) in [
                ("gitVersion", version),
                ("gitMajor", "1"),
                ("gitMinor", minor),
                ("gitTreeState", "clean"),
                ("gitCommit", "unknown"),
                ("buildDate", "2026-01-01T00:00:00Z"),
            ] {
                flags.extend([" -X ", package, ".", name, "=", value]);
            }
        }
    }
    flags
}

fn run_with_progress(mut command: Command, what: &str) -> Result<bool> {
    let started = Instant::now();
    let progress = |word: &str| say(&format!("{what}: {word}, {} s", started.elapsed().as_secs()));
    progress("started");
    let mut child = command.spawn().context("starting go")?;
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait()));
    loop {
        match ended.recv_timeout(Duration::from_secs(20)) {
            Ok(status) => {
                let success = status?.success();
                progress(if success { "done" } else { "failed" });
                return Ok(success);
            }
            Err(RecvTimeoutError::Timeout) => progress("still at it"),
            Err(RecvTimeoutError::Disconnected) => bail!("lost sight of go"),
        }
    }
}

/// Writes to stderr itself: the test harness hides what the print macros say, and this takes minutes.
fn say(line: &str) {
    io::stderr().write_all(format!("{line}\n").as_bytes()).ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_go_one_sentence_says_what_to_install() {
        let error = go(OsStr::new("/nonexistent:/also-nonexistent")).unwrap_err().to_string();
        assert!(error.contains("install Go 1.26 or newer"), "{error}");
        assert!(error.contains("LAB_BIN"), "{error}");
        assert!(!error.contains('\n') && !error.contains(". "), "{error}");
    }

    #[test]
    fn a_directory_without_a_program_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["etcd", "kwok", "kubectl", "kube-apiserver", "kube-scheduler"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let error = Binaries::given(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("holds no kube-controller-manager"), "{error}");
    }

    #[test]
    fn kubernetes_is_linked_with_its_version() {
        let flags = linker_flags(&KUBERNETES);
        assert!(flags.contains("k8s.io/component-base/version.gitVersion=v1."), "{flags}");
        assert!(!flags.contains("gitMinor= "), "{flags}");
        assert_eq!(linker_flags(&ETCD), "-s -w");
    }
}
