//! Values of flags as kubectl reads them, with the complaints of Go's parsers.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use crate::printer::Printer;

/// A complaint that stands alone: kubectl prints it without naming the flag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Complaint(String);

/// `--dry-run`, to be flattened into a command's flags.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct DryRunFlag {
    /// Must be "none", "server", or "client". If client strategy, only print what would be done, without sending it.
    /// If server strategy, submit server-side requests without persisting them.
    #[arg(
        long = "dry-run",
        value_name = "STRATEGY",
        num_args = 0..=1,
        require_equals = true,
        default_value = "none",
        default_missing_value = "client",
        value_parser = dry_run
    )]
    dry_run: DryRunValue,
}

/// What a command may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DryRun {
    /// Everything it is for.
    None,
    /// Nothing: no mutating request is sent.
    Client,
    /// Nothing: mutating requests are sent with `dryRun=All`.
    Server,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct DryRunValue {
    strategy: DryRun,
    /// The boolean that was written instead of a strategy.
    deprecated: Option<String>,
}

impl DryRunFlag {
    /// The strategy; a deprecated way to write it is warned of.
    pub fn strategy(&self, printer: &mut Printer) -> DryRun {
        let DryRunValue { strategy, deprecated } = &self.dry_run;
        if let Some(written) = deprecated {
            let instead = if *strategy == DryRun::Client { "client" } else { "none" };
            printer.warning(&format!(
                "--dry-run={written} is deprecated (boolean value) and can be replaced with --dry-run={instead}."
            ));
        }
        *strategy
    }
}

/// `-o`, to be flattened into a command's flags.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct OutputFlag {
    /// Output format. One of: (json, yaml).
    #[arg(short = 'o', long = "output", value_name = "FORMAT", value_parser = format)]
    pub output: Option<Format>,
}

/// A format for programs to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, indented.
    Json,
    /// YAML, block style.
    Yaml,
}

/// A boolean as pflag reads it.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("strconv.ParseBool: parsing {text:?}: invalid syntax")),
    }
}

/// A Go duration that isn't negative: `90s`, `1h30m`, `1.5h`, `300ms`, `0`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    if text.starts_with('-') {
        return if text == "-0" { Ok(Duration::ZERO) } else { Err(format!("{}: must not be negative", invalid())) };
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    // Go counts in 64 signed bits of nanoseconds, about 292 years; 128 bits hold any step on the way there.
    let mut total: u128 = 0;
    let mut rest = unsigned;
    while !rest.is_empty() {
        let (whole, after_whole) = digits(rest);
        let (fraction, after_number) = after_whole.strip_prefix('.').map_or(("", after_whole), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let end = after_number.find(|character: char| character == '.' || character.is_ascii_digit());
        let (unit, after_unit) = after_number.split_at(end.unwrap_or(after_number.len()));
        let nanoseconds: u128 = match unit {
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        total += if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| invalid())?.into() } * nanoseconds;
        // Digits beyond the 18th are far below a nanosecond.
        let fraction = &fraction[..fraction.len().min(18)];
        if let Ok(parts) = fraction.parse::<u128>() {
            total += parts * nanoseconds / 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(18));
        }
        if total > i64::MAX as u128 {
            return Err(invalid());
        }
        rest = after_unit;
    }
    Ok(Duration::from_nanos(u64::try_from(total).map_err(|_| invalid())?))
}

/// `--request-timeout`: a Go duration, or whole seconds without a unit.
pub fn request_timeout(text: &str) -> Result<Duration, Complaint> {
    text.parse().map(Duration::from_secs).or_else(|_| duration(text)).map_err(|_| {
        Complaint(
            "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a \
             corresponding time unit (e.g. 1s | 2m | 3h)"
                .to_owned(),
        )
    })
}

/// A point in time, RFC 3339.
pub fn timestamp(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("{text:?} is not a time such as 2026-01-31T12:00:00Z (RFC 3339)"))
}

/// `key=value`.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{text:?} is not of the form key=value")),
    }
}

fn dry_run(text: &str) -> Result<DryRunValue, Complaint> {
    let strategy = match text {
        "none" => DryRun::None,
        "client" => DryRun::Client,
        "server" => DryRun::Server,
        _ => {
            let client = boolean(text).map_err(|_| {
                Complaint(format!("Invalid dry-run value ({text}). Must be \"none\", \"server\", or \"client\"."))
            })?;
            let strategy = if client { DryRun::Client } else { DryRun::None };
            return Ok(DryRunValue { strategy, deprecated: Some(text.to_owned()) });
        }
    };
    Ok(DryRunValue { strategy, deprecated: None })
}

fn format(text: &str) -> Result<Format, Complaint> {
    match text {
        "json" => Ok(Format::Json),
        "yaml" => Ok(Format::Yaml),
        _ => Err(Complaint(format!(
            "unable to match a printer suitable for the output format {text:?}, allowed formats are: json,yaml"
        ))),
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        #[track_caller]
        fn check(text: &str, expected: Result<Duration, &str>) {
            assert_eq!(duration(text), expected.map_err(str::to_owned), "{text}");
        }
        check("0", Ok(Duration::ZERO));
        check("-0", Ok(Duration::ZERO));
        check("0s", Ok(Duration::ZERO));
        check("90s", Ok(Duration::from_secs(90)));
        check("+90s", Ok(Duration::from_secs(90)));
        check("1h30m", Ok(Duration::from_secs(5400)));
        check("1.5h", Ok(Duration::from_secs(5400)));
        check(".5m", Ok(Duration::from_secs(30)));
        check("1.m", Ok(Duration::from_secs(60)));
        check("5m0s", Ok(Duration::from_secs(300)));
        check("300ms", Ok(Duration::from_millis(300)));
        check("1us1µs1μs1ns", Ok(Duration::from_nanos(3001)));
        check("0.100000000000000000000000000001s", Ok(Duration::from_millis(100)));
        check("2562047h", Ok(Duration::from_secs(2_562_047 * 3600)));
        check("2562048h", Err("time: invalid duration \"2562048h\""));
        check("99999999999999999999s", Err("time: invalid duration \"99999999999999999999s\""));
        check("300", Err("time: missing unit in duration \"300\""));
        check("3x", Err("time: unknown unit \"x\" in duration \"3x\""));
        check("5 m", Err("time: unknown unit \" m\" in duration \"5 m\""));
        check("", Err("time: invalid duration \"\""));
        check("+", Err("time: invalid duration \"+\""));
        check("s", Err("time: invalid duration \"s\""));
        check(".s", Err("time: invalid duration \".s\""));
        check("1h-5m", Err("time: unknown unit \"h-\" in duration \"1h-5m\""));
        check("-3s", Err("time: invalid duration \"-3s\": must not be negative"));
    }

    #[test]
    fn a_request_timeout_may_be_bare_seconds() {
        assert_eq!(request_timeout("300"), Ok(Duration::from_secs(300)));
        assert_eq!(request_timeout("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(
            request_timeout("3x").unwrap_err().to_string(),
            "Invalid timeout value. Timeout must be a single integer in seconds, or an integer followed by a \
             corresponding time unit (e.g. 1s | 2m | 3h)"
        );
    }

    #[test]
    fn a_dry_run_may_be_a_boolean_for_old_times_sake() {
        #[track_caller]
        fn check(text: &str, strategy: DryRun, deprecated: bool) {
            let value = dry_run(text).unwrap();
            assert_eq!((value.strategy, value.deprecated.is_some()), (strategy, deprecated), "{text}");
        }
        check("none", DryRun::None, false);
        check("client", DryRun::Client, false);
        check("server", DryRun::Server, false);
        check("true", DryRun::Client, true);
        check("T", DryRun::Client, true);
        check("false", DryRun::None, true);
        check("0", DryRun::None, true);
        let error = dry_run("all").unwrap_err().to_string();
        assert_eq!(error, r#"Invalid dry-run value (all). Must be "none", "server", or "client"."#);
    }

    #[test]
    fn booleans_times_and_pairs() {
        assert_eq!(boolean("True"), Ok(true));
        assert_eq!(boolean("f"), Ok(false));
        assert_eq!(boolean("yes"), Err(r#"strconv.ParseBool: parsing "yes": invalid syntax"#.to_owned()));
        assert_eq!(timestamp("2026-01-31T12:00:00+01:00").unwrap().to_string(), "2026-01-31T11:00:00Z");
        assert!(timestamp("2026-01-31").is_err());
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("=b").is_err() && key_value("a").is_err());
    }
}
