//! A bare client of STOMP, which shows what the broker itself does, and a way to the broker on which a connection stops at a
//! named frame.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use zrecipe::transport::stomp::frame::{Decoder, Frame};

use crate::contract::within;

/// Reads frames.
struct Reader<R> {
    stream: R,
    decoder: Decoder,
    chunk: Vec<u8>,
}

impl<R: tokio::io::AsyncRead + Unpin> Reader<R> {
    fn new(stream: R) -> Self {
        Self { stream, decoder: Decoder::default(), chunk: vec![0; 64 << 10] }
    }

    /// The next frame; nothing at the end.
    async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.decoder.next_frame().map_err(io::Error::other)? {
                return Ok(Some(frame));
            }
            match self.stream.read(&mut self.chunk).await? {
                0 => return Ok(None),
                count => self.decoder.feed(&self.chunk[..count]),
            }
        }
    }
}

/// A connection without anything around it.
pub struct Bare {
    reader: Reader<tokio::net::tcp::OwnedReadHalf>,
    writer: tokio::net::tcp::OwnedWriteHalf,
    receipts: u64,
    messages: VecDeque<Frame>,
}

impl Bare {
    /// Logs in as `guest`.
    pub async fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("connects");
        stream.set_nodelay(true).expect("is set");
        let (reader, writer) = stream.into_split();
        let mut bare = Self { reader: Reader::new(reader), writer, receipts: 0, messages: VecDeque::new() };
        let login = Frame::new("CONNECT").with("accept-version", "1.2").with("host", "localhost");
        bare.write(&[login.with("login", "guest").with("passcode", "guest")]).await;
        let answer = within("an answer", bare.reader.next()).await.expect("reads").expect("a frame");
        assert_eq!(answer.command, "CONNECTED", "{answer:?}");
        bare
    }

    /// Sends frames in one packet.
    pub async fn write(&mut self, frames: &[Frame]) {
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        self.writer.write_all(&bytes).await.expect("is sent");
    }

    /// Sends a frame and waits for the broker's answer; the words of a refusal.
    pub async fn ask(&mut self, frame: Frame) -> Result<(), String> {
        self.receipts += 1;
        let receipt = format!("r{}", self.receipts);
        self.write(&[frame.with("receipt", receipt.as_str())]).await;
        self.answer(&receipt).await
    }

    /// The answer to a frame that was sent with this `receipt`.
    pub async fn answer(&mut self, receipt: &str) -> Result<(), String> {
        loop {
            let frame = within("a receipt", self.reader.next()).await.expect("reads").expect("a frame");
            match (frame.command.as_str(), frame.get("receipt-id")) {
                ("RECEIPT", Some(id)) if id == receipt => return Ok(()),
                ("ERROR", Some(id)) if id == receipt => {
                    return Err(frame.get("message").unwrap_or_default().to_owned());
                }
                ("MESSAGE", _) => self.messages.push_back(frame),
                _ => {}
            }
        }
    }

    /// Subscribes with individual acknowledgements.
    pub async fn subscribe(&mut self, destination: &str, prefetch: u16) {
        let frame = Frame::new("SUBSCRIBE").with("id", destination).with("destination", destination);
        let frame = frame.with("ack", "client-individual").with("activemq.prefetchSize", prefetch.to_string());
        self.ask(frame).await.expect("subscribes");
    }

    /// The next message.
    pub async fn message(&mut self) -> Frame {
        within("a message", self.message_or_end()).await.expect("a message")
    }

    async fn message_or_end(&mut self) -> Option<Frame> {
        if let Some(frame) = self.messages.pop_front() {
            return Some(frame);
        }
        loop {
            let frame = self.reader.next().await.expect("reads")?;
            if frame.command == "MESSAGE" {
                return Some(frame);
            }
        }
    }

    /// Acknowledges a message.
    pub async fn acknowledge(&mut self, message: &Frame) {
        let ack = message.get("ack").unwrap_or_default();
        self.ask(Frame::new("ACK").with("id", ack)).await.expect("acknowledged");
    }
}

/// Where a connection stops; nothing passes on it any more, either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The broker does not get the frame.
    Before(&'static str),
    /// The broker gets the frame; whether it has dealt with it is not known.
    After(&'static str),
    /// The broker has answered the frame; the client does not get the answer.
    Answered(&'static str),
    /// The client gets the answer to the frame.
    Told(&'static str),
}

impl Point {
    fn command(self) -> &'static str {
        let (Self::Before(command) | Self::After(command) | Self::Answered(command) | Self::Told(command)) = self;
        command
    }
}

/// A way to the broker on which one connection stops, once.
pub struct Halt {
    /// Where it listens.
    pub port: u16,
    reached: watch::Receiver<bool>,
}

impl Halt {
    pub async fn start(target: u16, point: Point) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (reaches, reached) = watch::channel(false);
        let reaches = Arc::new(reaches);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let reaches = reaches.clone();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await else { return };
                    if *reaches.borrow() {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    } else {
                        let _ = relay(client, server, point, &reaches).await;
                    }
                });
            }
        });
        Self { port, reached }
    }

    /// Waits until a connection has stopped.
    pub async fn reached(&self) {
        let _ = within("the point", self.reached.clone().wait_for(|reached| *reached)).await;
    }
}

/// Passes frames on until the point is reached, and then nothing until the broker is gone.
async fn relay(client: TcpStream, server: TcpStream, point: Point, reaches: &watch::Sender<bool>) -> io::Result<()> {
    let ((from_client, mut to_client), (from_server, mut to_server)) = (client.into_split(), server.into_split());
    let (mut from_client, mut from_server) = (Reader::new(from_client), Reader::new(from_server));
    let receipt = Mutex::<Option<String>>::default();
    let upward = async {
        while let Some(frame) = from_client.next().await? {
            let is_it = frame.command == point.command() && !*reaches.borrow();
            if *reaches.borrow() || (is_it && matches!(point, Point::Before(_))) {
                reaches.send_replace(true);
                std::future::pending::<()>().await;
            }
            if is_it {
                let mut receipt = receipt.lock().unwrap_or_else(PoisonError::into_inner);
                receipt.get_or_insert_with(|| frame.get("receipt").unwrap_or_default().to_owned());
            }
            to_server.write_all(&frame.encode()).await?;
            if is_it && matches!(point, Point::After(_)) {
                reaches.send_replace(true);
            }
        }
        io::Result::Ok(())
    };
    let downward = async {
        while let Some(frame) = from_server.next().await? {
            let is_it = {
                let receipt = receipt.lock().unwrap_or_else(PoisonError::into_inner);
                receipt.is_some() && frame.get("receipt-id") == receipt.as_deref()
            };
            let is_kept_back = *reaches.borrow() || is_it && matches!(point, Point::Answered(_));
            if !is_kept_back {
                to_client.write_all(&frame.encode()).await?;
            }
            if is_it && matches!(point, Point::Answered(_) | Point::Told(_)) {
                reaches.send_replace(true);
            }
        }
        io::Result::Ok(())
    };
    tokio::select! {
        ended = upward => ended,
        ended = downward => ended,
    }
}
