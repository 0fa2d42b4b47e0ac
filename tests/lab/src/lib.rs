//! A throwaway real control plane for tests: etcd, the apiserver, the controllers and the scheduler, with nodes and
//! pods played by kwok.
//!
//! ```no_run
//! # async fn test() -> anyhow::Result<()> {
//! let lab = lab::shared()?;
//! let world = lab.world("drain").await?;
//! let [a, b] = world.nodes(["a", "b"]).await?;
//! world.deployment("web").replicas(6).on_each(&[(&a, 3), (&b, 3)]).create().await?;
//! world.ready("deployment/web").await?;
//! let output = lab::run(&lab::plugin("safe-drain")?).kubeconfig(&world.tool()?).args([&a.name]).output().await?;
//! assert_eq!(output.code, Some(0), "{output}");
//! assert_eq!(world.requests().await?.iter().filter(|request| request.subresource == "eviction").count(), 3);
//! # Ok(())
//! # }
//! ```

pub mod audit;
pub mod binaries;
mod cargo;
pub mod control_plane;
pub mod demo;
pub mod identity;
mod installed;
mod lab;
pub mod lesson;
mod pki;
pub mod proxy;
mod run;
mod stages;
mod state;
#[doc(hidden)]
pub mod supervisor;
pub mod wait;
pub mod web;
pub mod world;

pub use cargo::plugin;
pub use identity::{drainer_rules, rule, viewer_rules, without};
pub use installed::{Installed, installed};
pub use lab::{Lab, kubectl, shared, shared_or_panic};
pub use run::{Output, Run, Running, run};
pub use world::{Node, World};
