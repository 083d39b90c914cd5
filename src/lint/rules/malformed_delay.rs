//! A `transport-delay` that is no number of seconds.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::Kind;
use crate::template::has_braces;

declare_rule! {
    /// # Why
    /// `transport-delay` is the number of seconds by which a message to this step is delayed.
    ///
    /// # Example
    /// ```json
    /// { "1": { "queue": "images", "transport-delay": "5s" }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// { "1": { "queue": "images", "transport-delay": 5 }, "start": [[1, []]] }
    /// ```
    "malformed-delay", Error
}

/// The longest delay in seconds: brokers count milliseconds in 32 bits.
const LONGEST: f64 = 4_294_967.0;

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        if let Some(value) = step.delay.map(|delay| cx.node(delay)) {
            let problem = match value.kind() {
                Kind::Missing => continue,
                Kind::Number if value.as_f64().is_some_and(|seconds| (0.0..=LONGEST).contains(&seconds)) => continue,
                Kind::Number if value.as_f64().is_some_and(|seconds| seconds > LONGEST) => {
                    "is longer than 49 days, which is what brokers can hold".to_owned()
                }
                Kind::Number => "is negative".to_owned(),
                // `{$REPLACE:seconds}` may well become a number.
                Kind::String if has_braces(&value.text()) => continue,
                _ => format!("is {}, not a number of seconds", value.describe()),
            };
            let message = format!("the transport-delay of step `{}` {problem}", cx.recipe.name(step));
            let diagnostic = RULE.at(value.head(), message).refused();
            let text = value.text();
            let number = text.trim().trim_end_matches('s').trim();
            sink.report(if value.kind() == Kind::String && number.parse::<u32>().is_ok() {
                diagnostic.fix(format!("write `{number}`"), value.span(), number)
            } else {
                diagnostic.help("write seconds as a number, for example `5`")
            });
        }
    }
}
