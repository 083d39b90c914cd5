//! Top-level keys that are neither a step number nor `start` or `error`.

use crate::diagnostic::Sink;
use crate::lint::{Context, nearest};

declare_rule! {
    /// A key of the recipe is not a step number.
    ///
    /// # Why
    /// The keys of a recipe are step numbers from 1 up, `start` and `error`. The Python services crash on any
    /// other key.
    ///
    /// # Example
    /// ```json
    /// { "comment": "spot finding", "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// A comment is a string under the key of the step it is about.
    /// ```json
    /// { "1": "spot finding", "1": { "queue": "images" }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// Never: the Python services crash.
    "non-numeric-step", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for &key in cx.recipe.other_keys() {
        let key = cx.node(key);
        let text = key.text();
        let digits = text.trim().trim_start_matches(['-', '+']);
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if cx.recipe.start().is_none() && cx.is_misspelt_start(key) {
            continue;
        }
        let (message, help) = match &*text {
            _ if is_number && digits.trim_start_matches('0').is_empty() => {
                ("step number `0` is not accepted".to_owned(), "steps are numbered from 1".to_owned())
            }
            _ if is_number => {
                (format!("step number {} is too large", cx.show(key)), "number the steps from 1".to_owned())
            }
            "$schema" => (
                "key `$schema` is not a step".to_owned(),
                "services do not read recipes with it; associate the schema in the editor's settings".to_owned(),
            ),
            "comment" | "comments" | "description" | "_comment" | "//" => (
                format!("key `{text}` is not a step"),
                "for a comment, repeat the key of a step: `\"1\": [\"the comment\"], \"1\": {…}`".to_owned(),
            ),
            _ => (
                format!("key {} is neither a step number nor `start` or `error`", cx.show(key)),
                match nearest(&text, ["start", "error"]) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "number the steps from 1; a step's name goes into its `service`".to_owned(),
                },
            ),
        };
        sink.report(RULE.at(key.span(), message).help(help).refused());
    }
}
