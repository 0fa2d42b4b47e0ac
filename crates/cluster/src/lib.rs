//! All network I/O: connect, observe, act.
