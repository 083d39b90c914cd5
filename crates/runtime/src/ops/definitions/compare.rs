//! The differences between what a broker should have and what it has, and what holds them back.

use std::collections::{HashMap, HashSet};

use super::protect::ranks;
use super::{Action, Change, Choices, Found, Hold, Id, Kind, Lack, Live, Progress, Thing};
use zrecipe_language::value::Value;

/// The differences, in the order in which they are dealt with: what is missing first, then what is too much.
pub fn compare(wanted: &[Thing], live: &Live, choices: &Choices) -> Vec<Change> {
    let known: HashMap<Id<'_>, &Found> = live.things.iter().map(|found| (found.thing.id(), found)).collect();
    let ids: HashSet<Id<'_>> = wanted.iter().map(Thing::id).collect();
    let change = |action, thing: &Thing, before: Option<&Found>, hold| Change {
        action,
        thing: thing.clone(),
        password: before.is_some_and(|before| before.thing.password != thing.password),
        key: before.map_or(String::new(), |before| before.key.clone()),
        before: before.filter(|_| action != Action::Remove).map(|before| before.thing.clone()),
        hold,
        progress: Progress::Planned,
        is_repair: false,
        may_discard: choices.discard_messages
            && [&choices.recreate, &choices.remove].iter().any(|names| names.contains(&thing.name)),
    };
    let in_use = |messages, consumers| (messages > 0 || consumers > 0).then_some(Hold::InUse { messages, consumers });
    let mut changes = Vec::new();
    for thing in wanted {
        match known.get(&thing.id()) {
            None => changes.push(change(Action::Create, thing, None, None)),
            Some(found) if found.thing.equals(thing) => {}
            Some(found) if thing.kind < Kind::Queue => {
                changes.push(change(Action::Update, thing, Some(found), None));
            }
            Some(found) => {
                let is_chosen = choices.recreate.contains(&thing.name);
                let use_of = in_use(found.messages, found.consumers).filter(|_| !choices.discard_messages);
                let hold = if is_chosen { use_of } else { Some(Hold::Immutable) };
                changes.push(change(Action::Recreate, thing, Some(found), hold));
            }
        }
    }
    let is_managed = |kind: Kind| kind > Kind::Permission || wanted.iter().any(|thing| thing.kind == kind);
    let is_extra =
        |found: &&Found| is_managed(found.thing.kind) && !found.is_temporary && !ids.contains(&found.thing.id());
    let extra: Vec<&Found> = live.things.iter().filter(is_extra).collect();
    let is_going = |kind, vhost: &str, name: &str| {
        extra.iter().any(|found| (found.thing.kind, &*found.thing.vhost, &*found.thing.name) == (kind, vhost, name))
    };
    let mut removals = Vec::new();
    for found in extra.iter().copied() {
        let Thing { kind, vhost, name, .. } = &found.thing;
        // With a virtual host goes all that is in it.
        if is_going(Kind::Vhost, "", vhost) {
            continue;
        }
        if *kind == Kind::Binding && !is_permanent(&found.thing, live) {
            continue;
        }
        let (messages, consumers) = if *kind == Kind::Vhost {
            let inside = live.things.iter().filter(|inside| inside.thing.vhost == *name);
            inside.fold((0, 0), |sum, inside| (sum.0 + inside.messages, sum.1 + inside.consumers))
        } else {
            (found.messages, found.consumers)
        };
        let is_told_twice = choices.discard_messages && choices.remove.contains(name);
        let hold = match kind {
            Kind::User if *name == live.login => Some(Hold::Own),
            _ => in_use(messages, consumers).filter(|_| !is_told_twice),
        };
        removals.push(change(Action::Remove, &found.thing, Some(found), hold));
    }
    // The broker grants everything to whoever makes a virtual host.
    let makes = |change: &&Change| change.action == Action::Create && change.thing.kind == Kind::Vhost;
    for made in changes.iter().filter(makes).filter(|_| is_managed(Kind::Permission)) {
        let granted = Thing::new(Kind::Permission, &made.thing.name, &live.login, []);
        if !ids.contains(&granted.id()) {
            removals.push(change(Action::Remove, &granted, None, None));
        }
    }
    let goes = |change: &Change| change.hold.is_none() && matches!(change.action, Action::Remove | Action::Recreate);
    let touches = |binding: &Thing, change: &Change| {
        let end = match change.thing.kind {
            Kind::Queue => {
                binding.text("destination_type") == "queue" && binding.text("destination") == change.thing.name
            }
            Kind::Exchange => {
                let is_end = binding.text("destination_type") == "exchange";
                binding.text("source") == change.thing.name
                    || is_end && binding.text("destination") == change.thing.name
            }
            _ => false,
        };
        end && binding.vhost == change.thing.vhost
    };
    // Bindings go with what they are bound to, and come back with it.
    let gone: Vec<Change> = changes.iter().chain(&removals).filter(|change| goes(change)).cloned().collect();
    let is_gone = |binding: &Thing| gone.iter().any(|change| touches(binding, change));
    let to_go: HashSet<Id<'_>> = extra.iter().map(|found| found.thing.id()).collect();
    for found in live.things.iter().filter(|found| found.thing.kind == Kind::Binding) {
        let returns = |change: &Change| change.action == Action::Recreate || !touches(&found.thing, change);
        let is_kept = ids.contains(&found.thing.id()) || !to_go.contains(&found.thing.id());
        let is_own = found.thing.text("source").is_empty();
        if is_gone(&found.thing)
            && gone.iter().all(returns)
            && is_kept
            && !is_own
            && !is_to_temporary(&found.thing, live)
        {
            changes.push(change(Action::Create, &found.thing, None, None));
        }
    }
    removals.retain(|change| change.thing.kind != Kind::Binding || !is_gone(&change.thing));
    // Whoever changes his own password does that last.
    let is_own = |change: &Change| change.thing.kind == Kind::User && change.thing.name == live.login;
    // A policy must not send dead letters where nothing is yet.
    let is_last = |change: &Change| change.thing.kind == Kind::Policy && leads_letters(change);
    changes.sort_by(|a, b| {
        let key = |change: &Change| (is_own(change), is_last(change), change.thing.kind);
        (key(a), &a.thing.vhost).cmp(&(key(b), &b.thing.vhost))
    });
    // What is needed by what is removed goes after it: one or the other may stay.
    let ranks = ranks(&removals, live);
    let mut removals: Vec<(usize, Change)> = ranks.into_iter().zip(removals).collect();
    removals.sort_by(|(rank_a, a), (rank_b, b)| {
        (rank_a, b.thing.kind, &a.thing.vhost, &a.thing.name).cmp(&(
            rank_b,
            a.thing.kind,
            &b.thing.vhost,
            &b.thing.name,
        ))
    });
    let removals = removals.into_iter().map(|(_, change)| change);
    let own = changes.iter().position(is_own).map(|at| changes.remove(at));
    changes.into_iter().chain(removals).chain(own).collect()
}

/// Whether a policy says where dead letters go, or said so before.
fn leads_letters(change: &Change) -> bool {
    let definition = |thing: &Thing| thing.settings.get("definition").and_then(Value::as_object).cloned();
    let definitions = change.before.iter().chain([&change.thing]).filter_map(definition);
    definitions.into_iter().any(|definition| definition.keys().any(|key| key.starts_with("dead-letter-")))
}

/// Holds back what a broker would refuse for one and the same reason, and says what it lacks.
pub fn hold_back(changes: &mut [Change], live: &Live) -> Vec<Lack> {
    let is_there = |name: &str| {
        let is_it = |thing: &Thing| thing.kind == Kind::Vhost && thing.name == name;
        live.things.iter().any(|found| is_it(&found.thing)) || changes.iter().any(|change| is_it(&change.thing))
    };
    let is_made = |change: &Change| change.hold.is_none() && change.action != Action::Remove;
    let is_unknown = |kind: &str| live.types.as_ref().is_some_and(|types| types.iter().all(|known| known != kind));
    let unmade: HashMap<(String, String), String> = changes
        .iter()
        .filter(|change| is_made(change) && change.thing.kind == Kind::Exchange)
        .filter(|change| is_unknown(change.thing.text("type")))
        .map(|change| {
            let Thing { vhost, name, .. } = &change.thing;
            ((vhost.clone(), name.clone()), change.thing.text("type").to_owned())
        })
        .collect();
    let type_of = |thing: &Thing| {
        let ends: &[&str] = match thing.kind {
            Kind::Exchange => &[&thing.name],
            Kind::Binding if thing.text("destination_type") == "exchange" => {
                &[thing.text("source"), thing.text("destination")]
            }
            Kind::Binding => &[thing.text("source")],
            _ => &[],
        };
        ends.iter().find_map(|end| unmade.get(&(thing.vhost.clone(), (*end).to_owned())).cloned())
    };
    let lacks = changes.iter().map(|change| match &change.thing {
        _ if !is_made(change) => None,
        thing if !thing.vhost.is_empty() && !is_there(&thing.vhost) => Some((Hold::NoVhost, thing.vhost.clone())),
        thing => type_of(thing).map(|kind| (Hold::NoType, kind)),
    });
    let lacks: Vec<_> = lacks.collect();
    let mut found: Vec<Lack> = Vec::new();
    for (change, lack) in changes.iter_mut().zip(lacks) {
        let Some((hold, what)) = lack else { continue };
        change.hold = Some(hold.clone());
        match found.iter_mut().find(|lack| (&lack.hold, &lack.what) == (&hold, &what)) {
            Some(lack) => lack.changes += 1,
            None => found.push(Lack { what, hold, changes: 1 }),
        }
    }
    found
}

/// Whether a binding is one that is removed when nobody describes it: one to a queue that stays by itself.
fn is_permanent(binding: &Thing, live: &Live) -> bool {
    let queue = live.named(Kind::Queue, &binding.vhost, binding.text("destination"));
    binding.text("destination_type") == "queue" && queue.is_some_and(|queue| !queue.is_temporary)
}

fn is_to_temporary(binding: &Thing, live: &Live) -> bool {
    let queue = live.named(Kind::Queue, &binding.vhost, binding.text("destination"));
    binding.text("destination_type") == "queue" && queue.is_some_and(|queue| queue.is_temporary)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::read::{found, wanted};
    use super::*;
    use zrecipe_language::source::Source;
    use zrecipe_language::syntax::json::read_value;
    use zrecipe_language::syntax::yaml;
    use zrecipe_language::topology;

    const DESCRIBED: &str = "
policies:
- {name: redelivery, vhost: z, pattern: .*, definition: {delivery-limit: 5}}
exchanges:
- {name: results, vhost: z, type: topic, durable: true}
bindings:
- {source: results, destination: images, routing_key: a, vhost: z}
groups:
- {names: [images], vhost: z}
";

    /// What the broker has: as described, and what comes and goes by itself.
    const HAS: &[(Kind, &str)] = &[
        (Kind::Vhost, r#"{"name": "/"}"#),
        (Kind::Vhost, r#"{"name": "z", "metadata": {"description": "", "tags": []}, "tracing": false}"#),
        (
            Kind::Policy,
            r#"{"name": "redelivery", "vhost": "z", "pattern": ".*", "apply-to": "queues", "priority": 0,
                "definition": {"delivery-limit": 5}}"#,
        ),
        (Kind::Queue, r#"{"name": "images", "vhost": "z", "durable": true, "auto_delete": false, "arguments": {}}"#),
        (Kind::Queue, r#"{"name": "amq.gen-x", "vhost": "z", "exclusive": true, "consumers": 1}"#),
        (Kind::Queue, r#"{"name": "mine", "vhost": "z", "auto_delete": true, "messages": 3}"#),
        (Kind::Queue, r#"{"name": "zrecipe.delay.5000", "vhost": "z", "durable": true, "messages": 3}"#),
        (Kind::Exchange, r#"{"name": "zrecipe.delay.5000", "vhost": "z", "type": "topic", "durable": true}"#),
        (
            Kind::Binding,
            r##"{"source": "zrecipe.delay.5000", "vhost": "z", "destination": "zrecipe.delay.5000",
                "destination_type": "queue", "routing_key": "#", "arguments": {}, "properties_key": "%23"}"##,
        ),
        (
            Kind::Exchange,
            r#"{"name": "results", "vhost": "z", "type": "topic", "durable": true, "auto_delete": false,
                "internal": false, "arguments": {}}"#,
        ),
        (Kind::Exchange, r#"{"name": "", "vhost": "z", "type": "direct"}"#),
        (Kind::Exchange, r#"{"name": "amq.topic", "vhost": "z", "type": "topic"}"#),
        (
            Kind::Binding,
            r#"{"source": "results", "vhost": "z", "destination": "images", "destination_type": "queue",
                "routing_key": "a", "arguments": {}, "properties_key": "a"}"#,
        ),
        (
            Kind::Binding,
            r#"{"source": "", "vhost": "z", "destination": "images", "destination_type": "queue",
                "routing_key": "images", "arguments": {}}"#,
        ),
        (
            Kind::Binding,
            r#"{"source": "results", "vhost": "z", "destination": "mine", "destination_type": "queue",
                "routing_key": "b", "arguments": {}}"#,
        ),
    ];

    fn has(more: &[(Kind, &str)]) -> Live {
        let read = |(kind, text): &(Kind, &str)| found(*kind, &read_value(text.as_bytes()).expect("JSON"));
        // What comes later is in place of what is there.
        let mut things: Vec<Found> = Vec::new();
        for new in HAS.iter().chain(more).map(read) {
            things.retain(|old| old.thing.id() != new.thing.id());
            things.push(new);
        }
        Live { things, login: "guest".to_owned(), types: Some(vec!["topic".to_owned(), "fanout".to_owned()]) }
    }

    fn changes(text: &str, live: &Live, choices: &Choices) -> Vec<String> {
        let tree = yaml::parse(Arc::new(Source::from_text("broker.yml", text)));
        let show = |change: &Change| {
            let hold = change.hold.as_ref().map_or(String::new(), |hold| format!(" {hold:?}"));
            format!("{} {} {}{hold}", change.action.name(), change.thing.kind.name(), change.thing.name)
        };
        compare(&wanted(&topology::read(&tree), &[], live), live, choices).iter().map(show).collect()
    }

    #[test]
    fn what_is_as_described_stays() {
        assert_eq!(changes(DESCRIBED, &has(&[]), &Choices::default()), Vec::<String>::new());
    }

    #[test]
    fn differences_are_found_and_messages_kept() {
        const QUORUM: &str = r#"{"name": "images", "vhost": "z", "durable": true, "auto_delete": false,
            "arguments": {"x-queue-type": "quorum"}, "messages": 2}"#;
        const DIRECT: &str = r#"{"name": "results", "vhost": "z", "type": "direct", "durable": true,
            "auto_delete": false, "internal": false, "arguments": {}}"#;
        const FULL: &str = r#"{"name": "old", "vhost": "z", "messages": 1}"#;
        const EMPTY: &str = r#"{"name": "old", "vhost": "z"}"#;
        let choices = |recreate: &[&str], remove: &[&str], discard_messages| {
            let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Choices { recreate: names(recreate), remove: names(remove), discard_messages }
        };
        let none = choices(&[], &[], false);
        let again = "create binding results to queue images by `a`";
        for (more, choices, expected) in [
            (&[(Kind::Queue, EMPTY)][..], &none, &["remove queue old"][..]),
            (&[(Kind::Queue, FULL)], &none, &["remove queue old InUse { messages: 1, consumers: 0 }"]),
            (
                &[(Kind::Queue, FULL)],
                &choices(&[], &["old"], false),
                &["remove queue old InUse { messages: 1, consumers: 0 }"],
            ),
            (
                &[(Kind::Queue, FULL)],
                &choices(&[], &["other"], true),
                &["remove queue old InUse { messages: 1, consumers: 0 }"],
            ),
            (&[(Kind::Queue, FULL)], &choices(&[], &["old"], true), &["remove queue old"]),
            (&[(Kind::Queue, QUORUM)], &none, &["recreate queue images Immutable"]),
            (
                &[(Kind::Queue, QUORUM)],
                &choices(&["images"], &[], false),
                &["recreate queue images InUse { messages: 2, consumers: 0 }"],
            ),
            (&[(Kind::Queue, QUORUM)], &choices(&["images"], &[], true), &["recreate queue images", again]),
            (&[(Kind::Exchange, DIRECT)], &none, &["recreate exchange results Immutable"]),
            (&[(Kind::Exchange, DIRECT)], &choices(&["results"], &[], false), &["recreate exchange results", again]),
            (&[(Kind::Policy, r#"{"name": "redelivery", "vhost": "z"}"#)], &none, &["update policy redelivery"]),
            (&[(Kind::Policy, r#"{"name": "odd", "vhost": "z"}"#)], &none, &["remove policy odd"]),
            (
                &[(
                    Kind::Binding,
                    r#"{"source": "results", "vhost": "z", "destination": "images", "destination_type": "queue",
                        "routing_key": "b", "arguments": {}}"#,
                )],
                &none,
                &["remove binding results to queue images by `b`"],
            ),
            // Nobody describes any of these, so they are nobody's business.
            (&[(Kind::Vhost, r#"{"name": "other"}"#), (Kind::User, r#"{"name": "bob"}"#)], &none, &[]),
        ] {
            assert_eq!(changes(DESCRIBED, &has(more), choices), expected, "{more:?} {choices:?}");
        }
    }

    #[test]
    fn what_a_broker_lacks_is_said_once() {
        let more = "
exchanges:
- {name: delayed, vhost: z, type: x-delayed-message, durable: true}
bindings:
- {source: delayed, destination: images, routing_key: images, vhost: z}
- {source: delayed, destination: index, routing_key: index, vhost: z}
groups:
- {names: [images, index], vhost: z}
- {names: [other, more], vhost: nosuch}
";
        let lack = |what: &str, hold: Hold, changes| Lack { what: what.to_owned(), hold, changes };
        let live = has(&[]);
        let described = |vhosts: &str| {
            let text = format!("{vhosts}{more}");
            let tree = yaml::parse(Arc::new(Source::from_text("broker.yml", text.as_str())));
            let mut changes = compare(&wanted(&topology::read(&tree), &[], &live), &live, &Choices::default());
            let lacks = hold_back(&mut changes, &live);
            let held = changes.iter().filter(|change| matches!(change.hold, Some(Hold::NoVhost | Hold::NoType)));
            let index = |change: &&Change| change.thing.kind == Kind::Queue && change.thing.name == "index";
            assert_eq!(changes.iter().find(index).map(|change| &change.hold), Some(&None));
            assert_eq!(held.count(), lacks.iter().map(|lack| lack.changes).sum::<usize>());
            lacks
        };
        let [plug_in, vhost] = [lack("x-delayed-message", Hold::NoType, 3), lack("nosuch", Hold::NoVhost, 2)];
        assert_eq!(described(""), [vhost, plug_in.clone()]);
        assert_eq!(described("vhosts: [{name: /}, {name: z}, {name: nosuch}]"), [plug_in]);
    }

    #[test]
    fn virtual_hosts_go_with_what_is_in_them_and_only_empty() {
        let text = format!(
            "vhosts: [{{name: z}}, {{name: new}}]\npermissions: [{{vhost: z, user: a, configure: '', write: '', read: ''}}]{DESCRIBED}"
        );
        let permissions = "create permissions a";
        let granted = "remove permissions guest";
        for (inside, expected) in [
            (
                r#"{"name": "old", "vhost": "other", "durable": true}"#,
                vec!["create virtual host new", permissions, granted, "remove virtual host other"],
            ),
            (
                r#"{"name": "old", "vhost": "other", "durable": true, "messages": 1}"#,
                vec![
                    "create virtual host new",
                    permissions,
                    granted,
                    "remove virtual host other InUse { messages: 1, consumers: 0 }",
                ],
            ),
        ] {
            let live = has(&[(Kind::Vhost, r#"{"name": "other"}"#), (Kind::Queue, inside)]);
            assert_eq!(changes(&text, &live, &Choices::default()), expected, "{inside}");
        }
    }
}
