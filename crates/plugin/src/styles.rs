//! Colours by meaning. Text means the same without them.

use owo_colors::Style;

/// A style per meaning; the default prints plain text.
#[derive(Debug, Clone, Default)]
pub struct Styles {
    /// Something failed or cannot be done.
    pub error: Style,
    /// Something to look at.
    pub warning: Style,
    /// Something went well.
    pub good: Style,
    /// What helps on.
    pub hint: Style,
    /// A title or a table's header.
    pub heading: Style,
    /// The name of an object that matters here.
    pub name: Style,
    /// What is there for completeness.
    pub dim: Style,
    /// A line that a diff adds.
    pub added: Style,
    /// A line that a diff removes.
    pub removed: Style,
}

impl Styles {
    /// The styles for a terminal: the eight basic colours, which every theme makes readable.
    pub fn colored() -> Self {
        let style = Style::new();
        Self {
            error: style.red().bold(),
            warning: style.yellow().bold(),
            good: style.green(),
            hint: style.cyan(),
            heading: style.bold(),
            name: style.bold(),
            dim: style.dimmed(),
            added: style.green(),
            removed: style.red(),
        }
    }
}
