//! Which addresses a redirect may lead to. A registry that is told to answer "go to
//! `http://169.254.169.254/`" must not make this node fetch its own cloud credentials.

use std::{
    collections::HashSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Whether an address is globally routable, by IANA's special-purpose registries for IPv4 and
/// IPv6. An IPv6 address that carries an IPv4 address is judged by that.
pub(super) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0
        || a == 10
        || a == 127
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113);
    !special
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_global_v4(Ipv4Addr::new(a, b, c, d))
    };
    match (a, b) {
        // v4-mapped.
        (0, 0) if [c, d, e] == [0, 0, 0] && f == 0xffff => embedded(g, h),
        // NAT64 (RFC 6052).
        (0x64, 0xff9b) if [c, d, e, f] == [0, 0, 0, 0] => embedded(g, h),
        // 6to4 (RFC 3056).
        (0x2002, high) => embedded(high, c),
        // Teredo, benchmarking, ORCHID and the rest of the IETF's own block; documentation.
        (0x2001, b) => b >= 0x200 && b != 0xdb8,
        (0x3fff, b) => b >= 0x1000,
        // Of everything else only 2000::/3 is given out as global unicast.
        _ => a & 0xe000 == 0x2000,
    }
}

/// Looks names up, and refuses one of a foreign host if any of its addresses is not globally
/// routable: the check is made on the addresses that are then connected to.
#[derive(Clone, Debug)]
pub(super) struct GuardedResolver {
    /// Hosts that may be anywhere: the upstream's own, the proxy, those that were configured.
    pub(super) trusted: Arc<Trusted>,
}

/// Hosts that a redirect may lead to wherever they are.
#[derive(Debug, Default)]
pub(super) struct Trusted {
    hosts: HashSet<String>,
    suffixes: Vec<String>,
}

impl Trusted {
    /// Adds a host, or with `*.` in front every host below a domain.
    pub(super) fn add(&mut self, host: &str) {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        match host.strip_prefix('*') {
            Some(suffix) => self.suffixes.push(suffix.to_owned()),
            None => {
                self.hosts.insert(host);
            }
        }
    }

    pub(super) fn contains(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.hosts.contains(&host) || self.suffixes.iter().any(|suffix| host.ends_with(suffix))
    }
}

/// Why a name was not resolved; found again in the client's error, to be told in our own words.
#[derive(Debug)]
pub(super) struct NotRoutable;

impl fmt::Display for NotRoutable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address that is not globally routable")
    }
}

impl std::error::Error for NotRoutable {}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let trusted = self.trusted.contains(name.as_str());
        Box::pin(async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !trusted && !found.iter().all(|address| is_global(address.ip())) {
                return Err(NotRoutable.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
