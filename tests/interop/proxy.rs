//! A way to the broker that can be cut, closed and blocked; where it is asked to, at a named point of what is said on it.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
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
    trap: Arc<Trap>,
}

impl Proxy {
    /// For AMQP in clear text; every connection is cut at the named point, once. `for_good`: nobody gets
    /// through afterwards.
    pub async fn with_fault(target: u16, point: Point, for_good: bool) -> Self {
        let heard = Mutex::default();
        let trap = Arc::new(Trap { point, for_good, heard, sprung: watch::Sender::new(false) });
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let way = watch::Sender::new(Way { is_open: true, cut_before: 0, blocked_before: 0, connections: 0 });
        tokio::spawn({
            let (way, trap) = (way.clone(), trap.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let mut number = 0;
                    way.send_modify(|way| {
                        number = way.connections;
                        way.connections += 1;
                    });
                    if way.borrow().is_open {
                        tokio::spawn(pass(client, target, number, way.clone(), trap.clone()));
                    }
                }
            }
        });
        Self { port, way, trap }
    }

    /// Cuts at once.
    pub fn cut(&self) {
        self.trap.spring(&self.way);
    }

    /// Waits until the point was reached and the connection cut.
    pub async fn is_cut(&self) {
        let _ = self.trap.sprung.subscribe().wait_for(|sprung| *sprung).await;
    }

    /// Waits until there were so many connections.
    pub async fn connected(&self, count: u64) {
        let _ = self.way.subscribe().wait_for(|way| way.connections >= count).await;
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.way.borrow().connections
    }

    /// How many messages the broker has delivered.
    pub fn delivered(&self) -> usize {
        self.trap.heard().delivered
    }

    /// How many messages have gone to the broker.
    pub fn published(&self) -> u64 {
        self.trap.heard().published
    }

    /// What the broker has closed channels and connections for.
    pub fn complaints(&self) -> Vec<String> {
        self.trap.heard().complaints.clone()
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

async fn pass(client: TcpStream, target: u16, number: u64, way: watch::Sender<Way>, trap: Arc<Trap>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
    let (mut closed, mut blocked) = (way.subscribe(), way.subscribe());
    let closing = async move {
        let _ = closed.wait_for(|way| number < way.cut_before).await;
    };
    let copying = async {
        let _ = trap.pass(client, server, &way).await;
    };
    let passing = async {
        tokio::select! {
            () = copying => return,
            _ = blocked.wait_for(|way| number < way.blocked_before) => {}
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = closing => {}
        () = passing => {}
    }
}

/// Where a connection is cut, in the order in which a delivery is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// So many messages have come to the broker and their confirmations to the client; no more do.
    Confirmed(u64),
    /// So many messages have come to the broker, which has confirmed them; no confirmation comes to the client.
    ConfirmationsLost(u64),
    /// The client acknowledges its delivery; the broker does not hear of it.
    BeforeAcknowledgement,
    /// The broker is sent the acknowledgement, and nothing after it.
    AfterAcknowledgement,
    /// The broker never gets the request for a subscription, after so many that it got. The connection lives.
    SubscriptionLost(usize),
    /// Where [`Proxy::cut`] says so.
    Elsewhere,
    /// The same for any protocol: nothing of it is read.
    Bytes,
}

/// Cuts a way at a point, once.
struct Trap {
    point: Point,
    for_good: bool,
    heard: Mutex<Heard>,
    sprung: watch::Sender<bool>,
}

/// What was said.
#[derive(Default)]
struct Heard {
    published: u64,
    confirmed: BTreeSet<u64>,
    delivered: usize,
    subscriptions: usize,
    complaints: Vec<String>,
}

/// What becomes of a frame.
enum Fate {
    Passes,
    /// It and those after it wait for the end.
    Waits,
    Vanishes,
    Cuts,
    PassesAndCuts,
}

/// Class and method of what counts here.
const PUBLISH: (u16, u16) = (60, 40);
const CONSUME: (u16, u16) = (60, 20);
const DELIVER: (u16, u16) = (60, 60);
const ACK: (u16, u16) = (60, 80);
const CLOSE_CHANNEL: (u16, u16) = (20, 40);
const CLOSE_CONNECTION: (u16, u16) = (10, 50);

/// A frame: kind, channel, size, content, end.
struct Frame(Vec<u8>);

impl Frame {
    async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut bytes = vec![0; 7];
        from.read_exact(&mut bytes).await?;
        let size = u32::from_be_bytes([bytes[3], bytes[4], bytes[5], bytes[6]]) as usize;
        bytes.resize(7 + size + 1, 0);
        from.read_exact(&mut bytes[7..]).await?;
        Ok(Self(bytes))
    }

    fn content(&self) -> &[u8] {
        &self.0[7..self.0.len() - 1]
    }

    fn method(&self) -> Option<(u16, u16)> {
        match (self.0[0], self.content()) {
            (1, [a, b, c, d, ..]) => Some((u16::from_be_bytes([*a, *b]), u16::from_be_bytes([*c, *d]))),
            _ => None,
        }
    }

    /// The messages that a confirmation is for, on the only channel that confirms.
    fn confirmed(&self) -> std::ops::RangeInclusive<u64> {
        let content = self.content();
        let tag = content[4..12].try_into().map_or(0, u64::from_be_bytes);
        let is_multiple = content[12] & 1 == 1;
        if is_multiple { 1..=tag } else { tag..=tag }
    }
}

impl Trap {
    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spring(&self, way: &watch::Sender<Way>) {
        way.send_modify(|way| {
            way.cut_before = way.connections;
            way.is_open &= !self.for_good;
        });
        self.sprung.send_replace(true);
    }

    async fn pass(&self, mut client: TcpStream, mut server: TcpStream, way: &watch::Sender<Way>) -> io::Result<()> {
        if self.point == Point::Bytes {
            return copy_bidirectional(&mut client, &mut server).await.map(drop);
        }
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let mut greeting = [0; 8];
        from_client.read_exact(&mut greeting).await?;
        to_server.write_all(&greeting).await?;
        tokio::select! {
            ended = self.pass_on(&mut from_client, &mut to_server, way, Self::client_says) => ended,
            ended = self.pass_on(&mut from_server, &mut to_client, way, Self::server_says) => ended,
        }
    }

    async fn pass_on(
        &self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
        way: &watch::Sender<Way>,
        hear: fn(&Self, &Frame) -> Fate,
    ) -> io::Result<()> {
        loop {
            let frame = Frame::read(from).await?;
            let fate = hear(self, &frame);
            match fate {
                Fate::Passes | Fate::PassesAndCuts => to.write_all(&frame.0).await?,
                Fate::Waits => std::future::pending().await,
                Fate::Vanishes | Fate::Cuts => {}
            }
            if matches!(fate, Fate::Cuts | Fate::PassesAndCuts) {
                self.spring(way);
                return Ok(());
            }
        }
    }

    fn client_says(&self, frame: &Frame) -> Fate {
        if *self.sprung.borrow() {
            return Fate::Passes;
        }
        match (self.point, frame.method()) {
            (Point::Confirmed(0), Some(PUBLISH)) => Fate::Cuts,
            (Point::Confirmed(count), Some(PUBLISH)) if self.heard().published == count => Fate::Waits,
            (_, Some(PUBLISH)) => {
                self.heard().published += 1;
                Fate::Passes
            }
            (Point::SubscriptionLost(after), Some(CONSUME)) => {
                let mut heard = self.heard();
                if heard.subscriptions == after {
                    self.sprung.send_replace(true);
                    return Fate::Vanishes;
                }
                heard.subscriptions += 1;
                Fate::Passes
            }
            (Point::BeforeAcknowledgement, Some(ACK)) => Fate::Cuts,
            (Point::AfterAcknowledgement, Some(ACK)) => Fate::PassesAndCuts,
            _ => Fate::Passes,
        }
    }

    fn server_says(&self, frame: &Frame) -> Fate {
        match frame.method() {
            Some(DELIVER) => self.heard().delivered += 1,
            Some(CLOSE_CHANNEL | CLOSE_CONNECTION) => {
                let text = String::from_utf8_lossy(&frame.content()[7..]).into_owned();
                self.heard().complaints.push(text);
            }
            Some(ACK) if !*self.sprung.borrow() => {
                let mut heard = self.heard();
                heard.confirmed.extend(frame.confirmed());
                let count = heard.confirmed.len() as u64;
                return match self.point {
                    Point::Confirmed(all) if count == all => Fate::PassesAndCuts,
                    Point::ConfirmationsLost(all) if count == all => Fate::Cuts,
                    Point::ConfirmationsLost(_) => Fate::Vanishes,
                    _ => Fate::Passes,
                };
            }
            _ => {}
        }
        Fate::Passes
    }
}
