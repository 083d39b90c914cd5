//! Variables in the commands of a job that look like those of the recipe's files and are none.

use crate::contract::variables;
use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// A command uses an unknown variable of recipe wrappers.
    ///
    /// # Why
    /// The commands of a job find the files of the recipe in four variables: RECIPEWRAP, RECIPEFILE, RECIPEENV and
    /// RECIPEPOINTER. Any other name is empty in the shell, and the program in the job gets no file.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": {
    ///     "queue": "cluster.submission",
    ///     "parameters": {
    ///       "workingdir": "/tmp",
    ///       "recipewrapper": "/tmp/wrapper",
    ///       "cluster": { "commands": ["zocalo.wrap --wrap refine --recipewrapper=$RECIPEWRAPPER"] }
    ///     }
    ///   },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": {
    ///     "queue": "cluster.submission",
    ///     "parameters": {
    ///       "workingdir": "/tmp",
    ///       "recipewrapper": "/tmp/wrapper",
    ///       "cluster": { "commands": ["zocalo.wrap --wrap refine --recipewrapper=$RECIPEWRAP"] }
    ///     }
    ///   },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The command itself, or a module that it loads, sets the variable.
    "misspelt-variable", Warning
}

const KNOWN: [&str; 4] = ["RECIPEWRAP", "RECIPEFILE", "RECIPEENV", "RECIPEPOINTER"];

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        let Some(parameters) = step.parameters.map(|parameters| cx.node(parameters)) else { continue };
        let cluster = parameters.get("cluster");
        let script = cluster.and_then(|cluster| cluster.get("commands"));
        let environment = cluster.and_then(|cluster| cluster.get("environment"));
        for commands in [parameters.get("commands"), script].into_iter().flatten() {
            let texts = || commands.descendants().filter(|node| node.kind() == Kind::String);
            for node in texts().filter(|node| node.raw().contains('$')) {
                let text = node.text();
                for (name, range) in variables(&text) {
                    let Some(meant) = meant(name) else { continue };
                    let sets = |node: NodeRef<'_>| node.text().contains(&format!("{name}="));
                    if texts().any(sets) || environment.is_some_and(|variables| variables.get(name).is_some()) {
                        continue;
                    }
                    let written = text[range.clone()].replace(name, meant);
                    let span = node.text_span(range);
                    let message =
                        format!("`${name}` is not a variable of the recipe's files in step `{}`", cx.recipe.name(step));
                    sink.report(RULE.at(span, message).help(format!("did you mean `${meant}`?")).unsafe_fix(
                        format!("write `{written}`"),
                        span,
                        written,
                    ));
                }
            }
        }
    }
}

/// The variable that another name is meant to be, if it looks like one.
fn meant(name: &str) -> Option<&'static str> {
    let plain = name.replace('_', "").to_uppercase();
    if KNOWN.contains(&name) || plain.len() < 6 {
        return None;
    }
    let distance = |known: &str| strsim::damerau_levenshtein(&plain, known);
    let nearest = KNOWN.into_iter().min_by_key(|known| distance(known))?;
    let begins = |known: &&str| plain.starts_with(*known) || known.starts_with(plain.as_str());
    (distance(nearest) <= 2).then_some(nearest).or_else(|| {
        let mut all = KNOWN.into_iter().filter(|known| begins(known));
        all.next().filter(|_| all.next().is_none())
    })
}
