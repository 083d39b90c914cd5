//! One wire: names that travel are spelled in one place, and no decision goes by the words of a message.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use zrecipe::cli::causes;
use zrecipe::message::headers::{REASON, REASON_CODE};
use zrecipe::message::{Code, Reason};
use zrecipe::transport::{Denial, Error, Outage, of_url};
use zrecipe::value::{Object, Value};

use crate::dlq::{json, run};
use crate::service::Place;

/// The source files of the program without their tests and comments: path, and lines with their numbers.
fn code() -> Vec<(String, Vec<(usize, String)>)> {
    fn collect(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("can be read") {
            let path = entry.expect("is read").path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "crates/broker/src", "crates/language/src", "crates/project/src", "crates/runtime/src"] {
        collect(&root.join(folder), &mut files);
    }
    files.retain(|path| path.file_name().is_none_or(|name| name != "tests.rs"));
    files.sort();
    assert!(files.len() > 200, "the crates have files");
    let read = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(&path).expect("is UTF-8");
        let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").zip(1..);
        let lines = lines.filter(|(line, _)| !line.trim_start().starts_with("//"));
        let name = path.strip_prefix(root).expect("is below it").to_string_lossy().into_owned();
        (name, lines.map(|(line, number)| (number, line.to_owned())).collect())
    };
    files.into_iter().map(read).collect()
}

/// The text literals of a line.
fn literals(line: &str) -> Vec<&str> {
    let (mut found, mut rest) = (Vec::new(), line);
    while let Some(start) = rest.find('"') {
        let mut end = start + 1;
        let bytes = rest.as_bytes();
        while end < bytes.len() && bytes[end] != b'"' {
            end += if bytes[end] == b'\\' { 2 } else { 1 };
        }
        found.push(rest.get(start + 1..end).unwrap_or_default());
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    found
}

/// Names that travel with messages, as a literal begins or is.
const NAMES: [&str; 20] = [
    "dlq.",
    "zrecipe-reason",
    "zrecipe-retries",
    "zrecipe-renewed",
    "zrecipe.delay.",
    "zrecipe.unconfirmed",
    "x-death",
    "x-first-death-",
    "x-delivery-count",
    "workflows-recipe",
    "dlq-reinjected",
    "dlqDeliveryFailureCause",
    "original-destination",
    "originalExpiration",
    "zocalo.go.host",
    "zocalo.go.user",
    "zrecipe-due",
    "zrecipe-id",
    "zrecipe-json",
    "zrecipe-returns",
];

fn spells_a_name(line: &str) -> bool {
    literals(line).into_iter().any(|literal| {
        // Help and messages speak of them; they have words around them.
        !literal.contains(' ') && NAMES.iter().any(|name| literal.starts_with(name))
    })
}

#[test]
fn names_that_travel_are_spelled_in_one_place() {
    for (line, expected) in [
        (r#"let queue = format!("dlq.{name}");"#, true),
        (r#"headers.get("x-death")"#, true),
        (r#"say("the queue `dlq.x` is gone")"#, false),
        (r#"let a = ("a", "zrecipe-reason");"#, true),
    ] {
        assert_eq!(spells_a_name(line), expected, "{line}");
    }
    let mut found = Vec::new();
    for (path, lines) in code() {
        if path.starts_with("crates/broker/src/message/") || path.starts_with("crates/language/") {
            continue;
        }
        for (number, line) in lines {
            if spells_a_name(&line) {
                found.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "`zrecipe::message` has these names:\n{}", found.join("\n"));
}

/// Methods and operators by which code decides on text.
const QUESTIONS: [&str; 9] = [
    ".contains(",
    ".starts_with(",
    ".ends_with(",
    ".find(",
    ".strip_prefix(",
    ".strip_suffix(",
    ".split_once(",
    " == ",
    " != ",
];

/// Names of what holds a text for people.
const TEXTS: [&str; 9] = ["reason", "message", "why", "said", "error", "predicate", "help", "statustext", "words"];

/// Decisions by words that stay: file, part of the line, and why.
const BY_WORDS: [(&str, &str, &str); 5] = [
    (
        "crates/broker/src/transport/amqp/faults.rs",
        ".starts_with(NONE)",
        "RabbitMQ has one code for what is missing and for what is down; `rabbitmq` asks a real one",
    ),
    (
        "crates/broker/src/message/reason.rs",
        "text.starts_with(start)",
        "dead letters that were written before there were codes; their texts never change",
    ),
    (
        "crates/runtime/src/runtime/python.rs",
        "\"No module named \"",
        "Python tells of a missing module only on its standard error; `python` runs a real one",
    ),
    (
        "crates/project/src/revision.rs",
        "\"not a git repository\"",
        "git has one exit code for all that is wrong; it runs with the locale C",
    ),
    ("crates/language/src/secret/text.rs", "\"PRIVATE KEY\"", "the form of keys in PEM (RFC 7468)"),
];

/// Whether a line decides by a text for people: by a literal of several words, or by anything that is asked of one.
fn decides_by_words(line: &str) -> bool {
    let is_arm = line.trim_start().starts_with('"') && line.contains("\" =>");
    if is_arm && literals(line).first().is_some_and(|literal| literal.contains('`') || literal.contains(' ')) {
        return true;
    }
    QUESTIONS.iter().any(|question| {
        line.match_indices(question).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + question.len()..]);
            let literal = after
                .trim_start_matches('&')
                .starts_with('"')
                .then(|| literals(after))
                .and_then(|all| all.first().copied());
            let is_prose = literal.is_some_and(|literal| {
                let words = literal.split(' ').filter(|word| word.len() > 1 && word.chars().all(char::is_alphabetic));
                words.count() > 1 || (literal.starts_with(' ') && literal.trim().chars().any(char::is_alphabetic))
            });
            let mut subject = before.trim_end();
            for suffix in
                [".as_str()", ".as_deref()", ".to_lowercase()", ".to_string()", ".get_message()", ".message()"]
            {
                while let Some(rest) = subject.strip_suffix(suffix) {
                    if matches!(suffix, ".to_string()" | ".get_message()" | ".message()") && literal.is_some() {
                        return true;
                    }
                    subject = rest;
                }
            }
            let name = subject.rsplit(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default();
            let is_field_or_variable = !subject.ends_with(')');
            is_prose
                || (literal.is_some_and(|literal| !literal.is_empty()) && is_field_or_variable && TEXTS.contains(&name))
        })
    })
}

#[test]
fn nothing_decides_by_the_words_of_a_message() {
    for (line, expected) in [
        (r#"if fault.message.contains(" has no ") {"#, true),
        (r#"matches!(error, Error { reason, .. } if reason.contains("certificate"))"#, true),
        (r#"let gone = |reason: &str| reason.starts_with("there is no queue");"#, true),
        (r#"if error.to_string() == "closed" {"#, true),
        (r#"let login = found.get_message().as_str().contains("Login");"#, true),
        (r#"if predicate.starts_with("has") {"#, true),
        (r#"    "`definition`" => {"#, true),
        (r#"    "definition" => {"#, false),
        (r#"if name.starts_with("amq.") {"#, false),
        (r#"if message.queue == "a" {"#, false),
        (r#"if reason.is_empty() || reason != before {"#, false),
    ] {
        assert_eq!(decides_by_words(line), expected, "{line}");
    }
    let mut found = Vec::new();
    let mut used = vec![false; BY_WORDS.len()];
    for (path, lines) in code() {
        for (number, line) in lines {
            let allowed = BY_WORDS.iter().position(|(file, part, _)| *file == path && line.contains(part));
            if let Some(allowed) = allowed {
                used[allowed] = true;
            } else if decides_by_words(&line) {
                found.push(format!("{path}:{number}: {}", line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "decide by a cause or a code instead:\n{}", found.join("\n"));
    assert!(used.iter().all(|used| *used), "an exception that nothing needs: {BY_WORDS:?} {used:?}");
}

/// A text in which nobody recognises the original.
fn garbled(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphabetic() { 'q' } else { c }).collect()
}

#[test]
fn other_words_change_no_hint() {
    let denials = [
        Denial::Credentials,
        Denial::VirtualHost,
        Denial::ClearText,
        Denial::Certificate,
        Denial::ClientCertificate,
        Denial::NoTls,
        Denial::Protocol,
        Denial::Other,
    ];
    let texts = ["the password is wrong", "its certificate is for another name", "no TLS", "the virtual host"];
    let denied = |cause, reason: &str| Error::Denied { place: "b:1".to_owned(), cause, reason: reason.to_owned() };
    // The number of ways out.
    for (url, expected) in [("amqp://localhost", 4), ("stomp://localhost", 2)] {
        let broker = of_url(url).expect("a URL");
        let advice = |cause, text: &str| {
            let error = denied(cause, text);
            (causes::hint(&error), broker.remedy(&error))
        };
        for cause in denials {
            for text in texts {
                assert_eq!(advice(cause, text), advice(cause, &garbled(text)), "{url} {cause:?}");
            }
        }
        let remedies: BTreeSet<&str> = denials.into_iter().map(|cause| advice(cause, "").1).collect();
        assert_eq!(remedies.len(), expected, "{url}: {remedies:?}");
    }
    for cause in [Outage::Refused, Outage::NoChannel, Outage::Lost] {
        let reason = garbled("the maximum number of channels for this connection has been reached");
        let error = Error::Unavailable { place: String::new(), cause, reason };
        assert_eq!(error.is_out_of_channels(), cause == Outage::NoChannel);
    }
}

#[test]
fn reasons_are_read_by_their_code_and_old_ones_by_their_text() {
    let headers = |text: &str, code: Option<&str>| {
        let code = code.map(|code| (REASON_CODE.to_owned(), Value::from(code)));
        Object::from_iter([(REASON.to_owned(), Value::from(text))].into_iter().chain(code))
    };
    let read = |text: &str, code: Option<&str>| Reason::read(&headers(text, code)).map(|reason| reason.code);
    for code in Code::ALL {
        let mut written = Object::new();
        Reason::new(*code, "qqq").write(&mut written);
        assert_eq!(Reason::read(&written), Some(Reason::new(*code, "qqq")));
        assert!(code.as_str().chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{code:?} is kebab-case");
    }
    for (text, code, expected) in [
        // As versions before codes wrote them.
        ("there is no queue `x`", None, Code::NoSuchQueue),
        ("there is no topic `x`; 1 of the 2 messages that belong together were sent", None, Code::NoSuchTopic),
        ("no such file", None, Code::Rejected),
        // The code decides, whatever the text says.
        ("there is no queue `x`", Some("failed"), Code::Failed),
        (&garbled("there is no queue `x`"), Some("no-such-queue"), Code::NoSuchQueue),
        // As a later version may write it.
        ("there is no queue `x`", Some("out-of-paper"), Code::Rejected),
    ] {
        assert_eq!(read(text, code), Some(expected), "{text} {code:?}");
    }
    assert_eq!(Reason::read(&Object::new()), None, "a letter of another program");
}

/// Dead letters in files: as this version writes them, in other words, and as the versions before wrote them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_words_change_no_prospects() {
    let place = Place::new().await;
    let letter = |name: &str, text: &str, code: Option<&str>| {
        let mut header = json!({"x-death": [{"queue": "out", "reason": "rejected"}], REASON: text});
        if let Some(code) = code {
            header[REASON_CODE] = json!(code);
        }
        place.write(name, &json!({"header": header, "message": 0}).to_string());
    };
    let gone = "there is no queue `later`";
    letter("new", gone, Some("no-such-queue"));
    letter("reworded", &garbled(gone), Some("no-such-queue"));
    letter("old", gone, None);
    letter("refused", "no such file", Some("rejected"));
    letter("refused-reworded", gone, Some("rejected"));
    letter("refused-old", "no such file", None);
    let helps = |name: &str| {
        let found = json(&run(&place, &["dlq", "diagnose", "--json", name], 0));
        (found[0]["helps"].as_bool().expect("says so"), found[0]["why"].clone())
    };
    let expected = helps("old");
    assert!(expected.0);
    assert_eq!((helps("new"), helps("reworded")), (expected.clone(), expected));
    let expected = helps("refused-old");
    assert!(!expected.0);
    assert_eq!((helps("refused"), helps("refused-reworded")), (expected.clone(), expected));
}
