//! All network I/O: connect, observe, act.

pub mod act;
pub mod connect;
pub mod error;
pub mod observe;
pub mod rights;
