//! How long the plugin takes to do nothing: `--help`, beside kubectl's.

use anyhow::Result;
use lab::binaries::Binaries;

use crate::{
    measure::{self, Program},
    table::{Bytes, Ratio, Table},
};

/// Odd, so that there is one in the middle; more hardly changes it.
const RUNS: usize = 21;

/// The time of kubectl's, which it is to be a fifth of at most: as a plugin it is added to kubectl's own start.
const TARGET: Ratio = Ratio(0.2);

/// A program of this size is started many times side by side without thinking about it.
const TARGET_PEAK: Bytes = Bytes(10_000_000);

/// Measures the start.
pub(crate) fn run() -> Result<Table> {
    let plugin = Program::new(&lab::plugin("safe-drain")?, ["--help"])?;
    let kubectl = Program::new(&Binaries::find()?.path("kubectl"), ["--help"])?;
    let (plugins, kubectls) = measure::alternate(&plugin, &kubectl, RUNS)?;

    let mut table = Table::new(format!("start-up: --help, median of {RUNS} alternating runs"));
    table.know("kubectl, time", kubectls.time());
    table.know("kubectl, peak memory", kubectls.peak());
    table.know("safe-drain, time", plugins.time());
    table.judge("safe-drain, time over kubectl's", plugins.ratio(&kubectls), TARGET);
    table.judge("safe-drain, peak memory", plugins.peak(), TARGET_PEAK);
    Ok(table)
}
