//! `kubectl rollout-guard` on the lab.

mod history;
mod runner;
mod undone;
