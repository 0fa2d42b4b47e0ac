//! Every kind of cause: its code, its class, its sentence, and whether the version is undone for it.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use lab::{World, world::Workload};
use serde_json::{Value, json};

use crate::{
    after::{change_template, changes, pods_of, versions_of},
    runner::{guard_json, program},
};

/// What the guard says why.
#[derive(Debug, PartialEq, Eq)]
struct Cause {
    code: String,
    class: String,
    message: String,
    /// What this rollout changed of it first; empty for nothing.
    path: String,
}

const GOOD: &str = "registry.test/app:1";

mod crashing {
    use super::*;

    #[tokio::test]
    async fn a_container_that_exits() -> Result<()> {
        let world = serving("crash", |web| web.readiness_probe().sim("exit-code", "3")).await?;
        world.set_image("deployment/web", "registry.test/app:sim-crash").await?;
        let Cause { message, .. } = check(undone(&world, &[]).await?, "CrashLoop", "Repeated", IMAGE);
        assert!(message.starts_with("container \"main\" exits with 3, restarted "), "{message}");
        Ok(())
    }

    #[tokio::test]
    async fn a_container_that_needs_more_memory_than_its_limit() -> Result<()> {
        let world = serving("oom", |web| {
            let limits = json!({"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}});
            web.readiness_probe().container("resources", limits)
        })
        .await?;
        world.set_image("deployment/web", "registry.test/app:sim-oom").await?;
        let message = "out of memory: needs more than its limit of 64Mi";
        assert_eq!(undone(&world, &[]).await?, cause("OutOfMemory", "Repeated", IMAGE, message));
        Ok(())
    }

    #[tokio::test]
    async fn an_init_container_that_fails() -> Result<()> {
        let world = serving("init", |web| web.init_container("migrate", "registry.test/migrate:1")).await?;
        change_template(&world, "deployment/web", |template| {
            template["spec"]["initContainers"][0]["image"] = "registry.test/migrate:sim-crash".into();
        })
        .await?;
        let path = "spec.initContainers[migrate].image";
        let Cause { message, .. } = check(undone(&world, &[]).await?, "CrashLoop", "Repeated", path);
        assert!(message.starts_with("init container \"migrate\" exits with 1 (error), restarted "), "{message}");
        Ok(())
    }

    #[tokio::test]
    async fn a_container_that_is_never_ready() -> Result<()> {
        let world = serving("unready", |web| web.readiness_probe().progress_deadline(4)).await?;
        world.set_image("deployment/web", "registry.test/app:sim-unready").await?;
        let Cause { message, .. } = check(undone(&world, &[]).await?, "NotReady", "Timed", IMAGE);
        let expected = "container \"main\" is not ready: ";
        assert!(message.starts_with(expected), "{message}");
        Ok(())
    }
}

mod configuration {
    use super::*;

    #[tokio::test]
    async fn a_key_that_the_config_map_lacks() -> Result<()> {
        let world =
            lacking_config("no-key", |namespace| format!("couldn't find key color in ConfigMap {namespace}/cfg"))
                .await?;
        world.config_map("cfg", &json!({"size": "big"})).await?;
        refer_to_config(&world).await?;
        let message = "ConfigMap \"cfg\" has no key \"color\"";
        let path = "spec.containers[main].env[COLOR].valueFrom.configMapKeyRef.key";
        assert_eq!(undone(&world, &[]).await?, cause("ConfigMissing", "Fatal", path, message));
        Ok(())
    }

    #[tokio::test]
    async fn a_config_map_that_is_not_there() -> Result<()> {
        let world = lacking_config("no-map", |_| "configmap \"cfg\" not found".to_owned()).await?;
        refer_to_config(&world).await?;
        let path = "spec.containers[main].env[COLOR].valueFrom.configMapKeyRef.name";
        let expected = cause("ConfigMissing", "Repeated", path, "ConfigMap \"cfg\" not found");
        assert_eq!(undone(&world, &[]).await?, expected);
        Ok(())
    }

    /// The kubelet's sentence means nothing while the image is good.
    async fn lacking_config(name: &str, said: impl FnOnce(&str) -> String) -> Result<World> {
        let world = lab::shared()?.world(name).await?;
        let said = said(&world.namespace);
        serve(&world, |web| web.sim("message", &said)).await?;
        Ok(world)
    }

    async fn refer_to_config(world: &World) -> Result<()> {
        change_template(world, "deployment/web", |template| {
            let from = json!({"configMapKeyRef": {"name": "cfg", "key": "color"}});
            template["spec"]["containers"][0]["env"] = json!([{"name": "COLOR", "valueFrom": from}]);
            template["spec"]["containers"][0]["image"] = "registry.test/app:sim-config-error".into();
        })
        .await?;
        Ok(())
    }
}

mod creation {
    use super::*;

    #[tokio::test]
    async fn a_quota_without_room_for_the_surge() -> Result<()> {
        let world = serving("quota", |web| web).await?;
        world.quota(&json!({"pods": "2"})).await?;
        world.set_image("deployment/web", "registry.test/app:2").await?;
        let message = "quota \"quota\" has no room: requested pods=1, used pods=2, limited pods=2";
        let (found, reason) = kept(&world, &["--stall-timeout", "3s"], "Blocked").await?;
        assert_eq!(found, cause("QuotaExceeded", "Blocked", "", message));
        assert_eq!(reason, format!("deployment/web: {message}"));
        Ok(())
    }

    #[tokio::test]
    async fn a_version_that_asks_for_more_than_the_quota_has() -> Result<()> {
        let world = serving("quota-cpu", |web| web.requests("100m", "16Mi")).await?;
        world.quota(&json!({"requests.cpu": "1"})).await?;
        change_template(&world, "deployment/web", |template| {
            template["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "2".into();
        })
        .await?;
        let message =
            "quota \"quota\" has no room: requested requests.cpu=2, used requests.cpu=200m, limited requests.cpu=1";
        let path = "spec.containers[main].resources.requests.cpu";
        let found = undone(&world, &["--stall-timeout", "3s"]).await?;
        assert_eq!(found, cause("QuotaExceeded", "Timed", path, message));
        Ok(())
    }

    #[tokio::test]
    async fn a_policy_that_refuses_the_new_version() -> Result<()> {
        let world = serving("policy", |web| web).await?;
        deny_image(&world, "registry.test/app:2", "images need a digest").await?;
        world.set_image("deployment/web", "registry.test/app:2").await?;
        let name = &world.namespace;
        let message = format!("admission policy \"deny-{name}\" refuses the pod: images need a digest");
        assert_eq!(undone(&world, &[]).await?, cause("AdmissionDenied", "Repeated", IMAGE, &message));
        Ok(())
    }

    #[tokio::test]
    async fn pod_security_that_refuses_the_new_version() -> Result<()> {
        let world = serving("security", |web| web).await?;
        world.pod_security("baseline").await?;
        change_template(&world, "deployment/web", |template| template["spec"]["hostPID"] = true.into()).await?;
        let message = "pod security \"baseline:latest\" refuses the pod: host namespaces (hostPID=true)";
        assert_eq!(undone(&world, &[]).await?, cause("PodSecurity", "Fatal", "spec.hostPID", message));
        Ok(())
    }

    #[tokio::test]
    async fn pod_security_that_would_refuse_the_old_version_too() -> Result<()> {
        let world = serving("security-env", |web| web).await?;
        world.pod_security("restricted").await?;
        world.set_image("deployment/web", "registry.test/app:2").await?;
        let (found, reason) = kept(&world, &[], "NotUndone").await?;
        let Cause { message, .. } = check(found, "PodSecurity", "Fatal", "");
        let expected = "pod security \"restricted:latest\" refuses the pod: allowPrivilegeEscalation != false (";
        assert!(message.starts_with(expected), "{message}");
        let why = "nothing that it can come from changed since revision 1: not undone";
        assert_eq!(reason, format!("deployment/web: {message}; {why}"));
        Ok(())
    }

    /// Lets the API server refuse pods with this image, and waits until it does.
    async fn deny_image(world: &World, image: &str, message: &str) -> Result<()> {
        let name = format!("deny-{}", world.namespace);
        let (version, metadata) = ("admissionregistration.k8s.io/v1", json!({"name": name}));
        let pods = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
        let is_good = format!("object.spec.containers.all(container, container.image != '{image}')");
        let spec = json!({
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [pods]},
            "validations": [{"expression": is_good, "message": message}],
        });
        let kind = "ValidatingAdmissionPolicy";
        world.apply(json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})).await?;
        let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": world.namespace}}});
        let spec = json!({"policyName": name, "validationActions": ["Deny"], "matchResources": here});
        let kind = "ValidatingAdmissionPolicyBinding";
        world.apply(json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})).await?;
        until_denied(world, image).await
    }

    /// The API server takes a policy up within a second or so, which cannot be watched.
    async fn until_denied(world: &World, image: &str) -> Result<()> {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "tried"},
            "spec": {"containers": [{"name": "main", "image": image}]},
        }))?;
        let tried = kube::api::PostParams { dry_run: true, ..Default::default() };
        let deadline = tokio::time::Instant::now() + lab::wait::LIMIT;
        while world.api::<Pod>().create(&tried, &pod).await.is_ok() {
            anyhow::ensure!(tokio::time::Instant::now() < deadline, "{image} is not refused");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        Ok(())
    }
}

mod placement {
    use super::*;

    #[tokio::test]
    async fn a_selector_that_no_node_matches() -> Result<()> {
        let world = serving("selector", |web| web).await?;
        change_template(&world, "deployment/web", |template| {
            template["spec"]["nodeSelector"]["disk"] = "fast".into();
        })
        .await?;
        let found = undone(&world, &["--stall-timeout", "3s"]).await?;
        let Cause { message, .. } = check(found, "NoNodeMatches", "Timed", "spec.nodeSelector.disk");
        assert!(fits_nowhere(&message, "didn't match Pod's node affinity/selector"), "{message}");
        Ok(())
    }

    #[tokio::test]
    async fn a_version_that_asks_for_more_cpu_than_any_node_has() -> Result<()> {
        let world = serving("cpu", |web| web.requests("100m", "16Mi")).await?;
        change_template(&world, "deployment/web", |template| {
            template["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "100".into();
        })
        .await?;
        let found = undone(&world, &["--stall-timeout", "3s"]).await?;
        let Cause { message, .. } = check(found, "NoRoom", "Timed", "spec.containers[main].resources.requests.cpu");
        assert!(fits_nowhere(&message, "insufficient cpu"), "{message}");
        Ok(())
    }

    #[tokio::test]
    async fn a_node_without_room_for_the_surge() -> Result<()> {
        let world = lab::shared()?.world("no-room").await?;
        world.node("a").capacity("1", "4Gi", 20).create().await?;
        let web = world.deployment("web").replicas(2).max_surge(1).max_unavailable(0).requests("400m", "16Mi");
        web.image(GOOD).create().await?;
        world.ready("deployment/web").await?;
        world.set_image("deployment/web", "registry.test/app:2").await?;
        let (found, reason) = kept(&world, &["--stall-timeout", "3s"], "NotUndone").await?;
        let Cause { message, .. } = check(found, "NoRoom", "Timed", "");
        assert!(fits_nowhere(&message, "1 insufficient cpu"), "{message}");
        assert!(reason.ends_with("nothing that it can come from changed since revision 1: not undone"), "{reason}");
        Ok(())
    }

    #[tokio::test]
    async fn a_claim_that_is_not_bound() -> Result<()> {
        let world = serving("claim", |web| web).await?;
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "storageClassName": "nosuch",
            "resources": {"requests": {"storage": "1Gi"}},
        });
        let metadata = json!({"name": "data"});
        let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec});
        world.apply(claim).await?;
        mount_claim(&world, "data").await?;
        let found = undone(&world, &["--stall-timeout", "3s"]).await?;
        assert_eq!(found, cause("ClaimPending", "Timed", CLAIM, "claim \"data\" is not bound"));
        Ok(())
    }

    #[tokio::test]
    async fn a_claim_that_is_not_there() -> Result<()> {
        let world = serving("no-claim", |web| web).await?;
        mount_claim(&world, "nope").await?;
        let found = undone(&world, &["--stall-timeout", "3s"]).await?;
        assert_eq!(found, cause("VolumeMissing", "Timed", CLAIM, "claim \"nope\" not found"));
        Ok(())
    }

    const CLAIM: &str = "spec.volumes[data].persistentVolumeClaim.claimName";

    async fn mount_claim(world: &World, claim: &str) -> Result<()> {
        change_template(world, "deployment/web", |template| {
            template["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]);
            template["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
        })
        .await?;
        Ok(())
    }

    /// `0 of 7 nodes fit: 7 insufficient cpu`: how many nodes there are, other tests know.
    fn fits_nowhere(message: &str, why: &str) -> bool {
        let rest = message.strip_prefix("0 of ").and_then(|rest| rest.split_once(" nodes fit: "));
        rest.is_some_and(|(all, reasons)| all.parse::<u32>().is_ok() && reasons.contains(why))
    }
}

const IMAGE: &str = "spec.containers[main].image";

fn cause(code: &str, class: &str, path: &str, message: &str) -> Cause {
    let [code, class, path, message] = [code, class, path, message].map(str::to_owned);
    Cause { code, class, message, path }
}

/// Checks all of a cause but its message.
#[track_caller]
fn check(found: Cause, code: &str, class: &str, path: &str) -> Cause {
    let expected = cause(code, class, path, &found.message);
    assert_eq!(found, expected);
    found
}

/// A world with a Deployment of two pods that serve, its first revision.
async fn serving(name: &str, describe: impl FnOnce(Workload<'_>) -> Workload<'_>) -> Result<World> {
    let world = lab::shared()?.world(name).await?;
    serve(&world, describe).await?;
    Ok(world)
}

async fn serve(world: &World, describe: impl FnOnce(Workload<'_>) -> Workload<'_>) -> Result<()> {
    // Built before something happens that the plugin is to see.
    program()?;
    world.node("a").create().await?;
    describe(world.deployment("web").replicas(2).image(GOOD)).create().await?;
    world.ready("deployment/web").await
}

/// Guards `web` until it has been undone. The cluster agrees: both pods of the first version serve, none of another one
/// is left, and nothing else was asked for.
async fn undone(world: &World, flags: &[&str]) -> Result<Cause> {
    let args = [&["deployment/web", "--stable-for", "2s"], flags].concat();
    let (output, _, result) = guard_json(world, &args).await?;
    assert_eq!(output.code, Some(7), "{output}");
    let end = &result["rollouts"][0];
    let undo = &end["undo"];
    let seen = (&end["outcome"], &undo["from"], &undo["to"], &undo["verified"], &end["cause"]["changed"]);
    assert_eq!(seen, (&json!("Undone"), &json!(2), &json!(1), &json!(true), &json!(true)), "{output}");
    let found = cause_of(end)?;
    let reason = format!("deployment/web: {}; undone: back on revision 1, now revision 3, verified", found.message);
    assert_eq!(result["reason"], reason);

    let pods = pods_of(world, "web").await?;
    assert!(pods.len() == 2 && pods.iter().all(|(image, is_ready)| image == GOOD && *is_ready), "{pods:?}: {output}");
    let versions: BTreeSet<String> = versions_of(world, "web").await?.into_iter().collect();
    assert_eq!(versions.len(), 1, "{output}");
    let numbers: Vec<i64> = world.revisions("deployment/web").await?.iter().map(|revision| revision.number).collect();
    assert_eq!(numbers, [2, 3]);
    assert_eq!(changes(world).await?, [format!("patch deployments {}/web", world.namespace)]);
    Ok(found)
}

/// Guards `web` until it has its final word, which is not an undo. The cluster agrees: both old pods serve, and nothing
/// was written. The cause, and the reason of the exit.
async fn kept(world: &World, flags: &[&str], outcome: &str) -> Result<(Cause, String)> {
    let before = world.workload("deployment/web").await?;
    let args = [&["deployment/web", "--stable-for", "2s"], flags].concat();
    let (output, _, result) = guard_json(world, &args).await?;
    assert_eq!(output.code, Some(9), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["undo"]), (&json!(outcome), &Value::Null), "{output}");
    let pods = pods_of(world, "web").await?;
    let serving = pods.iter().filter(|(image, is_ready)| image == GOOD && *is_ready).count();
    assert_eq!(serving, 2, "{pods:?}: {output}");
    let after = world.workload("deployment/web").await?;
    assert_eq!(after["spec"], before["spec"], "{output}");
    assert_eq!(changes(world).await?, Vec::<String>::new());
    let reason = result["reason"].as_str().context("no reason")?;
    Ok((cause_of(end)?, reason.to_owned()))
}

fn cause_of(end: &Value) -> Result<Cause> {
    let cause = &end["cause"];
    let text = |key: &str| cause[key].as_str().map(str::to_owned).with_context(|| format!("no {key}: {end:#}"));
    let path = cause["paths"][0]["path"].as_str().unwrap_or_default().to_owned();
    Ok(Cause { code: text("code")?, class: text("class")?, message: text("message")?, path })
}
