//! Label selectors: those of objects, and those that a user types (`app=web,tier in (a, b)`).

use std::{collections::BTreeMap, fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use thiserror::Error;

/// A label selector that selects what satisfies every requirement; without any it selects everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// A selector that the API's rules do not allow; the text says which part.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidSelector(pub String);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    GreaterThan(i64),
    LessThan(i64),
}

impl Selector {
    /// Whether the labels satisfy every requirement.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(labels))
    }

    /// A label that everything selected has, for finding it without looking at all.
    pub fn wanted_label(&self) -> Option<(&str, &str)> {
        self.requirements.iter().find_map(|requirement| match &requirement.test {
            Test::In(values) if values.len() == 1 => Some((requirement.key.as_str(), values[0].as_str())),
            _ => None,
        })
    }

    /// Whether this selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }
}

impl Requirement {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.contains(value)),
            Test::NotIn(values) => value.is_none_or(|value| !values.contains(value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::GreaterThan(bound) => number().is_some_and(|number| number > *bound),
            Test::LessThan(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

impl TryFrom<&LabelSelector> for Selector {
    type Error = InvalidSelector;

    fn try_from(selector: &LabelSelector) -> Result<Self, Self::Error> {
        let mut requirements = Vec::new();
        for (key, value) in selector.match_labels.iter().flatten() {
            requirements.push(Requirement { key: key.clone(), test: Test::In(vec![value.clone()]) });
        }
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.clone().unwrap_or_default();
            let test = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Test::In(values),
                ("NotIn", false) => Test::NotIn(values),
                ("Exists", true) => Test::Exists,
                ("DoesNotExist", true) => Test::DoesNotExist,
                ("In" | "NotIn", true) => {
                    return Err(InvalidSelector(format!(
                        "{} on {:?} needs values",
                        expression.operator, expression.key
                    )));
                }
                ("Exists" | "DoesNotExist", false) => {
                    return Err(InvalidSelector(format!(
                        "{} on {:?} takes no values",
                        expression.operator, expression.key
                    )));
                }
                (operator, _) => {
                    return Err(InvalidSelector(format!("{operator:?} is not a valid label selector operator")));
                }
            };
            requirements.push(Requirement { key: expression.key.clone(), test });
        }
        Ok(Self { requirements })
    }
}

/// Parses what kubectl takes for `-l`: `a`, `!a`, `a=b`, `a==b`, `a!=b`, `a in (b, c)`, `a notin (b, c)`, `a>1`, `a<1`,
/// joined by commas.
impl FromStr for Selector {
    type Err = InvalidSelector;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut requirements = Vec::new();
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        for part in split_outside_parentheses(text)? {
            requirements.push(parse_requirement(part.trim())?);
        }
        Ok(Self { requirements })
    }
}

fn split_outside_parentheses(text: &str) -> Result<Vec<&str>, InvalidSelector> {
    let mut parts = Vec::new();
    let (mut start, mut depth) = (0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if !(0..=1).contains(&depth) {
            return Err(InvalidSelector(format!("unbalanced parentheses in {text:?}")));
        }
    }
    if depth != 0 {
        return Err(InvalidSelector(format!("unbalanced parentheses in {text:?}")));
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn parse_requirement(part: &str) -> Result<Requirement, InvalidSelector> {
    let requirement = if let Some(key) = part.strip_prefix('!') {
        Requirement { key: key.trim().to_owned(), test: Test::DoesNotExist }
    } else if let Some(list) = part.strip_suffix(')') {
        let (head, values) = list.split_once('(').ok_or_else(|| cannot_parse(part))?;
        let (key, operator) = head.trim().rsplit_once(char::is_whitespace).ok_or_else(|| cannot_parse(part))?;
        let values: Vec<String> = values.split(',').map(|value| value.trim().to_owned()).collect();
        for value in &values {
            check_value(value)?;
        }
        let test = match operator {
            "in" => Test::In(values),
            "notin" => Test::NotIn(values),
            _ => return Err(cannot_parse(part)),
        };
        Requirement { key: key.trim().to_owned(), test }
    } else if let Some((key, value)) = part.split_once("!=") {
        Requirement { key: key.trim().to_owned(), test: Test::NotIn(vec![checked_value(value)?]) }
    } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        Requirement { key: key.trim().to_owned(), test: Test::In(vec![checked_value(value)?]) }
    } else if let Some((key, bound)) = part.split_once('>') {
        let bound = bound.trim().parse().map_err(|_| cannot_parse(part))?;
        Requirement { key: key.trim().to_owned(), test: Test::GreaterThan(bound) }
    } else if let Some((key, bound)) = part.split_once('<') {
        let bound = bound.trim().parse().map_err(|_| cannot_parse(part))?;
        Requirement { key: key.trim().to_owned(), test: Test::LessThan(bound) }
    } else {
        Requirement { key: part.to_owned(), test: Test::Exists }
    };
    check_key(&requirement.key, part)?;
    Ok(requirement)
}

fn cannot_parse(part: &str) -> InvalidSelector {
    InvalidSelector(format!("unable to parse requirement {part:?}"))
}

/// The most characters that the API allows in a label's name and in its value.
const MAX_LABEL_LENGTH: usize = 63;
/// The most characters that the API allows in the prefix of a label's name (a DNS subdomain).
const MAX_PREFIX_LENGTH: usize = 253;

fn check_key(key: &str, part: &str) -> Result<(), InvalidSelector> {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let prefix_holds = prefix.is_none_or(|prefix| {
        prefix.len() <= MAX_PREFIX_LENGTH
            && prefix.split('.').all(|label| {
                is_label_text(label) && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
    });
    if prefix_holds && is_label_text(name) { Ok(()) } else { Err(cannot_parse(part)) }
}

fn check_value(value: &str) -> Result<(), InvalidSelector> {
    if value.is_empty() || is_label_text(value) {
        Ok(())
    } else {
        Err(InvalidSelector(format!("{value:?} is not a valid label value")))
    }
}

fn checked_value(value: &str) -> Result<String, InvalidSelector> {
    let value = value.trim();
    check_value(value)?;
    Ok(value.to_owned())
}

/// Letters, digits, `-`, `_` and `.`, beginning and ending with a letter or digit, at most 63.
fn is_label_text(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let is_edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    bytes.len() <= MAX_LABEL_LENGTH
        && is_edge(bytes.first())
        && is_edge(bytes.last())
        && bytes.iter().all(|&b| is_inner(b))
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, test }) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match test {
                Test::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Test::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Test::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Test::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Test::Exists => f.write_str(key)?,
                Test::DoesNotExist => write!(f, "!{key}")?,
                Test::GreaterThan(bound) => write!(f, "{key}>{bound}")?,
                Test::LessThan(bound) => write!(f, "{key}<{bound}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> BTreeMap<String, String> {
        text.split_whitespace()
            .map(|pair| pair.split_once('=').map(|(k, v)| (k.to_owned(), v.to_owned())).unwrap())
            .collect()
    }

    #[test]
    fn typed_selectors_match_as_kubectl() {
        #[track_caller]
        fn check(selector: &str, pod: &str, expected: bool) {
            let parsed: Selector = selector.parse().unwrap();
            assert_eq!(parsed.matches(&labels(pod)), expected, "{selector} on {pod}");
            let again: Selector = parsed.to_string().parse().unwrap();
            assert_eq!(again, parsed, "{selector} shown and read again");
        }
        check("", "a=1", true);
        check("a", "a=1", true);
        check("!a", "a=1", false);
        check("a=1", "a=1", true);
        check("a==1", "a=2", false);
        check("a = 1 , b = 2", "a=1 b=2", true);
        check("a!=1", "", true);
        check("a!=1", "a=1", false);
        check("a in (1, 2),b", "a=2 b=x", true);
        check("a notin (1,2)", "a=2", false);
        check("a notin (1,2)", "", true);
        check("a>3", "a=4", true);
        check("a<3", "a=4", false);
        check("a>3", "a=x", false);
        check("node-role.kubernetes.io/worker=", "node-role.kubernetes.io/worker=", true);
    }

    #[test]
    fn bad_selectors_are_refused() {
        for text in
            ["a=b=c", "=b", ",", "a in (b", "a in b)", "a b", "a==", "-a", "a/b/c", "a=b,,c", "!!a", "a>x", "((a))"]
        {
            let parsed = text.parse::<Selector>();
            assert!(parsed.is_err() == (text != "a=="), "{text}: {parsed:?}");
        }
    }

    #[test]
    fn object_selectors_follow_the_api() {
        #[track_caller]
        fn check(selector: serde_json::Value, pod: &str, expected: Option<bool>) {
            let object: LabelSelector = serde_json::from_value(selector).unwrap();
            let parsed = Selector::try_from(&object).ok();
            assert_eq!(parsed.map(|selector| selector.matches(&labels(pod))), expected, "{object:?} on {pod}");
        }
        use serde_json::json;
        check(json!({}), "a=1", Some(true));
        check(json!({"matchLabels": {"a": "1"}}), "a=1 b=2", Some(true));
        check(json!({"matchLabels": {"a": "1", "b": "3"}}), "a=1 b=2", Some(false));
        check(json!({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}), "", Some(true));
        check(json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]}), "", Some(false));
        check(json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), "a=1", None);
        check(json!({"matchExpressions": [{"key": "a", "operator": "Near"}]}), "a=1", None);
    }
}
