//! The token service, as `auth.docker.io` behaves.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    answer::{Answer, Request},
    state::{Grant, Kind, Seen, State},
};

pub(super) fn answer(state: &mut State, request: &Request) -> (Kind, Answer) {
    let basic = request.header("authorization");
    let credential = basic.as_deref().map(basic_credential);
    state.seen.push(Seen {
        kind: Kind::Token,
        method: request.method.clone(),
        path: request.target(),
        range: None,
        accept: request.header("accept"),
        authorization: basic.is_some(),
        account: credential.clone().flatten().map(|(user, _)| user),
        at: Instant::now(),
    });
    (Kind::Token, give(state, request, credential))
}

fn give(
    state: &mut State,
    request: &Request,
    credential: Option<Option<(String, String)>>,
) -> Answer {
    if let Some(abuse) = state.knobs.abuse {
        return Answer::abuse(abuse.retry_after);
    }
    if request.method != "GET" || request.path != "/token" {
        return Answer::new(404, "text/plain", "404 page not found\n");
    }
    let refused = || Answer::json(401, &json!({"details": "incorrect username or password"}));
    let account = match credential {
        None => None,
        Some(None) => return refused(),
        Some(Some((user, password))) => {
            let right = state.accounts.get(&user).is_some_and(|a| a.password == password);
            if !right || state.knobs.refuse_credentials {
                return refused();
            }
            Some(user)
        }
    };
    if request.parameter("service").as_deref() != Some("registry.docker.io") {
        return Answer::json(400, &json!({"details": "unknown service"}));
    }
    // A scope that is missing gives a token that opens nothing, as the real one does.
    let scope = request.parameter("scope").unwrap_or_default();
    let name = match scope.split(':').collect::<Vec<_>>()[..] {
        ["repository", name, "pull"] => Some(name.to_owned()),
        [""] => None,
        _ => return Answer::json(400, &json!({"details": "malformed scope"})),
    };
    let granted: Vec<String> =
        name.into_iter().filter(|name| state.may_pull(account.as_deref(), name)).collect();
    let life = state.knobs.expires_in;
    let expires = state.now() + Duration::from_secs(life.unwrap_or(60));
    state.issued += 1;
    let token = if state.knobs.opaque_tokens {
        format!("opaque-{}", state.issued)
    } else {
        jwt(state.issued, account.as_deref(), &granted)
    };
    state.grants.insert(token.clone(), Grant { account, repositories: granted, expires });
    let mut body = json!({"access_token": token, "issued_at": "2026-11-23T00:00:00Z"});
    if !state.knobs.access_token_only {
        body["token"] = token.into();
    }
    if let Some(life) = life {
        body["expires_in"] = life.into();
    }
    Answer::json(200, &body)
}

/// User and password of a `Basic` header; none if it is not one.
pub(super) fn basic_credential(header: &str) -> Option<(String, String)> {
    let decoded = decode(header.strip_prefix("Basic ")?)?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn jwt(number: u64, account: Option<&str>, granted: &[String]) -> String {
    let access: Vec<_> = granted
        .iter()
        .map(|name| json!({"type": "repository", "name": name, "actions": ["pull"], "parameters": {}}))
        .collect();
    let header = json!({"alg": "RS256", "typ": "JWT"});
    let claims = json!({
        "iss": "auth.docker.io",
        "aud": "registry.docker.io",
        "sub": account.unwrap_or(""),
        "jti": format!("dckr_jti_{number}"),
        "access": access,
    });
    let part = |value: &serde_json::Value| encode(value.to_string().as_bytes());
    format!("{}.{}.c2lnbmF0dXJl", part(&header), part(&claims))
}

const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64url without padding (RFC 4648, 5).
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .enumerate()
            .fold(0u32, |bits, (n, b)| bits | u32::from(*b) << (16 - 8 * n));
        for n in 0..=three.len() {
            text.push(char::from(URL_SAFE[(bits >> (18 - 6 * n) & 63) as usize]));
        }
    }
    text
}

/// Base64 with padding (RFC 4648, 4), of text.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for c in text.trim_end_matches('=').bytes() {
        let c = match c {
            b'+' => b'-',
            b'/' => b'_',
            c => c,
        };
        bits = bits << 6 | u32::try_from(URL_SAFE.iter().position(|x| *x == c)?).ok()?;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count & 0xff) as u8);
        }
    }
    String::from_utf8(bytes).ok()
}
