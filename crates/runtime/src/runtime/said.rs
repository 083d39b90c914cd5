//! What programs say: lines of their logs, which are made safe to show, and answers, which are held against what an
//! answer may be. A word that nobody knows is a fault of the program, because what was meant by it would be lost.

use std::time::Duration;

use zrecipe_broker::message::{Destination, Output, Sending, Way};
use zrecipe_language::contract::Invocation;
use zrecipe_language::diagnostic::only;
use zrecipe_language::report::printable;
use zrecipe_language::value::{Object, Value};

/// The longest line of a log, in bytes; what is longer is logged in pieces.
pub const MOST_LOGGED: usize = 4 << 10;

/// How much of a line becomes part of a reason, in characters: it travels in headers and is shown in tables.
const MOST_TOLD: usize = 500;

/// How much of a text is whole lines; a bar of progress, which is drawn again and again, is many.
pub fn whole_lines(text: &[u8]) -> usize {
    memchr::memrchr2(b'\n', b'\r', text).map_or(0, |end| end + 1)
}

/// The lines of a text in which something stands.
pub fn lines(text: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii_end);
    lines.filter(|line| !line.is_empty())
}

/// A line as it can be logged: nothing in it acts on a terminal.
pub fn pieces(line: &[u8]) -> impl Iterator<Item = String> {
    line.chunks(MOST_LOGGED).map(|piece| clean(piece, usize::MAX))
}

/// What a program says about why something is so: on one line, and not too much of it.
pub fn reason(text: impl AsRef<[u8]>) -> String {
    clean(text.as_ref().trim_ascii(), MOST_TOLD)
}

/// The end of what a program has written, on one line, and not too much of it.
pub fn ending(text: &str) -> String {
    let text = text.trim();
    let start = text.char_indices().rev().nth(MOST_TOLD - 2).map_or(0, |(at, _)| at);
    let cut = if start > 0 { "…" } else { "" };
    format!("{cut}{}", clean(&text.as_bytes()[start..], MOST_TOLD))
}

fn clean(text: &[u8], most: usize) -> String {
    printable(&String::from_utf8_lossy(text).replace('\t', " "), most)
}

/// A worker's answer.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a>(&'a Object);

/// Why a worker does not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It never will.
    Bad(String),
    /// It does not now; perhaps it says when it may.
    Later(String, Option<Duration>),
}

impl<'a> Answer<'a> {
    /// An answer that has no other keys than these, beside its `id`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn read(said: &'a Value, keys: &[&str]) -> Result<Self, String> {
        let said = object(said)?;
        only(said, &[&["id"], keys].concat())?;
        Ok(Self(said))
    }

    /// What stands under a key; null stands for nothing.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|value| !matches!(value, Value::Null))
    }

    /// The text under a key.
    ///
    /// # Errors
    /// It is no text.
    pub fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        self.get(key).map(|value| value.as_str().ok_or_else(|| mistaken(key, value, "a string"))).transpose()
    }

    /// The time under a key.
    ///
    /// # Errors
    /// It is no time.
    pub fn seconds(&self, key: &str) -> Result<Option<Duration>, String> {
        let seconds = |value: &Value| match value {
            Value::Number(number) => Duration::try_from_secs_f64(number.as_f64())
                .map_err(|_| format!("`{key}` is {}, which is not a time in seconds", number.as_str())),
            value => Err(mistaken(key, value, "a number of seconds")),
        };
        self.get(key).map(seconds).transpose()
    }

    /// Whether it says no, by `bad`, or by `later` and perhaps `after`.
    ///
    /// # Errors
    /// It says so in another form.
    pub fn refusal(&self) -> Result<Option<Refusal>, String> {
        let after = self.seconds("after")?;
        Ok(match (self.text("bad")?, self.text("later")?) {
            (Some(_), Some(_)) => return Err("it has both `bad` and `later`".to_owned()),
            (Some(why), None) => Some(Refusal::Bad(reason(why))),
            (None, Some(why)) => Some(Refusal::Later(reason(why), after)),
            (None, None) => None,
        })
    }

    /// What there is to send.
    ///
    /// # Errors
    /// `outputs` is no list, or one of them is none.
    pub fn outputs(&self, terms: &Terms<'_>) -> Result<Vec<Output>, String> {
        self.0.get("outputs").map_or(Ok(Vec::new()), |said| terms.outputs(said))
    }

    /// The mapping under a key.
    ///
    /// # Errors
    /// It is something else.
    pub fn mapping(&self, key: &str) -> Result<Option<&'a Object>, String> {
        let mapping = |value: &'a Value| value.as_object().ok_or_else(|| mistaken(key, value, "an object"));
        self.get(key).map(mapping).transpose()
    }
}

/// What an output may say, and where it may go.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms<'a> {
    /// Whether it may have the keys of the second edition of the worker protocol.
    pub is_second: bool,
    /// How the service is run, which says where it may send beside its channels.
    pub invocation: Option<&'a Invocation>,
}

impl Terms<'_> {
    /// Outputs as a program says them.
    ///
    /// # Errors
    /// They are no list, or one of them is none.
    pub fn outputs(&self, said: &Value) -> Result<Vec<Output>, String> {
        let said = said.as_array().ok_or_else(|| mistaken("outputs", said, "a list"))?;
        let output = |(at, said)| self.output(said).map_err(|fault| format!("output {}: {fault}", at + 1));
        said.iter().enumerate().map(output).collect()
    }

    /// What a program sends: `{"channel": …, "payload": …}`; without a channel on the default one.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn output(&self, said: &Value) -> Result<Output, String> {
        let written = object(said)?;
        let more: &[&str] = match self.is_second {
            true => &["headers", "delay", "expiration", "destination", "text", "id"],
            false => &[],
        };
        only(written, &[&["channel", "payload"], more].concat())?;
        let answer = Answer(written);
        let channel = answer.text("channel")?.map(str::to_owned);
        let (payload, is_text) = match (written.get("payload"), answer.text("text")?) {
            (Some(payload), None) => (payload.clone(), false),
            (None, Some(text)) => (Value::from(text), true),
            (Some(_), Some(_)) => return Err("it has both `payload` and `text`".to_owned()),
            (None, None) => return Err("it has no `payload`".to_owned()),
        };
        // Python reads and writes such numbers, and its services may rely on that.
        if self.invocation.is_none_or(|invocation| invocation.python.is_none()) {
            finite(&payload)?;
        }
        let way = match answer.mapping("destination")? {
            Some(_) if channel.is_some() => return Err("it has both `channel` and `destination`".to_owned()),
            Some(place) => self.way(place, is_text, answer.text("id")?.map(str::to_owned))?,
            None if is_text => return Err("`text` is for messages with a `destination`".to_owned()),
            None => Way::Channel,
        };
        let (delay, expiration) = (answer.seconds("delay")?, answer.seconds("expiration")?);
        let headers = answer.mapping("headers")?.cloned().unwrap_or_default();
        Ok(Output { channel, payload, headers, sending: Sending { way, environment: None, delay, expiration } })
    }

    /// A destination of its own: `{"queue": …}` or `{"topic": …}`, perhaps with `exchange`.
    fn way(&self, place: &Object, is_text: bool, id: Option<String>) -> Result<Way, String> {
        only(place, &["queue", "topic", "exchange"])?;
        let place = Answer(place);
        let destination = match (place.text("queue")?, place.text("topic")?) {
            (Some(queue), None) => Destination::Queue(queue.to_owned()),
            (None, Some(topic)) => Destination::Topic(topic.to_owned()),
            _ => return Err("`destination` has one of `queue` and `topic`".to_owned()),
        };
        let name = destination.name();
        if !self.invocation.is_some_and(|invocation| invocation.may_send_to(name)) {
            return Err(format!("it goes to {destination}, which `sends` of the contract does not allow"));
        }
        let exchange = place.text("exchange")?.map(str::to_owned);
        Ok(Way::Own { destination, exchange, is_text, id })
    }
}

/// That a worker's answer is none.
pub fn unusable(worker: &str, fault: &str) -> String {
    reason(format!("the answer of worker `{worker}` cannot be used: {fault}"))
}

/// Refuses numbers that JSON cannot say: whoever reads the message or a file of it may not understand them.
///
/// # Errors
/// Where the first one is, in words.
pub fn finite(payload: &Value) -> Result<(), String> {
    match payload.non_finite() {
        Some(place) if place.is_empty() => {
            Err("`payload` is not a finite number, which JSON cannot represent".to_owned())
        }
        Some(place) => Err(format!("`{place}` in `payload` is not a finite number, which JSON cannot represent")),
        None => Ok(()),
    }
}

fn object(said: &Value) -> Result<&Object, String> {
    said.as_object().ok_or_else(|| format!("it is {}, not an object", said.describe()))
}

fn mistaken(key: &str, value: &Value, expected: &str) -> String {
    format!("`{key}` is {}, not {expected}", value.describe())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_language::syntax::json::read_value;

    #[test]
    fn lines_are_safe_to_show() {
        let text = b"10%\r20%\r\n\n \x1b[31mred\x07\tand\xff\r\nlast";
        let found: Vec<String> = lines(text).flat_map(pieces).collect();
        assert_eq!(found, ["10%", "20%", " ␛[31mred␇ and\u{fffd}", "last"]);
        let long = "x".repeat(MOST_LOGGED + 1);
        assert_eq!(pieces(long.as_bytes()).map(|piece| piece.len()).collect::<Vec<_>>(), [MOST_LOGGED, 1]);
        assert_eq!(reason(format!(" a\nb{long}")), format!("a␊b{}…", "x".repeat(MOST_TOLD - 4)));
    }

    #[test]
    fn what_is_no_answer_is_told_in_words() {
        const KEYS: &[&str] = &["bad", "later", "after", "outputs"];
        for (said, expected) in [
            (r#"{"id": 1}"#, "0 outputs"),
            (r#"{"id": 1, "bad": null, "outputs": [{"payload": null}, {"channel": null, "payload": 1}]}"#, "2 outputs"),
            (r#"{"id": 1, "bad": "no\nsuch"}"#, r#"Bad("no␊such")"#),
            (r#"{"id": 1, "later": "no", "after": 0.5}"#, r#"Later("no", Some(500ms))"#),
            ("[1]", "it is a list, not an object"),
            (r#"{"id": 1, "ouputs": []}"#, "there is no `ouputs`; did you mean `outputs`?"),
            (r#"{"id": 1, "x": []}"#, "there is no `x`, only `id`, `bad`, `later`, `after`, `outputs`"),
            (r#"{"id": 1, "outputs": {"payload": 1}}"#, "`outputs` is an object, not a list"),
            (r#"{"id": 1, "outputs": null}"#, "`outputs` is null, not a list"),
            (r#"{"id": 1, "outputs": [{"payload": 1}, 2]}"#, "output 2: it is a number, not an object"),
            (r#"{"id": 1, "outputs": [{"channel": "x"}]}"#, "output 1: it has no `payload`"),
            (
                r#"{"id": 1, "outputs": [{"payload": NaN}]}"#,
                "output 1: `payload` is not a finite number, which JSON cannot represent",
            ),
            (
                r#"{"id": 1, "outputs": [{"payload": {"a": [{"b": -Infinity}]}}]}"#,
                "output 1: `a[0].b` in `payload` is not a finite number, which JSON cannot represent",
            ),
            (
                r#"{"id": 1, "outputs": [{"channel": 1, "payload": 1}]}"#,
                "output 1: `channel` is a number, not a string",
            ),
            (
                r#"{"id": 1, "outputs": [{"chanel": "x", "payload": 1}]}"#,
                "output 1: there is no `chanel`; did you mean `channel`?",
            ),
            (r#"{"id": 1, "bad": true}"#, "`bad` is a boolean, not a string"),
            (r#"{"id": 1, "bad": "x", "later": "y"}"#, "it has both `bad` and `later`"),
            (r#"{"id": 1, "later": "x", "after": "1"}"#, "`after` is a string, not a number of seconds"),
            (r#"{"id": 1, "later": "x", "after": -1}"#, "`after` is -1, which is not a time in seconds"),
        ] {
            let value = read_value(said.as_bytes()).expect("JSON");
            let read = || {
                let answer = Answer::read(&value, KEYS)?;
                Ok::<_, String>(match answer.refusal()? {
                    Some(refusal) => format!("{refusal:?}"),
                    None => format!("{} outputs", answer.outputs(&Terms::default())?.len()),
                })
            };
            assert_eq!(read().unwrap_or_else(|fault| fault), expected, "{said}");
        }
    }
}
