//! Asks the server which rights we have, before the first write.

use disruption::drain::rights::Right;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, api::PostParams};

use crate::{connect::Connection, error::Error};

/// The rights among these that we do not have, in their order. One review each, all at once.
pub async fn missing(connection: &Connection, rights: &[Right]) -> Result<Vec<Right>, Error> {
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client().clone());
    let api = &api;
    let answers: Vec<(Right, bool)> = stream::iter(rights.iter().copied())
        .map(|right| async move { Ok((right, is_granted(connection, api, right).await?)) })
        .buffered(rights.len().max(1))
        .try_collect()
        .await?;
    Ok(answers.into_iter().filter(|(_, granted)| !granted).map(|(right, _)| right).collect())
}

async fn is_granted(connection: &Connection, api: &Api<SelfSubjectAccessReview>, right: Right) -> Result<bool, Error> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: text(right.verb),
                group: text(right.group),
                resource: text(right.resource),
                subresource: text(right.subresource),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let what = format!("ask for the right to {right}");
    let answer = connection.call(&what, api.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
