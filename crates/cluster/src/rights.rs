//! Asks the server which rights we have, before the first write.

use disruption::drain::rights::{Right, Scope};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::{Api, api::PostParams};

use crate::{connect::Connection, error::Error};

/// Whether we have each of these rights, in their order. One review each, all at once. The server allows anybody to ask;
/// where it doesn't, the error says so.
pub async fn ask(connection: &Connection, questions: &[(Right, Scope<'_>)]) -> Result<Vec<bool>, Error> {
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client().clone());
    let api = &api;
    stream::iter(questions.iter().copied())
        .map(|(right, scope)| async move { is_granted(connection, api, right, scope).await })
        .buffered(CONCURRENCY)
        .try_collect()
        .await
}

/// Reviews under way at once.
const CONCURRENCY: usize = 10;

async fn is_granted(
    connection: &Connection,
    api: &Api<SelfSubjectAccessReview>,
    right: Right,
    scope: Scope<'_>,
) -> Result<bool, Error> {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                verb: text(right.verb),
                group: text(right.group),
                resource: text(right.resource),
                subresource: text(right.subresource),
                namespace: scope.namespace.map(str::to_owned),
                name: scope.name.map(str::to_owned),
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
