//! Ways to reach a broker that do not come with `workflows`.

use crate::diagnostic::{Level, Sink};
use crate::lint::{Context, nearest, respelled};
use crate::syntax::Kind;

declare_rule! {
    /// The default transport is unknown.
    ///
    /// # Why
    /// Services ignore an unknown `zocalo.default_transport`, and connect to the wrong broker. With an unknown
    /// `default` of the plugin `transport`, no connection is possible.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {test: [places]}
    /// places: {plugin: storage, zocalo.default_transport: StompTransprot}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {test: [places]}
    /// places: {plugin: storage, zocalo.default_transport: StompTransport}
    /// ```
    ///
    /// # When not to follow it
    /// A package of the site adds the transport.
    "unknown-transport", Warning, about [Site, Plugin]
}

/// The transports of `workflows`.
const KNOWN: [&str; 3] = ["OfflineTransport", "PikaTransport", "StompTransport"];

/// What people call them.
const OTHER_NAMES: [(&str, &str); 8] = [
    ("pika", "PikaTransport"),
    ("rabbitmq", "PikaTransport"),
    ("amqp", "PikaTransport"),
    ("rabbitmqtransport", "PikaTransport"),
    ("stomp", "StompTransport"),
    ("activemq", "StompTransport"),
    ("activemqtransport", "StompTransport"),
    ("offline", "OfflineTransport"),
];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for block in cx.plugin_blocks() {
        let (key, then) = match &*block.plugin {
            "storage" => ("zocalo.default_transport", "services ignore it"),
            "transport" => ("default", "nothing connects"),
            _ => continue,
        };
        let Some(value) = block.own(key).filter(|value| value.kind() == Kind::String) else { continue };
        let name = value.text();
        if KNOWN.contains(&&*name) {
            continue;
        }
        let found = RULE.at(value.span(), format!("`{key}` of {} is the unknown transport `{name}`", block.called()));
        sink.report(match meant(&name) {
            Some(meant) => found.help(format!("did you mean `{meant}`?")).unsafe_fix(
                format!("write `{meant}`"),
                value.span(),
                respelled(value.raw(), meant),
            ),
            None => found.level(Level::Note).help(format!("{then} where it is not installed")),
        });
    }
}

fn meant(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == lower).map(|(_, known)| *known);
    // What all of them end with says nothing about which one is meant.
    let stem = lower.strip_suffix("transport").unwrap_or(&lower);
    let by_stem = || KNOWN.into_iter().find(|known| nearest(stem, known.strip_suffix("Transport")).is_some());
    let by_start = || nearest(name, KNOWN).filter(|known| lower.starts_with(&known[..3].to_lowercase()));
    other.or_else(by_stem).or_else(by_start)
}
