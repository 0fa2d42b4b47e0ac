//! What the API server was asked by the guard.

use std::time::Duration;

use anyhow::{Context, Result};
use lab::{Running, World, audit::Request, wait};
use tokio::time::{sleep, timeout};

use crate::runner::program;

/// Begins a guard, and waits until it watches.
pub(crate) async fn begin(world: &World, args: &[&str]) -> Result<Running> {
    let before = watches(world).await?;
    let args = [&["-n", world.namespace.as_str()], args, &["-o", "json"]].concat();
    let running = lab::run(&program()?).kubeconfig(&world.tool()?).args(args).start()?;
    let begun = async {
        // The audit log cannot be watched.
        while watches(world).await? == before {
            sleep(Duration::from_millis(100)).await;
        }
        anyhow::Ok(())
    };
    timeout(wait::LIMIT, begun).await.context("the guard never watched pods")??;
    Ok(running)
}

/// All that the guard asked to change.
pub(crate) async fn changes(world: &World) -> Result<Vec<String>> {
    let requests = world.requests().await?;
    Ok(requests.iter().filter(|request| request.changes()).map(Request::summary).collect())
}

/// The pods that the guard deleted, in the order of its requests.
pub(crate) async fn deletions(world: &World) -> Result<Vec<Request>> {
    let mut requests = world.requests().await?;
    requests.retain(|request| request.resource == "pods" && request.verb.starts_with("delete") && request.code < 300);
    Ok(requests)
}

async fn watches(world: &World) -> Result<usize> {
    let requests = world.requests().await?;
    Ok(requests.iter().filter(|request| request.verb == "watch" && request.resource == "pods").count())
}
