//! Log lines: where they go and what they look like.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::settings::{LogFormat, LogLevel};

/// Sends log lines to standard error from now on. Only our own: a library's may hold a signed
/// URL or a header, and says nothing that ours do not.
///
/// Does nothing where lines are sent somewhere already, as in tests.
pub fn log_to_stderr(level: LogLevel, format: LogFormat) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let registry = tracing_subscriber::registry().with(ours);
    let outcome = match format {
        LogFormat::Text => {
            let lines = fmt::layer()
                .with_writer(io::stderr)
                .with_target(false)
                .with_ansi(io::stderr().is_terminal());
            registry.with(lines).try_init()
        }
        LogFormat::Json => {
            let lines = fmt::layer().with_writer(io::stderr).json().flatten_event(true);
            registry.with(lines).try_init()
        }
    };
    // Somebody was first, and keeps it.
    let _ = outcome;
}
