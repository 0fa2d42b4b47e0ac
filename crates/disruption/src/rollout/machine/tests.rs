//! The machine in a simulated cluster, in virtual time.

mod properties;
mod scenes;
mod sim;
