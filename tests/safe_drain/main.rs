//! One test binary, so that all its tests share one control plane.

mod budgets;
mod cordon;
mod drain;
mod dry_run;
mod filters;
mod input;
mod kubectl;
mod offline;
mod rights;
mod runner;
mod verdicts;
