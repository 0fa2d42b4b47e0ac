//! The budget arithmetic and the ledger against the disruption controller and the eviction handler themselves: what is
//! created for real is counted and answered by us as by the server.

mod comparison;
mod population;
mod random;
mod table;

use std::hash::{BuildHasher, Hasher, RandomState};

use anyhow::{Context, Result};
use futures::future::try_join_all;

use self::{
    comparison::compare,
    population::{Case, Population},
    random::Dice,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_counted_and_answered_as_the_server_does() -> Result<()> {
    let (alone, together): (Vec<Case>, Vec<Case>) = table::cases().into_iter().partition(Case::is_alone);
    let lab = lab::shared()?;
    let populations = alone.into_iter().map(|case| vec![case]).chain([together]);
    let populations = try_join_all(populations.map(|cases| Population::create(&lab, cases))).await?;
    Box::pin(compare(&populations)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn random_populations_are_counted_and_answered_as_the_server_does() -> Result<()> {
    let seed = setting("BUDGETS_SEED")?.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let count = setting("BUDGETS_CASES")?.unwrap_or(60);
    println!("BUDGETS_SEED={seed} BUDGETS_CASES={count}");
    let cases = random::cases(&mut Dice::new(seed), usize::try_from(count)?);
    let lab = lab::shared()?;
    let populations = try_join_all(cases.into_iter().map(|case| Population::create(&lab, vec![case]))).await?;
    let compared = Box::pin(compare(&populations)).await;
    compared.with_context(|| format!("again with BUDGETS_SEED={seed} BUDGETS_CASES={count}"))
}

fn setting(name: &str) -> Result<Option<u64>> {
    match std::env::var(name) {
        Ok(text) => Ok(Some(text.parse().with_context(|| format!("{name} is {text:?}, not a number"))?)),
        Err(_) => Ok(None),
    }
}
