//! The admin port: health and metrics, open to who reaches it, and to no web page. What it serves
//! only to some is [`super::api`]'s.

use std::{net::IpAddr, sync::Arc};

use actix_web::{
    HttpRequest, HttpResponse,
    body::BoxBody,
    http::{
        Method, StatusCode,
        header::{ALLOW, CONTENT_TYPE, HOST, HeaderValue, ORIGIN},
    },
};
use serde_json::json;

use super::{Shared, handler::livez, headers::JSON};

const METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The admin port's answers.
pub(super) struct Admin {
    shared: Arc<Shared>,
    /// The address it was told to listen on.
    configured: IpAddr,
}

impl Admin {
    /// Answers on the address `configured`.
    pub(super) fn new(shared: Arc<Shared>, configured: IpAddr) -> Self {
        Self { shared, configured }
    }

    /// What all workers share.
    pub(super) fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }

    /// Why a request is refused, whatever it asks for.
    pub(super) fn refused(&self, request: &HttpRequest) -> Option<HttpResponse> {
        if request.headers().contains_key(ORIGIN) {
            return Some(plain(StatusCode::FORBIDDEN, "requests of web pages are refused\n"));
        }
        let host = request.headers().get(HOST).map(|host| host.to_str().unwrap_or_default());
        if !host.is_none_or(|host| is_ours(host, self.configured)) {
            return Some(plain(StatusCode::FORBIDDEN, "the Host header names another host\n"));
        }
        None
    }

    /// The answer to a request that is not refused and asks for no job.
    pub(super) fn answer(&self, request: &HttpRequest) -> HttpResponse {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/livez" => livez(self.shared.is_draining()),
            "/readyz" => self.readyz(),
            "/metrics" => {
                self.shared.mirror.measure();
                let text = self.shared.metrics.text();
                let mut response = HttpResponse::with_body(StatusCode::OK, BoxBody::new(text));
                response.headers_mut().insert(CONTENT_TYPE, METRICS);
                response
            }
            _ => plain(StatusCode::NOT_FOUND, "there is nothing here\n"),
        }
    }

    /// Each part and what is wrong with it. A node without its store or without the upstream
    /// still serves; only one that has neither, nor a disk, or that is going, is not ready.
    fn readyz(&self) -> HttpResponse {
        let health = self.shared.mirror.health();
        let draining = self.shared.is_draining();
        let helpless =
            health.store.is_some() && health.upstream.is_some() && health.spool.is_some();
        let ready = !draining && !helpless;
        let part = |why: Option<String>| match why {
            Some(why) => json!({ "status": "degraded", "why": why }),
            None => json!({ "status": "ok" }),
        };
        let body = json!({
            "ready": ready,
            "draining": draining,
            "parts": {
                "store": part(health.store),
                "upstream": part(health.upstream),
                "spool": part(health.spool),
            },
        });
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let mut response = HttpResponse::with_body(status, BoxBody::new(format!("{body}\n")));
        response.headers_mut().insert(CONTENT_TYPE, JSON.clone());
        response
    }
}

fn plain(status: StatusCode, text: &'static str) -> HttpResponse {
    HttpResponse::with_body(status, BoxBody::new(text))
}

/// Whether a `Host` header names this port: a loopback name, or the configured address. Where
/// that is no address in particular, any address will do; a name will not, since a web page can
/// make a name of its own point here (DNS rebinding).
fn is_ours(host: &str, configured: IpAddr) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let name = name.strip_prefix('[').and_then(|n| n.strip_suffix(']')).unwrap_or(name);
    name.parse::<IpAddr>()
        .is_ok_and(|ip| ip.is_loopback() || ip == configured || configured.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_are_ours_are_answered() {
        let node: IpAddr = "10.0.0.5".parse().unwrap();
        let any: IpAddr = "0.0.0.0".parse().unwrap();
        for host in ["localhost", "LOCALHOST:5002", "127.0.0.1:5002", "[::1]:5002"] {
            assert!(is_ours(host, node), "{host}");
        }
        assert!(is_ours("10.0.0.5:5002", node));
        assert!(!is_ours("10.0.0.6:5002", node));
        assert!(is_ours("10.0.0.6:5002", any));
        for host in ["", "evil.example", "localhost.evil.example:5002", "127.0.0.1.evil.example"] {
            assert!(!is_ours(host, node), "{host}");
            assert!(!is_ours(host, any), "{host}");
        }
    }
}
