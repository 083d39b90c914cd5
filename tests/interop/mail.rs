//! Mails, to a real mail server, beside those of the reference implementation.

use zrecipe::message::Envelope;
use zrecipe::syntax::json::read_value;
use zrecipe::transport::Transport as _;
use zrecipe::value::{Object, Value};

use crate::contract::{message, queue, within};
use crate::python::Python;
use crate::services::{Facility, ends};
use crate::wait::eventually;

/// The parts of a mail that do not depend on who has sent it.
fn essence(mail: &Value) -> (Value, Value, String, String) {
    let part = |key: &str| mail.get(key).cloned().unwrap_or_default();
    let text = mail.get("text").and_then(Value::as_str).expect("a text").replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").expect("a head and a body");
    let subject = head.lines().find(|line| line.starts_with("Subject:")).expect("a subject");
    (part("from"), part("to"), subject.to_owned(), body.trim_end().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mails_are_sent_as_the_reference_sends_them() {
    let facility = Facility::new().await;
    let mut server = Python::script("mail.py");
    let port = server.says().await.to_json();
    let site = std::fs::read_to_string(facility.path("site.yml")).expect("reads");
    let block =
        format!("mail: {{plugin: smtp, host: 127.0.0.1, port: {port}, from: zocalo@example.org}}\nenvironments:");
    let site = site.replace("environments:", &block).replace("default: [", "default: [mail, ");
    std::fs::write(facility.path("site.yml"), site).expect("writes");

    let recipe = r#"{"1": {"queue": "mailnotification", "parameters": {
        "recipients": {"select": "i03", "i03": ["b@example.org", "a@example.org"], "all": ["c@example.org"]},
        "subject": "images of lysozyme", "content": ["first {payload[n]}\n", "{pprint_payload}\n", "{other}"]
        }}, "start": [[1, {"n": 1, "a": ["PART", "PART", "PART"], "deep": {"b": true, "a": null}}]]}"#;
    let recipe = read_value(recipe.replace("PART", "twenty-nine characters of text").as_bytes()).expect("JSON");
    let send = async |id: &str| {
        let messages = Envelope::start(recipe.clone(), Object::new(), id).expect("starts");
        facility.transport.send(messages).await.expect("sends");
    };
    send("theirs").await;
    let mut theirs = facility.theirs("zocalo.service", &["-s", "Mailer"]).spawn().expect("starts");
    let expected = essence(&server.says().await);
    let mut shutdown = facility.ours(&["shutdown", "-s", "Mailer"]);
    ends("our shutdown", &mut shutdown.spawn().expect("starts")).await;
    ends("their mailer", &mut theirs).await;
    send("ours").await;
    let _ours = facility.ours(&["service", "-s", "Mailer"]).spawn().expect("starts");
    assert_eq!(essence(&server.says().await), expected);

    let plain = |to: &str, content: &str| {
        let body = format!(r#"{{"parameters": {{"recipients": "{to}@example.org"}}, "content": {content}}}"#);
        let mut message = message(to, queue("mailnotification"));
        (message.headers, message.body) = (Object::new(), body.into_bytes());
        message
    };
    for (to, content) in [("gone", "\"x\""), ("odd", "\"{\""), ("busy", "\"x\""), ("fine", "\"x\"")] {
        facility.transport.send(vec![plain(to, content)]).await.expect("sends");
    }
    let (_, to, subject, body) = essence(&server.says().await);
    assert_eq!((to, body.as_str()), (Value::from(vec!["fine@example.org"]), "x"), "what is not taken holds up nothing");
    assert_eq!(subject, "Subject: mail notification via zocalo");
    let mut reasons = Vec::new();
    eventually("both that can never be sent are dead letters", async || {
        if let Some((headers, _)) = within("a look", facility.dead("mailnotification")).await {
            reasons.extend(headers.get("reason").and_then(Value::as_str).map(str::to_owned));
        }
        reasons.len() == 2
    })
    .await;
    for part in ["does not accept the mail: permanent error (550): no such mailbox", "has a malformed placeholder: `{`"]
    {
        assert!(reasons.iter().any(|reason| reason.contains(part)), "{part}: {reasons:?}");
    }
}
