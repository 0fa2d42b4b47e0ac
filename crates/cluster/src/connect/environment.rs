//! What a connection takes from the process: read at one place, so that tests can say otherwise.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// Where Kubernetes mounts a pod's own credentials.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The environment variables and paths that kubectl's way to a cluster depends on.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// `KUBECONFIG`: a list of files.
    pub kubeconfig: Option<OsString>,
    /// The home directory, which may hold `.kube/config`.
    pub home: Option<PathBuf>,
    /// `HTTPS_PROXY` or `https_proxy`: the proxy for `https` servers.
    pub https_proxy: Option<String>,
    /// `HTTP_PROXY` or `http_proxy`: the proxy for `http` servers.
    pub http_proxy: Option<String>,
    /// `NO_PROXY` or `no_proxy`: the servers that need none.
    pub no_proxy: Option<String>,
    /// `KUBERNETES_SERVICE_HOST`: the API server as a pod sees it.
    pub service_host: Option<String>,
    /// `KUBERNETES_SERVICE_PORT`.
    pub service_port: Option<String>,
    /// `POD_NAMESPACE`: the namespace of the pod that we run in.
    pub pod_namespace: Option<String>,
    /// The directory of a pod's own credentials: `token`, `ca.crt`, `namespace`.
    pub service_account: PathBuf,
}

impl Environment {
    /// The environment of this process. `KUBE_RS_DEBUG_*` is not part of it.
    pub fn from_process() -> Self {
        Self {
            kubeconfig: env::var_os("KUBECONFIG").filter(|list| !list.is_empty()),
            home: env::home_dir(),
            https_proxy: variable("HTTPS_PROXY").or_else(|| variable("https_proxy")),
            http_proxy: variable("HTTP_PROXY").or_else(|| variable("http_proxy")),
            no_proxy: variable("NO_PROXY").or_else(|| variable("no_proxy")),
            service_host: variable("KUBERNETES_SERVICE_HOST"),
            service_port: variable("KUBERNETES_SERVICE_PORT"),
            pod_namespace: variable("POD_NAMESPACE"),
            service_account: PathBuf::from(SERVICE_ACCOUNT),
        }
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
