//! Newtypes that parse and print themselves the way they are written in an inventory.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

mod kms_key;
mod secret;
#[cfg(test)]
mod tests;

pub use kms_key::KmsKey;
pub use secret::{MASK, Secret};

/// A number of bytes. Written `10GiB`, `500MB` or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A length of time. Written `30s`, `5m`, `1h`, `7d`, joined (`1h30m`), or a plain number of
/// seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

/// The longest [`Period`] that is accepted. Clocks take it without an overflow, and whoever writes
/// more has mistaken the unit.
pub(super) const LONGEST_PERIOD: Duration = Duration::from_secs(100 * 365 * DAY);

/// What a [`Size`] looks like, as a regular expression that JSON Schema and Rust both read.
pub(super) const SIZE_PATTERN: &str = "^[0-9]+ ?([KMGT]i?B|kB|B)?$";

/// What a [`Period`] looks like, likewise.
pub(super) const PERIOD_PATTERN: &str = "^([0-9]+(ms|s|m|h|d|w)?|([0-9]+(ms|s|m|h|d|w))+)$";

const DAY: u64 = 86_400;

/// Units of size, the larger first; of two that fit, the printed one is the first.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// Units of time in milliseconds, the larger first.
const PERIODS: [(&str, u64); 6] = [
    ("w", 7 * DAY * 1000),
    ("d", DAY * 1000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];

/// Text that is no size or no period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAUnit {
    /// It does not look like one.
    #[error("not a number with a unit")]
    Shape,
    /// The number is larger than can be meant.
    #[error("too large")]
    TooLarge,
}

impl FromStr for Size {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        let (number, unit) = split_number(text)?;
        let unit = unit.strip_prefix(' ').unwrap_or(unit);
        let factor = match unit {
            "" => 1,
            "KB" => 1000,
            unit => scale(&SIZES, unit).ok_or(NotAUnit::Shape)?,
        };
        number.checked_mul(factor).map(Self).ok_or(NotAUnit::TooLarge)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZES.iter().find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) if *factor > 1 => write!(f, "{}{unit}", self.0 / factor),
            _ => write!(f, "{}", self.0),
        }
    }
}

impl FromStr for Period {
    type Err = NotAUnit;

    fn from_str(text: &str) -> Result<Self, NotAUnit> {
        let mut rest = text;
        let mut total: u64 = 0;
        loop {
            let (number, tail) = split_number(rest)?;
            let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit);
            let factor = match unit {
                "" if rest.len() == text.len() => 1000,
                unit => scale(&PERIODS, unit).ok_or(NotAUnit::Shape)?,
            };
            total = number
                .checked_mul(factor)
                .and_then(|part| total.checked_add(part))
                .ok_or(NotAUnit::TooLarge)?;
            if tail.is_empty() {
                break;
            }
            rest = tail;
        }
        let period = Duration::from_millis(total);
        if period > LONGEST_PERIOD { Err(NotAUnit::TooLarge) } else { Ok(Self(period)) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        if left == 0 {
            return f.write_str("0s");
        }
        // Weeks are read and never printed: `30d` should not come back as `4w2d`.
        for (unit, factor) in PERIODS.iter().skip(1) {
            if left >= *factor {
                write!(f, "{}{unit}", left / factor)?;
                left %= factor;
            }
        }
        Ok(())
    }
}

/// Cuts `text` after its leading digits, of which there is at least one.
fn split_number(text: &str) -> Result<(u64, &str), NotAUnit> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Err(NotAUnit::Shape);
    }
    digits.parse().map(|number| (number, rest)).map_err(|_| NotAUnit::TooLarge)
}

fn scale(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor)
}

macro_rules! serde_as_written {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

serde_as_written!(Size, Period);
