//! PBKDF2, HMAC and AES as `ansible-vault` combines them. The derivation is most of what it takes to
//! read a small inventory, and RustCrypto's takes a quarter less time than AWS-LC's.

use aws_lc_rs::{
    cipher::{AES_256, DecryptingKey, DecryptionContext, UnboundCipherKey},
    hmac,
    iv::FixedLength,
};
use pbkdf2::pbkdf2_hmac;
use zeroize::Zeroizing;

/// Rounds of PBKDF2-HMAC-SHA256.
const ROUNDS: u32 = 10_000;

/// Bytes of the key, and of the key of the code.
const KEY: usize = 32;
/// Bytes of a block and of the counter it begins with.
const BLOCK: usize = 16;

/// The padding is not right, though the code is.
#[derive(Debug)]
pub(super) struct Misshapen;

/// The plain bytes; none if the code does not match, that is, for another password or a changed
/// text. The code is compared in constant time, before anything is decrypted.
pub(super) fn open(
    password: &[u8],
    salt: &[u8],
    code: &[u8],
    sealed: &[u8],
) -> Result<Option<Vec<u8>>, Misshapen> {
    let mut keys = Zeroizing::new([0; 2 * KEY + BLOCK]);
    pbkdf2_hmac::<sha2::Sha256>(password, salt, ROUNDS, &mut *keys);
    let (key, rest) = keys.split_at(KEY);
    let (code_key, counter) = rest.split_at(KEY);
    if hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, code_key), sealed, code).is_err() {
        return Ok(None);
    }
    let mut plain = Zeroizing::new(sealed.to_vec());
    let counter: [u8; BLOCK] = counter.try_into().map_err(|_| Misshapen)?;
    let key = UnboundCipherKey::new(&AES_256, key).map_err(|_| Misshapen)?;
    DecryptingKey::ctr(key)
        .and_then(|key| {
            let counter = DecryptionContext::Iv128(FixedLength::from(&counter));
            key.decrypt(&mut plain, counter).map(|_| ())
        })
        .map_err(|_| Misshapen)?;
    let length = unpadded(&plain).ok_or(Misshapen)?;
    Ok(Some(plain.get(..length).unwrap_or_default().to_vec()))
}

/// How long the text is without its padding (PKCS #7).
fn unpadded(plain: &[u8]) -> Option<usize> {
    let padding = usize::from(*plain.last()?);
    let length = plain.len().checked_sub(padding)?;
    let is_right = (1..=BLOCK).contains(&padding) && plain.len().is_multiple_of(BLOCK);
    let all = plain.get(length..)?.iter().all(|byte| usize::from(*byte) == padding);
    (is_right && all).then_some(length)
}
