//! The name of a KMS key.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A KMS key as it may be named: by its id, its ARN, an alias (`alias/…`) or an alias's ARN (KMS API
/// reference, `KeyId`). What is none of these is the name that a store other than AWS has for one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KmsKey(String);

impl KmsKey {
    /// Takes it as it is written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether none is named.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether AWS knows keys by names of this form.
    pub fn is_well_formed(&self) -> bool {
        match self.arn() {
            Some(arn) => arn.is_some(),
            None => self.alias().is_some() || is_id(&self.0),
        }
    }

    /// The region that its ARN names; none where it is no ARN.
    pub fn region(&self) -> Option<&str> {
        self.arn().flatten().map(|arn| arn.region)
    }

    /// Whether it names an alias, which may come to mean another key.
    pub fn is_alias(&self) -> bool {
        self.alias().is_some()
    }

    /// Whether `used`, by which S3 names a key (an ARN; other stores echo what they were sent), can
    /// be this one. An alias does not tell, so any can.
    pub fn may_be(&self, used: &str) -> bool {
        let last = |text: &str| text.rsplit(['/', ':']).next().unwrap_or_default().to_owned();
        let both_are_arns = self.arn().is_some() && used.starts_with("arn:");
        used == self.0
            || (self.is_alias() && !used.is_empty())
            || (!both_are_arns && last(used) == last(&self.0))
    }

    /// None where it is no ARN, and `Some(None)` where it looks like one and is not a key's.
    fn arn(&self) -> Option<Option<Arn<'_>>> {
        let rest = self.0.strip_prefix("arn:")?;
        let mut parts = rest.splitn(5, ':');
        let (Some(partition), Some("kms"), Some(region), Some(account), Some(resource)) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Some(None);
        };
        let is_key = resource.strip_prefix("key/").is_some_and(is_id) || is_alias(resource);
        let fits = partition.starts_with("aws")
            && !region.is_empty()
            && account.len() == 12
            && account.bytes().all(|b| b.is_ascii_digit());
        Some((is_key && fits).then_some(Arn { region, resource }))
    }

    fn alias(&self) -> Option<&str> {
        match self.arn() {
            Some(arn) => arn.map(|arn| arn.resource).filter(|resource| is_alias(resource)),
            None => Some(self.0.as_str()).filter(|text| is_alias(text)),
        }
    }
}

/// What is of interest in an ARN.
#[derive(Clone, Copy)]
struct Arn<'a> {
    region: &'a str,
    resource: &'a str,
}

impl fmt::Display for KmsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A UUID, or `mrk-` and 32 digits for a key of several regions.
fn is_id(text: &str) -> bool {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    match text.strip_prefix("mrk-") {
        Some(digits) => digits.len() == 32 && is_hex(digits),
        None => {
            let parts: Vec<&str> = text.split('-').collect();
            parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
                && parts.iter().all(|part| is_hex(part))
        }
    }
}

/// KMS API reference, `CreateAlias`.
fn is_alias(text: &str) -> bool {
    let may = |b: u8| b.is_ascii_alphanumeric() || b"/_-".contains(&b);
    text.strip_prefix("alias/").is_some_and(|name| !name.is_empty() && name.bytes().all(may))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    const ARN: &str =
        "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    #[test]
    fn four_forms_are_known() {
        let mrk = "mrk-1234abcd12ab34cd56ef1234567890ab";
        let alias = "arn:aws-cn:kms:cn-north-1:111122223333:alias/acme/mirror_1";
        for good in [ID, mrk, ARN, "alias/acme-mirror", "alias/aws/s3", alias] {
            assert!(KmsKey::new(good).is_well_formed(), "{good}");
        }
        for bad in [
            "acme-mirror",
            "alias/",
            "alias/with blank",
            "1234abcd",
            "arn:aws:kms:eu-central-1:111122223333:acme",
            "arn:aws:s3:::bucket",
            "arn:aws:kms:eu-central-1:1111:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "arn:aws:kms::111122223333:alias/acme",
        ] {
            assert!(!KmsKey::new(bad).is_well_formed(), "{bad}");
        }
        assert_eq!(KmsKey::new(alias).region(), Some("cn-north-1"));
        assert_eq!(KmsKey::new("alias/acme").region(), None);
        assert!(KmsKey::new(alias).is_alias() && !KmsKey::new(ARN).is_alias());
    }

    #[test]
    fn an_answer_is_held_against_the_name() {
        let other_id = ARN.replace("1234abcd", "ffffffff");
        let other_region = ARN.replace("eu-central-1", "eu-west-1");
        for (named, used, may) in [
            (ID, ARN, true),
            (ID, ID, true),
            (ID, other_id.as_str(), false),
            (ARN, ARN, true),
            (ARN, ID, true),
            (ARN, other_id.as_str(), false),
            (ARN, other_region.as_str(), false),
            ("alias/acme", ARN, true),
            ("alias/acme", "alias/acme", true),
            ("alias/acme", "", false),
            ("my-key", "arn:aws:kms:my-key", true),
            ("my-key", "another", false),
            (ID, "", false),
        ] {
            assert_eq!(KmsKey::new(named).may_be(used), may, "{named} {used}");
        }
    }
}
