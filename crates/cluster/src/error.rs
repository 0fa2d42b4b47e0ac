//! What can go wrong between us and the API server, in terms that a user understands.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use kube::client::AuthError;
use kube::core::Status;

/// Why a request to the API server has no result.
///
/// `kube::Error` is never shown: its text repeats its sources and dumps structures.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server answered with an error.
    #[error("{}", .0.message)]
    Api(Box<Status>),
    /// The server did not answer in time.
    #[error("{what}: no answer within {after:?}")]
    Timeout {
        /// What was asked: a verb and its object, such as `list pods`.
        what: String,
        /// How long we waited.
        after: Duration,
    },
    /// Nobody listens at the server's (or its proxy's) address.
    #[error("connection to {server} refused")]
    Refused {
        /// Host and port as in the URL that was tried.
        server: String,
    },
    /// The connection failed in another way: name lookup, TLS, reset.
    #[error("{0}")]
    Transport(String),
    /// Credentials could not be obtained: a token file, a credential plugin, a token refresh.
    #[error("{0}")]
    Credentials(String),
    /// The server's answer is not what its API promises.
    #[error("{what}: unexpected answer: {reason}")]
    Answer {
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        reason: String,
    },
    /// A change was accepted, or may have been, and its effect could not be read back.
    #[error("{what}: it may stand all the same, its effect could not be read back: {source}")]
    Unverified {
        /// What was asked.
        what: String,
        /// Why there was no answer.
        source: Box<Error>,
    },
    /// The request could not be built: a bug or an impossible name.
    #[error("{what}: {reason}")]
    Request {
        /// What was to be asked.
        what: String,
        /// Why it could not be asked.
        reason: String,
    },
}

/// Why there is no connection to a cluster yet. The texts are kubectl's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// `--kubeconfig` names a file that cannot be looked at.
    #[error("stat {}: {reason}", path.display())]
    MissingKubeconfig {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        reason: String,
    },
    /// A kubeconfig exists and cannot be read or understood.
    #[error("error loading config file {:?}: {reason}", path.display().to_string())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A context that was asked for isn't in the kubeconfig.
    #[error("context {0:?} does not exist")]
    UnknownContext(String),
    /// A cluster that was asked for, by a flag or by the context, isn't in the kubeconfig.
    #[error("cluster {0:?} does not exist")]
    UnknownCluster(String),
    /// A user that was asked for isn't in the kubeconfig.
    #[error("auth info {0:?} does not exist")]
    UnknownUser(String),
    /// The cluster's entry has no server.
    #[error("no server found for cluster {0:?}")]
    NoServer(String),
    /// The server is not a URL.
    #[error("invalid server URL {server:?}: {reason}")]
    InvalidServer {
        /// What was given.
        server: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The proxy is not a URL that we can go through.
    #[error("invalid proxy URL {0:?}: the schemes are http, https and socks5")]
    InvalidProxy(String),
    /// A certificate, key or authority cannot be read.
    #[error("unable to read {what} {path} for {owner} due to {reason}")]
    UnreadableFile {
        /// What the file was to hold, such as `client-cert`.
        what: &'static str,
        /// The file.
        path: String,
        /// The cluster or user that names it.
        owner: String,
        /// The operating system's reason.
        reason: String,
    },
    /// The certificate authority isn't PEM.
    #[error("unable to load root certificates: {0}")]
    RootCertificates(String),
    /// An authority is named that would not be asked.
    #[error("specifying a root certificates file with the insecure flag is not allowed")]
    InsecureWithAuthority,
    /// A client certificate without its key.
    #[error("client-key-data or client-key must be specified for {0} to use the clientCert authentication method.")]
    NoClientKey(String),
    /// A token and a password at once.
    #[error("more than one authentication method found for {0}; found [token basicAuth], only one is allowed")]
    SeveralMethods(String),
    /// `--as-uid`, `--as-group` or `--as-user-extra` without `--as`.
    #[error("requesting uid, groups or user-extra for {0} without impersonating a user")]
    ImpersonationWithoutUser(String),
    /// Credentials could not be obtained.
    #[error("{0}")]
    Credentials(String),
    /// Something else that the client's set-up refuses: a TLS identity, a server name, a header.
    #[error("{0}")]
    Client(String),
}

impl Error {
    /// Reads an error of kube's client. `what` was asked of `peer` (host and port).
    pub fn from_kube(error: kube::Error, what: &str, peer: &str) -> Self {
        match error {
            kube::Error::Api(status) => Self::Api(status),
            kube::Error::SerdeError(source) => Self::Answer { what: what.to_owned(), reason: source.to_string() },
            kube::Error::FromUtf8(source) => Self::Answer { what: what.to_owned(), reason: source.to_string() },
            kube::Error::BuildRequest(source) => Self::Request { what: what.to_owned(), reason: innermost(&source) },
            kube::Error::HttpError(source) => Self::Request { what: what.to_owned(), reason: innermost(&source) },
            other => Self::from_transport(&other, peer),
        }
    }

    /// The status that the server answered with, if it did.
    pub fn status(&self) -> Option<&Status> {
        match self {
            Self::Api(status) => Some(status),
            _ => None,
        }
    }

    /// The server says that the object doesn't exist, or that it has no such path at all: then in plain text without a
    /// reason, which kube's own `is_not_found` does not recognize.
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.is_not_found() || status.code == 404)
    }

    /// The server says that the object is not the one (or not in the version) that we named.
    pub fn is_conflict(&self) -> bool {
        self.status().is_some_and(Status::is_conflict)
    }

    fn from_transport(error: &kube::Error, peer: &str) -> Self {
        let mut refused = false;
        let mut unknown_host = false;
        let mut credentials = None;
        for source in chain(error) {
            if let Some(auth) = source.downcast_ref::<AuthError>() {
                credentials = Some(credentials_text(auth, "of the kubeconfig"));
            }
            refused |= source
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused);
            // hyper's connector has no type for this, and the resolver's own text lacks the name.
            unknown_host |= source.to_string() == "dns error";
        }
        match credentials {
            Some(text) => Self::Credentials(text),
            None if refused => Self::Refused { server: peer.to_owned() },
            None if unknown_host => Self::Transport(format!("lookup {}: {}", host(peer), innermost(error))),
            None => Self::Transport(innermost(error)),
        }
    }
}

/// Says why credentials could not be obtained, in client-go's words where it has some.
///
/// `plugin` names the kubeconfig's credential plugin: kube's own text shows its whole environment, secrets included.
pub(crate) fn credentials_text(error: &AuthError, plugin: &str) -> String {
    match error {
        AuthError::AuthExecStart(source) if source.kind() == io::ErrorKind::NotFound => {
            format!("getting credentials: exec: executable {plugin} not found")
        }
        AuthError::AuthExecStart(source) => format!("getting credentials: exec: {plugin}: {}", io_text(source)),
        AuthError::AuthExecRun { out, .. } => {
            let ended = out.status.code().map_or_else(|| out.status.to_string(), |code| format!("exit code {code}"));
            let ended = format!("getting credentials: exec: executable {plugin} failed with {ended}");
            let stderr = String::from_utf8_lossy(&out.stderr);
            let said = stderr.lines().map(str::trim).rfind(|line| !line.is_empty());
            said.map_or_else(|| ended.clone(), |said| format!("{ended}: {said}"))
        }
        AuthError::ReadTokenFile(source, path) => {
            format!("failed to read token file {:?}: {}", path.display().to_string(), io_text(source))
        }
        other => innermost(other),
    }
}

/// The text of the error that caused all the others: those only say where it passed through.
pub(crate) fn innermost(error: &(dyn StdError + 'static)) -> String {
    let cause = chain(error).last().unwrap_or(error);
    cause.downcast_ref::<io::Error>().map_or_else(|| cause.to_string(), io_text)
}

/// An I/O error as C and Go say it: no capital, no error number.
pub(crate) fn io_text(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by peer".to_owned(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or_default().to_owned()
        }
    }
}

/// A peer without its port.
fn host(peer: &str) -> &str {
    peer.rsplit_once(':').map_or(peer, |(host, _)| host)
}

/// An error and what caused it, cause by cause.
pub(crate) fn chain<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let current = next?;
        next = current.source();
        Some(current)
    })
}
