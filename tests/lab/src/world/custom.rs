//! Owners of pods of kinds that Kubernetes does not know.

use anyhow::Result;
use futures::future::try_join;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams},
    core::{ApiResource, GroupVersionKind},
};
use serde_json::{Value, json};

use super::World;
use crate::{identity, wait};

const GROUP: &str = "lab.test";

/// Defines both kinds. The controllers look for new kinds every 30 s only, so this comes before their start.
pub(crate) async fn define_kinds(admin: &Client) -> Result<()> {
    let scale = json!({
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    });
    let widget = define(admin, "Widget", json!({"status": {}, "scale": scale}));
    let gadget = define(admin, "Gadget", json!({"status": {}}));
    try_join(widget, gadget).await?;
    Ok(())
}

/// A Widget with a scale subresource that says `replicas`.
pub(super) async fn widget(world: &World, name: &str, replicas: i32) -> Result<DynamicObject> {
    let widgets = instances(world, "Widget");
    let mut object = object("Widget", name, &json!({"replicas": replicas}));
    identity::apply(&widgets, name, &object).await?;
    object["status"] = json!({"replicas": replicas, "selector": format!("app={name}")});
    Ok(widgets.patch_status(name, &PatchParams::default(), &Patch::Merge(object)).await?)
}

/// A Gadget, which nobody can scale.
pub(super) async fn gadget(world: &World, name: &str) -> Result<DynamicObject> {
    identity::apply(&instances(world, "Gadget"), name, &object("Gadget", name, &json!({}))).await
}

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("{GROUP}/v1"), "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn instances(world: &World, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, "v1", kind));
    Api::namespaced_with(world.client.clone(), &world.namespace, &resource)
}

async fn define(admin: &Client, kind: &str, subresources: Value) -> Result<()> {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let name = format!("{plural}.{GROUP}");
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": singular},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": subresources,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    });
    let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
    identity::apply(&definitions, &name, &definition).await?;
    let established = |definition: Option<&CustomResourceDefinition>| {
        definition.is_some_and(|definition| wait::condition(&json!(definition), "Established"))
    };
    wait::until(definitions, &name, "an established definition", wait::LIMIT, established).await?;
    Ok(())
}
