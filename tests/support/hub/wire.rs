//! HTTP/1.1 by hand, since every way to break it is wanted.

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Role,
    answer::{Answer, Request},
    cdn,
    fault::Fault,
    registry,
    state::State,
    token,
};

/// How a body is sent.
#[derive(Clone, Debug, Default)]
struct Manner {
    chunked: bool,
    /// Stop, and how, after so many bytes.
    stop: Option<(usize, Fault)>,
    slow: Option<(usize, std::time::Duration)>,
}

pub(super) async fn serve(mut stream: TcpStream, role: Role, state: Arc<Mutex<State>>) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = read(&mut stream, &mut buffer).await {
        let (answer, fault) = {
            let mut state = state.lock().unwrap();
            let (kind, answer) = match role {
                Role::Registry => registry::answer(&mut state, &request),
                Role::Auth => token::answer(&mut state, &request),
                Role::Cdn => cdn::answer(&mut state, &request),
            };
            let fault = state.take_fault(kind);
            let answer = match (&fault, role) {
                // These change what is answered, not how it is sent.
                (Some(Fault::IgnoreRange), role) => {
                    let mut whole = request.clone();
                    whole.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("range"));
                    match role {
                        Role::Cdn => cdn::content(&state, &whole),
                        _ => registry::route(&mut state, &whole),
                    }
                }
                (Some(Fault::Unauthorized), _) => registry::challenge(&state, &request, None),
                (Some(Fault::Abuse(seconds)), _) => Answer::abuse(*seconds),
                (Some(Fault::Status(status)), _) => {
                    Answer::error(*status, "UNKNOWN", "an error of the server")
                }
                (Some(Fault::Raw(status, headers, body)), _) => Answer {
                    status: *status,
                    headers: headers.clone(),
                    body: Bytes::copy_from_slice(body),
                    range: None,
                },
                _ => answer,
            };
            (answer, fault)
        };
        match send(&mut stream, &request, answer, fault).await {
            Ok(true) => {}
            _ => return,
        }
    }
}

/// The next request; none at the end of the connection.
async fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if buffer.len() > 64 << 10 || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let head = String::from_utf8(head).map_err(|_| bad())?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1")) = (first.next(), first.next(), first.next())
    else {
        return Err(bad());
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_lowercase(), value.trim().to_owned()))
        .collect();
    // Nobody who only pulls sends a body.
    if headers.iter().any(|(name, value)| {
        name == "transfer-encoding" || (name == "content-length" && value != "0")
    }) || !headers.iter().any(|(name, _)| name == "host")
    {
        return Err(bad());
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Ok(Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
    }))
}

/// Sends an answer. True if the connection can be used for another.
async fn send(
    stream: &mut TcpStream,
    request: &Request,
    mut answer: Answer,
    fault: Option<Fault>,
) -> io::Result<bool> {
    let mut manner = Manner::default();
    match fault {
        Some(Fault::Drop) => return Ok(false),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Hold(gate)) => gate.pass().await,
        Some(Fault::Slow(bytes, pause)) => manner.slow = Some((bytes.max(1), pause)),
        Some(Fault::Chunked) => manner.chunked = true,
        Some(Fault::Wrong) => flip(&mut answer, 0),
        Some(Fault::WrongEnd) => {
            let last = answer.body.len().saturating_sub(1);
            flip(&mut answer, last);
        }
        Some(Fault::TooLong(n)) => {
            answer.body = [&answer.body[..], &vec![b'+'; n]].concat().into();
        }
        Some(Fault::TooShort(n)) => {
            answer.body.truncate(answer.body.len().saturating_sub(n));
        }
        Some(Fault::WrongRange(by)) => {
            if let Some((start, _)) = &mut answer.range {
                *start += by;
            }
        }
        Some(Fault::WrongTotal(by)) => {
            if let Some((_, total)) = &mut answer.range {
                *total += by;
            }
        }
        Some(stop @ (Fault::Cut(n) | Fault::Stall(n) | Fault::HoldBody(n, _))) => {
            manner.stop = Some((n, stop));
        }
        _ => {}
    }
    if let Some((start, total)) = answer.range {
        let last = start + (answer.body.len() as u64).saturating_sub(1);
        answer = answer.with("Content-Range", format!("bytes {start}-{last}/{total}"));
    }
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &if manner.chunked {
        "Transfer-Encoding: chunked\r\n".to_owned()
    } else {
        format!("Content-Length: {}\r\n", answer.body.len())
    };
    head += "\r\n";
    stream.write_all(head.as_bytes()).await?;
    if request.is_head() {
        return Ok(true);
    }
    body(stream, &answer.body, &manner).await
}

async fn body(stream: &mut TcpStream, body: &Bytes, manner: &Manner) -> io::Result<bool> {
    let end = manner.stop.as_ref().map_or(body.len(), |(n, _)| (*n).min(body.len()));
    let piece = manner.slow.map_or(64 << 10, |(bytes, _)| bytes);
    let mut sent = 0;
    while sent < end {
        if let Some((_, pause)) = manner.slow {
            tokio::time::sleep(pause).await;
        }
        let next = (sent + piece).min(end);
        write(stream, &body[sent..next], manner.chunked).await?;
        sent = next;
    }
    match &manner.stop {
        Some((_, Fault::Cut(_))) => return Ok(false),
        Some((_, Fault::Stall(_))) => std::future::pending().await,
        Some((_, Fault::HoldBody(_, gate))) => {
            gate.pass().await;
            write(stream, &body[sent..], manner.chunked).await?;
        }
        _ => {}
    }
    if manner.chunked {
        stream.write_all(b"0\r\n\r\n").await?;
    }
    Ok(true)
}

async fn write(stream: &mut TcpStream, piece: &[u8], chunked: bool) -> io::Result<()> {
    if chunked && !piece.is_empty() {
        stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
        stream.write_all(piece).await?;
        return stream.write_all(b"\r\n").await;
    }
    stream.write_all(piece).await
}

fn flip(answer: &mut Answer, at: usize) {
    let mut bytes = answer.body.to_vec();
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 0xff;
    }
    answer.body = bytes.into();
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        307 => "Temporary Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        _ => "Something",
    }
}
