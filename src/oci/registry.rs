//! Names of registries.

use url::Url;

/// Name of Docker Hub.
pub const DOCKER_HUB: &str = "docker.io";

/// Names under which clients know Docker Hub.
const DOCKER_HUB_HOSTS: [&str; 3] = [DOCKER_HUB, "index.docker.io", "registry-1.docker.io"];

/// Returns true for a host of Docker Hub in lower case.
pub fn is_docker_hub(host: &str) -> bool {
    DOCKER_HUB_HOSTS.contains(&host)
}

/// `host[:port]` of a registry's URL as it stands there, in lower case and without account.
pub fn authority(url: &str) -> Option<String> {
    let rest = url.split_once("://").map(|(_, rest)| rest)?;
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.rsplit('@').next().map(str::to_ascii_lowercase)
}

/// Name of the registry at `url`: [`DOCKER_HUB`], else `host[:port]` in lower case and in ASCII,
/// without the port that goes without saying.
pub fn registry_name(url: &str) -> String {
    let parsed = Url::parse(url).ok();
    let host = parsed.as_ref().and_then(Url::host_str).unwrap_or_default();
    match parsed.as_ref().and_then(Url::port) {
        Some(port) => format!("{host}:{port}"),
        None if is_docker_hub(host) => DOCKER_HUB.to_owned(),
        None => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_one_name_however_its_url_is_written() {
        for (url, name) in [
            ("https://registry-1.docker.io", DOCKER_HUB),
            ("https://Registry-1.Docker.IO:443/", DOCKER_HUB),
            ("https://index.docker.io", DOCKER_HUB),
            ("https://docker.io/", DOCKER_HUB),
            ("https://Hub.Example", "hub.example"),
            ("https://hub.example:443/x", "hub.example"),
            ("https://bücher.example", "xn--bcher-kva.example"),
            ("https://registry-1.docker.io:8443", "registry-1.docker.io:8443"),
            ("https://hub.example:8443", "hub.example:8443"),
            ("http://hub.example:443", "hub.example:443"),
            ("http://127.0.0.1:80", "127.0.0.1"),
            ("http://[::1]:5000", "[::1]:5000"),
            ("https://docker.io.evil.example", "docker.io.evil.example"),
        ] {
            assert_eq!(registry_name(url), name, "{url}");
        }
    }
}
