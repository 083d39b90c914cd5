//! What one recipe says that can be compared with others.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::BuildHasher as _;

use crate::recipe::{Recipe, Role, STEP_KEYS, Step};
use crate::syntax::{Kind, NodeId, NodeRef};
use crate::template::{TemplateUse, has_braces};

/// The hash of a name; 0 for no name.
pub(super) type Key = u64;

/// The hash of a name. It is the same for all recipes of a process.
pub(super) fn key(name: &str) -> Key {
    const STATE: foldhash::fast::FixedState = foldhash::fast::FixedState::with_seed(0x7a6f_6361_6c6f);
    STATE.hash_one(name).max(1)
}

/// What a recipe says that can be compared with others.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Its steps, in the order of [`Recipe::steps`].
    pub steps: Vec<StepFacts>,
    /// Its outputs, step by step.
    pub outputs: Vec<Output>,
    /// The parameters of its steps, step by step.
    pub parameters: Vec<Parameter>,
    /// Keys of steps that are not zocalo's, step by step.
    pub own_keys: Vec<OwnKey>,
    /// Its placeholders, step by step.
    pub placeholders: Vec<Placeholder>,
    /// The names behind the hashes, each once.
    pub(super) names: Vec<(Key, Box<str>)>,
}

/// What a step says about itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepFacts {
    /// Its queue, if that has no placeholders.
    pub(super) queue: Key,
    /// Its service, if it names one.
    pub(super) service: Key,
    /// What tells it from other steps: its queue, else its service, else its topic.
    pub(super) id: Key,
    /// The same with its service: what steps with the same parameters have in common.
    pub(super) kind: Key,
    /// The channel that feeds it, if there is one only, or the start.
    pub(super) feed: Key,
}

/// A link to another step.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// The place of its step among the steps.
    pub step: u32,
    /// The channel; that without a name has one of its own.
    pub(super) channel: Key,
    /// The name of the channel in the text.
    pub name: Option<NodeId>,
    /// The link in the text.
    pub link: NodeId,
    /// The place of the step that it goes to.
    pub to: u32,
}

/// A parameter of a step.
#[derive(Debug, Clone, Copy)]
pub struct Parameter {
    /// The place of its step among the steps.
    pub step: u32,
    /// What it is called.
    pub(super) name: Key,
    /// Its value, if that is a scalar.
    pub(super) value: Key,
    /// What its value is.
    pub form: Form,
    /// What type its value has, if that is known.
    pub shape: Option<Shape>,
    /// Its name in the text.
    pub key: NodeId,
    /// Its value in the text.
    pub node: NodeId,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text without placeholders.
    Text,
    /// Text that is one placeholder.
    Placeholder,
    /// Text with placeholders.
    Template,
    /// A number, `true`, `false` or `null`.
    Other,
    /// A list or an object.
    Whole,
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Text, with or without placeholders.
    Text = 1,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
}

impl Shape {
    const ALL: [Self; 5] = [Self::Text, Self::Number, Self::Boolean, Self::List, Self::Object];

    /// The shape of a value: nothing for `null`, which stands for any, and for what a parameter replaces as a whole.
    fn of(value: NodeRef<'_>, template: Option<&TemplateUse>) -> Option<Self> {
        let is_replaced = || template.is_some_and(|used| used.template.as_ref().is_ok_and(|found| found.replace));
        match value.kind() {
            Kind::String => (!is_replaced()).then_some(Self::Text),
            Kind::Number => Some(Self::Number),
            Kind::Bool => Some(Self::Boolean),
            Kind::Array => Some(Self::List),
            Kind::Object => Some(Self::Object),
            _ => None,
        }
    }

    /// What stands for it in a set.
    pub(super) fn key(self) -> Key {
        self as Key
    }

    /// The shape behind what stands for it.
    pub(super) fn behind(key: Key) -> Option<Self> {
        Self::ALL.into_iter().find(|shape| shape.key() == key)
    }

    /// What to call it in a message.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "a number",
            Self::Boolean => "`true` or `false`",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

/// A key of a step that is not zocalo's.
#[derive(Debug, Clone, Copy)]
pub struct OwnKey {
    /// The place of its step among the steps.
    pub step: u32,
    /// The key.
    pub(super) name: Key,
    /// The key in the text.
    pub key: NodeId,
}

/// A placeholder in a step.
#[derive(Debug, Clone, Copy)]
pub struct Placeholder {
    /// The place of its step among the steps.
    pub step: u32,
    /// The name of the parameter in it.
    pub(super) name: Key,
    /// The text that it stands in.
    pub node: NodeId,
}

/// The channel without a name.
pub(super) const DEFAULT: &str = "\n";
/// What feeds the steps that `start` names.
const START: &str = "\nstart";

/// The names behind hashes.
struct Names<'r>(HashMap<Key, Cow<'r, str>, foldhash::fast::RandomState>);

impl<'r> Names<'r> {
    fn key(&mut self, name: Cow<'r, str>) -> Key {
        let key = key(&name);
        self.0.entry(key).or_insert(name);
        key
    }
}

impl Facts {
    /// The facts of a recipe.
    pub fn of(recipe: &Recipe, templates: &[TemplateUse]) -> Self {
        let mut names = Names(HashMap::default());
        let mut facts = Self { steps: Vec::with_capacity(recipe.steps().len()), ..Self::default() };
        facts.steps.extend(recipe.steps().iter().map(|step| own(recipe, step, &mut names)));
        for (index, step) in recipe.steps().iter().enumerate() {
            facts.add_outputs(recipe, step, index, &mut names);
            facts.add_parameters(recipe, step, index, templates, &mut names);
        }
        facts.find_feeds(recipe);
        facts.names = names.0.into_iter().map(|(key, name)| (key, name.into())).collect();
        facts.names.sort_unstable_by_key(|&(key, _)| key);
        facts
    }

    fn add_outputs<'r>(&mut self, recipe: &'r Recipe, step: &Step, index: usize, names: &mut Names<'r>) {
        for link in recipe.links(step).iter().filter(|link| link.role == Role::Output) {
            let Some(to) = link.target.id().and_then(|id| recipe.step_index(id)) else { continue };
            let channel = match link.channel.map(|channel| recipe.node(channel).text()) {
                Some(name) if has_braces(&name) => continue,
                Some(name) => names.key(name),
                None => names.key(Cow::Borrowed(DEFAULT)),
            };
            let (step, to) = (index as u32, to as u32);
            self.outputs.push(Output { step, channel, name: link.channel, link: link.node, to });
        }
    }

    fn add_parameters<'r>(
        &mut self,
        recipe: &'r Recipe,
        step: &Step,
        index: usize,
        templates: &'r [TemplateUse],
        names: &mut Names<'r>,
    ) {
        let step_index = index as u32;
        let value = recipe.node(step.value);
        let first = templates.partition_point(|used| used.node < step.value);
        let mut own = templates[first..].iter().take_while(|used| value.holds(used.node)).peekable();
        let add_placeholder = |facts: &mut Self, names: &mut Names<'r>, used: &'r TemplateUse| {
            let Ok(template) = &used.template else { return };
            let mut last = 0;
            for field in template.fields().into_iter().filter(|field| is_name(&field.name)) {
                let name = names.key(Cow::Borrowed(&field.name));
                // Of a text with many, those that follow one another are enough.
                if name != last {
                    facts.placeholders.push(Placeholder { step: step_index, name, node: used.node });
                }
                last = name;
            }
        };
        for member in value.members().filter(|member| !STEP_KEYS.iter().any(|known| member.key.is(known))) {
            let name = names.key(member.key.text());
            self.own_keys.push(OwnKey { step: step_index, name, key: member.key.id() });
        }
        let object = step.parameters.map(|node| recipe.node(node)).filter(|node| node.kind() == Kind::Object);
        for member in object.into_iter().flat_map(NodeRef::members) {
            let name = member.key.text();
            if has_braces(&name) || !recipe.shadowed().is_empty() && recipe.is_dropped(member.key) {
                continue;
            }
            while let Some(used) = own.next_if(|used| used.node < member.value.id()) {
                add_placeholder(self, names, used);
            }
            let template = own.peek().filter(|used| used.node == member.value.id());
            let form = match (member.value.kind(), template) {
                (Kind::Array | Kind::Object | Kind::Missing, _) => Form::Whole,
                (Kind::String, None) => Form::Text,
                (Kind::String, Some(used)) => match &used.template {
                    Ok(template) if template.whole().is_some() => Form::Placeholder,
                    // `{{x}}` and the like.
                    Ok(template) if template.fields().is_empty() => Form::Text,
                    _ => Form::Template,
                },
                _ => Form::Other,
            };
            let shape = Shape::of(member.value, template.copied());
            let value = if form == Form::Whole { 0 } else { names.key(member.value.text()) };
            let (key, node) = (member.key.id(), member.value.id());
            self.parameters.push(Parameter { step: step_index, name: names.key(name), value, form, shape, key, node });
        }
        own.for_each(|used| add_placeholder(self, names, used));
    }

    /// Finds out by which channel alone each step is fed.
    fn find_feeds(&mut self, recipe: &Recipe) {
        const SEVERAL: Key = Key::MAX;
        let mut take = |step: usize, feed: Key| {
            if let Some(step) = self.steps.get_mut(step) {
                step.feed = if step.feed == 0 || step.feed == feed { feed } else { SEVERAL };
            }
        };
        let entries = recipe.start().into_iter().flat_map(|start| &start.entries);
        let started = entries.filter_map(|entry| recipe.step_index(entry.pair?.1.id()?));
        started.for_each(|step| take(step, key(START)));
        self.outputs.iter().for_each(|output| take(output.to as usize, output.channel));
        self.steps.iter_mut().filter(|step| step.feed == SEVERAL).for_each(|step| step.feed = 0);
    }

    /// Forgets the names behind the hashes: a set that has counted these facts knows them.
    pub fn forget_names(&mut self) {
        self.names = Vec::new();
    }

    /// Whether a recipe says the same, wherever in the text.
    pub fn says_the_same(&self, other: &Facts) -> bool {
        let same_outputs = || {
            let essence = |output: &Output| (output.step, output.channel, output.to);
            self.outputs.iter().map(essence).eq(other.outputs.iter().map(essence))
        };
        let same_parameters = || {
            let essence = |parameter: &Parameter| {
                (parameter.step, parameter.name, parameter.value, parameter.form, parameter.shape)
            };
            self.parameters.iter().map(essence).eq(other.parameters.iter().map(essence))
        };
        let same_placeholders = || {
            let essence = |placeholder: &Placeholder| (placeholder.step, placeholder.name);
            self.placeholders.iter().map(essence).eq(other.placeholders.iter().map(essence))
        };
        let same_keys = || {
            let essence = |own: &OwnKey| (own.step, own.name);
            self.own_keys.iter().map(essence).eq(other.own_keys.iter().map(essence))
        };
        self.steps == other.steps && same_keys() && same_outputs() && same_parameters() && same_placeholders()
    }

    /// Whether a placeholder has a name.
    pub fn is_of(&self, placeholder: &Placeholder, name: &str) -> bool {
        key(name) == placeholder.name
    }

    /// The parameters of a step.
    pub(super) fn parameters_of(&self, step: u32) -> &[Parameter] {
        of_step(&self.parameters, step, |parameter| parameter.step)
    }

    /// The outputs of a step.
    pub(super) fn outputs_of(&self, step: u32) -> &[Output] {
        of_step(&self.outputs, step, |output| output.step)
    }

    /// The name behind a hash.
    pub(super) fn name(&self, key: Key) -> Option<&str> {
        let at = self.names.binary_search_by_key(&key, |&(key, _)| key).ok()?;
        Some(&self.names[at].1)
    }
}

fn of_step<T>(all: &[T], step: u32, step_of: impl Fn(&T) -> u32) -> &[T] {
    let (start, end) =
        (all.partition_point(|one| step_of(one) < step), all.partition_point(|one| step_of(one) <= step));
    &all[start..end]
}

fn own<'r>(recipe: &'r Recipe, step: &Step, names: &mut Names<'r>) -> StepFacts {
    let named = |part| match recipe.text(part) {
        Some(text) if !text.is_empty() => Some(text),
        _ => None,
    };
    let (queue, service, topic) = (named(step.queue), named(step.service), named(step.topic));
    let plain = queue.clone().filter(|queue| !has_braces(queue));
    let id = queue.or_else(|| service.clone()).or(topic);
    let mut key = |name: Option<Cow<'r, str>>| name.map_or(0, |name| names.key(name));
    let (queue, service, id) = (key(plain), key(service.filter(|name| !has_braces(name))), key(id));
    let kind = if service == 0 || service == id { id } else { id.rotate_left(1) ^ service };
    StepFacts { queue, service, id, kind, feed: 0 }
}

/// Whether something looks like the name of a parameter.
pub(super) fn is_name(text: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    text.starts_with(is_letter) && text.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}
