//! The few headers of an upstream that are read. Whatever stands in them, these never panic: what
//! is not understood is as good as absent.

use std::time::{Duration, SystemTime};

use crate::clock;

/// The shortest and the longest that a `Retry-After` is believed.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(6 * 3600));

/// Number of a `ratelimit-limit` or `ratelimit-remaining` header, as Docker Hub writes them:
/// `100;w=21600`.
pub(super) fn rate(value: &str) -> Option<u64> {
    value.split(';').next()?.trim().parse().ok()
}

/// How long `Retry-After` asks to wait: seconds or a date (RFC 9110, 10.2.3), 1 s to 6 h.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let wait = match value.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        // Digits that overflow mean longer than anything; anything else may be a date.
        Err(_) if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) => Duration::MAX,
        Err(_) => clock::age(httpdate::parse_http_date(value).ok()?, now),
    };
    Some(wait.clamp(RETRY_AFTER.0, RETRY_AFTER.1))
}

/// First byte, last byte, and the whole's length if it is told, of a `Content-Range` (RFC 9110,
/// 14.4).
pub(super) fn content_range(value: &str) -> Option<(u64, u64, Option<u64>)> {
    let (range, total) = value.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (first.parse().ok()?, last.parse().ok()?);
    let total = match total {
        "*" => None,
        total => Some(total.parse().ok()?),
    };
    (first <= last && total.is_none_or(|total| last < total)).then_some((first, last, total))
}

/// The query of the link with `rel="next"` (RFC 8288), relative or absolute; its host and path are
/// dropped, since the next page is asked of the same place.
pub(super) fn next_query(value: &str) -> Option<String> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        let (parameters, next) = after.split_at(end);
        let is_next = parameters.split([';', ',']).any(|parameter| {
            let (key, value) = parameter.split_once('=').unwrap_or_default();
            key.trim().eq_ignore_ascii_case("rel")
                && value
                    .trim()
                    .trim_matches('"')
                    .split_ascii_whitespace()
                    .any(|relation| relation.eq_ignore_ascii_case("next"))
        });
        if is_next {
            let (_, query) = target.split_once('?')?;
            let query = query.split('#').next().unwrap_or_default();
            let clean = !query.is_empty() && query.bytes().all(|b| b.is_ascii_graphic());
            return clean.then(|| query.to_owned());
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests;
