//! A worker's own memory of manifests: from a request's path and query as they came to an answer
//! that is ready. Nothing in it is shared with other workers.

use std::{collections::HashMap, mem, rc::Rc, time::SystemTime};

use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, ETAG, HeaderValue},
    },
};
use bytes::Bytes;

use super::{
    conditions::etag,
    headers::{API_VERSION, DIGEST, NAMESPACE, V2, value},
};
use crate::{
    mirror::Manifest,
    oci::{Digest, Name},
};

/// The longest path and query that is remembered, in bytes.
const MAX_KEY: usize = 512;
/// The largest manifest that is remembered, in bytes; nearly all are below 20 KiB.
const MAX_BYTES: usize = 256 << 10;
/// The most answers in each of the two generations.
const MAX_ENTRIES: usize = 1024;

/// A manifest with everything that goes out with it.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) name: Name,
    pub(super) digest: Digest,
    pub(super) etag: HeaderValue,
    pub(super) bytes: Bytes,
    fresh_until: SystemTime,
    digest_value: HeaderValue,
    media_type: HeaderValue,
    namespace: Option<HeaderValue>,
}

impl Ready {
    /// The answer that `manifest` is, with these bytes.
    pub(super) fn new(
        name: &Name,
        manifest: &Manifest,
        bytes: Bytes,
        namespace: Option<HeaderValue>,
    ) -> Self {
        Self {
            name: name.clone(),
            digest: manifest.digest,
            etag: value(&etag(&manifest.digest)),
            bytes,
            fresh_until: manifest.fresh_until,
            digest_value: value(&manifest.digest.to_string()),
            media_type: value(manifest.media_type.as_str()),
            namespace,
        }
    }

    /// The answer with a body, or 304 without one. Values are shared, not copied.
    pub(super) fn response(&self, status: StatusCode, body: BoxBody) -> HttpResponse {
        let mut response = HttpResponse::with_body(status, body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.media_type.clone());
        headers.insert(DIGEST.clone(), self.digest_value.clone());
        headers.insert(ETAG, self.etag.clone());
        headers.insert(API_VERSION.clone(), V2.clone());
        if let Some(namespace) = &self.namespace {
            headers.insert(NAMESPACE.clone(), namespace.clone());
        }
        response
    }
}

/// Two generations: answers are put into the young one; when it is full it becomes the old one,
/// and what is asked for again comes back. So what is used stays, at the price of a map or two.
#[derive(Debug)]
pub(super) struct Hot {
    young: HashMap<Box<str>, Rc<Ready>>,
    old: HashMap<Box<str>, Rc<Ready>>,
    young_bytes: usize,
    budget: usize,
    /// All of it was learnt in this age.
    age: u64,
}

impl Hot {
    /// Room for `budget` bytes of manifests in each generation.
    pub(super) fn new(budget: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, budget, age: 0 }
    }

    /// The answer to a path and query, while it may be given without asking. In another `age` than
    /// it was learnt in, nothing is known.
    pub(super) fn get(&mut self, key: &str, now: SystemTime, age: u64) -> Option<Rc<Ready>> {
        self.enter(age);
        let ready = match self.young.get(key) {
            Some(ready) => ready.clone(),
            None => {
                let (key, ready) = self.old.remove_entry(key)?;
                if ready.fresh_until > now {
                    self.insert(key, ready.clone());
                }
                ready
            }
        };
        (ready.fresh_until > now).then_some(ready)
    }

    /// Remembers an answer, if it is small enough and will still be fresh. `age` is the one in
    /// which its request came: an answer may be found by rules that have changed since.
    pub(super) fn put(&mut self, key: &str, ready: Ready, now: SystemTime, age: u64) {
        self.enter(age);
        let fits = key.len() <= MAX_KEY && ready.bytes.len() <= MAX_BYTES.min(self.budget);
        if fits && ready.fresh_until > now && age == self.age {
            self.insert(key.into(), Rc::new(ready));
        }
    }

    fn enter(&mut self, age: u64) {
        if age > self.age {
            *self = Self { age, ..Self::new(self.budget) };
        }
    }

    fn insert(&mut self, key: Box<str>, ready: Rc<Ready>) {
        let bytes = ready.bytes.len();
        if self.young.len() >= MAX_ENTRIES || self.young_bytes + bytes > self.budget {
            self.old = mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        self.young_bytes += bytes;
        if let Some(before) = self.young.insert(key, ready) {
            self.young_bytes -= before.bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mirror::Verdict;

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn ready(bytes: usize, seconds: u64) -> Ready {
        let manifest = Manifest {
            digest: Digest::sha256(b""),
            media_type: "a/b".parse().unwrap(),
            size: bytes as u64,
            bytes: None,
            fresh_until: NOW + Duration::from_secs(seconds),
            stale: None,
            verdict: Verdict::Disk,
        };
        let name = "library/alpine".parse().unwrap();
        Ready::new(&name, &manifest, Bytes::from(vec![0; bytes]), None)
    }

    #[test]
    fn an_answer_is_given_only_while_it_is_fresh() {
        let mut hot = Hot::new(1 << 20);
        hot.put("/a", ready(10, 5), NOW, 0);
        hot.put("/never", ready(10, 0), NOW, 0);
        assert!(hot.get("/a", NOW + Duration::from_secs(4), 0).is_some());
        assert!(hot.get("/a", NOW + Duration::from_secs(5), 0).is_none());
        assert!(hot.get("/never", NOW, 0).is_none());
        assert!(hot.get("/b", NOW, 0).is_none());
    }

    #[test]
    fn nothing_outlives_its_age_be_it_put_late() {
        let mut hot = Hot::new(1 << 20);
        hot.put("/a", ready(10, 5), NOW, 0);
        assert!(hot.get("/a", NOW, 1).is_none());
        assert!(hot.get("/a", NOW, 0).is_none(), "it came back");
        hot.put("/late", ready(10, 5), NOW, 0);
        assert!(hot.get("/late", NOW, 1).is_none());
        hot.put("/b", ready(10, 5), NOW, 1);
        assert!(hot.get("/b", NOW, 1).is_some());
    }

    #[test]
    fn memory_is_bounded_and_what_is_used_stays() {
        let mut hot = Hot::new(1000);
        hot.put("/used", ready(100, 9), NOW, 0);
        for n in 0..100 {
            hot.put(&format!("/{n}"), ready(100, 9), NOW, 0);
            assert!(hot.get("/used", NOW, 0).is_some(), "forgotten after {n}");
            let held: usize =
                hot.young.values().chain(hot.old.values()).map(|ready| ready.bytes.len()).sum();
            assert!(held <= 2000, "{held} bytes are held");
        }
        assert!(hot.get("/0", NOW, 0).is_none());
        hot.put("/big", ready(1001, 9), NOW, 0);
        assert!(hot.get("/big", NOW, 0).is_none());
        for n in 0..3 * MAX_ENTRIES {
            hot.put(&format!("/{n}"), ready(0, 9), NOW, 0);
        }
        assert!(hot.young.len() + hot.old.len() <= 2 * MAX_ENTRIES);
    }
}
