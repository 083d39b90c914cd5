//! Broker configurations, broken in the way a rule is about: the rule speaks, at that place; unbroken, it is silent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use zrecipe::compile::{Options, compile};
use zrecipe::document::DocumentKind;
use zrecipe::source::Source;
use zrecipe::syntax;
use zrecipe::topology::Pattern;

use crate::mutations::{Broken, Tried, missed, text, textual, try_all, with};

/// A rule and the ways to break a configuration that it is about.
pub const MUTATIONS: &[Tried<Broken>] = &[
    ("ambiguous-policy", |broker| {
        let twin = |policy: &Value| json!({"name": "twin", "vhost": policy["vhost"], "pattern": policy["pattern"], "definition": {"expires": 1}});
        items(broker, "policies").take(1).map(|policy| add(broker, "policies", twin(policy), "\"twin\"")).collect()
    }),
    ("default-exchange-binding", |broker| {
        let bind = |group: &Value| json!({"source": "", "destination": group["names"][0], "routing_key": "other", "vhost": group["vhost"]});
        items(broker, "groups").map(|group| add(broker, "bindings", bind(group), "\"\"")).collect()
    }),
    ("duplicate-declaration", |broker| {
        let twice = |group: &Value| add(broker, "groups", group.clone(), &group["names"][0].to_string());
        items(broker, "groups").map(twice).collect()
    }),
    ("empty-policy", |broker| each(broker, "policies", "{}", |policy| policy["definition"] = json!({}))),
    ("limited-dead-letters", |broker| textual(broker, "^(?!dlq[.])", ".*", ".*")),
    ("malformed-pattern", |broker| {
        let mut broken = each(broker, "policies", "*", |policy| policy["pattern"] = json!("*"));
        broken.extend(textual(broker, "dlq.{name}", "dlq.{queue}", "{queue}"));
        broken
    }),
    ("malformed-topology", |broker| {
        let mut broken = each(broker, "groups", "5", |group| group["vhost"] = json!(5));
        broken.extend(textual(broker, "\"quorum\"", "\"quorun\"", "\"quorun\""));
        broken.extend(textual(broker, "\"policies\":", "\"polices\":", "{"));
        broken
    }),
    ("missing-dead-letter-queue", |broker| {
        let key = "\"dead-letter-routing-key-pattern\":";
        textual(broker, key, &format!("\"dead-letter-queue-create\":false,{key}"), "\"dlq.{name}\"")
    }),
    ("refused-name", |broker| each(broker, "groups", "amq.mine", |group| group["names"][0] = json!("amq.mine"))),
    ("transient-exchange", |broker| {
        each(broker, "exchanges", "", |exchange| {
            exchange.as_object_mut().map(|exchange| exchange.remove("durable"));
        })
    }),
    ("undeclared-exchange", |broker| {
        each(broker, "groups", "nowhere", |group| {
            group["bindings"] = json!(["nowhere"]);
            group["settings"]["broadcast"] = json!(false);
        })
    }),
    ("undeclared-queue", |broker| {
        let bind = json!({"source": "amq.direct", "destination": "nowhere", "vhost": broker["groups"][0]["vhost"]});
        vec![add(broker, "bindings", bind, "\"nowhere\"")]
    }),
    ("undeclared-vhost", |broker| {
        vec![with(broker, "vhosts", json!([{"name": "elsewhere"}]), &broker["groups"][0]["vhost"].to_string())]
    }),
    ("unmatched-policy", |broker| {
        let policy = json!({"name": "idle", "vhost": "zocalo", "pattern": "^nothing$", "definition": {"expires": 1}});
        vec![add(broker, "policies", policy, "^nothing$")]
    }),
    ("unread-setting", |broker| textual(broker, "\"settings\":", "\"setings\":", "\"setings\"")),
    ("unsupported-setting", |broker| {
        let pattern = "\"dead-letter-routing-key-pattern\":\"dlq.{name}\",\"type\":";
        textual(broker, &format!("{pattern}\"quorum\""), &format!("{pattern}\"stream\""), "\"dlq.{name}\"")
    }),
];

/// Nothing is to be said about this one.
const SOUND: &str = r#"{
  "policies": [
    { "name": "redelivery", "vhost": "zocalo", "pattern": "^(?!dlq[.])", "definition": { "delivery-limit": 5 } }
  ],
  "exchanges": [
    { "name": "delayed", "vhost": "zocalo", "type": "x-delayed-message", "durable": true, "arguments": { "x-delayed-type": "direct" } }
  ],
  "groups": [
    {
      "names": ["images", "trigger"],
      "settings": { "queues": { "type": "quorum", "dead-letter-routing-key-pattern": "dlq.{name}" } },
      "bindings": ["", "delayed"],
      "vhost": "zocalo"
    },
    { "names": ["command"], "settings": { "broadcast": true }, "vhost": "zocalo" }
  ],
  "bindings": [{ "source": "delayed", "destination": "images", "routing_key": "pictures", "vhost": "zocalo" }]
}"#;

fn items<'v>(broker: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    broker[key].as_array().expect("is a list").iter()
}

/// The configuration with one more item in a list.
fn add(broker: &Value, key: &str, item: Value, place: &str) -> Broken {
    let mut list = broker[key].as_array().cloned().unwrap_or_default();
    list.push(item);
    with(broker, key, list.into(), place)
}

/// One broken configuration for every item of a list, with that item changed.
fn each(broker: &Value, key: &str, place: &str, change: impl Fn(&mut Value)) -> Vec<Broken> {
    let broken = (0..items(broker, key).count()).map(|at| {
        let mut changed = broker.clone();
        change(&mut changed[key][at]);
        text(changed.to_string(), place)
    });
    broken.collect()
}

/// The configuration of a facility, in the style of the public example.
const FACILITY: &str = include_str!("../facility/broker.yml");

/// A sound configuration, and that of a facility.
fn brokers() -> BTreeMap<PathBuf, Value> {
    let read = |name: &str, text: &str| {
        let tree = syntax::parse(Arc::new(Source::from_text(name, text)));
        // Keys in the order of the alphabet, so that texts can be looked for.
        let value = serde_json::from_str(&tree.root().to_value().to_json()).expect("is JSON");
        (PathBuf::from(name), sorted(value))
    };
    BTreeMap::from([read("sound.json", SOUND), read("facility.yml", FACILITY)])
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<String, Value> =
                members.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

#[test]
fn every_configuration_broken_in_every_way_is_found_out() {
    try_all(MUTATIONS, &brokers(), |rule, Broken { bytes, place }| {
        let source = Arc::new(Source::from_bytes("broken.json", bytes));
        missed(rule, &compile(source, Options::default()), &place)
    });
}

/// Pieces of configurations.
const PIECES: &[&str] = &[
    "policies:",
    "exchanges:",
    "groups:",
    "bindings:",
    "vhosts:",
    "permissions:",
    "names:",
    "settings:",
    "queues:",
    "definition:",
    "\n",
    "\n- ",
    "\n  ",
    "\n    ",
    " ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    ": ",
    "name: a",
    "vhost: /",
    "pattern: '",
    "'",
    "*",
    "(",
    "\\",
    "é",
    "😀",
    "type: stream",
    "type: quorum",
    "dead-letter-routing-key-pattern: 'dlq.{name}'",
    "dead-letter-exchange: ''",
    "{name",
    "{a!r:5}",
    "source: ''",
    "destination: a",
    "destination_type: e",
    "apply-to: all",
    "priority: 9999999999999999999",
    "broadcast: true",
    "&x ",
    "*x",
    "delivery-limit: 9223372036854775807",
    "single_active_consumer: true",
    "amq.a",
    "[z-a",
    "a{3,1}",
    "null",
    "5",
    "\"",
    "# a",
];

fn any_configuration() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..12usize, select(PIECES));
    let mutated = vec(edit, 0..8).prop_map(|edits| {
        let mut text = SOUND.to_owned();
        for (place, length, with) in edits {
            let boundary = |at: usize| {
                (at..).find(|&at| at >= text.len() || text.is_char_boundary(at)).unwrap_or(at).min(text.len())
            };
            let start = boundary(place.index(text.len() + 1));
            let end = boundary(start + length);
            text.replace_range(start..end, with);
        }
        text
    });
    prop_oneof![vec(select(PIECES), 0..60).prop_map(|pieces| pieces.concat()), mutated]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever stands in a configuration, findings point into it, and are one clause each.
    #[test]
    fn places_lie_in_the_configuration(text in any_configuration()) {
        let source = Arc::new(Source::from_text("broker.yml", text));
        let compilation = compile(source, Options { kind: Some(DocumentKind::Broker), ..Options::default() });
        let text = compilation.source.text();
        for found in &compilation.diagnostics {
            for label in std::iter::once(&found.primary).chain(&found.secondary) {
                prop_assert!(text.get(label.span.range()).is_some(), "{:?} of {:?}", label, text);
            }
            prop_assert!(!found.message.is_empty() && !found.message.ends_with('.'), "{}", found.message);
        }
    }

    /// What is wrong with a pattern is a piece of it.
    #[test]
    fn flaws_lie_in_the_pattern(pieces in vec(select(&["a", "é", "*", "+", "?", "{2}", "{2,1}", "(", "(?", ")", "[", "]", "^", "|", "\\", "-", "\\Q", "[:", ":]", "(?#", "(?x", "(*A"][..]), 0..12)) {
        let text = pieces.concat();
        let pattern = Pattern::new(text.as_str());
        if let Some(flaw) = pattern.flaw() {
            prop_assert!(text.get(flaw.range.clone()).is_some_and(|at| !at.is_empty()), "{:?} of {}", flaw, text);
        }
        let _ = pattern.matches("a");
    }
}

#[test]
fn a_sound_configuration_is_not_found_fault_with() {
    let compilation = compile(Arc::new(Source::from_text("sound.json", SOUND)), Options::default());
    assert_eq!(compilation.diagnostics, []);
}

/// The findings of a facility's configuration are those that its owners would act on, and no others.
#[test]
fn the_configuration_of_a_facility() {
    let compilation = compile(Arc::new(Source::from_text("facility.yml", FACILITY)), Options::default());
    let found: Vec<_> = compilation
        .diagnostics
        .iter()
        .map(|found| (found.rule, compilation.source.slice(found.primary.span)))
        .collect();
    let limited = ("limited-dead-letters", ".*");
    assert_eq!(found, [("transient-exchange", "delayed"), ("transient-exchange", "measured"), limited]);
}
