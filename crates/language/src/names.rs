//! Names in a document: what each of them names, where it is defined, and where it is used.

use crate::compile::Compilation;
use crate::contract::Contracts;
use crate::document::{Document, DocumentKind, request};
use crate::recipe::{Recipe, Role, Step};
use crate::source::Span;
use crate::suppress;
use crate::syntax::{Kind, NodeId, NodeRef, Tree};
use crate::template::{Field, Template, has_braces, whole_names};
use crate::topology::Destination;

/// What a name names. Two occurrences with equal names mean the same thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// A step of this recipe.
    Step(i64),
    /// A queue.
    Queue(String),
    /// A topic.
    Topic(String),
    /// An exchange.
    Exchange(String),
    /// A service.
    Service(String),
    /// A channel on which a service sends.
    Channel(Member),
    /// A parameter that a service takes.
    Parameter(Member),
    /// A parameter of a recipe.
    Placeholder(String),
    /// A plugin block of a site.
    Block(String),
    /// An environment of a site.
    Environment(String),
    /// A recipe.
    Recipe(String),
    /// A rule of ours.
    Rule(String),
}

/// Something of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// The service: its name in its contract, or its queue.
    pub owner: String,
    /// `parameters`, `job_parameters` or `channels`.
    pub part: &'static str,
    /// Its name.
    pub name: String,
}

impl Name {
    /// What kind of thing it names.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Step(_) => "step",
            Self::Queue(_) => "queue",
            Self::Topic(_) => "topic",
            Self::Exchange(_) => "exchange",
            Self::Service(_) => "service",
            Self::Channel(_) => "channel",
            Self::Parameter(_) => "parameter",
            Self::Placeholder(_) => "recipe parameter",
            Self::Block(_) => "plugin block",
            Self::Environment(_) => "environment",
            Self::Recipe(_) => "recipe",
            Self::Rule(_) => "rule",
        }
    }

    /// The name itself.
    pub fn text(&self) -> String {
        match self {
            Self::Step(id) => id.to_string(),
            Self::Channel(member) | Self::Parameter(member) => member.name.clone(),
            Self::Queue(name)
            | Self::Topic(name)
            | Self::Exchange(name)
            | Self::Service(name)
            | Self::Placeholder(name)
            | Self::Block(name)
            | Self::Environment(name)
            | Self::Recipe(name)
            | Self::Rule(name) => name.clone(),
        }
    }

    /// Whether other files may use it as well.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Self::Step(_))
    }
}

/// A place where a name stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// What it names.
    pub name: Name,
    /// The name itself, without quotes.
    pub span: Span,
    /// The node that it is, or stands in.
    pub node: NodeId,
    /// Whether this place says what it is, and does not use it.
    pub is_definition: bool,
}

/// The name of the service that a step is for, as [`Member`]s give it.
pub fn owner(recipe: &Recipe, step: &Step, contracts: &Contracts) -> Option<String> {
    let contract = contracts.of_step(recipe, step).map(|contract| contract.name().to_owned());
    let queue = || recipe.text(step.queue).filter(|queue| !has_braces(queue)).map(|queue| queue.into_owned());
    contract.or_else(queue).or_else(|| recipe.text(step.service).map(|service| service.into_owned()))
}

/// All names in a document, in the order of the text.
pub fn names(compilation: &Compilation, contracts: &Contracts) -> Vec<Occurrence> {
    let mut names = Names { tree: &compilation.tree, found: Vec::new() };
    match &compilation.document {
        Document::Recipe => {
            names.recipe(&compilation.recipe, contracts);
            names.placeholders(compilation);
        }
        Document::Contract(_) => names.contract(),
        Document::Broker(topology) => {
            let queues = topology.queues.iter().map(|queue| (&queue.name, Name::Queue(queue.name.text.clone())));
            let exchanges = topology.exchanges.iter();
            let exchanges = exchanges.map(|exchange| (&exchange.name, Name::Exchange(exchange.name.text.clone())));
            for (word, name) in queues.chain(exchanges) {
                names.word(&word.text, word.node, name, true);
            }
            for binding in &topology.bindings {
                let (source, target) = (&binding.source, &binding.destination);
                names.word(&source.text, source.node, Name::Exchange(source.text.clone()), false);
                let name = match binding.kind {
                    Destination::Queue => Name::Queue(target.text.clone()),
                    Destination::Exchange => Name::Exchange(target.text.clone()),
                };
                names.word(&target.text, target.node, name, false);
            }
        }
        Document::Site(site) => {
            for block in site.blocks() {
                names.text(compilation.tree.node(block.key), Name::Block, true);
            }
            for environment in site.environments() {
                names.text(compilation.tree.node(environment.key), Name::Environment, true);
                if environment.alias.is_some() {
                    names.text(compilation.tree.node(environment.value), Name::Environment, false);
                }
                for (_, node) in environment.groups.iter().flat_map(|group| &group.blocks) {
                    names.text(compilation.tree.node(*node), Name::Block, false);
                }
            }
        }
        Document::Settings => names.settings(),
        Document::Request => names.request(request(compilation.tree.root())),
        Document::Plugin | Document::Users(_) | Document::Parameters => {}
    }
    if compilation.document.kind() == DocumentKind::Recipe {
        let root = compilation.tree.root().id();
        let rules = suppress::written(&compilation.recipe).into_iter();
        let rules =
            rules.map(|(rule, span)| Occurrence { name: Name::Rule(rule), span, node: root, is_definition: false });
        names.found.extend(rules);
    }
    names.found.sort_by_key(|found| (found.span, found.name.kind(), !found.is_definition));
    names.found.dedup_by(|later, first| later.span == first.span && later.name == first.name);
    names.found
}

/// The occurrence at a byte of the text, the byte behind it included; of several the shortest.
pub fn at(names: &[Occurrence], offset: u32) -> Option<&Occurrence> {
    let here = names.iter().filter(|found| found.span.start <= offset && offset <= found.span.end);
    here.min_by_key(|found| found.span.end - found.span.start)
}

struct Names<'t> {
    tree: &'t Tree,
    found: Vec<Occurrence>,
}

impl Names<'_> {
    /// A string that is a name.
    fn text(&mut self, node: NodeRef<'_>, name: impl FnOnce(String) -> Name, is_definition: bool) {
        let text = node.text();
        if node.kind() == Kind::String && !text.is_empty() && !has_braces(&text) {
            let span = node.text_span(0..text.len());
            self.found.push(Occurrence { name: name(text.into_owned()), span, node: node.id(), is_definition });
        }
    }

    /// A name that is known to stand at a node, if it does: some are not written anywhere.
    fn word(&mut self, text: &str, node: NodeId, name: Name, is_definition: bool) {
        let node = self.tree.node(node);
        if node.is(text) {
            self.text(node, |_| name, is_definition);
        }
    }

    fn recipe(&mut self, recipe: &Recipe, contracts: &Contracts) {
        let link = |node: NodeId, id: i64| {
            let node = recipe.node(node);
            let span = if node.kind() == Kind::String { node.text_span(0..node.text().len()) } else { node.span() };
            Occurrence { name: Name::Step(id), span, node: node.id(), is_definition: false }
        };
        for step in recipe.steps() {
            self.text(recipe.node(step.key), |_| Name::Step(step.id), true);
            // Comments have the key of their step.
            let others = recipe.repeated().iter().filter(|repeated| repeated.last == step.key);
            others.for_each(|repeated| self.text(recipe.node(repeated.key), |_| Name::Step(step.id), false));
            self.text_of(recipe, step.queue, Name::Queue);
            self.text_of(recipe, step.topic, Name::Topic);
            self.text_of(recipe, step.exchange, Name::Exchange);
            self.text_of(recipe, step.service, Name::Service);
            let owner = owner(recipe, step, contracts);
            let member = |part, name| Member { owner: owner.clone().unwrap_or_default(), part, name };
            for (part, object) in [("parameters", step.parameters), ("job_parameters", step.job_parameters)] {
                for found in object.into_iter().flat_map(|node| recipe.node(node).members()) {
                    if owner.is_some() {
                        self.text(found.key, |name| Name::Parameter(member(part, name)), false);
                    }
                }
            }
            for found in recipe.links(step) {
                self.found.extend(found.target.id().map(|id| link(found.node, id)));
                if let (Some(channel), Role::Output, true) = (found.channel, found.role, owner.is_some()) {
                    self.text(recipe.node(channel), |name| Name::Channel(member("channels", name)), false);
                }
            }
        }
        let entries = recipe.start().into_iter().flat_map(|start| &start.entries);
        for (node, target, payload) in entries.filter_map(|entry| entry.pair) {
            self.found.extend(target.id().map(|id| link(node, id)));
            self.recipes(recipe.node(payload));
        }
        for &(node, target) in recipe.error().into_iter().flat_map(|error| &error.targets) {
            self.found.extend(target.id().map(|id| link(node, id)));
        }
    }

    fn text_of(&mut self, recipe: &Recipe, node: Option<NodeId>, name: impl FnOnce(String) -> Name) {
        if let Some(node) = node {
            self.text(recipe.node(node), name, false);
        }
    }

    fn placeholders(&mut self, compilation: &Compilation) {
        for used in &compilation.templates {
            let node = compilation.tree.node(used.node);
            let text = node.text();
            let fields = used.template.iter().flat_map(Template::fields);
            let mut names: Vec<_> =
                fields.filter_map(|field| Some((field.name.clone(), name_in(&text, field)?))).collect();
            if used.template.is_err() {
                names = whole_names(&text);
            }
            for (name, range) in names {
                let (name, span) = (Name::Placeholder(name), node.text_span(range));
                self.found.push(Occurrence { name, span, node: node.id(), is_definition: false });
            }
        }
    }

    fn contract(&mut self) {
        let root = self.tree.root();
        let items = |key: &str| root.get(key).into_iter().flat_map(NodeRef::items);
        items("names").for_each(|name| self.text(name, Name::Service, true));
        items("queues")
            .filter(|queue| !queue.text().contains('*'))
            .for_each(|queue| self.text(queue, Name::Queue, true));
        let Some(owner) = items("names").chain(items("queues")).next().map(|name| name.text().into_owned()) else {
            return;
        };
        let member = |part| move |owner: &str, name: String| Member { owner: owner.to_owned(), part, name };
        for channel in members(root, "channels") {
            self.text(channel.key, |name| Name::Channel(member("channels")(&owner, name)), true);
        }
        let knows = |part: &str, name: NodeRef<'_>| {
            let properties = root.get(part).and_then(|schema| schema.get("properties"));
            properties.is_some_and(|properties| properties.get(&name.text()).is_some())
        };
        for part in ["parameters", "job_parameters"] {
            let Some(schema) = root.get(part) else { continue };
            let name = |name| Name::Parameter(member(part)(&owner, name));
            members(schema, "properties").for_each(|property| self.text(property.key, name, true));
            self.schema(schema, &name);
        }
        for deprecated in members(root, "deprecated") {
            let is_of_job = [deprecated.key, deprecated.value].into_iter().any(|name| knows("job_parameters", name))
                && !knows("parameters", deprecated.key);
            let part = if is_of_job { "job_parameters" } else { "parameters" };
            let name = |name| Name::Parameter(member(part)(&owner, name));
            self.text(deprecated.key, name, false);
            self.text(deprecated.value, name, false);
        }
    }

    /// The parameters that a schema names, but for its own properties.
    fn schema(&mut self, schema: NodeRef<'_>, name: &impl Fn(String) -> Name) {
        let required = schema.get("required").into_iter().flat_map(NodeRef::items);
        required.for_each(|required| self.text(required, name, false));
        for dependent in members(schema, "dependentRequired") {
            self.text(dependent.key, name, false);
            dependent.value.items().for_each(|required| self.text(required, name, false));
        }
        let lists = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|key| schema.get(key));
        let single = ["if", "then", "else", "not"].into_iter().filter_map(|key| schema.get(key));
        for part in lists.flat_map(NodeRef::items).chain(single) {
            members(part, "properties").for_each(|property| self.text(property.key, name, false));
            self.schema(part, name);
        }
    }

    fn settings(&mut self) {
        let root = self.tree.root();
        members(root, "parameters").for_each(|member| self.text(member.key, Name::Placeholder, true));
        let tables = root.get("overrides").into_iter().flat_map(NodeRef::items).chain([root]);
        tables.flat_map(|table| members(table, "rules")).for_each(|member| self.text(member.key, Name::Rule, false));
        let suppressed = root.get("suppress").into_iter().flat_map(NodeRef::items);
        suppressed.filter_map(|entry| entry.get("rule")).for_each(|rule| self.text(rule, Name::Rule, false));
    }

    fn request(&mut self, request: NodeRef<'_>) {
        self.recipes(request);
        let parameters = request.get("parameters").into_iter().flat_map(NodeRef::members);
        parameters.for_each(|member| self.text(member.key, Name::Placeholder, false));
    }

    /// The recipes that a request asks for.
    fn recipes(&mut self, request: NodeRef<'_>) {
        let names = request.get("recipes").into_iter().flat_map(NodeRef::items);
        names.for_each(|name| self.text(name, Name::Recipe, false));
    }
}

fn members<'t>(node: NodeRef<'t>, key: &str) -> impl Iterator<Item = crate::syntax::Member<'t>> {
    node.get(key).into_iter().flat_map(NodeRef::members)
}

/// Where in a string the name of a placeholder stands.
fn name_in(text: &str, field: &Field) -> Option<std::ops::Range<usize>> {
    let written = text.get(field.span.clone())?;
    let lead = if written.starts_with("{$REPLACE") { "{$REPLACE:".len() } else { 1 };
    let at = lead + written.get(lead..)?.find(&*field.name)?;
    Some(field.span.start + at..field.span.start + at + field.name.len())
}
