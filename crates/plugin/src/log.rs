//! What `-v` shows, on stderr: never another library's lines below `-v 8`.

use std::fmt;

use tracing::{Event, Level, Subscriber, level_filters::LevelFilter};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// From here on each request is a line, as with kubectl.
const REQUESTS: i32 = 6;

/// From here on kube's own lines are shown.
const LIBRARIES: i32 = 8;

/// Starts logging for the crates of this workspace and the plugin's own crate.
pub(crate) fn start(verbosity: i32, plugin_crate: &str) {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).event_format(Line);
    // A second start, as in tests, changes nothing.
    let _ = tracing_subscriber::registry().with(lines).with(targets(verbosity, plugin_crate)).try_init();
}

fn targets(verbosity: i32, plugin_crate: &str) -> Targets {
    let own = match verbosity {
        ..2 => LevelFilter::WARN,
        2..4 => LevelFilter::INFO,
        4..REQUESTS => LevelFilter::DEBUG,
        REQUESTS.. => LevelFilter::TRACE,
    };
    let requests = if verbosity >= REQUESTS { LevelFilter::INFO } else { LevelFilter::OFF };
    let libraries = if verbosity >= LIBRARIES { LevelFilter::DEBUG } else { LevelFilter::OFF };
    Targets::new()
        .with_default(libraries)
        .with_targets(["cluster", "disruption", "plugin", plugin_crate].map(|own_crate| (own_crate, own)))
        .with_target(cluster::connect::REQUEST_LOG, requests)
}

/// One event, one line: `Warning: TEXT` as kubectl, else the level's letter and the text.
struct Line;

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let prefix = match *event.metadata().level() {
            Level::ERROR => "error:",
            Level::WARN => "Warning:",
            Level::INFO => "I",
            Level::DEBUG => "D",
            Level::TRACE => "T",
        };
        write!(writer, "{prefix} ")?;
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbosity_opens_one_thing_after_another() {
        #[track_caller]
        fn check(verbosity: i32, target: &str, level: Level, shown: bool) {
            assert_eq!(targets(verbosity, "kubectl_x").would_enable(target, &level), shown, "-v {verbosity} {target}");
        }
        check(0, "cluster::connect::kubeconfig", Level::WARN, true);
        check(0, "cluster::connect", Level::INFO, false);
        check(0, "kube_client::client::builder", Level::ERROR, false);
        check(4, "kubectl_x", Level::DEBUG, true);
        check(5, cluster::connect::REQUEST_LOG, Level::INFO, false);
        check(6, cluster::connect::REQUEST_LOG, Level::INFO, true);
        check(7, "kube_client::client", Level::ERROR, false);
        check(8, "kube_client::client", Level::DEBUG, true);
    }
}
