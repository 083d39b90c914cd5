//! Messages as frames: names of destinations, and headers of any JSON type as the text that STOMP has.
//!
//! - A queue `q` is `/queue/<prefix>.q`, a topic `/topic/<prefix>.t`; its dead letters `dlq.q` are `/queue/DLQ.<prefix>.q`,
//!   as ActiveMQ's individual dead-letter strategy and Python's tools have it. A name that begins with `/queue/` or
//!   `/topic/` is taken as it is.
//! - The header `zrecipe-json` lists the headers whose text is JSON; all others are strings. Python reads `true` as it
//!   reads its own `True`.
//! - Names that STOMP or ActiveMQ use themselves travel with `zrecipe.` before them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::frame::{Frame, escaped_len};
use crate::message::headers::{
    DEATHS, DESTINATION, DUE, FAILURE_CAUSE, ID, JSON, MESSAGE_ID, ORIGIN, ORIGINAL_EXPIRATION, OWN_PREFIX, PROPERTIES,
    RETRIES, RETURNED, RETURNS, SENT, TIMESTAMP,
};
use crate::message::text_headers::{is_reserved, own_headers};
use crate::message::{
    Cause, Code, Destination, Outgoing, Reason, dead_letter_queue, record_death, source_of_dead_letters,
};
use crate::transport::Error;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};

/// How the name of a dead-letter queue begins on ActiveMQ.
const DEAD_LETTERS: &str = "DLQ.";
/// Headers of STOMP and ActiveMQ that are properties of a message, and AMQP's names of these. Other properties travel in a
/// header of zrecipe.
const PROPERTY_HEADERS: [(&str, &str); 5] = [
    ("content-type", "content_type"),
    ("correlation-id", "correlation_id"),
    ("priority", "priority"),
    ("reply-to", "reply_to"),
    ("type", "type"),
];
/// The priority of messages whose sender says nothing.
const PRIORITY: &str = "4";
/// The most returns of which the times are kept.
const MAX_TIMES: usize = 30;
/// The longest header line that ActiveMQ reads, in bytes, less some for line ends.
const MAX_HEADER: usize = 10_000;
/// The most headers that ActiveMQ reads, less those that a broker adds.
const MAX_HEADERS: usize = 900;

/// A text that fits in a message for people.
pub(super) fn shown(name: &str) -> String {
    if name.len() < 50 { name.to_owned() } else { name.chars().take(40).collect::<String>() + "…" }
}

/// The name of a destination on the broker.
pub(super) fn address(prefix: &str, destination: &Destination) -> String {
    let (kind, name) = match destination {
        Destination::Queue(name) => ("/queue/", name),
        Destination::Topic(name) => ("/topic/", name),
    };
    if name.starts_with("/queue/") || name.starts_with("/topic/") {
        return name.clone();
    }
    let dot = if prefix.is_empty() || prefix.ends_with('.') { "" } else { "." };
    match (destination, source_of_dead_letters(name)) {
        (Destination::Queue(_), Some(of)) => format!("{kind}{DEAD_LETTERS}{prefix}{dot}{of}"),
        _ => format!("{kind}{prefix}{dot}{name}"),
    }
}

/// All queues with the prefix, as the broker selects them.
pub(super) fn all_queues(prefix: &str) -> String {
    let dot = if prefix.is_empty() || prefix.ends_with('.') { "" } else { "." };
    format!("/queue/{prefix}{dot}>")
}

/// The queue that a name on the broker means, as [`address`] names it.
pub(super) fn queue(prefix: &str, address: &str) -> String {
    let Some(name) = address.strip_prefix("/queue/") else { return address.to_owned() };
    let dot = if prefix.is_empty() || prefix.ends_with('.') { "" } else { "." };
    let own = format!("{prefix}{dot}");
    match name.strip_prefix(DEAD_LETTERS).and_then(|rest| rest.strip_prefix(&own)) {
        Some(of) => dead_letter_queue(of),
        None => name.strip_prefix(&own).map_or_else(|| address.to_owned(), str::to_owned),
    }
}

/// Milliseconds since 1970.
fn millis(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}

/// The frame that sends a message.
///
/// # Errors
/// [`Error::Unsendable`]: a header does not fit.
pub(super) fn send(prefix: &str, message: &Outgoing) -> Result<Frame, Error> {
    let place = shown(message.destination.name());
    let unsendable = |reason: String| Error::Unsendable { destination: place.clone(), reason };
    if message.destination.name().is_empty() || message.destination.name().contains(['\n', '\r', '\0']) {
        return Err(unsendable("its destination is not a name".to_owned()));
    }
    let mut frame = Frame::new("SEND").with(DESTINATION, address(prefix, &message.destination));
    frame.headers.push((ID.to_owned(), message.id.clone()));
    if matches!(message.destination, Destination::Queue(_)) {
        frame.headers.push(("persistent".to_owned(), "true".to_owned()));
    }
    let delay = message.delay.filter(|delay| !delay.is_zero());
    if let Some(delay) = delay {
        let delay = i64::try_from(delay.as_millis()).map_err(|_| unsendable("its delay is too long".to_owned()))?;
        frame.headers.push(("AMQ_SCHEDULED_DELAY".to_owned(), delay.max(1).to_string()));
        frame.headers.extend(due(message.delay.unwrap_or_default()));
    }
    if let Some(expiration) = message.expiration {
        let life = delay.unwrap_or_default().saturating_add(expiration);
        let expires = SystemTime::now().checked_add(life).filter(|at| i64::try_from(millis(*at)).is_ok());
        let expires = expires.ok_or_else(|| unsendable("its expiration is too far away".to_owned()))?;
        frame.headers.push(("expires".to_owned(), millis(expires).to_string()));
    }
    frame.headers.extend(property_headers(&message.properties));
    let mut json = Vec::new();
    for (name, value) in &message.headers {
        let name = if is_reserved(name) { format!("{OWN_PREFIX}{name}") } else { name.clone() };
        if name.is_empty() || name.contains('\0') {
            return Err(unsendable("a header's name is empty or has a null character".to_owned()));
        }
        let text = match value {
            Value::String(text) if !text.contains('\0') => text.clone(),
            Value::Number(number) if !comes_back(value) => number.as_str().to_owned(),
            value => {
                json.push(name.clone());
                value.to_json()
            }
        };
        frame.headers.push((name, text));
    }
    if !json.is_empty() {
        frame.headers.push((JSON.to_owned(), json.join("\n")));
    }
    if frame.headers.len() > MAX_HEADERS {
        return Err(unsendable(format!("it has more than {MAX_HEADERS} headers")));
    }
    if let Some((name, _)) =
        frame.headers.iter().find(|(name, value)| escaped_len(name) + escaped_len(value) > MAX_HEADER)
    {
        return Err(unsendable(format!("its header `{}` is longer than {MAX_HEADER} bytes", shown(name))));
    }
    frame.body = message.body.clone();
    Ok(frame)
}

/// The headers that state the properties of a message.
fn property_headers(properties: &Object) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let mut rest = Object::new();
    for (name, value) in properties.iter().filter(|(name, _)| *name != ORIGIN) {
        let header = PROPERTY_HEADERS.iter().find(|(_, property)| property == name);
        match (header, value) {
            // JMS has the priorities 0 to 9; the one that was stated comes back on another broker.
            (Some((header, "priority")), Value::Number(number)) => {
                let priority = number.as_i64().unwrap_or_default().clamp(0, 9);
                headers.push(((*header).to_owned(), priority.to_string()));
                rest.insert(name.clone(), value.clone());
            }
            (Some((header, _)), Value::String(text)) if !text.contains('\0') => {
                headers.push(((*header).to_owned(), text.clone()));
            }
            _ => _ = rest.insert(name.clone(), value.clone()),
        }
    }
    if !rest.is_empty() {
        headers.push((PROPERTIES.to_owned(), Value::Object(rest).to_json()));
    }
    headers
}

/// The properties of a delivered message, by AMQP's names.
fn properties(frame: &Frame) -> Object {
    let mut properties = Object::new();
    for (header, property) in PROPERTY_HEADERS {
        let Some(text) = frame.get(header).filter(|text| header != "priority" || *text != PRIORITY) else { continue };
        let number = text.parse::<i64>().ok().filter(|_| header == "priority");
        properties.insert(property.to_owned(), number.map_or_else(|| Value::from(text), Value::from));
    }
    if let Some(Ok(Value::Object(rest))) = frame.get(PROPERTIES).map(|text| read_value(text.as_bytes())) {
        properties.extend(rest);
    }
    if let Some(origin) = frame.get(ORIGIN) {
        properties.insert(ORIGIN.to_owned(), Value::from(origin));
    }
    properties
}

/// The header that states when a message is due.
fn due(delay: Duration) -> Option<(String, String)> {
    let at = SystemTime::now().checked_add(delay)?;
    Some((DUE.to_owned(), millis(at).to_string()))
}

/// Whether a number is the same after it was written and read.
fn comes_back(value: &Value) -> bool {
    let Value::Number(number) = value else { return true };
    number.as_i64().is_some() || (number.as_f64().is_finite() && Value::from(number.as_f64()) == *value)
}

/// What a delivered frame says of its message.
pub(super) struct Received {
    pub(super) id: String,
    pub(super) has_own_id: bool,
    pub(super) headers: Object,
    pub(super) properties: Object,
    pub(super) retries: u32,
    pub(super) returns: u32,
    /// When it came back, as far as that was counted.
    pub(super) returned: Option<String>,
    /// The consumer before was lost, and this is not counted yet.
    pub(super) is_redelivered: bool,
    pub(super) sent: Option<SystemTime>,
    /// When it is due, if it was delayed.
    pub(super) due: Option<SystemTime>,
}

/// Reads the headers of a delivered frame.
pub(super) fn received(prefix: &str, frame: &Frame) -> Received {
    let number = |name: &str| frame.get(name).and_then(|text| text.parse::<u32>().ok()).unwrap_or(0);
    let texts = frame.headers.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let mut headers = own_headers(texts, frame.get(JSON));
    let time = |name: &str| {
        let millis = frame.get(name)?.parse().ok().filter(|millis| *millis > 0)?;
        UNIX_EPOCH.checked_add(Duration::from_millis(millis))
    };
    // What the broker itself or a consumer of others has made a dead letter of has no other trace of its death.
    if let Some(origin) = frame.get(ORIGIN).filter(|_| !headers.contains_key(DEATHS)) {
        let cause = frame.get(FAILURE_CAUSE).unwrap_or_default();
        let is_expired = frame.get(ORIGINAL_EXPIRATION).is_some_and(|at| at != "0") || cause.contains("xpired");
        let (kind, reason) = match (is_expired, cause) {
            (true, _) => (Cause::Expired, Reason::new(Code::Expired, "it expired before a consumer took it")),
            (false, "") => (Cause::Rejected, Reason::new(Code::Rejected, "a consumer rejected it")),
            (false, cause) => (Cause::Rejected, Reason::new(Code::Rejected, cause)),
        };
        let at = i64::try_from(time(TIMESTAMP).map_or(0, millis) / 1_000).unwrap_or(0);
        record_death(&mut headers, &queue(prefix, origin), kind, &reason, at);
    }
    let id = frame.get(ID).map(str::to_owned);
    Received {
        has_own_id: id.is_some(),
        // The broker's own id stays the same however often it delivers the message.
        id: id.unwrap_or_else(|| frame.get(MESSAGE_ID).unwrap_or_default().to_owned()),
        headers,
        properties: properties(frame),
        returned: frame.get(RETURNED).map(str::to_owned),
        retries: number(RETRIES),
        returns: number(RETURNS),
        is_redelivered: frame.get("redelivered") == Some("true"),
        sent: time(SENT).or_else(|| time(TIMESTAMP)),
        due: time(DUE),
    }
}

impl Received {
    /// When the message came back, for people: `: at …, …`; empty if that is not known.
    pub(super) fn times_of_returns(&self) -> String {
        let times = self.returned.iter().flat_map(|times| times.split(','));
        let times = times.filter_map(|millis| jiff::Timestamp::from_millisecond(millis.parse().ok()?).ok());
        let times: Vec<String> = times.map(|time| format!("{time:.0}")).collect();
        if times.is_empty() { String::new() } else { format!(": at {}", times.join(", ")) }
    }

    /// Counts that the message came back just now.
    pub(super) fn count_return(&mut self) {
        self.returns = self.returns.saturating_add(1);
        let now = millis(SystemTime::now()).to_string();
        let mut times: Vec<&str> = self.returned.iter().flat_map(|times| times.split(',')).collect();
        times.push(&now);
        let newest = times.len().saturating_sub(MAX_TIMES);
        self.returned = Some(times[newest..].join(","));
    }
}

/// A copy of a delivered message, to be sent once more in its place.
pub(super) struct Copy<'m> {
    pub(super) frame: &'m Frame,
    pub(super) body: &'m [u8],
    pub(super) destination: &'m Destination,
    pub(super) delay: Duration,
    /// When it is due, where that was stated before.
    pub(super) due: Option<SystemTime>,
    pub(super) retries: u32,
    pub(super) returns: u32,
    /// When it came back.
    pub(super) returned: Option<&'m str>,
}

impl Copy<'_> {
    /// The frame that sends it.
    pub(super) fn send(&self, prefix: &str, id: &str, has_own_id: bool) -> Frame {
        let mut frame = Frame::new("SEND").with(DESTINATION, address(prefix, self.destination));
        frame.headers.push(("persistent".to_owned(), "true".to_owned()));
        let dropped = |name: &str| {
            (is_reserved(name) && !name.starts_with(OWN_PREFIX) && name != JSON)
                && ![ID, PROPERTIES, RETURNED].contains(&name)
                && PROPERTY_HEADERS.iter().all(|(header, _)| *header != name)
        };
        let kept = self.frame.headers.iter().filter(|(name, _)| !dropped(name));
        frame.headers.extend(kept.cloned());
        // Its id stays, though the broker gives the copy another one.
        if !has_own_id && !id.is_empty() {
            frame.headers.push((ID.to_owned(), id.to_owned()));
        }
        let sent = self.frame.get(SENT).or_else(|| self.frame.get(TIMESTAMP));
        frame.headers.extend(sent.map(|sent| (SENT.to_owned(), sent.to_owned())));
        for (name, count) in [(RETRIES, self.retries), (RETURNS, self.returns)] {
            if count > 0 {
                frame.headers.push((name.to_owned(), count.to_string()));
            }
        }
        frame.headers.extend(self.returned.map(|times| (RETURNED.to_owned(), times.to_owned())));
        if !self.delay.is_zero() {
            frame.headers.push(("AMQ_SCHEDULED_DELAY".to_owned(), self.delay.as_millis().max(1).to_string()));
            frame.headers.extend(due(self.delay));
        } else if let Some(at) = self.due {
            frame.headers.push((DUE.to_owned(), millis(at).to_string()));
        }
        frame.body = self.body.to_vec();
        frame
    }
}

/// A dead letter of a message: where it died of what, and why.
///
/// # Errors
/// A header does not fit.
pub(super) fn dead_letter(
    prefix: &str,
    queue: &str,
    received: &Received,
    body: &[u8],
    cause: Cause,
    reason: &Reason,
) -> Result<Frame, Error> {
    let mut headers = received.headers.clone();
    let text: String = {
        // Half of a header line, whatever has to be escaped.
        let mut size = 0;
        let fits = |character: &char| {
            size += character.len_utf8() * 2;
            size < MAX_HEADER / 2
        };
        reason.text.chars().filter(|character| *character != '\0').take_while(fits).collect()
    };
    let now = i64::try_from(millis(SystemTime::now()) / 1_000).unwrap_or(0);
    record_death(&mut headers, queue, cause, &Reason::new(reason.code, text), now);
    if let Some(Value::Array(deaths)) = headers.get_mut(DEATHS) {
        deaths.truncate(10);
    }
    let letter = Destination::Queue(dead_letter_queue(queue));
    let message = Outgoing {
        properties: received.properties.clone(),
        ..Outgoing::new(received.id.clone(), letter, headers, body.to_vec())
    };
    let mut frame = send(prefix, &message)?;
    let origin = address(prefix, &Destination::Queue(queue.to_owned()));
    // Its history travels with it.
    frame.headers.extend(received.returned.clone().map(|times| (RETURNED.to_owned(), times)));
    // Python's tools send a dead letter back to this.
    frame.headers.push((ORIGIN.to_owned(), origin));
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_python_and_of_the_broker() {
        let queue_of = |name: &str| Destination::Queue(name.to_owned());
        for (prefix, destination, expected) in [
            ("zocalo", queue_of("images"), "/queue/zocalo.images"),
            ("zocalo.", queue_of("images"), "/queue/zocalo.images"),
            ("", queue_of("images"), "/queue/images"),
            ("zocalo", queue_of("dlq.images"), "/queue/DLQ.zocalo.images"),
            ("", queue_of("dlq.images"), "/queue/DLQ.images"),
            ("zocalo", Destination::Topic("transient.status".to_owned()), "/topic/zocalo.transient.status"),
            ("zocalo", queue_of("/queue/other.images"), "/queue/other.images"),
        ] {
            let found = address(prefix, &destination);
            assert_eq!(found, expected);
            if matches!(destination, Destination::Queue(_)) {
                assert_eq!(queue(prefix, &found), destination.name(), "and back");
            }
        }
    }

    #[test]
    fn headers_that_the_broker_would_take_for_its_own_come_back() {
        let headers = Object::from_iter([
            ("expires".to_owned(), Value::from("never")),
            ("zrecipe.x".to_owned(), Value::from("y")),
            ("AMQ_SCHEDULED_DELAY".to_owned(), Value::from(7)),
            ("plain".to_owned(), Value::from("a\0b")),
            ("list".to_owned(), Value::from(vec![1, 2])),
        ]);
        let message = Outgoing::new("m".to_owned(), Destination::Queue("q".to_owned()), headers.clone(), b"x".to_vec());
        let frame = send("z", &message).expect("fits");
        assert!(frame.get("expires").is_none() && frame.get("AMQ_SCHEDULED_DELAY").is_none(), "{frame:?}");
        let found = received("z", &frame);
        assert_eq!((found.headers, found.id.as_str(), found.has_own_id), (headers, "m", true));
    }

    #[test]
    fn dead_letters_of_the_broker_and_of_others_say_where_they_died() {
        let frame = Frame::new("MESSAGE").with("original-destination", "/queue/z.q").with("message-id", "ID:1");
        let expired = frame.clone().with("originalExpiration", "5");
        for (frame, cause) in [(&frame, "rejected"), (&expired, "expired")] {
            let found = received("z", frame);
            let death = found.headers.get("x-death").and_then(Value::as_array).and_then(|deaths| deaths.first());
            let part = |name: &str| death.and_then(|death| death.get(name)).and_then(Value::as_str);
            assert_eq!((part("queue"), part("reason")), (Some("q"), Some(cause)));
            assert_eq!((found.id.as_str(), found.has_own_id), ("ID:1", false));
        }
        let reason = Reason::from("é\n".repeat(100_000));
        let letter = dead_letter("z", "q", &received("z", &frame), b"", Cause::Rejected, &reason);
        let letter = letter.expect("a reason of any length fits");
        assert_eq!(letter.get("original-destination"), Some("/queue/z.q"));
        assert_eq!(letter.get("destination"), Some("/queue/DLQ.z.q"));
    }
}
