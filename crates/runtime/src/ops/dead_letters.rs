//! Dead letters: what they say about their end, the files they are kept in, and the way back.
//!
//! The files are those of `zocalo.dlq_purge` and `zocalo.dlq_reinject` (`zocalo` 1.5.0):
//! `{"exported": {"date", "time"}, "header": {…}, "message": …}`, named `msg-<yyyymmdd>-<hhmmss>-<ms>-<id>` in a folder
//! for each day. What they cannot hold is in a part of its own, `zrecipe`: the id, the queue, AMQP's properties, headers and
//! the body where they are no JSON. A letter leaves its queue when its file is safe, and a file goes when the broker has its message.

mod reading;

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use uuid::Uuid;

pub use self::reading::{Copies, Fate, Look, Seen, let_go, look, ready};
use zrecipe_broker::message::headers::{DEATHS, DESTINATION, MESSAGE_ID, ORIGIN};
use zrecipe_broker::message::{
    Death, Destination, Outgoing, RECIPE_HEADER, Reason, is_recipe, message_id, reinjected_headers, text_headers,
};
use zrecipe_broker::transport::{Delivery, Error as TransportError, Transport};
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::topology::DELAYED;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::durable;

/// A dead letter.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// The queue that it lies in; none when it is from a file that does not say so.
    pub queue: Option<String>,
    /// Its id, if it was sent with one.
    pub id: Option<String>,
    /// What else its sender said of it, as in [`Outgoing`].
    pub properties: Object,
    /// Headers.
    pub headers: Object,
    /// Body.
    pub body: Vec<u8>,
    /// When it was sent, as far as anybody says.
    pub sent: Option<SystemTime>,
}

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read, written or removed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds something else.
    #[error("{}: {reason}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The broker.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl Letter {
    /// What a broker has delivered.
    pub fn of(delivery: &Delivery) -> Self {
        Self {
            queue: Some(delivery.source.name().to_owned()),
            id: delivery.has_own_id.then(|| delivery.id.clone()),
            properties: delivery.properties.clone(),
            headers: delivery.headers.clone(),
            body: delivery.body.clone(),
            sent: delivery.sent,
        }
    }

    /// How it came to its end. The newest death counts that is none of waiting.
    pub fn death(&self) -> Death {
        Death::read(&self.headers, self.queue.as_deref())
    }

    /// Why it is here, in the words of who put it here.
    pub fn reason(&self) -> String {
        let given = Reason::read(&self.headers).map(|reason| reason.text).filter(|text| !text.is_empty());
        given.or_else(|| self.death().reason).unwrap_or_else(|| "unknown".to_owned())
    }

    /// The step that it was for, if it carries a recipe.
    pub fn step(&self) -> Option<(i64, Option<String>)> {
        if !is_recipe(&self.headers) {
            return None;
        }
        let body = read_value(&self.body).ok()?;
        let pointer = body.get("recipe-pointer")?;
        let number = pointer.as_i64().or_else(|| pointer.as_str()?.trim().parse().ok())?;
        let step = body.get("recipe").and_then(|recipe| recipe.get(&number.to_string()));
        let service = step.and_then(|step| step.get("service")?.as_str().map(str::to_owned));
        Some((number, service))
    }

    /// The letter as a file has it.
    pub fn to_value(&self, now: &Zoned) -> Value {
        let mut header = self.headers.clone();
        header.insert(MESSAGE_ID.to_owned(), Value::from(self.id.as_deref().unwrap_or("")));
        // Python's tools send a letter of ActiveMQ back to this.
        if let Some(origin) = self.properties.get(ORIGIN) {
            header.insert(ORIGIN.to_owned(), origin.clone());
            // Python's tool wants to see it, too.
            header.insert(DESTINATION.to_owned(), origin.clone());
        }
        if is_recipe(&self.headers) {
            // `True` is what Python's reader wants to see when it comes from a file.
            header.insert(RECIPE_HEADER.to_owned(), Value::from("True"));
        }
        let read = read_value(&self.body).ok();
        let text = String::from_utf8_lossy(&self.body);
        let mut own = Object::new();
        if let Some(queue) = &self.queue {
            own.insert("queue".to_owned(), Value::from(queue.as_str()));
        }
        if let Some(id) = &self.id {
            own.insert("id".to_owned(), Value::from(id.as_str()));
        }
        if !self.properties.is_empty() {
            own.insert("properties".to_owned(), Value::Object(self.properties.clone()));
        }
        if read.is_none() {
            match std::str::from_utf8(&self.body) {
                Ok(text) => own.insert("text".to_owned(), Value::from(text)),
                Err(_) => {
                    let bytes = self.body.iter().map(|byte| Value::from(i64::from(*byte))).collect();
                    own.insert("bytes".to_owned(), Value::Array(bytes))
                }
            };
        }
        Value::from([
            (
                "exported",
                Value::from([
                    ("date", Value::from(now.strftime("%Y-%m-%d").to_string())),
                    ("time", Value::from(now.strftime("%H:%M:%S").to_string())),
                ]),
            ),
            ("header", Value::Object(header)),
            ("message", read.unwrap_or_else(|| Value::from(text.into_owned()))),
            ("zrecipe", Value::Object(own)),
        ])
    }

    /// Reads a file of ours or of the reference's tools.
    ///
    /// # Errors
    /// It cannot be read, or is something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let malformed = |reason: &str| Error::Malformed { path: path.to_owned(), reason: reason.to_owned() };
        let text =
            zrecipe_project::regular::read_all(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let file = read_value(&text).map_err(|reason| malformed(&format!("it is {reason}")))?;
        let (Some(Value::Object(headers)), Some(message)) = (file.get("header"), file.get("message")) else {
            return Err(malformed("it is not a dead letter: one has `header` and `message`"));
        };
        let own = |key: &str| file.get("zrecipe").and_then(|own| own.get(key));
        let text = |key: &str| own(key).and_then(Value::as_str).map(str::to_owned);
        let byte = |byte: &Value| byte.as_i64().and_then(|byte| u8::try_from(byte).ok());
        let body = match (own("bytes").and_then(Value::as_array), text("text")) {
            (Some(bytes), _) => {
                let bytes = bytes.iter().map(byte).collect::<Option<Vec<u8>>>();
                bytes.ok_or_else(|| malformed("`bytes` must be numbers from 0 to 255"))?
            }
            (None, Some(text)) => text.into_bytes(),
            (None, None) => message.to_json().into_bytes(),
        };
        let properties = own("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        // Files of ours have the headers as they are.
        let theirs = if file.get("zrecipe").is_none() { text_headers::from_file(headers) } else { None };
        let (headers, id) = theirs.unwrap_or_else(|| (headers.clone(), text("id")));
        Ok(Self { queue: text("queue"), id, properties, headers, body, sent: None })
    }

    /// The id for what becomes of it, where that is determined: it follows from the id that it had, from its death and from
    /// its content, so that sending it twice is sending it once. A letter without an id of its own, or one that has not
    /// died, is not told apart from others by anything, so each message that becomes of it is a new one.
    pub fn next_id(&self, purpose: &str) -> Option<String> {
        let id = self.id.as_deref()?;
        let death = self.headers.get(DEATHS).and_then(Value::as_array)?.first()?.to_json();
        Some(message_id(id, &format!("{purpose} {death} {}", self.content())))
    }

    /// What tells its content from that of others.
    pub fn content(&self) -> Uuid {
        let place = self.queue.as_deref().unwrap_or_default().as_bytes();
        Uuid::new_v5(&Uuid::NAMESPACE_OID, &[place, b"\n", &self.body].concat())
    }

    /// The message with this id as which it goes back: to where it died, or elsewhere.
    ///
    /// # Errors
    /// Its file does not say where it died.
    pub fn to_message(&self, id: String, destination: Option<&str>) -> Result<Outgoing, String> {
        let queue = destination.map(str::to_owned).or_else(|| self.death().queue);
        let queue = queue.ok_or("its original queue is unknown; give one with `--destination`")?;
        let headers = reinjected_headers(&self.headers);
        Ok(Outgoing {
            properties: self.properties.clone(),
            ..Outgoing::new(id, Destination::Queue(queue), headers, self.body.clone())
        })
    }

    /// The name of its file, without what makes it unique. It follows from the letter alone: who was stopped before its
    /// letter had left the queue finds the file again. A letter that says nothing of time is of the year 1970.
    fn file_name(&self) -> (String, String) {
        let died = self.death().time.and_then(|time| Timestamp::from_second(time).ok());
        let time = died.or_else(|| Timestamp::try_from(self.sent?).ok());
        let time = time
            .map_or_else(|| Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC), |time| time.to_zoned(TimeZone::system()));
        let id = self.id.clone().unwrap_or_else(|| self.content().to_string());
        let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
        let id: String = id.chars().map(allowed).take(100).collect();
        let folder = time.strftime("%Y-%m-%d").to_string();
        (folder, format!("msg-{}-000-{id}", time.strftime("%Y%m%d-%H%M%S")))
    }

    /// Writes it into a directory, safely; its file. The file that was written when the same letter came before, and
    /// the tool was stopped before it could say so, is found again; but none of `taken`, which are those of others that
    /// have come since: two without an id may look the same.
    ///
    /// # Errors
    /// The directory cannot be written.
    pub fn write(&self, directory: &Path, came_before: bool, taken: &HashSet<PathBuf>) -> Result<PathBuf, Error> {
        let (folder, name) = self.file_name();
        let folder = directory.join(folder);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let text = self.to_value(&Zoned::now()).to_json_pretty() + "\n";
        for number in 1.. {
            let path = folder.join(if number == 1 { name.clone() } else { format!("{name}-{number}") });
            match durable::create(&path, text.as_bytes()) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    // A file keeps what a body says, not how it is spaced.
                    let said = |body: &[u8]| read_value(body).map_err(|_| body.to_vec());
                    let same = |other: &Self| {
                        (&other.queue, &other.id) == (&self.queue, &self.id) && said(&other.body) == said(&self.body)
                    };
                    let may_be = self.id.is_some() || (came_before && !taken.contains(&path));
                    if may_be && Self::read(&path).is_ok_and(|other| same(&other)) {
                        return Ok(path);
                    }
                }
                Err(error) => return Err(failed(&path)(error)),
            }
        }
        Err(Error::Malformed { path: folder, reason: "it is full".to_owned() })
    }
}

/// The topic that a letter came by, where the queue in which it died is gone.
fn way_without(queue: &str, letter: &Letter) -> Option<String> {
    let death = letter.death();
    let is_way = !death.exchange.is_empty() && death.exchange != DELAYED && death.queue.as_deref() == Some(queue);
    is_way.then_some(death.exchange)
}

/// Where [`reinject`] would send a letter. Whether anybody listens to a topic is seen only then.
///
/// # Errors
/// Its queue is not there, or the broker does not say.
pub async fn would_go(
    transport: &dyn Transport,
    letter: &Letter,
    message: &Outgoing,
) -> Result<Destination, TransportError> {
    let Destination::Queue(queue) = &message.destination else { return Ok(message.destination.clone()) };
    match transport.waiting(queue).await {
        Ok(_) => Ok(message.destination.clone()),
        Err(TransportError::NoSuchQueue(queue)) => match way_without(&queue, letter) {
            Some(exchange) => Ok(Destination::Topic(exchange)),
            None => Err(TransportError::NoSuchQueue(queue)),
        },
        Err(error) => Err(error),
    }
}

/// Sends a letter back, confirmed; whether the broker has dropped it, because it has taken this message before. Where its
/// queue is gone and it had come by a topic, all who listen to that get it.
///
/// # Errors
/// The broker did not take it.
pub async fn reinject(
    transport: &dyn Transport,
    letter: &Letter,
    message: Outgoing,
) -> Result<(Destination, bool), TransportError> {
    let destination = message.destination.clone();
    match transport.offer(vec![message.clone()]).await {
        Err(TransportError::NoSuchQueue(queue)) => {
            let Some(exchange) = way_without(&queue, letter) else { return Err(TransportError::NoSuchQueue(queue)) };
            // Sent to the topic itself it would be gone if nobody listens; so it has to reach a queue.
            let known = transport.offer(vec![Outgoing { exchange: Some(exchange.clone()), ..message }]).await?;
            Ok((Destination::Topic(exchange), !known.is_empty()))
        }
        sent => sent.map(|known| (destination, !known.is_empty())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: Option<&str>, body: &[u8]) -> Letter {
        let death = Value::from([
            ("queue", Value::from("images")),
            ("reason", Value::from("rejected")),
            ("exchange", Value::from("delayed")),
            ("time", Value::from(1_700_000_000)),
        ]);
        let wait = Value::from([("queue", "zrecipe.delay.2s"), ("reason", "expired")]);
        let headers = Object::from_iter([
            ("x-death".to_owned(), Value::Array(vec![wait, death])),
            ("zrecipe-reason".to_owned(), Value::from("no such file")),
            (RECIPE_HEADER.to_owned(), Value::Bool(true)),
            ("own".to_owned(), Value::from("é")),
        ]);
        let queue = Some("dlq.images".to_owned());
        let properties = Object::from_iter([("priority".to_owned(), Value::from(3))]);
        let id = id.map(str::to_owned);
        Letter { queue, id, properties, headers, body: body.to_vec(), sent: None }
    }

    #[test]
    fn letters_come_back_from_their_files_as_they_were() {
        let directory = tempfile::tempdir().expect("a directory");
        for (id, body) in [
            (Some("a/../b"), br#"{"recipe-pointer": "2", "big": 123456789012345678901234567890, "n": NaN}"#.as_slice()),
            (None, b"no JSON"),
            (Some("bytes"), b"\xff\x00"),
            (Some("zero"), b"0"),
            (Some("empty"), b"{}"),
        ] {
            let letter = letter(id, body);
            let path = letter.write(directory.path(), false, &HashSet::new()).expect("is written");
            assert!(
                path.starts_with(directory.path()) && path.parent().and_then(Path::parent) == Some(directory.path())
            );
            let again = Letter::read(&path).expect("is read");
            assert_eq!((&again.queue, &again.id), (&letter.queue, &letter.id));
            assert_eq!(again.properties, letter.properties);
            let read = |body: &[u8]| read_value(body).map_err(|_| body.to_vec());
            assert_eq!(read(&again.body), read(&letter.body));
            let message = again.to_message("id".to_owned(), None).expect("knows where");
            assert_eq!(message.destination, Destination::Queue("images".to_owned()));
            let keys: Vec<&str> = message.headers.keys().map(String::as_str).collect();
            assert_eq!(keys, [RECIPE_HEADER, "own", "dlq-reinjected"]);
            assert_eq!(message.headers.get(RECIPE_HEADER), Some(&Value::Bool(true)));
        }
    }

    #[test]
    fn no_file_is_written_over_and_none_twice_for_the_same_letter() {
        let directory = tempfile::tempdir().expect("a directory");
        let written = |id, body: &[u8], came_before, taken: &[&Path]| {
            let taken = taken.iter().map(|path| path.to_path_buf()).collect();
            letter(id, body).write(directory.path(), came_before, &taken).expect("is written")
        };
        let write = |id, body: &[u8], came_before| {
            let path = written(id, body, came_before, &[]);
            path.file_name().expect("a name").to_string_lossy().into_owned()
        };
        let first = write(Some("m"), b"1", false);
        assert_eq!(write(Some("m"), b"1", true), first, "the same that came before");
        assert_eq!(write(Some("m"), b"2", false), format!("{first}-2"), "another with the same id");
        let nameless = write(None, b"1", false);
        assert_eq!(write(None, b"1", false), format!("{nameless}-2"), "two that look the same");
        assert_eq!(write(None, b"1", true), nameless, "one that came before");
        let first = written(None, b"1", true, &[]);
        let second = written(None, b"1", true, &[&first]);
        assert!(second.ends_with(format!("{nameless}-2")), "another that came before as well");
        assert!(written(None, b"1", true, &[&first, &second]).ends_with(format!("{nameless}-3")));
        let silent = Letter { headers: Object::new(), ..letter(Some("silent"), b"1") };
        assert_eq!(silent.file_name().1, "msg-19700101-000000-000-silent", "no clock is in the name");
    }

    #[test]
    fn an_id_follows_from_the_letter_and_never_from_its_file() {
        let base = letter(Some("m"), b"{}");
        let again = |letter: &Letter| letter.next_id("reinjected");
        assert!(again(&base).is_some_and(|id| Some(id) == again(&base)));
        let died_again = Value::Array(vec![Value::from([("queue", "images"), ("time", "later")])]);
        let headers = Object::from_iter([("x-death".to_owned(), died_again)]);
        for other in [letter(Some("n"), b"{}"), letter(Some("m"), b"[]"), Letter { headers, ..base.clone() }] {
            assert_ne!(again(&other), again(&base));
        }
        assert_ne!(base.next_id("rebased"), again(&base));
        assert_eq!(again(&letter(None, b"{}")), None, "nothing tells two of these apart");
        assert_eq!(again(&Letter { headers: Object::new(), ..base }), None, "a new request");
    }

    #[test]
    fn the_newest_end_that_is_no_wait_counts() {
        let death = letter(None, b"").death();
        assert_eq!((death.queue.as_deref(), death.exchange.as_str()), (Some("images"), "delayed"));
        let without = Letter { headers: Object::new(), ..letter(None, b"") };
        assert_eq!(without.death().queue.as_deref(), Some("images"), "its queue says it");
        assert_eq!(without.reason(), "unknown");
        let empty = Object::from_iter([("x-death".to_owned(), Value::Array(Vec::new()))]);
        let empty = Letter { headers: empty, ..letter(None, b"") };
        assert_eq!(empty.death().queue.as_deref(), Some("images"), "nobody says more");
        let nowhere = Letter { queue: None, ..without };
        assert!(nowhere.to_message("x".to_owned(), None).is_err());
        assert_eq!(
            nowhere.to_message("x".to_owned(), Some("q")).expect("is told").destination,
            Destination::Queue("q".to_owned())
        );
    }
}
