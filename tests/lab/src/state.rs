//! Where a lab keeps its files: one directory per control plane, gone when the control plane is.

use std::{
    fs::{self, File},
    hash::{BuildHasher, Hasher, RandomState},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The directory of one control plane.
#[derive(Debug, Clone)]
pub(crate) struct State {
    dir: PathBuf,
}

impl State {
    /// The state kept in `dir`.
    pub(crate) fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Makes a new, empty directory below [`base`].
    pub(crate) fn create(label: &str) -> Result<Self> {
        let dir = base()?.join(format!("{label}-{}", suffix()));
        private_dir(&dir)?;
        private_dir(&dir.join("users"))?;
        Ok(Self { dir })
    }

    /// The directory itself.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The kubeconfig for people: one context per identity, `lab` is current.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    /// The kubeconfig of one user, with one context.
    pub(crate) fn user_kubeconfig(&self, user: &str) -> PathBuf {
        self.dir.join("users").join(format!("{user}.kubeconfig"))
    }

    /// The socket of the supervisor.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.join("socket")
    }

    /// What a component writes while it runs.
    pub(crate) fn log(&self, component: &str) -> PathBuf {
        self.dir.join(format!("{component}.log"))
    }

    /// The audit log of the apiserver.
    pub(crate) fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    /// Any other file.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// The directory of all control planes of this user, in memory where the system has such a place.
///
/// # Errors
/// The directory cannot be made, or belongs to somebody else.
pub(crate) fn base() -> Result<PathBuf> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let user = rustix::process::getuid().as_raw();
    let dir = parent.join(format!("disruption-lab-{user}"));
    private_dir(&dir)?;
    // Anybody may write to the parent, and the keys of the control plane will be in here.
    if fs::metadata(&dir)?.uid() != user {
        bail!("{} belongs to another user", dir.display());
    }
    Ok(dir)
}

/// Opens `path` and holds it alone until the file is dropped.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("opening {}", path.display()))?;
    file.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(file)
}

/// Five letters and digits that nobody else has.
pub(crate) fn suffix() -> String {
    let mut random = RandomState::new().build_hasher().finish();
    let mut text = String::new();
    for _ in 0..5 {
        // No vowels: a suffix is never a word.
        text.push(char::from(b"bcdfghjklmnpqrstvwxz2456789"[(random % 27) as usize]));
        random /= 27;
    }
    text
}

/// FNV-1a over the parts: the same in every build, unlike the hashers of std.
pub(crate) fn stamp<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// The last lines of a file, for an error message.
pub(crate) fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

fn private_dir(dir: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("making {}", dir.display()))
        }
        _ => Ok(()),
    }
}
