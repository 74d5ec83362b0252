//! What `ansible-vault` sealed: its formats 1.1 and 1.2 (ansible-core 2.19, `parsing/vault`).

use std::{fmt, string::FromUtf8Error};

use zeroize::Zeroizing;

use crate::diagnostic::Diagnostic;

mod cipher;
#[cfg(test)]
mod tests;

/// What a sealed text begins with.
pub(super) const MARK: &str = "$ANSIBLE_VAULT";

/// What a header has before the id.
const HEADER_PARTS: usize = 3;

/// What opens vault values: passwords under their ids.
#[derive(Default)]
pub struct Vault {
    passwords: Vec<Password>,
    /// Only the password with the id of the text is tried (`ANSIBLE_VAULT_ID_MATCH`).
    matching_only: bool,
    /// Nothing is to be opened (`--no-vault`).
    closed: bool,
}

/// A password and its id.
struct Password {
    id: Option<String>,
    text: Zeroizing<Vec<u8>>,
}

/// Why a text stays sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sealed {
    /// Nothing is to be opened.
    Closed,
    /// There is no password at all.
    NoPassword,
    /// None of the passwords fits, or the text was changed after it was sealed.
    NoneFits,
    /// It is not what `ansible-vault` writes.
    Broken(&'static str),
}

impl Sealed {
    /// What to say of `what`, which stays sealed. The check `vault-locked` marks what is no verdict
    /// on the configuration but a password that is missing.
    pub(super) fn about(self, what: &str) -> Diagnostic {
        let locked = |why: &str| {
            Diagnostic::error("vault-locked", format!("{what} cannot be opened: {why}"))
                .hint("give a password with `--vault-password-file`, or check around it with `--no-vault`")
        };
        match self {
            Self::Closed => {
                Diagnostic::info("vault-closed", format!("{what} is sealed and not looked into"))
            }
            Self::NoPassword => locked("there is no vault password"),
            Self::NoneFits => locked("no vault password fits"),
            Self::Broken(why) => {
                Diagnostic::error("vault-broken", format!("{what} is no vault text: {why}"))
                    .hint("put it there again as `ansible-vault` printed it")
            }
        }
    }
}

impl Vault {
    /// One that opens nothing and says so, for checks without the passwords.
    pub fn closed() -> Self {
        Self { closed: true, ..Self::default() }
    }

    /// Whether nothing is to be opened.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Tries only the passwords whose id a sealed text names, where it names one.
    #[must_use]
    pub fn matching_only(mut self, matching_only: bool) -> Self {
        self.matching_only = matching_only;
        self
    }

    /// Adds a password; the earlier ones are tried first.
    pub fn add(&mut self, id: Option<&str>, password: Zeroizing<Vec<u8>>) {
        self.passwords.push(Password { id: id.map(str::to_owned), text: password });
    }

    /// Opens a text. Its id is only a hint: the password under that id is tried first, then the
    /// others in their order.
    ///
    /// # Errors
    /// It stays sealed, for the reason given.
    pub(super) fn open(&self, text: &str) -> Result<Zeroizing<String>, Sealed> {
        if self.closed {
            return Err(Sealed::Closed);
        }
        let envelope = Envelope::parse(text)?;
        if self.passwords.is_empty() {
            return Err(Sealed::NoPassword);
        }
        let named =
            |password: &&Password| envelope.id.is_some() && password.id.as_deref() == envelope.id;
        let first = self.passwords.iter().filter(named);
        let only_named = self.matching_only && envelope.id.is_some();
        let others = self.passwords.iter().filter(|p| !only_named && !named(p));
        for password in first.chain(others) {
            if let Some(opened) = envelope.open(&password.text)? {
                return Ok(opened);
            }
        }
        Err(Sealed::NoneFits)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("passwords", &self.passwords.len())
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

/// A sealed text, taken apart.
struct Envelope<'a> {
    id: Option<&'a str>,
    salt: Vec<u8>,
    code: Vec<u8>,
    sealed: Vec<u8>,
}

impl<'a> Envelope<'a> {
    /// The version is not looked at, as Ansible does not either.
    fn parse(text: &'a str) -> Result<Self, Sealed> {
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default().trim();
        let mut parts = header.split(';').map(str::trim);
        if parts.next() != Some(MARK) {
            return Err(Sealed::Broken("it does not begin with `$ANSIBLE_VAULT`"));
        }
        let (version, cipher) = (parts.next(), parts.next());
        if version.is_none() || cipher.is_none() {
            return Err(Sealed::Broken("its first line is not whole"));
        }
        if cipher != Some("AES256") {
            return Err(Sealed::Broken("its cipher is not AES256"));
        }
        let id = header.splitn(HEADER_PARTS + 1, ';').nth(HEADER_PARTS).map(str::trim);
        let body: String = lines.map(str::trim_end).collect();
        let not_hex = Sealed::Broken("it is not made of hexadecimal digits, or is cut off");
        let inner = unhex(body.as_bytes()).ok_or(not_hex)?;
        let mut parts = inner.splitn(3, |byte| *byte == b'\n').map(unhex);
        let mut part = || parts.next().flatten().ok_or(not_hex);
        let (salt, code, sealed) = (part()?, part()?, part()?);
        Ok(Self { id: id.filter(|id| !id.is_empty()), salt, code, sealed })
    }

    /// None if the password does not fit.
    fn open(&self, password: &[u8]) -> Result<Option<Zeroizing<String>>, Sealed> {
        let broken = |_| Sealed::Broken("what is in it does not have the form it should have");
        let Some(opened) =
            cipher::open(password, &self.salt, &self.code, &self.sealed).map_err(broken)?
        else {
            return Ok(None);
        };
        let text = |error: FromUtf8Error| {
            drop(Zeroizing::new(error.into_bytes()));
            Sealed::Broken("what is in it is not UTF-8 text")
        };
        String::from_utf8(opened).map(|text| Some(Zeroizing::new(text))).map_err(text)
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.chunks_exact(2)
        .map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?))
        .collect()
}
