//! A parameter that is given and that no recipe uses.

use crate::diagnostic::Sink;
use crate::lint::{Context, nearest};

declare_rule! {
    /// No recipe uses a given parameter.
    ///
    /// # Why
    /// A parameter without a placeholder in any recipe has no effect. If its name is misspelt, the intended placeholder
    /// is not substituted. Parameters of the dispatcher, and those that a site declares, are not reported. If the site
    /// has filters, which may read any parameter, only names that look like another one are reported.
    ///
    /// # Example
    /// With a recipe that has `{visit}`:
    /// ```json used=visit
    /// { "vist": "cm12345-1" }
    /// ```
    ///
    /// # Instead
    /// ```json used=visit
    /// { "visit": "cm12345-1" }
    /// ```
    ///
    /// # When not to follow it
    /// A filter of the dispatcher or a service reads the parameter.
    "unused-parameter", Warning, about [Parameters]
}

/// Parameters that the dispatcher makes, or reads: its own, and those by which filters look up others in ISPyB.
const DISPATCHERS: [&str; 10] = [
    "guid",
    "dispatcher_error_queue",
    "dispatcher_expiration",
    "dispatcher_timeout",
    "ispyb_dcid",
    "ispyb_dcgid",
    "ispyb_process",
    "ispyb_reprocessing_id",
    "ispyb_sampleid",
    "ispyb_wait_for_runstatus",
];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(used) = cx.used else { return };
    let given = cx.tree.root();
    // What the settings declare may be for the dispatcher as well.
    let is_known = |name: &str| DISPATCHERS.contains(&name) || used.contains(name) || cx.is_given(name);
    let absent: Vec<&str> = used.iter().map(String::as_str).filter(|used| given.get(used).is_none()).collect();
    for key in given.members().map(|member| member.key) {
        let name = key.text();
        if is_known(&name) {
            continue;
        }
        let help = match nearest(&name, absent.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            // A filter may read it.
            None if cx.filters => continue,
            None => "leave it out, or declare it under `[parameters]` in zrecipe.toml".to_owned(),
        };
        sink.report(RULE.at(key.span(), format!("no recipe uses the parameter `{name}`")).help(help));
    }
}
