//! Numbers that are written as text where text is accepted and does not work.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::schema::reads_as_number;
use crate::syntax::Kind;

declare_rule! {
    /// A setting is text where a number is needed.
    ///
    /// # Why
    /// Zocalo accepts text that looks like a number, and passes it on as text. If the `port` of a Graylog server is
    /// text, no log message is sent over UDP. If the `timeout` of OpenTelemetry is text, no trace is sent.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {live: [traces]}
    /// traces: {plugin: opentelemetry, host: otel.example.org, port: 4318, timeout: "10"}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {live: [traces]}
    /// traces: {plugin: opentelemetry, host: otel.example.org, port: 4318, timeout: 10}
    /// ```
    ///
    /// # When not to follow it
    /// The setting belongs to a plugin that converts it.
    "number-as-text", Warning, about [Site, Plugin]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for block in cx.plugin_blocks() {
        let over_udp = block.content.get("protocol").is_some_and(|protocol| protocol.is("UDP"));
        let (key, lost) = match &*block.plugin {
            "graylog" if over_udp => ("port", "no log message is sent"),
            "opentelemetry" => ("timeout", "no trace is sent"),
            _ => continue,
        };
        let Some(value) = block.own(key).filter(|value| value.kind() == Kind::String) else { continue };
        let Some(number) = reads_as_number(&value.text()).filter(|number| number.is_integer()) else { continue };
        let message = format!("`{key}` of {} is the text {}, not a number", block.called(), cx.show(value));
        let found = RULE.at(value.span(), message).help(format!("if it is text, {lost}"));
        sink.report(found.fix(format!("write `{}`", number.as_str()), value.span(), number.as_str()));
    }
}
