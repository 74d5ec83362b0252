//! Repository names, tags, and what a manifest can be asked for by.

use std::{fmt, str::FromStr, sync::Arc};

use super::Digest;

/// A repository's name as the upstream knows it (distribution-spec 1.1, "Pull": the `<name>`
/// grammar), at most 255 characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// A name or tag outside the grammar of the distribution spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("outside the grammar of the distribution spec")]
pub struct BadName;

impl Name {
    /// The name a client asked for; a name of one segment is an official image of Docker Hub
    /// and gets `library/` in front, as Docker's own clients do.
    ///
    /// # Errors
    /// The text is outside the grammar.
    pub fn of_client(text: &str) -> Result<Self, BadName> {
        if !text.contains('/') && !text.is_empty() {
            return format!("library/{text}").parse();
        }
        text.parse()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        if text.len() > 255 || !text.split('/').all(is_component) {
            return Err(BadName);
        }
        Ok(Self(text.into()))
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let mut separator = "";
    let mut start = 0;
    let bytes = text.as_bytes();
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !bytes.first().copied().is_some_and(alphanumeric)
        || !bytes.last().copied().is_some_and(alphanumeric)
    {
        return false;
    }
    for (at, &byte) in bytes.iter().enumerate() {
        if alphanumeric(byte) {
            if !matches!(separator, "" | "." | "_" | "__") && !separator.bytes().all(|b| b == b'-')
            {
                return false;
            }
            separator = "";
            start = at + 1;
        } else if matches!(byte, b'.' | b'_' | b'-') {
            separator = &text[start..=at];
        } else {
            return false;
        }
    }
    true
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A tag: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}` (distribution-spec 1.1). Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Arc<str>);

impl Tag {
    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tag {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let good = text.len() <= 128
            && text.bytes().next().is_some_and(word)
            && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'));
        if good { Ok(Self(text.into())) } else { Err(BadName) }
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A name that may move.
    Tag(Tag),
    /// The content itself.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["library/alpine", "a/b/c", "a.b/c_d", "a__b/c--d", "0/1"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        for bad in
            ["", "/", "a/", "/a", "a//b", "A/b", "a/..", "a/.b", "a/b_", "a._b/c", "a___b/c", "a/ü"]
        {
            assert!(bad.parse::<Name>().is_err(), "`{bad}` was taken");
        }
        assert!("a/".repeat(128).parse::<Name>().is_err());
        assert!(format!("{}a", "a/".repeat(127)).parse::<Name>().is_ok());
        assert!(format!("{}aa", "a/".repeat(127)).parse::<Name>().is_err());
    }

    #[test]
    fn an_official_image_gets_its_first_segment() {
        assert_eq!(Name::of_client("alpine").unwrap().as_str(), "library/alpine");
        assert_eq!(Name::of_client("acme/app").unwrap().as_str(), "acme/app");
        assert!(Name::of_client("").is_err());
    }

    #[test]
    fn tags_follow_the_grammar() {
        for good in ["3.20", "latest", "_x", &"t".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok());
        }
        for bad in ["", ".x", "-x", "a/b", "a b", "a:b", &"t".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "`{bad}` was taken");
        }
    }
}
