//! `kubectl rollout-guard` on the lab.

mod after;
mod blocked;
mod causes;
mod daemon;
mod environment;
mod false_success;
mod good;
mod history;
mod input;
mod interrupted;
mod kubectl;
mod odd;
mod probe;
mod recorder;
mod rights;
mod rivals;
mod run;
mod runner;
mod stateful;
mod transient;
mod undo;
mod undone;
