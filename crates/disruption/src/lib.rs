//! Drain and rollout decisions: values in, values out.
//!
//! Nothing here knows a client, a clock, an environment, a terminal, a file or a socket: a snapshot comes in, a plan
//! goes out.

pub mod action;
pub mod budget;
pub mod diagnose;
pub mod diff;
pub mod document;
pub mod drain;
pub mod event;
mod file;
#[cfg(test)]
mod fixture;
pub mod journal;
pub mod model;
pub mod outcome;
pub mod rollout;
pub mod snapshot;
pub mod workload;
