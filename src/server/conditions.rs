//! The headers by which a client asks for a part, or only for what it does not have yet.

use crate::{mirror::ByteRange, oci::Digest};

/// The one range of a `Range` header (RFC 9110, 14.2). None for what a server is to ignore, so
/// that the whole is sent: another unit, broken syntax, more than one range.
pub(super) fn range(header: &str) -> Option<ByteRange> {
    let (unit, set) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = set.trim_matches([' ', '\t']).split_once('-')?;
    match (number(first), number(last)) {
        (Some(first), None) if last.is_empty() => Some(ByteRange::From(first)),
        (Some(first), Some(last)) if first <= last => Some(ByteRange::Between(first, last)),
        (None, Some(last)) if first.is_empty() => Some(ByteRange::Last(last)),
        _ => None,
    }
}

/// A number of bytes; one that no counter holds is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The entity tag of content: its digest in quotes, and a strong one, since the digest names the
/// bytes.
pub(super) fn etag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Whether an `If-None-Match` header names `etag` (RFC 9110, 13.1.2: compared weakly), so that a
/// client has the content already.
pub(super) fn has_already(if_none_match: &str, etag: &str) -> bool {
    if_none_match
        .split(',')
        .map(|tag| tag.trim_matches([' ', '\t']))
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// Whether an `If-Range` header lets a `Range` be honoured (RFC 9110, 13.1.5): only our own
/// strong tag does, since no date is ever sent.
pub(super) fn may_range(if_range: Option<&str>, etag: &str) -> bool {
    if_range.is_none_or(|tag| tag == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood() {
        for (header, range_) in [
            ("bytes=0-", ByteRange::From(0)),
            ("bytes=8388608-", ByteRange::From(8_388_608)),
            ("Bytes=0-0", ByteRange::Between(0, 0)),
            ("bytes= 1-2 ", ByteRange::Between(1, 2)),
            ("bytes=-500", ByteRange::Last(500)),
            ("bytes=1-99999999999999999999999", ByteRange::Between(1, u64::MAX)),
        ] {
            assert_eq!(range(header), Some(range_), "{header}");
        }
    }

    #[test]
    fn what_is_no_single_range_is_ignored() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=2-1",
            "bytes=+1-2",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes=1 - 2",
            "bytes=--1",
            "bytes=1-2-3",
        ] {
            assert_eq!(range(header), None, "{header}");
        }
    }

    #[test]
    fn a_client_with_the_content_is_known_by_its_tag() {
        let etag = etag(&Digest::sha256(b""));
        assert!(has_already("*", &etag));
        assert!(has_already(&etag, &etag));
        assert!(has_already(&format!("\"x\", W/{etag}"), &etag));
        assert!(!has_already("\"x\"", &etag));
        assert!(!has_already(etag.trim_matches('"'), &etag));
        assert!(may_range(None, &etag));
        assert!(may_range(Some(&etag), &etag));
        assert!(!may_range(Some("Mon, 23 Nov 2026 00:00:00 GMT"), &etag));
        assert!(!may_range(Some(&format!("W/{etag}")), &etag));
    }
}
