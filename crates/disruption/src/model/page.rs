//! A page of a list.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A page of a list. Its objects are JSON still, so that each can be read and let go before the next.
#[derive(Debug)]
pub struct Page<'a> {
    /// The list's resourceVersion.
    pub version: String,
    /// The token of the next page; none at the end.
    pub next: Option<String>,
    /// The objects.
    pub items: Vec<&'a RawValue>,
}

impl<'a> Page<'a> {
    /// Reads a page from the server's answer.
    ///
    /// # Errors
    /// It is no list.
    pub fn read(answer: &'a str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(expecting = "a List")]
        struct List<'a> {
            metadata: Meta,
            #[serde(borrow, deserialize_with = "null_as_none")]
            items: Vec<&'a RawValue>,
        }

        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Meta {
            r#continue: Option<String>,
            resource_version: Option<String>,
        }

        let List { metadata, items } = serde_json::from_str(answer)?;
        Ok(Self {
            version: metadata.resource_version.unwrap_or_default(),
            next: metadata.r#continue.filter(|token| !token.is_empty()),
            items,
        })
    }
}

/// The items of a list must be there, but Go writes a list that was never made as null.
fn null_as_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<&'de RawValue>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_page_and_what_is_none() {
        #[track_caller]
        fn check(answer: &str, version: &str, next: Option<&str>, items: &[&str]) {
            let page = Page::read(answer).unwrap();
            let seen: Vec<&str> = page.items.iter().map(|item| item.get()).collect();
            assert_eq!((page.version.as_str(), page.next.as_deref(), &*seen), (version, next, items));
        }
        #[track_caller]
        fn check_error(answer: &str, expected: &str) {
            assert!(Page::read(answer).unwrap_err().to_string().contains(expected), "{answer}");
        }
        check(r#"{"metadata": {"resourceVersion": "7"}, "items": [{"a": 1}, {}]}"#, "7", None, &[r#"{"a": 1}"#, "{}"]);
        check(r#"{"items": null, "metadata": {"resourceVersion": "7", "continue": ""}}"#, "7", None, &[]);
        check(r#"{"metadata": {"continue": "x", "remainingItemCount": 2}, "items": []}"#, "", Some("x"), &[]);
        // No list is not an empty one: nothing would stand in the way of a drain.
        check_error(r#"{"kind": "Status", "metadata": {}, "status": "Success"}"#, "missing field `items`");
        check_error(r#"{"items": []}"#, "missing field `metadata`");
        check_error("[]", "a List");
        check_error(r#"{"metadata": {}, "items": {}}"#, "a sequence");
    }
}
