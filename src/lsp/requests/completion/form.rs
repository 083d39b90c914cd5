//! Keys and values of documents with a published schema: requests, sites, contracts, broker configurations.

use gen_lsp_types as lsp;

use super::choice::Choice;
use super::known::{Known, files};
use crate::lsp::forms;
use crate::lsp::place::{Place, Segment};
use crate::lsp::view::View;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::names::Name;
use zrecipe_language::schema::{SchemaValue, resolve_reference};
use zrecipe_language::site;

pub(super) fn in_request(place: &Place<'_>, known: &Known) -> Vec<Choice> {
    let keys: Vec<Option<&str>> = place.path.iter().map(Segment::key).collect();
    match keys.as_slice() {
        [Some("recipes"), None] => {
            known.recipes.iter().map(|name| Choice::new(name, lsp::CompletionItemKind::File)).collect()
        }
        [Some("parameters")] if place.is_key => {
            let names = known.texts(|name| match name {
                Name::Placeholder(name) => Some(name),
                _ => None,
            });
            let choice = |(name, count): (&str, usize)| {
                Choice::new(name, lsp::CompletionItemKind::Variable).detail(files(count)).value("$1")
            };
            names.into_iter().map(choice).collect()
        }
        _ => Vec::new(),
    }
}

/// Keys and values that the published schema of a document names.
pub(super) fn in_form(root: &SchemaValue, path: &[Segment], place: &Place<'_>) -> Vec<Choice> {
    let allowed = forms::at(root, path);
    if !place.is_key {
        let mut choices: Vec<Choice> = Vec::new();
        for choice in allowed.into_iter().flat_map(|schema| named_values(root, schema)) {
            if !choices.iter().any(|known| known.text == choice.text && known.is_text == choice.is_text) {
                choices.push(choice);
            }
        }
        return choices;
    }
    let is_new = |key: &str| place.around.get(key).is_none() || place.text.is_some_and(|text| text.is(key));
    let mut choices: Vec<Choice> = Vec::new();
    for schema in allowed {
        let required = schema.get("required").and_then(SchemaValue::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|known| known.as_str() == Some(name)));
        let properties = schema.get("properties").and_then(SchemaValue::as_object);
        for (name, property) in properties.into_iter().flatten().filter(|(name, _)| is_new(name)) {
            if choices.iter().any(|choice| choice.text == *name) {
                continue;
            }
            let description =
                resolve_reference(root, property).get("description").or_else(|| property.get("description"));
            choices.push(Choice {
                detail: is_required(name).then(|| "required".to_owned()),
                documentation: description.and_then(SchemaValue::as_str).map(str::to_owned),
                ..Choice::new(name, lsp::CompletionItemKind::Property).value(snippet(root, property))
            });
        }
    }
    choices
}

pub(super) fn in_site(view: &View, place: &Place<'_>) -> Vec<Choice> {
    let keys: Vec<Option<&str>> = place.path.iter().map(Segment::key).collect();
    if keys.last() == Some(&Some("plugin")) && !place.is_key {
        return site::plugins().map(|plugin| Choice::new(plugin, lsp::CompletionItemKind::Module)).collect();
    }
    let Some(site) = view.compilation.document.site() else { return Vec::new() };
    match keys.as_slice() {
        [Some("environments"), Some(_)] if !place.is_key => {
            // One that is a name for itself is none.
            let names = site.environment_names().into_iter().filter(|name| keys[1] != Some(*name));
            names.map(|name| Choice::new(name, lsp::CompletionItemKind::Module)).collect()
        }
        [Some("environments"), Some(_), ..] if !place.is_key => {
            let blocks = site.files().into_iter().flat_map(site::Site::blocks);
            blocks.map(|block| Choice::new(&block.name, lsp::CompletionItemKind::Module)).collect()
        }
        [] | [Some("environments")] => {
            forms::of(DocumentKind::Site).map_or(Vec::new(), |form| in_form(form.root(), &place.path, place))
        }
        [Some(block), ..] => {
            let content = view.compilation.tree.root().get(block);
            let form = content.and_then(site::plugin_of).and_then(|plugin| site::form_of(&plugin));
            form.map_or(Vec::new(), |form| in_form(form.root(), &place.path[1..], place))
        }
        _ => Vec::new(),
    }
}

/// A value of the right type to fill in.
pub(super) fn snippet(root: &SchemaValue, property: &SchemaValue) -> String {
    let property = resolve_reference(root, property);
    if let Some(default) = property.get("default").filter(|default| !default.is_object() && !default.is_array()) {
        return format!("${{1:{}}}", default.to_string().replace(['}', '$', '\\'], ""));
    }
    let kind = match property.get("type") {
        Some(SchemaValue::Array(kinds)) => kinds.iter().filter_map(SchemaValue::as_str).find(|kind| *kind != "null"),
        kind => kind.and_then(SchemaValue::as_str),
    };
    match kind {
        Some("string") => "\"$1\"",
        Some("boolean") => "${1:true}",
        Some("array") => "[$1]",
        Some("object") => "{$1}",
        _ => "$1",
    }
    .to_owned()
}

/// The values that a schema names.
pub(super) fn named_values(root: &SchemaValue, property: &SchemaValue) -> Vec<Choice> {
    let property = resolve_reference(root, property);
    let list = |key: &str| property.get(key).and_then(SchemaValue::as_array).into_iter().flatten();
    let mut found: Vec<&SchemaValue> = list("enum").chain(property.get("const")).collect();
    if found.is_empty() {
        found = property.get("default").into_iter().chain(list("examples")).collect();
        if property.get("type").and_then(SchemaValue::as_str) == Some("boolean") {
            found.extend([&SchemaValue::Bool(true), &SchemaValue::Bool(false)]);
        }
    }
    found.dedup();
    let choice = |value: &SchemaValue| match value {
        SchemaValue::String(text) => Choice::new(text, lsp::CompletionItemKind::EnumMember),
        other => Choice::bare(other.to_string(), lsp::CompletionItemKind::EnumMember),
    };
    found.into_iter().map(choice).collect()
}
