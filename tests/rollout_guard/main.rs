//! `kubectl rollout-guard` on the lab.

mod runner;
mod undone;
