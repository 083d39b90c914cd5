//! Placeholders without quotes, which are objects in YAML.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::syntax::{Kind, NodeRef, Notation};

declare_rule! {
    /// A placeholder in YAML has no quotes, and is an object.
    ///
    /// # Why
    /// In YAML, braces without quotes form an object: `file: {filename}` gives the service the object
    /// `{"filename": null}`, not text. In a recipe, an object with one key and no value is always this mistake.
    ///
    /// # Example
    /// ```yaml
    /// 1:
    ///   queue: images
    ///   parameters:
    ///     file: {filename}
    /// start: [[1, []]]
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// 1:
    ///   queue: images
    ///   parameters:
    ///     file: "{filename}"
    /// start: [[1, []]]
    /// ```
    ///
    /// # When not to follow it
    /// Never: the service receives an object instead of the text.
    "unquoted-placeholder", Error
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if Notation::of(cx.tree.source().name()) != Notation::Yaml {
        return;
    }
    for node in cx.tree.root().descendants().filter(|node| is_placeholder(*node)) {
        let raw = node.raw();
        let message = format!("{} is an object here, not a placeholder", cx.show(node));
        sink.report(RULE.at(node.span(), message).help("put it in quotes").unsafe_fix(
            format!("write `\"{raw}\"`"),
            node.span(),
            format!("\"{raw}\""),
        ));
    }
}

/// Whether a node is an object in braces with one key that has neither quotes nor a value.
fn is_placeholder(node: NodeRef<'_>) -> bool {
    let raw = node.raw();
    if node.kind() != Kind::Object || node.is_alias() || !raw.starts_with('{') || raw.contains(['"', '\n', '\\']) {
        return false;
    }
    let mut members = node.members();
    let (Some(only), None) = (members.next(), members.next()) else { return false };
    let is_text = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic() || "_$".contains(c));
    only.value.kind() == Kind::Null && only.value.raw().is_empty() && is_text(only.key.raw()) && !raw.contains(": ")
}
