//! All network I/O: connect, observe, watch, act, drive.

pub mod act;
pub mod connect;
pub mod drive;
pub mod error;
pub mod look;
pub mod names;
mod objects;
pub mod observe;
pub mod rights;
pub mod signals;
pub mod watch;
