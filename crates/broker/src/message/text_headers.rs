//! Headers on a broker that has only text: which of them are JSON, and which are not the sender's.

use super::death::{Cause, record_death};
use super::headers::{
    DEATHS, DESTINATION, DUE, FAILURE_CAUSE, ID, JSON, MESSAGE_ID, ORIGIN, ORIGINAL_EXPIRATION, OWN_PREFIX, PROPERTIES,
    RETRIES, RETURNED, RETURNS, SENT, TIMESTAMP,
};
use super::reason::{Code, Reason};
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};

/// Names of headers that STOMP or ActiveMQ use.
const RESERVED: [&str; 24] = [
    "ack",
    "browser",
    "content-length",
    "content-type",
    "correlation-id",
    DESTINATION,
    FAILURE_CAUSE,
    "expires",
    "heart-beat",
    "id",
    MESSAGE_ID,
    ORIGIN,
    ORIGINAL_EXPIRATION,
    "persistent",
    "priority",
    "receipt",
    "receipt-id",
    "redelivered",
    "reply-to",
    "scheduledJobId",
    "subscription",
    TIMESTAMP,
    "transaction",
    "type",
];

/// Whether a header is not the sender's.
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
        || [ID, JSON, PROPERTIES, RETRIES, RETURNED, RETURNS, SENT, DUE].contains(&name)
        || ["AMQ_", "JMS", OWN_PREFIX].iter().any(|begin| name.starts_with(begin))
}

/// The sender's headers among all headers of a message, with their types.
pub fn own_headers<'h>(all: impl Iterator<Item = (&'h str, &'h str)>, json: Option<&str>) -> Object {
    let json: Vec<&str> = json.map(|names| names.split('\n').collect()).unwrap_or_default();
    let mut headers = Object::new();
    for (name, text) in all {
        let own = name.strip_prefix(OWN_PREFIX).filter(|own| !own.is_empty());
        if own.is_none() && is_reserved(name) {
            continue;
        }
        let value = match json.contains(&name) {
            true => read_value(text.as_bytes()).unwrap_or_else(|_| Value::from(text)),
            false => Value::from(text),
        };
        headers.entry(own.unwrap_or(name).to_owned()).or_insert(value);
    }
    headers
}

/// The headers and the id of a dead letter that Python's tools have read from ActiveMQ; nothing if it is another's.
pub fn from_file(all: &Object) -> Option<(Object, Option<String>)> {
    let text = |name: &str| all.get(name).and_then(Value::as_str);
    let origin = text(ORIGIN).or_else(|| text(DESTINATION))?;
    if !origin.starts_with("/queue/") && !origin.starts_with("/topic/") {
        return None;
    }
    let texts = all.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
    let mut headers = own_headers(texts, text(JSON));
    if !headers.contains_key(DEATHS) {
        let millis = text(TIMESTAMP).and_then(|time| time.parse::<i64>().ok()).unwrap_or_default();
        let reason = Reason::new(Code::Rejected, text(FAILURE_CAUSE).unwrap_or("unknown"));
        record_death(&mut headers, origin, Cause::Rejected, &reason, millis / 1_000);
    }
    Some((headers, text(ID).map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_python_say_where_a_letter_died() {
        let file = |text: &str| from_file(read_value(text.as_bytes()).expect("JSON").as_object().expect("an object"));
        let ours = r#"{"original-destination": "/queue/z.q", "zrecipe-id": "m", "zrecipe-json": "x-death\nn", "n": "5",
            "x-death": "[{\"queue\": \"q\"}]", "message-id": "ID:1", "mine": "5"}"#;
        let (headers, id) = file(ours).expect("is one");
        assert_eq!(
            (id.as_deref(), headers.get("n"), headers.get("mine")),
            (Some("m"), Some(&Value::from(5)), Some(&Value::from("5")))
        );
        let queue =
            |headers: &Object| headers.get("x-death")?.as_array()?.first()?.get("queue")?.as_str().map(str::to_owned);
        assert_eq!((queue(&headers).as_deref(), headers.contains_key("message-id")), (Some("q"), false));
        let (headers, id) = file(r#"{"destination": "/queue/z.q", "timestamp": "5000"}"#).expect("is one");
        assert_eq!((queue(&headers).as_deref(), id), (Some("/queue/z.q"), None), "a name of the broker");
        assert!(file(r#"{"x-death": []}"#).is_none());
    }
}
