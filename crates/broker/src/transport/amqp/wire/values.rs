//! JSON values as AMQP's and back.

use std::collections::BTreeMap;

use lapin::types::{AMQPValue, DecimalValue, FieldTable};

use super::short;
use zrecipe_language::value::{Number, Object, Value};

/// Below which a message's properties tell more of its headers.
pub(super) const HEADERS: &str = "headers";

/// Headers beyond this do not fit a frame, and the broker would close the connection: one of dead letters has to hold
/// theirs, what has become of the message, and why.
const MOST_HEADER_BYTES: usize = 120_000;

/// A value of a header in words that JSON has, where its own would come back as something else.
pub(super) fn exact(value: &AMQPValue) -> Option<Value> {
    let bytes = |bytes: &[u8]| bytes.iter().map(|byte| Value::from(i64::from(*byte))).collect::<Vec<_>>();
    let part = |value: &AMQPValue| exact(value).unwrap_or_else(|| Value::from([("json", from_amqp(value))]));
    Some(match value {
        AMQPValue::ByteArray(value) => Value::from([("bytes", Value::Array(bytes(value.as_slice())))]),
        AMQPValue::LongString(value) if std::str::from_utf8(value.as_bytes()).is_err() => {
            Value::from([("text", Value::Array(bytes(value.as_bytes())))])
        }
        AMQPValue::Timestamp(value) => {
            Value::from([("timestamp", Value::Number(Number::from_text(&value.to_string())))])
        }
        AMQPValue::DecimalValue(value) => {
            let parts = [i64::from(value.scale), i64::from(value.value)];
            Value::from([("decimal", Value::Array(parts.map(Value::from).to_vec()))])
        }
        AMQPValue::FieldArray(items) if items.as_slice().iter().any(|item| exact(item).is_some()) => {
            Value::from([("array", Value::Array(items.as_slice().iter().map(part).collect()))])
        }
        AMQPValue::FieldTable(table) if table.inner().values().any(|value| exact(value).is_some()) => {
            let members = table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), part(value)));
            Value::from([("table", Value::Object(members.collect()))])
        }
        _ => return None,
    })
}

/// What [`exact`] told of.
fn from_exact(told: &Value) -> Option<AMQPValue> {
    let (kind, value) = told.as_object()?.iter().next()?;
    let bytes =
        || -> Option<Vec<u8>> { value.as_array()?.iter().map(|byte| u8::try_from(byte.as_i64()?).ok()).collect() };
    Some(match kind.as_str() {
        "json" => to_amqp(value, &mut 0).ok()?,
        "bytes" => AMQPValue::ByteArray(bytes()?.into()),
        "text" => AMQPValue::LongString(bytes()?.into()),
        "timestamp" => AMQPValue::Timestamp(u64::try_from(value.as_i64()?).ok()?),
        "decimal" => {
            let [scale, value] = value.as_array()? else { return None };
            let (scale, value) = (u8::try_from(scale.as_i64()?).ok()?, value.as_i64()?.try_into().ok()?);
            AMQPValue::DecimalValue(DecimalValue { scale, value })
        }
        "array" => AMQPValue::FieldArray(value.as_array()?.iter().map(from_exact).collect::<Option<Vec<_>>>()?.into()),
        "table" => {
            let member = |(name, value): (&String, &Value)| Some((short(name).ok()?, from_exact(value)?));
            let members = value.as_object()?.iter().map(member).collect::<Option<BTreeMap<_, _>>>()?;
            AMQPValue::FieldTable(members.into())
        }
        _ => return None,
    })
}

pub(super) fn bytes(value: &AMQPValue) -> Option<&[u8]> {
    match value {
        AMQPValue::LongString(text) => Some(text.as_bytes()),
        AMQPValue::ShortString(text) => Some(text.as_str().as_bytes()),
        _ => None,
    }
}

pub(super) fn integer(value: &AMQPValue) -> Option<i64> {
    Some(match *value {
        AMQPValue::ShortShortInt(n) => i64::from(n),
        AMQPValue::ShortShortUInt(n) => i64::from(n),
        AMQPValue::ShortInt(n) => i64::from(n),
        AMQPValue::ShortUInt(n) => i64::from(n),
        AMQPValue::LongInt(n) => i64::from(n),
        AMQPValue::LongUInt(n) => i64::from(n),
        AMQPValue::LongLongInt(n) => n,
        _ => return None,
    })
}

/// Headers for the wire. Those of which `said` tells more, and that nobody has changed since, are as they were.
pub(super) fn to_table(headers: &Object, said: &Object) -> Result<FieldTable, String> {
    let mut size = 0;
    let mut table = table(headers, &mut size)?;
    if size > MOST_HEADER_BYTES {
        return Err(format!(
            "its headers have {size} bytes, and the maximum is {MOST_HEADER_BYTES}; put large values in the body"
        ));
    }
    for (name, told) in said.get(HEADERS).and_then(Value::as_object).into_iter().flatten() {
        if let Some(value) = from_exact(told).filter(|value| headers.get(name) == Some(&from_amqp(value))) {
            table.insert(short(name)?, value);
        }
    }
    Ok(table)
}

fn table(members: &Object, size: &mut usize) -> Result<FieldTable, String> {
    let mut table = FieldTable::default();
    for (name, value) in members {
        *size += name.len() + 1;
        table.insert(short(name)?, to_amqp(value, size)?);
    }
    Ok(table)
}

fn to_amqp(value: &Value, size: &mut usize) -> Result<AMQPValue, String> {
    let mut text = |text: &str| {
        *size += text.len();
        AMQPValue::LongString(text.into())
    };
    let value = match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::String(value) => text(value),
        Value::Raw(value) => text(value),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => AMQPValue::LongLongInt(integer),
            // What would not come out as it went in goes as it is written; so does `NaN`, at which RabbitMQ hangs up.
            (None, float) if float.is_finite() && Value::from(float) == *value => AMQPValue::Double(float),
            _ => text(number.as_str()),
        },
        Value::Array(items) => {
            let items: Vec<AMQPValue> = items.iter().map(|item| to_amqp(item, size)).collect::<Result<_, _>>()?;
            AMQPValue::FieldArray(items.into())
        }
        Value::Object(members) => AMQPValue::FieldTable(table(members, size)?),
    };
    *size += 9;
    Ok(value)
}

pub(super) fn from_amqp(value: &AMQPValue) -> Value {
    let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
    match value {
        AMQPValue::Boolean(value) => Value::from(*value),
        AMQPValue::Float(value) => Value::from(f64::from(*value)),
        AMQPValue::Double(value) => Value::from(*value),
        AMQPValue::DecimalValue(decimal) => {
            let digits = Number::from_text(&format!("{}e-{}", decimal.value, decimal.scale));
            Value::Number(digits)
        }
        AMQPValue::ShortString(value) => Value::from(value.as_str()),
        AMQPValue::LongString(value) => text(value.as_bytes()),
        AMQPValue::ByteArray(value) => text(value.as_slice()),
        AMQPValue::Timestamp(value) => Value::Number(Number::from_text(&value.to_string())),
        AMQPValue::FieldArray(items) => Value::Array(items.as_slice().iter().map(from_amqp).collect()),
        AMQPValue::FieldTable(table) => Value::Object(
            table.inner().iter().map(|(name, value)| (name.as_str().to_owned(), from_amqp(value))).collect(),
        ),
        other => integer(other).map_or(Value::Null, Value::from),
    }
}
