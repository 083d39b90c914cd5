//! A placeholder that nobody else has, and whose name is nearly that of one that is used often.

use crate::diagnostic::{Edit, Sink};
use crate::evidence::{About, shortened};
use crate::lint::Context;
use crate::template::Field;

declare_rule! {
    /// A placeholder looks like one that is used several times.
    ///
    /// # Why
    /// A placeholder with a misspelt name is not substituted, and the service receives the braces. If a name occurs
    /// only once, and is almost the same as a common name, it is probably misspelt.
    ///
    /// # Example
    /// Five other recipes use the parameter `visit`:
    /// ```json beside-5 {"1":{"queue":"images","parameters":{"dir":"{visit}/processed"}},"start":[[1,[]]]}
    /// { "1": { "queue": "images", "parameters": { "dir": "{vist}/processed" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # Instead
    /// ```json beside-5 {"1":{"queue":"images","parameters":{"dir":"{visit}/processed"}},"start":[[1,[]]]}
    /// { "1": { "queue": "images", "parameters": { "dir": "{visit}/processed" } }, "start": [[1, []]] }
    /// ```
    ///
    /// # When not to follow it
    /// There are two parameters with such names.
    "rare-placeholder", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for (facts, finding) in cx.evidence() {
        let About::Placeholder(index) = finding.about else { continue };
        let placeholder = &facts.placeholders[index];
        let node = cx.node(placeholder.node);
        let (Some(step), Some(template)) = (cx.step_at(placeholder.step), cx.template(node)) else { continue };
        let is_it = |field: &&&Field| facts.is_of(placeholder, &field.name);
        let fields = template.fields();
        let Some(field) = fields.iter().find(is_it) else { continue };
        let span = node.text_span(field.span.clone());
        let message =
            format!("no other placeholder is called `{}`, as one in step `{}`", field.name, cx.recipe.name(step));
        let written = Field { name: finding.meant().to_owned(), ..(*field).clone() };
        let written =
            if template.replace { format!("{{$REPLACE:{}}}", written.path_text()) } else { written.to_string() };
        let edit = Edit { span, replacement: written.clone() };
        let meant = shortened(finding.meant());
        let help = match finding.usual.first().map_or(0, |custom| custom.count) {
            0 => format!("did you mean `{meant}`, like the parameter?"),
            1 => format!("did you mean `{meant}`, which the same parameter is elsewhere?"),
            count => format!("did you mean `{meant}`, which is used {count} times{}?", finding.alternatives()),
        };
        sink.report(RULE.at(span, message).help(help).with_fix(false, format!("write `{written}`"), vec![edit]));
    }
}
