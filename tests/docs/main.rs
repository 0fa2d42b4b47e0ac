//! What the documents say, checked against the plugins and a real control plane.
//!
//! `UPDATE_DOCS=1 cargo test -p docs-tests` writes outputs and tables anew; read the diff.

mod commands;
mod document;
mod outputs;
mod rights;
mod session;
mod shape;
mod tables;
