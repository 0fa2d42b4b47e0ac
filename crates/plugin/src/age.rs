//! How old things are, in kubectl's short form.

use jiff::{SignedDuration, Timestamp};

/// How long ago `at` was: `119s`, `2m`, `47h`, `2d`. What lies ahead is `0s` old.
pub fn age(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.duration_since(at).max(SignedDuration::ZERO).as_secs();
    match seconds {
        0..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_in_kubectls_short_form() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        for (seconds, expected) in [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172_800, "2d")] {
            assert_eq!(age(now, now - SignedDuration::from_secs(seconds)), expected);
        }
    }
}
