//! Who talks to the apiserver: certificates, kubeconfigs and rights of the lab's users.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use k8s_openapi::{
    ByteString,
    api::{
        authorization::v1::SubjectAccessReview,
        rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule},
    },
};
use kube::{
    Api, Client, Config, Resource,
    api::{Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{pki, state::State};

/// Sets the world up; the audit log is silent about this user.
pub const ADMIN: &str = "test-admin";
/// The tool under test, with all rights.
pub const TOOL: &str = "tool";
/// May do what `kubectl safe-drain` needs and nothing else.
pub const DRAINER: &str = "drainer";
/// May read the same kinds.
pub const VIEWER: &str = "viewer";
/// Asks only to see its own line in the audit log.
pub(crate) const MARKER: &str = "audit-marker";

const ALL_RIGHTS: &str = "system:masters";

/// A rule of a role: may do `verbs` on `resources` of the API `group`.
pub fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(owned(resources)),
        verbs: owned(verbs),
        ..PolicyRule::default()
    }
}

/// The rights of [`DRAINER`]. One rule per resource, so that [`without`] can take a single verb away.
pub fn drainer_rules() -> Vec<PolicyRule> {
    let mut rules = vec![
        rule("", &["nodes"], &["get", "list", "watch", "patch"]),
        rule("", &["pods/eviction"], &["create"]),
        rule("batch", &["jobs"], &["get", "list"]),
    ];
    let read = ["get", "list", "watch"];
    for resource in ["pods", "replicationcontrollers"] {
        rules.push(rule("", &[resource], &read));
    }
    for resource in ["deployments", "replicasets", "statefulsets", "daemonsets"] {
        rules.push(rule("apps", &[resource], &read));
    }
    rules.push(rule("policy", &["poddisruptionbudgets"], &read));
    rules
}

/// The rights of [`VIEWER`].
pub fn viewer_rules() -> Vec<PolicyRule> {
    let rules = without(&drainer_rules(), "patch", "nodes");
    without(&rules, "create", "pods/eviction")
}

/// `rules` without the right to do `verb` on `resource`.
pub fn without(rules: &[PolicyRule], verb: &str, resource: &str) -> Vec<PolicyRule> {
    let mut left = rules.to_vec();
    for rule in &mut left {
        if rule.resources.iter().flatten().any(|name| name == resource) {
            rule.verbs.retain(|name| name != verb);
        }
    }
    left.retain(|rule| !rule.verbs.is_empty());
    left
}

/// A client with the rights of a user that has a kubeconfig.
pub(crate) async fn client(state: &State, user: &str) -> Result<Client> {
    client_from(&state.user_kubeconfig(user)).await
}

/// A client as a kubeconfig describes it. It retries nothing: a test sees the first answer.
pub(crate) async fn client_from(kubeconfig: &Path) -> Result<Client> {
    let read = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Writes the kubeconfigs of the fixed users, one file each and one for people with all of them.
pub(crate) fn write_kubeconfigs(state: &State) -> Result<()> {
    let fixed = [
        ("lab", TOOL, Some(ALL_RIGHTS)),
        ("lab-admin", ADMIN, Some(ALL_RIGHTS)),
        ("lab-drainer", DRAINER, None),
        ("lab-viewer", VIEWER, None),
    ];
    let (mut users, mut contexts) = (Vec::new(), Vec::new());
    for (context, user, group) in fixed {
        let credentials = credentials(state, user, group)?;
        write_kubeconfig(
            state,
            &state.user_kubeconfig(user),
            std::slice::from_ref(&credentials),
            &[in_context("lab", user)],
        )?;
        users.push(credentials);
        contexts.push(in_context(context, user));
    }
    write_kubeconfig(state, &state.kubeconfig(), &users, &contexts)?;
    powerful_user(state, MARKER)?;
    Ok(())
}

/// A user with all rights and a name of its own in the audit log.
pub(crate) fn powerful_user(state: &State, user: &str) -> Result<PathBuf> {
    user_in_group(state, user, Some(ALL_RIGHTS))
}

/// A user with the rights that `rules` give, in force when this returns; they go with the world called `world`.
pub(crate) async fn limited_user(
    state: &State,
    admin: &Client,
    user: &str,
    rules: &[PolicyRule],
    world: &str,
) -> Result<PathBuf> {
    grant(admin, user, rules, world).await?;
    await_rights(admin, user, rules).await?;
    user_in_group(state, user, None)
}

/// Gives the fixed limited users their rights.
pub(crate) async fn grant_rights(admin: &Client) -> Result<()> {
    for (user, rules) in [(DRAINER, drainer_rules()), (VIEWER, viewer_rules())] {
        grant(admin, user, &rules, "").await?;
        await_rights(admin, user, &rules).await?;
    }
    Ok(())
}

/// Creates an object or brings it into the shape given.
pub(crate) async fn apply<K>(api: &Api<K>, name: &str, object: &Value) -> Result<K>
where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
{
    let manager = PatchParams::apply("lab").force();
    api.patch(name, &manager, &Patch::Apply(object)).await.with_context(|| format!("applying {name}"))
}

async fn grant(admin: &Client, user: &str, rules: &[PolicyRule], world: &str) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    let metadata = json!({"name": user, "labels": {"test": world}});
    let role = json!({"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": rules});
    apply(&Api::<ClusterRole>::all(admin.clone()), user, &role).await?;
    let binding = json!({
        "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    });
    apply(&Api::<ClusterRoleBinding>::all(admin.clone()), user, &binding).await?;
    Ok(())
}

/// The authorizer learns of a role some milliseconds after its creation, and that cannot be watched.
async fn await_rights(admin: &Client, user: &str, rules: &[PolicyRule]) -> Result<()> {
    let reviews: Api<SubjectAccessReview> = Api::all(admin.clone());
    let Some((verb, group, resource)) = rules.last().and_then(|rule| {
        Some((rule.verbs.first()?, rule.api_groups.as_ref()?.first()?, rule.resources.as_ref()?.first()?))
    }) else {
        return Ok(());
    };
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review: SubjectAccessReview = serde_json::from_value(json!({"spec": {
        "user": user,
        "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "subresource": subresource},
    }}))?;
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        let answer = reviews.create(&PostParams::default(), &review).await?;
        if answer.status.is_some_and(|status| status.allowed) {
            return Ok(());
        }
        sleep(Duration::from_millis(20)).await;
    }
    bail!("the rights of {user} are not in force after 10 s")
}

fn user_in_group(state: &State, user: &str, group: Option<&str>) -> Result<PathBuf> {
    let path = state.user_kubeconfig(user);
    write_kubeconfig(state, &path, &[credentials(state, user, group)?], &[in_context("lab", user)])?;
    Ok(path)
}

fn credentials(state: &State, user: &str, group: Option<&str>) -> Result<Value> {
    let signed = pki::sign_user(state.dir(), user, group)?;
    Ok(json!({"name": user, "user": {
        "client-certificate-data": ByteString(signed.certificate.into_bytes()),
        "client-key-data": ByteString(signed.key.into_bytes()),
    }}))
}

fn in_context(name: &str, user: &str) -> Value {
    json!({"name": name, "context": {"cluster": "lab", "user": user}})
}

fn write_kubeconfig(state: &State, path: &Path, users: &[Value], contexts: &[Value]) -> Result<()> {
    let authority = fs::read(state.file("ca.crt"))?;
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {
            "server": fs::read_to_string(state.file("server"))?,
            "certificate-authority-data": ByteString(authority),
        }}],
        "users": users,
        "contexts": contexts,
        "current-context": "lab",
    });
    // JSON is YAML, and kubectl writes it back as YAML when it changes it.
    fs::write(path, serde_json::to_string_pretty(&config)?).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_verb_of_one_resource_can_be_taken_away() {
        let verbs = |rules: &[PolicyRule], resource: &str| {
            rules
                .iter()
                .find(|rule| rule.resources.iter().flatten().any(|name| name == resource))
                .map(|rule| rule.verbs.clone())
        };
        let rules = without(&drainer_rules(), "patch", "nodes");
        assert_eq!(verbs(&rules, "nodes").unwrap(), ["get", "list", "watch"]);
        assert_eq!(verbs(&rules, "pods").unwrap(), ["get", "list", "watch"]);
        assert_eq!(verbs(&without(&rules, "create", "pods/eviction"), "pods/eviction"), None);
    }
}
