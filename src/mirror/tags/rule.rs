//! Which rule sets a tag's time to live.

use std::time::Duration;

use crate::{
    oci::{Name, Tag},
    settings::{Settings, TagRule},
};

/// For how long a tag is believed: as the first rule that matches says, else `tag_ttl`.
pub(super) fn ttl(settings: &Settings, name: &Name, tag: &Tag) -> Duration {
    let matching = settings.tag_rules.iter().find(|rule| matches(rule, name, tag));
    matching.map_or(settings.tag_ttl, |rule| rule.ttl).0
}

/// Whether a rule's pattern covers a tag; an official image is covered with and without its
/// `library/`.
fn matches(rule: &TagRule, name: &Name, tag: &Tag) -> bool {
    let full = format!("{name}:{tag}");
    let short = full.strip_prefix("library/");
    glob(rule.pattern.as_bytes(), full.as_bytes())
        || short.is_some_and(|short| glob(rule.pattern.as_bytes(), short.as_bytes()))
}

/// Whether `text` matches `pattern`, in which `*` stands for any text. Linear in practice and at
/// most quadratic: only the last `*` is ever gone back to.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((after, taken)) = star {
            (p, t) = (after, taken + 1);
            star = Some((after, taken + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("acme/*:latest", "acme/app:latest"),
            ("acme/*:latest", "acme/a/b:latest"),
            ("*:*", "a:b"),
            ("*", ""),
            ("a*b*c", "aXbYbZc"),
        ] {
            assert!(glob(pattern.as_bytes(), text.as_bytes()), "`{pattern}` misses `{text}`");
        }
        for (pattern, text) in
            [("acme/*:latest", "acme/app:1"), ("a", "ab"), ("a*b", "ac"), ("", "a")]
        {
            assert!(!glob(pattern.as_bytes(), text.as_bytes()), "`{pattern}` takes `{text}`");
        }
    }
}
