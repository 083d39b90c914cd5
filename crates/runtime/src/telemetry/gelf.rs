//! Log lines for Graylog: GELF 1.1 by UDP, in chunks where a line is long, or by TCP.
//!
//! A line is handed to a thread of its own: a server that is slow or away costs no time. Lines wait for it, but not any
//! number of them; that it is away is told once, and when it is there again how many lines it lacks. Format:
//! <https://go2docs.graylog.org/current/getting_in_log_data/gelf.html>.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use zrecipe_broker::backoff::Backoff;
use zrecipe_language::diagnostic::counted;
use zrecipe_language::value::{Object, Value};

use super::console::without_secrets;
use super::instances;

/// How many lines may wait for the server.
const MOST_LINES: usize = 10_000;
/// How many bytes.
const MOST_BYTES: usize = 16 << 20;
/// The bytes of a datagram, so that it passes through any network.
const DATAGRAM: usize = 1_420;
/// The bytes before a chunk.
const CHUNK_HEAD: usize = 12;
/// A line has at most so many chunks.
const MOST_CHUNKS: usize = 128;
/// How long to wait before a server that is away is asked again: the first time, and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How lines travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Datagrams.
    Udp,
    /// A connection.
    Tcp,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graylog {
    /// How lines travel.
    pub protocol: Protocol,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl std::fmt::Display for Graylog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = match self.protocol {
            Protocol::Udp => "udp",
            Protocol::Tcp => "tcp",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Makes lines of what is logged.
pub(super) struct Gelf {
    queue: Arc<Queue>,
    /// What every line says.
    facts: Arc<Object>,
}

/// The thread that sends.
pub(super) struct Sender {
    server: Graylog,
    queue: Arc<Queue>,
    thread: JoinHandle<()>,
}

impl Sender {
    /// Waits until all is sent, but not longer than `patience`, and tells how much is not.
    pub(super) fn finish(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        self.queue.end();
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        match self.queue.missing() {
            0 => {}
            missing => tell(Err(format!("{} did not get {}", self.server, counted(missing, "log line")))),
        }
    }
}

pub(super) fn layer(server: &Graylog, facts: &[(&'static str, String)]) -> (Gelf, Sender) {
    let queue = Arc::new(Queue::default());
    let (server, reader) = (server.clone(), Arc::clone(&queue));
    let sender = server.clone();
    let thread = std::thread::spawn(move || send(&sender, &reader, tell));
    let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str()))).collect();
    (Gelf { queue: Arc::clone(&queue), facts: Arc::new(facts) }, Sender { server, queue, thread })
}

/// That all is well again, or what is not.
type News = Result<String, String>;

fn tell(news: News) {
    match news {
        Ok(news) => tracing::info!("{news}"),
        Err(news) => tracing::warn!("{news}"),
    }
}

/// The lines that wait for a server.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How many had no place, and have not been told of.
    lost: usize,
    /// Whether no more will come.
    has_ended: bool,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, if it has a place.
    fn push(&self, line: Vec<u8>) {
        let mut waiting = self.waiting();
        if waiting.lines.len() >= MOST_LINES || waiting.bytes + line.len() > MOST_BYTES {
            waiting.lost += 1;
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line);
        self.changed.notify_all();
    }

    /// The next line, as soon as there is one; it stays until it is [sent](Self::sent). None is the end.
    fn next(&self) -> Option<Vec<u8>> {
        let goes_on = |waiting: &mut Waiting| waiting.lines.is_empty() && !waiting.has_ended;
        let waiting = self.changed.wait_while(self.waiting(), goes_on).unwrap_or_else(PoisonError::into_inner);
        waiting.lines.front().cloned()
    }

    /// The next line has been sent. If it was the last one for now: how many had no place.
    fn sent(&self) -> Option<usize> {
        let mut waiting = self.waiting();
        waiting.bytes -= waiting.lines.pop_front().map_or(0, |line| line.len());
        waiting.lines.is_empty().then(|| std::mem::take(&mut waiting.lost))
    }

    /// Waits, unless the end has come; whether it has.
    fn rest(&self, pause: Duration) -> bool {
        let goes_on = |waiting: &mut Waiting| !waiting.has_ended;
        let rested = self.changed.wait_timeout_while(self.waiting(), pause, goes_on);
        rested.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }

    /// No more will come.
    fn end(&self) {
        self.waiting().has_ended = true;
        self.changed.notify_all();
    }

    /// How many lines have not been sent, and have not been told of.
    fn missing(&self) -> usize {
        let waiting = self.waiting();
        waiting.lines.len() + waiting.lost
    }
}

/// Sends what is in the queue until its end; a server that is away is asked again and again.
fn send(server: &Graylog, queue: &Queue, tell: impl Fn(News)) {
    let mut link = None;
    let mut is_away = false;
    while let Some(line) = queue.next() {
        let mut backoff = Backoff::new(BACK_OFF);
        let mut is_last = false;
        while let Err(error) = deliver(&mut link, server, &line) {
            if !std::mem::replace(&mut is_away, true) {
                tell(Err(format!("log lines wait for {server}: {error}")));
            }
            if is_last {
                return;
            }
            is_last = queue.rest(backoff.pause());
        }
        match queue.sent() {
            Some(0) if is_away => tell(Ok(format!("{server} accepts log lines again, and received the waiting ones"))),
            Some(lost @ 1..) => {
                tell(Err(format!("{server} did not get {}: too many waited", counted(lost, "log line"))))
            }
            _ => continue,
        }
        is_away = false;
    }
}

/// Sends a line, by a new link if the one that there is does not work.
fn deliver(link: &mut Option<Link>, server: &Graylog, line: &[u8]) -> std::io::Result<()> {
    if link.as_mut().is_some_and(|link| link.send(line).is_ok()) {
        return Ok(());
    }
    *link = None;
    link.insert(Link::open(server)?).send(line)
}

enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Link {
    fn open(server: &Graylog) -> std::io::Result<Self> {
        let addresses: Vec<_> = (server.host.as_str(), server.port).to_socket_addrs()?.collect();
        match server.protocol {
            Protocol::Udp => {
                let unspecified =
                    if addresses.first().is_some_and(|address| address.is_ipv6()) { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(unspecified)?;
                socket.connect(&*addresses)?;
                Ok(Self::Udp(socket))
            }
            Protocol::Tcp => {
                // `localhost` may have two, and the server listen at one.
                let mut open = Err(ErrorKind::NotFound.into());
                for address in &addresses {
                    open = open.or_else(|_| TcpStream::connect_timeout(address, PATIENCE));
                }
                let stream = open?;
                stream.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Tcp(stream))
            }
        }
    }

    fn send(&mut self, line: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => datagrams(line).iter().try_for_each(|datagram| socket.send(datagram).map(drop)),
            Self::Tcp(stream) => {
                // What is written to a peer that has gone is lost without a word.
                if is_closed(stream)? {
                    return Err(ErrorKind::ConnectionReset.into());
                }
                let mut framed = line.to_vec();
                framed.push(0);
                stream.write_all(&framed)
            }
        }
    }
}

/// Whether the other side, which has nothing to say, has gone.
fn is_closed(stream: &mut TcpStream) -> std::io::Result<bool> {
    stream.set_nonblocking(true)?;
    let read = stream.read(&mut [0; 512]);
    stream.set_nonblocking(false)?;
    Ok(match read {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    })
}

/// A line as datagrams; none if it is too long even so.
fn datagrams(line: &[u8]) -> Vec<Vec<u8>> {
    if line.len() <= DATAGRAM {
        return vec![line.to_vec()];
    }
    let chunks: Vec<&[u8]> = line.chunks(DATAGRAM - CHUNK_HEAD).collect();
    if chunks.len() > MOST_CHUNKS {
        return Vec::new();
    }
    let id = uuid::Uuid::new_v4();
    let count = chunks.len() as u8;
    let chunk = |(number, chunk): (usize, &&[u8])| {
        let head = [&[0x1e, 0x0f], &id.as_bytes()[..8], &[number as u8, count]].concat();
        [&head, *chunk].concat()
    };
    chunks.iter().enumerate().map(chunk).collect()
}

/// The fields of a span or an event.
#[derive(Default)]
struct Fields {
    message: String,
    rest: Object,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.message.push_str(&without_secrets("message", format!("{value:?}")));
        } else {
            let text = without_secrets(field.name(), format!("{value:?}"));
            self.rest.insert(format!("_{}", field.name()), Value::from(text));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(&without_secrets("message", value.to_owned()));
        } else {
            let text = without_secrets(field.name(), value.to_owned());
            self.rest.insert(format!("_{}", field.name()), Value::from(text));
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.rest.insert(format!("_{}", field.name()), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record_i64(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.rest.insert(format!("_{}", field.name()), Value::from(value));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Gelf {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().replace(fields);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(fields) = span.extensions_mut().get_mut::<Fields>() {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = Object::new();
        for span in context.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.extend(fields.rest.clone());
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        line.extend(fields.rest);
        // As Python's handlers for Graylog name the logger.
        let logger = line.get("_logger").and_then(Value::as_str).map(str::to_owned);
        let facility = logger.unwrap_or_else(|| event.metadata().target().replace("::", "."));
        line.insert("_facility".to_owned(), Value::from(facility));
        let service = line.get("_service").and_then(Value::as_str).map(str::to_owned);
        for (name, value) in instances::fields(service.as_deref()) {
            line.entry(name.to_owned()).or_insert(value);
        }
        self.queue.push(self.write(*event.metadata().level(), &fields.message, line).into_bytes());
    }
}

impl Gelf {
    fn write(&self, level: tracing::Level, message: &str, fields: Object) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let first = message.lines().next().unwrap_or_default();
        let mut line = (*self.facts).clone();
        line.insert("version".to_owned(), Value::from("1.1"));
        line.insert("short_message".to_owned(), Value::from(if first.is_empty() { "-" } else { first }));
        if first != message {
            line.insert("full_message".to_owned(), Value::from(message));
        }
        line.insert("timestamp".to_owned(), Value::from((now * 1e3).round() / 1e3));
        line.insert("level".to_owned(), Value::from(i64::from(super::severity(level))));
        line.insert("_level_name".to_owned(), Value::from(level.as_str()));
        line.extend(fields);
        Value::Object(line).to_json()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufRead as _;
    use std::net::TcpListener;
    use tracing_subscriber::layer::SubscriberExt as _;

    fn log(server: &Graylog, message: &str) {
        let (layer, sender) = layer(server, &[("host", "ws123".to_owned())]);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            let span = tracing::info_span!("message", recipe_ID = "a1", step = 2);
            span.in_scope(|| tracing::warn!(sent = 3, "{message}"));
        });
        sender.finish(Duration::from_secs(10));
    }

    fn check(line: &str, short: &str, full: Option<&str>) {
        let line = zrecipe_language::syntax::json::read_value(line.as_bytes()).expect("is JSON");
        let text = |key: &str| line.get(key).and_then(Value::as_str);
        let number = |key: &str| line.get(key).and_then(Value::as_i64);
        assert_eq!((text("version"), text("host"), text("_recipe_ID")), (Some("1.1"), Some("ws123"), Some("a1")));
        assert_eq!((number("level"), number("_step"), number("_sent")), (Some(4), Some(2), Some(3)));
        assert_eq!((text("short_message"), text("full_message")), (Some(short), full));
    }

    #[test]
    fn short_lines_are_one_datagram_and_long_ones_several() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let port = socket.local_addr().expect("is bound").port();
        let server = Graylog { protocol: Protocol::Udp, host: "127.0.0.1".into(), port };
        let mut buffer = [0; 2_000];
        log(&server, "short\nand more");
        let length = socket.recv(&mut buffer).expect("comes");
        check(std::str::from_utf8(&buffer[..length]).expect("is text"), "short", Some("short\nand more"));
        let long = "é".repeat(2_000);
        log(&server, &long);
        let mut text = Vec::new();
        let mut ids = Vec::new();
        loop {
            let length = socket.recv(&mut buffer).expect("comes");
            assert!(length <= DATAGRAM && buffer.starts_with(&[0x1e, 0x0f]));
            ids.push(buffer[2..10].to_vec());
            assert_eq!(usize::from(buffer[10]) + 1, ids.len());
            text.extend(&buffer[12..length]);
            if buffer[10] + 1 == buffer[11] {
                break;
            }
        }
        ids.dedup();
        assert_eq!(ids.len(), 1, "all chunks are of one line");
        check(std::str::from_utf8(&text).expect("is text"), &long, None);
        assert!(datagrams(&vec![b'x'; 200_000]).is_empty(), "what cannot be sent is not sent in part");
    }

    #[test]
    fn lines_on_a_connection_end_with_zero() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let port = listener.local_addr().expect("is bound").port();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            listener.accept().expect("somebody comes").0.read_to_string(&mut text).expect("is text");
            text
        });
        log(&Graylog { protocol: Protocol::Tcp, host: "127.0.0.1".into(), port }, "short");
        let text = reader.join().expect("ends");
        check(text.strip_suffix('\0').expect("ends with zero"), "short", None);
    }

    /// The lines that come by the next connection, so many of them.
    fn take(listener: &TcpListener, lines: usize) -> Vec<String> {
        let mut stream = std::io::BufReader::new(listener.accept().expect("somebody comes").0);
        let line = |_| {
            let mut line = Vec::new();
            stream.read_until(0, &mut line).expect("reads");
            String::from_utf8(line).expect("is text")
        };
        (0..lines).map(line).collect()
    }

    #[test]
    fn lines_wait_for_a_server_that_is_away() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let address = listener.local_addr().expect("is bound");
        let server = Graylog { protocol: Protocol::Tcp, host: "127.0.0.1".into(), port: address.port() };
        let (queue, (told, news)) = (Arc::new(Queue::default()), std::sync::mpsc::channel());
        let sender = {
            let (server, queue) = (server.clone(), Arc::clone(&queue));
            std::thread::spawn(move || send(&server, &queue, |news| told.send(news).expect("is heard")))
        };
        queue.push(b"one".to_vec());
        assert_eq!(take(&listener, 1), ["one\0"]);
        drop(listener);
        queue.push(b"two".to_vec());
        let away = news.recv().expect("is told").expect_err("is away");
        assert!(away.starts_with(&format!("log lines wait for {server}: ")), "{away}");
        queue.push(b"three".to_vec());
        let listener = TcpListener::bind(address).expect("the socket again");
        assert_eq!(take(&listener, 2), ["two\0", "three\0"]);
        assert_eq!(
            news.recv().expect("is told"),
            Ok(format!("{server} accepts log lines again, and received the waiting ones"))
        );
        // What is too much is counted.
        drop(listener);
        queue.push(b"four".to_vec());
        news.recv().expect("is told").expect_err("is away");
        (0..MOST_LINES + 2).for_each(|_| queue.push(b"x".to_vec()));
        assert_eq!(queue.missing(), MOST_LINES + 3);
        let listener = TcpListener::bind(address).expect("the socket again");
        assert_eq!(take(&listener, MOST_LINES).len(), MOST_LINES);
        assert_eq!(news.recv().expect("is told"), Err(format!("{server} did not get 3 log lines: too many waited")));
        // At the end nobody waits for it.
        drop(listener);
        queue.push(b"five".to_vec());
        news.recv().expect("is told").expect_err("is away");
        queue.end();
        sender.join().expect("ends");
        assert_eq!(queue.missing(), 1);
        assert!(news.try_recv().is_err(), "all is told");
    }

    #[test]
    fn lines_take_up_no_more_than_so_much() {
        let queue = Queue::default();
        (0..20).for_each(|_| queue.push(vec![b'x'; 1 << 20]));
        let waiting = queue.waiting();
        assert_eq!((waiting.lines.len(), waiting.lost), (16, 4));
    }
}
