//! The lab itself: a world comes up, the audit log tells the truth, rights hold, and nothing survives.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use k8s_openapi::api::{core::v1::Pod, policy::v1::Eviction};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, PostParams},
};
use lab::{control_plane::COMPONENTS, drainer_rules, identity, run, without};
use serde_json::json;
use tokio::time::{Instant, sleep};

#[test]
fn threads_share_one_control_plane() -> Result<()> {
    let first = lab::shared()?;
    let second = std::thread::spawn(|| lab::shared_or_panic().facts().supervisor).join().unwrap();
    assert_eq!(first.facts().supervisor, second);
    assert!(COMPONENTS.iter().all(|name| first.facts().pids.contains_key(*name)));
    Ok(())
}

#[test]
fn who_lets_go_of_it_ends_it_for_nobody_else() -> Result<()> {
    let used = lab::shared()?;
    let held = lab::Lab::start()?;
    held.hold()?;
    assert!(!held.release()?, "it is in use");
    let again = lab::Lab::start()?;
    assert_eq!((again.facts().supervisor, again.facts().held), (used.facts().supervisor, false));

    let alone = lab::Lab::private()?;
    alone.hold()?;
    let dir = alone.dir().to_owned();
    assert!(alone.release()?, "nobody else is connected");
    assert!(!dir.exists());
    Ok(())
}

#[tokio::test]
async fn a_deployment_becomes_ready_where_it_is_wanted() -> Result<()> {
    let world = lab::shared()?.world("place").await?;
    let [a, b, c] = world.nodes(["a", "b", "c"]).await?;
    world.deployment("web").on_each(&[(&a, 3), (&b, 3)]).create().await?;
    world.ready("deployment/web").await?;
    assert_eq!(world.pods_on(&a).await?.len(), 3);
    assert_eq!(world.pods_on(&b).await?.len(), 3);
    let cordoned = world.node_now(&c).await?.spec.and_then(|spec| spec.unschedulable);
    assert_eq!(cordoned, None);

    // A replacement goes elsewhere.
    world.cordon(&a, true).await?;
    let victim = &world.pods_on(&a).await?[0];
    world.api::<Pod>().delete(victim, &DeleteParams::default()).await?;
    world.until::<Pod>(victim, "the end", lab::wait::LIMIT, |pod| pod.is_none()).await?;
    world.pods_ready(6).await?;
    assert_eq!(world.pods_on(&a).await?.len(), 2);
    Ok(())
}

#[tokio::test]
async fn every_kind_of_workload_runs() -> Result<()> {
    let world = lab::shared()?.world("kinds").await?;
    let a = world.node("a").zone("b").taint("dedicated", "ops", "NoExecute").capacity("8", "16Gi", 30).create().await?;
    let ops = json!({"key": "dedicated", "operator": "Exists"});
    world.replica_set("rs").replicas(2).tolerate(ops.clone()).on(&a).create().await?;
    world.replication_controller("rc").tolerate(ops.clone()).empty_dir().create().await?;
    world.daemon_set("ds").tolerate(ops.clone()).host_path("/var/log").create().await?;
    world.job("job").tolerate(ops.clone()).create().await?;
    world.local_volume("data-db-0", &a).await?;
    world.stateful_set("db").volume_claim("data").tolerate(ops.clone()).create().await?;
    world.pod("bare").on(&a).tolerate(ops.clone()).finalizer("lab.test/stay").create().await?;
    world.pod("mirror").mirror_on(&a).tolerate(ops.clone()).create().await?;
    let widget = world.widget("w", 1).await?;
    let gadget = world.gadget("g").await?;
    world.pod("w-0").label("app", "w").owned_by(&widget).on(&a).tolerate(ops.clone()).create().await?;
    world
        .pod("g-0")
        .owned_by(&gadget)
        .pinned_to(&a)
        .tolerate(ops)
        .patch(json!({"spec": {"hostname": "g"}}))
        .create()
        .await?;
    for object in ["replicaset/rs", "replicationcontroller/rc", "daemonset/ds", "job/job", "statefulset/db"] {
        world.ready(object).await?;
    }
    world.pods_ready(10).await?;

    // The budget of a custom kind is worked out by its scale subresource.
    world.pod_disruption_budget("w").max_unavailable(1).create().await?;
    let status = world.budget_settled("w").await?.status.context("no status")?;
    assert_eq!((status.expected_pods, status.disruptions_allowed), (Some(1), Some(1)));
    Ok(())
}

#[tokio::test]
async fn a_budget_settles() -> Result<()> {
    let world = lab::shared()?.world("budget").await?;
    let a = world.node("a").create().await?;
    world.deployment("web").replicas(2).on(&a).create().await?;
    world.ready("deployment/web").await?;
    world.pod_disruption_budget("web").min_available("100%").create().await?;
    let status = world.budget_settled("web").await?.status.context("no status")?;
    assert_eq!((status.current_healthy, status.disruptions_allowed), (Some(2), Some(0)));
    Ok(())
}

#[tokio::test]
async fn the_audit_log_shows_the_tool_and_not_the_set_up() -> Result<()> {
    let world = lab::shared()?.world("audit").await?;
    let a = world.node("a").create().await?;
    world.pod("bare").on(&a).create().await?;
    world.ready("pod/bare").await?;
    let kubectl = run(&world.lab().kubectl()).kubeconfig(&world.tool()?);
    let output = kubectl.args(["-n", &world.namespace, "delete", "pod", "bare"]).output().await?;
    assert_eq!(output.code, Some(0), "{output}");

    let requests = world.requests().await?;
    let deletions: Vec<_> = requests.iter().filter(|request| request.changes()).collect();
    assert_eq!(deletions.len(), 1, "{requests:#?}");
    assert_eq!(deletions[0].summary(), format!("delete pods {}/bare", world.namespace));
    assert!(deletions[0].user_agent.starts_with("kubectl/"));
    assert!(requests.iter().any(|request| request.verb == "watch"), "{requests:#?}");
    assert!(world.lab().audit().by(identity::ADMIN).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn rights_are_what_the_rules_say() -> Result<()> {
    let world = lab::shared()?.world("rights").await?;
    let a = world.node("a").create().await?;
    for name in ["one", "two"] {
        world.pod(name).on(&a).create().await?;
        world.ready(&format!("pod/{name}")).await?;
    }
    assert!(evict(&world, identity::VIEWER, "one").await?.is_forbidden());
    assert_eq!(evict(&world, identity::DRAINER, "one").await?.code, 201);

    let no_eviction = world.user("no-eviction", &without(&drainer_rules(), "create", "pods/eviction")).await?;
    let kubectl = run(&world.lab().kubectl()).kubeconfig(&no_eviction);
    let output = kubectl.args(["drain", &a.name, "--force", "--timeout=2s"]).output().await?;
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("forbidden"), "{output}");
    let requests = world.requests_by("no-eviction").await?;
    assert!(requests.iter().any(|request| request.subresource == "eviction" && request.code == 403), "{requests:#?}");
    Ok(())
}

#[tokio::test]
async fn an_error_shows_what_was_seen_last() -> Result<()> {
    let world = lab::shared()?.world("error").await?;
    let a = world.node("a").create().await?;
    world.pod("never").scenario("unready").on(&a).create().await?;
    let ready = |pod: Option<&Pod>| pod.is_some_and(|pod| pod.name_any() == "ready");
    let error = world.until("never", "a miracle", Duration::from_secs(1), ready).await.unwrap_err().to_string();
    assert!(error.starts_with("still waiting for a miracle (never) after 1 s; last seen:"), "{error}");
    assert!(error.contains("containerStatuses"), "{error}");
    Ok(())
}

#[tokio::test]
async fn a_world_leaves_no_nodes() -> Result<()> {
    let lab = lab::shared()?;
    let world = lab.world("gone").await?;
    let a = world.node("a").create().await?;
    let client = world.client().clone();
    drop(world);
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client);
    lab::wait::until(nodes, &a.name, "no node", lab::wait::LIMIT, |node| node.is_none()).await?;
    Ok(())
}

#[tokio::test]
async fn the_apiserver_can_be_away_for_a_while() -> Result<()> {
    let lab = lab::Lab::private()?;
    let pods: Api<Pod> = Api::all(lab.admin().await?);
    lab.stop_component("kube-apiserver")?;
    assert!(pods.list(&ListParams::default()).await.is_err());
    lab.start_component("kube-apiserver")?;
    assert!(pods.list(&ListParams::default()).await.is_ok());
    Ok(())
}

#[tokio::test]
async fn the_end_of_a_component_is_told() -> Result<()> {
    let lab = lab::Lab::private()?;
    let etcd = lab.facts().pids["etcd"].to_string();
    assert!(Command::new("kill").args(["-9", &etcd]).status()?.success());
    let deadline = Instant::now() + Duration::from_secs(5);
    while lab.failure().is_none() && Instant::now() < deadline {
        sleep(Duration::from_millis(20)).await;
    }
    let failure = lab.failure().context("nothing was told")?;
    assert!(failure.starts_with("etcd ended (signal: 9 (SIGKILL)); the end of its log:"), "{failure}");
    Ok(())
}

#[tokio::test]
async fn nothing_survives_a_killed_test() -> Result<()> {
    let (mut occupant, dir, pids) = occupy()?;
    occupant.kill()?;
    occupant.wait()?;
    gone(&dir, &pids).await
}

#[tokio::test]
async fn nothing_survives_a_killed_supervisor() -> Result<()> {
    let (mut occupant, dir, pids) = occupy()?;
    let supervisor = pids["supervisor"].to_string();
    assert!(Command::new("kill").args(["-9", &supervisor]).status()?.success());
    let result = gone(&dir, &pids).await;
    occupant.kill()?;
    occupant.wait()?;
    result
}

#[test]
fn a_missing_binary_is_named() -> Result<()> {
    let empty = tempfile::tempdir()?;
    let output = Command::new(env!("CARGO_BIN_EXE_lab")).arg("up").env("LAB_BIN", empty.path()).output()?;
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr)?;
    assert_eq!(text, format!("error: LAB_BIN is {}, which holds no etcd\n", empty.path().display()));
    Ok(())
}

#[test]
fn a_component_that_does_not_start_shows_its_log() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for name in COMPONENTS.iter().chain(&["kubectl"]) {
        std::os::unix::fs::symlink("/bin/false", dir.path().join(name))?;
    }
    let output = Command::new(env!("CARGO_BIN_EXE_lab")).arg("up").env("LAB_BIN", dir.path()).output()?;
    let text = String::from_utf8(output.stderr)?;
    assert!(text.contains("the control plane did not start: etcd ended (exit status: 1)"), "{text}");
    Ok(())
}

async fn evict(world: &lab::World, user: &str, pod: &str) -> Result<kube::core::Status> {
    let pods: Api<Pod> = Api::namespaced(world.lab().client(user).await?, &world.namespace);
    let eviction: Eviction = serde_json::from_value(json!({"metadata": {"name": pod}}))?;
    match pods.create_subresource("eviction", pod, &PostParams::default(), &eviction).await {
        Ok(status) => Ok(status),
        Err(kube::Error::Api(status)) => Ok(*status),
        Err(error) => Err(error.into()),
    }
}

/// A process with a control plane of its own, the state's directory, and the ids of all processes.
fn occupy() -> Result<(std::process::Child, std::path::PathBuf, HashMap<String, u32>)> {
    // The binaries must be there, or their build would be killed with the test.
    lab::binaries::Binaries::find()?;
    let mut occupant = Command::new(env!("CARGO_BIN_EXE_lab")).arg("__occupy").stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(occupant.stdout.take().context("no output")?).read_line(&mut line)?;
    let facts: lab::supervisor::Facts = serde_json::from_str(&line)?;
    let mut pids = facts.pids;
    pids.insert("supervisor".to_owned(), facts.supervisor);
    assert!(pids.len() == 6 && pids.values().all(|pid| runs(*pid)), "{pids:?}");
    Ok((occupant, facts.dir, pids))
}

async fn gone(dir: &Path, pids: &HashMap<String, u32>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    while dir.exists() || pids.values().any(|pid| runs(*pid)) {
        let left: Vec<_> = pids.iter().filter(|(_, pid)| runs(**pid)).collect();
        assert!(Instant::now() < deadline, "left: {left:?}, {} exists: {}", dir.display(), dir.exists());
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// A zombie, which waits for its parent to take note, runs nothing.
fn runs(pid: u32) -> bool {
    let status = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output();
    status.is_ok_and(|output| output.status.success() && !output.stdout.starts_with(b"Z"))
}
