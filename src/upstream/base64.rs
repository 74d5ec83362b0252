//! Base64, as far as it is needed here (RFC 4648): written for `Basic`, read in tokens.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The standard alphabet with padding (section 4).
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// The alphabet for addresses, with or without padding (section 5).
pub(super) fn decode_url(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0_u32);
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    // A single digit left over is no byte at all.
    (count < 6).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_examples_of_rfc_4648() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(plain.as_bytes()), text);
            assert_eq!(decode_url(text).unwrap(), plain.as_bytes());
            assert_eq!(decode_url(text.trim_end_matches('=')).unwrap(), plain.as_bytes());
        }
        assert_eq!(decode_url("_-8"), Some(vec![0xff, 0xef]));
        for bad in ["+", "Zm9v!", "Z", "Zm9vY", "ü"] {
            assert_eq!(decode_url(bad), None, "`{bad}`");
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let text = encode(&bytes).replace('+', "-").replace('/', "_");
            prop_assert_eq!(decode_url(&text), Some(bytes));
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC*") {
            let _ = decode_url(&text);
        }
    }
}
