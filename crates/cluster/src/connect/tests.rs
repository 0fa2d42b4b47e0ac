//! Resolution by tables; what goes over the wire through a loopback server and the real client stack.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ListParams, PostParams};
use kube::config::{AuthInfo, Cluster};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const FIRST: &str = r#"
apiVersion: v1
kind: Config
current-context: ""
clusters:
- {name: plain, cluster: {server: "http://10.0.0.1:8080"}}
- {name: tls, cluster: {server: "https://10.0.0.2:6443", certificate-authority: ca.crt, tls-server-name: inner}}
- {name: broken, cluster: {}}
users:
- {name: admin, user: {client-certificate: admin.crt, client-key: admin.key}}
- {name: robot, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: get-token}}}
contexts:
- {name: plain, context: {cluster: plain, user: robot, namespace: shop}}
- {name: tls, context: {cluster: tls, user: admin}}
- {name: no-cluster, context: {cluster: gone, user: admin}}
- {name: no-user, context: {cluster: plain, user: gone}}
- {name: broken, context: {cluster: broken, user: admin}}
"#;

const SECOND: &str = r#"
apiVersion: v1
kind: Config
current-context: second
clusters:
- {name: plain, cluster: {server: "http://never:1"}}
- {name: extra, cluster: {server: "https://10.0.0.3"}}
users:
- {name: basic, user: {username: u, password: p}}
contexts:
- {name: second, context: {cluster: extra, user: basic}}
"#;

/// A home with `first` and `second` kubeconfigs, certificates next to them, and a pod's own credentials.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        for (name, text) in [("first", FIRST), ("second", SECOND), ("ca.crt", ""), ("admin.crt", ""), ("admin.key", "")]
        {
            fs::write(home.path(name), text).unwrap();
        }
        fs::create_dir(home.path("pod")).unwrap();
        for (name, text) in [("token", "t"), ("ca.crt", "c"), ("namespace", "team\n")] {
            fs::write(home.path("pod").join(name), text).unwrap();
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// `KUBECONFIG` with these files.
    fn environment(&self, files: &[&str]) -> Environment {
        Environment {
            kubeconfig: Some(std::env::join_paths(files.iter().map(|file| self.path(file))).unwrap()),
            home: Some(self.path("nobody")),
            ..Environment::default()
        }
    }

    fn in_pod(&self, files: &[&str]) -> Environment {
        Environment {
            service_host: Some("10.96.0.1".to_owned()),
            service_port: Some("443".to_owned()),
            service_account: self.path("pod"),
            ..self.environment(files)
        }
    }
}

#[test]
fn entries_of_all_files_in_their_order() {
    let home = Home::new();
    let entries = kubeconfig::entries(&ConnectOptions::default(), &home.environment(&["first", "second"])).unwrap();
    let names = |pairs: &[(String, String)]| pairs.iter().map(|(name, of)| format!("{name}={of}")).collect::<Vec<_>>();
    assert_eq!(
        names(&entries.contexts),
        ["plain=plain", "tls=tls", "no-cluster=gone", "no-user=plain", "broken=broken", "second=extra"]
    );
    assert_eq!(
        names(&entries.clusters),
        ["plain=http://10.0.0.1:8080", "tls=https://10.0.0.2:6443", "broken=", "extra=https://10.0.0.3"]
    );
    assert_eq!(entries.users, ["admin", "robot", "basic"]);
    let alone = ConnectOptions { kubeconfig: Some(home.path("second")), ..ConnectOptions::default() };
    let entries = kubeconfig::entries(&alone, &home.environment(&["first"])).unwrap();
    assert_eq!(names(&entries.contexts), ["second=extra"]);
}

#[test]
fn kubeconfigs_contexts_and_namespaces_resolve_as_in_kubectl() {
    #[track_caller]
    fn check(environment: &Environment, options: &ConnectOptions, expected: &str) {
        let found = match kubeconfig::resolve(options, environment) {
            Ok(target) => format!(
                "{} {} {} {}",
                target.context.as_deref().unwrap_or("-"),
                target.server,
                target.user_name.as_deref().unwrap_or("-"),
                target.namespace
            ),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }
    let home = Home::new();
    let none = ConnectOptions::default;
    let context = |name: &str| ConnectOptions { context: Some(name.to_owned()), ..none() };
    let first = home.environment(&["first"]);
    let both = home.environment(&["missing", "first", "second"]);

    // Files: a list skips what is missing, the first file to say something wins, an empty current-context says nothing.
    check(&both, &none(), "second https://10.0.0.3 basic default");
    check(&both, &context("plain"), "plain http://10.0.0.1:8080 robot shop");
    check(&home.environment(&["missing"]), &none(), "- http://localhost:8080 - default");
    check(&Environment::default(), &none(), "- http://localhost:8080 - default");
    let alone = ConnectOptions { kubeconfig: Some(home.path("second")), ..none() };
    check(&first, &alone, "second https://10.0.0.3 basic default");
    let absent = ConnectOptions { kubeconfig: Some(PathBuf::from("/no/such/file")), ..none() };
    check(&both, &absent, "stat /no/such/file: no such file or directory");
    fs::create_dir_all(home.path("nobody/.kube")).unwrap();
    fs::write(home.path("nobody/.kube/config"), SECOND).unwrap();
    let default = Environment { kubeconfig: None, ..first.clone() };
    check(&default, &none(), "second https://10.0.0.3 basic default");

    // Entries by name. No current context: kubectl's default server.
    check(&first, &none(), "- http://localhost:8080 - default");
    check(&first, &context("tls"), "tls https://10.0.0.2:6443 admin default");
    check(&first, &context(""), "- http://localhost:8080 - default");
    check(&first, &context("x"), r#"context "x" does not exist"#);
    check(
        &first,
        &ConnectOptions { cluster: Some("x".to_owned()), ..context("plain") },
        r#"cluster "x" does not exist"#,
    );
    check(
        &first,
        &ConnectOptions { user: Some("x".to_owned()), ..context("plain") },
        r#"auth info "x" does not exist"#,
    );
    check(&first, &context("no-cluster"), r#"cluster "gone" does not exist"#);
    check(&first, &context("no-user"), "no-user http://10.0.0.1:8080 gone default");
    check(&first, &context("broken"), r#"no server found for cluster "broken""#);
    let mixed = ConnectOptions { cluster: Some("tls".to_owned()), user: Some("admin".to_owned()), ..context("plain") };
    check(&first, &mixed, "plain https://10.0.0.2:6443 admin shop");

    // Namespace: flag, then context.
    let flag = ConnectOptions { namespace: Some("mine".to_owned()), ..context("plain") };
    check(&first, &flag, "plain http://10.0.0.1:8080 robot mine");

    // Server without a scheme: https only if TLS is configured.
    let server =
        |context: &str| ConnectOptions { server: Some("h:1".to_owned()), context: Some(context.to_owned()), ..none() };
    check(&first, &server("plain"), "plain http://h:1 robot shop");
    check(&first, &server("tls"), "tls https://h:1 admin default");

    // The pod's own credentials: only if nothing else says anything.
    check(&home.in_pod(&["missing"]), &none(), "- https://10.96.0.1:443 - team");
    check(&home.in_pod(&["second"]), &none(), "second https://10.0.0.3 basic default");
    let server = ConnectOptions { server: Some("http://h:1".to_owned()), ..none() };
    check(&home.in_pod(&["missing"]), &server, "- http://h:1 - default");
    check(&home.in_pod(&["missing"]), &context("x"), r#"context "x" does not exist"#);
    let named = Environment { pod_namespace: Some("pods-own".to_owned()), ..home.in_pod(&["missing"]) };
    check(&named, &none(), "- https://10.96.0.1:443 - pods-own");
    let no_token = Environment { service_account: home.path("nobody"), ..home.in_pod(&["missing"]) };
    check(&no_token, &none(), "- http://localhost:8080 - default");
}

#[test]
fn a_broken_kubeconfig_is_named() {
    let home = Home::new();
    fs::write(home.path("bad"), "apiVersion: [").unwrap();
    let options = ConnectOptions { kubeconfig: Some(home.path("bad")), ..ConnectOptions::default() };
    let error = kubeconfig::resolve(&options, &Environment::default()).unwrap_err().to_string();
    let expected = format!("error loading config file {:?}: yaml: line 1", home.path("bad").display().to_string());
    assert!(error.starts_with(&expected), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn flags_replace_what_would_compete_with_them() {
    let home = Home::new();
    let first = home.environment(&["first"]);
    let resolve = |options: ConnectOptions| kubeconfig::resolve(&options, &first).unwrap();
    let context = |name: &str| ConnectOptions { context: Some(name.to_owned()), ..ConnectOptions::default() };

    let target = resolve(context("tls"));
    assert_eq!(target.cluster.certificate_authority, Some(home.path("ca.crt").display().to_string()));
    assert_eq!(target.cluster.tls_server_name, Some("inner".to_owned()));
    assert_eq!(target.user.client_key, Some(home.path("admin.key").display().to_string()));

    let target = resolve(ConnectOptions { insecure_skip_tls_verify: true, ..context("tls") });
    assert_eq!(target.cluster.certificate_authority, None);
    assert_eq!(target.cluster.insecure_skip_tls_verify, Some(true));

    let target = resolve(ConnectOptions { server: Some("https://other".to_owned()), ..context("tls") });
    assert_eq!(target.cluster.tls_server_name, None);

    let target = resolve(ConnectOptions { token: Some("secret".into()), ..context("plain") });
    assert!(target.user.exec.is_none() && target.user.token.is_some());

    let target = resolve(ConnectOptions {
        as_user: Some("jane".to_owned()),
        as_user_extra: vec![("k".to_owned(), "1".to_owned()), ("k".to_owned(), "2".to_owned())],
        ..context("plain")
    });
    assert_eq!(target.user.impersonate_user_extra.unwrap()["k"], ["1", "2"]);
}

#[test]
fn what_kubectl_refuses_is_refused_in_its_words() {
    let home = Home::new();
    let both = home.environment(&["first", "second"]);
    let check = |options: ConnectOptions, expected: &str| {
        assert_eq!(kubeconfig::resolve(&options, &both).unwrap_err().to_string(), expected);
    };
    let context = |name: &str| ConnectOptions { context: Some(name.to_owned()), ..ConnectOptions::default() };

    check(
        ConnectOptions { as_uid: Some("7".to_owned()), ..context("plain") },
        "requesting uid, groups or user-extra for robot without impersonating a user",
    );
    check(
        ConnectOptions { token: Some("t".into()), ..context("second") },
        "more than one authentication method found for basic; found [token basicAuth], only one is allowed",
    );
    check(
        ConnectOptions { certificate_authority: Some("/nonex".into()), ..context("tls") },
        "unable to read certificate-authority /nonex for tls due to open /nonex: no such file or directory",
    );
    check(
        ConnectOptions { client_certificate: Some(home.path("admin.crt")), ..context("plain") },
        "client-key-data or client-key must be specified for robot to use the clientCert authentication method.",
    );
    check(
        ConnectOptions {
            certificate_authority: Some(home.path("ca.crt")),
            insecure_skip_tls_verify: true,
            ..context("tls")
        },
        "specifying a root certificates file with the insecure flag is not allowed",
    );
}

#[tokio::test]
async fn a_provider_that_is_no_more_names_what_follows_it() {
    let home = Home::new();
    let gke = "{apiVersion: v1, kind: Config, current-context: gke, contexts: [{name: gke, context: {cluster: gke, user: gke}}],
        clusters: [{name: gke, cluster: {server: 'https://10.0.0.1'}}],
        users: [{name: gke, user: {auth-provider: {name: gcp, config: {}}}}]}";
    fs::write(home.path("gke"), gke).unwrap();
    let options = ConnectOptions { kubeconfig: Some(home.path("gke")), ..ConnectOptions::default() };
    let error = connect_from(&options, &Environment::default()).err().unwrap().to_string();
    assert_eq!(error, NO_MORE_GCP);
}

#[tokio::test]
async fn empty_fields_and_flags_count_as_absent() {
    let home = Home::new();
    let text = r#"
apiVersion: v1
kind: Config
clusters:
- {name: tls, cluster: {server: "https://h", insecure-skip-tls-verify: true, certificate-authority: "",
    certificate-authority-data: "", tls-server-name: "", proxy-url: ""}}
users:
- {name: basic, user: {username: u, token: "", tokenFile: "", client-certificate: "", client-certificate-data: "",
    client-key: "", client-key-data: "", as: "", as-uid: "", as-groups: [], as-user-extra: {}}}
- {name: file, user: {token: "", tokenFile: token, username: "", password: ""}}
- {name: plugin, user: {token: "", username: "", password: "",
    exec: {apiVersion: client.authentication.k8s.io/v1, command: get-token}}}
contexts:
- {name: basic, context: {cluster: tls, user: basic}}
- {name: file, context: {cluster: tls, user: file}}
- {name: plugin, context: {cluster: tls, user: plugin}}
- {name: no-user, context: {cluster: tls, user: gone}}
"#;
    fs::write(home.path("empty"), text).unwrap();
    let environment = home.environment(&["empty"]);
    let context = |name: &str| ConnectOptions { context: Some(name.to_owned()), ..ConnectOptions::default() };

    let Target { cluster, user, .. } = kubeconfig::resolve(&context("basic"), &environment).unwrap();
    let expected =
        Cluster { server: Some("https://h".to_owned()), insecure_skip_tls_verify: Some(true), ..Cluster::default() };
    assert_eq!(format!("{cluster:?}"), format!("{expected:?}"));
    let expected =
        AuthInfo { username: Some("u".to_owned()), password: Some(String::new().into()), ..AuthInfo::default() };
    assert_eq!(format!("{user:?}"), format!("{expected:?}"));
    let user = kubeconfig::resolve(&context("file"), &environment).unwrap().user;
    let expected = AuthInfo { token_file: Some(home.path("token").display().to_string()), ..AuthInfo::default() };
    assert_eq!(format!("{user:?}"), format!("{expected:?}"));
    let error = connect_from(&context("plugin"), &environment).err().unwrap();
    assert_eq!(error.to_string(), "getting credentials: exec: executable get-token not found");

    let flag = ConnectOptions { user: Some(String::new()), ..context("no-user") };
    assert_eq!(kubeconfig::resolve(&flag, &environment).unwrap().user_name.as_deref(), Some("gone"));
    let flag = ConnectOptions { password: Some("".into()), ..context("second") };
    let password = kubeconfig::resolve(&flag, &home.environment(&["second"])).unwrap().user.password.unwrap();
    assert_eq!(password.expose_secret(), "p");
    let flag = ConnectOptions { server: Some(String::new()), ..ConnectOptions::default() };
    assert_eq!(kubeconfig::resolve(&flag, &home.in_pod(&["missing"])).unwrap().server, "https://10.96.0.1:443");
}

#[tokio::test]
async fn what_the_client_refuses_is_worded_too() {
    let home = Home::new();
    let check = |options: ConnectOptions, expected: &str| {
        let error = connect_from(&options, &home.environment(&["first", "second"])).err().unwrap();
        assert_eq!(error.to_string(), expected);
    };
    let context = |name: &str| ConnectOptions { context: Some(name.to_owned()), ..ConnectOptions::default() };
    check(context("tls"), "unable to load root certificates: unable to parse bytes as PEM block");
    check(context("plain"), "getting credentials: exec: executable get-token not found");
    check(
        ConnectOptions { server: Some("ftp://h".to_owned()), ..context("second") },
        "invalid server URL \"ftp://h\": expected http://HOST[:PORT] or https://HOST[:PORT]",
    );
}

/// A loopback server that gives the same answer to everybody and keeps what it was asked.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `None` accepts and never answers.
    async fn answering(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        tokio::spawn(async move {
            let mut silent = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = Vec::new();
                while !request.windows(4).any(|window| window == b"\r\n\r\n") {
                    if stream.read_buf(&mut request).await.unwrap() == 0 {
                        break;
                    }
                }
                seen.lock().unwrap().push(String::from_utf8(request).unwrap());
                match &answer {
                    Some(answer) => stream.write_all(answer.as_bytes()).await.unwrap(),
                    None => silent.push(stream),
                }
            }
        });
        Self { address, requests }
    }

    async fn with(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::answering(Some(format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\
             {headers}\r\n{body}"
        )))
        .await
    }

    fn connect(&self, options: ConnectOptions) -> Connection {
        let options = ConnectOptions { server: Some(format!("http://{}", self.address)), ..options };
        connect_from(&options, &Environment::default()).unwrap()
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

const NO_NODES: &str = r#"{"kind":"NodeList","apiVersion":"v1","metadata":{},"items":[]}"#;

async fn list_nodes(connection: &Connection) -> Result<usize, Error> {
    let nodes: Api<Node> = Api::all(connection.client().clone());
    connection.call("list nodes", nodes.list(&ListParams::default())).await.map(|list| list.items.len())
}

#[tokio::test]
async fn a_429_is_asked_once() {
    let body = r#"{"kind":"Status","apiVersion":"v1","status":"Failure","message":"no","reason":"TooManyRequests","code":429}"#;
    let server = Server::with("429 Too Many Requests", "retry-after: 1\r\n", body).await;
    let connection = server.connect(ConnectOptions::default());
    let nodes: Api<Node> = Api::all(connection.client().clone());
    let error =
        connection.call("create node", nodes.create(&PostParams::default(), &Node::default())).await.unwrap_err();
    assert_eq!(error.status().map(|status| status.code), Some(429));
    assert_eq!(server.requests().len(), 1);
    assert_eq!(connection.requests(), 1);
}

#[tokio::test]
async fn a_silent_server_is_not_waited_for() {
    let server = Server::answering(None).await;
    let timeout = Duration::from_millis(50);
    let connection = server.connect(ConnectOptions { request_timeout: Some(timeout), ..ConnectOptions::default() });
    let error = list_nodes(&connection).await.unwrap_err();
    assert!(
        matches!(error, Error::Timeout { ref what, after } if what == "list nodes" && after == timeout),
        "{error:?}"
    );
    assert_eq!(error.to_string(), "list nodes: no answer within 50ms");

    let default = server.connect(ConnectOptions { request_timeout: Some(Duration::ZERO), ..ConnectOptions::default() });
    assert_eq!(default.request_timeout(), DEFAULT_REQUEST_TIMEOUT);
}

#[tokio::test]
async fn flags_become_headers() {
    let server = Server::with("200 OK", "", NO_NODES).await;
    let connection = server.connect(ConnectOptions {
        token: Some("secret".into()),
        as_user: Some("jane".to_owned()),
        as_uid: Some("7".to_owned()),
        as_groups: vec!["ops".to_owned(), "dev".to_owned()],
        as_user_extra: vec![("reason".to_owned(), "test".to_owned())],
        user_agent: user_agent("kubectl-safe-drain", "0.1.0"),
        ..ConnectOptions::default()
    });
    assert_eq!(list_nodes(&connection).await.unwrap(), 0);
    let compressed = server.requests().remove(0).to_lowercase();
    for header in [
        "authorization: bearer secret",
        "impersonate-user: jane",
        "impersonate-uid: 7",
        "impersonate-group: ops",
        "impersonate-group: dev",
        "impersonate-extra-reason: test",
        "user-agent: kubectl-safe-drain/0.1.0 (",
        "accept-encoding: gzip",
    ] {
        assert!(compressed.contains(&format!("\r\n{header}")), "{header} in {compressed}");
    }

    let plain = server.connect(ConnectOptions { disable_compression: true, ..ConnectOptions::default() });
    list_nodes(&plain).await.unwrap();
    assert!(!server.requests()[1].to_lowercase().contains("gzip"), "{}", server.requests()[1]);
}

#[tokio::test]
async fn answers_bring_warnings_and_the_time() {
    let headers = "warning: 299 - \"old API\", 299 - \"and more\"\r\nwarning: 299 - \"old API\"\r\n\
                   date: Sat, 21 Nov 2026 10:00:00 GMT\r\n";
    let server = Server::with("200 OK", headers, NO_NODES).await;
    let connection = server.connect(ConnectOptions::default());
    assert_eq!(connection.server_now(), None);

    list_nodes(&connection).await.unwrap();
    assert_eq!(connection.take_warnings(), ["old API", "and more"]);
    list_nodes(&connection).await.unwrap();
    assert_eq!(connection.take_warnings(), [""; 0]);

    let date: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let off = connection.server_now().unwrap().duration_since(date).abs();
    assert!(off < SignedDuration::from_secs(10), "{off}");
}

#[tokio::test]
async fn nobody_listening_is_a_refusal() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let options = ConnectOptions { server: Some(address.clone()), ..ConnectOptions::default() };
    let connection = connect_from(&options, &Environment::default()).unwrap();
    let error = list_nodes(&connection).await.unwrap_err();
    assert!(matches!(error, Error::Refused { ref server } if *server == address), "{error:?}");
}

#[tokio::test]
async fn strange_answers_are_errors_of_the_request() {
    let server = Server::with("200 OK", "", "<html>").await;
    let error = list_nodes(&server.connect(ConnectOptions::default())).await.unwrap_err();
    assert!(matches!(error, Error::Answer { ref what, .. } if what == "list nodes"), "{error:?}");

    let server = Server::with("502 Bad Gateway", "", "no upstream").await;
    let error = list_nodes(&server.connect(ConnectOptions::default())).await.unwrap_err();
    assert_eq!(error.status().map(|status| (status.code, status.message.as_str())), Some((502, "no upstream")));
}

/// A kubeconfig whose user runs a shell script for its credentials.
#[cfg(unix)]
fn exec_config(server: &str, script: &str) -> String {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"exec": {
            "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never",
            "command": "sh", "args": ["-c", script], "env": [{"name": "SECRET", "value": "s3cret"}],
        }}}],
    })
    .to_string()
}

#[cfg(unix)]
#[tokio::test]
async fn a_credential_plugin_runs_once() {
    let home = Home::new();
    let server = Server::with("200 OK", "", NO_NODES).await;
    let answer = r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
        "status": {"token": "fetched", "expirationTimestamp": "2999-01-01T00:00:00Z"}}"#;
    let script = format!("echo run >> {}; echo '{answer}'", home.path("runs").display());
    fs::write(home.path("exec"), exec_config(&format!("http://{}", server.address), &script)).unwrap();

    let connection = connect_from(&ConnectOptions::default(), &home.environment(&["exec"])).unwrap();
    for _ in 0..2 {
        list_nodes(&connection).await.unwrap();
    }
    assert!(server.requests().iter().all(|request| request.to_lowercase().contains("authorization: bearer fetched")));
    assert_eq!(fs::read_to_string(home.path("runs")).unwrap(), "run\n");
}

#[cfg(unix)]
#[tokio::test]
async fn a_credential_plugin_that_fails_is_quoted_without_its_environment() {
    let home = Home::new();
    fs::write(home.path("exec"), exec_config("http://h", "echo first; echo no login >&2; exit 3")).unwrap();
    let error = connect_from(&ConnectOptions::default(), &home.environment(&["exec"])).err().unwrap();
    assert_eq!(error.to_string(), "getting credentials: exec: executable sh failed with exit code 3: no login");
}

#[test]
fn relative_paths_are_relative_to_their_file() {
    let home = Home::new();
    let options = ConnectOptions { context: Some("tls".to_owned()), ..ConnectOptions::default() };
    let target = kubeconfig::resolve(&options, &home.environment(&["first"])).unwrap();
    assert!(Path::new(&target.user.client_certificate.unwrap()).is_absolute());
}
