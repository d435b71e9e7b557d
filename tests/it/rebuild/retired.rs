//! A generation that has letters is retired.

use anyhow::Result;
use aqueduct_tests::{PATIENCE, Program};

use super::{ALONE, Mint};

/// Every letter, by group.
async fn of_others(mint: &Mint, groups: &[String]) -> Result<Vec<(String, usize)>> {
    let mut found = Vec::new();
    for group in groups {
        found.push((group.clone(), mint.letters(group).await?.len()));
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_a_generation_its_letters_are_gone_and_nothing_else() -> Result<()> {
    let mint = Mint::open(&[&ALONE[..], &[Program::SyncRds, Program::SyncSearch]].concat()).await?;
    mint.strike().await?;
    let rebuilt = mint.rebuild(&["coins", "--in", "postgres"]).await?;
    assert_eq!(rebuilt.code, Some(0), "{}{}", rebuilt.out, rebuilt.err);
    let back = mint.fleet.aqueduct(&["rollback", "coins", "--in", "postgres"]).await?;
    assert_eq!(back.code, Some(0), "{}", back.err);
    mint.fleet.agrees(PATIENCE).await?;

    let retired = mint.group("sync-rds", 2);
    let others = [mint.group("sync-rds", 1), format!("{}.projector.data", mint.fleet.settings.prefix)];
    let rows = mint.rows(1).await?;
    let before = of_others(&mint, &others).await?;
    assert!(
        before.iter().all(|(_, letters)| *letters > 0),
        "what is no event is set aside by each: {before:?}"
    );
    assert_eq!(mint.letters(&retired).await?.len(), 4);
    let positions = mint.positions(&others[0]).await?;

    let ended = mint.fleet.aqueduct(&["retire", "coins", "--in", "postgres", "--yes"]).await?;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(mint.letters(&retired).await?.is_empty());
    assert_eq!(mint.positions(&retired).await?.0, vec![None; 12]);
    assert!(mint.rows(2).await.is_err(), "the table is gone");
    assert_eq!((of_others(&mint, &others).await?, mint.rows(1).await?), (before, rows));
    assert_eq!(mint.positions(&others[0]).await?, positions);
    mint.coin("after", &[("1.00", 1)]).await?;
    mint.fleet.agrees(PATIENCE).await?;
    mint.fleet.stop().await
}
