//! How long a shell waits for names of a live cluster.

use std::time::Duration;

use anyhow::Result;
use lab::{Lab, demo};

use crate::{
    measure::Program,
    table::{Table, Time},
};

/// Odd, so that there is one in the middle.
const RUNS: usize = 21;

/// Who waits longer for a completion notices it.
const TARGET: Time = Time(Duration::from_millis(150));

/// Measures answers from a cluster that nobody else uses.
pub(crate) fn run() -> Result<Table> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(measure_answers())
}

async fn measure_answers() -> Result<Table> {
    let lab = Lab::private()?;
    demo::build(&lab).await?;
    let user = lab.powerful_user("bench-complete")?;
    let mut table = Table::new(format!("completion: on the lab's demo, median of {RUNS} runs"));
    for (plugin, words) in [
        ("safe-drain", &[""][..]),
        ("safe-drain", &["-n", ""]),
        ("rollout-guard", &["-n", "shop", ""]),
        ("rollout-guard", &["undo", "-n", "shop", "deployment/web", "--to-revision", ""]),
    ] {
        let words = [&["__complete"], words].concat();
        let program = Program::new(&lab::plugin(plugin)?, &words)?.kubeconfig(&user);
        let line = words[1..].join(" ");
        table.judge(format!("{plugin} {line}<TAB>"), program.sample(RUNS)?.time(), TARGET);
    }
    Ok(table)
}
