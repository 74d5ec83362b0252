//! `WWW-Authenticate`: how a registry wants its callers to prove themselves (RFC 9110, 11.6.1).

/// One challenge: a scheme and its parameters, names in lower case, in the order they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge {
    /// The scheme in lower case.
    pub(super) scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The value of a parameter; the first if it came twice.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The challenges in a header's value. Whatever is malformed is passed over: a caller that finds
/// no challenge it knows has none to answer.
pub(super) fn parse(value: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = Scanner(value);
    loop {
        rest.skip(|c| c.is_ascii_whitespace() || c == ',');
        let word = rest.take(is_token);
        if word.is_empty() {
            // Something that no grammar puts here: past it, character by character.
            if rest.next().is_none() {
                return challenges;
            }
            continue;
        }
        rest.skip(|c| c.is_ascii_whitespace());
        if rest.eat('=') {
            rest.skip(|c| c.is_ascii_whitespace());
            let text = if rest.eat('"') { rest.quoted() } else { rest.take(is_token).to_owned() };
            if let Some(challenge) = challenges.last_mut() {
                challenge.parameters.push((word.to_ascii_lowercase(), text));
            }
        } else {
            let scheme = word.to_ascii_lowercase();
            challenges.push(Challenge { scheme, parameters: Vec::new() });
        }
    }
}

/// RFC 9110, 5.6.2, and `/`, which token68 and careless servers have outside quotes.
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/:".contains(c)
}

struct Scanner<'a>(&'a str);

impl<'a> Scanner<'a> {
    fn next(&mut self) -> Option<char> {
        let mut characters = self.0.chars();
        let next = characters.next();
        self.0 = characters.as_str();
        next
    }

    fn skip(&mut self, what: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(what);
    }

    fn take(&mut self, what: impl Fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !what(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn eat(&mut self, wanted: char) -> bool {
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// The rest of a quoted string, its escapes undone; one that never ends goes to the end.
    fn quoted(&mut self) -> String {
        let mut text = String::new();
        while let Some(c) = self.next() {
            match c {
                '"' => break,
                '\\' => text.extend(self.next()),
                c => text.push(c),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
