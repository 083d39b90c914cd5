//! Parameters that the service's contract says not to use any more.

use crate::diagnostic::Sink;
use crate::lint::{Context, renamed};

declare_rule! {
    /// A parameter is deprecated by the contract of its service.
    ///
    /// # Why
    /// According to the contract of the service, the parameter will be removed. The contract also describes the
    /// replacement.
    ///
    /// # Example
    /// With a contract that names `rotation` as the successor of `rot`:
    /// ```contract
    /// { "names": ["Images"], "queues": ["images"], "deprecated": { "rot": "rotation" } }
    /// ```
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "rot": 5 } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "parameters": { "rotation": 5 } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// The recipe must also work with an older release of the service.
    "deprecated-parameter", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let Some(contract) = cx.contract_of(step).filter(|contract| !contract.deprecated.is_empty()) else { continue };
        let Some(parameters) = step.parameters.map(|parameters| cx.node(parameters)) else { continue };
        for member in parameters.members() {
            let old = contract.deprecated.iter().find(|(old, _)| member.key.is(old));
            let Some((old, new)) = old.filter(|_| !cx.recipe.is_dropped(member.key)) else { continue };
            let name = cx.recipe.name(step);
            let message = format!("parameter `{old}` of step `{name}` is deprecated by {}", cx.name_of(contract));
            let diagnostic = RULE.at(member.key.span(), message);
            sink.report(match new {
                Some(new) if new.contains('.') => {
                    let (within, key) = new.split_once('.').unwrap_or((new, ""));
                    diagnostic.help(format!("put it into the object `{within}`, as `{key}`"))
                }
                Some(new) if parameters.get(new).is_some() => {
                    diagnostic.help(format!("its replacement `{new}` is already present: remove `{old}`"))
                }
                Some(new) => diagnostic.help(format!("use `{new}`")).unsafe_fix(
                    format!("rename `{old}` to `{new}`"),
                    member.key.span(),
                    renamed(member.key, new),
                ),
                None => diagnostic.help("remove it; the contract describes the replacement"),
            });
        }
    }
}
