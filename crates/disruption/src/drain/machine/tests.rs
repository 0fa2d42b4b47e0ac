//! Drains of simulated clusters in virtual time.

mod properties;
mod scenes;
mod sim;
