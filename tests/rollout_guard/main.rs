//! `kubectl rollout-guard` on the lab.

mod probe;
mod runner;
mod undone;
