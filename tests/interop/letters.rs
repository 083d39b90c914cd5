//! The tools of an operator on RabbitMQ: dead letters, queues, and what becomes of messages when a tool or the broker is
//! killed in the middle.
//!
//! `ZRECIPE_SOAK=1` plays it at full size.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, ExchangeKind};
use serde_json::{Value as Json, json};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};
use zrecipe::address::Host;
use zrecipe::transport::amqp::{Amqp, Options};
use zrecipe::transport::{Outgoing, Transport};
use zrecipe::value::{Object, Value};

use crate::contract::{accept, message, next, queue, reject, subscribe, within};
use crate::services::{Facility, ends};
use crate::wait::eventually;

mod kills;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command prints on standard output and on standard error.
pub async fn run(command: &mut Command, code: i32) -> (String, String) {
    let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = within("a command", command.output()).await.expect("runs");
    let (printed, said) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{printed}\n{said}");
    (printed, said)
}

/// A queue with dead letters, and how often a message may come back to it.
async fn declare(channel: &Channel, name: &str, limit: Option<i32>) {
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    channel.queue_declare(format!("dlq.{name}").into(), durable, arguments.clone()).await.expect("declare");
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-routing-key".into(), text(&format!("dlq.{name}")));
    if let Some(limit) = limit {
        arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(limit));
    }
    channel.queue_declare(name.into(), durable, arguments).await.expect("declare");
}

/// Fills a queue with messages, every second without an id, and has the broker bury them.
async fn bury(channel: &Channel, name: &str, numbers: std::ops::Range<usize>) {
    for n in numbers.clone() {
        let body = json!({ "n": n }).to_string();
        let mut properties = BasicProperties::default().with_delivery_mode(2);
        if n % 2 == 0 {
            properties = properties.with_message_id(format!("m-{n}").into());
        }
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish("".into(), name.into(), options, body.as_bytes(), properties).await;
        sent.expect("publish").await.expect("is confirmed");
    }
    let mut last = 0;
    for _ in numbers {
        eventually("a message to refuse", async || {
            let got = channel.basic_get(name.into(), BasicGetOptions::default()).await.expect("get");
            last = got.as_ref().map_or(last, |got| got.delivery_tag);
            got.is_some()
        })
        .await;
    }
    let all = BasicNackOptions { multiple: true, requeue: false };
    channel.basic_nack(last, all).await.expect("nack");
}

/// How many messages wait in queues. What RabbitMQ lists of quorum queues lags by seconds; what it says when asked does not.
pub async fn count(transport: &Amqp, names: &[String]) -> u64 {
    let mut count = 0;
    for name in names {
        count += transport.waiting(name).await.expect("is there").messages;
    }
    count
}

/// The files of letters below a directory.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let days = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let files = days.flat_map(|day| std::fs::read_dir(day.path()).into_iter().flatten().flatten());
    let files = files.filter(|file| file.file_name().to_string_lossy().starts_with("msg-"));
    files.map(|file| file.path()).collect()
}

pub fn parsed(printed: &str) -> Json {
    serde_json::from_str(printed).expect("is JSON")
}

fn as_recipe(queue_name: &str) -> Vec<u8> {
    let recipe = json!({"1": {"queue": queue_name}, "start": [[1, []]]});
    let body =
        json!({"recipe": recipe, "recipe-pointer": 1, "recipe-path": [], "environment": {"ID": "x"}, "payload": 1});
    body.to_string().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_are_seen_looked_into_and_drained() {
    let facility = Facility::new().await;
    let transport = &facility.transport;
    for id in ["a", "b", "c"] {
        transport.send(vec![message(id, queue("py"))]).await.expect("send");
    }
    // The broker counts its messages now and then; until then a number is unknown.
    let listed = async |arguments: &[&str]| parsed(&run(&mut facility.ours(arguments), 0).await.0);
    eventually("three messages", async || {
        listed(&["queues", "p?", "--json"]).await["queues"][0]["unacknowledged"] == 0
    })
    .await;
    let found = &listed(&["queues", "py", "--json"]).await["queues"][0];
    assert_eq!((&found["unacknowledged"], &found["consumers"], &found["dead"]), (&json!(0), &json!(0), &json!(0)));
    let (table, said) = run(&mut facility.ours(&["queues"]), 0).await;
    assert!(table.lines().nth(1).is_some_and(|row| row.starts_with("py ")), "{table}");
    assert!(said.contains("no consumers for `py`"), "{said}");
    // Without the management API, AMQP says what it knows.
    let found = &listed(&["queues", "py", "-e", "watched", "--json"]).await["queues"][0];
    assert_eq!((&found["ready"], &found["consumers"], &found["in_per_second"]), (&json!(3), &json!(0), &Json::Null));
    let (_, said) = run(&mut facility.ours(&["queues", "-e", "watched"]), 2).await;
    assert!(said.contains("has no block for RabbitMQ's management API"), "{said}");

    // Its limit is five; whoever looks more often does not kill it.
    for look in 0..8 {
        let environment: &[&str] =
            if look % 2 == 0 { &["-e", "default"] } else { &["-e", "watched", "--delivery-limit", "5"] };
        let seen = listed(&[&["peek", "py", "-n", "9", "--json"], environment].concat()).await;
        let mut ids: Vec<&str> =
            seen.as_array().expect("a list").iter().filter_map(|seen| seen["id"].as_str()).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["a", "b", "c"], "{look}");
    }
    assert_eq!(count(transport, &["dlq.py".to_owned()]).await, 0);

    // One that no message may come back to is not emptied by looking, either.
    declare(&facility.channel, "strict", Some(0)).await;
    transport.send(vec![message("only", queue("strict"))]).await.expect("send");
    for (more, expected) in [
        (&[][..], "reading from `strict` would drop its messages"),
        (&["-e", "watched"], "the delivery limit of `strict` is unknown"),
        (&["-e", "watched", "--delivery-limit", "0"], "reading from `strict` would drop its messages"),
    ] {
        let (_, said) = run(&mut facility.ours(&[&["peek", "strict"], more].concat()), 2).await;
        assert!(said.contains(expected), "{said}");
    }
    assert_eq!(count(transport, &["dlq.strict".to_owned()]).await, 0);

    // To another queue, and to where recipes say.
    run(&mut facility.ours(&["drain", "py", "nosuch"]), 2).await;
    let (moved, _) = run(&mut facility.ours(&["drain", "py", "out", "-n", "2"]), 0).await;
    assert_eq!(moved.lines().count(), 2, "{moved}");
    let recipe = || Object::from_iter([("workflows-recipe".to_owned(), Value::from("True"))]);
    for (id, place) in [("fine", "errors"), ("lost", "nosuch")] {
        let sent = Outgoing { body: as_recipe(place), headers: recipe(), ..message(id, queue("py")) };
        transport.send(vec![sent]).await.expect("send");
    }
    let (moved, said) = run(&mut facility.ours(&["drain", "py", ".", "--json"]), 1).await;
    assert!(said.contains("lost not moved: there is no queue `nosuch`"), "{said}");
    assert_eq!(parsed(&moved).as_array().map(Vec::len), Some(3), "{moved}");
    let mut errors = subscribe(transport, queue("errors"), 1).await;
    let delivery = next(&mut errors).await;
    assert_eq!((delivery.id.as_str(), &delivery.body), ("fine", &as_recipe("errors")));
    transport.settle(&delivery, accept(vec![])).await.expect("settle");
    eventually("two that stay", async || count(transport, &["py".to_owned()]).await == 2).await;

    let (purged, said) = run(&mut facility.ours(&["queues", "purge", "py", "out", "--yes", "--json"]), 0).await;
    assert!(said.contains("2 of `py`, 2 of `out`"), "{said}");
    assert_eq!(parsed(&purged), json!({"py": 2, "out": 2}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn looking_at_letters_does_not_wear_them_out_and_those_that_look_alike_have_a_file_each() {
    let facility = Facility::new().await;
    let limit = ["set_policy", "redelivery", ".*", r#"{"delivery-limit": 3}"#, "--apply-to", "queues"];
    facility.node.control(&limit);
    // Two without an id, of one second and with one body.
    for _ in 0..2 {
        let options = BasicPublishOptions::default();
        let sent = facility.channel.basic_publish("".into(), "py".into(), options, b"{}", BasicProperties::default());
        sent.await.expect("publish");
    }
    let mut deliveries = subscribe(&facility.transport, queue("py"), 2).await;
    let both = [next(&mut deliveries).await, next(&mut deliveries).await];
    for delivery in &both {
        facility.transport.settle(delivery, reject("no use")).await.expect("settle");
    }
    let dead = ["dlq.py".to_owned()];
    eventually("both are dead", async || count(&facility.transport, &dead).await == 2).await;
    // What RabbitMQ lists lags; this misses none.
    let (checked, _) = run(&mut facility.ours(&["dlq", "check", "--json"]), 1).await;
    assert_eq!(parsed(&checked), json!({"dlq.py": 2}));
    let listed = async |environment: &str| {
        parsed(&run(&mut facility.ours(&["dlq", "list", "py", "--json", "-e", environment]), 0).await.0)
    };
    for look in 0..8 {
        let found = listed(if look % 2 == 0 { "default" } else { "watched" }).await;
        assert_eq!(found[0]["count"], 2, "{look}: {found}");
    }
    eventually("a word about the limit", async || {
        let output = facility.ours(&["doctor"]).stdout(Stdio::piped()).output().await.expect("runs");
        text(&output.stdout).contains("`dlq.py` has a delivery limit of 3")
    })
    .await;
    let (printed, _) = run(&mut facility.ours(&["dlq", "purge", "py"]), 0).await;
    assert_eq!(files(&facility.path("work/DLQ")).len(), 2, "{printed}");
    assert_eq!(count(&facility.transport, &dead).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_several_queues_and_one_second_have_a_file_each_unlike_with_the_reference() {
    const EACH: usize = 20;
    let facility = Facility::new().await;
    facility.channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
    let names = ["one", "two", "three"];
    let dead = names.map(|name| format!("dlq.{name}"));
    let die = async |number: usize, name: &str| {
        bury(&facility.channel, name, number * EACH..(number + 1) * EACH).await;
    };
    for name in names {
        declare(&facility.channel, name, None).await;
    }
    for who in ["theirs", "ours"] {
        for (number, name) in names.iter().enumerate() {
            die(number, name).await;
        }
        eventually("all are dead", async || count(&facility.transport, &dead).await == 60).await;
        let place = facility.path(who).display().to_string();
        let mut tool = match who {
            "theirs" => facility.theirs("zocalo.dlq_purge", &["--wait", "2", "--location", &place]),
            _ => facility.ours(&["dlq", "purge", "--location", &place]),
        };
        run(tool.args(names), 0).await;
        assert_eq!(count(&facility.transport, &dead).await, 0, "{who}");
        let kept = files(&facility.path(who)).len();
        if who == "ours" {
            assert_eq!(kept, names.len() * EACH);
        } else {
            // It names them by the second and a number that begins anew with each queue.
            assert!(kept < names.len() * EACH, "the reference has kept all {kept}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_is_killed_loses_nothing() {
    let facility = Facility::new().await;
    let transport = &facility.transport;
    let ids: Vec<String> = (0..300).map(|n| format!("m-{n:03}")).collect();
    transport.send(ids.iter().map(|id| message(id, queue("py"))).collect()).await.expect("send");
    for _ in 0..4 {
        let mut drain = facility.ours(&["drain", "py", "out", "--rate", "400", "--stop", "0"]);
        let mut drain = drain.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
        let mut lines = tokio::io::BufReader::new(drain.stdout.take().expect("its output"));
        let mut line = String::new();
        let reading = tokio::io::AsyncBufReadExt::read_line(&mut lines, &mut line);
        within("a message that was moved", reading).await.expect("is text");
        drain.kill().await.expect("it is killed");
    }
    run(&mut facility.ours(&["drain", "py", "out"]), 0).await;
    assert_eq!(count(transport, &["py", "dlq.py"].map(str::to_owned)).await, 0);
    let mut out = subscribe(transport, queue("out"), 50).await;
    let mut found = Vec::new();
    while found.len() < ids.len() {
        let delivery = next(&mut out).await;
        transport.settle(&delivery, accept(vec![])).await.expect("settle");
        found.push(delivery.id);
    }
    found.sort();
    assert_eq!(found, ids);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_go_back_by_the_exchange_they_came_by_and_nothing_is_removed_before() {
    let facility = Facility::new().await;
    let transport = &facility.transport;
    let channel = &facility.channel;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    for topic in ["results", "unheard"] {
        let declared = channel.exchange_declare(topic.into(), ExchangeKind::Fanout, durable, Default::default());
        declared.await.expect("declare");
    }
    let bound = channel.queue_bind("out".into(), "results".into(), "".into(), Default::default(), Default::default());
    bound.await.expect("bind");
    let letter = |name: &str, death: Json, body: Json| {
        let path = facility.path(name);
        let header = if death.is_null() { json!({}) } else { json!({"x-death": [death]}) };
        std::fs::write(&path, json!({"header": header, "message": body}).to_string()).expect("write");
        path
    };
    let died = |queue: &str, exchange: &str| json!({"queue": queue, "exchange": exchange, "reason": "rejected"});
    // The reference says `Done.`, removes the file and sends nothing.
    for (name, death) in
        [("delayed", died("py", "delayed")), ("by-topic", died("amq.gen-1", "results")), ("no-queue", died("gone", ""))]
    {
        let path = letter(name, death, json!({"n": 1}));
        let file = path.display().to_string();
        let (said, _) = run(&mut facility.theirs("zocalo.dlq_reinject", &["-r", &file]), 0).await;
        assert!(said.contains("Done.") && !path.exists(), "{name}: {said}");
        assert_eq!(count(transport, &["py", "out"].map(str::to_owned)).await, 0, "{name}");
    }
    // What it is, what becomes of it.
    for (name, death, body, expected) in [
        ("delayed", died("py", "delayed"), json!({}), Some("queue `py`")),
        ("by-topic", died("amq.gen-1", "results"), json!(0), Some("topic `results`")),
        ("unheard", died("amq.gen-1", "unheard"), json!(1), None),
        ("no-exchange", died("amq.gen-1", "gone"), json!(1), None),
        ("no-queue", died("gone", ""), json!(1), None),
        ("no-death", Json::Null, json!(1), None),
    ] {
        let path = letter(name, death, body);
        let file = path.display().to_string();
        let mut reinject = facility.ours(&["dlq", "reinject", "-r", &file]);
        let (printed, said) = run(&mut reinject, i32::from(expected.is_none())).await;
        let said = printed + &said;
        assert_eq!(path.exists(), expected.is_none(), "{name}: {said}");
        assert!(
            said.contains(expected.map_or("error: ".to_owned(), |place| format!("went to {place}")).as_str()),
            "{said}"
        );
    }
    for (name, body) in [("py", "{}"), ("out", "0")] {
        let mut deliveries = subscribe(transport, queue(name), 1).await;
        let delivery = next(&mut deliveries).await;
        assert_eq!(text(&delivery.body), body);
        transport.settle(&delivery, accept(vec![])).await.expect("settle");
    }
    assert_eq!(count(transport, &["py", "out"].map(str::to_owned)).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_shown_mended_and_sent_again_from_the_logbook_of_either_dispatcher() {
    let facility = Facility::new().await;
    let transport = &facility.transport;
    let mut py = subscribe(transport, queue("py"), 1).await;
    let good =
        |more: Json| json!({"1": {"queue": "py", "parameters": {"n": "{n}", "more": more}}, "start": [[1, {"p": 1}]]});
    for (who, id) in [("theirs", "cafe-1"), ("ours", "beef-2")] {
        facility.recipe("good", &good(json!("{guid}")));
        let mut dispatcher = match who {
            "theirs" => facility.theirs("zocalo.service", &["-s", "Dispatcher"]),
            _ => facility.ours(&["service", "-s", "Dispatcher"]),
        };
        let mut dispatcher = dispatcher.stderr(Stdio::null()).spawn().expect("starts");
        let request = json!({"recipes": ["good"], "parameters": {"n": "5", "guid": id, "password": "s3cret"}});
        let sent = Outgoing { body: request.to_string().into_bytes(), ..message(id, queue("processing_recipe")) };
        transport.send(vec![sent]).await.expect("send");
        let delivery = next(&mut py).await;
        transport.settle(&delivery, reject("no use")).await.expect("settle");
        run(&mut facility.ours(&["shutdown", "-s", "Dispatcher"]), 0).await;
        ends("the dispatcher", &mut dispatcher).await;

        let (shown, _) = run(&mut facility.ours(&["show", &id[..4], "--json"]), 0).await;
        assert!(!shown.contains("s3cret"), "{shown}");
        let shown = parsed(&shown);
        assert_eq!((&shown["id"], &shown["difference_today"]), (&json!(id), &json!("")), "{who}: {shown}");
        assert_eq!(shown["recipe"]["1"]["parameters"], json!({"n": "5", "more": id}), "{who}");
        facility.recipe("good", &good(json!("new")));
        let (shown, _) = run(&mut facility.ours(&["show", id, "-e", "default"]), 0).await;
        assert!(shown.contains("+      \"more\": \"new\","), "{who}: {shown}");

        // The letter goes on with the new recipe, whose parameters the logbook knows.
        let rebase = ["dlq", "rebase", "py", "--onto", "good", "--yes", "--json"];
        let (_, said) = run(&mut facility.ours(&rebase), 0).await;
        assert!(said.contains("1 letter sent"), "{said}");
        let delivery = next(&mut py).await;
        let body = parsed(&text(&delivery.body));
        assert_eq!(body["recipe"]["1"]["parameters"], json!({"n": "5", "more": "new"}), "{who}");
        assert_eq!((&body["payload"], &body["environment"]["ID"]), (&json!({"p": 1}), &json!(id)));
        transport.settle(&delivery, accept(vec![])).await.expect("settle");
        assert_eq!(count(transport, &["py", "dlq.py"].map(str::to_owned)).await, 0);

        // And again, as it was then.
        let (sent, _) = run(&mut facility.ours(&["resubmit", id, "--step", "1", "--json"]), 0).await;
        let delivery = next(&mut py).await;
        assert_eq!(parsed(&sent)[0]["id"], json!(delivery.id));
        let body = parsed(&text(&delivery.body));
        assert_eq!((&body["recipe"]["1"]["parameters"]["more"], &body["payload"]), (&json!(id), &json!({"p": 1})));
        transport.settle(&delivery, accept(vec![])).await.expect("settle");

        // The latest runs, the newest first.
        let status = parsed(&run(&mut facility.ours(&["status", "--wait", "0", "--json"]), 0).await.0);
        let latest = &status["runs"][0];
        assert_eq!(
            (&latest["id"], &latest["state"], &latest["recipes"], &latest["at_work"]),
            (&json!(id), &json!("dispatched"), &json!("good"), &Json::Null),
            "{who}: {status}"
        );
    }
}

/// The id of a request follows from the request. Where a sender gives two messages one id, the second is dropped, and the
/// service logs and counts that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_requests_through_one_file_run_three_times_and_duplicates_are_counted() {
    let facility = Facility::new().await;
    let step = json!({"queue": "out", "parameters": {"word": "{word}"}});
    facility.recipe("say", &json!({"1": step, "start": [[1, []]]}));
    let mut out = subscribe(&facility.transport, queue("out"), 10).await;
    let mut service = facility.ours(&["service", "-s", "Dispatcher", "--http", "127.0.0.1:0"]);
    let mut service = service.stderr(Stdio::piped()).spawn().expect("starts");
    let mut log = tokio::io::BufReader::new(service.stderr.take().expect("its log"));
    let mut says = async |what: &str| {
        let mut line = String::new();
        within(what, async {
            while !line.contains(what) {
                line.clear();
                let read = tokio::io::AsyncBufReadExt::read_line(&mut log, &mut line).await.expect("text");
                assert!(read > 0, "it has ended and not said `{what}`");
            }
        })
        .await;
        line.trim_end().to_owned()
    };
    let address = says("metrics and health at http://").await.rsplit("http://").next().expect("an address").to_owned();
    let file = facility.path("request.json");
    for word in ["one", "two", "three", "one"] {
        let request = json!({"header": {}, "message": {"recipes": ["say"], "parameters": {"word": word}}});
        std::fs::write(&file, request.to_string()).expect("write");
        let file = file.display().to_string();
        run(&mut facility.ours(&["dlq", "reinject", "-r", "-d", "processing_recipe", &file]), 0).await;
        let delivery = next(&mut out).await;
        facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
        let said: Json = serde_json::from_slice(&delivery.body).expect("JSON");
        assert_eq!(said["recipe"]["1"]["parameters"]["word"], word, "{said}");
    }
    let duplicates = async || {
        let numbers = crate::outage::get(&address, "/metrics").await.1;
        let line =
            numbers.lines().find(|line| line.starts_with("zrecipe_duplicates_total ")).expect("a number").to_owned();
        line.rsplit(' ').next().expect("a number").to_owned()
    };
    assert_eq!(duplicates().await, "0");
    for word in ["four", "five"] {
        let body = json!({"recipes": ["say"], "parameters": {"word": word}}).to_string();
        let properties = BasicProperties::default().with_message_id("one-id".into());
        let options = BasicPublishOptions::default();
        let sent =
            facility.channel.basic_publish("".into(), "processing_recipe".into(), options, body.as_bytes(), properties);
        sent.await.expect("publish");
        if word == "four" {
            let delivery = next(&mut out).await;
            facility.transport.settle(&delivery, accept(vec![])).await.expect("settle");
        }
    }
    let line = says("dropped message one-id of queue processing_recipe").await;
    assert!(line.contains("accepted before"), "{line}");
    eventually("a duplicate", async || duplicates().await == "1").await;
    service.kill().await.expect("it is killed");
}
