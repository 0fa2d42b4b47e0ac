//! The components of one control plane: how they are started, when they are ready, how they are stopped.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use futures::future::{pending, select_all};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::{Api, Client, Config};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{binaries::Binaries, identity, pki, stages, state, state::State, supervisor, world};

/// The programs that make up a control plane, in the order of their start.
pub const COMPONENTS: [&str; 5] = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"];

const START_LIMIT: Duration = Duration::from_secs(90);

/// The world's set-up and the controllers are `test-admin` and leave no trace in the audit log.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, users: [test-admin, \"system:apiserver\"]}
- {level: RequestResponse, verbs: [create, update, patch, delete, deletecollection]}
- {level: Metadata}
";

/// A running control plane; its processes are killed when it is dropped.
pub(crate) struct ControlPlane {
    state: State,
    binaries: Binaries,
    ports: Ports,
    components: Vec<Component>,
}

struct Component {
    name: &'static str,
    /// `None` while it is stopped on demand.
    child: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    etcd: u16,
    etcd_peer: u16,
    apiserver: u16,
    controller_manager: u16,
    scheduler: u16,
    kwok: u16,
}

impl ControlPlane {
    /// Starts everything and waits until pods can be created and will run.
    pub(crate) async fn start(state: &State, binaries: &Binaries) -> Result<Self> {
        pki::create(state.dir())?;
        fs::write(state.file("audit-policy.yaml"), AUDIT_POLICY)?;
        for attempt in 1.. {
            match Self::start_once(state, binaries).await {
                // Between the choice of a port and its use anybody may take it.
                Err(error) if attempt < 3 && format!("{error:#}").contains("address already in use") => {
                    fs::remove_dir_all(state.file("etcd")).ok();
                }
                result => return result,
            }
        }
        bail!("no free ports")
    }

    /// The address of the apiserver.
    pub(crate) fn server(&self) -> String {
        self.ports.server()
    }

    /// Where its executables are.
    pub(crate) fn binaries(&self) -> &Path {
        self.binaries.dir()
    }

    /// The process ids of what runs.
    pub(crate) fn pids(&self) -> Vec<(String, u32)> {
        let pid = |component: &Component| Some((component.name.to_owned(), component.child.as_ref()?.id()?));
        self.components.iter().filter_map(pid).collect()
    }

    /// Returns when a component ends by itself: which, and the end of its log.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        let mut names = Vec::new();
        let mut ends = Vec::new();
        for component in &mut self.components {
            if let Some(child) = &mut component.child {
                names.push(component.name);
                ends.push(Box::pin(child.wait()));
            }
        }
        // Nothing to wait for is not something to report.
        if ends.is_empty() {
            return pending().await;
        }
        let (status, index, _) = select_all(ends).await;
        self.died(names[index], status.ok())
    }

    /// Kills one component.
    pub(crate) async fn stop(&mut self, name: &str) -> Result<()> {
        let child = &mut self.component(name)?.child;
        if let Some(mut child) = child.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Kills everything, and returns when it is dead.
    pub(crate) async fn end(mut self) {
        for name in COMPONENTS.iter().rev() {
            self.stop(name).await.ok();
        }
    }

    /// Starts one component again, at the same port and with the same data.
    pub(crate) async fn start_again(&mut self, name: &str) -> Result<()> {
        self.stop(name).await?;
        let index = self.components.iter().position(|component| component.name == name);
        let index = index.with_context(|| format!("no component is called {name}"))?;
        self.components[index].child = Some(self.spawn(self.components[index].name)?);
        self.wait_until_ready(COMPONENTS[index]).await
    }

    async fn start_once(state: &State, binaries: &Binaries) -> Result<Self> {
        let ports = Ports::free()?;
        fs::write(state.file("server"), ports.server())?;
        let serving = format!("127.0.0.1:{}", ports.kwok);
        fs::write(state.file("kwok.yaml"), stages::text().replace("127.0.0.1:10247", &serving))?;
        identity::write_kubeconfigs(state)?;

        let mut plane = Self { state: state.clone(), binaries: binaries.clone(), ports, components: Vec::new() };
        for name in COMPONENTS {
            let child = Some(plane.spawn(name)?);
            plane.components.push(Component { name, child });
            // The last three need the apiserver only, and start side by side.
            if ["etcd", "kube-apiserver"].contains(&name) {
                plane.wait_until_ready(name).await?;
            }
            if name == "kube-apiserver" {
                world::define_kinds(&identity::client(state, identity::ADMIN).await?).await?;
            }
        }
        for name in ["kube-controller-manager", "kube-scheduler", "kwok"] {
            plane.wait_until_ready(name).await?;
        }
        let admin = identity::client(state, identity::ADMIN).await?;
        identity::grant_rights(&admin).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(admin, "default");
        plane
            .wait_for("kube-controller-manager", async || accounts.get("default").await.is_ok())
            .await
            .context("no service account appeared")?;
        Ok(plane)
    }

    fn spawn(&self, name: &str) -> Result<Child> {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.state.log(name))?;
        let mut command = Command::from(supervisor::bound_to_us(&self.binaries.path(name))?);
        command
            .args(self.flags(name))
            .current_dir(self.state.dir())
            // kwok would read the configuration in the user's home.
            .env("KWOK_WORKDIR", self.state.file("kwok"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        command.spawn().with_context(|| format!("starting {name}"))
    }

    fn flags(&self, name: &str) -> Vec<String> {
        let Ports { etcd, etcd_peer, apiserver, controller_manager, scheduler, .. } = self.ports;
        let dir = self.state.dir().display();
        let admin = self.state.user_kubeconfig(identity::ADMIN);
        let admin = admin.display();
        let text = match name {
            "etcd" => format!(
                "--name=lab --data-dir={dir}/etcd --unsafe-no-fsync=true --log-level=warn \
                 --listen-client-urls=http://127.0.0.1:{etcd} --advertise-client-urls=http://127.0.0.1:{etcd} \
                 --listen-peer-urls=http://127.0.0.1:{etcd_peer} \
                 --initial-advertise-peer-urls=http://127.0.0.1:{etcd_peer} \
                 --initial-cluster=lab=http://127.0.0.1:{etcd_peer}"
            ),
            // The audit log blocks by default: a request is in the file before its handler returns.
            "kube-apiserver" => format!(
                "--etcd-servers=http://127.0.0.1:{etcd} --bind-address=127.0.0.1 --secure-port={apiserver} \
                 --advertise-address=127.0.0.1 --endpoint-reconciler-type=none \
                 --tls-cert-file={dir}/apiserver.crt --tls-private-key-file={dir}/apiserver.key \
                 --client-ca-file={dir}/ca.crt --service-account-key-file={dir}/sa.pub \
                 --service-account-signing-key-file={dir}/sa.key \
                 --service-account-issuer=https://kubernetes.default.svc.cluster.local \
                 --authorization-mode=Node,RBAC --allow-privileged=true --service-cluster-ip-range=10.0.0.0/24 \
                 --default-not-ready-toleration-seconds=5 --default-unreachable-toleration-seconds=5 \
                 --max-requests-inflight=0 --max-mutating-requests-inflight=0 --enable-priority-and-fairness=false \
                 --audit-policy-file={dir}/audit-policy.yaml --audit-log-path={dir}/audit.log \
                 --audit-log-maxsize=4096 --profiling=false"
            ),
            "kube-controller-manager" => format!(
                "--kubeconfig={admin} --leader-elect=false --bind-address=127.0.0.1 \
                 --secure-port={controller_manager} \
                 --authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics --root-ca-file={dir}/ca.crt \
                 --service-account-private-key-file={dir}/sa.key --node-monitor-period=1s \
                 --node-monitor-grace-period=6s --node-startup-grace-period=5s --node-eviction-rate=100 \
                 --pvclaimbinder-sync-period=1s --horizontal-pod-autoscaler-sync-period=1s \
                 --kube-api-qps=1000 --kube-api-burst=2000"
            ),
            "kube-scheduler" => format!(
                "--kubeconfig={admin} --leader-elect=false --bind-address=127.0.0.1 --secure-port={scheduler} \
                 --authorization-always-allow-paths=/healthz,/readyz,/livez,/metrics \
                 --kube-api-qps=1000 --kube-api-burst=2000"
            ),
            _ => format!("--kubeconfig={admin} --config={dir}/kwok.yaml"),
        };
        text.split_whitespace().map(String::from).collect()
    }

    async fn wait_until_ready(&mut self, name: &'static str) -> Result<()> {
        let Ports { etcd, apiserver: _, controller_manager, scheduler, kwok, .. } = self.ports;
        match name {
            "etcd" => self.wait_for(name, async || answers(etcd, "/health").await).await,
            "kube-apiserver" => {
                let client = identity::client(&self.state, identity::ADMIN).await?;
                self.wait_for(name, async || answers_ok(&client, "/readyz").await).await
            }
            "kube-controller-manager" => {
                let client = untrusting(controller_manager)?;
                self.wait_for(name, async || answers_ok(&client, "/healthz").await).await
            }
            "kube-scheduler" => {
                let client = untrusting(scheduler)?;
                self.wait_for(name, async || answers_ok(&client, "/healthz").await).await
            }
            _ => self.wait_for(name, async || answers(kwok, "/healthz").await).await,
        }
    }

    /// Asks again and again until `ready` says yes: a process that starts has nothing to watch yet.
    async fn wait_for(&mut self, name: &'static str, ready: impl AsyncFn() -> bool) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        while !timeout(Duration::from_secs(5), ready()).await.unwrap_or(false) {
            let ended = self.components.iter_mut().find_map(|component| {
                let status = component.child.as_mut()?.try_wait().ok()??;
                Some((component.name, status))
            });
            if let Some((name, status)) = ended {
                return Err(self.died(name, Some(status)));
            }
            if Instant::now() > deadline {
                bail!(
                    "{name} is not ready after {} s; the end of its log:\n{}",
                    START_LIMIT.as_secs(),
                    self.tail(name)
                );
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn component(&mut self, name: &str) -> Result<&mut Component> {
        let found = self.components.iter_mut().find(|component| component.name == name);
        found.with_context(|| format!("no component is called {name}"))
    }

    fn died(&self, name: &str, status: Option<ExitStatus>) -> anyhow::Error {
        let status = status.map_or_else(|| "status unknown".to_owned(), |status| status.to_string());
        anyhow!("{name} ended ({status}); the end of its log:\n{}", self.tail(name))
    }

    fn tail(&self, name: &str) -> String {
        state::tail(&self.state.log(name))
    }
}

impl Ports {
    /// Ports that nobody uses now. All are bound at once, so that they differ.
    fn free() -> Result<Self> {
        let bound = [(); 6].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let mut ports = Vec::new();
        for listener in bound {
            ports.push(listener?.local_addr()?.port());
        }
        let [etcd, etcd_peer, apiserver, controller_manager, scheduler, kwok] = ports[..] else {
            bail!("six ports were asked for");
        };
        Ok(Self { etcd, etcd_peer, apiserver, controller_manager, scheduler, kwok })
    }

    fn server(self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver)
    }
}

/// Whether a plain HTTP server answers 200.
async fn answers(port: u16, path: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer.ends_with(b"200"))
    };
    ask.await.unwrap_or(false)
}

async fn answers_ok(client: &Client, path: &str) -> bool {
    match http::Request::get(path).body(Vec::new()) {
        Ok(request) => client.request_text(request).await.is_ok_and(|text| text == "ok"),
        Err(_) => false,
    }
}

/// The controller manager and the scheduler serve with certificates they make up.
fn untrusting(port: u16) -> Result<Client> {
    let mut config = Config::new(format!("https://127.0.0.1:{port}").parse()?);
    config.accept_invalid_certs = true;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}
