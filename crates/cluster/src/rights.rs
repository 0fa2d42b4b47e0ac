//! Asks the server which rights we have, before the first write.

use disruption::drain::rights::{Right, Scope};
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use crate::{
    connect::{self, Connection},
    error::Error,
};

/// Whether we have each of these rights, in their order. One review each, all at once. The server allows anybody to ask;
/// where it doesn't, the error says so.
pub async fn ask(connection: &Connection, questions: &[(Right, Scope<'_>)]) -> Result<Vec<bool>, Error> {
    stream::iter(questions.iter().copied())
        .map(|(right, scope)| is_granted(connection, right, scope))
        .buffered(CONCURRENCY)
        .try_collect()
        .await
}

/// Reviews under way at once.
const CONCURRENCY: usize = 10;

async fn is_granted(connection: &Connection, right: Right, scope: Scope<'_>) -> Result<bool, Error> {
    let Right { verb, group, resource, subresource } = right;
    let Scope { namespace, name } = scope;
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "verb": verb, "group": group, "resource": resource, "subresource": subresource,
            "namespace": namespace, "name": name,
        }},
    });
    let request = connect::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review);
    let answer = connection.ask(&format!("ask for the right to {right}"), request, connect::json).await?;
    Ok(answer["status"]["allowed"] == true)
}
