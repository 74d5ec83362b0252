//! Listening sockets, with what an accepted connection inherits from them (tcp(7); Linux copies
//! the options below to what is accepted).

use std::{
    io,
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use rustix::net::{listen, sockopt};

/// Connections that wait to be accepted; the kernel clamps it to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
/// How long a client may take nothing of what is sent to it before its connection is cut. Nothing
/// above the socket notices: a body is not asked for more until the client has taken what is there.
const STUCK: Duration = Duration::from_secs(300);
/// After how much silence the kernel asks an idle client whether it is still there, and how often
/// it asks again.
const ASK_AFTER: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_secs(20);

/// Listens on `address`.
///
/// # Errors
/// The address cannot be had.
pub(super) fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // Again, since the standard library's backlog is 128.
    listen(&listener, BACKLOG)?;
    sockopt::set_tcp_user_timeout(&listener, u32::try_from(STUCK.as_millis()).unwrap_or(0))?;
    sockopt::set_socket_keepalive(&listener, true)?;
    sockopt::set_tcp_keepidle(&listener, ASK_AFTER)?;
    sockopt::set_tcp_keepintvl(&listener, ASK_EVERY)?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_client_that_is_stuck_or_gone_is_noticed() {
        let listener = listener("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(sockopt::tcp_user_timeout(&accepted).unwrap(), 300_000);
        assert!(sockopt::socket_keepalive(&accepted).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap(), ASK_AFTER);
    }
}
