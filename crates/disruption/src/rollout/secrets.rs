//! Secrets that stand in pod templates: what is shown of a template does not hold them.

use serde_json::Value;

use super::paths::{below, item_names};

/// What is shown instead of a secret.
const MASKED: &str = "<masked>";

/// The same of one that is not what it was.
const MASKED_AND_CHANGED: &str = "<masked, changed>";

/// Parts of names whose values are secrets more often than not. Better one too many.
const SECRET_WORDS: [&str; 8] = ["PASS", "PWD", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH", "DSN"];

/// What may be shown of the value at a path. A secret in it that was another one `before` says so where nothing else
/// would.
pub(super) fn masked(path: &str, value: &Value, before: Option<&Value>) -> Value {
    match value {
        Value::Object(fields) => {
            let masked = fields.iter().map(|(key, value)| {
                let before = before.and_then(|before| before.get(key));
                (key.clone(), masked(&below(path, key), value, before))
            });
            masked.collect()
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let old = before.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let (old_names, names) = item_names(old, items);
            let masked = names.iter().zip(items).map(|(name, item)| {
                let at = old_names.iter().position(|old_name| old_name == name);
                masked(&format!("{path}[{name}]"), item, at.and_then(|at| old.get(at)))
            });
            masked.collect()
        }
        leaf => {
            let hidden = hidden(path, leaf);
            let tells_nothing = |before: &Value| before != leaf && self::hidden(path, before) == hidden;
            if before.is_some_and(tells_nothing) { marked(hidden) } else { hidden }
        }
    }
}

fn marked(masked: Value) -> Value {
    match masked {
        Value::String(text) => text.replace(MASKED, MASKED_AND_CHANGED).into(),
        Value::Array(items) => items.into_iter().map(marked).collect(),
        other => other,
    }
}

/// A scalar or a list of scalars without secrets. That one is empty may be the very cause, so it is shown.
fn hidden(path: &str, value: &Value) -> Value {
    match value {
        Value::String(text) if text.is_empty() => value.clone(),
        Value::String(_) if holds_secret(path) => MASKED.into(),
        Value::String(text) => without_secrets(text).into(),
        Value::Array(items) => {
            let mut after_flag = false;
            let hidden = items.iter().map(|item| match item {
                Value::String(text) => {
                    let is_secret = std::mem::replace(&mut after_flag, is_secret_flag(text));
                    if is_secret { MASKED.to_owned() } else { without_secrets(text) }.into()
                }
                other => other.clone(),
            });
            hidden.collect()
        }
        other => other.clone(),
    }
}

/// Whether the value at this path is that of a variable, a header or an annotation whose name sounds like a secret.
fn holds_secret(path: &str) -> bool {
    if let Some(annotation) = path.strip_prefix("metadata.annotations") {
        return sounds_secret(annotation);
    }
    let item = path.strip_suffix("].value").and_then(|path| path.rsplit_once('['));
    item.is_some_and(|(_, name)| sounds_secret(name))
}

fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// A command line or a URL without what sounds like a secret in it: `--password=<masked>`, `--token <masked>`,
/// `postgres://user:<masked>@db`.
fn without_secrets(text: &str) -> String {
    let mut after_flag = false;
    let words = text.split_inclusive(char::is_whitespace).map(|word| {
        let bare = word.trim_end();
        let space = &word[bare.len()..];
        if bare.is_empty() {
            return word.to_owned();
        }
        let is_secret = std::mem::replace(&mut after_flag, is_secret_flag(bare));
        let shown = match bare.split_once('=') {
            _ if is_secret => MASKED.to_owned(),
            Some((name, _)) if sounds_secret(name) => format!("{name}={MASKED}"),
            _ => without_password(bare),
        };
        shown + space
    });
    words.collect()
}

fn is_secret_flag(word: &str) -> bool {
    word.starts_with('-') && !word.contains('=') && sounds_secret(word)
}

/// A URL without the password in it.
fn without_password(word: &str) -> String {
    let parts = word.split_once("://").and_then(|(scheme, rest)| {
        let (user, host) = rest.split_once('@')?;
        Some((scheme, user.split_once(':')?.0, host))
    });
    match parts {
        Some((scheme, user, host)) => format!("{scheme}://{user}:{MASKED}@{host}"),
        None => word.to_owned(),
    }
}

/// A line of a log or a message without what its URLs must not tell: users, passwords and queries.
pub fn without_tokens(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        shown.push_str(before);
        let end = after.find(|character: char| character.is_whitespace() || "\"'<>`".contains(character));
        let (url, behind) = after.split_at(end.unwrap_or(after.len()));
        let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
        let authority = address.split('/').next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        shown.push_str(host);
        shown.push_str(&address[authority.len()..]);
        if query.is_some_and(|query| !query.is_empty()) {
            shown.push_str("?…");
            // What ends a sentence ends no URL.
            shown.extend(url.chars().last().filter(|last| ":,;.)".contains(*last)));
        }
        rest = behind;
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_masked() {
        #[track_caller]
        fn check(path: &str, value: &Value, expected: &Value) {
            assert_eq!(masked(path, value, None), *expected);
        }
        let variable = |name: &str| format!("spec.containers[web].env[{name}].value");
        for name in ["DB_PASSWORD", "apiToken", "API_KEY", "AWS_CREDENTIALS", "clientSecret", "MYSQL_PWD", "DSN"] {
            check(&variable(name), &json!("a"), &json!("<masked>"));
            check(&variable(name), &json!(""), &json!(""));
        }
        check(&variable("LEVEL"), &json!("a"), &json!("a"));
        check(&variable("DB"), &json!("postgres://me:pw@db/x"), &json!("postgres://me:<masked>@db/x"));
        check(&variable("DB"), &json!("postgres://me@db/x"), &json!("postgres://me@db/x"));
        let reference = "spec.containers[web].env[DB_PASSWORD].valueFrom.secretKeyRef.key";
        check(reference, &json!("a"), &json!("a"));
        let header = "spec.containers[web].livenessProbe.httpGet.httpHeaders[Authorization].value";
        check(header, &json!("a"), &json!("<masked>"));
        check("metadata.annotations[x/token]", &json!("a"), &json!("<masked>"));
        let args = "spec.containers[web].args";
        check(
            args,
            &json!(["--password=a", "--token", "b", "--level", "c"]),
            &json!(["--password=<masked>", "--token", "<masked>", "--level", "c"]),
        );
        check(
            args,
            &json!(["sh", "-c", "PASSWORD=a run --api-key k  --level\tc"]),
            &json!(["sh", "-c", "PASSWORD=<masked> run --api-key <masked>  --level\tc"]),
        );
    }

    #[test]
    fn what_is_cut_from_urls() {
        #[track_caller]
        fn check(line: &str, expected: &str) {
            assert_eq!(without_tokens(line), expected);
        }
        check("no address", "no address");
        check("get http://a/b: refused", "get http://a/b: refused");
        check("Get \"https://me:pw@a.example/v2/x?token=s3cret\": 401", "Get \"https://a.example/v2/x?…\": 401");
        check("see https://a/?sig=x, then postgres://u:p@db:5432/x", "see https://a/?…, then postgres://db:5432/x");
        check("https://a/p@q and a://c@d?", "https://a/p@q and a://d");
        check("größe://ü@日本/?x", "größe://日本/?…");
    }

    #[test]
    fn what_says_that_it_changed() {
        #[track_caller]
        fn check(before: &Value, after: &Value, expected: &Value) {
            assert_eq!(masked("", after, Some(before)), *expected);
        }
        let env = |value: &str| json!({"env": [{"name": "MODE", "value": "x"}, {"name": "TOKEN", "value": value}]});
        check(&env("a"), &env("b"), &env("<masked, changed>"));
        check(&env("a"), &env("a"), &env("<masked>"));
        check(&env(""), &env("a"), &env("<masked>"));
        check(&json!({}), &env("a"), &env("<masked>"));
        let moved = json!({"env": [{"name": "TOKEN", "value": "a"}]});
        check(&env("a"), &moved, &json!({"env": [{"name": "TOKEN", "value": "<masked>"}]}));
        let args = |value: &str| json!({"args": [format!("--token={value}"), "-v"]});
        check(&args("a"), &args("b"), &args("<masked, changed>"));
    }
}
