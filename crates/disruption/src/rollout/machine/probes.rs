//! The URLs that are requested while rollouts are watched.

use jiff::{SignedDuration, Timestamp};

use crate::{
    diagnose::{Class, Code, Finding},
    document::{ProbeResult, in_seconds},
    rollout::event::Event,
};

/// How often each URL is requested: often enough to see an outage of a second or two, seldom enough to be no load.
const EVERY: SignedDuration = SignedDuration::from_millis(500);

/// The probes of a run.
#[derive(Debug)]
pub(super) struct Probes(Vec<Probe>);

#[derive(Debug)]
struct Probe {
    url: String,
    requests: u64,
    failures: u64,
    /// Failures since the last success, while it had succeeded before.
    in_a_row: u32,
    has_succeeded: bool,
    failing_since: Option<Timestamp>,
    message: String,
    longest_gap: SignedDuration,
    /// When the request was sent whose answer is awaited.
    asked_at: Option<Timestamp>,
    next_at: Option<Timestamp>,
}

impl Probes {
    pub(super) fn new(urls: &[String]) -> Self {
        let probe = |url: &String| Probe {
            url: url.clone(),
            requests: 0,
            failures: 0,
            in_a_row: 0,
            has_succeeded: false,
            failing_since: None,
            message: String::new(),
            longest_gap: SignedDuration::ZERO,
            asked_at: None,
            next_at: None,
        };
        Self(urls.iter().map(probe).collect())
    }

    /// The URLs that are to be requested now.
    pub(super) fn due(&mut self, now: Timestamp) -> Vec<String> {
        let mut due = Vec::new();
        for probe in
            self.0.iter_mut().filter(|probe| probe.asked_at.is_none() && probe.next_at.is_none_or(|at| at <= now))
        {
            probe.asked_at = Some(now);
            probe.next_at = Some(now + EVERY);
            due.push(probe.url.clone());
        }
        due
    }

    /// When the next one is due.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.0.iter().filter(|probe| probe.asked_at.is_none()).filter_map(|probe| probe.next_at).min()
    }

    /// Takes in an answer. Anything from 200 to 399 is good, as for a kubelet's HTTP probe.
    pub(super) fn take_in(&mut self, url: &str, answer: &Result<u16, String>, now: Timestamp) -> Option<Event> {
        let probe = self.0.iter_mut().find(|probe| probe.url == url)?;
        let asked_at = probe.asked_at.take();
        probe.requests += 1;
        let failure = match answer {
            Ok(200..=399) => None,
            Ok(status) => Some(format!("it answers {status}")),
            Err(message) => Some(message.clone()),
        };
        match (failure, probe.failing_since) {
            (None, since) => {
                probe.has_succeeded = true;
                probe.in_a_row = 0;
                probe.failing_since = None;
                let after = now.duration_since(since?);
                probe.longest_gap = probe.longest_gap.max(after);
                Some(Event::ProbeRecovered { url: probe.url.clone(), after })
            }
            (Some(message), since) => {
                probe.failures += 1;
                probe.in_a_row += u32::from(probe.has_succeeded);
                probe.message.clone_from(&message);
                // Who asked has waited since then.
                let began = *probe.failing_since.get_or_insert(asked_at.unwrap_or(now));
                probe.longest_gap = probe.longest_gap.max(now.duration_since(began));
                since.is_none().then(|| Event::ProbeFailed { url: probe.url.clone(), message })
            }
        }
    }

    /// The probe that fails most, if one does that succeeded before: one that never did says nothing about a version.
    pub(super) fn finding(&self) -> Option<Finding> {
        self.0.iter().filter(|probe| probe.in_a_row > 0).max_by_key(|probe| probe.in_a_row).map(Probe::finding)
    }

    /// A probe that never succeeded, if there is one.
    pub(super) fn never(&self) -> Option<Finding> {
        let probe = self.0.iter().find(|probe| probe.failures > 0 && !probe.has_succeeded)?;
        let message = format!("no request to {} succeeded: {}", probe.url, probe.message);
        Some(Finding { message, ..probe.finding() })
    }

    /// Whether every URL was answered for, well or badly, at least once.
    pub(super) fn are_known(&self) -> bool {
        self.0.iter().all(|probe| probe.requests > 0)
    }

    /// The figures.
    pub(super) fn results(&self) -> Vec<ProbeResult> {
        let result = |probe: &Probe| ProbeResult {
            url: probe.url.clone(),
            requests: probe.requests,
            failures: probe.failures,
            longest_gap_seconds: in_seconds(probe.longest_gap),
        };
        self.0.iter().map(result).collect()
    }
}

impl Probe {
    fn finding(&self) -> Finding {
        Finding {
            code: Code::ProbeFailed,
            class: Class::Repeated,
            pod: None,
            container: None,
            is_init: false,
            node: None,
            count: self.in_a_row,
            since: self.failing_since,
            message: format!("{} fails: {}", self.url, self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::now;

    /// A visitor who asks at 0 s, gives up at 2 s and is answered at 2.5 s has waited for 2.5 s.
    #[test]
    fn a_gap_begins_with_the_request() {
        const URL: &str = "http://web/";
        let at = |millis: i64| now() + SignedDuration::from_millis(millis);
        let mut probes = Probes::new(&[URL.to_owned()]);
        assert_eq!(probes.due(at(0)), [URL]);
        assert_eq!(probes.due(at(1000)), <[&str; 0]>::default(), "one request at a time");
        assert!(probes.take_in(URL, &Err("no answer within 2s".to_owned()), at(2000)).is_some());
        assert_eq!(probes.due(at(2000)), [URL]);
        let recovered = probes.take_in(URL, &Ok(200), at(2500));
        assert!(
            matches!(recovered, Some(Event::ProbeRecovered { after, .. }) if after == SignedDuration::from_millis(2500)),
            "{recovered:?}"
        );
        let [result] = &probes.results()[..] else { panic!("one probe") };
        assert_eq!((result.requests, result.failures, result.longest_gap_seconds), (2, 1, 2.5));
    }
}
