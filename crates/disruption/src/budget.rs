//! Disruption budgets: what the disruption controller counts ([`arithmetic`]), and what a drain takes and gets back
//! ([`ledger`]).

pub mod arithmetic;
pub mod ledger;
