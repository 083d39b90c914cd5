//! The pairs of a bridge: from where to where.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::runtime::why::Why;
use zrecipe_broker::transport::{Destination, Endpoint};
use zrecipe_project::settings::Section;

/// The messages that `zrecipe service -s Bridge` carries between brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Bridging {
    /// Pairs of places: messages of `from` are carried to `to`. A place is a `queue` or a `topic`, of the site environment
    /// `environment`, or of the embedded broker in the directory `state`; without either, of the environment that the
    /// service works in.
    #[schemars(schema_with = "pairs", example = example())]
    pub(super) pairs: Vec<Pair>,
}

/// The schema of pairs.
fn pairs(_: &mut SchemaGenerator) -> Schema {
    let place = json_schema!({
        "type": "object",
        "propertyNames": { "enum": ["environment", "state", "queue", "topic"] },
        "additionalProperties": { "type": "string", "minLength": 1 },
    });
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "propertyNames": { "enum": ["from", "to"] },
            "required": ["from", "to"],
            "additionalProperties": place,
        },
    })
}

/// An example of pairs.
fn example() -> [BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>; 1] {
    let place = |environment| BTreeMap::from([("environment", environment), ("queue", "images")]);
    [BTreeMap::from([("from", place("old")), ("to", place("new"))])]
}

/// From where to where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pair {
    /// Where messages are taken from.
    pub(super) from: Place,
    /// Where they go.
    pub(super) to: Place,
}

/// A queue or a topic of a broker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Place {
    /// Environment of the site configuration whose broker it is.
    pub(super) environment: Option<String>,
    /// State directory of the embedded broker, in place of an environment.
    pub(super) state: Option<PathBuf>,
    /// Name of the queue. On ActiveMQ, a name that begins with `/queue/` is taken without the prefix.
    pub(super) queue: Option<String>,
    /// Name of the topic.
    pub(super) topic: Option<String>,
}

impl Section for Bridging {
    const NAME: &'static str = "bridge";

    fn relative_to(&mut self, directory: &Path) {
        let places = self.pairs.iter_mut().flat_map(|pair| [&mut pair.from, &mut pair.to]);
        for state in places.filter_map(|place| place.state.as_mut()) {
            *state = directory.join(&*state);
        }
    }
}

/// A place whose broker is known.
pub(super) struct End {
    pub(super) endpoint: Arc<dyn Endpoint>,
    pub(super) destination: Destination,
    /// Tells it from all others, wherever the service runs: broker, namespace and destination.
    pub(super) key: String,
}

/// A pair whose brokers are known.
pub(super) struct Ends {
    pub(super) from: End,
    pub(super) to: End,
}

impl Bridging {
    /// The pairs with their brokers.
    ///
    /// # Errors
    /// There are none, a place is incomplete, two pairs carry messages in a circle, or a broker cannot be addressed.
    pub(super) fn pairs(&self, broker: impl Fn(&Place) -> Result<Arc<dyn Endpoint>, Why>) -> Result<Vec<Ends>, Why> {
        if self.pairs.is_empty() {
            return Err(Why::new("the bridge has no pairs").hint(
                "write in zrecipe.toml: `[[bridge.pairs]]`, `from = { environment = \"old\", queue = \"images\" }`, \
                 `to = { environment = \"new\", queue = \"images\" }`",
            ));
        }
        let end = |place: &Place, name: &str| {
            let wrong = |text: &str| Why::new(format!("[bridge]: `{name}` of a pair {text}"));
            let destination = match (&place.queue, &place.topic) {
                (Some(queue), None) if !queue.is_empty() => Destination::Queue(queue.clone()),
                (None, Some(topic)) if !topic.is_empty() => Destination::Topic(topic.clone()),
                _ => return Err(wrong("needs either `queue` or `topic`")),
            };
            if place.environment.is_some() && place.state.is_some() {
                return Err(wrong("has both `environment` and `state`"));
            }
            let endpoint = broker(place)?;
            let key = format!("{} {} {destination}", endpoint.place(), endpoint.namespace());
            Ok(End { endpoint, destination, key })
        };
        let pairs = self.pairs.iter().map(|pair| Ok(Ends { from: end(&pair.from, "from")?, to: end(&pair.to, "to")? }));
        let pairs = pairs.collect::<Result<Vec<_>, Why>>()?;
        let is_queue = |end: &End| matches!(end.destination, Destination::Queue(_));
        for pair in pairs.iter().filter(|pair| is_queue(&pair.from)) {
            let mut reached = vec![&pair.to.key];
            let mut at = 0;
            while let Some(key) = reached.get(at).copied() {
                if *key == pair.from.key {
                    let message = format!("[bridge]: pairs forward messages of {} in a loop", pair.from.destination);
                    return Err(Why::new(message).hint("use another queue for each direction"));
                }
                let next = pairs.iter().filter(|other| other.from.key == *key).map(|other| &other.to.key);
                let next: Vec<_> = next.filter(|key| !reached.contains(key)).collect();
                reached.extend(next);
                at += 1;
            }
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_broker::transport::of_url;

    #[test]
    fn pairs_are_complete_and_have_no_circle() {
        let place = |text: &str| {
            let (state, name) = text.split_once('/').unwrap_or(("", text));
            let queue = Some(name.to_owned()).filter(|name| !name.is_empty());
            Place { state: Some(PathBuf::from(state)), queue, ..Place::default() }
        };
        let found = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(from, to)| Pair { from: place(from), to: place(to) }).collect();
            let broker = |place: &Place| {
                let name = place.state.clone().unwrap_or_default();
                of_url(&format!("memory:{}", name.display())).map_err(|error| Why::new(error.to_string()))
            };
            Bridging { pairs }.pairs(broker).map(|pairs| pairs.len()).map_err(|why| why.message)
        };
        assert_eq!(found(&[("a/q", "b/q"), ("b/r", "a/r")]), Ok(2));
        assert_eq!(found(&[("a/q", "b/q"), ("a/q", "c/q")]), Ok(2));
        for (pairs, expected) in [
            (&[][..], "no pairs"),
            (&[("a/", "b/q")], "`from` of a pair needs either `queue` or `topic`"),
            (&[("a/q", "a/q")], "queue `q` in a loop"),
            (&[("a/q", "b/q"), ("b/q", "c/q"), ("c/q", "a/q")], "in a loop"),
            (&[("x/q", "a/q"), ("a/q", "b/q"), ("b/q", "a/q")], "in a loop"),
        ] {
            let error = found(pairs).expect_err("is wrong");
            assert!(error.contains(expected), "{error}");
        }
    }
}
