//! What there is to say about a name, in Markdown: for hovers, and beside completions.

use std::fmt::Write as _;

use super::title::title;
use super::view::View;
use zrecipe_language::contract::Contract;
use zrecipe_language::infer::{self, Need, Type};
use zrecipe_language::lint;
use zrecipe_language::names::{Member, Name};
use zrecipe_language::recipe::{Role, Step};
use zrecipe_language::report::printable;
use zrecipe_language::schema::{Schema, SchemaValue};
use zrecipe_language::secret;
use zrecipe_language::template::Access;
use zrecipe_language::value::Object;

/// What the keys of a step are for.
pub const STEP_KEYS: [(&str, &str); 10] = [
    ("service", "The name of the service, for documentation; messages are routed by `queue`."),
    ("queue", "The queue that messages for this step are sent to."),
    ("topic", "The topic that messages for this step are published on: every subscriber gets them."),
    ("parameters", "Parameters that the service receives with every message. Strings may contain `{placeholders}`."),
    ("job_parameters", "Parameters of the job that the service starts."),
    ("output", "The steps that results go to: a number, a list of numbers, or channels with either."),
    ("error", "Checked, but never followed: no service sends messages to these steps."),
    ("transport-delay", "Seconds that the broker waits before it delivers a message for this step."),
    ("exchange", "The exchange that messages for this step go through."),
    ("wrapper", "Parameters of the wrapped program."),
];

/// What the keys of a recipe are for that are no steps.
pub const RECIPE_KEYS: [(&str, &str); 2] = [
    ("start", "The start steps: a list of pairs of a step and the payload of its first message."),
    ("error", "Steps for errors. Checked, but never followed: no service sends messages to these steps."),
];

/// What there is to say about a name in a document.
pub fn name(view: &View, name: &Name) -> Option<String> {
    let recipe = &view.compilation.recipe;
    Some(match name {
        Name::Step(id) => step(view, recipe.step(*id)?),
        Name::Queue(queue) => self::queue(view, queue),
        Name::Topic(topic) => format!("topic `{}`", secret::hidden_text(topic)),
        Name::Exchange(exchange) => {
            let kind = view.basis.project.usable_topology().and_then(|topology| topology.exchange(exchange));
            let kind = kind.map_or(String::new(), |found| format!(" ({})", found.kind));
            format!("exchange `{}`{kind}", secret::hidden_text(exchange))
        }
        Name::Service(service) => match view.basis.contracts().of_service(service) {
            Some(contract) => of_contract(contract),
            None => format!("service `{service}`\n\nThere is no contract for it."),
        },
        Name::Channel(member) => channel(view, member),
        Name::Parameter(member) => parameter(view, member),
        Name::Placeholder(placeholder) => self::placeholder(view, placeholder),
        Name::Block(block) => {
            let site = view.compilation.document.site()?;
            let (owner, found) = site.block(block)?;
            let content = owner.content(found)?;
            let plugin = zrecipe_language::site::plugin_of(content)?;
            // Only the names of settings: their values may be secret, and YAML may take a piece of one for a name.
            let secrets = secret::find(content.tree());
            let keys = content.members().map(|member| member.key).filter(|key| !secret::covers(&secrets, key.span()));
            let keys: Vec<String> = keys.map(|key| format!("`{}`", key.text())).collect();
            format!("plugin block `{block}` for `{plugin}`\n\n{}", keys.join(", "))
        }
        Name::Environment(environment) => {
            let site = view.compilation.document.site()?;
            let blocks: Vec<String> = match site.activate(environment) {
                Ok(active) => active.iter().map(|block| format!("- `{}`", block.name)).collect(),
                Err(fault) => vec![fault.to_string()],
            };
            format!("environment `{environment}`\n\n{}", blocks.join("\n"))
        }
        Name::Recipe(recipe) => format!("recipe `{recipe}`"),
        Name::Rule(rule) => rule_page(rule)?,
    })
}

/// The documentation of a rule.
pub fn rule_page(name: &str) -> Option<String> {
    let rule = lint::rule(name)?;
    // Their headings come below that of the page.
    let markdown = rule.markdown();
    let text: String =
        markdown.lines().flat_map(|line| [if line.starts_with("# ") { "#" } else { "" }, line, "\n"]).collect();
    Some(format!("# {name} ({})\n\n{}\n", rule.level, text.trim()))
}

fn step(view: &View, step: &Step) -> String {
    let recipe = &view.compilation.recipe;
    let mut out = format!("**step {}**", title(recipe, step));
    for (what, node) in [("queue", step.queue), ("topic", step.topic), ("exchange", step.exchange)] {
        if let Some(text) = recipe.text(node) {
            let _ = write!(out, "  \n{what} `{}`", secret::hidden_text(&text));
        }
    }
    let contract = view.basis.contracts().of_step(recipe, step);
    if let Some(description) = contract.and_then(|contract| contract.description.as_ref()) {
        let _ = write!(out, "\n\n{description}");
    }
    let Some(place) = recipe.step_index(step.id) else { return out };
    let graph = &view.compilation.graph;
    let line = |from: usize, edge: zrecipe_language::graph::Edge, other: usize| {
        let link = &recipe.links(&recipe.steps()[from])[edge.link];
        let channel = link.channel.map_or(String::new(), |channel| format!(" on `{}`", recipe.node(channel).text()));
        let error = if edge.role == Role::Error { " (error, never followed)" } else { "" };
        format!("\n- step {}{channel}{error}", title(recipe, &recipe.steps()[other]))
    };
    let started = recipe.start().into_iter().flat_map(|start| &start.entries);
    let started = started.filter_map(|entry| entry.pair).filter(|(_, target, _)| target.id() == Some(step.id)).count();
    let incoming: Vec<String> = graph.incoming(place).into_iter().map(|(edge, from)| line(from, edge, from)).collect();
    if started + incoming.len() > 0 {
        let _ = write!(out, "\n\ncomes from:{}{}", "\n- start".repeat(started), incoming.concat());
    }
    let all: Vec<_> = recipe.steps().iter().map(|step| view.basis.contracts().under(recipe, step)).collect();
    let flow = zrecipe_language::flow::Flow::new(recipe, graph, &all);
    let received = zrecipe_language::flow::in_words(recipe, &flow.deliveries(place));
    if !received.is_empty() {
        let _ = write!(out, "\n\nreceives:\n- {}", received.join("\n- "));
    }
    let outgoing: Vec<String> = graph.outgoing(place).into_iter().map(|(edge, to)| line(place, edge, to)).collect();
    if !outgoing.is_empty() {
        let _ = write!(out, "\n\ngoes to:{}", outgoing.concat());
    }
    out
}

fn queue(view: &View, queue: &str) -> String {
    let mut out = format!("queue `{}`", secret::hidden_text(queue));
    if let Some(contract) = view.basis.contracts().of_queue(queue) {
        let _ = write!(out, " of {}", of_contract(contract));
    }
    if let Some(topology) = view.basis.project.usable_topology() {
        match topology.queue(queue) {
            None => out.push_str("\n\nThe broker's configuration does not have it."),
            Some(found) => {
                let kind = topology.groups.get(found.group).map_or("classic", |group| &group.queue_type.text);
                let _ = write!(out, "\n\n{kind} queue in virtual host `{}`", found.vhost.text);
                if let Some(dead) = topology.dead_letter_queue(found) {
                    let _ = write!(out, "; dead letters go to `{}`", dead.name.text);
                }
            }
        }
    }
    let recipe = &view.compilation.recipe;
    let steps = recipe.steps().iter().filter(|step| recipe.text(step.queue).is_some_and(|text| text == queue));
    let steps: Vec<String> = steps.take(20).map(|step| title(recipe, step)).collect();
    if !steps.is_empty() {
        let _ = write!(out, "\n\nused by step {}", steps.join(", "));
    }
    out
}

fn of_contract(contract: &Contract) -> String {
    let mut out = format!("service `{}`", contract.name());
    if let Some(description) = &contract.description {
        let _ = write!(out, "\n\n{description}");
    }
    let queues: Vec<String> = contract.queues.iter().map(|queue| format!("`{queue}`")).collect();
    if !queues.is_empty() {
        let _ = write!(out, "\n\nlistens on {}", queues.join(", "));
    }
    let channels: Vec<String> = contract
        .channels
        .iter()
        .flatten()
        .map(|channel| {
            let text = channel.description.as_ref().map_or(String::new(), |text| format!(": {text}"));
            format!("\n- `{}`{text}", channel.name)
        })
        .collect();
    if !channels.is_empty() {
        let _ = write!(out, "\n\nsends on:{}", channels.concat());
    }
    out
}

fn contract<'v>(view: &'v View, member: &Member) -> Option<&'v Contract> {
    let contracts = view.basis.contracts();
    contracts.of_service(&member.owner).or_else(|| contracts.of_queue(&member.owner))
}

fn channel(view: &View, member: &Member) -> String {
    let mut out = format!("channel `{}` of `{}`", member.name, member.owner);
    let Some(contract) = contract(view, member) else { return out };
    match contract.channel(&member.name) {
        Some(channel) => {
            if let Some(description) = &channel.description {
                let _ = write!(out, "\n\n{description}");
            }
            if channel.always {
                out.push_str("\n\nSomething is sent on it for every message.");
            }
            if channel.default {
                out.push_str("\n\nAn output without names is connected to it.");
            }
            if let Some(place) = channel.evidence.first() {
                let _ = write!(out, "\n\nIt is sent in {place}.");
            }
            if let Some(payload) = &channel.payload {
                let _ = write!(out, "\n\npayload: {}", Type::of_schema(payload.root(), payload.root()));
            }
        }
        None if contract.channels.is_some() && !contract.other_channels => {
            out.push_str("\n\nIts contract has no such channel.");
        }
        None => {}
    }
    out
}

/// The schema of what a service takes in a part of its steps.
pub fn schema_of<'c>(contract: &'c Contract, part: &str) -> Option<&'c Schema> {
    if part == "job_parameters" { contract.job_parameters.as_ref() } else { contract.parameters.as_ref() }
}

/// What the contract says about a parameter: its type, whether it must be there, its default, and what it is for.
pub fn of_parameter(contract: &Contract, schema: &Schema, name: &str) -> Option<String> {
    let (_, property) = schema.properties().find(|&(known, _)| known == name)?;
    let resolved = zrecipe_language::schema::resolve_reference(schema.root(), property);
    let required = if schema.required().any(|required| required == name) { ", required" } else { "" };
    let default = resolved.get("default").map_or(String::new(), |default| format!(", default `{default}`"));
    let mut out = format!("`{name}`: {}{required}{default}", Type::of_schema(schema.root(), property));
    if let Some(description) = schema.description(name) {
        let _ = write!(out, "\n\n{description}");
    }
    if let Some(examples) = resolved.get("examples").and_then(SchemaValue::as_array) {
        let shown: Vec<String> = examples.iter().take(3).map(|example| format!("`{example}`")).collect();
        let _ = write!(out, "\n\nfor example {}", shown.join(", "));
    }
    let seen = zrecipe_language::lint::seen_in(&zrecipe_language::contract::evidence_of(property));
    if !seen.is_empty() {
        let _ = write!(out, "\n\nIt is{seen}.");
    }
    if let Some((_, successor)) = contract.deprecated.iter().find(|(old, _)| old == name) {
        let instead = successor.as_ref().map_or(String::new(), |new| format!("; use `{new}`"));
        let _ = write!(out, "\n\nIt is deprecated{instead}.");
    }
    Some(out)
}

fn parameter(view: &View, member: &Member) -> String {
    let found = contract(view, member).and_then(|contract| {
        let schema = schema_of(contract, member.part)?;
        of_parameter(contract, schema, &member.name)
    });
    match found {
        Some(text) => format!("parameter of `{}`\n\n{text}", member.owner),
        None => format!("parameter `{}` of `{}`", member.name, member.owner),
    }
}

fn placeholder(view: &View, name: &str) -> String {
    let compilation = &view.compilation;
    let mut out = format!("recipe parameter `{name}`");
    let inferred = infer::infer(&compilation.recipe, &compilation.templates, view.basis.contracts());
    if let Some(found) = inferred.iter().find(|parameter| parameter.name == name) {
        let need = match found.need {
            Need::Required => "required",
            Need::Expected => "expected",
            Need::Optional => "optional",
        };
        let _ = write!(out, ": {}, {need}", found.meets);
        if let Some(description) = &found.description {
            let _ = write!(out, "\n\n{description}");
        }
        let mut reasons: Vec<&str> = Vec::new();
        for used in &found.uses {
            if !reasons.contains(&used.reason.as_str()) {
                reasons.push(&used.reason);
            }
        }
        let _ = write!(out, "\n\nused {} times", found.uses.len());
        reasons.iter().take(5).for_each(|reason| {
            let _ = write!(out, "\n- {reason}");
        });
    }
    if let Some(declared) = view.basis.project.settings.declared.get(name) {
        let kind = Type::of_schema(declared.root(), declared.root());
        let _ = write!(out, "\n\nThe site's dispatcher adds it: {kind}");
        if let Some(description) = declared.root().get("description").and_then(SchemaValue::as_str) {
            let _ = write!(out, "\n\n{description}");
        }
    }
    out
}

/// The value that a placeholder has with the parameters of a file.
pub fn value(name: &str, path: &[Access], parameters: &Object) -> String {
    let Some(whole) = parameters.get(name) else {
        return match name {
            "guid" => "Every request has its own.".to_owned(),
            _ => "The parameter file does not have it.".to_owned(),
        };
    };
    let shown = secret::hidden(name, whole.clone());
    let part = path.iter().try_fold(&shown, |value, access| match access {
        Access::Key(key) => value.get(key),
        Access::Index(index) => value.as_array()?.get(*index),
    });
    match part {
        Some(part) => format!("value: `{}`", printable(&part.to_json(), 200)),
        None => format!("Its value in the parameter file has no such part: `{}`", printable(&shown.to_json(), 200)),
    }
}
