//! Names of the recipe environment that no earlier step stores.

use crate::contract::variables;
use crate::diagnostic::{Sink, nearest};
use crate::lint::Context;
use crate::syntax::Kind;

declare_rule! {
    /// No earlier step stores a variable of the environment.
    ///
    /// # Why
    /// In a parameter, `$name` stands for a value of the recipe environment, if the contract of the service declares
    /// this. An earlier step must store the value, for example with `store_result`. If no earlier step stores it, the
    /// service fails, or uses the name as text. Without a contract, only names that look like a stored one are
    /// reported.
    ///
    /// # Example
    /// With a contract that says that `$name` stands for a value, and that `store_result` stores one:
    /// ```contract
    /// {
    ///   "names": ["ISPyB"],
    ///   "queues": ["ispyb"],
    ///   "environment": { "replaces": "text", "stored_by": ["store_result"] }
    /// }
    /// ```
    /// ```json
    /// {
    ///   "1": { "queue": "ispyb", "parameters": { "store_result": "ispyb_movie_id" }, "output": 2 },
    ///   "2": { "queue": "ispyb", "parameters": { "movie_id": "$ispyb_movi_id" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "ispyb", "parameters": { "store_result": "ispyb_movie_id" }, "output": 2 },
    ///   "2": { "queue": "ispyb", "parameters": { "movie_id": "$ispyb_movie_id" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// A service stores the name in a way that its contract does not describe.
    "unstored-variable", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (index, step) in cx.recipe.steps().iter().enumerate() {
        let under = cx.under(step);
        let mut stored = None;
        for value in [step.parameters, step.job_parameters].into_iter().flatten() {
            for node in cx.node(value).descendants().filter(|node| node.kind() == Kind::String) {
                if !node.raw().contains('$') || cx.recipe.is_dropped(node) {
                    continue;
                }
                let text = node.text();
                let known = under.all().find(|contract| contract.environment.replaces);
                let names = match known {
                    Some(contract) => contract.environment.variables(&text),
                    // Without a contract only a text that is nothing else is sure to be one.
                    None => variables(&text).into_iter().filter(|(_, range)| *range == (0..text.len())).collect(),
                };
                for (name, range) in names {
                    let stored = stored.get_or_insert_with(|| cx.flow().stored_before(index));
                    // Braces are put in before: `${name}` may be a parameter of the recipe.
                    if stored.names.contains(name) || node.has_braces() && cx.is_given(name) {
                        continue;
                    }
                    let everywhere = cx.flow().stored();
                    let later = everywhere.names.contains(name);
                    let meant = nearest(name, stored.names.iter().map(|name| &**name).filter(|name| *name != "ID"));
                    // What is not known may store it.
                    if meant.is_none() && !later && (stored.is_open || known.is_none()) {
                        continue;
                    }
                    if known.is_none() && later {
                        continue;
                    }
                    let message = match later {
                        true => format!(
                            "`${name}` is stored by a step that does not come before step `{}`",
                            cx.recipe.name(step)
                        ),
                        false => format!("`${name}` is not stored by any step before step `{}`", cx.recipe.name(step)),
                    };
                    let diagnostic = RULE.at(node.text_span(range.clone()), message);
                    sink.report(match meant {
                        Some(meant) => {
                            let written = text[range.clone()].replace(name, meant);
                            diagnostic.help(format!("did you mean `${meant}`?")).unsafe_fix(
                                format!("write `{written}`"),
                                node.text_span(range),
                                written,
                            )
                        }
                        None => diagnostic.help("store it with `store_result` in an earlier step"),
                    });
                }
            }
        }
    }
}
