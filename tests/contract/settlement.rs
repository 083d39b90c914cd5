//! How deliveries are settled: accepted, rejected, retried, released, with their outputs.

use super::*;

pub(super) async fn purged(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    // On some brokers a queue is there from its first use on.
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(["a", "b", "c"].map(|id| message(id, queue("q"))).to_vec()).await.expect("send");
    let held = next(&mut deliveries).await;
    let waiting = async || transport.waiting("q").await.expect("it is there").messages;
    eventually("two that wait", async || waiting().await == 2).await;
    assert_eq!(transport.purge("q").await.expect("purge"), 2);
    transport.settle(&held, accept(vec![])).await.expect("what is held stays");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
    assert_eq!(waiting().await, 0);
    if !stage.can(Ability::Declared) {
        return;
    }
    for missing in [transport.waiting("nosuch").await.map(|_| 0), transport.purge("nosuch").await] {
        assert!(matches!(&missing, Err(Error::NoSuchQueue(name)) if name == "nosuch"), "{missing:?}");
    }
}

pub(super) async fn accepted(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 2).await;
    transport.send(vec![message("m", queue("q")), message("held", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    assert_eq!(next(&mut deliveries).await.id, "held");
    transport.settle(&got, accept(vec![])).await.expect("settle");
    drop(deliveries);
    // What goes back goes back together.
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let got = next(&mut deliveries).await;
    assert_eq!(got.id, "held");
    transport.settle(&got, accept(vec![])).await.expect("settle");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
}

pub(super) async fn rejected(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, reject("no such sample")).await.expect("settle");
    let mut dead = subscribe(&*transport, queue("dlq.q"), 1).await;
    let letter = next(&mut dead).await;
    assert_eq!((letter.id.as_str(), letter.body.as_slice(), letter.deliveries), ("m", b"m".as_slice(), 1));
    assert_eq!(deaths(&letter.headers), death("rejected", "q"));
    assert_eq!(zrecipe_reason(&letter), Some("no such sample"));
    // Sent back under its own id it is no duplicate, and its second death is counted.
    let again = Outgoing { headers: letter.headers.clone(), ..message("m", queue("q")) };
    transport.settle(&letter, accept(vec![again])).await.expect("settle");
    let got = next(&mut deliveries).await;
    assert_eq!(got.id, "m");
    transport.settle(&got, reject("still none")).await.expect("settle");
    let letter = next(&mut dead).await;
    assert_eq!(deaths(&letter.headers), [("rejected".to_owned(), "q".to_owned(), 2)]);
}

pub(super) async fn retried(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let headers = Object::from_iter([("mine".to_owned(), Value::from("x"))]);
    let second = Outgoing { headers: headers.clone(), ..message("second", queue("q")) };
    transport.send(vec![message("first", queue("q")), second]).await.expect("send");
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.deliveries), ("first", 1));
    transport.settle(&got, retry(Duration::from_secs(3_600))).await.expect("settle");
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.deliveries), ("second", 1), "the other one overtakes");
    transport.settle(&got, retry(Duration::from_millis(60))).await.expect("settle");
    let got = next(&mut deliveries).await;
    assert_eq!((got.id.as_str(), got.deliveries, &got.headers), ("second", 2, &headers));
}

pub(super) async fn requeued(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let headers = Object::from_iter([("mine".to_owned(), Value::from("x"))]);
    transport.send(vec![Outgoing { headers: headers.clone(), ..message("m", queue("q")) }]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, retry(Duration::ZERO)).await.expect("settle");
    // The limit is 2.
    for after in [0, 0, 60, 0] {
        let got = next(&mut deliveries).await;
        assert_eq!((got.id.as_str(), got.deliveries, &got.headers), ("m", 2, &headers), "one attempt counts");
        let requeue = Verdict::Requeue { after: Duration::from_millis(after) };
        transport.settle(&got, ending(requeue)).await.expect("settle");
    }
    let got = next(&mut deliveries).await;
    transport.settle(&got, accept(vec![])).await.expect("settle");
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
}

pub(super) async fn released(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("first", queue("q")), message("second", queue("q"))]).await.expect("send");
    let mut came = std::collections::BTreeMap::from([("first", 0), ("second", 0)]);
    for _ in 0..6 {
        let got = next(&mut deliveries).await;
        let count = came.get_mut(got.id.as_str()).expect("one of them");
        *count += 1;
        assert_eq!(got.deliveries, if stage.can(Ability::UncountedRelease) { 1 } else { *count });
        transport.settle(&got, ending(Verdict::Release)).await.expect("settle");
    }
    if stage.can(Ability::FreeRelease) {
        assert_eq!(came["first"], 6, "back at the head");
    }
}

pub(super) async fn limited(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    for count in 1..=3 {
        let got = next(&mut deliveries).await;
        assert_eq!(got.deliveries, count);
        transport.settle(&got, retry(Duration::ZERO)).await.expect("settle");
    }
    let mut dead = subscribe(&*transport, queue("dlq.q"), 1).await;
    let letter = next(&mut dead).await;
    assert_eq!((letter.id.as_str(), letter.deliveries), ("m", 1), "counted from the start again");
    assert_eq!(deaths(&letter.headers), death("delivery_limit", "q"));
    assert_eq!(zrecipe_reason(&letter), Some("not now"));
    nothing_else_comes(&*transport, queue("q"), &mut deliveries).await;
}

pub(super) async fn prefetch(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 2).await;
    transport.send((0..5).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    let first = next(&mut deliveries).await;
    let _second = next(&mut deliveries).await;
    transport.settle(&first, accept(vec![])).await.expect("settle");
    assert_eq!(next(&mut deliveries).await.id, "2");
    // Another one is given all that this one must not have.
    let mut others = subscribe(&*transport, queue("q"), 10).await;
    for id in ["3", "4"] {
        assert_eq!(next(&mut others).await.id, id);
    }
}

pub(super) async fn shared(transport: Arc<dyn Transport>) {
    let mut one = subscribe(&*transport, queue("q"), 2).await;
    let mut two = subscribe(&*transport, queue("q"), 2).await;
    transport.send((0..4).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    let mut ids = Vec::new();
    for deliveries in [&mut one, &mut two] {
        ids.push(next(deliveries).await.id);
        ids.push(next(deliveries).await.id);
    }
    ids.sort();
    assert_eq!(ids, ["0", "1", "2", "3"]);
}

pub(super) async fn outputs(transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    let mut results = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let led_to = vec![message("a", queue("out")), message("b", queue("out"))];
    transport.settle(&got, accept(led_to)).await.expect("settle");
    assert_eq!(next(&mut results).await.id, "a");
    assert_eq!(next(&mut results).await.id, "b");
}

pub(super) async fn outputs_missing(transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    let mut results = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let refused = transport.settle(&got, accept(vec![message("b", queue("nowhere"))])).await;
    assert!(matches!(&refused, Err(Error::NoSuchQueue(name)) if name == "nowhere"), "{refused:?}");
    let some = vec![message("a", queue("out")), message("b", queue("nowhere"))];
    let refused = transport.settle(&got, accept(some)).await;
    assert!(matches!(&refused, Err(Error::NoSuchQueue(name)) if name == "nowhere"), "{refused:?}");
    let late = Outgoing { delay: Some(Duration::from_millis(10)), ..message("c", queue("nowhere")) };
    let refused = transport.settle(&got, accept(vec![late])).await;
    assert!(matches!(&refused, Err(Error::NoSuchQueue(name)) if name == "nowhere"), "{refused:?}");
    // It is still ours.
    transport.settle(&got, accept(vec![message("a", queue("out"))])).await.expect("settle");
    assert_eq!(next(&mut results).await.id, "a");
}

pub(super) async fn settled_whole(transport: Arc<dyn Transport>) {
    let mut inputs = subscribe(&*transport, queue("in"), 1).await;
    let mut results = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("in"))]).await.expect("send");
    let got = next(&mut inputs).await;
    let led_to = vec![message("a", queue("out")), message("b", queue("nowhere"))];
    assert!(matches!(transport.settle(&got, accept(led_to)).await, Err(Error::NoSuchQueue(_))));
    nothing_else_comes(&*transport, queue("out"), &mut results).await;
}

pub(super) async fn twice(transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    let mut results = subscribe(&*transport, queue("out"), 10).await;
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    transport.settle(&got, accept(vec![])).await.expect("settle");
    let output = || accept(vec![message("a", queue("out"))]);
    assert!(matches!(transport.settle(&got, output()).await, Err(Error::NotHeld)));
    let stranger = Delivery { tag: 12345, ..got };
    assert!(matches!(transport.settle(&stranger, output()).await, Err(Error::NotHeld)));
    nothing_else_comes(&*transport, queue("out"), &mut results).await;
}

pub(super) async fn dropped(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    let mut deliveries = subscribe(&*transport, queue("q"), 3).await;
    transport.send((0..3).map(|n| message(&n.to_string(), queue("q"))).collect()).await.expect("send");
    let got = next(&mut deliveries).await;
    drop(deliveries);
    let mut deliveries = subscribe(&*transport, queue("q"), 3).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let got = next(&mut deliveries).await;
        assert_eq!(got.deliveries, if stage.can(Ability::FreeRelease) { 1 } else { 2 });
        ids.push(got.id);
    }
    if !stage.can(Ability::FreeRelease) {
        ids.sort();
    }
    assert_eq!(ids, ["0", "1", "2"]);
    assert!(matches!(transport.settle(&got, accept(vec![])).await, Err(Error::NotHeld)));
}

pub(super) async fn unprepared(stage: Arc<dyn Stage>, transport: Arc<dyn Transport>) {
    stage.delete("dlq.q").await;
    let mut deliveries = subscribe(&*transport, queue("q"), 1).await;
    transport.send(vec![message("m", queue("q"))]).await.expect("send");
    let got = next(&mut deliveries).await;
    let rejection = Settlement { outputs: vec![message("n", queue("out"))], ..reject("bad") };
    transport.settle(&got, rejection).await.expect("settle");
    let mut dead = subscribe(&*transport, queue("dlq.q"), 1).await;
    assert_eq!(zrecipe_reason(&next(&mut dead).await), Some("bad"));
    assert_eq!(transport.waiting("out").await.expect("is there").messages, 1);
}
