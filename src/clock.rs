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

/// A time as RFC 3339 writes it, in UTC and whole seconds: `2026-11-24T12:00:00Z`.
pub fn rfc3339(time: SystemTime) -> String {
    let seconds = to_unix(time);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Years that begin in March, so that a leap day is the last of its year: 400 of them, an era,
    // have 146,097 days, and the first began 719,468 days before 1970.
    let from_start = days + 719_468;
    let (era, day) = (from_start / 146_097, from_start % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_800_000_000, "2027-01-15T08:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(from_unix(seconds)), expected);
        }
    }
}
