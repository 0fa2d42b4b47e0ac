//! The cluster of docs/walkthrough.md: the nodes that kind would make, and a web server for the Service.

use anyhow::Result;

use crate::{Lab, World, web::Site};

/// Builds the nodes of the lesson in `lab`, and answers for its Service `web` until the site is dropped.
///
/// # Errors
/// The apiserver refuses, or a node does not get ready.
pub async fn build(lab: &Lab) -> Result<Site> {
    let world = World::named(lab, "default", "lesson").await?;
    let role = "node-role.kubernetes.io/control-plane";
    world.node("lesson-control-plane").label(role, "").taint(role, "", "NoSchedule").create().await?;
    world.nodes(["lesson-worker", "lesson-worker2"]).await?;
    world.serve("web").await
}
