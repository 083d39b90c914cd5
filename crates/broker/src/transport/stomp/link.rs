//! One connection: made, logged in, kept alive by heart-beats, and read by tasks of its own.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::faults;
use super::frame::{Decoder, Frame};
use super::options::Options;
use crate::address::{Host, Login};
use crate::connections::{self, Dial, Watch, next_epoch};
use crate::failure::{Denial, Failure, Outage};
use crate::standing::Standing;
use crate::trust::{distrust, tls_config};

/// How long the broker may take to answer to our farewell.
const FAREWELL: Duration = Duration::from_secs(2);
/// How many bytes are read at a time.
const CHUNK: usize = 64 << 10;
/// How many frames may wait to be written.
const QUEUED: usize = 1_000;

/// Why the broker did not do what a frame asked for.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    /// It refuses, in its words.
    Refused(String),
    /// The connection was lost.
    Lost,
}

type Reply = oneshot::Sender<Result<(), Refusal>>;

/// A connection.
pub(crate) struct Link {
    /// Tells connections of this process apart.
    pub(super) epoch: u64,
    frames: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

struct Shared {
    next: AtomicU64,
    receipts: Mutex<HashMap<String, Reply>>,
    subscriptions: Mutex<HashMap<String, mpsc::UnboundedSender<Frame>>>,
    /// Why the connection is lost.
    lost: watch::Sender<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// A number that no other frame of this connection has.
    pub(super) fn number(&self) -> u64 {
        self.shared.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn is_up(&self) -> bool {
        self.shared.lost.borrow().is_none()
    }

    /// Waits until the connection is lost; why.
    pub(super) async fn lost(&self) -> String {
        let mut lost = self.shared.lost.subscribe();
        lost.wait_for(Option::is_some).await.ok().and_then(|why| why.clone()).unwrap_or_default()
    }

    /// Sends a frame without waiting for an answer.
    pub(super) async fn write(&self, frame: &Frame) {
        // A connection that is lost says so by itself.
        let _ = self.frames.send(frame.encode()).await;
    }

    /// Sends a frame, and returns what will receive the broker's answer.
    pub(super) async fn request(&self, frame: Frame) -> oneshot::Receiver<Result<(), Refusal>> {
        let (reply, answer) = oneshot::channel();
        let receipt = format!("r{}", self.number());
        lock(&self.shared.receipts).insert(receipt.clone(), reply);
        self.write(&frame.with("receipt", receipt.as_str())).await;
        if !self.is_up() {
            lock(&self.shared.receipts).remove(&receipt);
        }
        answer
    }

    /// Sends a frame and waits for the answer.
    ///
    /// # Errors
    /// The broker refuses, or the connection is lost.
    pub(super) async fn ask(&self, frame: Frame) -> Result<(), Refusal> {
        let answer = self.request(frame).await;
        answered(answer).await
    }

    /// Where the messages of a subscription come.
    pub(super) fn listen(&self, subscription: &str) -> mpsc::UnboundedReceiver<Frame> {
        let (sender, receiver) = mpsc::unbounded_channel();
        lock(&self.shared.subscriptions).insert(subscription.to_owned(), sender);
        receiver
    }

    /// Has no more messages of a subscription delivered.
    pub(super) fn leave(&self, subscription: &str) {
        lock(&self.shared.subscriptions).remove(subscription);
    }

    /// Ends the connection.
    pub(super) fn close(&self, why: &str) {
        self.shared.end(why);
    }
}

/// The broker's answer to a frame.
///
/// # Errors
/// The broker refuses, or the connection is lost.
pub(super) async fn answered(answer: oneshot::Receiver<Result<(), Refusal>>) -> Result<(), Refusal> {
    answer.await.unwrap_or(Err(Refusal::Lost))
}

impl Shared {
    fn end(&self, why: &str) {
        self.lost.send_if_modified(|lost| {
            let is_first = lost.is_none();
            lost.get_or_insert_with(|| why.to_owned());
            is_first
        });
        lock(&self.receipts).clear();
        lock(&self.subscriptions).clear();
    }

    /// Passes a frame of the broker on; why the connection ends, if so.
    fn take(&self, frame: Frame) -> Option<String> {
        match frame.command.as_str() {
            "MESSAGE" => {
                let subscriptions = lock(&self.subscriptions);
                if let Some(sender) = frame.get("subscription").and_then(|id| subscriptions.get(id)) {
                    let _ = sender.send(frame);
                }
                None
            }
            "RECEIPT" => {
                self.reply(frame.get("receipt-id"), Ok(()));
                None
            }
            "ERROR" => {
                let why = error_text(&frame);
                match frame.get("receipt-id") {
                    Some(receipt) => {
                        self.reply(Some(receipt), Err(Refusal::Refused(why)));
                        None
                    }
                    None => Some(why),
                }
            }
            _ => None,
        }
    }

    fn reply(&self, receipt: Option<&str>, answer: Result<(), Refusal>) {
        if let Some(reply) = receipt.and_then(|receipt| lock(&self.receipts).remove(receipt)) {
            let _ = reply.send(answer);
        }
    }
}

/// What an `ERROR` frame says: its header, or the first line of its body.
fn error_text(frame: &Frame) -> String {
    let body = String::from_utf8_lossy(&frame.body);
    let first = body.lines().next().unwrap_or_default();
    let first = first.rsplit_once("Exception: ").map_or(first, |(_, text)| text);
    let text = frame.get("message").filter(|text| !text.is_empty() && *text != "null").unwrap_or(first);
    text.chars().take(500).collect()
}

impl connections::Link for Link {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_up(&self) -> bool {
        self.is_up()
    }
}

#[async_trait]
impl Dial for Options {
    type Link = Link;

    fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    fn objection(&self, host: &Host) -> Option<Failure> {
        self.objection(host)
    }

    async fn attempt(&self, host: &Host) -> Result<Link, Failure> {
        attempt(self, host).await
    }
}

#[async_trait]
impl Watch<Link> for Standing {
    async fn until_lost(&self, link: &Arc<Link>) -> String {
        link.lost().await
    }

    async fn farewell(&self, link: &Arc<Link>) {
        // What was acknowledged before this is acknowledged when the answer comes.
        let _ = timeout(FAREWELL, link.ask(Frame::new("DISCONNECT"))).await;
        link.close("the connection was closed");
    }

    fn lost(&self, reason: &str) {
        self.lost(reason);
    }

    fn made(&self, link: &Arc<Link>) {
        self.made(link.epoch);
    }
}

async fn attempt(options: &Options, host: &Host) -> Result<Link, Failure> {
    let stream = TcpStream::connect((host.name.as_str(), host.port)).await.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            Failure::unavailable(Outage::Refused, "connection refused: no broker listens there")
        }
        _ => Failure::unavailable(faults::outage(&error), error.to_string()),
    })?;
    let _ = stream.set_nodelay(true);
    match &options.tls {
        None => log_in(options, host, stream).await,
        Some(tls) => {
            let config = tls_config(tls)?;
            let name = ServerName::try_from(host.name.clone()).map_err(|_| {
                Failure::denied(Denial::Certificate, format!("`{}` cannot be in a certificate", host.name))
            })?;
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            let stream = stream.map_err(|error| faults::of_tls(&error))?;
            log_in(options, host, stream).await
        }
    }
}

/// What a client needs for TLS: the authorities of this machine and further ones, and its own certificate.
///
/// # Errors
/// A certificate or a key cannot be used.
/// Logs in, and starts the tasks of the connection.
async fn log_in<S>(options: &Options, host: &Host, stream: S) -> Result<Link, Failure>
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let beat = options.heartbeat.as_millis();
    let mut frame = Frame::new("CONNECT")
        .with("accept-version", "1.2")
        .with("host", host.name.as_str())
        .with("heart-beat", format!("{beat},{beat}"));
    if let Login::Password { user, password } = &options.login
        && !(user.is_empty() && password.reveal().is_empty())
    {
        frame = frame.with("login", user.as_str()).with("passcode", password.reveal());
    }
    let (mut reader, mut writer) = tokio::io::split(stream);
    // An alert about our certificate may come only now.
    let broken = |error: io::Error| match distrust(&error) {
        Some(_) => faults::of_tls(&error),
        None => Failure::unavailable(faults::outage(&error), format!("the connection was lost: {error}")),
    };
    writer.write_all(&frame.encode()).await.map_err(broken)?;
    writer.flush().await.map_err(broken)?;
    let mut decoder = Decoder::default();
    let mut chunk = vec![0; CHUNK];
    let connected = loop {
        if let Some(frame) = decoder.next_frame().map_err(|error| {
            let reason = format!("the server does not speak STOMP: {error}; it may require TLS (`ssl: true`)");
            Failure::denied(Denial::Protocol, reason)
        })? {
            break frame;
        }
        match reader.read(&mut chunk).await {
            Ok(0) => {
                let reason = "the broker closed the connection during login; it may require TLS (`ssl: true`)";
                return Err(Failure::unavailable(Outage::HungUp, reason));
            }
            Ok(count) => decoder.feed(chunk.get(..count).unwrap_or_default()),
            Err(error) => return Err(broken(error)),
        }
    };
    match connected.command.as_str() {
        "CONNECTED" if connected.get("version") == Some("1.2") => {}
        "CONNECTED" => return Err(Failure::denied(Denial::Protocol, "the broker does not speak STOMP 1.2")),
        _ => return Err(faults::of_login(&connected, &error_text(&connected))),
    }
    let (theirs, ours) = beats(connected.get("heart-beat"), options.heartbeat);
    let (frames, outgoing) = mpsc::channel(QUEUED);
    let shared = Arc::new(Shared {
        next: AtomicU64::new(1),
        receipts: Mutex::default(),
        subscriptions: Mutex::default(),
        lost: watch::Sender::new(None),
    });
    tokio::spawn(write_frames(writer, outgoing, ours, shared.clone()));
    tokio::spawn(read_frames(reader, decoder, theirs, shared.clone()));
    Ok(Link { epoch: next_epoch(), frames, shared })
}

/// How often the broker sends something at least, and how often we do.
fn beats(said: Option<&str>, own: Duration) -> (Option<Duration>, Option<Duration>) {
    let (sends, wants) = said.and_then(|said| said.split_once(',')).unwrap_or(("0", "0"));
    let read = |text: &str| text.trim().parse().ok().filter(|millis| *millis > 0).map(Duration::from_millis);
    let agreed = |theirs: Option<Duration>| theirs.filter(|_| !own.is_zero()).map(|theirs| theirs.max(own));
    (agreed(read(sends)), agreed(read(wants)))
}

/// Writes frames, and a line end when nothing else was written for a while.
async fn write_frames<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut frames: mpsc::Receiver<Vec<u8>>,
    beat: Option<Duration>,
    shared: Arc<Shared>,
) {
    // Earlier than agreed, because the broker is strict.
    let pause = beat.map(|beat| beat / 2);
    let mut lost = shared.lost.subscribe();
    loop {
        let next = pause.map(|pause| Instant::now() + pause);
        let idle = async {
            match next {
                Some(next) => sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        let mut bytes = tokio::select! {
            bytes = frames.recv() => match bytes {
                Some(bytes) => bytes,
                None => break,
            },
            () = idle => b"\n".to_vec(),
            _ = lost.wait_for(Option::is_some) => break,
        };
        // What waits goes in one packet.
        while bytes.len() < CHUNK
            && let Ok(more) = frames.try_recv()
        {
            bytes.extend(more);
        }
        let written = async {
            writer.write_all(&bytes).await?;
            writer.flush().await
        };
        let written = tokio::select! {
            written = written => written,
            _ = lost.wait_for(Option::is_some) => break,
        };
        if let Err(error) = written {
            shared.end(&format!("the connection is lost: {error}"));
            break;
        }
    }
    let _ = timeout(Duration::from_secs(1), writer.shutdown()).await;
    shared.end("the connection was closed");
}

/// Reads frames until the connection is lost, which a missing heart-beat means, too.
async fn read_frames<R: AsyncRead + Unpin>(
    mut reader: R,
    mut decoder: Decoder,
    beat: Option<Duration>,
    shared: Arc<Shared>,
) {
    let mut chunk = vec![0; CHUNK];
    let mut lost = shared.lost.subscribe();
    let why = 'read: loop {
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    if let Some(why) = shared.take(frame) {
                        break 'read why;
                    }
                }
                Ok(None) => break,
                Err(error) => break 'read error.to_string(),
            }
        }
        let silence = async {
            match beat {
                Some(beat) => tokio::time::sleep(beat * 2).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = reader.read(&mut chunk) => match read {
                Ok(0) => break "the connection is lost: the broker closed it".to_owned(),
                Ok(count) => decoder.feed(chunk.get(..count).unwrap_or_default()),
                Err(error) => break format!("the connection is lost: {error}"),
            },
            () = silence => break "the connection is lost: no heart-beat was received".to_owned(),
            _ = lost.wait_for(Option::is_some) => return,
        }
    };
    shared.end(&why);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slower_side_sets_the_pace_of_heart_beats() {
        let second = Duration::from_secs;
        for (said, own, expected) in [
            (Some("10000,5000"), second(20), (Some(second(20)), Some(second(20)))),
            (Some("30000,0"), second(20), (Some(second(30)), None)),
            (Some("0,0"), second(20), (None, None)),
            (None, second(20), (None, None)),
            (Some("1000,1000"), Duration::ZERO, (None, None)),
        ] {
            assert_eq!(beats(said, own), expected, "{said:?}");
        }
    }
}
