//! Braces that make no placeholder, where one is probably meant.

use std::collections::HashMap;

use crate::diagnostic::{Sink, counted};
use crate::evidence::{About, Reason, shortened};
use crate::lint::{Context, meant};
use crate::syntax::NodeId;
use crate::template::Field;

declare_rule! {
    /// A name has braces that do not make a placeholder.
    ///
    /// # Why
    /// Only `{name}` is a placeholder. `{ name }`, `{{name}}`, `[name]` and a name without braces are not substituted,
    /// and in `${name}` the `$` remains. If the same name has plain braces elsewhere, those are probably intended.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": { "queue": "images", "parameters": { "dir": "{visit}", "file": "{ visit }" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": { "queue": "images", "parameters": { "dir": "{visit}", "file": "{visit}" } },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The text is meant for another program: a shell, or a template language.
    "unusual-braces", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let mut told = Vec::new();
    for (facts, finding) in cx.evidence() {
        let (About::Value(index), Reason::Braces) = (finding.about, finding.reason) else { continue };
        let parameter = &facts.parameters[index];
        let Some(step) = cx.step_at(parameter.step) else { continue };
        let value = cx.node(parameter.node);
        if is_given(cx, parameter.node) {
            continue;
        }
        let message = format!(
            "step `{}` gives {} as parameter {}, without the braces of a placeholder",
            cx.recipe.name(step),
            cx.show(value),
            shown_key(cx, parameter.key)
        );
        told.push(parameter.node);
        sink.report(meant(RULE.at(value.span(), message), finding, value, "other steps give"));
    }
    let mut names: HashMap<&str, usize> = HashMap::new();
    for (node, template) in cx.parsed_templates() {
        let text = node.text();
        for field in template.fields().into_iter().filter(|field| is_plain(&text, field)) {
            *names.entry(&field.name).or_default() += 1;
        }
    }
    for (node, template) in
        cx.parsed_templates().filter(|(node, template)| !template.replace && !told.contains(&node.id()))
    {
        let text = node.text();
        let places = template.fields().into_iter().filter_map(|field| {
            let name = field.name.trim();
            let is_whole = field.span == (0..text.len());
            let spaced = name != field.name && is_name(name) && !cx.is_given(name);
            let dollar = text[..field.span.start].ends_with('$') && field.path.is_empty() && !cx.is_given(name);
            // Another program may have such braces, but not such names.
            if spaced && (is_whole || names.contains_key(name)) {
                return Some((name, field.span.clone(), "because of the spaces in it"));
            }
            (dollar && names.contains_key(name) && !is_stored(cx, name))
                .then(|| (name, field.span.start - 1..field.span.end, "with the `$` before it"))
        });
        let mut places: Vec<_> = places.collect();
        places.extend(text.match_indices("{{").filter(|(at, _)| !text[..*at].ends_with('{')).filter_map(|(at, _)| {
            let inside = &text[at + 2..];
            let name = &inside[..inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?];
            let is_doubled = inside[name.len()..].starts_with("}}");
            let (name, _) = names.get_key_value(name).filter(|_| is_doubled)?;
            Some((*name, at..at + name.len() + 4, "with single braces"))
        }));
        for (name, range, why) in places {
            let span = node.text_span(range.clone());
            let message = format!("`{}` is not substituted, {why}", shortened(&text[range]));
            let written = format!("{{{name}}}");
            let help = match names.get(name) {
                Some(&count) => {
                    format!("did you mean `{written}`, as in {} of the recipe?", counted(count, "other text"))
                }
                None => format!("did you mean `{written}`?"),
            };
            sink.report(RULE.at(span, message).help(help).unsafe_fix(format!("write `{written}`"), span, written));
        }
    }
}

fn shown_key(cx: &Context<'_>, key: NodeId) -> String {
    format!("`{}`", shortened(&cx.node(key).text()))
}

/// Whether the parameters that are given say more about a text.
fn is_given(cx: &Context<'_>, node: NodeId) -> bool {
    let template = cx.template(cx.node(node));
    template.is_some_and(|template| template.fields().iter().any(|field| cx.is_given(field.name.trim())))
}

/// Whether a placeholder stands for a parameter as it is.
fn is_plain(text: &str, field: &Field) -> bool {
    is_name(&field.name) && !text[..field.span.start].ends_with('$')
}

/// Whether the recipe environment has a name.
fn is_stored(cx: &Context<'_>, name: &str) -> bool {
    cx.flow().stored().names.contains(name)
}

fn is_name(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(letter) && text.chars().all(|c| letter(c) || c.is_ascii_digit())
}
