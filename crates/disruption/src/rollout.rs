//! Rollouts: how far they are, why they do not proceed, and the way back.

pub mod describe;
pub mod document;
mod file;
#[cfg(test)]
mod fixture;
pub mod history;
pub mod status;
pub mod template;
pub mod verdict;
pub mod view;
