//! Log lines: where they go and what they look like.

use std::{
    fmt,
    io::{self, IsTerminal},
};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt as lines,
    layer::{Layered, SubscriberExt},
    reload,
    util::SubscriberInitExt,
};

use crate::settings::{LogFormat, LogLevel};

type Filter = reload::Layer<Targets, Registry>;
type Filtered = Layered<Filter, Registry>;
type Lines = Box<dyn Layer<Filtered> + Send + Sync>;

/// Lines that are written already, to be written otherwise.
#[derive(Clone)]
pub struct Logs {
    filter: reload::Handle<Targets, Registry>,
    lines: reload::Handle<Lines, Filtered>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

impl Logs {
    /// Sends log lines to standard error from now on. Only our own: a library's may hold a signed
    /// URL or a header, and says nothing that ours do not.
    ///
    /// None where lines are sent somewhere already, as in tests.
    pub fn to_stderr(level: LogLevel, format: LogFormat) -> Option<Self> {
        let (ours, filter) = reload::Layer::new(ours(level));
        let (layer, lines) = reload::Layer::new(written(format));
        tracing_subscriber::registry().with(ours).with(layer).try_init().ok()?;
        Some(Self { filter, lines })
    }

    /// Writes the lines that follow in this way.
    pub fn change(&self, level: LogLevel, format: LogFormat) {
        // They fail where the subscriber is gone, and with it whoever would read a line.
        let _ = self.filter.reload(ours(level));
        let _ = self.lines.reload(written(format));
    }
}

fn ours(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_target(env!("CARGO_CRATE_NAME"), level)
}

fn written(format: LogFormat) -> Lines {
    match format {
        LogFormat::Text => lines::layer()
            .with_writer(io::stderr)
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => {
            lines::layer().with_writer(io::stderr).json().flatten_event(true).boxed()
        }
    }
}
