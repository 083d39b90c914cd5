//! Messages on a stream: what is no message is told of and passed over, as long as it is known where the next one begins.

use std::io::{self, BufRead, Read as _, Write};

use gen_lsp_types as lsp;
use gen_lsp_types::Notification as _;
use lsp_server::{ErrorCode, Message, Notification, RequestId, Response};

/// How large a message may be, in bytes.
const MOST: u64 = 1 << 30;

/// How long a line of a header may be, in bytes.
const LONGEST_LINE: u64 = 4096;

/// What has come.
pub enum Heard {
    /// A message.
    Message(Message),
    /// Something else.
    Malformed(Malformed),
}

/// What was to be a message and is none.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Why not: one clause, without a word of what was sent, which may be secret.
    pub why: String,
    /// The request that it was, as far as that can be told.
    pub id: Option<RequestId>,
}

impl Malformed {
    /// What the client is told.
    pub fn replies(self) -> Vec<Message> {
        let message = format!("skipped a message of the editor: {}", self.why);
        let params = lsp::LogMessageParams { kind: lsp::MessageType::Error, message };
        let log = Notification::new(lsp::LogMessageNotification::METHOD.as_str().to_owned(), params);
        let answer = self.id.map(|id| Response::new_err(id, ErrorCode::InvalidRequest as i32, self.why));
        [Message::Notification(log)].into_iter().chain(answer.map(Message::Response)).collect()
    }
}

/// The next of a stream; nothing at its end.
///
/// # Errors
/// It is not known any more where messages begin, or nothing can be read; in words.
pub fn hear(from: &mut impl BufRead) -> Result<Option<Heard>, String> {
    let Some(size) = size(from)? else { return Ok(None) };
    let mut body = Vec::new();
    let read = from.take(size).read_to_end(&mut body).map_err(|error| error.to_string())? as u64;
    if read < size {
        return Err(format!("the editor disconnected in the middle of a message: received {read} of {size} bytes"));
    }
    Ok(Some(message(&body)))
}

/// How large the message is whose header comes next.
fn size(from: &mut impl BufRead) -> Result<Option<u64>, String> {
    let mut size = None;
    let mut line = Vec::new();
    for number in 0.. {
        line.clear();
        let read = from.take(LONGEST_LINE).read_until(b'\n', &mut line).map_err(|error| error.to_string())?;
        if read == 0 && number == 0 {
            return Ok(None);
        }
        if !line.ends_with(b"\n") {
            let long = read as u64 == LONGEST_LINE;
            let why = if long { "the line does not end" } else { "the editor disconnected in the middle of it" };
            return Err(format!("the header of a message cannot be read: {why}"));
        }
        let line = line.trim_ascii();
        if line.is_empty() {
            break;
        }
        let (name, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()),
            None => return Err("the header of a message cannot be read: there is a line without a colon".to_owned()),
        };
        if name.eq_ignore_ascii_case(b"Content-Length") {
            let length = std::str::from_utf8(value).ok().and_then(|value| value.parse::<u64>().ok());
            size = Some(length.ok_or("the header of a message cannot be read: `Content-Length` is not a number")?);
        }
    }
    match size {
        None => Err("the header of a message has no `Content-Length`".to_owned()),
        Some(size) if size > MOST => Err(format!("a message of {size} bytes is too large")),
        size => Ok(size),
    }
}

fn message(body: &[u8]) -> Heard {
    let malformed = |why: String, id| Heard::Malformed(Malformed { why, id });
    let value = || serde_json::from_slice::<serde_json::Value>(body);
    match serde_json::from_slice::<Message>(body) {
        // A request whose id is none would be taken for a notification, and its sender would wait for ever.
        Ok(Message::Notification(note))
            if memchr::memmem::find(body, b"\"id\"").is_some()
                && value().is_ok_and(|value| value.get("id").is_some()) =>
        {
            malformed(format!("the id of `{}` is not valid", note.method), None)
        }
        Ok(message) => Heard::Message(message),
        Err(_) => match value() {
            Ok(value) => {
                let id = value.get("id").filter(|_| value.get("method").is_some());
                let id = id.and_then(|id| serde_json::from_value(id.clone()).ok());
                malformed("it is neither a request nor a notification nor an answer".to_owned(), id)
            }
            Err(error) => malformed(format!("it is not JSON: {error}"), None),
        },
    }
}

/// Writes a message in one piece.
///
/// # Errors
/// Nobody reads any more.
pub fn say(to: &mut impl Write, message: &Message) -> io::Result<()> {
    let mut piece = Vec::new();
    message.write(&mut piece)?;
    to.write_all(&piece)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a stream: the methods of the messages, and why others are none.
    fn heard(stream: &[u8]) -> Vec<String> {
        let mut from = stream;
        let mut found = Vec::new();
        loop {
            found.push(match hear(&mut from) {
                Ok(None) => return found,
                Ok(Some(Heard::Message(message))) => match message {
                    Message::Request(request) => request.method,
                    Message::Notification(note) => note.method,
                    Message::Response(response) => response.id.to_string(),
                },
                Ok(Some(Heard::Malformed(Malformed { why, id }))) => {
                    format!("{why}{}", id.map_or(String::new(), |id| format!(" ({id})")))
                }
                Err(why) => format!("lost: {why}"),
            });
            if found.last().is_some_and(|last| last.starts_with("lost")) {
                return found;
            }
        }
    }

    #[test]
    fn what_is_no_message_is_passed_over() {
        const NEITHER: &str = "it is neither a request nor a notification nor an answer";
        for (body, expect) in [
            (&br#"{"jsonrpc":"2.0","method":"a"}"#[..], "a"),
            (br#"{"id":1,"method":"a","params":[1]}"#, "a"),
            (br#"{"id":"x","result":null}"#, "\"x\""),
            (b"", "it is not JSON: EOF while parsing a value at line 1 column 0"),
            (br#"{"method":"a""#, "it is not JSON: EOF while parsing an object at line 1 column 13"),
            (b"{\"method\":\"\xff\"}", "it is not JSON: invalid unicode code point at line 1 column 12"),
            (b"[]", NEITHER),
            (b"7", NEITHER),
            (b"{}", NEITHER),
            (br#"{"id":7}"#, NEITHER),
            (br#"{"id":7,"method":8}"#, "it is neither a request nor a notification nor an answer (7)"),
            (br#"{"id":1.5,"method":"a"}"#, "the id of `a` is not valid"),
            (br#"{"id":99999999999,"method":"a"}"#, "the id of `a` is not valid"),
        ] {
            let mut stream = format!("Content-Length: {}\r\n\r\n", body.len()).into_bytes();
            stream.extend_from_slice(body);
            stream.extend_from_slice(b"content-length:14\nContent-Type: x\n\n{\"method\":\"b\"}");
            assert_eq!(heard(&stream), [expect, "b"], "{}", String::from_utf8_lossy(body));
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let stream = format!("Content-Length: {}\r\n\r\n{deep}", deep.len());
        assert_eq!(heard(stream.as_bytes()).len(), 1);
    }

    #[test]
    fn where_no_message_can_begin_the_reason_is_told() {
        for (stream, expect) in [
            ("", None),
            (
                "{\"method\":\"a\"}",
                Some("the header of a message cannot be read: the editor disconnected in the middle of it"),
            ),
            ("{\"method\"=1}\r\n", Some("the header of a message cannot be read: there is a line without a colon")),
            (
                "Content-Length: 1",
                Some("the header of a message cannot be read: the editor disconnected in the middle of it"),
            ),
            (
                "Content-Length: -1\r\n\r\n",
                Some("the header of a message cannot be read: `Content-Length` is not a number"),
            ),
            ("\r\n", Some("the header of a message has no `Content-Length`")),
            (
                "Content-Length: 9\r\n\r\n{",
                Some("the editor disconnected in the middle of a message: received 1 of 9 bytes"),
            ),
            ("Content-Length: 99999999999\r\n\r\n{", Some("a message of 99999999999 bytes is too large")),
        ] {
            let expect: Vec<String> = expect.map(|expect| format!("lost: {expect}")).into_iter().collect();
            assert_eq!(heard(stream.as_bytes()), expect, "{stream}");
        }
        let line = "x".repeat(100_000);
        assert_eq!(heard(line.as_bytes()), ["lost: the header of a message cannot be read: the line does not end"]);
    }

    #[test]
    fn whatever_is_sent_the_next_message_is_read() {
        proptest::proptest!(|(bodies in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40), 0..8))| {
            let mut stream = Vec::new();
            for body in &bodies {
                stream.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                stream.extend_from_slice(body);
            }
            stream.extend_from_slice(b"Content-Length: 14\r\n\r\n{\"method\":\"b\"}");
            let found = heard(&stream);
            proptest::prop_assert_eq!(found.len(), bodies.len() + 1);
            proptest::prop_assert_eq!(found.last().map(String::as_str), Some("b"));
        });
        // Nor does anything else stop it.
        proptest::proptest!(|(stream in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200))| {
            heard(&stream);
        });
    }
}
