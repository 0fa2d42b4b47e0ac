//! Rollouts: how far they are, why they do not proceed, and the way back.

pub mod blame;
pub mod changes;
pub mod describe;
pub mod document;
pub mod event;
mod file;
#[cfg(test)]
mod fixture;
pub mod history;
pub mod look;
pub mod machine;
pub mod options;
pub mod owner;
pub mod patch;
mod paths;
pub mod references;
pub mod secrets;
pub mod status;
pub mod target;
pub mod template;
pub mod verdict;
pub mod view;
