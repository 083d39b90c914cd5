//! What a sender says of a message beside its id, its headers and its body.

use lapin::BasicProperties;

use super::headers::own_headers;
use super::short;
use super::values::{HEADERS, exact};
use crate::message::headers::is_of_broker;
use zrecipe_language::value::{Number, Object, Value};

/// Does something for each property that its sender set and that still holds when somebody else sends the message on: it
/// has been taken, so it does not expire any more, and its user is not who we are.
macro_rules! each_property {
    ($do:ident) => {
        $do!(
            text content_type: with_content_type "content_type",
            text content_encoding: with_content_encoding "content_encoding",
            number priority: with_priority "priority",
            text correlation_id: with_correlation_id "correlation_id",
            text reply_to: with_reply_to "reply_to",
            number timestamp: with_timestamp "timestamp",
            text kind: with_type "type",
            text app_id: with_app_id "app_id",
        )
    };
}

/// What its sender said of a message and what still holds when somebody else sends it on, with its id.
pub(super) fn fresh(properties: &BasicProperties) -> BasicProperties {
    let mut copy = BasicProperties::default();
    macro_rules! keep {
        ($($type:ident $property:ident: $with:ident $name:literal,)*) => {
            $(if let Some(value) = properties.$property() { copy = copy.$with(value.clone()); })*
        };
    }
    each_property!(keep);
    if let Some(id) = properties.message_id() {
        copy = copy.with_message_id(id.clone());
    }
    copy
}

/// What its sender said of a message beside its id, its headers and its body. Headers that are more than JSON can say are
/// below `headers`; what brokers write there is not its sender's.
pub(in crate::transport::amqp) fn said(properties: &BasicProperties) -> Object {
    let mut said = Object::new();
    macro_rules! tell {
        (text $value:ident) => { Value::from($value.as_str()) };
        (number $value:ident) => { Value::Number(Number::from_text(&$value.to_string())) };
        ($($type:ident $property:ident: $with:ident $name:literal,)*) => {
            $(if let Some(value) = properties.$property() { said.insert($name.to_owned(), tell!($type value)); })*
        };
    }
    each_property!(tell);
    let own = own_headers(properties).into_iter().filter(|(name, _)| !is_of_broker(name));
    let exact: Object = own.filter_map(|(name, value)| Some((name, exact(&value)?))).collect();
    if !exact.is_empty() {
        said.insert(HEADERS.to_owned(), Value::Object(exact));
    }
    said
}

/// The properties of which [`said`] tells.
pub(super) fn say(said: &Object) -> Result<BasicProperties, String> {
    let mut properties = BasicProperties::default();
    let malformed = |name: &str| format!("its property `{name}` is none");
    macro_rules! take {
        (text $name:literal $value:ident) => { short($value.as_str().ok_or_else(|| malformed($name))?)? };
        (number $name:literal $value:ident) => {
            $value.as_i64().and_then(|number| number.try_into().ok()).ok_or_else(|| malformed($name))?
        };
        ($($type:ident $property:ident: $with:ident $name:literal,)*) => {
            $(if let Some(value) = said.get($name) { properties = properties.$with(take!($type $name value)); })*
        };
    }
    each_property!(take);
    Ok(properties)
}
