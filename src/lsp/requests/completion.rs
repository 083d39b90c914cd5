//! `textDocument/completion`: what may stand here, from contracts, configurations and the whole workspace.

use std::collections::{BTreeMap, BTreeSet};

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::describe::{self, RECIPE_KEYS, STEP_KEYS, of_parameter, schema_of};
use crate::lsp::forms;
use crate::lsp::place::{Place, Segment, is_json};
use crate::lsp::probe::{Probe, is_needed, probes};
use crate::lsp::session::Session;
use crate::lsp::tokens::VARIABLES;
use crate::lsp::view::View;
use zrecipe_language::diagnostic::{Edit, counted};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::infer;
use zrecipe_language::lint::{RULES, respelled};
use zrecipe_language::names::{self, Member, Name};
use zrecipe_language::recipe::Step;
use zrecipe_language::schema::{SchemaValue, resolve_reference};
use zrecipe_language::site;
use zrecipe_language::source::Span;
use zrecipe_language::syntax::Notation;

/// The request.
pub use gen_lsp_types::CompletionRequest as Method;

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.completion_provider = Some(lsp::CompletionOptions {
        trigger_characters: Some(["\"", "{", ":", " ", "$"].map(str::to_owned).to_vec()),
        ..Default::default()
    });
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(session: &mut Session, params: lsp::CompletionParams) -> Result<Option<lsp::CompletionResponse>, Error> {
    let at = params.text_document_position_params;
    let view = session.view(&at.text_document.uri)?;
    let offset = view.offset(at.position);
    let known = Known::of(session, &view, offset);
    let snippets = session.client.snippets;
    let is_recipe = view.compilation.document.kind() == DocumentKind::Recipe;
    let items = if is_recipe && is_json(&view) && view.source().text().trim().is_empty() {
        vec![recipe(snippets)]
    } else if Notation::of(view.source().name()) == Notation::Toml {
        if view.compilation.document.kind() == DocumentKind::Settings && view.is_told() {
            in_settings(&view, offset)
        } else {
            Vec::new()
        }
    } else {
        let place = Place::at(&view, offset);
        let variables = variables(&view, &place, offset);
        match placeholder(&view, &place, offset) {
            _ if !variables.is_empty() => variables,
            Some(span) => placeholders(&view, &known, span),
            None if is_needed(&view, &place, offset) => {
                let probes = probes(&view, &session.client, offset);
                let of = |probe: &Probe| {
                    let (place, known) = (probe.place(), Known::of(session, &probe.view, offset));
                    let replaced = probe.original(place.replaced(offset));
                    let choices = choices(&probe.view, &place, &known).into_iter();
                    choices.map(|choice| choice.item(&view, &place, offset, replaced, snippets)).collect()
                };
                probes.iter().map(of).find(|items: &Vec<lsp::CompletionItem>| !items.is_empty()).unwrap_or_default()
            }
            None => {
                let replaced = place.replaced(offset);
                let choices = choices(&view, &place, &known).into_iter();
                choices.map(|choice| choice.item(&view, &place, offset, replaced, snippets)).collect()
            }
        }
    };
    Ok(Some(lsp::CompletionResponse::CompletionList(lsp::CompletionList {
        is_incomplete: false,
        items,
        ..Default::default()
    })))
}

/// Something that may stand in a place.
struct Choice {
    /// The text of a key or a string, or the value as JSON writes it.
    text: String,
    /// Whether it is a text, so that it stands in quotes.
    is_text: bool,
    /// Of a key: what is to stand as its value, with places to fill in.
    value: Option<String>,
    kind: lsp::CompletionItemKind,
    detail: Option<String>,
    documentation: Option<String>,
    is_deprecated: bool,
}

impl Choice {
    fn new(text: impl Into<String>, kind: lsp::CompletionItemKind) -> Self {
        let (detail, documentation) = (None, None);
        Self { text: text.into(), is_text: true, value: None, kind, detail, documentation, is_deprecated: false }
    }

    fn bare(text: impl Into<String>, kind: lsp::CompletionItemKind) -> Self {
        Self { is_text: false, ..Self::new(text, kind) }
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    fn documentation(mut self, documentation: Option<String>) -> Self {
        self.documentation = documentation;
        self
    }

    fn value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }

    fn item(
        self,
        view: &View,
        place: &Place<'_>,
        offset: u32,
        mut replaced: Span,
        snippets: bool,
    ) -> lsp::CompletionItem {
        let written = if is_json(view) { "\"" } else { place.text.map_or("", |text| text.raw()) };
        let mut text = if self.is_text { respelled(written, &self.text) } else { self.text.clone() };
        let value = self.value.filter(|_| place.is_key && !place.has_value);
        // Quotes that are there stay, so that what has been typed is the beginning of what is offered.
        let quoted = place.text.map_or("", |text| text.raw());
        if let Some(quote) = quoted.chars().next().filter(|&quote| "\"'".contains(quote) && text.starts_with(quote)) {
            text.remove(0);
            replaced.start += 1;
            let is_closed = quoted.len() > 1 && view.source().slice(replaced).ends_with(quote);
            if value.is_none() && is_closed && offset < replaced.end {
                text.pop();
                replaced.end -= 1;
            }
        }
        // A new key of JSON is parted from those around it.
        let source = view.source().text();
        let (before, after) = (&source[..replaced.start as usize], source[replaced.end as usize..].trim_start());
        let before = before.strip_suffix('"').unwrap_or(before).trim_end();
        let is_new = is_json(view) && value.is_some();
        let comma = is_new && after.starts_with('"') && !after[1..].trim_start().is_empty();
        let follows_value = |c: char| matches!(c, '"' | '}' | ']') || c.is_ascii_alphanumeric();
        let missing = is_new && before.ends_with(follows_value);
        let is_snippet = value.as_ref().is_some_and(|value| value.contains('$')) && snippets;
        let new_text = match value {
            Some(value) if is_snippet => {
                let text = text.replace('\\', "\\\\").replace('$', "\\$");
                format!("{text}:{}{value}", if value.starts_with('\n') { "" } else { " " })
            }
            Some(value) => format!("{text}:{}{}", if value.starts_with('\n') { "" } else { " " }, plain(&value)),
            None => text,
        } + if comma { "," } else { "" };
        let additional =
            missing.then(|| view.edit(&Edit { span: Span::empty(before.len()), replacement: ",".to_owned() }));
        lsp::CompletionItem {
            additional_text_edits: additional.map(|edit| vec![edit]),
            label: self.text.clone(),
            kind: Some(self.kind),
            tags: self.is_deprecated.then(|| vec![lsp::CompletionItemTag::Deprecated]),
            detail: self.detail,
            documentation: self.documentation.map(|value| {
                lsp::Documentation::MarkupContent(lsp::MarkupContent { kind: lsp::MarkupKind::Markdown, value })
            }),
            insert_text_format: Some(if is_snippet {
                lsp::InsertTextFormat::Snippet
            } else {
                lsp::InsertTextFormat::PlainText
            }),
            text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(lsp::TextEdit {
                range: view.range(replaced),
                new_text,
            })),
            ..Default::default()
        }
    }
}

/// All of a document of which there is nothing yet.
fn recipe(snippets: bool) -> lsp::CompletionItem {
    let text = "{\n  \"1\": {\n    \"service\": \"$1\",\n    \"queue\": \"$2\"\n  },\n  \"start\": [[1, []]]\n}\n";
    lsp::CompletionItem {
        label: "recipe".to_owned(),
        kind: Some(lsp::CompletionItemKind::Class),
        detail: Some("a new recipe with one step".to_owned()),
        insert_text_format: Some(if snippets {
            lsp::InsertTextFormat::Snippet
        } else {
            lsp::InsertTextFormat::PlainText
        }),
        insert_text: Some(if snippets { text.to_owned() } else { plain(text) }),
        ..Default::default()
    }
}

/// A snippet without its places to fill in.
fn plain(snippet: &str) -> String {
    let mut out = String::new();
    let mut rest = snippet;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = rest[at + 1..].trim_start_matches(|c: char| c.is_ascii_digit());
        if let Some(inner) = rest.strip_prefix('{') {
            let end = inner.find('}').unwrap_or(inner.len());
            out.push_str(inner[..end].split_once(':').map_or("", |(_, text)| text));
            rest = inner.get(end + 1..).unwrap_or_default();
        }
    }
    out + rest
}

/// The names that there are in the workspace, and how many files have each.
struct Known {
    counts: BTreeMap<Name, usize>,
    recipes: Vec<String>,
}

impl Known {
    /// What there is in all files, but for what is being written at the cursor.
    fn of(session: &Session, view: &View, offset: u32) -> Self {
        let mut counts = BTreeMap::new();
        let mut recipes: Vec<String> = view.basis.project.known_recipes().into_iter().flatten().cloned().collect();
        for folder in session.folders().iter().filter(|folder| folder.basis.root == view.basis.root) {
            for (path, file) in folder.files() {
                if path != view.path {
                    file.names.iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
                }
                if view.basis.project.known_recipes().is_none() && file.kind == Some(DocumentKind::Recipe) {
                    recipes.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
                }
            }
        }
        let is_here = |span: Span| span.start <= offset && offset <= span.end;
        let own: BTreeSet<&Name> =
            view.names().iter().filter(|found| !is_here(found.span)).map(|found| &found.name).collect();
        own.into_iter().for_each(|name| *counts.entry(name.clone()).or_default() += 1);
        recipes.sort();
        recipes.dedup();
        Self { counts, recipes }
    }

    /// The names that `pick` takes, each once.
    fn texts<'k>(&'k self, pick: impl Fn(&'k Name) -> Option<&'k str>) -> Vec<(&'k str, usize)> {
        self.counts.iter().filter_map(|(name, &count)| Some((pick(name)?, count))).collect()
    }
}

fn files(count: usize) -> String {
    format!("in {}", counted(count, "file"))
}

/// What may stand in a place.
fn choices(view: &View, place: &Place<'_>, known: &Known) -> Vec<Choice> {
    match view.compilation.document.kind() {
        DocumentKind::Recipe => in_recipe(view, place, known),
        DocumentKind::Request => in_request(place, known),
        DocumentKind::Site | DocumentKind::Plugin => in_site(view, place),
        kind => forms::of(kind).map_or(Vec::new(), |form| in_form(form.root(), &place.path, place)),
    }
}

fn in_request(place: &Place<'_>, known: &Known) -> Vec<Choice> {
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
fn in_form(root: &SchemaValue, path: &[Segment], place: &Place<'_>) -> Vec<Choice> {
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

fn in_site(view: &View, place: &Place<'_>) -> Vec<Choice> {
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

fn in_recipe(view: &View, place: &Place<'_>, known: &Known) -> Vec<Choice> {
    let recipe = &view.compilation.recipe;
    let keys: Vec<Option<&str>> = place.path.iter().map(Segment::key).collect();
    let step = keys.first().copied().flatten().and_then(|key| key.trim().parse().ok()).and_then(|id| recipe.step(id));
    let is_new = |key: &str| place.around.get(key).is_none() || place.text.is_some_and(|text| text.is(key));
    match (keys.as_slice(), place.is_key, step) {
        // Others write JSON and YAML as well.
        ([], true, _) if recipe.steps().is_empty() && !view.is_told() && has_others(view, place) => Vec::new(),
        ([], true, _) => {
            let next = recipe.steps().iter().map(|step| step.id).max().unwrap_or(0) + 1;
            let is_block = !is_json(view) && !recipe.tree().root().raw().starts_with('{');
            let empty = if is_block {
                "\n  service: $1\n  queue: $2"
            } else {
                "{\n  \"service\": \"$1\",\n  \"queue\": \"$2\"\n}"
            };
            let start = Choice::new("start", lsp::CompletionItemKind::Keyword).value("[[${1:1}, []]]");
            let step = Choice::new(next.to_string(), lsp::CompletionItemKind::Class).detail("a new step").value(empty);
            [step, start].into_iter().filter(|choice| is_new(&choice.text)).collect()
        }
        ([_], true, Some(_)) => STEP_KEYS
            .into_iter()
            .filter(|(key, _)| is_new(key))
            .map(|(key, text)| {
                let value = match key {
                    "parameters" | "job_parameters" | "wrapper" => "{$1}",
                    "output" | "error" | "transport-delay" => "$1",
                    _ => "\"$1\"",
                };
                Choice::new(key, lsp::CompletionItemKind::Keyword).documentation(Some(text.to_owned())).value(value)
            })
            .collect(),
        ([_, Some("queue" | "topic")], false, Some(_)) => queues(view, known),
        ([_, Some("service")], false, Some(_)) => services(view, known),
        ([_, Some("exchange")], false, Some(_)) => {
            let declared = view.basis.project.usable_topology().into_iter().flat_map(|topology| &topology.exchanges);
            declared.map(|found| Choice::new(&found.name.text, lsp::CompletionItemKind::Interface)).collect()
        }
        ([_, Some(part @ ("parameters" | "job_parameters"))], true, Some(step)) => {
            parameters(view, place, step, part, known)
        }
        ([_, Some(part @ ("parameters" | "job_parameters")), ..], _, Some(step)) => {
            let contract = view.basis.contracts().of_step(recipe, step);
            let schema = contract.and_then(|contract| schema_of(contract, part));
            schema.map_or(Vec::new(), |schema| in_form(schema.root(), &place.path[2..], place))
        }
        ([_, Some("output")], true, Some(step)) => channels(view, place, step, known),
        ([_, Some("output" | "error"), ..], false, Some(step))
            if place.text.is_none_or(|text| !text.raw().starts_with('"')) =>
        {
            steps(view, Some(step))
        }
        ([Some("error"), ..], false, None) => steps(view, None),
        ([Some("start"), None, None], false, _) if place.path.last() == Some(&Segment::Item(0)) => steps(view, None),
        _ => Vec::new(),
    }
}

/// Whether there are keys that no recipe has.
fn has_others(view: &View, place: &Place<'_>) -> bool {
    let typed = place.text.map(|text| text.id());
    let mut keys = view.compilation.tree.root().members().map(|member| member.key);
    keys.any(|key| Some(key.id()) != typed && !RECIPE_KEYS.iter().any(|(known, _)| key.is(known)))
}

fn queues(view: &View, known: &Known) -> Vec<Choice> {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let used = known.texts(|name| match name {
        Name::Queue(queue) => Some(queue),
        _ => None,
    });
    found.extend(used.into_iter().map(|(queue, count)| (queue, files(count))));
    for queue in view.basis.project.usable_topology().into_iter().flat_map(|topology| &topology.queues) {
        found.entry(&queue.name.text).or_insert_with(|| "of the broker".to_owned());
    }
    for contract in view.basis.contracts().iter() {
        for queue in contract.queues.iter().filter(|queue| !queue.contains('*')) {
            found.insert(queue, contract.name().to_owned());
        }
    }
    let choice = |(queue, detail): (&str, String)| {
        Choice::new(queue, lsp::CompletionItemKind::Interface)
            .detail(detail)
            .documentation(describe::name(view, &Name::Queue(queue.to_owned())))
    };
    found.into_iter().map(choice).collect()
}

fn services(view: &View, known: &Known) -> Vec<Choice> {
    let mut found: BTreeMap<&str, (Option<String>, Option<String>)> = BTreeMap::new();
    let used = known.texts(|name| match name {
        Name::Service(service) => Some(service),
        _ => None,
    });
    found.extend(used.into_iter().map(|(service, count)| (service, (Some(files(count)), None))));
    for contract in view.basis.contracts().iter() {
        for name in &contract.names {
            found.insert(name, (contract.queues.first().cloned(), contract.description.clone()));
        }
    }
    let choice = |(service, (detail, documentation)): (&str, (Option<String>, Option<String>))| Choice {
        detail,
        documentation,
        ..Choice::new(service, lsp::CompletionItemKind::Class)
    };
    found.into_iter().map(choice).collect()
}

/// The names that other steps of the same service have.
fn of_others<'k>(view: &View, step: &Step, part: &str, known: &'k Known) -> Vec<(&'k str, usize)> {
    let Some(owner) = names::owner(&view.compilation.recipe, step, view.basis.contracts()) else { return Vec::new() };
    let pick = |member: &'k Member| (member.owner == owner && member.part == part).then_some(member.name.as_str());
    known.texts(|name| match name {
        Name::Parameter(member) | Name::Channel(member) => pick(member),
        _ => None,
    })
}

fn parameters(view: &View, place: &Place<'_>, step: &Step, part: &str, known: &Known) -> Vec<Choice> {
    let is_new = |key: &str| place.around.get(key).is_none() || place.text.is_some_and(|text| text.is(key));
    let contract = view.basis.contracts().of_step(&view.compilation.recipe, step);
    let schema = contract.and_then(|contract| Some((contract, schema_of(contract, part)?)));
    let mut choices: Vec<Choice> = Vec::new();
    if let Some((contract, schema)) = schema {
        choices.extend(schema.properties().filter(|(name, _)| is_new(name)).map(|(name, property)| {
            let is_required = schema.required().any(|required| required == name);
            Choice {
                detail: is_required.then(|| "required".to_owned()),
                documentation: of_parameter(contract, schema, name),
                is_deprecated: contract.deprecated.iter().any(|(old, _)| old == name),
                ..Choice::new(name, lsp::CompletionItemKind::Property).value(snippet(schema.root(), property))
            }
        }));
    }
    for (name, count) in of_others(view, step, part, known) {
        if is_new(name) && !choices.iter().any(|choice| choice.text == name) {
            choices.push(Choice::new(name, lsp::CompletionItemKind::Property).detail(files(count)).value("$1"));
        }
    }
    choices
}

/// A value of the right type to fill in.
fn snippet(root: &SchemaValue, property: &SchemaValue) -> String {
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
fn named_values(root: &SchemaValue, property: &SchemaValue) -> Vec<Choice> {
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

fn channels(view: &View, place: &Place<'_>, step: &Step, known: &Known) -> Vec<Choice> {
    let is_new = |key: &str| place.around.get(key).is_none() || place.text.is_some_and(|text| text.is(key));
    let contract = view.basis.contracts().of_step(&view.compilation.recipe, step);
    let mut choices: Vec<Choice> = Vec::new();
    for channel in contract.iter().flat_map(|contract| contract.channels.iter().flatten()) {
        choices.push(
            Choice::new(&channel.name, lsp::CompletionItemKind::Event)
                .documentation(channel.description.clone())
                .value("$1"),
        );
    }
    for (name, count) in of_others(view, step, "channels", known) {
        if !choices.iter().any(|choice| choice.text == name) {
            choices.push(Choice::new(name, lsp::CompletionItemKind::Event).detail(files(count)).value("$1"));
        }
    }
    choices.retain(|choice| is_new(&choice.text));
    choices
}

/// The numbers of the steps, with what they do; not that of the step itself.
fn steps(view: &View, own: Option<&Step>) -> Vec<Choice> {
    let recipe = &view.compilation.recipe;
    let others = recipe.steps().iter().filter(|step| own.is_none_or(|own| own.id != step.id));
    let choice = |step: &Step| {
        let purpose = recipe.purpose(step).map(|purpose| purpose.into_owned());
        let choice = Choice::bare(step.id.to_string(), lsp::CompletionItemKind::Class);
        Choice { detail: purpose, ..choice }.documentation(describe::name(view, &Name::Step(step.id)))
    };
    others.map(choice).collect()
}

/// If the cursor is in a placeholder of a string: where its name is.
fn placeholder(view: &View, place: &Place<'_>, offset: u32) -> Option<Span> {
    let span = place.text.filter(|_| view.compilation.document.kind() == DocumentKind::Recipe)?.span();
    let before = view.source().slice(Span { start: span.start, end: offset });
    let open = before.rfind('{')?;
    let written = &before[open + 1..];
    let is_doubled = before[..open].ends_with('{');
    let lead = if written.starts_with("$REPLACE:") { "$REPLACE:".len() } else { 0 };
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if is_doubled || !written[lead..].chars().all(is_name) {
        return None;
    }
    let start = span.start as usize + open + 1 + lead;
    let after: usize =
        view.source().text()[offset as usize..].chars().take_while(|&c| is_name(c)).map(char::len_utf8).sum();
    Some(Span::new(start, offset as usize + after))
}

/// If the cursor is in a word that begins with `$`: what the runner, or the substitution, fills in for it.
fn variables(view: &View, place: &Place<'_>, offset: u32) -> Vec<lsp::CompletionItem> {
    let Some(string) = place.text.filter(|_| view.compilation.document.kind() == DocumentKind::Recipe) else {
        return Vec::new();
    };
    let before = view.source().slice(Span { start: string.span().start, end: offset });
    let Some(at) = before.rfind('$').filter(|&at| before[at + 1..].chars().all(|c| c.is_ascii_alphabetic())) else {
        return Vec::new();
    };
    let span = Span { start: string.span().start + at as u32, end: offset };
    const REPLACE: [(&str, &str); 1] =
        [("$REPLACE:", "The value of a parameter itself, and not text: `{$REPLACE:name}` as all of a string.")];
    // Only as all of a string the value itself is put in.
    let is_all = before[..at].ends_with('{') && before[..at].trim_start_matches(['"', '\'']) == "{";
    let item = |(word, said): &(&str, &str)| lsp::CompletionItem {
        label: (*word).to_owned(),
        kind: Some(lsp::CompletionItemKind::Keyword),
        documentation: Some(lsp::Documentation::String((*said).to_owned())),
        text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(lsp::TextEdit {
            range: view.range(span),
            new_text: (*word).to_owned(),
        })),
        ..Default::default()
    };
    let known: &[(&str, &str)] = if is_all { &REPLACE } else { &VARIABLES };
    known.iter().filter(|(word, _)| word.starts_with(&before[at..])).map(item).collect()
}

fn placeholders(view: &View, known: &Known, span: Span) -> Vec<lsp::CompletionItem> {
    let compilation = &view.compilation;
    let inferred = infer::infer(&compilation.recipe, &compilation.templates, view.basis.contracts());
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let used = known.texts(|name| match name {
        Name::Placeholder(name) => Some(name),
        _ => None,
    });
    // The one that is being written is no suggestion.
    let current = view.source().slice(span);
    found.extend(
        used.into_iter()
            .filter(|(name, count)| *name != current || *count > 1)
            .map(|(name, count)| (name, files(count))),
    );
    for parameter in inferred.iter().filter(|parameter| parameter.name != current || parameter.uses.len() > 1) {
        found.insert(&parameter.name, format!("{}, in this recipe", parameter.meets));
    }
    for (name, schema) in view.basis.project.settings.declared.iter() {
        let kind = infer::Type::of_schema(schema.root(), schema.root());
        found.insert(name, format!("{kind}, from the site's dispatcher"));
    }
    let closes = view.source().text()[span.end as usize..].starts_with(['}', '[', ':', '!']);
    let item = |(name, detail): (&str, String)| lsp::CompletionItem {
        label: name.to_owned(),
        kind: Some(lsp::CompletionItemKind::Variable),
        detail: Some(detail),
        text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(lsp::TextEdit {
            range: view.range(span),
            new_text: if closes { name.to_owned() } else { format!("{name}}}") },
        })),
        ..Default::default()
    };
    found.into_iter().filter(|(name, _)| !name.is_empty()).map(item).collect()
}

/// Rules and their levels in zrecipe.toml, and the settings themselves.
fn in_settings(view: &View, offset: u32) -> Vec<lsp::CompletionItem> {
    const LEVELS: [&str; 4] = ["allow", "note", "warning", "error"];
    let text = view.source().text();
    let before = &text[..offset as usize];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let (line, above) = (&before[start..], &before[..start]);
    if line.trim_start().starts_with(['#', '[']) {
        return Vec::new();
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let typed = &line[line.trim_end_matches(is_word).len()..];
    let rest = &text[offset as usize..];
    let rest = &rest[..rest.find('\n').unwrap_or(rest.len())];
    let after = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
    let span = Span::new(before.len() - typed.len(), before.len() + after);
    // The table that the line is in, and the keys in the line before the cursor.
    let mut path: Vec<Segment> = Vec::new();
    if let Some(header) = above.lines().rev().find(|line| line.trim_start().starts_with('[')) {
        let header = header.split('#').next().unwrap_or_default().trim();
        let keys = header.trim_matches(['[', ']']).split('.');
        path.extend(keys.map(|key| Segment::Key(key.trim().trim_matches('"').to_owned())));
        path.extend(header.starts_with("[[").then_some(Segment::Item(0)));
    }
    let head = &line[..line.len() - typed.len()];
    let quoted = head.matches('"').count() % 2 == 1;
    let mut is_key = true;
    let mut word = String::new();
    let mut outer: Vec<(Vec<Segment>, char)> = Vec::new();
    for c in head.chars() {
        match c {
            '=' => {
                path.push(Segment::Key(std::mem::take(&mut word).trim().trim_matches('"').to_owned()));
                is_key = false;
            }
            '{' | '[' => {
                outer.push((path.clone(), c));
                path.extend((c == '[').then_some(Segment::Item(0)));
                is_key = c == '{';
            }
            '}' | ']' => path = outer.pop().map_or(path, |(path, _)| path),
            ',' => {
                if let Some((known, '{')) = outer.last() {
                    path.clone_from(known);
                    is_key = true;
                }
            }
            c => {
                word.push(c);
                continue;
            }
        }
        word.clear();
    }
    let keys: Vec<&str> = path.iter().filter_map(Segment::key).collect();
    let Some(form) = forms::of(DocumentKind::Settings) else { return Vec::new() };
    let rules = || RULES.iter().map(|rule| Choice::new(rule.name, lsp::CompletionItemKind::Constant)).collect();
    let choices: Vec<Choice> = match (&*keys, is_key) {
        ([.., "rules"], true) => rules(),
        ([.., "rules", _], false) => {
            LEVELS.map(|level| Choice::new(level, lsp::CompletionItemKind::EnumMember)).into_iter().collect()
        }
        (["suppress", "rule"], false) => rules(),
        (_, false) => {
            let values = forms::at(form.root(), &path).into_iter();
            values
                .flat_map(|schema| named_values(form.root(), schema))
                .filter(|value| !quoted || value.is_text)
                .collect()
        }
        (_, true) => {
            let schemas = forms::at(form.root(), &path).into_iter();
            let properties = schemas.filter_map(|schema| schema.get("properties")?.as_object()).flatten();
            let choice = |(name, property): (&String, &SchemaValue)| {
                let description = property.get("description").and_then(SchemaValue::as_str).map(str::to_owned);
                Choice::new(name, lsp::CompletionItemKind::Keyword).documentation(description)
            };
            properties.map(choice).collect()
        }
    };
    let has_value = rest[after..].trim_start().starts_with('=');
    let item = |choice: Choice| {
        let why = zrecipe_language::lint::rule(&choice.text).map(|rule| rule.why());
        let new_text = match (is_key, choice.is_text && !quoted) {
            (true, _) if has_value => choice.text.clone(),
            (true, _) if keys.last() == Some(&"rules") => format!("{} = \"allow\"", choice.text),
            (true, _) => format!("{} = ", choice.text),
            (false, true) => format!("\"{}\"", choice.text),
            (false, false) => choice.text.clone(),
        };
        lsp::CompletionItem {
            label: choice.text,
            kind: Some(choice.kind),
            documentation: why.or(choice.documentation).map(lsp::Documentation::String),
            text_edit: Some(lsp::CompletionItemTextEdit::TextEdit(lsp::TextEdit { range: view.range(span), new_text })),
            ..Default::default()
        }
    };
    choices.into_iter().map(item).collect()
}
