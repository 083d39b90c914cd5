//! Log lines for Graylog: GELF 1.1 by UDP, in chunks where a line is long, or by TCP.
//!
//! A line is handed to a thread of its own; a server that is slow or gone costs lines, never time. Format:
//! <https://go2docs.graylog.org/current/getting_in_log_data/gelf.html>.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use crate::value::{Object, Value};

/// How many lines may wait for the server.
const QUEUED: usize = 10_000;
/// The bytes of a datagram, so that it passes through any network.
const DATAGRAM: usize = 1_420;
/// The bytes before a chunk.
const CHUNK_HEAD: usize = 12;
/// A line has at most so many chunks.
const MOST_CHUNKS: usize = 128;
/// How long to wait before a server that is gone is asked again.
const PAUSE: Duration = Duration::from_secs(5);
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
    lines: SyncSender<Vec<u8>>,
    /// What every line says.
    facts: Arc<Object>,
}

/// The thread that sends.
pub(super) struct Sender {
    thread: JoinHandle<()>,
    end: SyncSender<Vec<u8>>,
}

impl Sender {
    /// Waits until all is sent, but not longer than `patience`.
    pub(super) fn finish(self, patience: Duration) {
        let deadline = Instant::now() + patience;
        // A line without text is the last one.
        if self.end.try_send(Vec::new()).is_err() {
            return;
        }
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

pub(super) fn layer(server: &Graylog, facts: &[(&'static str, String)]) -> (Gelf, Sender) {
    let (lines, receiver) = sync_channel(QUEUED);
    let (server, end) = (server.clone(), lines.clone());
    let thread = std::thread::spawn(move || send(&server, &receiver));
    let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), Value::from(value.as_str()))).collect();
    (Gelf { lines, facts: Arc::new(facts) }, Sender { thread, end })
}

fn send(server: &Graylog, lines: &Receiver<Vec<u8>>) {
    let mut link = Link::None;
    let mut again = Instant::now();
    for line in lines {
        if line.is_empty() {
            return;
        }
        if matches!(link, Link::None) && Instant::now() >= again {
            link = Link::open(server).unwrap_or(Link::None);
            again = Instant::now() + PAUSE;
        }
        if link.send(&line).is_err() {
            // Lost for the lines in between; the console has them.
            link = Link::open(server).unwrap_or(Link::None);
            again = Instant::now() + PAUSE;
            let _ = link.send(&line);
        }
    }
}

enum Link {
    None,
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
                let mut open = Err(std::io::ErrorKind::NotFound.into());
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
            Self::None => Ok(()),
            Self::Udp(socket) => datagrams(line).iter().try_for_each(|datagram| socket.send(datagram).map(drop)),
            Self::Tcp(stream) => {
                let mut framed = line.to_vec();
                framed.push(0);
                stream.write_all(&framed)
            }
        }
    }
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
            let _ = write!(self.message, "{value:?}");
        } else {
            self.rest.insert(format!("_{}", field.name()), Value::from(format!("{value:?}")));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.rest.insert(format!("_{}", field.name()), Value::from(value));
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
        // Others of the same server's lines, and a full queue, are worth more than waiting for it.
        let _ = self.lines.try_send(self.write(*event.metadata().level(), &fields.message, line).into_bytes());
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
    use std::io::Read as _;
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
        let line = crate::syntax::json::read_value(line.as_bytes()).expect("is JSON");
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
}
