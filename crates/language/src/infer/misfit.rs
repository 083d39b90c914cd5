//! Whether what one service sends is what another takes: payloads as subtypes.

use super::types::{MOST_DEPTH, NUMBER, OBJECT, Type};
use crate::contract::{Contract, Contracts};
use crate::schema::{Schema, SchemaValue, resolve_reference};

/// Why a payload does not fit: the path of the part, and what is wrong with it.
pub type Misfit = (String, String);

/// Whether what a service sends on one of its channels can be what another one takes, both under these contracts.
pub fn misfit(contracts: &Contracts, sent: &Schema, taker: &Contract) -> Option<Misfit> {
    let taken = taker.payload.as_ref()?;
    remembered(contracts, sent, taken, || {
        misfit_at(sent.root(), sent.root(), taken.root(), taken.root(), taker.coerced, String::new(), 0)
    })
}

/// The same where the payload is only a part of what the service takes: keys may come from elsewhere, and those that
/// are in the payload have to fit.
pub fn partial_misfit(contracts: &Contracts, sent: &Schema, taken: &Schema, coerced: bool) -> Option<Misfit> {
    remembered(contracts, sent, taken, || {
        let properties = resolve_reference(sent.root(), sent.root()).get("properties")?.as_object()?;
        properties.iter().find_map(|(key, property)| {
            let (_, wanted) = taken.properties().find(|(name, _)| name == key)?;
            misfit_at(sent.root(), property, taken.root(), wanted, coerced, key.clone(), 1)
        })
    })
}

fn remembered(
    contracts: &Contracts,
    sent: &Schema,
    taken: &Schema,
    find: impl FnOnce() -> Option<Misfit>,
) -> Option<Misfit> {
    // The two schemas stay where they are while the contracts are there.
    let pair = (std::ptr::from_ref(sent).addr(), std::ptr::from_ref(taken).addr());
    contracts.derived.remember(&pair, find)
}

fn misfit_at(
    sent_root: &SchemaValue,
    sent: &SchemaValue,
    taken_root: &SchemaValue,
    taken: &SchemaValue,
    coerced: bool,
    path: String,
    depth: usize,
) -> Option<(String, String)> {
    if depth > MOST_DEPTH {
        return None;
    }
    let sent = resolve_reference(sent_root, sent);
    let taken = resolve_reference(taken_root, taken);
    let sends = Type::of_schema(sent_root, sent);
    let takes = Type::of_schema(taken_root, taken);
    let takes = if coerced { takes.coerced() } else { takes };
    let kinds =
        |found: &Type| Type { kinds: found.kinds, reading: found.reading, values: found.values.clone(), ..Type::any() };
    if sends.is_empty() || takes.is_empty() {
        return None;
    }
    // A number that is whole may be an integer.
    let mut wide = kinds(&sends);
    if wide.kinds & NUMBER != 0 && wide.values.is_none() {
        wide.kinds |= NUMBER;
    }
    if wide.meet(&kinds(&takes)).is_empty() {
        return Some((
            path,
            format!("is {:#}, and {:#} is taken", kinds(&sends), kinds(&Type::of_schema(taken_root, taken))),
        ));
    }
    if sends.kinds != OBJECT || takes.kinds & OBJECT == 0 {
        return None;
    }
    let properties = sent.get("properties").and_then(SchemaValue::as_object)?;
    let is_open = sent.get("additionalProperties").is_some_and(|more| *more != SchemaValue::Bool(false))
        || ["patternProperties", "anyOf", "oneOf", "allOf"].iter().any(|keyword| sent.get(keyword).is_some());
    for key in takes.keys.keys() {
        let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match properties.get(key) {
            None if is_open => {}
            None => return Some((inner, "is not in it".to_owned())),
            Some(property) => {
                let wanted = taken.get("properties").and_then(|properties| properties.get(key));
                let wanted = wanted.unwrap_or(&SchemaValue::Bool(true));
                let found = misfit_at(sent_root, property, taken_root, wanted, coerced, inner, depth + 1);
                if found.is_some() {
                    return found;
                }
            }
        }
    }
    None
}
