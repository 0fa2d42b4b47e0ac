//! Tables as kubectl prints them: aligned columns, upper-case headers, no lines.

use std::fmt::Write as _;

use owo_colors::Style;
use unicode_width::UnicodeWidthStr;

use crate::styles::Styles;
use crate::text;

/// Between two columns.
const GAP: usize = 2;

/// A last column narrower than this is harder to read than a line that the terminal breaks.
const MIN_WRAP_WIDTH: usize = 20;

/// Rows of `N` cells under `N` headers. The last column wraps.
#[derive(Debug, Clone)]
pub struct Table<const N: usize> {
    headers: [&'static str; N],
    rows: Vec<[Cell; N]>,
}

/// A cell: text in one line, harmless to a terminal, and how it looks.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell with a style.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { style, ..Self::from(text.into()) }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self { text: text::one_line(text).into_owned(), style: Style::default() }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl<const N: usize> Table<N> {
    /// A table without rows. Headers are upper case and have no spaces, as in `LAST-SEEN`.
    pub fn new(headers: [&'static str; N]) -> Self {
        Self { headers, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// Whether no row was added.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as lines of at most `width` columns where wrapping the last column can do that.
    pub fn render(&self, styles: &Styles, width: usize) -> String {
        let headers = self.headers.map(|header| Cell::styled(header, styles.heading));
        let widths: [usize; N] = std::array::from_fn(|column| {
            let cells = self.rows.iter().chain([&headers]);
            cells.map(|row| row[column].text.width()).max().unwrap_or_default()
        });
        let mut lines = String::new();
        for row in [&headers].into_iter().chain(&self.rows) {
            write_row(&mut lines, row, &widths, width);
        }
        lines
    }
}

fn write_row(lines: &mut String, row: &[Cell], widths: &[usize], width: usize) {
    let Some((last, first)) = row.split_last() else { return };
    let indent: usize = widths[..first.len()].iter().map(|width| width + GAP).sum();
    let room = width.saturating_sub(indent);
    let wrapped = if room < MIN_WRAP_WIDTH { vec![last.text.clone()] } else { wrap(&last.text, room) };

    let mut line = String::new();
    for (cell, width) in first.iter().zip(widths) {
        let padding = " ".repeat(width - cell.text.width() + GAP);
        let _ = write!(line, "{}{padding}", cell.style.style(&cell.text));
    }
    for (number, part) in wrapped.iter().enumerate() {
        if number > 0 {
            line = " ".repeat(indent);
        }
        if !part.is_empty() {
            let _ = write!(line, "{}", last.style.style(part));
        }
        lines.push_str(line.trim_end_matches(' '));
        lines.push('\n');
    }
}

/// Breaks text at spaces into lines of at most `width` columns; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let needed = word.width();
        let first = lines.len() == 1 && used == 0 && lines[0].is_empty();
        if !first && used + 1 + needed > width {
            lines.push(String::new());
            used = 0;
        } else if !first {
            lines.last_mut().into_iter().for_each(|line| line.push(' '));
            used += 1;
        }
        lines.last_mut().into_iter().for_each(|line| line.push_str(word));
        used += needed;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods(styles: &Styles) -> Table<3> {
        let mut table = Table::new(["POD", "VERDICT", "WHY"]);
        table.row([
            "default/web-1".into(),
            Cell::styled("Evict", styles.good),
            "its budget allows one disruption now, the replacement fits on node n2 which has room for four of them"
                .into(),
        ]);
        table.row(["日本/größe".into(), Cell::styled("Refuse", styles.error), "\u{1b}[2Jno controller".into()]);
        table.row(["kube-system/a-pod-with-quite-a-long-name".into(), "Skip".into(), "".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_the_last_one_wraps() {
        let styles = Styles::default();
        insta::assert_snapshot!(pods(&styles).render(&styles, 80), @"
        POD                                       VERDICT  WHY
        default/web-1                             Evict    its budget allows one
                                                           disruption now, the
                                                           replacement fits on node n2
                                                           which has room for four of
                                                           them
        日本/größe                                Refuse   ^[[2Jno controller
        kube-system/a-pod-with-quite-a-long-name  Skip
        ");
    }

    #[test]
    fn colour_changes_no_alignment() {
        let styles = Styles::colored();
        let colored = pods(&styles).render(&styles, 80);
        insta::assert_snapshot!(colored.escape_debug().to_string().replace("\\n", "\n"), @r"
        \u{1b}[1mPOD\u{1b}[0m                                       \u{1b}[1mVERDICT\u{1b}[0m  \u{1b}[1mWHY\u{1b}[0m
        default/web-1                             \u{1b}[32mEvict\u{1b}[0m    its budget allows one
                                                           disruption now, the
                                                           replacement fits on node n2
                                                           which has room for four of
                                                           them
        日本/größe                                \u{1b}[31;1mRefuse\u{1b}[0m   ^[[2Jno controller
        kube-system/a-pod-with-quite-a-long-name  Skip
        ");
        assert_eq!(
            anstream::adapter::strip_str(&colored).to_string(),
            pods(&Styles::default()).render(&Styles::default(), 80)
        );
    }

    #[test]
    fn a_narrow_terminal_wraps_nothing() {
        let styles = Styles::default();
        assert_eq!(pods(&styles).render(&styles, 40).lines().count(), 4);
    }

    #[test]
    fn wrapping_keeps_words_and_spaces() {
        assert_eq!(wrap("", 10), [""]);
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("immeasurable x", 7), ["immeasurable", "x"]);
        assert_eq!(wrap("a  b", 7), ["a  b"]);
    }
}
