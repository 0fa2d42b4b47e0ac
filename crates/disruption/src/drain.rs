//! Draining nodes: what may go, in which order, and what stands in the way.

mod changes;
pub mod document;
pub mod filter;
pub mod machine;
pub mod options;
pub mod plan;
pub mod rights;
mod text;
mod waves;
