//! A value of a parameter that nobody else gives, where the others agree.

use crate::diagnostic::{Edit, Sink};
use crate::evidence::{About, Finding, Reason, shortened};
use crate::lint::{Context, meant};
use crate::syntax::NodeRef;

declare_rule! {
    /// A value differs from the one that similar steps have.
    ///
    /// # Why
    /// Similar steps often have the same value for a parameter, such as the name of a command or a placeholder. A value
    /// that occurs once is probably a mistake in three cases: it is almost the same as the usual value; two parameters
    /// have swapped values; or all steps that the same channel feeds have another value. The same applies to a type,
    /// such as an object if all others give text, or a word if they give numbers.
    ///
    /// # Example
    /// Five other recipes give the command `multipart_message`:
    /// ```json beside-5 {"1":{"queue":"ispyb_connector","parameters":{"ispyb_command":"multipart_message"}},"start":[[1,[]]]}
    /// {
    ///   "1": { "queue": "ispyb_connector", "parameters": { "ispyb_command": "multipart_mesage" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json beside-5 {"1":{"queue":"ispyb_connector","parameters":{"ispyb_command":"multipart_message"}},"start":[[1,[]]]}
    /// {
    ///   "1": { "queue": "ispyb_connector", "parameters": { "ispyb_command": "multipart_message" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// This recipe is meant to differ.
    "rare-value", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (facts, finding) in cx.evidence() {
        match finding.about {
            About::Value(index) if finding.reason != Reason::Braces => {
                let parameter = &facts.parameters[index];
                let Some(step) = cx.step_at(parameter.step) else { continue };
                let (key, value) = (cx.node(parameter.key), cx.node(parameter.node));
                let message = format!(
                    "value {} of parameter {} in step `{}` is used by no other step",
                    cx.show(value),
                    shown(key),
                    cx.recipe.name(step)
                );
                let what = match finding.reason {
                    Reason::AgreementOfFed => "steps that the same channel feeds give",
                    _ => "steps of the kind give",
                };
                sink.report(meant(RULE.at(value.span(), message), finding, value, what));
            }
            About::Shape(index, usual) => {
                let parameter = &facts.parameters[index];
                let (Some(step), Some(shape)) = (cx.step_at(parameter.step), parameter.shape) else { continue };
                let (key, value) = (cx.node(parameter.key), cx.node(parameter.node));
                let message = format!(
                    "parameter {} of step `{}` is {}, and that of no other step is",
                    shown(key),
                    cx.recipe.name(step),
                    shape.name()
                );
                let help = format!("{} steps of the kind give {}", finding.counts(), usual.name());
                sink.report(RULE.at(value.span(), message).help(help));
            }
            About::ExchangedValues(first, second) => {
                let (first, second) = (&facts.parameters[first], &facts.parameters[second]);
                let Some(step) = cx.step_at(first.step) else { continue };
                let keys = [first, second].map(|parameter| cx.node(parameter.key));
                let values = [first, second].map(|parameter| cx.node(parameter.node));
                let message = format!(
                    "the values of parameters {} and {} of step `{}` have changed places",
                    shown(keys[0]),
                    shown(keys[1]),
                    cx.recipe.name(step)
                );
                let help = exchanged(finding, &shown(keys[0]));
                let edits = vec![
                    Edit { span: values[0].span(), replacement: values[1].raw().to_owned() },
                    Edit { span: values[1].span(), replacement: values[0].raw().to_owned() },
                ];
                let diagnostic = RULE.at(values[0].span(), message).also(values[1].span(), "the other one");
                sink.report(diagnostic.help(help).with_fix(false, "exchange them", edits));
            }
            _ => {}
        }
    }
}

fn exchanged(finding: &Finding, key: &str) -> String {
    format!("{} others give `{}` as {key}; exchange them", finding.counts(), shortened(finding.meant()))
}

fn shown(key: NodeRef<'_>) -> String {
    format!("`{}`", shortened(&key.text()))
}
