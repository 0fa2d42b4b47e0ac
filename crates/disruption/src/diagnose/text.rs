//! Foreign texts made fit for a line: no credentials, no names that change with each try.

use crate::model::PodStatus;

/// Longer messages are cut: a line for a person, not a log.
const LONGEST: usize = 240;

/// As much of an image's digest as registries' pages show.
const DIGEST_SHOWN: usize = 12;

/// What random ends of names are made of (`apimachinery/pkg/util/rand`), and how long they are.
const RANDOM: &str = "bcdfghjklmnpqrstvwxz2456789";
const RANDOM_LENGTH: usize = 5;

/// What the API server puts before the last of many alike events.
const COMBINED: &str = "(combined from similar events): ";

/// In one short line, without secrets and identities.
pub(super) fn clean(text: &str) -> String {
    cut(scrubbed(text))
}

/// In one line, without credentials, queries of URLs, accounts and identities. To be done before a text is taken apart:
/// half a URL is none.
pub(super) fn scrubbed(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.map(|word| without_ids(&without_secrets(word))).collect::<Vec<_>>().join(" ");
    without_account(&line)
}

/// Without the pod's name and identity, which its successor does not share.
pub(super) fn without_pod(text: &str, pod: &PodStatus) -> String {
    let name = &pod.name.name;
    if name.is_empty() {
        return text.to_owned();
    }
    let full = format!("{name}_{}(…)", pod.name.namespace);
    text.replace(&full, "…").replace(name.as_str(), "…")
}

/// Without the random ends of the names that a controller gives to its pods: `web-8644b6bb69-x2x4z`, `web-8644b6bb69-`.
pub(super) fn without_random_ends(text: &str, owner: &str) -> String {
    if owner.is_empty() {
        return text.to_owned();
    }
    let mut parts = text.split(owner);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str(owner);
        shown.push_str(without_random_start(part));
    }
    shown
}

/// The rest after `-x2x4z` or a lone `-`.
fn without_random_start(part: &str) -> &str {
    let Some(end) = part.strip_prefix('-') else { return part };
    let length = end.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(end.len());
    let is_random = end[..length].chars().all(|c| RANDOM.contains(c));
    if is_random && (length == 0 || length == RANDOM_LENGTH) { &end[length..] } else { part }
}

/// What an event says, without the note that it stands for many.
pub(super) fn of_event(message: &str) -> &str {
    message.strip_prefix(COMBINED).unwrap_or(message)
}

/// Whether any of the texts is in it.
pub(super) fn has_any(text: &str, any: &[&str]) -> bool {
    any.iter().any(|part| text.contains(part))
}

/// What stands between two texts.
pub(super) fn between<'t>(text: &'t str, from: &str, to: &str) -> Option<&'t str> {
    text.split_once(from)?.1.split_once(to).map(|(inner, _)| inner)
}

/// `once`, `3 times`.
pub(super) fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

fn without_secrets(word: &str) -> String {
    let mut parts = word.split("://");
    let scheme = parts.next().unwrap_or_default().to_owned();
    parts.fold(scheme, |url, part| format!("{url}://{}", without_user_and_query(part)))
}

/// The rest of a URL after its scheme.
fn without_user_and_query(rest: &str) -> String {
    let end = rest.find(['/', '?', '"']).unwrap_or(rest.len());
    let rest = rest[..end].rfind('@').map_or(rest, |at| &rest[at + 1..]);
    let Some((path, query)) = rest.split_once('?') else { return rest.to_owned() };
    let closing = query.trim_end_matches(['"', ':', ',', '.', ';', ')', '\'']).len();
    format!("{path}{}", &query[closing..])
}

fn without_ids(word: &str) -> String {
    let mut shown = String::with_capacity(word.len());
    for part in word.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let id = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let delimiter = &part[id.len()..];
        match is_id(id) {
            true if shown.ends_with("sha256:") => shown.push_str(&id[..DIGEST_SHOWN]),
            true => shown.push('…'),
            false => shown.push_str(id),
        }
        shown.push_str(delimiter);
    }
    shown
}

/// A container's 64 digits or a UUID; not the 40 digits of a commit, which make good tags.
fn is_id(text: &str) -> bool {
    let digits = text.chars().filter(char::is_ascii_hexdigit).count();
    let dashes = text.chars().filter(|c| *c == '-').count();
    digits + dashes == text.len() && [(64, 0), (32, 4)].contains(&(digits, dashes))
}

/// `You have reached your pull rate limit as <user>` without the user.
fn without_account(line: &str) -> String {
    const LIMIT: &str = "pull rate limit as ";
    let Some((before, after)) = line.split_once(LIMIT) else { return line.to_owned() };
    let rest = after.split_once(' ').map_or("", |(_, rest)| rest);
    format!("{before}pull rate limit {rest}").trim_end().to_owned()
}

fn cut(line: String) -> String {
    match line.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", line[..at].trim_end()),
        None => line,
    }
}
