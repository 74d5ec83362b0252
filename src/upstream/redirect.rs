//! Where a redirect may lead, and what goes along.

use std::{net::IpAddr, sync::Arc};

use url::{Host, Url};

use super::{
    UpstreamError,
    routable::{Trusted, is_global},
};

/// How many redirects are followed for one request.
pub(super) const MAX_HOPS: usize = 5;

/// The rules of one upstream.
#[derive(Clone, Debug)]
pub(super) struct Redirects {
    upstream: Url,
    trusted: Arc<Trusted>,
}

impl Redirects {
    pub(super) fn new(upstream: Url, trusted: Arc<Trusted>) -> Self {
        Self { upstream, trusted }
    }

    /// The address that `location` means, seen from `from`, if it may be asked: https, unless the
    /// upstream itself is http; and a host that is the upstream's own, configured, or not known to
    /// be anything but globally routable. What a name resolves to is checked when it is connected
    /// to.
    ///
    /// # Errors
    /// It may not, or is no address at all. The error names nothing of it: what the upstream signs
    /// is a secret, and a log is read by many.
    pub(super) fn follow(&self, from: &Url, location: &str) -> Result<Url, UpstreamError> {
        let bad = UpstreamError::lasting;
        let to = from.join(location).map_err(|_| bad("redirected to something malformed"))?;
        let plain = to.scheme() == "http" && self.upstream.scheme() == "http";
        if to.scheme() != "https" && !plain {
            return Err(bad("redirected to an address that is not https"));
        }
        if !to.username().is_empty() || to.password().is_some() {
            return Err(bad("redirected to an address with a user name in it"));
        }
        let address: Option<IpAddr> = match to.host() {
            None => return Err(bad("redirected to an address without a host")),
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(v4)) => Some(v4.into()),
            Some(Host::Ipv6(v6)) => Some(v6.into()),
        };
        let trusted = to.host_str().is_some_and(|host| self.trusted.contains(host));
        if address.is_some_and(|address| !trusted && !is_global(address)) {
            return Err(bad("redirected to an address that is not globally routable"));
        }
        Ok(to)
    }

    /// Whether a host is the upstream's own or shares its scheme, host and port: only there does
    /// `Authorization` go.
    pub(super) fn is_upstream(&self, url: &Url) -> bool {
        url.origin() == self.upstream.origin()
    }

    /// Whether a token service at `realm` may be told our credential: at the upstream's own host
    /// or in its registrable domain, by https unless the upstream is http.
    pub(super) fn is_own_realm(&self, realm: &Url) -> bool {
        let secure = realm.scheme() == "https"
            || (realm.scheme() == "http" && self.upstream.scheme() == "http");
        let (Some(theirs), Some(ours)) = (realm.host(), self.upstream.host()) else {
            return false;
        };
        let close = match (theirs, ours) {
            (Host::Domain(theirs), Host::Domain(ours)) => {
                theirs == ours
                    || (registrable(theirs).is_some() && registrable(theirs) == registrable(ours))
            }
            (theirs, ours) => theirs == ours,
        };
        secure && close && realm.username().is_empty() && realm.password().is_none()
    }
}

/// The part of a domain that someone registered: its last two labels, or three where the last two
/// look like a registry's own (`co.uk`, `com.au`). There is no list of public suffixes here; for
/// what the rule gets wrong, a realm on the upstream's own host always works.
fn registrable(domain: &str) -> Option<&str> {
    let domain = domain.trim_end_matches('.');
    let mut labels = domain.rsplit('.');
    let (top, second) = (labels.next()?, labels.next()?);
    let mut len = top.len() + 1 + second.len();
    if top.len() == 2 && second.len() <= 3 {
        len += 1 + labels.next()?.len();
    }
    domain.get(domain.len().checked_sub(len)?..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(upstream: &str) -> Redirects {
        let upstream: Url = upstream.parse().unwrap();
        let mut trusted = Trusted::default();
        trusted.add(upstream.host_str().unwrap());
        trusted.add("10.0.0.7");
        Redirects::new(upstream, Arc::new(trusted))
    }

    fn follow(upstream: &str, location: &str) -> Option<String> {
        let rules = rules(upstream);
        let from = rules.upstream.join("/v2/a/b/blobs/x").unwrap();
        rules.follow(&from, location).ok().map(String::from)
    }

    #[test]
    fn redirects_lead_only_where_they_may() {
        let hub = "https://registry-1.docker.io";
        for good in [
            "https://production.cloudflare.docker.com/x?verify=1",
            "https://1.1.1.1/x",
            "https://10.0.0.7/configured",
            "/elsewhere",
            "../relative",
            "//cdn.example/x",
        ] {
            assert!(follow(hub, good).is_some(), "{good} was refused");
        }
        for bad in [
            "http://production.cloudflare.docker.com/x",
            "http://registry-1.docker.io/x",
            "https://127.0.0.1/x",
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://user:password@cdn.example/x",
            "ftp://cdn.example/x",
            "file:///etc/passwd",
            "https://",
        ] {
            assert!(follow(hub, bad).is_none(), "{bad} was followed");
        }
        let local = "http://127.0.0.1:5000";
        assert!(follow(local, "http://127.0.0.1:9/x").is_some(), "the upstream's own host");
        assert!(follow(local, "http://127.0.0.2/x").is_none());
    }

    #[test]
    fn a_refusal_names_nothing_of_the_address() {
        let hub = rules("https://registry-1.docker.io");
        let error = hub.follow(&hub.upstream, "http://cdn.example/?X-Amz-Signature=topsecret");
        assert!(!error.unwrap_err().to_string().contains("topsecret"));
    }

    #[test]
    fn authorization_stays_with_scheme_host_and_port() {
        let hub = rules("https://registry-1.docker.io");
        let is = |url: &str| hub.is_upstream(&url.parse().unwrap());
        assert!(is("https://registry-1.docker.io:443/x"));
        for other in [
            "http://registry-1.docker.io/x",
            "https://registry-1.docker.io:5000/x",
            "https://auth.docker.io/x",
        ] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn realms_are_bound_to_the_upstreams_domain() {
        let realm =
            |upstream: &str, realm: &str| rules(upstream).is_own_realm(&realm.parse().unwrap());
        assert!(realm("https://registry-1.docker.io", "https://auth.docker.io/token"));
        assert!(realm("https://docker.io", "https://auth.docker.io/token"));
        assert!(realm("http://127.0.0.1:1", "http://127.0.0.1:2/token"));
        assert!(realm("http://registry:5000", "http://registry:5001/token"));
        assert!(realm("https://a.example.co.uk", "https://b.example.co.uk/token"));
        for (upstream, bad) in [
            ("https://registry-1.docker.io", "http://auth.docker.io/token"),
            ("https://registry-1.docker.io", "https://docker.io.evil.example/token"),
            ("https://registry-1.docker.io", "https://evildocker.io/token"),
            ("https://registry-1.docker.io", "https://127.0.0.1/token"),
            ("https://registry-1.docker.io", "https://me:you@auth.docker.io/token"),
            ("https://registry.example.co.uk", "https://evil.co.uk/token"),
            ("http://registry:5000", "http://other:5000/token"),
            ("http://10.0.0.1", "http://11.0.0.1/token"),
        ] {
            assert!(!realm(upstream, bad), "{bad} was taken for {upstream}");
        }
    }
}
