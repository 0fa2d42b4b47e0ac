//! A version that is good: watched to the end, and nothing is written.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    after::{changes, pods_of},
    runner::{guard, guard_json, kubectl},
};

#[tokio::test]
async fn a_good_image_is_watched_to_the_end_and_both_causes_are_kept() -> Result<()> {
    let world = lab::shared()?.world("good").await?;
    world.node("a").create().await?;
    let web = world.deployment("web").replicas(3).image("nginx:1.16.1").readiness_probe();
    web.change_cause("the first").create().await?;
    world.ready("deployment/web").await?;
    world.set_image("deployment/web", "nginx:1.16.2").await?;
    world.annotate("deployment/web", "kubernetes.io/change-cause", Some("a newer nginx")).await?;
    let (output, events, result) = guard_json(&world, &["deployment/web", "--stable-for", "2s"]).await?;
    assert_eq!(output.code, Some(0), "{output}");
    let end = &result["rollouts"][0];
    assert_eq!((&end["outcome"], &end["cause"], &end["undo"]), (&json!("Complete"), &Value::Null, &Value::Null));
    assert_eq!(result["reason"], "");
    let last = events.last().map(|event| (&event["type"], &event["message"]));
    assert_eq!(last, Some((&json!("RolloutEnded"), &json!("successfully rolled out revision 2"))), "{output}");
    let new = ("nginx:1.16.2".to_owned(), true);
    assert_eq!(pods_of(&world, "web").await?, [new.clone(), new.clone(), new], "{output}");
    let revisions = world.revisions("deployment/web").await?;
    let shown: Vec<_> = revisions
        .iter()
        .map(|revision| (revision.number, revision.image.as_str(), revision.change_cause.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(shown, [(1, "nginx:1.16.1", "the first"), (2, "nginx:1.16.2", "a newer nginx")]);
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    let ours = guard(&world, &["history", "deployment/web", "-o", "json"]).await?;
    let ours: Value = serde_json::from_str(&ours.stdout)?;
    let rows: Vec<_> = ours["revisions"].as_array().into_iter().flatten().collect();
    let shown: Vec<_> = rows.iter().map(|row| (&row["revision"], &row["changeCause"])).collect();
    assert_eq!(shown, [(&json!(1), &json!("the first")), (&json!(2), &json!("a newer nginx"))], "{ours:#}");
    let history = kubectl(&world, &["rollout", "history", "deployment/web"]).await?;
    let rows: Vec<&str> = history.stdout.lines().skip(1).filter(|line| !line.is_empty()).collect();
    assert_eq!(rows, ["REVISION  CHANGE-CAUSE", "1         the first", "2         a newer nginx"], "{history}");
    Ok(())
}

#[tokio::test]
async fn a_rollout_that_is_finished_already_is_said_to_be() -> Result<()> {
    let world = lab::shared()?.world("finished").await?;
    world.node("a").create().await?;
    world.deployment("web").replicas(2).readiness_probe().create().await?;
    world.ready("deployment/web").await?;
    let output = guard(&world, &["deployment/web", "--stable-for", "1s"]).await?;
    assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{output}");
    assert!(output.stdout.ends_with("COMPLETE: successfully rolled out revision 1\n"), "{output}");
    assert_eq!(changes(&world).await?, Vec::<String>::new());
    Ok(())
}
