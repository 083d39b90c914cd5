//! Keys and values of recipes, from contracts and from the other steps of the workspace.

use std::collections::BTreeMap;

use gen_lsp_types as lsp;

use super::choice::Choice;
use super::form::{in_form, snippet};
use super::known::{Known, files};
use crate::lsp::describe::{self, RECIPE_KEYS, STEP_KEYS, of_parameter, schema_of};
use crate::lsp::place::{Place, Segment, is_json};
use crate::lsp::view::View;
use zrecipe_language::names::{self, Member, Name};
use zrecipe_language::recipe::Step;

pub(super) fn in_recipe(view: &View, place: &Place<'_>, known: &Known) -> Vec<Choice> {
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
