//! Program that the content of a store belongs to.

/// Program that the content of a store belongs to. A mirror may remove what it keeps, since that can
/// be fetched again; a registry that hosts images has the only copy of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// A mirror: this one, or a `registry:2` run as a pull-through cache.
    Mirror,
    /// Nobody has said so. What bears this mirror's mark is its own; anything else in the place of
    /// content is a registry's.
    Unclaimed,
    /// A registry that hosts images. Its content is neither read nor written nor removed.
    Registry {
        /// Evidence that it does.
        evidence: String,
    },
}
