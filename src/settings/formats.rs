//! Forms of text that a regular expression cannot tell. The settings schema names them as
//! `format`; whoever does not know a format ignores it.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use url::{Host, Url};

use super::units::{Period, Size};

/// The name of a format, and whether a text has it.
pub(super) type Format = (&'static str, fn(&str) -> bool);

pub(super) const ALL: [Format; 13] = [
    ("size", |text| text.parse::<Size>().is_ok()),
    ("period", |text| text.parse::<Period>().is_ok()),
    ("interval", |text| text.parse::<Period>().is_ok_and(|Period(p)| p >= SHORTEST_INTERVAL)),
    ("wait", |text| text.parse::<Period>().is_ok_and(|Period(p)| p <= LONGEST_WAIT)),
    ("ip-address", |text| text.parse::<IpAddr>().is_ok()),
    ("socket-address", |text| text.parse::<SocketAddr>().is_ok_and(|socket| socket.port() > 0)),
    ("registry-url", |text| http(text).is_some_and(|url| is_bare(&url) && !is_api(&url))),
    ("service-url", |text| http(text).is_some_and(|url| is_bare(&url))),
    ("proxy-url", |text| http(text).is_some_and(|url| url.query().is_none())),
    ("domain", |text| text.is_empty() || text.split('.').all(is_label)),
    ("host-pattern", |text| is_host(text.strip_prefix("*.").unwrap_or(text))),
    ("peer", is_peer),
    ("tag-pattern", is_tag_pattern),
];

/// Something that is done again and again is not done more often.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Something that holds up the end of the program is not longer.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

fn http(text: &str) -> Option<Url> {
    // The parser forgives blanks, line feeds and backslashes; whoever reads the setting after us
    // might not.
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return None;
    }
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    if rest.starts_with('/') {
        return None;
    }
    Url::parse(text).ok().filter(Url::has_host)
}

/// Whether it names a place and nothing else: no account, no query, no fragment.
fn is_bare(url: &Url) -> bool {
    url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// Whether it names the API below a registry, which is added anyway.
fn is_api(url: &Url) -> bool {
    url.path().trim_end_matches('/').ends_with("/v2")
}

/// Whether an address that should be bare holds an account, so that a message must not quote it.
pub(super) fn holds_account(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

fn is_host(text: &str) -> bool {
    !text.is_empty()
        && !text.contains(['/', ':', '*', '@', '?', '#', '%'])
        && matches!(Host::parse(text), Ok(Host::Domain(_) | Host::Ipv4(_)))
}

/// RFC 1123 section 2.1.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && !text.ends_with('-')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_peer(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let port = port.parse::<u16>().is_ok_and(|port| port > 0);
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    port && bracketed.map_or_else(|| is_host(host), |host| host.parse::<IpAddr>().is_ok())
}

fn is_tag_pattern(text: &str) -> bool {
    let Some((repository, tag)) = text.rsplit_once(':') else { return false };
    let of = |text: &str, more: &[char]| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '*' || more.contains(&c))
    };
    of(repository, &['.', '_', '-', '/'])
        && !repository.contains(|c: char| c.is_ascii_uppercase())
        && of(tag, &['.', '_', '-'])
}
