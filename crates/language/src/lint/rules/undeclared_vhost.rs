//! A virtual host that is used and not among those that the file declares.

use std::collections::HashSet;

use crate::diagnostic::Sink;
use crate::lint::Context;

declare_rule! {
    /// A virtual host is not declared.
    ///
    /// # Why
    /// A file that lists virtual hosts describes all of them: Zocalo deletes every other one except `/`, with its
    /// queues and their messages. Objects in a virtual host that the file does not list cannot be created. A file
    /// without the list does not change virtual hosts.
    ///
    /// # Example
    /// ```yaml
    /// vhosts:
    /// - name: zocalo
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   vhost: zocallo
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// vhosts:
    /// - name: zocalo
    /// policies: []
    /// exchanges: []
    /// groups:
    /// - names: [images]
    ///   vhost: zocalo
    /// ```
    ///
    /// # When not to follow it
    /// Another file that is applied with this one declares it.
    "undeclared-vhost", Error, about [Broker]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(topology) = cx.document.broker().filter(|topology| !topology.vhosts.is_empty()) else { return };
    let permissions = topology.permissions.iter().map(|rights| &rights.vhost);
    let policies = topology.policies.iter().map(|policy| &policy.vhost);
    let exchanges = topology.exchanges.iter().map(|exchange| &exchange.vhost);
    let bindings = topology.bindings.iter().map(|binding| &binding.vhost);
    let groups = topology.groups.iter().map(|group| &group.vhost);
    let declared: HashSet<&str> = topology.vhosts.iter().map(|vhost| vhost.name.text.as_str()).collect();
    let mut seen = HashSet::new();
    for vhost in permissions.chain(policies).chain(exchanges).chain(bindings).chain(groups) {
        let name = vhost.text.as_str();
        if name == "/" || declared.contains(name) || !seen.insert(vhost.node) {
            continue;
        }
        let diagnostic = RULE.at(cx.node(vhost.node).span(), format!("virtual host `{name}` is not declared"));
        sink.report(match sink.nearest(RULE.name, name, declared.iter().copied()) {
            Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
            None => diagnostic.help("list it under `vhosts`, which describes all virtual hosts but `/`"),
        });
    }
}
