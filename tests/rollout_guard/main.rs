//! `kubectl rollout-guard` on the lab.

mod after;
mod causes;
mod environment;
mod false_success;
mod good;
mod history;
mod probe;
mod recorder;
mod runner;
mod undone;
