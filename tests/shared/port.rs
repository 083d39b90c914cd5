//! Ports that belong to a test while it runs.
//!
//! A port that is looked up, given back and used later may be somebody else's by then: other tests, and the kernel, which
//! gives ports to outgoing connections. A socket that is bound and does not listen keeps the port.

#![allow(dead_code, reason = "each binary uses a part")]

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpSocket;

/// A port of the loopback interface that is kept while this lives. Connections to it are refused until a server of the
/// test listens there.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _socket: TcpSocket,
}

impl Port {
    /// A port at which nothing can listen.
    pub fn closed() -> Self {
        Self::keep(false)
    }

    /// A port for a server that the test starts, and may start again. The server must set `SO_REUSEADDR`, as nearly all
    /// do on Unix; nobody is given the port by the kernel meanwhile.
    pub fn reserved() -> Self {
        Self::keep(true)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    fn keep(is_shared: bool) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(is_shared).expect("can be set");
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let number = socket.local_addr().expect("an address").port();
        Self { number, _socket: socket }
    }
}
