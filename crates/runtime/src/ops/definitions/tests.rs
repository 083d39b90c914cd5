//! Tests of comparing, protecting and applying together: random states, files and refusals.

use proptest::prelude::*;

use super::protect::*;
use super::{Action, Change, Kind, Live, Thing};
use super::{Choices, Error, Found, apply, compare};
use zrecipe_language::topology::{Pattern, topic_matches};
use zrecipe_language::value::{Object, Value};

fn thing(kind: Kind, name: &str, settings: &[(&str, Value)]) -> Thing {
    let mut thing = Thing::new(kind, "z", name, []);
    thing.settings = settings.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    thing
}

fn object(members: &[(&str, Option<&str>)]) -> Value {
    let said = members.iter().filter_map(|(key, value)| Some(((*key).to_owned(), Value::from((*value)?))));
    Value::Object(said.collect::<Object>())
}

const QUEUES: [&str; 6] = ["a", "b", "c", "dlq.a", "dlq.b", "dlq.x"];
const EXCHANGES: [&str; 2] = ["dlx", "other"];

fn letters() -> impl Strategy<Value = (Option<&'static str>, Option<&'static str>)> {
    let exchange = prop_oneof![2 => Just(None), 3 => Just(Some("")), 3 => Just(Some("dlx")), 1 => Just(Some("other"))];
    let key = prop_oneof![
        1 => Just(None), 3 => Just(Some("dlq.a")), 2 => Just(Some("dlq.b")), 1 => Just(Some("dlq.x")), 1 => Just(Some("a"))
    ];
    (exchange, key)
}

fn queue() -> impl Strategy<Value = Thing> {
    (proptest::sample::select(&QUEUES[..]), letters()).prop_map(|(name, (exchange, key))| {
        let key = key.filter(|_| exchange.is_some());
        let arguments = object(&[("x-dead-letter-exchange", exchange), ("x-dead-letter-routing-key", key)]);
        thing(Kind::Queue, name, &[("durable", Value::Bool(true)), ("arguments", arguments)])
    })
}

fn exchange() -> impl Strategy<Value = Thing> {
    let kinds = proptest::sample::select(&["direct", "fanout", "topic"][..]);
    (proptest::sample::select(&EXCHANGES[..]), kinds)
        .prop_map(|(name, kind)| thing(Kind::Exchange, name, &[("type", Value::from(kind))]))
}

fn binding() -> impl Strategy<Value = Thing> {
    let ends = prop_oneof![
        proptest::sample::select(&QUEUES[..]).prop_map(|queue| ("queue", queue)),
        Just(("exchange", "other"))
    ];
    let keys = proptest::sample::select(&["dlq.a", "dlq.b", "dlq.*", "#", "a"][..]);
    (proptest::sample::select(&EXCHANGES[..]), ends, keys).prop_map(|(source, (kind, to), key)| {
        let settings = [("source", source), ("destination", to), ("destination_type", kind), ("routing_key", key)];
        thing(Kind::Binding, "", &settings.map(|(key, value)| (key, Value::from(value))))
    })
}

fn policy() -> impl Strategy<Value = Thing> {
    let names = proptest::sample::select(&["p", "q"][..]);
    let patterns = proptest::sample::select(&[".*", "^a$", "^(?!dlq)", "^[bc]"][..]);
    (names, patterns, letters(), 0..2_i64).prop_map(|(name, pattern, (exchange, key), priority)| {
        let definition = object(&[("dead-letter-exchange", exchange), ("dead-letter-routing-key", key)]);
        let settings = [
            ("pattern", Value::from(pattern)),
            ("apply-to", Value::from("queues")),
            ("priority", Value::from(priority)),
            ("definition", definition),
        ];
        thing(Kind::Policy, name, &settings)
    })
}

/// A broker, or what a file describes.
fn things() -> impl Strategy<Value = Vec<Thing>> {
    use proptest::collection::vec;
    (vec(queue(), 0..7), vec(exchange(), 0..3), vec(binding(), 0..6), vec(policy(), 0..3)).prop_map(
        |(queues, exchanges, bindings, policies)| {
            let mut things: Vec<Thing> = Vec::new();
            for thing in queues.into_iter().chain(exchanges).chain(bindings).chain(policies) {
                if things.iter().all(|known| known.id() != thing.id()) {
                    things.push(thing);
                }
            }
            let there: Vec<Thing> = things.clone();
            things.retain(|thing| thing.kind != Kind::Binding || is_bound(&there, thing));
            things
        },
    )
}

fn is_bound(things: &[Thing], binding: &Thing) -> bool {
    let is_there = |kind, name: &str| things.iter().any(|thing| thing.kind == kind && thing.name == name);
    let kind = if binding.text("destination_type") == "queue" { Kind::Queue } else { Kind::Exchange };
    is_there(Kind::Exchange, binding.text("source")) && is_there(kind, binding.text("destination"))
}

/// Whether a message reaches a queue, found by carrying it there; with any routing key where none is given.
fn arrives(things: &[Thing], exchange: &str, key: Option<&str>, hops: usize) -> bool {
    let find = |kind, name: &str| things.iter().find(|thing| thing.kind == kind && thing.name == name);
    if exchange.is_empty() {
        return key.is_none_or(|key| find(Kind::Queue, key).is_some());
    }
    let Some(source) = find(Kind::Exchange, exchange).filter(|_| hops > 0) else { return false };
    things.iter().filter(|thing| thing.kind == Kind::Binding && thing.text("source") == exchange).any(|binding| {
        let fits = match (source.text("type"), key) {
            ("direct", Some(key)) => binding.text("routing_key") == key,
            ("topic", Some(key)) => topic_matches(binding.text("routing_key"), key),
            _ => true,
        };
        let to = binding.text("destination");
        fits && match binding.text("destination_type") {
            "queue" => find(Kind::Queue, to).is_some(),
            _ => arrives(things, to, key, hops - 1),
        }
    })
}

/// What becomes of a queue's dead letters under each policy that may count: nothing where they are dropped on purpose.
fn fates(things: &[Thing], queue: &Thing) -> Vec<bool> {
    let priority = |thing: &Thing| thing.settings.get("priority").and_then(Value::as_i64);
    let policies: Vec<&Thing> = things
        .iter()
        .filter(|thing| thing.kind == Kind::Policy)
        .filter(|policy| Pattern::new(policy.text("pattern")).matches(&queue.name) == Some(true))
        .collect();
    let greatest = policies.iter().map(|policy| priority(policy)).max().flatten();
    let mut counting: Vec<Option<&Thing>> =
        policies.into_iter().filter(|policy| priority(policy) == greatest).map(Some).collect();
    if counting.is_empty() {
        counting.push(None);
    }
    let fate = |policy: Option<&Thing>| {
        let said = |key: &str| {
            let own = queue.settings.get("arguments")?.get(&format!("x-{key}"));
            own.or_else(|| policy?.settings.get("definition")?.get(key))?.as_str()
        };
        let exchange = said("dead-letter-exchange")?;
        // What comes by the default exchange has the name of its queue as its routing key.
        let key = said("dead-letter-routing-key").or(exchange.is_empty().then_some(queue.name.as_str()));
        Some(arrives(things, exchange, key, 4))
    };
    counting.into_iter().filter_map(fate).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn no_queue_that_stays_dead_letters_into_nothing(
        had in things(),
        described in things(),
        uses in proptest::collection::vec(0..3_i64, 6),
        recreate in proptest::sample::subsequence(vec!["a", "b", "dlq.a", "dlx", "other"], 0..5),
        refusals in proptest::collection::vec(0..4_u8, 40),
    ) {
        let found = had.iter().map(|thing| {
            let place = QUEUES.iter().position(|name| thing.kind == Kind::Queue && *name == thing.name);
            let messages = place.map_or(0, |place| (uses[place] - 1).max(0));
            Found { thing: thing.clone(), messages, consumers: 0, is_temporary: false, key: String::new() }
        });
        let live = Live { things: found.collect(), login: String::new(), types: None };
        let recreate = recreate.iter().map(|name| (*name).to_owned()).collect();
        let choices = Choices { recreate, remove: Vec::new(), discard_messages: false };
        let mut changes = compare(&described, &live, &choices);
        protect(&mut changes, &live);
        let mut has = had.clone();
        let mut tried = 0;
        let make = async |change: &Change| {
            let is_refused = !change.is_repair && refusals[tried % refusals.len()] == 0;
            tried += 1;
            let thing = change.thing.clone();
            if is_refused || (thing.kind == Kind::Binding && change.action == Action::Create && !is_bound(&has, &thing)) {
                return Err(Error::InUse);
            }
            has.retain(|other| other.id() != thing.id());
            let goes = matches!(change.action, Action::Remove | Action::Recreate);
            if change.action != Action::Remove {
                has.push(thing.clone());
            }
            if goes && thing.kind != Kind::Binding {
                // Bindings go with their ends, and a new thing has none.
                let touches = |binding: &Thing| [binding.text("source"), binding.text("destination")].contains(&&*thing.name);
                has.retain(|other| other.kind != Kind::Binding || !touches(other));
            }
            Ok(())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(apply(&mut changes, &live, make, |_| {}));
        for queue in has.iter().filter(|thing| thing.kind == Kind::Queue) {
            let Some(before) = had.iter().find(|thing| thing.id() == queue.id()) else { continue };
            let is_wanted = described.contains(queue) && fates(&described, queue).is_empty();
            let was_safe = !fates(&had, before).is_empty() && !fates(&had, before).contains(&false);
            if !was_safe || is_wanted && fates(&has, queue).is_empty() {
                continue;
            }
            let fates = fates(&has, queue);
            prop_assert!(!fates.is_empty() && !fates.contains(&false), "{}: {fates:?}\n{has:#?}\n{changes:#?}", queue.name);
        }
    }
}
