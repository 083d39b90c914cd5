//! A way to the broker that can be cut, closed and blocked.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How things are on the way.
#[derive(Debug, Clone, Copy)]
struct Way {
    is_open: bool,
    /// Connections before this one are at an end.
    cut_before: u64,
    /// Connections before this one get nothing through.
    blocked_before: u64,
    connections: u64,
}

/// Passes connections on to a port of this machine.
pub struct Proxy {
    /// Where it listens.
    pub port: u16,
    way: watch::Sender<Way>,
}

impl Proxy {
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let way = watch::Sender::new(Way { is_open: true, cut_before: 0, blocked_before: 0, connections: 0 });
        tokio::spawn({
            let way = way.clone();
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let mut number = 0;
                    way.send_modify(|way| {
                        number = way.connections;
                        way.connections += 1;
                    });
                    if way.borrow().is_open {
                        tokio::spawn(pass(client, target, number, way.subscribe()));
                    }
                }
            }
        });
        Self { port, way }
    }

    /// Lets connections live, or ends them and every new one.
    pub fn open(&self, is_open: bool) {
        self.way.send_modify(|way| {
            way.is_open = is_open;
            if !is_open {
                way.cut_before = way.connections;
            }
        });
    }

    /// Lets nothing through on the connections that there are; they stay.
    pub fn block(&self) {
        self.way.send_modify(|way| way.blocked_before = way.connections);
    }
}

async fn pass(mut client: TcpStream, target: u16, number: u64, mut way: watch::Receiver<Way>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let mut closed = way.clone();
    let closing = async move {
        let _ = closed.wait_for(|way| number < way.cut_before).await;
    };
    let passing = async {
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => return,
            _ = way.wait_for(|way| number < way.blocked_before) => {}
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = closing => {}
        () = passing => {}
    }
}
