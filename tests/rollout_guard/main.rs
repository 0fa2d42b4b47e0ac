//! `kubectl rollout-guard` on the lab.

mod audit;
mod blocked;
mod daemon;
mod runner;
mod stateful;
mod transient;
mod undone;
