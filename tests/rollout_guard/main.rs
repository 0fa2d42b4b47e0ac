//! `kubectl rollout-guard` on the lab.

mod input;
mod interrupted;
mod odd;
mod probe;
mod rights;
mod rivals;
mod run;
mod runner;
mod undo;
mod undone;
