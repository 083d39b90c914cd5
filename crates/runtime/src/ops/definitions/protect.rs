//! Judges the state that the sum of all changes leaves behind: what stays keeps what it needs.
//!
//! A queue that stays against the configuration (it is in use, or cannot be changed) keeps everything on the way of its
//! dead letters: their queue, exchanges, bindings and the policy that names them. No queue that stays may have dead
//! letters that reach no queue, if they reached one before, unless the configuration wants a queue without dead letters.
//! A virtual host that stays keeps the users who have permissions in it.

use std::collections::HashSet;

use super::routes::{Route, State, counts, goes_with};
use super::{Action, Change, Hold, Id, Kind, Live, Progress, Thing};

/// What to do about something that would be taken away.
enum Remedy {
    /// The change at this place is not made.
    Hold(usize, Hold),
    /// The change at this place has been made, and is undone.
    Undo(usize),
    /// The binding goes with something that is deleted and created again, and is created once more.
    Bind(Box<Thing>),
}

/// Holds back the changes that would take away what something that stays needs. Adds changes that restore what has been
/// taken away already: that was right until another change failed.
pub fn protect(changes: &mut Vec<Change>, live: &Live) {
    loop {
        let remedies = remedies(changes, live);
        if remedies.is_empty() {
            return;
        }
        let mut repairs = Vec::new();
        for remedy in remedies {
            match remedy {
                Remedy::Hold(at, hold) => changes[at].hold = Some(hold),
                Remedy::Undo(at) => {
                    repairs.extend(undo(&changes[at], live));
                    changes[at].progress = Progress::Undone;
                }
                Remedy::Bind(binding) => repairs.push(repair(Action::Create, &binding, None, "")),
            }
        }
        let is_removal = |change: &Change| change.action == Action::Remove && is_to_do(change);
        let at = changes.iter().position(is_removal).unwrap_or(changes.len());
        changes.splice(at..at, repairs);
    }
}

fn is_to_do(change: &Change) -> bool {
    change.progress == Progress::Planned && change.hold.is_none()
}

fn remedies(changes: &[Change], live: &Live) -> Vec<Remedy> {
    let now = State::of(live);
    let after = State::after(live, changes, Change::counts);
    let meant = State::after(live, changes, |change| !change.is_repair);
    let temporary: HashSet<Id<'_>> =
        live.things.iter().filter(|found| found.is_temporary).map(|found| found.thing.id()).collect();
    for queue in after.all(Kind::Queue) {
        let described = meant.find(queue);
        let before = now.find(queue);
        let is_kept = before.is_some() && (described != Some(queue) || temporary.contains(&queue.id()));
        let led = before.map(|before| now.routes(before)).unwrap_or_default();
        let led: Vec<Route<'_>> = led.into_iter().filter(|route| !now.way(route).is_empty()).collect();
        let lead = after.routes(queue);
        let is_wish = lead.is_empty() && !is_kept && described.is_none_or(|queue| meant.routes(queue).is_empty());
        // Where letters come to keep their own routing keys, it is unknown whether they take the bindings that there are.
        let is_unsure = |route: &Route<'_>| is_kept && route.keeps_key() && !led.contains(route);
        let lead_nowhere = lead.is_empty() || lead.iter().any(|route| is_unsure(route) || after.way(route).is_empty());
        let could_lead = !led.is_empty() || lead.iter().any(|route| !now.way(route).is_empty());
        let is_cut = lead_nowhere && could_lead && !is_wish;
        let routes: Vec<&Route<'_>> = if is_cut {
            led.iter().chain(&lead).collect()
        } else if is_kept {
            led.iter().filter(|route| lead.contains(route)).collect()
        } else {
            continue;
        };
        let way: HashSet<Id<'_>> = routes.into_iter().flat_map(|route| now.way(route)).map(Thing::id).collect();
        let has_gone = |change: &Change| way.contains(&change.thing.id()) && after.find(&change.thing).is_none();
        let takes = |change: &Change| change.action == Action::Remove && has_gone(change);
        let mut found = find(changes, takes, queue);
        if found.is_empty() {
            let lost = now.all(Kind::Binding).filter(|binding| way.contains(&binding.id()));
            let lost = lost.filter(|binding| after.find(binding).is_none() && after.has_ends(binding));
            // One that could not be created is not tried again.
            let is_tried =
                |binding: &Thing| changes.iter().any(|change| change.is_repair && change.thing.id() == binding.id());
            let lost = lost.filter(|binding| !is_tried(binding));
            found = lost.map(|binding| Remedy::Bind(Box::new(binding.clone()))).collect();
        }
        if found.is_empty() && is_cut {
            let governs = |change: &Change| {
                change.thing.kind == Kind::Policy
                    && change.before.iter().chain([&change.thing]).any(|policy| counts(policy, queue))
            };
            found = find(changes, governs, queue);
        }
        if found.is_empty() && is_cut {
            let is_meant = |thing: &Thing| way.contains(&thing.id()) || thing.id() == queue.id();
            let replaces = |change: &Change| change.action == Action::Recreate && is_meant(&change.thing);
            found = find(changes, replaces, queue);
        }
        if !found.is_empty() {
            return found;
        }
    }
    for vhost in after.all(Kind::Vhost).filter(|vhost| meant.find(vhost).is_none()) {
        let rights = now.all(Kind::Permission).filter(|rights| rights.vhost == vhost.name);
        let users: HashSet<&str> = rights.map(|rights| rights.name.as_str()).collect();
        let takes = |change: &Change| {
            change.action == Action::Remove
                && change.thing.kind == Kind::User
                && users.contains(change.thing.name.as_str())
        };
        let found = find(changes, takes, vhost);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// What to do about those changes that take away what something needs, where they are made or are to be made.
fn find(changes: &[Change], takes: impl Fn(&Change) -> bool, needing: &Thing) -> Vec<Remedy> {
    let counting = changes.iter().enumerate().filter(|(_, change)| change.counts() && !change.is_repair);
    let remedy = |(at, change): (usize, &Change)| match change.progress {
        Progress::Made => Remedy::Undo(at),
        _ => Remedy::Hold(at, Hold::Needed { kind: needing.kind, name: needing.name.clone() }),
    };
    counting.filter(|(_, change)| takes(change)).map(remedy).collect()
}

fn repair(action: Action, thing: &Thing, before: Option<&Thing>, key: &str) -> Change {
    Change {
        action,
        thing: thing.clone(),
        before: before.cloned(),
        hold: None,
        password: false,
        progress: Progress::Planned,
        is_repair: true,
        key: key.to_owned(),
        may_discard: false,
    }
}

/// The changes that take a change back. With a queue or an exchange come the bindings that went with it.
fn undo(change: &Change, live: &Live) -> Vec<Change> {
    let repair = |action, thing: &Thing, before: Option<&Thing>| repair(action, thing, before, &change.key);
    let thing = &change.thing;
    let went_with_it = live.things.iter().map(|found| &found.thing).filter(|binding| goes_with(binding, thing));
    let bindings = went_with_it.map(|binding| repair(Action::Create, binding, None));
    match (&change.before, change.action) {
        (Some(before), Action::Recreate) => {
            std::iter::once(repair(Action::Recreate, before, Some(thing))).chain(bindings).collect()
        }
        (Some(before), _) => vec![repair(Action::Update, before, Some(thing))],
        (None, Action::Remove) => std::iter::once(repair(Action::Create, thing, None)).chain(bindings).collect(),
        (None, _) => vec![repair(Action::Remove, thing, None)],
    }
}

/// How many of the things that are removed must be removed before each of these: a queue goes before what its dead letters
/// need.
pub(super) fn ranks(removals: &[Change], live: &Live) -> Vec<usize> {
    let now = State::of(live);
    let going: Vec<Id<'_>> = removals.iter().map(|change| change.thing.id()).collect();
    let needs = |change: &Change| -> Vec<usize> {
        let Some(queue) = now.find(&change.thing).filter(|thing| thing.kind == Kind::Queue) else { return Vec::new() };
        let way: HashSet<Id<'_>> = now.routes(queue).iter().flat_map(|route| now.way(route)).map(Thing::id).collect();
        let is_needed = |at: usize| way.contains(&going[at]) || counts(&removals[at].thing, queue);
        (0..going.len()).filter(|at| is_needed(*at)).collect()
    };
    let needs: Vec<Vec<usize>> = removals.iter().map(needs).collect();
    let mut ranks = vec![0; removals.len()];
    // Where queues are each other's dead-letter queues there is no such order, and this ends all the same.
    for _ in 0..removals.len() {
        let mut is_changed = false;
        for (at, needed) in needs.iter().enumerate() {
            for other in needed.iter().copied().filter(|other| *other != at) {
                let rank = (ranks[at] + 1).min(removals.len());
                is_changed |= ranks[other] < rank;
                ranks[other] = ranks[other].max(rank);
            }
        }
        if !is_changed {
            break;
        }
    }
    ranks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Choices, Error, Found, apply, compare};
    use super::*;
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
        let exchange =
            prop_oneof![2 => Just(None), 3 => Just(Some("")), 3 => Just(Some("dlx")), 1 => Just(Some("other"))];
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
}
