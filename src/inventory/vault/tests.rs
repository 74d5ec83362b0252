use super::*;

fn sealed(name: &str) -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(root.join("tests/fixtures/vault").join(format!("{name}.vault")))
        .expect("a fixture")
}

fn with(passwords: &[(Option<&str>, &str)]) -> Vault {
    let mut vault = Vault::default();
    for (id, password) in passwords {
        vault.add(*id, Zeroizing::new(password.as_bytes().to_vec()));
    }
    vault
}

fn opened(vault: &Vault, text: &str) -> Result<String, Sealed> {
    vault.open(text).map(|text| text.to_string())
}

/// Made by ansible-core 2.19.14: all lengths around a block, both versions.
#[test]
fn what_ansible_sealed_is_opened() {
    let vault = with(&[(None, "pw"), (None, "correct horse")]);
    for (name, text) in [
        ("empty", String::new()),
        ("block", "x".repeat(15)),
        ("whole-block", "x".repeat(16)),
        ("more", "y".repeat(17)),
        ("text", "Grüße an alle: {{ prefix }}\n".into()),
    ] {
        assert_eq!(opened(&vault, &sealed(name)), Ok(text), "{name}");
    }
}

#[test]
fn line_ends_of_another_system_and_other_versions_change_nothing() {
    let (vault, text) = (with(&[(None, "pw")]), sealed("block"));
    for changed in [
        text.replace('\n', "\r\n"),
        text.replace("1.1", "1.3"),
        text.trim_end().to_owned(),
        text.replace('\n', "  \n"),
        text.replace("AES256", "AES256;other"),
    ] {
        assert_eq!(opened(&vault, &changed), Ok("x".repeat(15)), "{changed}");
    }
}

#[test]
fn an_id_is_a_hint_unless_it_must_match() {
    let text = sealed("more");
    for ids in [[Some("other"), Some("dev")], [None, Some("prod")]] {
        let vault = with(&[(ids[0], "wrong"), (ids[1], "pw")]);
        assert_eq!(opened(&vault, &text), Ok("y".repeat(17)), "{ids:?}");
    }
    let strict = with(&[(Some("prod"), "pw")]).matching_only(true);
    assert_eq!(opened(&strict, &text), Err(Sealed::NoneFits));
    let strict = with(&[(Some("dev"), "pw")]).matching_only(true);
    assert_eq!(opened(&strict, &text), Ok("y".repeat(17)));
}

#[test]
fn what_stays_sealed_says_why() {
    let text = sealed("block");
    assert_eq!(opened(&Vault::closed(), &text), Err(Sealed::Closed));
    assert_eq!(opened(&with(&[]), &text), Err(Sealed::NoPassword));
    assert_eq!(opened(&with(&[(None, "no")]), &text), Err(Sealed::NoneFits));
    let vault = with(&[(None, "pw")]);
    let half = text.get(..text.len() / 2).unwrap_or_default();
    for broken in [
        "",
        "$ANSIBLE_VAULT",
        "$ANSIBLE_VAULT;1.1",
        "$ANSIBLE_VAULT;1.1;AES",
        "$ANSIBLE_VAULT;1.1;AES256",
        "$ANSIBLE_VAULT;1.1;AES256\nxyz",
        "$ANSIBLE_VAULT;1.1;AES256\n610",
        "$ANSIBLE_VAULT;1.1;AES256\n610a62",
        &format!("{text}# a comment"),
        &format!(" \n{text}"),
    ] {
        let result = opened(&vault, broken);
        assert!(matches!(result, Err(Sealed::Broken(_))), "{broken:?}: {result:?}");
    }
    assert!(opened(&vault, half).is_err());
}

/// One digit after another is changed: in the salt, in the code, in the text.
#[test]
fn nothing_that_was_changed_is_opened() {
    let (vault, text) = (with(&[(None, "pw")]), sealed("empty"));
    let start = text.find('\n').expect("a header") + 1;
    for at in (start..text.len()).step_by(7) {
        let Some(digit) = text.get(at..=at).filter(|digit| *digit != "\n") else { continue };
        let mut changed = text.clone();
        changed.replace_range(at..=at, if digit == "3" { "2" } else { "3" });
        assert!(opened(&vault, &changed).is_err(), "the digit at {at} does not matter");
    }
}

#[test]
fn its_debug_shows_no_password() {
    assert!(!format!("{:?}", with(&[(Some("id"), "hunter2")])).contains("hunter2"));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(body in "[0-9a-f\n \r]{0,400}", header in "[ -~]{0,40}") {
        let vault = with(&[(None, "pw")]);
        let _ = vault.open(&format!("$ANSIBLE_VAULT;1.1;AES256{header}\n{body}"));
        let _ = vault.open(&format!("{header}\n{body}"));
    }
}
