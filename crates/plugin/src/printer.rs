//! Where text goes: data to stdout, everything else to stderr, colour only where it is wanted.

use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use anstream::AutoStream;
use anstream::stream::{AsLockedWrite, RawStream};
use clap::ValueEnum;
use serde::Serialize;

use crate::error::CliError;
use crate::styles::Styles;
use crate::table::Table;
use crate::text;
use crate::values::Format;

/// The width of what isn't a terminal, and of a terminal that doesn't tell.
const DEFAULT_WIDTH: usize = 80;

/// Whether output is coloured (`--color`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Both streams of the process.
pub struct Printer {
    /// stdout: data, and nothing else.
    pub out: Output,
    /// stderr: messages, warnings, errors, progress.
    pub err: Output,
}

/// One stream. Nothing fails here: a reader that went away is no reason to stop a drain half way. Writing ends then,
/// and [`Output::failure`] tells at the end if it was anything else.
pub struct Output {
    sink: Box<dyn Write + Send>,
    styles: Styles,
    colored: bool,
    terminal: bool,
    width: usize,
    failure: Option<io::Error>,
}

impl Printer {
    /// The process's own streams.
    pub fn from_process(color: ColorChoice) -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some();
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
        let output = |sink: fn(bool) -> Box<dyn Write + Send>, terminal: bool| {
            let colored = is_colored(color, no_color, dumb, terminal);
            let width = columns.or_else(|| terminal.then(terminal_width).flatten()).unwrap_or(DEFAULT_WIDTH);
            Output::new(sink(colored), colored, terminal, width)
        };
        Self {
            out: output(|colored| stream(io::stdout(), colored), io::stdout().is_terminal()),
            err: output(|colored| stream(io::stderr(), colored), io::stderr().is_terminal()),
        }
    }

    /// A printer into memory for tests, 80 columns wide, and what will have been printed.
    pub fn captured(color: ColorChoice) -> (Self, Captured) {
        let captured = Captured::default();
        let output = |sink: &Sink| {
            let colored = color == ColorChoice::Always;
            Output::new(Box::new(sink.clone()), colored, false, DEFAULT_WIDTH)
        };
        (Self { out: output(&captured.out), err: output(&captured.err) }, captured)
    }

    /// Prints `Warning: TEXT` to stderr.
    pub fn warning(&mut self, warning: &str) {
        let word = self.err.styles.warning.style("Warning:").to_string();
        self.err.line(format_args!("{word} {}", text::one_line(warning)));
    }

    /// Prints an error and its hints to stderr.
    pub fn error(&mut self, error: &CliError) {
        let text = error.render(&self.err.styles);
        self.err.text(&text);
    }
}

impl Output {
    fn new(sink: Box<dyn Write + Send>, colored: bool, terminal: bool, width: usize) -> Self {
        let styles = if colored { Styles::colored() } else { Styles::default() };
        Self { sink, styles, colored, terminal, width, failure: None }
    }

    /// Prints a line without styles. Whatever it says, it stays one line and steers no terminal.
    pub fn plain(&mut self, line: impl Display) {
        self.line(text::one_line(&line.to_string()));
    }

    /// Prints a line that may hold styles. Strings of the API go through [`text::one_line`] first.
    pub fn line(&mut self, line: impl Display) {
        let mut text = String::new();
        let _ = writeln!(text, "{line}");
        self.text(&text);
    }

    /// Prints text as it is and adds nothing. Strings of the API go through [`text::multi_line`] first.
    pub fn text(&mut self, text: &str) {
        if self.failure.is_none()
            && let Err(error) = self.sink.write_all(text.as_bytes()).and_then(|()| self.sink.flush())
        {
            self.failure = Some(error);
        }
    }

    /// Prints a table.
    pub fn table<const N: usize>(&mut self, table: &Table<N>) {
        let text = table.render(&self.styles, self.width);
        self.text(&text);
    }

    /// Prints a document for programs.
    pub fn document(&mut self, format: Format, document: &impl Serialize) -> Result<(), CliError> {
        let text = match format {
            Format::Json => json(document)?,
            Format::Yaml => yaml(document)?,
        };
        // YAML leaves bidi characters as they are: to a program they are data, to a reader a trap.
        self.text(&if self.terminal { text::multi_line(&text) } else { text.into() });
        Ok(())
    }

    /// Prints a document as one line of JSON, for a stream of events.
    pub fn json_line(&mut self, document: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(document).map_err(|error| unserializable(&error))?;
        self.line(escape_json(&text));
        Ok(())
    }

    /// Prints one document of a stream: a line of JSON, or a document of YAML.
    pub fn streamed(&mut self, format: Format, document: &impl Serialize) -> Result<(), CliError> {
        match format {
            Format::Json => self.json_line(document),
            Format::Yaml => {
                self.line("---");
                self.document(format, document)
            }
        }
    }

    /// How things look here.
    pub fn styles(&self) -> &Styles {
        &self.styles
    }

    /// Whether escape sequences for colours are written.
    pub fn is_colored(&self) -> bool {
        self.colored
    }

    /// Whether a human looks at it.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Columns: of the terminal, of `COLUMNS`, else 80.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Why not everything was written. A reader that closed the pipe had enough: that is no failure.
    pub fn failure(&self) -> Option<&io::Error> {
        self.failure.as_ref().filter(|error| error.kind() != io::ErrorKind::BrokenPipe)
    }
}

/// What a captured printer printed so far.
#[derive(Debug, Clone, Default)]
pub struct Captured {
    out: Sink,
    err: Sink,
}

impl Captured {
    /// All of stdout.
    pub fn out(&self) -> String {
        self.out.text()
    }

    /// All of stderr.
    pub fn err(&self) -> String {
        self.err.text()
    }
}

#[derive(Debug, Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The flag decides, else `NO_COLOR` (its presence counts), a dumb terminal, and whether it is a terminal at all.
fn is_colored(choice: ColorChoice, no_color: bool, dumb: bool, terminal: bool) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => terminal && !no_color && !dumb,
    }
}

/// Without colour the stream also drops escape sequences that came in by mistake; with it old Windows consoles work.
fn stream<S>(stream: S, colored: bool) -> Box<dyn Write + Send>
where
    S: RawStream + AsLockedWrite + Send + 'static,
{
    let choice = if colored { anstream::ColorChoice::Always } else { anstream::ColorChoice::Never };
    Box::new(AutoStream::new(stream, choice))
}

fn terminal_width() -> Option<usize> {
    terminal_size::terminal_size().map(|(width, _)| usize::from(width.0))
}

fn json(document: &impl Serialize) -> Result<String, CliError> {
    let mut text = serde_json::to_string_pretty(document).map_err(|error| unserializable(&error))?;
    text.push('\n');
    Ok(escape_json(&text))
}

/// JSON allows DEL, C1 and bidi characters inside strings, a terminal should not see them; nowhere else can they be.
fn escape_json(json: &str) -> String {
    json.chars().fold(String::with_capacity(json.len()), |mut escaped, character| {
        if character == '\n' || text::is_harmless(character) {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
        escaped
    })
}

fn yaml(document: &impl Serialize) -> Result<String, CliError> {
    // Long lines stay whole, so that a message can be searched for.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: 100_000 };
    let mut text = String::new();
    serde_saphyr::to_fmt_writer_with_options(&mut text, document, options).map_err(|error| unserializable(&error))?;
    if text.chars().all(|character| character == '\n' || text::is_harmless(character)) {
        Ok(text)
    } else {
        // The YAML writer leaves bidi characters as they are; JSON is YAML as well, and escapes them.
        json(document)
    }
}

fn unserializable(error: &dyn Display) -> CliError {
    CliError::new(format!("the document cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_plain_line_stays_one_line_and_harmless() {
        let (mut printer, captured) = Printer::captured(ColorChoice::Always);
        printer.out.plain("no\u{1b}[31m\nnode/n drained\r\u{202e}");
        assert_eq!(captured.out(), "no^[[31m\\nnode/n drained\\r\\u{202e}\n");
    }

    #[test]
    fn documents_escape_what_a_terminal_should_not_see() {
        for format in [Format::Json, Format::Yaml] {
            let (mut printer, captured) = Printer::captured(ColorChoice::Never);
            printer.out.document(format, &json!({"name": "a\u{202e}b\u{e0041}\u{9b}"})).unwrap();
            assert_eq!(captured.out(), "{\n  \"name\": \"a\\u202eb\\udb40\\udc41\\u009b\"\n}\n");
        }
    }

    #[test]
    fn colour_is_decided_by_flag_then_environment_then_terminal() {
        use ColorChoice::{Always, Auto, Never};
        #[track_caller]
        fn check(choice: ColorChoice, [no_color, dumb, terminal]: [bool; 3], expected: bool) {
            assert_eq!(is_colored(choice, no_color, dumb, terminal), expected);
        }
        check(Auto, [false, false, true], true);
        check(Auto, [false, false, false], false);
        check(Auto, [true, false, true], false);
        check(Auto, [false, true, true], false);
        check(Always, [true, true, false], true);
        check(Never, [false, false, true], false);
    }

    #[test]
    fn documents_read_well() {
        let document = json!({
            "apiVersion": "disruption/v1alpha1",
            "answers": ["yes", "1", "null", "~", "2026-01-31", "1e3", "0x10", "", "plain"],
            "empty": {"list": [], "map": {}},
            "message": "a rather long message that goes on beyond the eightieth column, because that is how they are",
            "nested": [{"name": "a", "ports": [{"port": 1}]}],
            "none": null,
            "lines": "first\nsecond\n",
            "colon": "a: b # c",
            "escape": "\u{1b}[31m \u{9b} \u{7f} tab\t cr\r",
        });
        let (mut printer, captured) = Printer::captured(ColorChoice::Never);
        printer.out.document(Format::Yaml, &document).unwrap();
        insta::assert_snapshot!(captured.out().escape_debug().to_string().replace("\\n", "\n"), @r#"
        answers:
        - \"yes\"
        - \"1\"
        - \"null\"
        - \"~\"
        - \"2026-01-31\"
        - \"1e3\"
        - \"0x10\"
        - \"\"
        - plain
        apiVersion: disruption/v1alpha1
        colon: \"a: b # c\"
        empty:
          list: []
          map: {}
        escape: \"\\e[31m \\x9B \\x7F tab\\t cr\\r\"
        lines: |
          first
          second
        message: a rather long message that goes on beyond the eightieth column, because that is how they are
        nested:
        - name: a
          ports:
          - port: 1
        none: null
        "#);
        let (mut printer, captured) = Printer::captured(ColorChoice::Never);
        printer.out.document(Format::Json, &document["escape"]).unwrap();
        printer.out.json_line(&document["nested"]).unwrap();
        insta::assert_snapshot!(captured.out(), @r#"
        "\u001b[31m \u009b \u007f tab\t cr\r"
        [{"name":"a","ports":[{"port":1}]}]
        "#);
    }

    #[test]
    fn a_reader_that_leaves_is_no_failure() {
        struct Closed(io::ErrorKind);
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::new(Box::new(Closed(io::ErrorKind::BrokenPipe)), false, false, 80);
        output.line("x");
        assert!(output.failure().is_none());
        let mut output = Output::new(Box::new(Closed(io::ErrorKind::StorageFull)), false, false, 80);
        output.line("x");
        assert!(output.failure().is_some());
    }
}
