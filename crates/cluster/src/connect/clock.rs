//! The server's time: what it says in `Date` headers, held against the local clock.

use jiff::{SignedDuration, Timestamp, fmt::rfc2822::DateTimeParser};

/// How far the server's clock is ahead of ours, as an interval that shrinks with each answer.
///
/// A `Date` header has whole seconds, so one answer alone is off by up to half a second and its round trip.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ServerClock {
    /// Earliest and latest offset that all answers since the last jump agree on.
    offset: Option<(SignedDuration, SignedDuration)>,
}

impl ServerClock {
    /// Takes in the `Date` of an answer to a request that left at `sent` and was answered at `received`.
    pub(super) fn observe(&mut self, date: &str, sent: Timestamp, received: Timestamp) {
        let Ok(date) = DateTimeParser::new().parse_timestamp(date) else { return };
        let earliest = date.duration_since(received);
        let latest = date.duration_since(sent) + SignedDuration::from_secs(1);
        self.offset = match self.offset {
            Some((low, high)) if earliest <= high && low <= latest => Some((low.max(earliest), high.min(latest))),
            // The first answer, or one of the clocks jumped: what was known is void.
            _ => Some((earliest, latest)),
        };
    }

    /// The server's time when our clock shows `local`; `None` before its first answer.
    pub(super) fn at(self, local: Timestamp) -> Option<Timestamp> {
        let (low, high) = self.offset?;
        local.checked_add(low + (high - low) / 2).ok()
    }
}

/// The local clock. The only place that reads it.
pub(super) fn local_now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn answers_narrow_the_offset() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.at(at("2026-11-21T10:00:00Z")), None);

        clock.observe("not a date", at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:00Z"));
        assert_eq!(clock.at(at("2026-11-21T10:00:00Z")), None);

        // One minute ahead, give or take half a second.
        clock.observe("Sat, 21 Nov 2026 10:01:00 GMT", at("2026-11-21T10:00:00Z"), at("2026-11-21T10:00:00Z"));
        assert_eq!(clock.at(at("2026-11-21T10:00:00Z")), Some(at("2026-11-21T10:01:00.5Z")));

        // 0.9 s later the header's second is the same: the offset is at most 60.1 s.
        clock.observe("Sat, 21 Nov 2026 10:01:00 GMT", at("2026-11-21T10:00:00.9Z"), at("2026-11-21T10:00:00.9Z"));
        assert_eq!(clock.at(at("2026-11-21T10:00:00Z")), Some(at("2026-11-21T10:01:00.05Z")));

        // A jump of our clock by an hour voids what was known.
        clock.observe("Sat, 21 Nov 2026 10:01:02 GMT", at("2026-11-21T11:00:02Z"), at("2026-11-21T11:00:02Z"));
        assert_eq!(clock.at(at("2026-11-21T11:00:02Z")), Some(at("2026-11-21T10:01:02.5Z")));
    }
}
