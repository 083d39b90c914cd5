//! The program at its streams: what it says of messages that are none, and how it ends.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use super::*;

fn framed(body: &str) -> String {
    format!("Content-Length: {}\r\n\r\n{body}", body.len())
}

/// What the program answers to this and to the end of its input: messages, standard error and exit code.
fn answered(input: &str) -> (Vec<Value>, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.arg("lsp").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    let mut to = child.stdin.take().expect("is piped");
    // It may have gone away before it has read everything.
    let _ = to.write_all(input.as_bytes());
    drop(to);
    let (mut out, mut error) = (Vec::new(), String::new());
    child.stdout.take().expect("is piped").read_to_end(&mut out).expect("can be read");
    child.stderr.take().expect("is piped").read_to_string(&mut error).expect("can be read");
    let mut from = out.as_slice();
    let next = || Message::read(&mut from).expect("is a message");
    let messages = std::iter::from_fn(next).map(|message| serde_json::to_value(message).expect("is JSON")).collect();
    (messages, error, child.wait().expect("ends").code())
}

#[test]
fn malformed_messages_are_told_of_and_passed_over() {
    let begin = framed(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}"#);
    let end =
        framed(r#"{"jsonrpc":"2.0","id":9,"method":"shutdown"}"#) + &framed(r#"{"jsonrpc":"2.0","method":"exit"}"#);
    for (bad, why, answer) in [
        ("{\"method\":\"textDo", "it is not JSON: EOF while parsing a string at line 1 column 17", None),
        ("[]", "it is neither a request nor a notification nor an answer", None),
        (r#"{"id":5,"method":[]}"#, "it is neither a request nor a notification nor an answer", Some(5)),
        (r#"{"id":1e99,"method":"shutdown"}"#, "the id of `shutdown` is not valid", None),
    ] {
        let (messages, error, code) = answered(&format!("{begin}{}{end}", framed(bad)));
        assert_eq!((error.as_str(), code), ("", Some(0)), "{bad}");
        let logged: Vec<&Value> = messages.iter().filter(|message| message["method"] == "window/logMessage").collect();
        assert_eq!(logged.len(), 1, "{bad}: {messages:?}");
        assert_eq!(logged[0]["params"]["message"], format!("skipped a message of the editor: {why}"), "{bad}");
        let mut answered: Vec<i64> = messages.iter().filter_map(|message| message["id"].as_i64()).collect();
        answered.sort_unstable();
        assert_eq!(answered, [1].into_iter().chain(answer).chain([9]).collect::<Vec<i64>>(), "{bad}");
    }
}

/// An editor that is killed may have left its end of the pipe to another program.
#[test]
fn the_server_ends_with_its_client() {
    let mut client = Command::new("sleep").arg("600").spawn().expect("starts");
    let mut command = Command::new(env!("CARGO_BIN_EXE_zrecipe"));
    command.arg("lsp").env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = command.spawn().expect("starts");
    let mut to = server.stdin.take().expect("is piped");
    let params = json!({ "processId": client.id(), "capabilities": {} });
    let begin = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }).to_string();
    to.write_all(framed(&begin).as_bytes()).expect("is read");
    let mut first = [0; 16];
    server.stdout.as_mut().expect("is piped").read_exact(&mut first).expect("answers");
    assert!(server.try_wait().expect("can be asked").is_none(), "the client is there");
    client.kill().expect("can be killed");
    client.wait().expect("ends");
    assert_eq!(server.wait().expect("ends").code(), Some(1));
    drop(to);
}

#[test]
fn a_stream_that_cannot_be_read_on_ends_with_a_reason() {
    let begin = framed(r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}"#);
    for (rest, expected, code) in [
        ("", "", 1),
        (
            "Content-Length: 20\r\n\r\n{",
            "error: the editor disconnected in the middle of a message: received 1 of 20 bytes\n",
            1,
        ),
        (
            "GET / HTTP/1.1\r\n\r\n",
            "error: the header of a message cannot be read: there is a line without a colon\n",
            1,
        ),
    ] {
        let (messages, error, found) = answered(&format!("{begin}{rest}"));
        assert_eq!((error.as_str(), found), (expected, Some(code)), "{rest}");
        assert!(messages.iter().any(|message| message["id"] == 1), "what came before is answered: {messages:?}");
    }
    // Nobody has begun.
    for (input, expected, code) in [
        ("", "error: standard input closed before an `initialize` request\n", 2),
        ("hello\n", "error: the header of a message cannot be read: there is a line without a colon\n", 1),
        (&framed(r#"{"jsonrpc":"2.0","method":"exit"}"#), "", 1),
    ] {
        let (_, error, found) = answered(input);
        assert_eq!((error.as_str(), found), (expected, Some(code)), "{input}");
    }
    // Requests before the beginning are answered, and a beginning that is none may be tried again.
    let early = framed(r#"{"id":3,"method":"shutdown"}"#) + &framed(r#"{"id":4,"method":"initialize","params":7}"#);
    let (messages, _, code) = answered(&format!("{early}{begin}"));
    let codes: Vec<&Value> = messages.iter().map(|message| &message["error"]["code"]).collect();
    assert_eq!((&codes[..3], code), (&[&json!(-32002), &json!(-32602), &Value::Null][..], Some(1)), "{messages:?}");
}

/// Pieces of real sessions in any order, cut anywhere: nothing ends the program but the end of what it reads.
#[test]
fn no_sequence_of_messages_stops_the_server() {
    let pieces = [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}"#,
        r#"{"jsonrpc":"2.0","method":"initialized","params":{}}"#,
        r#"{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///nowhere/a.json","languageId":"json","version":1,"text":"{\"1\":{\"queue\":\"a\",\"output\":2},\"start\":[[1,[]]]}"}}}"#,
        r#"{"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///nowhere/a.json","version":2},"contentChanges":[{"range":{"start":{"line":9,"character":9},"end":{"line":0,"character":4294967295}},"text":"é"}]}}"#,
        r#"{"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///nowhere/a.json","version":-7},"contentChanges":[]}}"#,
        r#"{"jsonrpc":"2.0","id":"x","method":"textDocument/hover","params":{"textDocument":{"uri":"file:///nowhere/a.json"},"position":{"line":0,"character":9}}}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"textDocument/completion","params":{"textDocument":{"uri":"untitled:x"},"position":{"line":-1,"character":9}}}"#,
        r#"{"jsonrpc":"2.0","method":"textDocument/didClose","params":{"textDocument":{"uri":"file:///nowhere/a.json"}}}"#,
        r#"{"jsonrpc":"2.0","method":"workspace/didChangeWorkspaceFolders","params":{"event":{"added":[{"uri":"file:///nowhere","name":"x"}],"removed":[{"uri":"file:///other","name":"y"}]}}}"#,
        r#"{"jsonrpc":"2.0","method":"$/cancelRequest","params":{"id":"x"}}"#,
        r#"{"jsonrpc":"2.0","id":3,"result":null}"#,
    ];
    let mut dice = agreement::Dice(3);
    for _ in 0..12 {
        let mut input = framed(pieces[0]) + &framed(pieces[1]);
        let count = 2 + dice.below(30);
        for _ in 0..count {
            let mut piece = pieces[dice.below(pieces.len())];
            if dice.below(3) == 0 {
                let mut cut = dice.below(piece.len());
                while !piece.is_char_boundary(cut) {
                    cut -= 1;
                }
                piece = &piece[..cut];
            }
            input.push_str(&framed(piece));
        }
        input.push_str(&framed(r#"{"jsonrpc":"2.0","id":"last","method":"shutdown"}"#));
        let (messages, error, code) = answered(&input);
        assert_eq!((error.as_str(), code), ("", Some(1)), "{input}");
        assert!(messages.iter().any(|message| message["id"] == "last" && message["error"].is_null()), "{input}");
    }
}
