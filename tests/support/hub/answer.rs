//! Requests and answers as values.

use bytes::Bytes;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Request {
    /// The values of a header, joined as HTTP allows.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(of, _)| of.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// A parameter of the query, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    pub(super) fn target(&self) -> String {
        if self.query.is_empty() {
            self.path.clone()
        } else {
            format!("{}?{}", self.path, self.query)
        }
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// The `Content-Range` start and total, so that a fault can lie about them.
    pub(super) range: Option<(u64, u64)>,
}

impl Answer {
    pub(super) fn new(status: u16, media_type: &str, body: impl Into<Bytes>) -> Self {
        let headers = vec![("Content-Type".to_owned(), media_type.to_owned())];
        Self { status, headers, body: body.into(), range: None }
    }

    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// An error as the distribution spec writes it.
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        Self::json(status, &json!({"errors": [{"code": code, "message": message, "detail": null}]}))
    }

    /// The abuse limit: no JSON.
    pub(super) fn abuse(retry_after: Option<u64>) -> Self {
        let answer = Self::new(429, "text/plain; charset=utf-8", "429 Too Many Requests\n");
        match retry_after {
            Some(seconds) => answer.with("Retry-After", seconds.to_string()),
            None => answer,
        }
    }

    pub(super) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The whole of `content`, or what `Range` asks of it.
    pub(super) fn content(request: &Request, content: &Bytes) -> Self {
        let whole = || {
            Self::new(200, "application/octet-stream", content.clone())
                .with("Accept-Ranges", "bytes")
        };
        let Some(range) = request.header("range") else { return whole() };
        let total = content.len() as u64;
        match parse_range(&range, total) {
            None => whole(),
            Some(Err(())) => {
                Self::new(416, "text/plain", "").with("Content-Range", format!("bytes */{total}"))
            }
            Some(Ok((start, end))) => {
                let part = content.slice(start as usize..end as usize);
                let mut answer = Self::new(206, "application/octet-stream", part);
                answer.range = Some((start, total));
                answer
            }
        }
    }
}

/// Start and end (excluded) of a single range; an error for one that lies outside.
fn parse_range(text: &str, total: u64) -> Option<Result<(u64, u64), ()>> {
    let (start, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start: u64 = start.parse().ok()?;
    let end = if last.is_empty() { total } else { (last.parse::<u64>().ok()? + 1).min(total) };
    Some(if start < end { Ok((start, end)) } else { Err(()) })
}
