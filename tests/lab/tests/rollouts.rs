//! What pods and workloads of the lab show while a rollout goes wrong: as real kubelets do.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Event, Pod};
use kube::api::DeleteParams;
use lab::{Node, World, run, world::Revision};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, sleep},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_crash_loop_mostly_says_how_it_ended() -> Result<()> {
    let (world, node) = world("crash").await?;
    let pod = world.pod("crash").image("registry.test/app:sim-crash").sim("exit-code", "3");
    pod.sim("backoff", "2s").on(&node).create().await?;
    let seen = watch(&world, "crash", 15 * SECOND).await?;
    let ended = time(&seen, |state| state.terminated.is_some());
    let backing_off = time(&seen, |state| waits(state) == Some("CrashLoopBackOff"));
    assert!(ended > 5 * backing_off, "{ended:?} terminated, {backing_off:?} backing off");
    assert!(ended > 6 * SECOND && backing_off > SECOND / 10, "{ended:?} terminated, {backing_off:?} backing off");
    // Without a probe it is ready before it ends, each time.
    let ready = seen.iter().filter(|(_, status)| status.ready).map(|(time, _)| *time).sum::<Duration>();
    assert!(ready > SECOND, "{ready:?}");

    let status = status(&world, "crash", "main").await?;
    assert!(status.restart_count >= 3, "{status:?}");
    let last = status.last_state.and_then(|state| state.terminated).context("no last state")?;
    assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
    let uid = world.workload("pod/crash").await?["metadata"]["uid"].as_str().context("no uid")?.to_owned();
    let text = format!("Back-off restarting failed container main in pod crash_{}({uid})", world.namespace);
    let event = event(&world, "crash", "BackOff").await?;
    assert_eq!(event.message, Some(text));
    assert_eq!(event.type_.as_deref(), Some("Warning"));
    assert_eq!(event.involved_object.field_path.as_deref(), Some("spec.containers{main}"));
    assert!(event.count >= Some(4), "{event:?}");
    let message = seen.iter().find_map(|(_, status)| status.state.as_ref()?.waiting.as_ref()?.message.clone());
    let text = format!("back-off 20s restarting failed container=main pod=crash_{}({uid})", world.namespace);
    assert_eq!(message, Some(text));
    Ok(())
}

#[tokio::test]
async fn containers_end_in_many_ways() -> Result<()> {
    let (world, node) = world("ends").await?;
    for (tag, container, exit_code, reason, message) in [
        ("crash", "main", 0, "Completed", None),
        ("crash-137", "main", 137, "Error", None),
        ("oom", "main", 137, "OOMKilled", None),
        ("crashloop", "main", 1, "Error", None),
        ("liveness", "main", 0, "Completed", Some("Container main failed liveness probe, will be restarted")),
        ("startup", "main", 0, "Completed", Some("Container main failed startup probe, will be restarted")),
        ("poststart", "main", 0, "Completed", Some("FailedPostStartHook")),
        ("crash-2", "side", 1, "Error", None),
    ] {
        let name = format!("ends-{tag}");
        let image = format!("registry.test/app:sim-{tag}");
        let pod = world.pod(&name).on(&node);
        let pod = if container == "main" { pod.image(&image) } else { pod.second_container(container, &image) };
        let set = tag.starts_with("crash");
        let pod = if set { pod.sim("exit-code", &exit_code.to_string()) } else { pod };
        pod.create().await?;
        let again =
            |pod: Option<&Pod>| pod.is_some_and(|pod| of(pod, container).is_some_and(|is| is.restart_count > 0));
        let pod = world.until::<Pod>(&name, "a restart", 10 * SECOND, again).await?.context("no pod")?;
        let status = of(&pod, container).context("no status")?;
        let last = status.last_state.as_ref().and_then(|state| state.terminated.as_ref()).context("no last state")?;
        assert_eq!((last.exit_code, last.reason.as_deref()), (exit_code, Some(reason)), "{tag}");
        if let Some(message) = message {
            assert_eq!(event(&world, &name, "Killing").await?.message.as_deref(), Some(message), "{tag}");
        }
        let others = pod.status.iter().flat_map(|status| status.container_statuses.iter().flatten());
        assert!(others.filter(|other| other.name != container).all(|other| other.ready), "{tag}");
    }
    Ok(())
}

#[tokio::test]
async fn a_container_behind_a_probe_is_never_ready_before_it_ends() -> Result<()> {
    let (world, node) = world("probe").await?;
    let pod = world.pod("web").image("registry.test/app:sim-crash").readiness_probe().sim("backoff", "1s");
    pod.on(&node).create().await?;
    let seen = watch(&world, "web", 6 * SECOND).await?;
    assert!(seen.iter().all(|(_, status)| !status.ready), "{seen:?}");
    assert!(status(&world, "web", "main").await?.restart_count >= 3);
    Ok(())
}

#[tokio::test]
async fn a_container_can_end_late_or_get_well_or_be_killed_once() -> Result<()> {
    let (world, node) = world("late").await?;
    let image = "registry.test/app:sim-crash";
    world.pod("late").image(image).sim("crash-after", "12s").on(&node).create().await?;
    let begun = Instant::now();
    world.pod("heal").image("registry.test/app:sim-selfheal").sim("crash-times", "2").on(&node).create().await?;
    world.pod("kill").on(&node).create().await?;
    world.ready("pod/kill").await?;
    world.label_pod("kill", "sim.test/kill", Some("1")).await?;
    for (name, times, code) in [("heal", 2, 1), ("kill", 1, 137)] {
        let well = |pod: Option<&Pod>| {
            pod.and_then(|pod| of(pod, "main")).is_some_and(|is| is.restart_count == times && is.ready)
        };
        world.until::<Pod>(name, "restarted", 15 * SECOND, well).await?;
        let status = status(&world, name, "main").await?;
        let last = status.last_state.and_then(|state| state.terminated).context("no last state")?;
        assert_eq!((last.exit_code, last.reason.as_deref()), (code, Some("Error")), "{name}");
    }
    let ended = |pod: Option<&Pod>| {
        pod.and_then(|pod| of(pod, "main")).is_some_and(|is| !is.ready && is.started == Some(false))
    };
    world.ready("pod/late").await?;
    world.until::<Pod>("late", "the end", 20 * SECOND, ended).await?;
    assert!((11 * SECOND..15 * SECOND).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    for (name, times) in [("heal", 2), ("kill", 1)] {
        let status = status(&world, name, "main").await?;
        assert!(status.ready && status.restart_count == times, "{status:?}");
    }
    Ok(())
}

#[tokio::test]
async fn pull_errors_take_turns() -> Result<()> {
    let (world, node) = world("pull").await?;
    world.pod("pull").image("registry.test/app:sim-imagepull").sim("backoff", "2s").on(&node).create().await?;
    world.pod("bare").image("registry.test/app:sim-imagepull-bare").sim("backoff", "2s").on(&node).create().await?;
    world.pod("heal").image("registry.test/app:sim-imagepull-heal").sim("backoff", "2s").on(&node).create().await?;
    let seen = watch(&world, "pull", 13 * SECOND).await?;
    let trying = time(&seen, |state| waits(state) == Some("ErrImagePull"));
    let backing_off = time(&seen, |state| waits(state) == Some("ImagePullBackOff"));
    let (less, more) = (trying.min(backing_off), trying.max(backing_off));
    assert!(less > 4 * SECOND && more < 2 * less, "{trying:?} trying, {backing_off:?} backing off");

    let image = "registry.test/app:sim-imagepull";
    let why = format!(
        "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to resolve image: {image}: not found"
    );
    let said = |reason: &str| {
        seen.iter().find_map(|(_, status)| {
            let waiting = status.state.as_ref()?.waiting.as_ref()?;
            waiting.message.clone().filter(|_| waiting.reason.as_deref() == Some(reason))
        })
    };
    assert_eq!(said("ErrImagePull"), Some(why.clone()));
    assert_eq!(said("ImagePullBackOff"), Some(format!("Back-off pulling image \"{image}\": ErrImagePull: {why}")));
    let mut events: Vec<(String, String, String)> = Vec::new();
    for event in world.events_about("pull").await? {
        assert!(event.count.unwrap_or(1) >= 3 || event.reason.as_deref() == Some("Scheduled"), "{event:?}");
        events.push((
            event.type_.unwrap_or_default(),
            event.reason.unwrap_or_default(),
            event.message.unwrap_or_default(),
        ));
    }
    for (kind, reason, message) in [
        ("Normal", "Pulling", format!("Pulling image \"{image}\"")),
        ("Warning", "Failed", format!("Failed to pull image \"{image}\": {why}")),
        ("Warning", "Failed", "Error: ErrImagePull".to_owned()),
        ("Normal", "BackOff", format!("Back-off pulling image \"{image}\"")),
        ("Warning", "Failed", "Error: ImagePullBackOff".to_owned()),
    ] {
        assert!(events.contains(&(kind.to_owned(), reason.to_owned(), message)), "{events:#?}");
    }

    world.ready("pod/heal").await?;
    let bare = |pod: Option<&Pod>| {
        let state = pod.and_then(|pod| of(pod, "main")?.state.clone()).unwrap_or_default();
        let message = state.waiting.as_ref().and_then(|waiting| waiting.message.as_deref());
        message == Some("Back-off pulling image \"registry.test/app:sim-imagepull-bare\"")
    };
    world.until::<Pod>("bare", "the older text", 5 * SECOND, bare).await?;

    // The end of a pod that never ran looks like a crash.
    let stopping = json!({"metadata": {"annotations": {"sim.test/stop-seconds": "3"}}});
    world.patch("pod/pull", &stopping).await?;
    world.api::<Pod>().delete("pull", &DeleteParams::default()).await?;
    let unknown = |pod: Option<&Pod>| {
        let state = pod.and_then(|pod| of(pod, "main")?.state.clone()).unwrap_or_default();
        state.terminated.is_some_and(|end| end.reason.as_deref() == Some("ContainerStatusUnknown"))
    };
    world.until::<Pod>("pull", "an unknown end", 5 * SECOND, unknown).await?;
    world.until::<Pod>("pull", "no pod", 10 * SECOND, |pod| pod.is_none()).await?;
    Ok(())
}

#[tokio::test]
async fn every_reason_has_its_words() -> Result<()> {
    let (world, node) = world("words").await?;
    let pull = |image: &str| format!("failed to pull and unpack image \"{image}\": failed to resolve image: ");
    let start = "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create \
                 failed: unable to start container process: exec: \"serve\": executable file not found in $PATH";
    let app = |tag: &str| format!("registry.test/app:{tag}");
    let cases = [
        (
            app("sim-imagepull-denied"),
            "ErrImagePull",
            format!(
                "{}pull access denied, repository does not exist or may require authorization: server message: \
                 insufficient_scope: authorization failed",
                pull(&app("sim-imagepull-denied"))
            ),
        ),
        (
            app("sim-imagepull-ratelimit"),
            "ErrImagePull",
            format!(
                "{}unexpected status from HEAD request to https://registry.test/v2/app/manifests/sim-imagepull-ratelimit: \
                 429 Too Many Requests",
                pull(&app("sim-imagepull-ratelimit"))
            ),
        ),
        (
            app("sim-imagepull-timeout"),
            "ErrImagePull",
            format!(
                "rpc error: code = DeadlineExceeded desc = {}failed to do request: Head \
                 \"https://registry.test/v2/app/manifests/sim-imagepull-timeout\": net/http: timeout awaiting response headers",
                pull(&app("sim-imagepull-timeout"))
            ),
        ),
        (
            "nginx:1.17.23".to_owned(),
            "ErrImagePull",
            format!(
                "rpc error: code = NotFound desc = {}docker.io/library/nginx:1.17.23: not found",
                pull("docker.io/library/nginx:1.17.23")
            ),
        ),
        (
            "nginx:1.26:oops".to_owned(),
            "InvalidImageName",
            "Failed to apply default image tag \"nginx:1.26:oops\": couldn't parse image name \"nginx:1.26:oops\": \
             invalid reference format"
                .to_owned(),
        ),
        (app("sim-config-error"), "CreateContainerConfigError", "configmap \"app-config\" not found".to_owned()),
        (app("sim-run-error"), "RunContainerError", start.to_owned()),
        (app("sim-poststart"), "PostStartHookError", "PostStart hook failed".to_owned()),
    ];
    for (number, (image, reason, message)) in cases.iter().enumerate() {
        let name = format!("case-{number}");
        world.pod(&name).image(image).on(&node).create().await?;
        let says = |pod: Option<&Pod>| {
            let state = pod.and_then(|pod| of(pod, "main")?.state.clone()).unwrap_or_default();
            let waiting = state.waiting.unwrap_or_default();
            waiting.reason.as_deref() == Some(*reason) && waiting.message.as_ref() == Some(message)
        };
        world.until::<Pod>(&name, &format!("{reason}: {message}"), 10 * SECOND, says).await?;
    }
    let status = status(&world, "case-6", "main").await?;
    let last = status.last_state.and_then(|state| state.terminated).context("no last state")?;
    assert_eq!((last.exit_code, last.reason.as_deref()), (128, Some("StartError")));
    assert_eq!(world.workload("pod/case-6").await?["status"]["phase"], "Running");
    Ok(())
}

#[tokio::test]
async fn what_only_events_tell() -> Result<()> {
    let (world, node) = world("events").await?;
    world.pod("mount").config_map_volume("nope").scenario("mount-error").on(&node).create().await?;
    world.pod("config").scenario("config-error").sim("message", "secret \"key\" not found").on(&node).create().await?;
    world.pod("unready").scenario("unready").sim("event-period", "500ms").on(&node).create().await?;
    world.pod("slow").scenario("slow").sim("event-period", "1s").readiness_probe().on(&node).create().await?;
    world.pod("hung").scenario("stuck-creating").on(&node).create().await?;
    world.ready("pod/slow").await?;
    for (pod, reason, message, times) in [
        ("mount", "FailedMount", "MountVolume.SetUp failed for volume \"config\" : configmap \"nope\" not found", 2),
        ("config", "Failed", "Error: secret \"key\" not found", 2),
        ("unready", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 404", 8),
        ("slow", "Unhealthy", "Readiness probe failed: Get \"http://", 3),
        ("hung", "Pulling", "Pulling image \"registry.test/app:1\"", 1),
    ] {
        let event = event(&world, pod, reason).await?;
        assert!(event.message.as_deref().is_some_and(|text| text.starts_with(message)), "{event:?}");
        assert!(event.count >= Some(times), "{event:?}");
    }
    for pod in ["mount", "hung"] {
        let status = status(&world, pod, "main").await?;
        assert_eq!(waits(&status.state.unwrap_or_default()), Some("ContainerCreating"));
    }
    let resource_version = world.workload("pod/unready").await?["metadata"]["resourceVersion"].clone();
    sleep(2 * SECOND).await;
    assert_eq!(world.workload("pod/unready").await?["metadata"]["resourceVersion"], resource_version, "it is at rest");

    // What was missing is there.
    for pod in ["mount", "config", "hung", "unready"] {
        world.annotate(&format!("pod/{pod}"), "sim.test/scenario", Some("none")).await?;
        world.ready(&format!("pod/{pod}")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn init_containers_have_troubles_too() -> Result<()> {
    let (world, node) = world("init").await?;
    for (name, tag) in
        [("crash", "sim-crash"), ("hang", "sim-init-hang"), ("pull", "sim-imagepull"), ("heal", "sim-selfheal")]
    {
        let pod = world.pod(name).init_container("before", "registry.test/app:1");
        pod.init_container("setup", &format!("registry.test/app:{tag}")).on(&node).create().await?;
    }
    world.ready("pod/heal").await?;
    let setup = |pod: Option<&Pod>| {
        let statuses = pod.and_then(|pod| pod.status.as_ref()?.init_container_statuses.as_ref()).cloned();
        statuses.unwrap_or_default().into_iter().find(|status| status.name == "setup")
    };
    let again = |pod: Option<&Pod>| setup(pod).is_some_and(|status| status.restart_count > 1);
    world.until::<Pod>("crash", "restarts", 15 * SECOND, again).await?;
    for (name, state) in [("crash", None), ("hang", Some("running")), ("pull", Some("waiting"))] {
        let pod = world.api::<Pod>().get(name).await?;
        assert_eq!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Pending"), "{name}");
        let main = of(&pod, "main").context("no status")?.state.clone().unwrap_or_default();
        assert_eq!(waits(&main), Some("PodInitializing"), "{name}");
        let setup = json!(setup(Some(&pod)).context("no status")?.state);
        assert!(state.is_none_or(|state| setup.get(state).is_some()), "{name}: {setup}");
    }
    let event = event(&world, "crash", "BackOff").await?;
    assert_eq!(event.involved_object.field_path.as_deref(), Some("spec.initContainers{setup}"));
    Ok(())
}

#[tokio::test]
async fn without_a_probe_a_crashing_version_completes_its_rollout() -> Result<()> {
    let (world, _) = world("false").await?;
    world.deployment("web").replicas(3).sim("backoff", "8s").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:sim-crash").await?;
    let output = kubectl(&world, &["rollout", "status", "deployment/web", "--timeout=30s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    assert!(output.stdout.ends_with("deployment \"web\" successfully rolled out\n"), "{output}");
    let down = |deployment: Option<&k8s_openapi::api::apps::v1::Deployment>| {
        let status = deployment.and_then(|deployment| deployment.status.clone()).unwrap_or_default();
        status.available_replicas.unwrap_or(0) == 0 && status.updated_replicas == Some(3)
    };
    world.until("web", "nothing available", 10 * SECOND, down).await?;
    let progressing = condition(&world.workload("deployment/web").await?, "Progressing");
    assert_eq!(progressing["reason"], "NewReplicaSetAvailable");
    Ok(())
}

#[tokio::test]
async fn behind_a_probe_a_crashing_version_misses_its_deadline() -> Result<()> {
    let (world, _) = world("true").await?;
    let web = world.deployment("web").replicas(2).readiness_probe().progress_deadline(4).change_cause("first");
    web.max_unavailable(0).revision_history_limit(3).create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "registry.test/app:sim-crash").await?;
    let output = kubectl(&world, &["rollout", "status", "deployment/web"]).await?;
    assert_eq!(output.code, Some(1), "{output}");
    assert!(output.stderr.contains("deployment \"web\" exceeded its progress deadline"), "{output}");
    assert_eq!(world.workload("deployment/web").await?["status"]["availableReplicas"], 2);

    let images = |revisions: &[Revision]| {
        revisions.iter().map(|revision| (revision.number, revision.image.clone())).collect::<Vec<_>>()
    };
    let revisions = world.revisions("deployment/web").await?;
    assert_eq!(
        images(&revisions),
        [(1, "registry.test/app:1".to_owned()), (2, "registry.test/app:sim-crash".to_owned())]
    );
    assert_eq!(revisions[0].change_cause.as_deref(), Some("first"));
    let output = kubectl(&world, &["rollout", "undo", "deployment/web"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    world.ready("deployment/web").await?;
    let revisions = world.revisions("deployment/web").await?;
    assert_eq!(
        images(&revisions),
        [(2, "registry.test/app:sim-crash".to_owned()), (3, "registry.test/app:1".to_owned())]
    );
    Ok(())
}

#[tokio::test]
async fn stateful_and_daemon_sets_roll_too() -> Result<()> {
    let (world, _) = world("sets").await?;
    world.stateful_set("db").replicas(3).partition(2).parallel().create().await?;
    world.stateful_set("hand").on_delete().create().await?;
    world.daemon_set("agent").max_unavailable(1).create().await?;
    world.deployment("job").strategy_recreate().create().await?;
    for object in ["statefulset/db", "statefulset/hand", "daemonset/agent", "deployment/job"] {
        world.ready(object).await?;
        world.set_image(object, "registry.test/app:2").await?;
    }
    for object in ["daemonset/agent", "deployment/job"] {
        world.ready(object).await?;
    }
    let moved = |pod: Option<&Pod>| pod.and_then(|pod| of(pod, "main")).is_some_and(|is| is.image.ends_with(":2"));
    world.until::<Pod>("db-2", "the new version", 10 * SECOND, moved).await?;
    for pod in ["db-0", "db-1", "hand-0"] {
        assert_eq!(status(&world, pod, "main").await?.image, "registry.test/app:1", "{pod}");
    }
    for object in ["statefulset/db", "statefulset/hand", "daemonset/agent", "deployment/job"] {
        let revisions = world.revisions(object).await?;
        let images: Vec<&str> = revisions.iter().map(|revision| revision.image.as_str()).collect();
        assert_eq!(images, ["registry.test/app:1", "registry.test/app:2"], "{object}");
    }
    Ok(())
}

#[tokio::test]
async fn pods_that_may_not_be() -> Result<()> {
    for (name, text) in [
        ("quota", "exceeded quota: quota, requested: pods=1, used: pods=2, limited: pods=2"),
        ("limits", "maximum cpu usage per Container is 1, but limit is 2"),
        ("security", "violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"),
    ] {
        let (world, _) = world(name).await?;
        world.deployment("web").replicas(2).create().await?;
        world.ready("deployment/web").await?;
        let spec = match name {
            "quota" => {
                world.quota(&json!({"pods": "2"})).await?;
                json!({"terminationGracePeriodSeconds": 5})
            }
            "limits" => {
                world.limit_range(&json!({"type": "Container", "max": {"cpu": "1"}})).await?;
                let limits = json!({"limits": {"cpu": "2"}});
                json!({"containers": [{"name": "main", "image": "registry.test/app:2", "resources": limits}]})
            }
            _ => {
                world.pod_security("baseline").await?;
                json!({"hostNetwork": true})
            }
        };
        world.patch("deployment/web", &json!({"spec": {"template": {"spec": spec}}})).await?;
        let failed = |deployment: Option<&k8s_openapi::api::apps::v1::Deployment>| {
            let condition = deployment.map(|deployment| condition(&json!(deployment), "ReplicaFailure"));
            condition
                .is_some_and(|condition| condition["message"].as_str().is_some_and(|message| message.contains(text)))
        };
        world.until("web", text, 15 * SECOND, failed).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_site_answers_as_its_pods() -> Result<()> {
    let (world, _) = world("site").await?;
    world.service("web").await?;
    let site = world.serve("web").await?;
    assert_eq!(get(site.address()).await?.0, 503);
    world.deployment("web").replicas(2).readiness_probe().image("registry.test/nginx:1.16.1").create().await?;
    world.ready("deployment/web").await?;
    let both = Instant::now() + 5 * SECOND;
    while site.pods().len() < 2 && Instant::now() < both {
        sleep(SECOND / 20).await;
    }
    let mut pods = Vec::new();
    for _ in 0..4 {
        let (code, server, body) = get(site.address()).await?;
        assert_eq!((code, server.as_str()), (200, "nginx/1.16.1"));
        pods.push(body.trim().to_owned());
    }
    assert!(pods[0] == pods[2] && pods[1] == pods[3] && pods[0] != pods[1], "{pods:?}");

    // A rolling update never leaves it without an answer.
    world.set_image("deployment/web", "registry.test/nginx:1.17.0").await?;
    let mut servers = Vec::new();
    let limit = Instant::now() + 20 * SECOND;
    while servers.last().is_none_or(|last| last != "nginx/1.17.0") || site.pods().len() != 2 {
        let (code, server, _) = get(site.address()).await?;
        assert_eq!(code, 200);
        servers.push(server);
        assert!(Instant::now() < limit, "{servers:?}");
        sleep(SECOND / 50).await;
    }
    let pod = site.pods()[0].clone();
    for pod in site.pods() {
        world.label_pod(&pod, "sim.test/ready", Some("false")).await?;
    }
    let limit = Instant::now() + 5 * SECOND;
    while get(site.address()).await?.0 != 503 {
        assert!(Instant::now() < limit, "nobody is ready, but {pod} answers");
        sleep(SECOND / 20).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_node_without_power_and_with_it() -> Result<()> {
    let (world, node) = world("power").await?;
    world.stateful_set("db").create().await?;
    world.ready("statefulset/db").await?;
    world.power(&node, false).await?;
    let lost = |pod: Option<&Pod>| pod.is_some_and(|pod| condition(&json!(pod), "Ready")["status"] == "False");
    let pod = world.until::<Pod>("db-0", "a pod that is not Ready", 20 * SECOND, lost).await?.context("no pod")?;
    // As on a real cluster, only the condition tells.
    assert!(of(&pod, "main").is_some_and(|is| is.ready));
    world.power(&node, true).await?;
    world.ready(&format!("node/{}", node.name)).await?;
    world.ready("statefulset/db").await?;
    Ok(())
}

async fn world(name: &str) -> Result<(World, Node)> {
    let world = lab::shared()?.world(name).await?;
    let node = world.node("a").create().await?;
    Ok((world, node))
}

async fn kubectl(world: &World, args: &[&str]) -> Result<lab::Output> {
    let kubectl = run(&world.lab().kubectl()).kubeconfig(&world.tool()?);
    kubectl.args(["-n", &world.namespace]).args(args).output().await
}

/// How a pod's first container fared, look by look, and for how long.
async fn watch(world: &World, pod: &str, span: Duration) -> Result<Vec<(Duration, ContainerStatus)>> {
    let end = Instant::now() + span;
    let mut seen = Vec::new();
    while Instant::now() < end {
        let begun = Instant::now();
        let status = world.api::<Pod>().get(pod).await?.status.and_then(|status| status.container_statuses);
        sleep(SECOND / 20).await;
        seen.extend(status.and_then(|statuses| statuses.into_iter().next()).map(|status| (begun.elapsed(), status)));
    }
    Ok(seen)
}

fn time(seen: &[(Duration, ContainerStatus)], holds: impl Fn(&ContainerState) -> bool) -> Duration {
    seen.iter().filter(|(_, status)| status.state.as_ref().is_some_and(&holds)).map(|(time, _)| *time).sum()
}

fn waits(state: &ContainerState) -> Option<&str> {
    state.waiting.as_ref()?.reason.as_deref()
}

fn of<'p>(pod: &'p Pod, container: &str) -> Option<&'p ContainerStatus> {
    pod.status.as_ref()?.container_statuses.as_ref()?.iter().find(|status| status.name == container)
}

async fn status(world: &World, pod: &str, container: &str) -> Result<ContainerStatus> {
    of(&world.api::<Pod>().get(pod).await?, container).cloned().context("no status")
}

async fn event(world: &World, about: &str, reason: &str) -> Result<Event> {
    let events = world.events_about(about).await?;
    let found = events.iter().find(|event| event.reason.as_deref() == Some(reason)).cloned();
    found.with_context(|| format!("no {reason} in {events:#?}"))
}

fn condition(object: &Value, kind: &str) -> Value {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| condition["type"] == kind).cloned().unwrap_or_default()
}

/// Code, `Server` header and body of `GET /`.
async fn get(address: std::net::SocketAddr) -> Result<(u16, String, String)> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let (head, body) = text.split_once("\r\n\r\n").context("no head")?;
    let code = head.split(' ').nth(1).context("no code")?.parse()?;
    let server = head.lines().find_map(|line| line.strip_prefix("Server: ")).unwrap_or_default();
    Ok((code, server.to_owned(), body.to_owned()))
}
