//! Rollouts: how far they are, why they do not proceed, and the way back.

pub mod document;
pub mod template;
pub mod verdict;
pub mod view;
