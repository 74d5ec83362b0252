//! Host ranges: `rm[1:3]`, `rm[01:10:2]`, `rm[a:c]` (ansible-core's `expand_hostname_range`), and
//! the port that may follow a host's name.

/// More hosts than this in one pattern are refused.
const MOST: usize = 10_000;

/// Why a pattern means no hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadRange {
    /// `[` without `]`, or more or less than two ends.
    #[error("a range is `[first:last]` or `[first:last:step]`")]
    Shape,
    /// Ends that are neither both numbers nor both letters.
    #[error("both ends must be numbers or both single letters")]
    Ends,
    /// An end before the start.
    #[error("the range ends before it starts")]
    Backwards,
    /// Ends of different width, the first one with a zero in front.
    #[error("with leading zeros both ends must be equally long")]
    Width,
    /// A step of zero, or too many hosts.
    #[error("too many hosts, or a step of zero")]
    TooMany,
}

/// The hosts that a pattern names, and their port.
pub(super) fn expand(pattern: &str) -> Result<(Vec<String>, Option<u16>), BadRange> {
    let (pattern, port) = split_port(pattern);
    let mut names = vec![String::new()];
    let mut rest = pattern;
    while let Some((before, range)) = rest.split_once('[') {
        let (range, after) = range.split_once(']').ok_or(BadRange::Shape)?;
        let members = members(range)?;
        if names.len().saturating_mul(members.len()) > MOST {
            return Err(BadRange::TooMany);
        }
        names = names
            .iter()
            .flat_map(|name| members.iter().map(move |member| format!("{name}{before}{member}")))
            .collect();
        rest = after;
    }
    names.iter_mut().for_each(|name| name.push_str(rest));
    Ok((names, port))
}

/// `host:2200` and `[2001:db8::1]:2222`; an address with several colons has no port.
fn split_port(pattern: &str) -> (&str, Option<u16>) {
    if let Some((address, port)) = pattern.strip_prefix('[').and_then(|rest| rest.split_once("]:"))
        && address.matches(':').count() > 2
    {
        return (address, port.parse().ok());
    }
    let Some((name, port)) = pattern.rsplit_once(':') else { return (pattern, None) };
    let outside = name.matches('[').count() == name.matches(']').count();
    let only = name.rsplit(']').next().is_some_and(|tail| !tail.contains(':'));
    match port.parse() {
        Ok(port) if outside && only => (name, Some(port)),
        _ => (pattern, None),
    }
}

fn members(range: &str) -> Result<Vec<String>, BadRange> {
    let mut parts = range.split(':');
    let (Some(first), Some(last)) = (parts.next(), parts.next()) else {
        return Err(BadRange::Shape);
    };
    let step = parts.next().map_or(Ok(1), |step| step.parse().map_err(|_| BadRange::Shape))?;
    if parts.next().is_some() || last.is_empty() {
        return Err(BadRange::Shape);
    }
    let first = if first.is_empty() { "0" } else { first };
    if let (Some(from), Some(to)) = (letter(first), letter(last)) {
        if from > to {
            return Err(BadRange::Backwards);
        }
        if step == 0 {
            return Err(BadRange::TooMany);
        }
        return Ok((from..=to).step_by(step).map(|c| c.to_string()).collect());
    }
    let number = |text: &str| text.parse::<usize>().map_err(|_| BadRange::Ends);
    let (from, to) = (number(first)?, number(last)?);
    let width = if first.len() > 1 && first.starts_with('0') { first.len() } else { 0 };
    if width > 0 && width != last.len() {
        return Err(BadRange::Width);
    }
    if from > to {
        return Err(BadRange::Backwards);
    }
    if step == 0 || (to - from) / step >= MOST {
        return Err(BadRange::TooMany);
    }
    Ok((from..=to).step_by(step).map(|n| format!("{n:0width$}")).collect())
}

fn letter(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|c| c.is_ascii_alphabetic() && chars.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_expand_as_ansible_expands_them() {
        for (pattern, names, port) in [
            ("rm", vec!["rm"], None),
            ("rm[1:3]", vec!["rm1", "rm2", "rm3"], None),
            ("rm[01:03].x", vec!["rm01.x", "rm02.x", "rm03.x"], None),
            ("rm[a:c]", vec!["rma", "rmb", "rmc"], None),
            ("[1:5:2]", vec!["1", "3", "5"], None),
            ("r[:1]s[a:b]", vec!["r0sa", "r0sb", "r1sa", "r1sb"], None),
            ("rm:2200", vec!["rm"], Some(2200)),
            ("rm[1:2]:22", vec!["rm1", "rm2"], Some(22)),
            ("[2001:db8::1]:2222", vec!["2001:db8::1"], Some(2222)),
            ("2001:db8::1", vec!["2001:db8::1"], None),
        ] {
            let names = names.into_iter().map(str::to_owned).collect();
            assert_eq!(expand(pattern), Ok((names, port)), "of `{pattern}`");
        }
    }

    #[test]
    fn broken_ranges_say_why() {
        for (pattern, why) in [
            ("rm[1", BadRange::Shape),
            ("rm[1]", BadRange::Shape),
            ("rm[3:1]", BadRange::Backwards),
            ("rm[01:100]", BadRange::Width),
            ("rm[a:9]", BadRange::Ends),
            ("rm[0:999999999]", BadRange::TooMany),
            ("rm[1:9:0]", BadRange::TooMany),
            ("[1:999][1:999]", BadRange::TooMany),
        ] {
            assert_eq!(expand(pattern), Err(why), "of `{pattern}`");
        }
    }
}
