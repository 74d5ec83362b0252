use proptest::prelude::*;

use super::*;

#[test]
fn rates_are_read_as_the_hub_writes_them() {
    for (text, number) in [
        ("100;w=21600", Some(100)),
        ("0;w=21600", Some(0)),
        (" 76 ; w=1", Some(76)),
        ("7", Some(7)),
        ("", None),
        (";w=1", None),
        ("-1;w=1", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(rate(text), number, "`{text}`");
    }
}

#[test]
fn retry_after_is_seconds_or_a_date_within_bounds() {
    let now = clock::from_unix(1_700_000_000);
    let date = httpdate::fmt_http_date(now + Duration::from_secs(90));
    let past = httpdate::fmt_http_date(now - Duration::from_secs(90));
    for (text, seconds) in [
        ("7", Some(7)),
        (" 7 ", Some(7)),
        ("0", Some(1)),
        ("86400", Some(21_600)),
        ("99999999999999999999999", Some(21_600)),
        (date.as_str(), Some(90)),
        (past.as_str(), Some(1)),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
    ] {
        assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "`{text}`");
    }
}

#[test]
fn content_ranges_must_make_sense() {
    for (text, range) in [
        ("bytes 5-9/10", Some((5, 9, Some(10)))),
        ("bytes 5-9/*", Some((5, 9, None))),
        ("bytes 0-0/1", Some((0, 0, Some(1)))),
        ("bytes */10", None),
        ("bytes 9-5/10", None),
        ("bytes 5-10/10", None),
        ("bytes 5-9", None),
        ("items 5-9/10", None),
        ("bytes a-b/c", None),
        ("", None),
    ] {
        assert_eq!(content_range(text), range, "`{text}`");
    }
}

#[test]
fn the_next_page_is_found_wherever_it_points() {
    for (text, query) in [
        ("</v2/a/tags/list?last=x&n=2>; rel=\"next\"", Some("last=x&n=2")),
        ("<https://elsewhere.example/v2/a/tags/list?n=2>; rel=next", Some("n=2")),
        ("</a?x=1>; rel=\"prev\", </a?x=2>; rel=\"next\"", Some("x=2")),
        ("</a?x=1>; title=\"a\"; REL=\"up next\"", Some("x=1")),
        ("</a?x=1#part>; rel=next", Some("x=1")),
        ("</a>; rel=next", None),
        ("</a?>; rel=next", None),
        ("</a?x y>; rel=next", None),
        ("</a?x=1>; rel=last", None),
        ("</a?x=1", None),
        ("", None),
    ] {
        assert_eq!(next_query(text).as_deref(), query, "`{text}`");
    }
}

proptest! {
    #[test]
    fn nothing_makes_them_panic(text in "\\PC*", odd in "[<>;,=\"/? a-z0-9*-]{0,40}") {
        for text in [&text, &odd, &format!("bytes {odd}")] {
            let _ = (rate(text), content_range(text), next_query(text));
            if let Some(wait) = retry_after(text, SystemTime::UNIX_EPOCH) {
                prop_assert!((RETRY_AFTER.0..=RETRY_AFTER.1).contains(&wait));
            }
        }
    }
}
