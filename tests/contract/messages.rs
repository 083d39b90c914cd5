//! How messages travel: their parts, their order, their time, and what refuses them.

use super::*;

pub(super) async fn round_trip(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let mut sent = message("m", queue("q"));
    sent.headers = Object::from_iter([
        ("ant".to_owned(), Value::from(vec![Value::Null, Value::from(true), Value::from(-7), Value::from([("a", 1)])])),
        ("bee".to_owned(), Value::from("é \"quoted\" \n line")),
        ("number".to_owned(), Value::from(0.1)),
        ("workflows-recipe".to_owned(), Value::from(true)),
    ]);
    sent.body = vec![0, 255, b'{', 10];
    let before = SystemTime::now() - Duration::from_secs(1);
    transport.send(vec![sent.clone()]).await.expect("send");
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.source.clone(), got.deliveries), ("m", queue("q"), 1));
    assert_eq!(got.body, sent.body);
    assert_eq!(got.headers, sent.headers);
    let said = got.sent.expect("is known");
    assert!(said >= before && said <= SystemTime::now() + Duration::from_secs(1));
    transport.settle(&got, accept(vec![])).await.expect("settle");
    if !stage.can(Ability::AsWritten) {
        // What has no type there comes as its text.
        let texts = ["123456789012345678901234567890.50e3", "NaN", "-Infinity", "1.0e0"];
        let texts = texts.iter().map(|text| (format!("header {text}"), *text));
        sent.id = "n".to_owned();
        sent.headers = texts.clone().map(|(name, text)| (name, Value::Number(Number::from_text(text)))).collect();
        transport.send(vec![sent]).await.expect("send");
        let got = next(&mut deliveries).await;
        let expected: Object = texts.map(|(name, text)| (name, Value::from(text))).collect();
        assert_eq!(got.headers, expected);
    }
}

pub(super) async fn headers_as_written(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let mut sent = message("m", queue("q"));
    sent.headers = Object::from_iter([
        ("zebra".to_owned(), Value::from(1)),
        ("number".to_owned(), Value::Number(Number::from_text("123456789012345678901234567890.50e3"))),
        ("surrogate".to_owned(), Value::Raw("\"\\ud800\"".into())),
        ("nan".to_owned(), Value::from(f64::NAN)),
        ("ant".to_owned(), Value::Null),
    ]);
    transport.send(vec![sent.clone()]).await.expect("send");
    let got = next(&mut deliveries).await;
    assert_eq!(got.headers, sent.headers);
    assert_eq!(got.headers.keys().collect::<Vec<_>>(), ["zebra", "number", "surrogate", "nan", "ant"]);
}

pub(super) async fn large(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let body: Vec<u8> = (0..1_000_000u32).map(|n| (n % 251) as u8).collect();
    transport.send(vec![Outgoing { body: body.clone(), ..message("m", queue("q")) }]).await.expect("send");
    assert!(next(&mut deliveries).await.body == body);
}

pub(super) async fn large_headers(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let mut large = message("m", queue("q"));
    large.headers.insert("text".to_owned(), Value::from("x".repeat(200_000)));
    let mut long = message("m", queue("q"));
    long.headers.insert("x".repeat(256), Value::Null);
    let late = Outgoing { expiration: Some(Duration::from_secs(1 << 40)), ..message("m", queue("q")) };
    for sent in [large, long, late, message("m", queue(&"q".repeat(256))), message(&"m".repeat(256), queue("q"))] {
        let refused = transport.send(vec![sent]).await;
        assert!(
            matches!(&refused, Err(Error::Unsendable { destination, .. }) if destination.len() < 50),
            "{refused:?}"
        );
    }
    let asked = transport.waiting(&"q".repeat(256)).await;
    assert!(matches!(&asked, Err(Error::NoSuchQueue(queue)) if queue.len() < 50), "{asked:?}");
    // Nobody else has suffered, and a reason of any length fits.
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, reject(&"é".repeat(100_000))).await.expect("settle");
}

pub(super) async fn order(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let ids: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    transport.send(ids.iter().map(|id| message(id, queue("q"))).collect()).await.expect("send");
    for id in ids {
        let got = next(&mut deliveries).await;
        assert_eq!(got.id, id);
        transport.settle(&got, accept(vec![])).await.expect("settle");
    }
}

pub(super) async fn missing(transport: Arc<dyn Transport>) {
    for delay in [None, Some(Duration::from_millis(10))] {
        let refused = transport.send(vec![Outgoing { delay, ..message("m", queue("nowhere")) }]).await;
        assert!(matches!(&refused, Err(Error::NoSuchQueue(name)) if name == "nowhere"), "{refused:?}");
    }
    let refused = transport.send(vec![message("a", queue("q")), message("b", queue("nowhere"))]).await;
    assert!(matches!(refused, Err(Error::NoSuchQueue(_))), "{refused:?}");
    transport.send(vec![message("c", topic("nobody listens"))]).await.expect("a broadcast to nobody is no error");
}

pub(super) async fn sent_whole(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let refused = transport.send(vec![message("a", queue("q")), message("b", queue("nowhere"))]).await;
    assert!(matches!(refused, Err(Error::NoSuchQueue(_))), "{refused:?}");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
}

pub(super) async fn crowd(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 200).await;
    let senders: Vec<_> = (0..60)
        .map(|n| {
            let transport = Arc::clone(&transport);
            let mut sent = message(&n.to_string(), queue(if n % 5 == 0 { "nowhere" } else { "q" }));
            if n % 7 == 0 {
                sent.headers.insert("x".repeat(300), Value::Null);
                sent.destination = queue("nowhere");
            }
            tokio::spawn(async move { (n, transport.send(vec![sent]).await.is_ok()) })
        })
        .collect();
    for sender in senders {
        let (n, sent) = within("a sender", sender).await.expect("join");
        assert_eq!(sent, n % 5 != 0 && n % 7 != 0, "{n}");
    }
    let mut ids: Vec<u32> = Vec::new();
    for _ in (0..60).filter(|n| n % 5 != 0 && n % 7 != 0) {
        ids.push(next(&mut deliveries).await.id.parse().expect("a number"));
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..60).filter(|n| n % 5 != 0 && n % 7 != 0).collect::<Vec<_>>());
}

pub(super) async fn no_exchange(transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let heard = transport.settle(&got, accept(vec![message("n", topic("nowhere"))])).await;
    assert!(matches!(&heard, Err(Error::NoSuchTopic(name)) if name == "nowhere"), "{heard:?}");
    // The input is still ours.
    transport.settle(&got, accept(vec![])).await.expect("settle");
    let heard = transport.send(vec![message("m", topic("nowhere"))]).await;
    assert!(matches!(&heard, Err(Error::NoSuchTopic(name)) if name == "nowhere"), "{heard:?}");
    let other = || Outgoing { exchange: Some("nowhere".to_owned()), ..message("m", queue("q")) };
    for sent in [vec![other()], vec![message("n", queue("q")), other()]] {
        let refused = transport.send(sent).await;
        assert!(matches!(&refused, Err(Error::Unsendable { reason, .. }) if reason.contains("nowhere")), "{refused:?}");
    }
    // The first of the two was not sent either.
    assert_eq!(transport.waiting("q").await.expect("is there").messages, 0);
    // One that is there, and leads nowhere.
    let other = Outgoing { exchange: Some("t".to_owned()), ..message("m", queue("q")) };
    let refused = transport.send(vec![other]).await;
    assert!(matches!(&refused, Err(Error::Unsendable { reason, .. }) if reason.contains("no queue")), "{refused:?}");
}

pub(super) async fn delayed(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 10).await;
    let delay = Duration::from_millis(150);
    let sent = tokio::time::Instant::now();
    let late = Outgoing { delay: Some(delay), ..message("late", queue("q")) };
    let much_later = Outgoing { delay: Some(Duration::from_secs(3_600)), ..message("much later", queue("q")) };
    transport.send(vec![much_later, late, message("now", queue("q"))]).await.expect("send");
    // Where sending takes long, what is delayed may be due as soon as what is not.
    let mut came = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let id = next(&mut deliveries).await.id;
        assert!(id != "late" || sent.elapsed() >= delay, "too early");
        came.insert(id);
    }
    assert!(came.iter().eq(["late", "now"]), "{came:?}");
    let mut heard = subscribe(&*transport, topic("t"), 1).await;
    let sent = tokio::time::Instant::now();
    transport.send(vec![Outgoing { delay: Some(delay), ..message("said", topic("t")) }]).await.expect("send");
    assert_eq!(next(&mut heard).await.id, "said");
    assert!(sent.elapsed() >= delay);
}

pub(super) async fn expired(transport: Arc<dyn Transport>) {
    let mut busy = subscribe(&*transport, queue("q"), 1).await;
    let soon = Outgoing { expiration: Some(Duration::from_millis(60)), ..message("soon", queue("q")) };
    let never = message("never", queue("q"));
    transport.send(vec![message("m", queue("q")), soon, never]).await.expect("send");
    let got = next(&mut busy).await;
    let mut dead = subscribe(&*transport, queue("dlq.q"), 1).await;
    let letter = next(&mut dead).await;
    assert_eq!(letter.id, "soon");
    assert_eq!(deaths(&letter.headers), death("expired", "q"));
    transport.settle(&got, accept(vec![])).await.expect("settle");
    assert_eq!(next(&mut busy).await.id, "never");
}

pub(super) async fn broadcast(transport: Arc<dyn Transport>) {
    transport.send(vec![message("before", topic("t"))]).await.expect("send");
    let mut one = subscribe(&*transport, topic("t"), 1).await;
    let mut two = subscribe(&*transport, topic("t"), 1).await;
    let mut other = subscribe(&*transport, topic("u"), 1).await;
    transport.send(vec![message("m", topic("t"))]).await.expect("send");
    transport.send(vec![message("after", topic("t"))]).await.expect("send");
    for deliveries in [&mut one, &mut two] {
        for id in ["m", "after"] {
            let got = next(deliveries).await;
            assert_eq!((got.id.as_str(), got.source.clone()), (id, topic("t")));
            transport.settle(&got, accept(vec![])).await.expect("settle");
        }
    }
    nothing_else_comes(&*transport, topic("u"), &mut other).await;
}

pub(super) async fn duplicate(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("m", queue("q")), message("m", queue("q"))]).await.expect("send");
    transport.send(vec![message("m", queue("q"))]).await.expect("dropped while it is queued");
    let got = next(&mut deliveries).await;
    transport.settle(&got, accept(vec![message("n", queue("q"))])).await.expect("settle");
    transport.send(vec![message("m", queue("q"))]).await.expect("dropped after it was accepted");
    transport.send(vec![message("o", queue("q"))]).await.expect("send");
    for id in ["n", "o"] {
        let got = next(&mut deliveries).await;
        assert_eq!(got.id, id);
        transport.settle(&got, accept(vec![])).await.expect("settle");
    }
}

pub(super) async fn duplicate_at_hand(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 10).await;
    let mut others = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("q")), message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    // By the time when this comes, the second is most probably there.
    transport.send(vec![message("x", queue("out"))]).await.expect("send");
    next(&mut others).await;
    transport.settle(&got, accept(vec![])).await.expect("settle");
    transport.send(vec![message("n", queue("q"))]).await.expect("send");
    assert_eq!(next(&mut deliveries).await.id, "n");
}

pub(super) async fn full(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    stage.declare_small("small").await;
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    // How many fit depends on when the broker looks; at some point it says so.
    let refused = loop {
        if let Err(error) = transport.send(vec![message("m", queue("small"))]).await {
            break error;
        }
    };
    assert!(matches!(&refused, Error::Refused { destination, .. } if destination == "small"), "{refused:?}");
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let refused = transport.settle(&got, accept(vec![message("n", queue("small"))])).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    // The input is not lost.
    drop(inputs);
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    assert_eq!(next(&mut inputs).await.id, "m");
}
