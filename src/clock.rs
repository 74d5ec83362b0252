//! Wall-clock time as something that is handed in, so that tests can move it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Where the time of day comes from. Timers do not go through it: those are tokio's, which a test
/// pauses. What is compared with a time that was written down goes through it.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now. May jump either way.
    fn now(&self) -> SystemTime;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The machine's clock, shared.
pub fn system() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

/// How long ago `then` was; nothing if the clock stands before it.
pub fn age(now: SystemTime, then: SystemTime) -> Duration {
    now.duration_since(then).unwrap_or_default()
}

/// Whole seconds since 1970, for what is written down; 0 for anything before.
pub fn to_unix(time: SystemTime) -> u64 {
    age(time, SystemTime::UNIX_EPOCH).as_secs()
}

/// The time that many seconds after 1970; the far future for anything a clock cannot hold.
pub fn from_unix(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799))
}
