//! Rollouts: how far they are, why they do not proceed, and the way back.

pub mod blame;
pub mod changes;
pub mod document;
pub mod patch;
pub mod references;
#[cfg(test)]
mod scene;
pub mod target;
pub mod template;
pub mod verdict;
pub mod view;
