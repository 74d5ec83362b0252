//! The place that a store keeps things in.

/// The place that a store keeps things in, as it was found or made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// Whether it was missing and was made just now.
    pub created: bool,
    /// Whether something that it needs failed for the moment, and is done when it is next prepared.
    pub unfinished: bool,
    /// What somebody should know about it.
    pub findings: Vec<Finding>,
    /// What may keep it from encrypting: why it refuses a write, if it does.
    pub key: Option<Finding>,
}

impl Ground {
    /// One that was there, with something to say about it.
    pub fn of(finding: Finding) -> Self {
        Self { findings: vec![finding], ..Self::default() }
    }
}

/// Something to know about the place that a store keeps things in. It stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is so: lower case, no full stop.
    pub what: String,
    /// What to do about it; none where nothing is to be done.
    pub hint: Option<String>,
}

impl Finding {
    /// Something to be put right.
    pub fn warning(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { what: what.into(), hint: Some(hint.into()) }
    }

    /// Something worth knowing.
    pub fn info(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None }
    }
}
