//! What the fields of pod templates are called: `spec.containers[web].image`.

use std::collections::BTreeSet;

use serde_json::Value;

/// What tells the items of a list apart, as pointers: the first that an item has.
const IDENTITIES: [&str; 10] = [
    "/mountPath",
    "/devicePath",
    "/name",
    "/configMapRef/name",
    "/secretRef/name",
    "/containerPort",
    "/topologyKey",
    "/conditionType",
    "/key",
    "/ip",
];

/// The field `key` of what is at a path; empty for the template itself.
pub(super) fn below(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty() && key.chars().all(|char| char.is_ascii_alphanumeric() || "-_$".contains(char));
    match (path, is_plain) {
        ("", true) => key.to_owned(),
        (_, true) => format!("{path}.{key}"),
        (_, false) => format!("{path}[{key}]"),
    }
}

/// What the items of two lists of objects go by: the names of all, else their positions.
pub(super) fn item_names(before: &[Value], after: &[Value]) -> (Vec<String>, Vec<String>) {
    names(before).zip(names(after)).unwrap_or_else(|| (numbers(before), numbers(after)))
}

/// What each item goes by; none if not all have something of their own.
fn names(items: &[Value]) -> Option<Vec<String>> {
    let name = |item: &Value| {
        IDENTITIES.iter().find_map(|identity| match item.pointer(identity) {
            Some(Value::String(name)) => Some(name.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        })
    };
    let names: Vec<String> = items.iter().map(name).collect::<Option<_>>()?;
    let distinct: BTreeSet<&String> = names.iter().collect();
    (distinct.len() == names.len()).then_some(names)
}

fn numbers(items: &[Value]) -> Vec<String> {
    (0..items.len()).map(|number| number.to_string()).collect()
}
