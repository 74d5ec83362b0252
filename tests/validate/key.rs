//! The KMS key: refused where S3 could not take it.

use super::*;

const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";

#[test]
fn a_key_that_s3_cannot_take_is_refused() {
    for (key, says) in [
        ("acme-mirror", ["is not how KMS names a key", "`alias/NAME`"]),
        ("arn:aws:s3:::acme-mirror", ["is not how KMS names a key", "ARN of an alias"]),
        (
            "arn:aws:kms:us-east-1:111122223333:alias/acme",
            ["lies in another region than the bucket", "`registry_mirror_bucket_location`"],
        ),
    ] {
        let vars = with(&format!("registry_mirror_bucket_encryption_key: {key}"));
        inventory(&[("vars.yml", &vars)])
            .run(VALIDATE)
            .ended(1)
            .says(&says)
            .says(&["vars.yml:5:44"]);
    }
}

#[test]
fn all_four_names_of_a_key_are_taken() {
    let arn = format!("arn:aws:kms:eu-west-1:111122223333:key/{ID}");
    for key in [ID, &arn, "alias/acme", "arn:aws:kms:eu-west-1:111122223333:alias/acme", "\"\""] {
        let vars = with(&format!("registry_mirror_bucket_encryption_key: {key}"));
        inventory(&[("vars.yml", &vars)]).run(VALIDATE).ended(0).says(&[", 0 warnings"]);
    }
}

#[test]
fn another_store_names_its_keys_as_it_likes() {
    let vars = with(
        "registry_mirror_bucket_encryption_key: our-key\n    \
         registry_mirror_bucket_endpoint: https://s3.acme.example",
    );
    inventory(&[("vars.yml", &vars)]).run(VALIDATE).ended(0).says(&[", 0 warnings"]);
}
