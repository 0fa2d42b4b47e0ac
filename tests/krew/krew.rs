//! The real krew, with a root of its own, called through the lab's kubectl.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context, Result};
use lab::{Output, Run, binaries::Binaries};
use tempfile::TempDir;

/// krew as a user has it who has installed nothing yet.
pub(crate) struct Krew {
    root: TempDir,
    kubectl: PathBuf,
    validator: PathBuf,
}

impl Krew {
    pub(crate) fn new() -> Result<Self> {
        let root = tempfile::tempdir()?;
        let programs = lab::binaries::krew()?;
        for dir in ["bin", "receipts"] {
            fs::create_dir(root.path().join(dir))?;
        }
        symlink(programs.join("krew"), root.path().join("bin/kubectl-krew"))?;
        // Without any receipt krew takes its root for one of an old layout.
        fs::write(root.path().join("receipts/krew.notyaml"), "")?;
        Ok(Self {
            root,
            kubectl: Binaries::find()?.path("kubectl"),
            validator: programs.join("validate-krew-manifest"),
        })
    }

    /// kubectl, which finds krew and what krew has installed.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Run {
        self.with_krew(&self.kubectl).env("KREW_ROOT", self.root.path()).args(args)
    }

    /// What the index checks each manifest with. It has krew install every platform, below a root of its own.
    pub(crate) async fn validate(&self, manifest: &Path, flags: &[&str]) -> Result<Output> {
        self.with_krew(&self.validator).args(["-manifest"]).args([manifest]).args(flags).output().await
    }

    fn with_krew(&self, program: &Path) -> Run {
        let kubectl_dir = self.kubectl.parent().unwrap_or(Path::new("/"));
        lab::run(program).path(kubectl_dir).path(&self.root.path().join("bin")).env("KREW_NO_UPGRADE_CHECK", "1")
    }

    /// A file below krew's root.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// Where the link of an installed binary leads, below krew's root.
    pub(crate) fn linked(&self, binary: &str) -> Result<String> {
        let target =
            fs::read_link(self.path(&format!("bin/{binary}"))).with_context(|| format!("the link {binary}"))?;
        Ok(target.strip_prefix(self.root.path())?.to_string_lossy().into_owned())
    }

    /// The names in one of its directories, without krew's own.
    pub(crate) fn names(&self, dir: &str) -> Result<Vec<String>> {
        let mut names = fs::read_dir(self.path(dir))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        names.retain(|name| !name.contains("krew"));
        names.sort();
        Ok(names)
    }
}

/// Serves the files in `dir` as a page of releases does, whatever stands before their names, until the tests end.
///
/// # Errors
/// There is no port.
pub(crate) fn serve(dirs: Vec<PathBuf>, listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is its own problem.
            answer(stream, &dirs).ok();
        }
    });
}

fn answer(mut stream: std::net::TcpStream, dirs: &[PathBuf]) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request);
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    let found = dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file()).map(fs::read).transpose()?;
    let (status, body) = found.map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body));
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())?;
    stream.write_all(&body)
}
