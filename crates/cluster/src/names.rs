//! Names of objects for who types a command: the server's own tables, without the objects.

use disruption::model::RolloutKind;
use http::{Request, header};
use serde::Deserialize;
use serde_json::Value;

use crate::{connect::Connection, error::Error};

/// More names than this help nobody to choose.
const LIMIT: u32 = 2000;

/// The server's tables, as kubectl asks for them.
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// Objects whose names may be wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named<'a> {
    /// All nodes.
    Nodes,
    /// All namespaces.
    Namespaces,
    /// The workloads of a kind in a namespace.
    Rollouts(RolloutKind, &'a str),
}

/// An object as `kubectl get -o wide` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: String,
    cells: Vec<(String, String)>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    column_definitions: Vec<Column>,
    #[serde(default)]
    rows: Option<Vec<TableRow>>,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
}

#[derive(Debug, Deserialize)]
struct TableRow {
    cells: Vec<Value>,
}

/// The first [`LIMIT`] objects, in one request.
pub async fn names(connection: &Connection, named: Named<'_>) -> Result<Vec<Row>, Error> {
    let path = match named {
        Named::Nodes => "/api/v1/nodes".to_owned(),
        Named::Namespaces => "/api/v1/namespaces".to_owned(),
        Named::Rollouts(kind, namespace) => format!("/apis/apps/v1/namespaces/{namespace}/{}", kind.plural()),
    };
    let what = format!("list {}", path.rsplit('/').next().unwrap_or_default());
    let request =
        Request::get(format!("{path}?includeObject=None&limit={LIMIT}")).header(header::ACCEPT, TABLE).body(Vec::new());
    connection.ask(&what, request, |text| serde_json::from_str(text).map(rows)).await
}

fn rows(table: Table) -> Vec<Row> {
    let Table { column_definitions, rows } = table;
    let row = |TableRow { cells }: TableRow| {
        let texts = cells.into_iter().map(|cell| match cell {
            Value::String(text) => text,
            other => other.to_string(),
        });
        let cells: Vec<_> = column_definitions.iter().map(|column| column.name.clone()).zip(texts).collect();
        let name = cells.iter().find(|(column, _)| column == "Name")?.1.clone();
        Some(Row { name, cells })
    };
    rows.unwrap_or_default().into_iter().filter_map(row).collect()
}

impl Row {
    /// A row with these cells beside its name, each with its column.
    pub fn new<'a>(name: &str, cells: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let cells = cells.into_iter().map(|(column, text)| (column.to_owned(), text.to_owned()));
        Self { name: name.to_owned(), cells: cells.collect() }
    }

    /// What stands in a column, as in `Status`; nothing if there is no such column.
    pub fn cell(&self, column: &str) -> &str {
        self.cells.iter().find(|(name, _)| name == column).map_or("", |(_, text)| text)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::Response;
    use kube::client::Body;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_table_is_read_by_its_columns() {
        let service = tower::service_fn(async |request: Request<Body>| {
            assert_eq!(request.uri(), "/apis/apps/v1/namespaces/shop/daemonsets?includeObject=None&limit=2000");
            assert_eq!(request.headers()[header::ACCEPT], TABLE);
            let table = json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1",
                "columnDefinitions": [{"name": "Name"}, {"name": "Desired"}, {"name": "Age"}],
                "rows": [{"cells": ["agent", 3, "5d"], "object": null}, {"cells": ["log"]}],
            });
            Ok::<_, Infallible>(Response::new(Body::from(table.to_string().into_bytes())))
        });
        let connection = Connection::over(service, "default");
        let rows = names(&connection, Named::Rollouts(RolloutKind::DaemonSet, "shop")).await.unwrap();
        let seen: Vec<_> = rows.iter().map(|row| (row.name.as_str(), row.cell("Desired"), row.cell("Ready"))).collect();
        assert_eq!(seen, [("agent", "3", ""), ("log", "", "")]);
    }
}
