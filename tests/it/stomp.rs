//! What our transport says to a broker of STOMP, beside the tests of Python's StompTransport: each of those is the same here,
//! deliberately different, or not ours (`tests/conformance/stomp_transport.json`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use zrecipe::address::{Host, Login, Password};
use zrecipe::site::{Plugins, Site};
use zrecipe::source::Source;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::stomp::frame::{Decoder, Frame};
use zrecipe::transport::stomp::{Options, Stomp};
use zrecipe::transport::{
    Destination, Error, Outgoing, Settlement, Subscription, TRANSPORTS, Transport as _, Verdict, of_url,
};
use zrecipe::value::{Object, Value};

use crate::port::Port;
use crate::wait::{eventually, within};

/// A broker that agrees to all, and keeps what it was told.
struct Server {
    port: u16,
    frames: Arc<Mutex<Vec<Frame>>>,
}

impl Server {
    /// `hang_ups`: how many frames with a message it hangs up on before it takes any.
    async fn start(hang_ups: usize) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let frames = Arc::<Mutex<Vec<Frame>>>::default();
        let (kept, left) = (frames.clone(), Arc::new(Mutex::new(hang_ups)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone(), left.clone()));
            }
        });
        Self { port, frames }
    }

    fn options(&self) -> Options {
        Options {
            login: Login::Password { user: "me".to_owned(), password: Password::new("s3cret") },
            prefix: "ns".to_owned(),
            ..Options::new(vec![Host { name: "127.0.0.1".to_owned(), port: self.port }])
        }
    }

    /// The frames with this command so far.
    fn told(&self, command: &str) -> Vec<Frame> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().filter(|frame| frame.command == command).cloned().collect()
    }

    /// All commands so far.
    fn commands(&self) -> Vec<String> {
        let frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.iter().map(|frame| frame.command.clone()).collect()
    }
}

async fn serve(mut stream: TcpStream, kept: Arc<Mutex<Vec<Frame>>>, hang_ups: Arc<Mutex<usize>>) {
    let (mut decoder, mut chunk) = (Decoder::default(), vec![0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut chunk).await {
        decoder.feed(&chunk[..count]);
        while let Ok(Some(frame)) = decoder.next_frame() {
            let mut answers = Vec::new();
            match frame.command.as_str() {
                "CONNECT" => answers.push(Frame::new("CONNECTED").with("version", "1.2").with("heart-beat", "0,0")),
                "SUBSCRIBE" if frame.get("destination") == Some("/queue/ns.in") => {
                    let subscription = frame.get("id").expect("an id");
                    let mut message = Frame::new("MESSAGE").with("subscription", subscription).with("ack", "a1");
                    message.body = b"{\"entry\": [0, \"banana\"]}".to_vec();
                    answers.push(message.with("destination", "/queue/ns.in").with("message-id", "ID:1"));
                }
                "SEND" => {
                    let mut left = hang_ups.lock().unwrap_or_else(PoisonError::into_inner);
                    if *left > 0 {
                        *left -= 1;
                        return;
                    }
                }
                _ => {}
            }
            if let Some(receipt) = frame.get("receipt") {
                answers.insert(0, Frame::new("RECEIPT").with("receipt-id", receipt));
            }
            kept.lock().unwrap_or_else(PoisonError::into_inner).push(frame);
            for answer in answers {
                if stream.write_all(&answer.encode()).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn queue(name: &str) -> Destination {
    Destination::Queue(name.to_owned())
}

fn topic(name: &str) -> Destination {
    Destination::Topic(name.to_owned())
}

fn message(destination: Destination) -> Outgoing {
    let headers = Object::from_iter([("hdr".to_owned(), Value::from("value"))]);
    Outgoing::new("m".to_owned(), destination, headers, b"text".to_vec())
}

#[test]
fn every_test_of_pythons_transport_has_its_place_here() {
    let root = env!("CARGO_MANIFEST_DIR");
    let table = std::fs::read(format!("{root}/tests/conformance/stomp_transport.json")).expect("is there");
    let table = read_value(&table).expect("JSON");
    let rows = table.as_array().expect("a list");
    assert_eq!(rows.len(), 25);
    let sources = std::fs::read_to_string(format!("{root}/tests/it/stomp.rs")).expect("is there");
    for row in rows {
        let text = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
        let (here, why, by) = (text("here"), text("why"), text("by"));
        let is_complete = match here {
            "same" => why.is_empty() && !by.is_empty(),
            "different" => !why.is_empty() && !by.is_empty(),
            "not ours" => !why.is_empty() && by.is_empty(),
            _ => false,
        };
        assert!(is_complete && text("test").starts_with("test_"), "{row:?}");
        assert!(by.is_empty() || sources.contains(&format!("fn {by}()")), "{by} is no test");
    }
}

#[test]
fn the_transport_is_found_by_its_name() {
    let entry = TRANSPORTS.iter().find(|entry| entry.class == Some("StompTransport")).expect("is there");
    assert_eq!((entry.plugin, entry.name), (Some("stomp"), "stomp"));
    assert_eq!(of_url("stomp://h").expect("reads").entry().name, "stomp");
}

#[tokio::test]
async fn the_settings_of_the_plugin_reach_the_broker() {
    let server = Server::start(0).await;
    let text = format!(
        "version: 1\nstomp: {{plugin: stomp, host: 127.0.0.1, port: {}, username: someuser, password: somesecret, \
         prefix: namespace}}\nenvironments: {{default: [stomp]}}\n",
        server.port
    );
    let site = Site::new(Arc::new(zrecipe::syntax::parse(Arc::new(Source::from_text("site.yml", text)))));
    let plugins: Plugins<'_> = site.resolve(&["default"]).expect("resolves");
    let endpoint = zrecipe::transport::of_site(&plugins, &|_| unreachable!("it names no file"));
    let endpoint = endpoint.expect("reads").expect("is there");
    assert_eq!(endpoint.namespace(), "namespace");
    let transport = endpoint.connect("test").await.expect("connects");
    let login = server.told("CONNECT").remove(0);
    assert_eq!((login.get("login"), login.get("passcode")), (Some("someuser"), Some("somesecret")));
    transport.close().await.expect("closes");
}

#[tokio::test]
async fn an_empty_login_logs_nobody_in() {
    let server = Server::start(0).await;
    let login = Login::Password { user: String::new(), password: Password::new("") };
    let transport = Stomp::connect(Options { login, ..server.options() }).await.expect("connects");
    let login = server.told("CONNECT").remove(0);
    assert_eq!((login.get("login"), login.get("passcode")), (None, None));
    transport.close().await.expect("closes");
}

#[tokio::test]
async fn a_connection_is_made_once_and_ended_in_order() {
    let server = Server::start(0).await;
    let transport = Stomp::connect(server.options()).await.expect("connects");
    let same = transport.clone();
    same.send(vec![message(queue("q"))]).await.expect("is sent");
    transport.close().await.expect("closes");
    transport.close().await.expect("closes once");
    assert!(matches!(same.send(vec![message(queue("q"))]).await, Err(Error::Closed)));
    eventually("the farewell", async || server.told("DISCONNECT").len() == 1).await;
    assert_eq!(server.told("CONNECT").len(), 1);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_an_error() {
    let closed = Port::closed();
    let options = Options::new(vec![Host { name: "127.0.0.1".to_owned(), port: closed.number() }]);
    assert!(matches!(Stomp::connect(options).await, Err(Error::Unavailable { .. })));
}

#[tokio::test]
async fn what_is_sent_is_what_python_sends() {
    let server = Server::start(0).await;
    let transport = Stomp::connect(server.options()).await.expect("connects");
    let now = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).expect("after").as_millis()).expect("fits");
    let before = now();
    let (delay, expiration) = (Some(Duration::from_secs(123)), Some(Duration::from_secs(120)));
    for message in [
        message(queue("some_queue")),
        Outgoing { delay, ..message(queue("some_queue")) },
        Outgoing { expiration, ..message(queue("some_queue")) },
        message(queue("/queue/some_queue")),
        message(topic("some_topic")),
        Outgoing { delay, ..message(topic("some_topic")) },
        Outgoing { expiration, ..message(topic("transient.status")) },
        message(topic("/topic/some_topic")),
    ] {
        transport.send(vec![message]).await.expect("is sent");
    }
    let told = server.told("SEND");
    let destinations: Vec<&str> = told.iter().filter_map(|frame| frame.get("destination")).collect();
    let expected = ["/queue/ns.some_queue"; 3].into_iter().chain(["/queue/some_queue"]);
    let expected =
        expected.chain(["/topic/ns.some_topic"; 2]).chain(["/topic/ns.transient.status", "/topic/some_topic"]);
    assert_eq!(destinations, expected.collect::<Vec<_>>());
    for (n, frame) in told.iter().enumerate() {
        assert_eq!((frame.get("hdr"), frame.body.as_slice()), (Some("value"), b"text".as_slice()));
        assert_eq!(frame.get("persistent"), (n < 4).then_some("true"), "{n}");
        assert_eq!(frame.get("AMQ_SCHEDULED_DELAY"), (n % 4 == 1).then_some("123000"), "{n}");
        match frame.get("expires") {
            Some(at) => {
                let at: u64 = at.parse().expect("a number");
                assert!(n % 4 == 2 && (before + 120_000..=now() + 120_000).contains(&at), "{n}: {at}");
            }
            None => assert_ne!(n % 4, 2),
        }
    }
    transport.close().await.expect("closes");
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_the_message_sent() {
    let server = Server::start(2).await;
    let transport = Stomp::connect(server.options()).await.expect("connects");
    within("both", transport.send(vec![message(queue("q"))])).await.expect("is sent");
    within("both", transport.send(vec![message(topic("t"))])).await.expect("is sent");
    assert_eq!((server.told("SEND").len(), server.told("CONNECT").len()), (2, 3));
    transport.close().await.expect("closes");
    // Where that takes too long, it is an error.
    let server = Server::start(usize::MAX).await;
    let patience = Duration::from_secs(1);
    let transport = Stomp::connect(Options { patience, ..server.options() }).await.expect("connects");
    let sent = within("an error", transport.send(vec![message(queue("q"))])).await;
    assert!(matches!(sent, Err(Error::Unavailable { .. } | Error::Unconfirmed { .. })), "{sent:?}");
}

#[tokio::test]
async fn bodies_are_not_touched() {
    let server = Server::start(0).await;
    let transport = Stomp::connect(server.options()).await.expect("connects");
    for body in [b"{\"entry\": [0, \"banana\"]}".as_slice(), b"\xff\0no JSON", b""] {
        transport.send(vec![Outgoing { body: body.to_vec(), ..message(queue("q")) }]).await.expect("is sent");
        assert_eq!(server.told("SEND").pop().expect("a frame").body, body);
    }
    let mut deliveries =
        transport.subscribe(Subscription { source: queue("in"), prefetch: 1 }).await.expect("subscribes");
    let got = within("a message", deliveries.next()).await.expect("a message");
    assert_eq!(got.body, b"{\"entry\": [0, \"banana\"]}");
    transport.close().await.expect("closes");
}

#[tokio::test]
async fn subscriptions_are_named_and_acknowledged_one_by_one() {
    let server = Server::start(0).await;
    let transport = Stomp::connect(server.options()).await.expect("connects");
    let mut open = Vec::new();
    for source in [queue("q"), queue("/queue/q"), topic("t"), topic("/topic/t")] {
        open.push(transport.subscribe(Subscription { source, prefetch: 7 }).await.expect("subscribes"));
    }
    let told = server.told("SUBSCRIBE");
    let destinations: Vec<&str> = told.iter().filter_map(|frame| frame.get("destination")).collect();
    assert_eq!(destinations, ["/queue/ns.q", "/queue/q", "/topic/ns.t", "/topic/t"]);
    let ids: std::collections::BTreeSet<&str> = told.iter().filter_map(|frame| frame.get("id")).collect();
    assert_eq!(ids.len(), 4);
    for frame in &told {
        assert_eq!((frame.get("ack"), frame.get("activemq.prefetchSize")), (Some("client-individual"), Some("7")));
    }
    drop(open);
    eventually("their ends", async || server.told("UNSUBSCRIBE").len() == 4).await;
    transport.close().await.expect("closes");
}

async fn settled(settlement: Settlement) -> Vec<Frame> {
    let server = Server::start(0).await;
    let transport = Stomp::connect(server.options()).await.expect("connects");
    let source = queue("in");
    let mut deliveries = transport.subscribe(Subscription { source, prefetch: 1 }).await.expect("subscribes");
    let got = within("a message", deliveries.next()).await.expect("a message");
    transport.settle(&got, settlement).await.expect("is settled");
    let commands = server.commands();
    assert_eq!(commands[commands.len() - 4..], ["BEGIN", "SEND", "ACK", "COMMIT"], "{commands:?}");
    let frames: Vec<Frame> = ["BEGIN", "SEND", "ACK", "COMMIT"].iter().map(|it| server.told(it).remove(0)).collect();
    let transaction = frames[0].get("transaction").expect("an id");
    assert!(frames.iter().all(|frame| frame.get("transaction") == Some(transaction)), "{frames:?}");
    transport.close().await.expect("closes");
    frames
}

#[tokio::test]
async fn a_delivery_is_settled_in_one_transaction() {
    let outputs = vec![message(queue("destination"))];
    let frames = settled(Settlement { verdict: Verdict::Accept, outputs, note: None }).await;
    assert_eq!(frames[1].get("destination"), Some("/queue/ns.destination"));
    assert_eq!(frames[2].get("id"), Some("a1"));
}

#[tokio::test]
async fn a_rejected_message_goes_to_its_dead_letters() {
    let frames = settled(Settlement::of(Verdict::DeadLetter { reason: "no such sample".into() })).await;
    assert_eq!(frames[1].get("destination"), Some("/queue/DLQ.ns.in"));
    assert_eq!(frames[1].get("zrecipe-reason"), Some("no such sample"));
    assert_eq!(frames[1].body, b"{\"entry\": [0, \"banana\"]}");
    assert_eq!(frames[2].get("id"), Some("a1"));
}
