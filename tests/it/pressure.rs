//! Messages that are held up through no fault of their own, on the embedded broker: by a host and a service in Rust.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketType};
use serde_json::json;
use tokio::sync::{mpsc, watch};
use zrecipe::message::{Destination, Outgoing};
use zrecipe::runtime::journal::Journal;
use zrecipe::runtime::pressure::Pauses;
use zrecipe::runtime::services::mailer::{Mailer, Server};
use zrecipe::runtime::{Event, Host, Job, Outcome, Room, Service};
use zrecipe::transport::Transport as _;
use zrecipe::value::Object;

use crate::hostile::take_mails;
use crate::run::wait_until;
use crate::service::Place;

/// Finds the machine exhausted for some time, and writes down the order in which it deals with messages.
struct Exhausted {
    errno: Errno,
    /// How many more times it fails.
    failures: AtomicUsize,
    done: Mutex<Vec<String>>,
}

#[async_trait]
impl Service for Exhausted {
    fn name(&self) -> &str {
        "Exhausted"
    }

    fn serves(&self, queue: &str) -> bool {
        queue == "in"
    }

    fn prefetch(&self) -> u16 {
        10
    }

    fn takes_plain_messages(&self) -> bool {
        true
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            let error = std::io::Error::from(self.errno);
            return Outcome::of_fault(&error, Duration::from_millis(1));
        }
        self.done.lock().expect("no panic").push(job.delivery.id.clone());
        Outcome::done(Vec::new())
    }
}

/// What is exhausted does not count against a message, however long it lasts; what is broken does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhaustion_counts_no_attempts_and_keeps_the_order() {
    const COUNT: usize = 30;
    for (errno, failures, is_survived) in
        [(Errno::NOSPC, 400, true), (Errno::MFILE, 400, true), (Errno::IO, 400, false)]
    {
        let place = Place::new().await;
        place.space.declare("in").await.expect("declares");
        let message = |n: usize| {
            Outgoing::new(format!("m{n:02}"), Destination::Queue("in".to_owned()), Object::new(), b"1".to_vec())
        };
        place.space.send((0..COUNT).map(message).collect()).await.expect("sends");
        let failures = AtomicUsize::new(failures);
        let service = Arc::new(Exhausted { errno, failures, done: Mutex::default() });
        let (events, mut heard) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let millis = Duration::from_millis;
        let pauses = Pauses { first: millis(1), maximum: millis(4), hold: millis(60_000), ..Pauses::default() };
        let served: Arc<dyn Service> = service.clone();
        let host = Host::new(Arc::new(place.space.clone()), vec![served], 10, events, stopped).with_pauses(pauses);
        let queues = ["in".to_owned()];
        let serving = async { host.serve(&queues).await.expect("serves") };
        let done = || service.done.lock().expect("no panic").len();
        let watching = async {
            if is_survived {
                tokio::task::spawn_blocking({
                    let service = Arc::clone(&service);
                    move || wait_until("all are done", || service.done.lock().expect("no panic").len() == COUNT)
                })
                .await
                .expect("all are done");
            } else {
                place.dead("in", COUNT).await;
            }
            stop.send(true).expect("it serves");
        };
        tokio::join!(serving, watching);
        let held_up = std::iter::from_fn(|| heard.try_recv().ok())
            .filter(|event| matches!(event, Event::HeldUp { by, .. } if by.starts_with("the ")))
            .count();
        if is_survived {
            let expected: Vec<String> = (0..COUNT).map(|n| format!("m{n:02}")).collect();
            assert_eq!(*service.done.lock().expect("no panic"), expected);
            assert_eq!(held_up, 400, "{errno:?}");
            let census = place.space.census().await.expect("counts");
            assert_eq!((census.dead, census.ready + census.delayed + census.held), (0, 0));
        } else {
            assert_eq!((done(), held_up), (0, 0));
        }
    }
}

/// A mail server that cannot be reached holds up all mails; when it is there, they come in the order of delivery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_wait_for_their_server_in_order() {
    const COUNT: usize = 8;
    let place = Place::new().await;
    place.space.declare("mailnotification").await.expect("declares");
    // A port that is ours, at which nobody listens yet.
    let socket = net::socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let listener = TcpListener::from(socket);
    let port = listener.local_addr().expect("an address").port();
    for n in 0..COUNT {
        let body =
            json!({"parameters": {"recipients": "a@example.org", "subject": format!("mail {n}")}, "content": "x"});
        let destination = Destination::Queue("mailnotification".to_owned());
        let message = Outgoing::new(format!("m{n}"), destination, Object::new(), body.to_string().into_bytes());
        place.space.send(vec![message]).await.expect("sends");
    }
    let server = Server { host: "127.0.0.1".to_owned(), port, from: Some("z@example.org".to_owned()) };
    let mailer = Arc::new(Mailer::new(server, Journal::new(place.path("state/journal"))));
    let (events, mut heard) = mpsc::unbounded_channel();
    let (stop, stopped) = watch::channel(false);
    let pauses = Pauses { first: Duration::from_millis(1), maximum: Duration::from_millis(4), ..Pauses::default() };
    let host = Host::new(Arc::new(place.space.clone()), vec![mailer], 1, events, stopped).with_pauses(pauses);
    let serving = tokio::spawn(async move { host.serve(&["mailnotification".to_owned()]).await });
    // Far more often than a mail is tried that the server does not take.
    let mut attempts = 0;
    while attempts < 30 {
        let event = heard.recv().await.expect("it serves");
        attempts += usize::from(matches!(event, Event::HeldUp { by, .. } if by == "the mail server"));
    }
    net::listen(&listener, 16).expect("listens");
    let said = take_mails(listener);
    let subjects = tokio::task::spawn_blocking(move || {
        let mails = said.iter().filter_map(|mail| Some(mail.split("Subject: ").nth(1)?.lines().next()?.to_owned()));
        mails.take(COUNT).collect::<Vec<_>>()
    });
    let expected: Vec<String> = (0..COUNT).map(|n| format!("mail {n}")).collect();
    assert_eq!(subjects.await.expect("mails"), expected);
    stop.send(true).expect("it serves");
    serving.await.expect("join").expect("serves");
    let census = place.space.census().await.expect("counts");
    assert_eq!((census.dead, census.ready + census.delayed + census.held), (0, 0));
}

/// Counts how many messages it deals with at a time.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
}

#[async_trait]
impl Service for Crowd {
    fn name(&self) -> &str {
        "Crowd"
    }

    fn serves(&self, queue: &str) -> bool {
        queue == "in"
    }

    fn prefetch(&self) -> u16 {
        100
    }

    fn takes_plain_messages(&self) -> bool {
        true
    }

    async fn handle(&self, _: &Job) -> Outcome {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        // Others begin meanwhile, as far as they may.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
        Outcome::done(Vec::new())
    }
}

/// What is dealt with at a time is limited by its size, not only by its number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_are_dealt_with_one_by_one() {
    const COUNT: usize = 12;
    // Bytes of a message, and how many at a time may be begun.
    for (bytes, allowed) in [(100, COUNT), (40_000, 2), (1_000_000, 1)] {
        let place = Place::new().await;
        place.space.declare("in").await.expect("declares");
        let body = format!("\"{}\"", "x".repeat(bytes)).into_bytes();
        let message = |n: usize| {
            Outgoing::new(format!("m{n:02}"), Destination::Queue("in".to_owned()), Object::new(), body.clone())
        };
        place.space.send((0..COUNT).map(message).collect()).await.expect("sends");
        let service = Arc::new(Crowd::default());
        let (events, _heard) = mpsc::unbounded_channel();
        let (stop, stopped) = watch::channel(false);
        let served: Arc<dyn Service> = service.clone();
        let host = Host::new(Arc::new(place.space.clone()), vec![served], COUNT, events, stopped)
            .with_room(Room::new(100_000));
        let queues = ["in".to_owned()];
        let serving = async { host.serve(&queues).await.expect("serves") };
        let watching = async {
            let service = Arc::clone(&service);
            let all = move || wait_until("all are done", || service.done.load(Ordering::SeqCst) == COUNT);
            tokio::task::spawn_blocking(all).await.expect("all are done");
            stop.send(true).expect("it serves");
        };
        tokio::join!(serving, watching);
        let most = service.most.load(Ordering::SeqCst);
        assert!((1..=allowed).contains(&most), "{most} messages of {bytes} bytes at a time");
    }
}

/// Counts the bytes of the bodies that it has, over all hosts, and notes where they are.
#[derive(Default)]
struct Scales {
    now: AtomicUsize,
    most: AtomicUsize,
    done: AtomicUsize,
    /// Messages whose body was copied between the work on them and their end.
    copied: AtomicUsize,
    bodies: Mutex<BTreeMap<String, usize>>,
}

#[async_trait]
impl Service for Scales {
    fn name(&self) -> &str {
        "Scales"
    }

    fn serves(&self, queue: &str) -> bool {
        queue == "in"
    }

    fn prefetch(&self) -> u16 {
        100
    }

    fn takes_plain_messages(&self) -> bool {
        true
    }

    async fn handle(&self, job: &Job) -> Outcome {
        let (bytes, address) = (job.delivery.body.len(), job.delivery.body.as_ptr() as usize);
        self.bodies.lock().expect("no panic").insert(job.delivery.id.clone(), address);
        let now = self.now.fetch_add(bytes, Ordering::SeqCst) + bytes;
        self.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(bytes, Ordering::SeqCst);
        Outcome::done(Vec::new())
    }

    async fn settled(&self, job: &Job) {
        let address = self.bodies.lock().expect("no panic").remove(&job.delivery.id);
        let is_same = address == Some(job.delivery.body.as_ptr() as usize);
        self.copied.fetch_add(usize::from(!is_same), Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
    }
}

/// The formula of docs/capacity.md: what the instances of a process work on is limited together, and held once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_share_the_bytes_of_what_they_work_on() {
    const COUNT: usize = 24;
    const BYTES: usize = 40 << 10;
    const MAX: usize = 100 << 10;
    let place = Place::new().await;
    place.space.declare("in").await.expect("declares");
    let body = format!("\"{}\"", "x".repeat(BYTES - 2)).into_bytes();
    let message =
        |n: usize| Outgoing::new(format!("m{n:02}"), Destination::Queue("in".to_owned()), Object::new(), body.clone());
    place.space.send((0..COUNT).map(message).collect()).await.expect("sends");
    let service = Arc::new(Scales::default());
    let (stop, stopped) = watch::channel(false);
    let room = Room::new(MAX);
    let queues = ["in".to_owned()];
    let instance = || {
        let (events, _heard) = mpsc::unbounded_channel();
        let served: Arc<dyn Service> = service.clone();
        Host::new(Arc::new(place.space.clone()), vec![served], COUNT, events, stopped.clone())
            .with_prefetch(Some(4))
            .with_room(room.clone())
    };
    let (one, two, three) = (instance(), instance(), instance());
    let watching = async {
        let service = Arc::clone(&service);
        let all = move || wait_until("all are done", || service.done.load(Ordering::SeqCst) == COUNT);
        tokio::task::spawn_blocking(all).await.expect("all are done");
        stop.send(true).expect("they serve");
    };
    let (first, second, third, ()) =
        tokio::join!(one.serve(&queues), two.serve(&queues), three.serve(&queues), watching);
    first.and(second).and(third).expect("they serve");
    let most = service.most.load(Ordering::SeqCst);
    assert!((BYTES..=MAX).contains(&most), "{most} bytes at a time");
    assert_eq!(service.copied.load(Ordering::SeqCst), 0);
}
