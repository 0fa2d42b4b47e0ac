//! Numbers that may be percentages: `maxUnavailable: 1`, `minAvailable: 50%`.

use std::{fmt, str::FromStr};

use k8s_openapi::apimachinery::pkg::util::intstr;
use thiserror::Error;

/// A count, or a percentage of some total.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntOrPercent {
    /// A count of pods.
    Int(i32),
    /// Percent of a total.
    Percent(i32),
}

/// A text that is neither a whole number nor a percentage.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is neither a whole number nor a percentage")]
pub struct InvalidIntOrPercent(pub String);

impl IntOrPercent {
    /// The count that this means of `total`, a fraction rounded up (disruption budgets, maxSurge).
    pub fn of_rounded_up(self, total: i32) -> i32 {
        match self {
            Self::Int(count) => count,
            Self::Percent(percent) => share(percent, total, 99),
        }
    }

    /// The count that this means of `total`, a fraction rounded down (a rollout's maxUnavailable).
    pub fn of_rounded_down(self, total: i32) -> i32 {
        match self {
            Self::Int(count) => count,
            Self::Percent(percent) => share(percent, total, 0),
        }
    }
}

fn share(percent: i32, total: i32, rounding: i64) -> i32 {
    let share = (i64::from(percent) * i64::from(total) + rounding) / 100;
    i32::try_from(share).unwrap_or(i32::MAX)
}

impl FromStr for IntOrPercent {
    type Err = InvalidIntOrPercent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.strip_suffix('%') {
            Some(percent) => percent.parse().map(Self::Percent),
            None => text.parse().map(Self::Int),
        };
        match parsed {
            Ok(Self::Int(count) | Self::Percent(count)) if count < 0 => Err(InvalidIntOrPercent(text.to_owned())),
            Ok(value) => Ok(value),
            Err(_) => Err(InvalidIntOrPercent(text.to_owned())),
        }
    }
}

impl TryFrom<&intstr::IntOrString> for IntOrPercent {
    type Error = InvalidIntOrPercent;

    fn try_from(value: &intstr::IntOrString) -> Result<Self, Self::Error> {
        match value {
            intstr::IntOrString::Int(count) => Ok(Self::Int(*count)),
            intstr::IntOrString::String(text) => text.parse(),
        }
    }
}

impl fmt::Display for IntOrPercent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_their_users_do() {
        #[track_caller]
        fn check(text: &str, total: i32, up: i32, down: i32) {
            let value: IntOrPercent = text.parse().unwrap();
            assert_eq!((value.of_rounded_up(total), value.of_rounded_down(total)), (up, down), "{text} of {total}");
        }
        check("2", 10, 2, 2);
        check("0%", 10, 0, 0);
        check("1%", 10, 1, 0);
        check("25%", 10, 3, 2);
        check("50%", 3, 2, 1);
        check("100%", 7, 7, 7);
        check("67%", 3, 3, 2);
        check("66%", 3, 2, 1);
        check("100%", 0, 0, 0);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", "%", "-1", "-1%", "1.5", "ten", "5 %", "99999999999"] {
            assert!(text.parse::<IntOrPercent>().is_err(), "{text}");
        }
    }
}
