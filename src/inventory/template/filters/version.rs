//! The test `version`.

use std::cmp::Ordering;

use minijinja::{Error, Value};

use super::{super::python, arguments::Arguments, text::said};

/// A piece of a loose version: Python's `LooseVersion` compares numbers with numbers and words with
/// words.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Piece {
    Number(u64),
    Word(String),
}

/// Whether the version stands in this relation to the other one.
pub(super) fn compare(value: &Value, given: &Arguments) -> Result<bool, Error> {
    let (own, other) = (python::text(value)?, given.needed(0, "version")?);
    let relation = given.text(1, "operator")?.unwrap_or_else(|| "eq".into());
    let strict = given.get(2, "strict")?.filter(|strict| !strict.is_none());
    let kind = given.text(3, "version_type")?.filter(|kind| kind != "None");
    given.nothing_left()?;
    if own.is_empty() || other.is_empty() {
        return Err(said("a version is empty"));
    }
    let order = match (strict.map(|strict| strict.is_true()), kind.as_deref()) {
        (Some(_), Some(_)) => {
            return Err(said("`strict` and `version_type` say the same thing: leave one out"));
        }
        (None | Some(false), None) | (None, Some("loose")) => loose(&own, &other)?,
        (Some(true), None) | (None, Some("strict")) => strict_key(&own)?.cmp(&strict_key(&other)?),
        (None, Some("semver" | "semantic")) => semantic(&own)?.cmp(&semantic(&other)?),
        (None, Some(_)) => {
            return Err(said("of the types of versions `loose`, `strict` and `semver` are known"));
        }
    };
    Ok(match relation.as_str() {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        ">" | "gt" => order == Ordering::Greater,
        ">=" | "ge" => order != Ordering::Less,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        _ => {
            return Err(said(
                "the operator of a comparison of versions is `>=`, `<`, `eq` and the like",
            ));
        }
    })
}

fn loose(own: &str, other: &str) -> Result<Ordering, Error> {
    let (own, other) = (pieces(own), pieces(other));
    for (own, other) in own.iter().zip(&other) {
        let order = own.cmp(other);
        if std::mem::discriminant(own) != std::mem::discriminant(other) {
            return Err(said("a number and a word in the versions cannot be compared"));
        }
        if order != Ordering::Equal {
            return Ok(order);
        }
    }
    Ok(own.len().cmp(&other.len()))
}

/// A version of `distutils`: two or three numbers, and `a1` or `b1` before the release.
fn strict_key(version: &str) -> Result<([u64; 3], bool, char, u64), Error> {
    let wrong = || said("this is no strict version such as `1.2.3` or `1.2b1`");
    let (numbers, mark) = match version.find(['a', 'b']) {
        Some(at) => version.split_at(at),
        None => (version, ""),
    };
    let parts: Vec<u64> =
        numbers.split('.').map(digits).collect::<Option<_>>().ok_or_else(wrong)?;
    let key = match parts.as_slice() {
        [major, minor] => [*major, *minor, 0],
        [major, minor, patch] => [*major, *minor, *patch],
        _ => return Err(wrong()),
    };
    let mut letters = mark.chars();
    match letters.next() {
        Some(letter) => Ok((key, false, letter, digits(letters.as_str()).ok_or_else(wrong)?)),
        None => Ok((key, true, 'a', 0)),
    }
}

fn digits(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A version of semver.org; what stands behind `+` counts for nothing. A release is greater than
/// what comes before it.
fn semantic(version: &str) -> Result<([u64; 3], bool, Vec<Piece>), Error> {
    let wrong = || said("this is no semantic version such as `1.2.3` or `1.2.3-rc.1`");
    let version = version.split_once('+').map_or(version, |(version, _)| version);
    let (core, before) = match version.split_once('-') {
        Some((core, before)) => (core, Some(before)),
        None => (version, None),
    };
    let parts: Vec<u64> = core.split('.').map(digits).collect::<Option<_>>().ok_or_else(wrong)?;
    let core = <[u64; 3]>::try_from(parts).map_err(|_| wrong())?;
    let mut pieces = Vec::new();
    for piece in before.into_iter().flat_map(|before| before.split('.')) {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if piece.is_empty() || !piece.chars().all(is_word) {
            return Err(wrong());
        }
        let word = || Piece::Word(piece.to_owned());
        pieces.push(digits(piece).map_or_else(word, Piece::Number));
    }
    Ok((core, before.is_none(), pieces))
}

fn pieces(version: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let kind = |c: char| (c.is_ascii_digit(), c.is_ascii_lowercase());
    let mut rest = version;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| kind(c) != kind(first)).unwrap_or(rest.len());
        let (piece, next) = rest.split_at(end);
        rest = next;
        match (piece.parse(), piece.trim_matches('.')) {
            (Ok(number), _) => pieces.push(Piece::Number(number)),
            (Err(_), "") => {}
            (Err(_), word) => pieces.push(Piece::Word(word.to_owned())),
        }
    }
    pieces
}
