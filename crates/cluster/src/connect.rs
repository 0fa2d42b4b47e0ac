//! The way to a cluster: kubectl's flags, kubeconfig rules and headers on kube's client, without kube's retries.

mod clock;
mod environment;
mod exchange;
mod kubeconfig;
mod proxy;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{HeaderValue, Request, Response, Uri, header};
use jiff::Timestamp;
use kube::client::{AuthError, Body, ClientBuilder, ConfigExt as _};
use kube::{Client, Config};
use secrecy::SecretString;
use serde_json::Value;
use tower::buffer::BufferLayer;
use tower::{BoxError, Service};

pub use self::environment::Environment;
pub use self::exchange::REQUEST_LOG;
use self::exchange::{ExchangeLayer, Exchanges};
pub use self::kubeconfig::Entries;
use self::kubeconfig::Target;
use crate::error::{self, ConnectError, Error};
use crate::look::Prober;

/// How long one request may take when `--request-timeout` doesn't say.
///
/// kubectl has no such limit, so a connection that dies silently hangs it for ever. The API server itself gives up on
/// a request other than a watch after 60 s; a page of 500 objects or a patch takes far less than half of that.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How many requests may wait while a token is refreshed: as many as kube's own client lets wait.
const MAX_WAITING_FOR_TOKEN: usize = 1024;

/// kubectl's global connection flags. An empty string counts as not given.
#[derive(Debug, Clone, Default)]
pub struct ConnectOptions {
    /// `--kubeconfig`: this file alone, and it must exist.
    pub kubeconfig: Option<PathBuf>,
    /// `--context`.
    pub context: Option<String>,
    /// `--cluster`.
    pub cluster: Option<String>,
    /// `--user`.
    pub user: Option<String>,
    /// `--server`: host and port, or a URL. Clears the kubeconfig's TLS server name.
    pub server: Option<String>,
    /// `--token`: replaces the user's token file, credential plugin and auth provider.
    pub token: Option<SecretString>,
    /// `--username`.
    pub username: Option<String>,
    /// `--password`.
    pub password: Option<SecretString>,
    /// `--as`.
    pub as_user: Option<String>,
    /// `--as-uid`.
    pub as_uid: Option<String>,
    /// `--as-group`, repeated.
    pub as_groups: Vec<String>,
    /// `--as-user-extra`, repeated: key and value.
    pub as_user_extra: Vec<(String, String)>,
    /// `--client-certificate`: a PEM file.
    pub client_certificate: Option<PathBuf>,
    /// `--client-key`: a PEM file.
    pub client_key: Option<PathBuf>,
    /// `--certificate-authority`: a PEM file.
    pub certificate_authority: Option<PathBuf>,
    /// `--tls-server-name`.
    pub tls_server_name: Option<String>,
    /// `--insecure-skip-tls-verify`: drops the kubeconfig's certificate authority.
    pub insecure_skip_tls_verify: bool,
    /// `--namespace`.
    pub namespace: Option<String>,
    /// `--request-timeout`; zero and `None` mean [`DEFAULT_REQUEST_TIMEOUT`].
    pub request_timeout: Option<Duration>,
    /// `--disable-compression`.
    pub disable_compression: bool,
    /// The `User-Agent` that audit logs show, see [`user_agent`].
    pub user_agent: String,
}

impl ConnectOptions {
    /// A flag names an entry that only a kubeconfig can have.
    fn names_an_entry(&self) -> bool {
        [&self.context, &self.cluster, &self.user].into_iter().flatten().any(|name| !name.is_empty())
    }
}

/// A client for one cluster, and what was learned on the way to it. Clones share the connection.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    exchanges: Exchanges,
    context: Option<String>,
    cluster: Option<String>,
    user: Option<String>,
    server: String,
    /// Host and port of the first hop: the proxy if there is one, else the server.
    peer: String,
    namespace: String,
    request_timeout: Duration,
    prober: Arc<OnceLock<Result<Prober, String>>>,
}

/// Builds the client that the flags, the kubeconfig and this process's environment ask for.
///
/// Nothing is sent yet, but a credential plugin may run. Must be called within a tokio runtime.
pub fn connect(options: &ConnectOptions) -> Result<Connection, ConnectError> {
    connect_from(options, &Environment::from_process())
}

/// [`connect`] with an environment of the caller's.
pub fn connect_from(options: &ConnectOptions, environment: &Environment) -> Result<Connection, ConnectError> {
    let target = kubeconfig::resolve(options, environment)?;
    let config = client_config(&target, options, environment)?;
    let server = target.server.trim_end_matches('/').to_owned();
    let peer = authority(config.proxy_url.as_ref().unwrap_or(&config.cluster_url));
    let exchanges = Exchanges::default();
    let layer = ExchangeLayer { exchanges: exchanges.clone(), server: server.clone() };
    let client = client(config, &layer).map_err(|error| client_error(error, &target))?;
    Ok(Connection {
        client,
        exchanges,
        context: target.context,
        cluster: target.cluster_name,
        user: target.user_name,
        server,
        peer,
        namespace: target.namespace,
        request_timeout: options.request_timeout.filter(|limit| !limit.is_zero()).unwrap_or(DEFAULT_REQUEST_TIMEOUT),
        prober: Arc::default(),
    })
}

/// What can be named with `--context`, `--cluster` and `--user`: the entries of the kubeconfig files.
pub fn entries(options: &ConnectOptions) -> Result<Entries, ConnectError> {
    kubeconfig::entries(options, &Environment::from_process())
}

impl Connection {
    /// A connection over a service of the caller's, such as an API server that a test plays.
    pub fn over<S, B>(service: S, namespace: &str) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let exchanges = Exchanges::default();
        let layer = ExchangeLayer { exchanges: exchanges.clone(), server: "http://service".to_owned() };
        Self {
            client: ClientBuilder::new(service, namespace).with_layer(&layer).build(),
            exchanges,
            context: None,
            cluster: None,
            user: None,
            server: "http://service".to_owned(),
            peer: "service".to_owned(),
            namespace: namespace.to_owned(),
            request_timeout: DEFAULT_REQUEST_TIMEOUT,
            prober: Arc::default(),
        }
    }

    /// Waits for one request, no longer than the request timeout.
    ///
    /// `what` names it for error messages: verb and object, such as `list pods`. Not for watches: they are long by
    /// nature, see [`Connection::explain`].
    pub async fn call<T>(&self, what: &str, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, Error> {
        match tokio::time::timeout(self.request_timeout, request).await {
            Ok(answer) => answer.map_err(|error| self.explain(what, error)),
            Err(_) => Err(Error::Timeout { what: what.to_owned(), after: self.request_timeout }),
        }
    }

    /// Sends a request and reads the text of its answer, see [`Connection::call`].
    pub(crate) async fn ask<T, E: Display>(
        &self,
        what: &str,
        request: Result<Request<Vec<u8>>, E>,
        read: impl FnOnce(&str) -> Result<T, serde_json::Error>,
    ) -> Result<T, Error> {
        let unsent = |reason: E| Error::Request { what: what.to_owned(), reason: reason.to_string() };
        let text = self.call(what, self.client.request_text(request.map_err(unsent)?)).await?;
        read(&text).map_err(|error| Error::Answer { what: what.to_owned(), reason: error.to_string() })
    }

    /// An error that kube gave for `what`, in terms of this connection.
    pub fn explain(&self, what: &str, error: kube::Error) -> Error {
        Error::from_kube(error, what, &self.peer)
    }

    /// What requests URLs other than the server's; made when it is needed first.
    pub(crate) fn prober(&self) -> Result<Prober, String> {
        self.prober.get_or_init(|| Prober::new().map_err(|error| error.to_string())).clone()
    }

    /// The client. It never retries. Requests that don't go through [`Connection::call`] have no timeout.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The kubeconfig's context; `None` in a pod or without a kubeconfig.
    pub fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// The kubeconfig's name for the cluster.
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// The kubeconfig's name for the user.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The server's URL.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The namespace for objects that name none: flag, else context, else the pod's, else `default`.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// How long [`Connection::call`] waits.
    pub fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// The server's time now, by the `Date` of its answers; `None` before its first.
    ///
    /// Compare it with timestamps of objects; never compare those with the local clock.
    pub fn server_now(&self) -> Option<Timestamp> {
        self.exchanges.clock().at(clock::local_now())
    }

    /// The server's warnings since the last call, each text once in the life of the connection.
    pub fn take_warnings(&self) -> Vec<String> {
        self.exchanges.take_warnings()
    }

    /// How many requests were sent so far.
    pub fn requests(&self) -> u64 {
        self.exchanges.requests()
    }
}

/// A `User-Agent` as kubectl writes it: `kubectl-safe-drain/0.1.0 (linux/amd64)`.
pub fn user_agent(program: &str, version: &str) -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{program}/{version} ({system}/{machine})")
}

/// A request that posts an object.
pub(crate) fn post(path: &str, object: &Value) -> Result<Request<Vec<u8>>, http::Error> {
    Request::post(path).header(header::CONTENT_TYPE, "application/json").body(object.to_string().into_bytes())
}

/// Reads any JSON, for [`Connection::ask`].
pub(crate) fn json(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

/// kube's configuration, field by field: its own loaders read the environment and mistake `NO_PROXY`.
fn client_config(target: &Target, options: &ConnectOptions, environment: &Environment) -> Result<Config, ConnectError> {
    let invalid = |reason: String| ConnectError::InvalidServer { server: target.server.clone(), reason };
    let server: Uri = target.server.parse().map_err(|error: http::uri::InvalidUri| invalid(error.to_string()))?;
    if server.host().is_none_or(str::is_empty) || !matches!(server.scheme_str(), Some("http" | "https")) {
        return Err(invalid("expected http://HOST[:PORT] or https://HOST[:PORT]".to_owned()));
    }
    let mut config = Config::new(server);
    config.default_retry = false;
    config.default_namespace.clone_from(&target.namespace);
    config.accept_invalid_certs = target.cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = target.cluster.disable_compression.unwrap_or(false);
    config.tls_server_name = target.cluster.tls_server_name.clone().filter(|name| !name.is_empty());
    config.proxy_url = proxy::choose(&config.cluster_url, target.cluster.proxy_url.as_deref(), environment)?;
    config.auth_info = target.user.clone();
    if config.cluster_url.scheme_str() == Some("https")
        && let Some(pem) = kubeconfig::authority(target)?
    {
        config.root_cert = Some(certificates(&pem)?);
    }
    if target.authority_rotates {
        config.root_cert_file = target.cluster.certificate_authority.as_ref().map(PathBuf::from);
    }
    if !options.user_agent.is_empty() {
        let value =
            HeaderValue::from_str(&options.user_agent).map_err(|error| ConnectError::Client(error.to_string()))?;
        config.headers.push((header::USER_AGENT, value));
    }
    Ok(config)
}

/// kube's client with our layer around it.
///
/// kube runs a credential plugin three times to build a client, which shows when each run takes a second or asks for a
/// password. So a plugin's token is fetched here, once, and added outside of kube's stack.
fn client(mut config: Config, layer: &ExchangeLayer) -> Result<Client, kube::Error> {
    let token = if config.auth_info.exec.is_some() { config.auth_layer()? } else { None };
    // Without a plugin, or with one that gives a client certificate: that is part of kube's TLS set-up.
    let Some(token) = token else {
        return Ok(ClientBuilder::try_from(config)?.with_layer(layer).build());
    };
    config.auth_info.exec = None;
    let base = ClientBuilder::try_from(config)?.with_layer(&BufferLayer::new(MAX_WAITING_FOR_TOKEN));
    Ok(base.with_layer(&token).with_layer(layer).build())
}

/// The DER certificates in a PEM bundle; other blocks are skipped.
fn certificates(pem: &[u8]) -> Result<Vec<Vec<u8>>, ConnectError> {
    let blocks = pem::parse_many(pem).map_err(|error| ConnectError::RootCertificates(error.to_string()))?;
    let certificates: Vec<_> =
        blocks.into_iter().filter(|block| block.tag() == "CERTIFICATE").map(pem::Pem::into_contents).collect();
    if certificates.is_empty() {
        return Err(ConnectError::RootCertificates("unable to parse bytes as PEM block".to_owned()));
    }
    Ok(certificates)
}

/// Host and port as the URL writes them.
fn authority(url: &Uri) -> String {
    url.authority()
        .map(|authority| authority.as_str().rsplit('@').next().unwrap_or_default().to_owned())
        .unwrap_or_default()
}

/// Google's provider without a command of its own, which kubectl dropped with 1.26.
const NO_MORE_GCP: &str = "the auth provider gcp is no more: use the credential plugin gke-gcloud-auth-plugin";

fn client_error(error: kube::Error, target: &Target) -> ConnectError {
    let provider = target.user.auth_provider.as_ref().map(|provider| provider.name.as_str());
    match error {
        kube::Error::Auth(AuthError::AuthExec(_)) if provider == Some("gcp") => {
            ConnectError::Credentials(NO_MORE_GCP.to_owned())
        }
        kube::Error::Auth(error) => {
            let plugin = target.user.exec.as_ref().and_then(|exec| exec.command.as_deref()).unwrap_or_default();
            ConnectError::Credentials(error::credentials_text(&error, plugin))
        }
        other => ConnectError::Client(error::innermost(&other)),
    }
}
