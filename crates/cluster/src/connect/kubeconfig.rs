//! From flags and kubeconfig files to one cluster, one user, one namespace: client-go's loading rules.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, Cluster, Context, ExecAuthCluster, Kubeconfig, KubeconfigError};
use secrecy::ExposeSecret as _;

use super::{ConnectOptions, Environment};
use crate::error::{ConnectError, io_text};

/// What client-go talks to when nothing says otherwise.
const DEFAULT_SERVER: &str = "http://localhost:8080";

/// Where a connection goes, and as whom, before any of it was tried.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) context: Option<String>,
    pub(super) cluster_name: Option<String>,
    pub(super) user_name: Option<String>,
    pub(super) namespace: String,
    pub(super) cluster: Cluster,
    pub(super) user: AuthInfo,
    /// The server's URL with its scheme.
    pub(super) server: String,
    /// The authority's file is replaced from time to time (a pod's own credentials).
    pub(super) authority_rotates: bool,
}

/// The names of a kubeconfig's entries, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// Contexts, each with its cluster's name.
    pub contexts: Vec<(String, String)>,
    /// Clusters, each with its server.
    pub clusters: Vec<(String, String)>,
    /// Users.
    pub users: Vec<String>,
}

/// Reads the names alone: nothing of what they mean is looked at.
pub(super) fn entries(options: &ConnectOptions, environment: &Environment) -> Result<Entries, ConnectError> {
    let Kubeconfig { contexts, clusters, auth_infos, .. } = load(options, environment)?;
    let cluster = |context: Option<Context>| context.map(|context| context.cluster).unwrap_or_default();
    let server = |cluster: Option<Cluster>| cluster.and_then(|cluster| cluster.server).unwrap_or_default();
    Ok(Entries {
        contexts: contexts.into_iter().map(|entry| (entry.name, cluster(entry.context))).collect(),
        clusters: clusters.into_iter().map(|entry| (entry.name, server(entry.cluster))).collect(),
        users: auth_infos.into_iter().map(|entry| entry.name).collect(),
    })
}

/// Finds the target: kubeconfig files, then the pod's own credentials if those say nothing, then flags on top.
pub(super) fn resolve(options: &ConnectOptions, environment: &Environment) -> Result<Target, ConnectError> {
    let config = load(options, environment)?;
    let mut target = match in_cluster(environment) {
        Some(pod) if is_empty(&config) && given(options.server.as_ref()).is_none() && !options.names_an_entry() => pod,
        _ => choose(&config, options)?,
    };
    override_cluster(&mut target, options);
    override_user(&mut target.user, options);
    if let Some(namespace) = given(options.namespace.as_ref()) {
        target.namespace = namespace;
    }
    target.server = server_url(&target)?;
    check(&target)?;
    if let Some(exec) = &mut target.user.exec
        && exec.provide_cluster_info
    {
        let mut cluster = target.cluster.clone();
        cluster.server = Some(target.server.clone());
        exec.cluster = Some(ExecAuthCluster::try_from(&cluster).map_err(|error| client_error(&error))?);
    }
    Ok(target)
}

/// The certificate authority's PEM, from data or file.
pub(super) fn authority(target: &Target) -> Result<Option<Vec<u8>>, ConnectError> {
    let cluster = ExecAuthCluster::try_from(&target.cluster).map_err(|error| client_error(&error))?;
    Ok(cluster.certificate_authority_data)
}

/// Reads and merges the files: `--kubeconfig` alone, else `KUBECONFIG`'s, else `~/.kube/config`.
fn load(options: &ConnectOptions, environment: &Environment) -> Result<Kubeconfig, ConnectError> {
    if let Some(path) = &options.kubeconfig {
        fs::metadata(path).map_err(|error| missing(path, &error))?;
        return read(path);
    }
    let Some(list) = &environment.kubeconfig else {
        let default = environment.home.as_ref().map(|home| home.join(".kube").join("config"));
        return default.filter(|path| path.exists()).map_or_else(|| Ok(Kubeconfig::default()), |path| read(&path));
    };
    let paths: Vec<PathBuf> = std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect();
    let mut merged = Kubeconfig::default();
    let mut found = false;
    for path in paths.iter().filter(|path| path.exists()) {
        found = true;
        merged = merged
            .merge(read(path)?)
            .map_err(|error| ConnectError::Kubeconfig { path: path.clone(), reason: error.to_string() })?;
    }
    if !found {
        let names: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        tracing::warn!("Config not found: {}", names.join(", "));
    }
    Ok(merged)
}

fn missing(path: &Path, error: &io::Error) -> ConnectError {
    ConnectError::MissingKubeconfig { path: path.to_owned(), reason: io_text(error) }
}

fn read(path: &Path) -> Result<Kubeconfig, ConnectError> {
    let mut config = Kubeconfig::read_from(path).map_err(|error| {
        let reason = match error {
            KubeconfigError::ReadConfig(source, path) => format!("open {}: {}", path.display(), io_text(&source)),
            KubeconfigError::Parse(source) => format!("yaml: {}", first_line(&source.to_string())),
            other => other.to_string(),
        };
        ConnectError::Kubeconfig { path: path.to_owned(), reason }
    })?;
    // An empty current-context counts as none: a later file of the list may set it.
    config.current_context = given(config.current_context.as_ref());
    // Against the file's folder an empty path has become the folder itself.
    let folder = path.parent().map(|folder| folder.join("").display().to_string()).unwrap_or_default();
    config
        .clusters
        .iter_mut()
        .filter_map(|named| named.cluster.as_mut())
        .for_each(|of| drop_empty_of_cluster(of, &folder));
    config
        .auth_infos
        .iter_mut()
        .filter_map(|named| named.auth_info.as_mut())
        .for_each(|of| drop_empty_of_user(of, &folder));
    Ok(config)
}

/// Empty fields count as absent, as in client-go, which asks for their length.
fn drop_empty_of_cluster(cluster: &mut Cluster, folder: &str) {
    let Cluster { server, certificate_authority, certificate_authority_data, proxy_url, tls_server_name, .. } = cluster;
    for text in [server, certificate_authority_data, proxy_url, tls_server_name] {
        text.take_if(|text| text.is_empty());
    }
    certificate_authority.take_if(|path| path.is_empty() || path == folder);
}

/// The same of a user.
fn drop_empty_of_user(user: &mut AuthInfo, folder: &str) {
    for text in
        [&mut user.username, &mut user.client_certificate_data, &mut user.impersonate, &mut user.impersonate_uid]
    {
        text.take_if(|text| text.is_empty());
    }
    for secret in [&mut user.password, &mut user.token, &mut user.client_key_data] {
        secret.take_if(|secret| secret.expose_secret().is_empty());
    }
    for path in [&mut user.token_file, &mut user.client_certificate, &mut user.client_key] {
        path.take_if(|path| path.is_empty() || path == folder);
    }
    user.impersonate_groups.take_if(|groups| groups.is_empty());
    user.impersonate_user_extra.take_if(|extra| extra.is_empty());
}

fn first_line(text: &str) -> &str {
    text.lines().next().map(|line| line.trim_start_matches("error: ")).unwrap_or_default()
}

fn is_empty(config: &Kubeconfig) -> bool {
    config.clusters.is_empty()
        && config.contexts.is_empty()
        && config.auth_infos.is_empty()
        && config.current_context.is_none()
}

/// The pod that we run in, if it is one with credentials.
fn in_cluster(environment: &Environment) -> Option<Target> {
    let host = environment.service_host.as_ref()?;
    let port = environment.service_port.as_ref()?;
    let file = |name: &str| environment.service_account.join(name);
    let token = file("token");
    if !token.is_file() {
        return None;
    }
    let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let authority = file("ca.crt");
    let namespace = environment.pod_namespace.clone().or_else(|| fs::read_to_string(file("namespace")).ok());
    Some(Target {
        context: None,
        cluster_name: None,
        user_name: None,
        namespace: given(namespace.as_deref().map(str::trim)).unwrap_or_else(|| "default".to_owned()),
        authority_rotates: authority.is_file(),
        cluster: Cluster {
            server: Some(format!("https://{host}:{port}")),
            certificate_authority: authority.is_file().then(|| authority.display().to_string()),
            ..Cluster::default()
        },
        user: AuthInfo { token_file: Some(token.display().to_string()), ..AuthInfo::default() },
        server: String::new(),
    })
}

/// Picks context, cluster and user by flag, else by the current context, else none.
fn choose(config: &Kubeconfig, options: &ConnectOptions) -> Result<Target, ConnectError> {
    let context_name = given(options.context.as_ref()).or_else(|| config.current_context.clone());
    let context = match &context_name {
        None => Context::default(),
        Some(name) => config
            .contexts
            .iter()
            .find(|named| named.name == *name)
            .map(|named| named.context.clone().unwrap_or_default())
            .ok_or_else(|| ConnectError::UnknownContext(name.clone()))?,
    };

    // kubectl goes to localhost:8080 when the context's cluster is missing; a tool that drains must not guess.
    let cluster_name = given(options.cluster.as_ref()).or_else(|| given(Some(&context.cluster)));
    let cluster = match &cluster_name {
        None => Cluster { server: Some(DEFAULT_SERVER.to_owned()), ..Cluster::default() },
        Some(name) => config
            .clusters
            .iter()
            .find(|named| named.name == *name)
            .map(|named| named.cluster.clone().unwrap_or_default())
            .ok_or_else(|| ConnectError::UnknownCluster(name.clone()))?,
    };

    let user_name = given(options.user.as_ref()).or_else(|| given(context.user.as_ref()));
    let user = match &user_name {
        None => AuthInfo::default(),
        Some(name) => {
            let entry = config.auth_infos.iter().find(|named| named.name == *name);
            // A context may name a user that doesn't exist: then the request is anonymous, as kubectl's.
            if entry.is_none() && given(options.user.as_ref()).is_some() {
                return Err(ConnectError::UnknownUser(name.clone()));
            }
            entry.and_then(|named| named.auth_info.clone()).unwrap_or_default()
        }
    };

    let namespace = given(context.namespace.as_ref()).unwrap_or_else(|| "default".to_owned());
    Ok(Target {
        context: context_name,
        cluster_name,
        user_name,
        namespace,
        cluster,
        user,
        server: String::new(),
        authority_rotates: false,
    })
}

/// client-go's `DirectClientConfig.getCluster`: some flags clear what the kubeconfig says next to them.
fn override_cluster(target: &mut Target, options: &ConnectOptions) {
    let cluster = &mut target.cluster;
    if let Some(server) = given(options.server.as_ref()) {
        cluster.server = Some(server);
        cluster.tls_server_name = None;
    }
    if let Some(name) = given(options.tls_server_name.as_ref()) {
        cluster.tls_server_name = Some(name);
    }
    if options.insecure_skip_tls_verify || options.certificate_authority.is_some() {
        cluster.insecure_skip_tls_verify = Some(options.insecure_skip_tls_verify);
        cluster.certificate_authority = options.certificate_authority.as_ref().map(|path| path.display().to_string());
        cluster.certificate_authority_data = None;
        target.authority_rotates = false;
    }
    if options.disable_compression {
        cluster.disable_compression = Some(true);
    }
}

/// client-go's `getAuthInfo`: a credential given as a flag replaces all that would compete with it.
fn override_user(user: &mut AuthInfo, options: &ConnectOptions) {
    if let Some(token) = &options.token {
        user.token = Some(token.clone());
        user.token_file = None;
        user.exec = None;
        user.auth_provider = None;
    }
    if let Some(path) = &options.client_certificate {
        user.client_certificate = Some(path.display().to_string());
        user.client_certificate_data = None;
    }
    if let Some(path) = &options.client_key {
        user.client_key = Some(path.display().to_string());
        user.client_key_data = None;
    }
    if let Some(username) = given(options.username.as_ref()) {
        user.username = Some(username);
        user.exec = None;
        user.auth_provider = None;
    }
    if let Some(password) = options.password.as_ref().filter(|password| !password.expose_secret().is_empty()) {
        user.password = Some(password.clone());
    }
    if let Some(name) = given(options.as_user.as_ref()) {
        user.impersonate = Some(name);
    }
    if let Some(uid) = given(options.as_uid.as_ref()) {
        user.impersonate_uid = Some(uid);
    }
    if !options.as_groups.is_empty() {
        user.impersonate_groups = Some(options.as_groups.clone());
    }
    if !options.as_user_extra.is_empty() {
        let mut extra: HashMap<String, Vec<String>> = HashMap::new();
        for (key, value) in &options.as_user_extra {
            extra.entry(key.clone()).or_default().push(value.clone());
        }
        user.impersonate_user_extra = Some(extra);
    }
    // Basic authentication has two parts; kube sends it only if both are there.
    if user.username.is_some() && user.password.is_none() {
        user.password = Some(String::new().into());
    }
}

/// The server with a scheme: without one it is `https` if anything about TLS is configured, else `http`.
fn server_url(target: &Target) -> Result<String, ConnectError> {
    let name = || target.cluster_name.clone().unwrap_or_default();
    let server = given(target.cluster.server.as_ref()).ok_or_else(|| ConnectError::NoServer(name()))?;
    if server.contains("://") {
        return Ok(server);
    }
    let tls = target.cluster.insecure_skip_tls_verify == Some(true)
        || target.cluster.certificate_authority.is_some()
        || target.cluster.certificate_authority_data.is_some()
        || target.user.client_certificate.is_some()
        || target.user.client_certificate_data.is_some();
    Ok(format!("{}://{server}", if tls { "https" } else { "http" }))
}

/// client-go's `validateClusterInfo`, `validateAuthInfo` and `TLSConfigFor`, first complaint only.
fn check(target: &Target) -> Result<(), ConnectError> {
    let (cluster, user) = (&target.cluster, &target.user);
    let cluster_name = target.cluster_name.clone().unwrap_or_default();
    let user_name = target.user_name.clone().unwrap_or_default();

    let has_token = user.token.is_some() || user.token_file.is_some();
    if has_token && user.username.is_some() {
        return Err(ConnectError::SeveralMethods(user_name));
    }
    let as_somebody =
        user.impersonate_uid.is_some() || user.impersonate_groups.is_some() || user.impersonate_user_extra.is_some();
    if as_somebody && user.impersonate.is_none() {
        return Err(ConnectError::ImpersonationWithoutUser(user_name));
    }
    if cluster.certificate_authority_data.is_none() {
        readable("certificate-authority", cluster.certificate_authority.as_ref(), &cluster_name)?;
    }
    if user.client_certificate_data.is_none() {
        readable("client-cert", user.client_certificate.as_ref(), &user_name)?;
    }
    if user.client_key_data.is_none() {
        readable("client-key", user.client_key.as_ref(), &user_name)?;
    }
    let has_certificate = user.client_certificate.is_some() || user.client_certificate_data.is_some();
    let has_key = user.client_key.is_some() || user.client_key_data.is_some();
    if has_certificate && !has_key {
        return Err(ConnectError::NoClientKey(user_name));
    }
    let has_authority = cluster.certificate_authority.is_some() || cluster.certificate_authority_data.is_some();
    if has_authority && cluster.insecure_skip_tls_verify == Some(true) && target.server.starts_with("https:") {
        return Err(ConnectError::InsecureWithAuthority);
    }
    Ok(())
}

fn readable(what: &'static str, path: Option<&String>, owner: &str) -> Result<(), ConnectError> {
    let Some(path) = path else { return Ok(()) };
    File::open(path).map(|_| ()).map_err(|error| ConnectError::UnreadableFile {
        what,
        path: path.clone(),
        owner: owner.to_owned(),
        reason: format!("open {path}: {}", io_text(&error)),
    })
}

fn client_error(error: &KubeconfigError) -> ConnectError {
    ConnectError::Client(crate::error::innermost(error))
}

/// An empty flag or entry counts as not given, as in client-go.
fn given<S: AsRef<str>>(text: Option<S>) -> Option<String> {
    text.filter(|text| !text.as_ref().is_empty()).map(|text| text.as_ref().to_owned())
}
