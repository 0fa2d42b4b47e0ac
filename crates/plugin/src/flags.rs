//! kubectl's global flags, which every plugin must accept after its name.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use cluster::connect::ConnectOptions;

use crate::printer::ColorChoice;
use crate::values;

/// The heading of the flags that `kubectl options` lists and `--help` need not.
pub(crate) const GLOBAL: &str = "Global options";

/// The heading of those that kubectl doesn't have, or means otherwise.
const OWN: &str = "Options";

/// The flags that kubectl passes on to any command, in kubectl's words.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = GLOBAL)]
pub struct GlobalFlags {
    /// If present, the namespace scope for this CLI request
    #[arg(global = true, short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// The name of the kubeconfig context to use
    #[arg(global = true, long, value_name = "NAME")]
    pub context: Option<String>,

    /// Path to the kubeconfig file to use for CLI requests.
    #[arg(verbatim_doc_comment, global = true, long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,

    /// Colour the output: auto, always or never
    #[arg(
        global = true,
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        help_heading = OWN
    )]
    pub color: ColorChoice,

    /// Username to impersonate for the operation. User could be a regular user or a service account in a namespace.
    #[arg(verbatim_doc_comment, global = true, long = "as", value_name = "USER")]
    pub as_user: Option<String>,

    /// Group to impersonate for the operation, this flag can be repeated to specify multiple groups.
    #[arg(verbatim_doc_comment, global = true, long = "as-group", value_name = "GROUP")]
    pub as_groups: Vec<String>,

    /// UID to impersonate for the operation.
    #[arg(verbatim_doc_comment, global = true, long, value_name = "UID")]
    pub as_uid: Option<String>,

    /// User extras to impersonate for the operation, this flag can be repeated to specify multiple values for the same key.
    #[arg(verbatim_doc_comment, global = true, long, value_name = "KEY=VALUE", value_parser = values::key_value)]
    pub as_user_extra: Vec<(String, String)>,

    /// Path to a cert file for the certificate authority
    #[arg(global = true, long, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,

    /// Path to a client certificate file for TLS
    #[arg(global = true, long, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,

    /// Path to a client key file for TLS
    #[arg(global = true, long, value_name = "FILE")]
    pub client_key: Option<PathBuf>,

    /// The name of the kubeconfig cluster to use
    #[arg(global = true, long, value_name = "NAME")]
    pub cluster: Option<String>,

    /// If true, opt-out of response compression for all requests to the server
    #[arg(global = true, long)]
    pub disable_compression: bool,

    /// If true, the server's certificate will not be checked for validity. This will make your HTTPS connections insecure
    #[arg(global = true, long)]
    pub insecure_skip_tls_verify: bool,

    /// Password for basic authentication to the API server
    #[arg(global = true, long, value_name = "PASSWORD")]
    pub password: Option<String>,

    /// The length of time to wait before giving up on a single server request. Non-zero values should contain a corresponding time unit (e.g. 1s, 2m, 3h). A value of zero means the default of 30s.
    #[arg(
        verbatim_doc_comment,
        global = true,
        long,
        value_name = "DURATION",
        value_parser = values::request_timeout,
        default_value = "0",
        help_heading = OWN
    )]
    pub request_timeout: Duration,

    /// The address and port of the Kubernetes API server
    #[arg(global = true, short, long, value_name = "ADDRESS")]
    pub server: Option<String>,

    /// Server name to use for server certificate validation. If it is not provided, the hostname used to contact the server is used
    #[arg(global = true, long, value_name = "NAME")]
    pub tls_server_name: Option<String>,

    /// Bearer token for authentication to the API server
    #[arg(global = true, long, value_name = "TOKEN")]
    pub token: Option<String>,

    /// The name of the kubeconfig user to use
    #[arg(global = true, long, value_name = "NAME")]
    pub user: Option<String>,

    /// Username for basic authentication to the API server
    #[arg(global = true, long, value_name = "NAME")]
    pub username: Option<String>,

    /// number for the log level verbosity
    #[arg(global = true, short, long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: i32,

    /// Treat warnings received from the server as errors and exit with a non-zero exit code
    #[arg(global = true, long)]
    pub warnings_as_errors: bool,

    #[command(flatten)]
    ignored: IgnoredFlags,
}

/// Flags of kubectl that mean nothing here: accepted, so that a user's aliases keep working.
#[derive(Debug, Clone, Args)]
struct IgnoredFlags {
    #[arg(global = true, long, hide = true)]
    cache_dir: Option<String>,
    #[arg(global = true, long, hide = true)]
    kuberc: Option<String>,
    #[arg(global = true, long, hide = true)]
    log_flush_frequency: Option<String>,
    #[arg(global = true, long, hide = true)]
    match_server_version: bool,
    #[arg(global = true, long, hide = true)]
    profile: Option<String>,
    #[arg(global = true, long, hide = true)]
    profile_output: Option<String>,
    #[arg(global = true, long, hide = true)]
    vmodule: Option<String>,
}

impl GlobalFlags {
    /// The way to the cluster that they describe.
    pub fn connect_options(&self, user_agent: String) -> ConnectOptions {
        ConnectOptions {
            kubeconfig: self.kubeconfig.clone().filter(|path| !path.as_os_str().is_empty()),
            context: self.context.clone(),
            cluster: self.cluster.clone(),
            user: self.user.clone(),
            server: self.server.clone(),
            token: self.token.clone().filter(|token| !token.is_empty()).map(Into::into),
            username: self.username.clone(),
            password: self.password.clone().map(Into::into),
            as_user: self.as_user.clone(),
            as_uid: self.as_uid.clone(),
            as_groups: self.as_groups.clone(),
            as_user_extra: self.as_user_extra.clone(),
            client_certificate: self.client_certificate.clone().filter(|path| !path.as_os_str().is_empty()),
            client_key: self.client_key.clone().filter(|path| !path.as_os_str().is_empty()),
            certificate_authority: self.certificate_authority.clone().filter(|path| !path.as_os_str().is_empty()),
            tls_server_name: self.tls_server_name.clone(),
            insecure_skip_tls_verify: self.insecure_skip_tls_verify,
            namespace: self.namespace.clone(),
            request_timeout: Some(self.request_timeout),
            disable_compression: self.disable_compression,
            user_agent,
        }
    }
}
