//! How connections begin, hang, are lost and end.

use super::*;

pub(super) async fn closed(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.close().await.expect("close");
    assert_eq!(within("the end", deliveries.next()).await, None);
    assert!(matches!(transport.send(vec![message("m", queue("q"))]).await, Err(Error::Closed)));
    transport.close().await.expect("closing twice is no error");
}

pub(super) async fn closed_settled(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    const COUNT: usize = 50;
    let mut deliveries = subscribe(&*transport, queue("q"), 100).await;
    let mut sent: Vec<Outgoing> = (0..COUNT).map(|n| message(&n.to_string(), queue("q"))).collect();
    sent.push(message("held", queue("q")));
    transport.send(sent).await.expect("send");
    for _ in 0..COUNT {
        let got = next(&mut deliveries).await;
        transport.settle(&got, accept(vec![])).await.expect("settle");
    }
    assert_eq!(next(&mut deliveries).await.id, "held");
    transport.close().await.expect("close");
    // What goes back goes back together.
    let transport = stage.connect(Caller::Somewhere).await.expect("connect");
    let mut deliveries = subscribe(&*transport, queue("q"), 100).await;
    let got = next(&mut deliveries).await;
    assert_eq!(got.id, "held");
    transport.settle(&got, accept(vec![])).await.expect("settle");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
    transport.close().await.expect("close");
}

pub(super) async fn reconnected(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 2).await;
    let mut heard = subscribe(&*transport, topic("t"), 2).await;
    transport.send((0..3).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    for _ in 0..2 {
        let got = next(&mut deliveries).await;
        stage.reachable(false).await;
        stage.reachable(true).await;
        // It is confirmed on the next connection; by then the loss is known.
        transport.send(vec![message("y", queue("in"))]).await.expect("send");
        let led_to = accept(vec![message("x", queue("out"))]);
        assert!(matches!(transport.settle(&got, led_to).await, Err(Error::NotHeld)));
    }
    // All comes again, and once it is accepted it is gone.
    let mut ids = std::collections::BTreeSet::new();
    while ids.len() < 3 {
        let got = next(&mut deliveries).await;
        if transport.settle(&got, accept(vec![])).await.is_ok() {
            assert!(ids.insert(got.id.clone()), "{} came twice", got.id);
        }
    }
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
    let mut results = subscribe(&*transport, queue("out"), 1).await;
    nothing_else_comes(&*transport, queue("out"), &mut results).await;
    // The copies that nobody could hear are lost; those from now on are not.
    let got = heard_again(&*transport, "t", &mut heard).await;
    transport.settle(&got, accept(vec![])).await.expect("settle");
}

pub(super) async fn sent_later(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    stage.reachable(false).await;
    let sending = tokio::spawn({
        let transport = Arc::clone(&transport);
        async move { transport.send(vec![message("m", queue("q"))]).await }
    });
    stage.is_tried().await;
    assert!(!sending.is_finished(), "nothing is sent before it is confirmed");
    stage.reachable(true).await;
    within("the confirmation", sending).await.expect("join").expect("send");
    assert_eq!(next(&mut deliveries).await.id, "m");
}

pub(super) async fn hung(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    stage.hang().await;
    within("the confirmation", transport.send(vec![message("m", queue("q"))])).await.expect("by another connection");
    assert_eq!(next(&mut deliveries).await.id, "m");
    // Who asks meanwhile is told that there is no answer, or has it by the next connection.
    stage.hang().await;
    let asked = within("an answer", transport.waiting("q")).await;
    assert!(matches!(asked, Ok(_) | Err(Error::Unavailable { .. })), "{asked:?}");
}

pub(super) async fn somewhere(stage: Arc<dyn Stage>, _transport: Arc<dyn Transport>) {
    // The order is a random one.
    for _ in 0..6 {
        let transport = stage.connect(Caller::Somewhere).await.expect("connect");
        transport.send(vec![message("m", queue("q"))]).await.expect("send");
        transport.close().await.expect("close");
    }
}

pub(super) async fn refused(stage: Arc<dyn Stage>) {
    for (caller, said) in [
        (Caller::Nowhere, "connection refused: no broker listens there"),
        (Caller::Stranger, "the user or the password is wrong"),
        (Caller::Lost, "virtual host"),
    ] {
        if caller == Caller::Lost && !stage.can(Ability::Declared) {
            continue;
        }
        match within("the refusal", stage.connect(caller)).await {
            Err(error @ (Error::Unavailable { .. } | Error::Denied { .. })) => {
                assert_eq!(matches!(error, Error::Denied { .. }), caller != Caller::Nowhere, "{error:?}");
                let whole = format!("{error} {error:?}");
                assert!(whole.contains(said), "{caller:?}: {whole}");
                assert!(!whole.contains("wr0ng") && !whole.contains("guest:"), "{caller:?}: {whole}");
            }
            Err(error) => panic!("{caller:?}: {error:?}"),
            Ok(_) => panic!("{caller:?} was let in"),
        }
    }
}

pub(super) async fn subscribed_to_nothing(transport: Arc<dyn Transport>) {
    for source in [queue("nowhere"), topic("nowhere")] {
        let refused = transport.subscribe(Subscription { source: source.clone(), prefetch: 1 }).await;
        match (&source, refused) {
            (Destination::Queue(_), Err(Error::NoSuchQueue(name)))
            | (Destination::Topic(_), Err(Error::NoSuchTopic(name))) => assert_eq!(name, "nowhere"),
            (_, other) => panic!("{source}: {other:?}"),
        }
    }
}

pub(super) async fn deleted(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    stage.delete("q").await;
    assert_eq!(within("the end", deliveries.next()).await, None);
}

pub(super) async fn silent(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    stage.declare_elsewhere("silent").await;
    stage.happens_elsewhere(Fate::Freezes).await;
    let published = stage.published();
    let sending = tokio::spawn({
        let transport = Arc::clone(&transport);
        async move { transport.send(vec![message("m", queue("silent"))]).await }
    });
    // What goes in one batch with it waits with it.
    eventually("it has gone", async || stage.published() > published).await;
    let others = tokio::spawn(async move {
        for n in 0..5 {
            let sent = transport.send(vec![message(&n.to_string(), queue("q"))]);
            within("the confirmation of another one", sent).await.expect("send");
        }
    });
    let others = others.await;
    let is_silent = !sending.is_finished();
    stage.happens_elsewhere(Fate::Thaws).await;
    others.expect("the others do not wait");
    assert!(is_silent, "nobody has confirmed it");
    within("the confirmation", sending).await.expect("join").expect("send");
}

pub(super) async fn silent_to_the_end(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    stage.declare_elsewhere("silent").await;
    let worker = stage.connect(Caller::Somewhere).await.expect("connect");
    let mut inputs = subscribe(&*worker, queue("in"), 1).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    stage.happens_elsewhere(Fate::Freezes).await;
    let published = stage.published();
    let settling = tokio::spawn(async move {
        // It dies with what it has to do.
        let _inputs = inputs;
        worker.settle(&got, accept(vec![message("n", queue("silent"))])).await
    });
    eventually("the output has gone", async || stage.published() > published).await;
    settling.abort();
    let ended = settling.await;
    stage.happens_elsewhere(Fate::Thaws).await;
    assert!(ended.is_err(), "nobody has confirmed it");
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    assert_eq!(next(&mut inputs).await.id, "m");
}

pub(super) async fn headless(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    stage.declare_elsewhere("headless").await;
    stage.happens_elsewhere(Fate::Dies).await;
    let refused = within("the refusal", transport.send(vec![message("m", queue("headless"))])).await;
    assert!(matches!(refused, Err(Error::Refused { .. } | Error::Unconfirmed { .. })), "{refused:?}");
    let refused = within("the refusal", transport.settle(&got, accept(vec![message("n", queue("headless"))]))).await;
    assert!(matches!(refused, Err(Error::Refused { .. } | Error::Unconfirmed { .. })), "{refused:?}");
    // The input is still ours.
    transport.settle(&got, accept(vec![])).await.expect("settle");
}
