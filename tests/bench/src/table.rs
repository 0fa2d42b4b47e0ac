//! What a benchmark found: rows of measured values, and the targets of those that have one.

use std::{fmt, time::Duration};

/// The results of one benchmark.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: String,
    value: String,
    target: Option<Target>,
}

#[derive(Debug)]
struct Target {
    text: String,
    is_met: bool,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new() }
    }

    /// Adds a value that is good to know.
    pub(crate) fn know(&mut self, name: impl Into<String>, value: impl fmt::Display) {
        self.rows.push(Row { name: name.into(), value: value.to_string(), target: None });
    }

    /// Adds a value that is to be at most `target`.
    pub(crate) fn judge<T: Copy + PartialOrd + fmt::Display>(&mut self, name: impl Into<String>, value: T, target: T) {
        let target_of_row = Target { text: format!("≤ {target}"), is_met: value <= target };
        self.rows.push(Row { name: name.into(), value: value.to_string(), target: Some(target_of_row) });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&Row) -> &str| self.rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0);
        let (names, values) = (width(|row| &row.name), width(|row| &row.value));
        let targets = width(|row| row.target.as_ref().map_or("", |target| &target.text));
        write!(f, "{}", self.title)?;
        for Row { name, value, target } in &self.rows {
            write!(f, "\n  {name:<names$}  {value:>values$}")?;
            if let Some(Target { text, is_met }) = target {
                write!(f, "  {text:<targets$}  {}", if *is_met { "ok" } else { "MISSED" })?;
            }
        }
        Ok(())
    }
}

/// A time, shown in milliseconds below a second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Time(pub(crate) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs_f64();
        if seconds < 1.0 { write!(f, "{:.1} ms", seconds * 1e3) } else { write!(f, "{seconds:.2} s") }
    }
}

/// An amount of memory or of a file, shown in megabytes.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    #[expect(clippy::cast_precision_loss, reason = "nobody reads more than four digits")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} MB", self.0 as f64 / 1e6)
    }
}

/// How many times the other.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub(crate) struct Ratio(pub(crate) f64);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ×", self.0)
    }
}
