//! Paths of what belongs to an upstream's repositories (docs/dev/layout.md).

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::ArcSwap;

use crate::oci::{DOCKER_HUB, registry_name};

/// Upstream whose repositories the paths of records and of private content name, and whether paths of
/// layout 1, which named none, are looked at besides. Clones are the same: a reload may change it.
#[derive(Clone, Debug)]
pub struct Layout(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    upstream: ArcSwap<String>,
    old_left: AtomicBool,
}

impl Layout {
    /// Layout for the upstream at `url`.
    pub fn of(url: &str) -> Self {
        let upstream = ArcSwap::from_pointee(registry_name(url));
        Self(Arc::new(Inner { upstream, old_left: AtomicBool::new(true) }))
    }

    /// Name of the upstream.
    pub fn upstream(&self) -> Arc<String> {
        self.0.upstream.load_full()
    }

    /// Makes it that of the upstream at `url`; whether it was not before.
    pub fn follow(&self, url: &str) -> bool {
        let upstream = registry_name(url);
        let before = self.0.upstream.swap(Arc::new(upstream.clone()));
        *before != upstream
    }

    /// Returns true if paths of layout 1 are looked at: they are Docker Hub's, and some may be left.
    pub fn reads_old(&self) -> bool {
        self.0.old_left.load(Ordering::Relaxed) && *self.upstream() == DOCKER_HUB
    }

    /// Notes whether paths of layout 1 are left in the store.
    pub fn set_old_left(&self, left: bool) {
        self.0.old_left.store(left, Ordering::Relaxed);
    }
}

impl Default for Layout {
    fn default() -> Self {
        Self::of("https://registry-1.docker.io")
    }
}

impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.upstream() == other.upstream()
    }
}

impl Eq for Layout {}
