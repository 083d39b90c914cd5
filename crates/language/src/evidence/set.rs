//! The counts of facts over all recipes.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use super::facts::{Facts, Form, Key, key};

/// What the others say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// The name they use.
    pub name: Arc<str>,
    /// How many of them.
    pub count: usize,
}

/// What is counted: what is named, and within what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Table {
    /// Queues.
    Queues,
    /// Services.
    Services,
    /// Queues of a service.
    QueuesOf,
    /// Services on a queue.
    ServicesOn,
    /// Where the outputs of a channel go.
    Channels,
    /// Where the outputs of a channel go, of one kind of step.
    Routes,
    /// The channels that a kind of step has.
    Sends,
    /// Kinds of steps.
    Steps,
    /// Parameters of a kind of step.
    Parameters,
    /// Values of a parameter of a kind of step.
    Values,
    /// Values of a parameter of any step.
    AnyValues,
    /// Types of the values of a parameter of a kind of step.
    Shapes,
    /// Kinds of steps that a channel feeds.
    Fed,
    /// Parameters of a kind of step that a channel feeds.
    FedParameters,
    /// Values of a parameter of a kind of step that a channel feeds.
    FedValues,
    /// Keys of a kind of step that are not zocalo's.
    OwnKeys,
    /// Placeholders.
    Placeholders,
}

/// The counts over all recipes of a set.
#[derive(Debug, Clone, Default)]
pub struct Set {
    groups: Map<Group>,
    names: Map<Known>,
}

type Map<V> = HashMap<Key, V, foldhash::fast::RandomState>;

/// How often each name is there.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    counts: Map<u32>,
    total: u32,
    /// No name is there more often.
    max: u32,
}

/// A name behind a hash.
#[derive(Debug, Clone)]
struct Known {
    name: Arc<str>,
    /// In how many groups.
    uses: u32,
}

impl Group {
    /// How often a name is there.
    pub fn count(&self, name: Key) -> usize {
        self.counts.get(&name).copied().unwrap_or(0) as usize
    }

    /// How often names are there together.
    pub fn total(&self) -> usize {
        self.total as usize
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.counts.len()
    }

    /// No name is there more often than so.
    pub fn max(&self) -> usize {
        self.max as usize
    }

    /// Whether there is no other name.
    pub fn is_uniform(&self) -> bool {
        self.counts.len() == 1
    }

    /// All names.
    pub fn iter(&self) -> impl Iterator<Item = (Key, usize)> {
        self.counts.iter().map(|(&name, &count)| (name, count as usize))
    }
}

/// The hash of a group.
pub(super) fn place(table: Table, within: [Key; 3]) -> Key {
    const STATE: foldhash::fast::FixedState = foldhash::fast::FixedState::with_seed(0x6772_6f75_7073);
    STATE.hash_one((table as u8, within))
}

/// Every fact as a name in a group.
fn each(facts: &Facts, take: &mut dyn FnMut(Key, Key)) {
    use Table as T;
    for step in &facts.steps {
        if step.queue != 0 {
            take(place(T::Queues, [0; 3]), step.queue);
        }
        if step.service != 0 {
            take(place(T::Services, [0; 3]), step.service);
            if step.queue != 0 {
                take(place(T::QueuesOf, [step.service, 0, 0]), step.queue);
                take(place(T::ServicesOn, [step.queue, 0, 0]), step.service);
            }
        }
        if step.id != 0 {
            take(place(T::Steps, [0; 3]), step.kind);
            if step.feed != 0 {
                take(place(T::Fed, [step.feed, 0, 0]), step.kind);
            }
        }
    }
    let mut last = (u32::MAX, 0);
    for output in &facts.outputs {
        let (from, to) = (&facts.steps[output.step as usize], &facts.steps[output.to as usize]);
        if from.id == 0 || to.id == 0 {
            continue;
        }
        take(place(T::Channels, [output.channel, 0, 0]), to.id);
        take(place(T::Routes, [from.id, output.channel, 0]), to.id);
        // A channel with several links is one.
        if last != (output.step, output.channel) {
            take(place(T::Sends, [from.kind, 0, 0]), output.channel);
        }
        last = (output.step, output.channel);
    }
    for parameter in &facts.parameters {
        let step = &facts.steps[parameter.step as usize];
        if step.id == 0 {
            continue;
        }
        take(place(T::Parameters, [step.kind, 0, 0]), parameter.name);
        if step.feed != 0 {
            take(place(T::FedParameters, [step.feed, step.kind, 0]), parameter.name);
        }
        if let Some(shape) = parameter.shape {
            take(place(T::Shapes, [step.kind, parameter.name, 0]), shape.key());
        }
        if parameter.form == Form::Whole {
            continue;
        }
        take(place(T::Values, [step.kind, parameter.name, 0]), parameter.value);
        if step.feed != 0 {
            take(place(T::FedValues, [step.feed, step.kind, parameter.name]), parameter.value);
        }
        if parameter.form != Form::Other {
            take(place(T::AnyValues, [parameter.name, 0, 0]), parameter.value);
        }
    }
    for own in &facts.own_keys {
        let kind = facts.steps[own.step as usize].kind;
        if kind != 0 {
            take(place(T::OwnKeys, [kind, 0, 0]), own.name);
        }
    }
    for placeholder in &facts.placeholders {
        take(place(T::Placeholders, [0; 3]), placeholder.name);
    }
}

/// How often a recipe says each thing.
pub(super) fn count(facts: &Facts) -> HashMap<(Key, Key), u32, foldhash::fast::RandomState> {
    let most = facts.steps.len() * 6 + facts.outputs.len() * 3 + facts.parameters.len() * 6 + facts.own_keys.len();
    let mut counts = HashMap::with_capacity_and_hasher(most, foldhash::fast::RandomState::default());
    each(facts, &mut |group, name| *counts.entry((group, name)).or_default() += 1);
    counts
}

impl Set {
    /// Counts the facts of one more recipe.
    pub fn add(&mut self, facts: &Facts) {
        let Self { groups, names } = self;
        each(facts, &mut |group, name| {
            let group = groups.entry(group).or_default();
            group.total += 1;
            let count = group.counts.entry(name).or_default();
            *count += 1;
            group.max = group.max.max(*count);
            if *count > 1 {
                return;
            }
            match names.get_mut(&name) {
                Some(known) => known.uses += 1,
                None => {
                    let text = facts.name(name).unwrap_or_default();
                    names.insert(name, Known { name: text.into(), uses: 1 });
                }
            }
        });
    }

    /// Takes the facts of a recipe out again.
    pub fn remove(&mut self, facts: &Facts) {
        let Self { groups, names } = self;
        each(facts, &mut |at, name| {
            let Some(group) = groups.get_mut(&at) else { return };
            let Some(count) = group.counts.get_mut(&name) else { return };
            *count -= 1;
            group.total -= 1;
            if *count > 0 {
                return;
            }
            group.counts.remove(&name);
            if group.counts.is_empty() {
                groups.remove(&at);
            }
            if let Some(known) = names.get_mut(&name) {
                known.uses -= 1;
                if known.uses == 0 {
                    names.remove(&name);
                }
            }
        });
    }

    /// Counts another state of a recipe in place of the one that has been counted; whether anything has changed.
    pub fn replace(&mut self, known: &mut Facts, new: Facts) -> bool {
        let changes = !known.says_the_same(&new);
        if changes {
            self.add(&new);
            self.remove(known);
        }
        *known = new;
        changes
    }

    /// Whether the recipes contradict this one in anything, so that a rule has something to report.
    pub fn contradicts(&self, facts: &Facts) -> bool {
        !self.findings(facts).is_empty()
    }

    /// What most steps of the kind of a step give as a parameter, if that is text.
    pub fn usual_value(&self, facts: &Facts, step: u32, parameter: &str) -> Option<Arc<str>> {
        let step = facts.steps.get(step as usize)?;
        let values = self.group(Table::Values, [step.kind, key(parameter), 0])?;
        let any = self.group(Table::AnyValues, [key(parameter), 0, 0])?;
        let mut texts: Vec<(&Arc<str>, usize)> = values
            .iter()
            .filter(|&(name, _)| any.count(name) > 0)
            .filter_map(|(name, count)| Some((self.name(name)?, count)))
            .collect();
        texts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        texts.first().filter(|(_, count)| count * 2 > values.total()).map(|(name, _)| Arc::clone(name))
    }

    /// What is counted in a table within something.
    pub(super) fn group(&self, table: Table, within: [Key; 3]) -> Option<&Group> {
        self.groups.get(&place(table, within))
    }

    /// The name behind a hash.
    pub(super) fn name(&self, name: Key) -> Option<&Arc<str>> {
        self.names.get(&name).map(|known| &known.name)
    }
}
