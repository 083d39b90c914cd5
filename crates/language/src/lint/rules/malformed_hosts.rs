//! Hosts and ports of brokers that cannot be reached as they are written.

use crate::diagnostic::{Sink, counted};
use crate::lint::Context;
use crate::source::Span;
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// Hosts and ports of the broker do not fit together.
    ///
    /// # Why
    /// The plugin `pika` takes several hosts, separated by commas, and either one port for all hosts or one for each.
    /// With another number of ports, no connection is possible. Spaces are part of a host name, so a name that begins
    /// with a space is never found.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {test: [broker]}
    /// broker: {plugin: pika, host: "mq1.example.org, mq2.example.org", port: 5672, username: guest, password: guest, vhost: /}
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {test: [broker]}
    /// broker: {plugin: pika, host: "mq1.example.org,mq2.example.org", port: 5672, username: guest, password: guest, vhost: /}
    /// ```
    ///
    /// # When not to follow it
    /// Never: nothing connects to the broker.
    "malformed-hosts", Error, about [Site, Plugin]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for block in cx.plugin_blocks().into_iter().filter(|block| block.plugin == "pika") {
        let text = |key: &str| block.content.get(key).filter(|node| matches!(node.kind(), Kind::String | Kind::Number));
        let (Some(host), Some(port)) = (text("host"), text("port")) else { continue };
        if block.holds(host) {
            of_hosts(host, &block.called(), sink);
        }
        let (hosts, ports) = (host.text().split(',').count(), port.text().split(',').count());
        if ports != 1 && ports != hosts {
            let message = format!("{} has {} for {}", block.called(), counted(ports, "port"), counted(hosts, "host"));
            sink.report(
                RULE.at(port.span(), message)
                    .also(host.span(), "the hosts")
                    .help("give one port for all hosts, or one for each"),
            );
        }
    }
}

fn of_hosts(host: NodeRef<'_>, called: &str, sink: &mut Sink) {
    let text = host.text();
    let trimmed: Vec<&str> = text.split(',').map(str::trim).collect();
    if trimmed.iter().any(|host| host.is_empty()) {
        sink.report(RULE.at(host.span(), format!("`host` of {called} has a host without a name")));
    } else if trimmed.join(",") != text {
        let found = RULE.at(host.span(), format!("`host` of {called} has a space before or after a name"));
        let at = host.raw().find(&*text).map(|at| host.span().start as usize + at);
        sink.report(match at {
            Some(at) => {
                let span = Span::new(at, at + text.len());
                found.fix("remove the spaces", span, trimmed.join(","))
            }
            None => found.help("remove the spaces"),
        });
    }
}
