//! Messages that kill their consumers on ActiveMQ, which counts no deliveries: `zrecipe service -s Schlockmeister`.

use std::process::Stdio;

use tokio::process::Child;
use zrecipe::transport::stomp::Stomp;
use zrecipe::transport::{Outgoing, Transport as _};
use zrecipe::value::{Object, Value};

use crate::activemq::Setup;
use crate::contract::{death, deaths, message, next, nothing_else_comes, queue, subscribe};
use crate::services::ends;
use crate::stomp::{Facility, options};
use crate::wait::eventually;

/// A Python service that dies of the messages it gets, without a word to the broker; it notes each in a file.
const VICTIM: &str = r#"
import os, sys, time
from workflows.transport.stomp_transport import StompTransport
port, queue, notes = sys.argv[1:]
StompTransport.config = {"--stomp-host": "127.0.0.1", "--stomp-port": port, "--stomp-user": "guest",
                         "--stomp-pass": "guest", "--stomp-prfx": "zocalo"}
transport = StompTransport()
transport.connect()
def die(header, message):
    with open(notes, "a") as file:
        file.write(header["zrecipe-id"] + "\n")
    if not header["zrecipe-id"].startswith("good"):
        os._exit(9)
    transport.ack(header)
transport.subscribe(queue, die, acknowledgement=True, disable_mangling=True, prefetch_count=1)
time.sleep(600)
"#;

fn victim(facility: &Facility) -> Child {
    let notes = facility.path("notes").display().to_string();
    let port = facility.node.port.to_string();
    let mut command = facility.theirs("python", &["-c", VICTIM, &port, "images", &notes]);
    command.stderr(Stdio::null()).spawn().expect("starts")
}

/// What no parser reads kills a Python service again and again, until Schlockmeister takes it away; neither its own death nor
/// that of the broker makes it forget a return.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_of_python_services_is_quarantined() {
    let mut facility = Facility::new(Setup::default()).await;
    std::fs::write(facility.path("work/zrecipe.toml"), "[schlockmeister]\nmax-returns = 4\n").expect("write");
    let guard = |facility: &Facility| facility.ours(&["service", "-s", "Schlockmeister"]).spawn().expect("starts");
    let mut service = guard(&facility);
    let headers = Object::from_iter([("workflows-recipe".to_owned(), Value::from("True"))]);
    let poison = Outgoing { body: b"\xff\0{".to_vec(), headers, ..message("poison", queue("images")) };
    facility.transport.send(vec![poison]).await.expect("send");
    let deaths_noted = |facility: &Facility| {
        let notes = std::fs::read_to_string(facility.path("notes")).unwrap_or_default();
        notes.lines().filter(|line| *line == "poison").count()
    };
    // Whoever guards a queue does not serve it.
    eventually("the guard", async || {
        let (text, _) = facility.says(&["status", "--wait", "2"]).await;
        text.contains("Schlockmeister")
    })
    .await;
    let (text, _) = facility.says(&["doctor"]).await;
    assert!(text.contains("1 message waits in `images` and no service consumes it"), "{text}");
    for death in 1..=5_u32 {
        let mut python = victim(&facility);
        eventually(&format!("death {death}"), async || deaths_noted(&facility) == death as usize).await;
        python.wait().await.expect("wait");
        if death == 2 {
            service.kill().await.expect("it is killed");
            service = guard(&facility);
        }
        if death == 5 {
            break;
        }
        eventually(&format!("the count of death {death}"), async || {
            let waiting = facility.transport.browse("images", 10).await.ok().flatten().unwrap_or_default();
            waiting.iter().any(|stored| stored.id == "poison" && stored.deliveries == death)
        })
        .await;
        if death == 4 {
            facility.node.restart().await;
        }
    }
    let watcher = Stomp::connect(options(facility.node.port)).await.expect("connect");
    let mut letters = subscribe(&watcher, queue("dlq.images"), 1).await;
    let letter = next(&mut letters).await;
    assert_eq!((letter.id.as_str(), letter.body.as_slice()), ("poison", b"\xff\0{".as_slice()));
    assert_eq!(deaths(&letter.headers), death("delivery_limit", "images"));
    let reason = letter.headers.get("zrecipe-reason").and_then(Value::as_str).unwrap_or_default();
    assert!(
        reason.starts_with("it was redelivered 5 times, because the consumers that held it were lost: at 20"),
        "{reason}"
    );
    drop(letters);
    // Others are dealt with. The Python transport prefetches, so what waits behind poison comes back with it.
    facility.transport.send(vec![message("good", queue("images"))]).await.expect("send");
    let mut python = victim(&facility);
    let notes = || std::fs::read_to_string(facility.path("notes")).unwrap_or_default();
    eventually("the good message", async || notes().lines().any(|line| line == "good")).await;
    assert_eq!(deaths_noted(&facility), 5);
    python.kill().await.expect("it is killed");
    let mut rest = subscribe(&watcher, queue("images"), 1).await;
    nothing_else_comes(&watcher, queue("images"), &mut rest).await;
    drop(rest);
    let (text, code) = facility.says(&["dlq", "show", "images"]).await;
    assert!(code == 0 && text.contains("it was redelivered 5 times"), "{text}");
    ends("zrecipe shutdown", &mut facility.ours(&["shutdown", "-s", "Schlockmeister"]).spawn().expect("starts")).await;
    ends("the service", &mut service).await;
    watcher.close().await.expect("close");
    facility.transport.close().await.expect("close");
}

/// A Python service has prefetched all that waits when a message kills it: that message is condemned, and none behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_behind_poison_is_dealt_with() {
    const COUNT: usize = 150;
    let facility = Facility::new(Setup::default()).await;
    std::fs::write(facility.path("work/zrecipe.toml"), "[schlockmeister]\nmax-returns = 2\n").expect("write");
    let ids: Vec<String> = (0..COUNT).map(|n| format!("good-{n}")).collect();
    let mut messages: Vec<Outgoing> = ids.iter().map(|id| message(id, queue("images"))).collect();
    messages.insert(5, message("poison", queue("images")));
    facility.transport.send(messages).await.expect("send");
    let mut service = facility.ours(&["service", "-s", "Schlockmeister"]).spawn().expect("starts");
    let notes = || std::fs::read_to_string(facility.path("notes")).unwrap_or_default();
    let poisoned = || notes().lines().filter(|line| *line == "poison").count();
    // Acknowledgements that the broker has not read at a death are lost, so a message just before the poison may be counted
    // once; it is dealt with next time.
    let letters = async || {
        let letters = facility.transport.browse("dlq.images", 400).await.expect("browses").expect("can be browsed");
        letters.into_iter().map(|letter| letter.id).collect::<Vec<_>>()
    };
    let mut deaths = 0;
    while letters().await.is_empty() {
        deaths += 1;
        assert!(deaths <= 12, "the poison is not condemned");
        let mut python = victim(&facility);
        eventually(&format!("death {deaths}"), async || poisoned() == deaths || !letters().await.is_empty()).await;
        if poisoned() < deaths {
            deaths -= 1;
            python.kill().await.expect("it is killed");
            break;
        }
        // It is restarted at once, while what it held is still on its way back.
        python.wait().await.expect("wait");
    }
    let mut python = victim(&facility);
    eventually("all that was behind it", async || {
        let notes = notes();
        ids.iter().all(|id| notes.lines().any(|line| line == id))
    })
    .await;
    eventually("an empty queue", async || {
        facility.transport.browse("images", 400).await.ok().flatten().is_some_and(|found| found.is_empty())
    })
    .await;
    python.kill().await.expect("it is killed");
    assert_eq!((letters().await, poisoned()), (vec!["poison".to_owned()], deaths));
    ends("zrecipe shutdown", &mut facility.ours(&["shutdown", "-s", "Schlockmeister"]).spawn().expect("starts")).await;
    ends("the service", &mut service).await;
    facility.transport.close().await.expect("close");
}
