//! What many recipes have in common, so that the one that differs stands out.
//!
//! [`Facts`] are what one recipe says: which service is on which queue, where channels go, what parameters are called.
//! A [`Set`] counts them over all recipes that are checked together. A rule compares the facts of a recipe with the
//! counts of all the *others*, and speaks only when the others agree: a set without such mistakes is silent.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use indexmap::IndexMap;

use crate::recipe::{Recipe, Role, Step};
use crate::source::Span;
use crate::syntax::{Kind, NodeRef};
use crate::template::has_braces;

/// What a recipe says that can be compared with others.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Outputs on named channels.
    pub outputs: Vec<Output>,
    /// Steps on queues.
    pub places: Vec<Place>,
    /// Parameters of steps.
    pub parameters: Vec<Parameter>,
    /// How often each of them is there, if there are so many that to look through them for each takes too long.
    counts: OnceLock<Box<Set>>,
}

/// An output on a named channel.
#[derive(Debug, Clone)]
pub struct Output {
    /// The channel.
    pub channel: Arc<str>,
    /// The queue of the step that it goes to.
    pub queue: Arc<str>,
    /// The step that has the output.
    pub from: i64,
    /// The step that it goes to.
    pub to: i64,
    /// The link.
    pub span: Span,
}

/// A step on a queue.
#[derive(Debug, Clone)]
pub struct Place {
    /// The queue.
    pub queue: Arc<str>,
    /// The service, if it is named.
    pub service: Option<Arc<str>>,
    /// The step.
    pub step: i64,
    /// The queue's name in the text.
    pub span: Span,
}

/// A parameter of a step.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The queue of the step.
    pub queue: Arc<str>,
    /// The parameter.
    pub name: Arc<str>,
    /// The step.
    pub step: i64,
    /// Its key.
    pub span: Span,
}

/// The counts over all recipes of a set.
#[derive(Debug, Clone, Default)]
pub struct Set {
    /// Channel, then queue that it goes to: how many outputs.
    channels: Named<Counts>,
    /// Queue: in how many recipes.
    queues: Counts,
    /// Service, then queue: how many steps.
    services: Named<Counts>,
    /// Queue, then parameter: how many steps.
    parameters: Named<Counts>,
}

/// What is kept under a name.
type Named<V> = IndexMap<Arc<str>, V, foldhash::fast::RandomState>;

type Counts = Named<usize>;

/// What the others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// The name they use.
    pub name: Arc<str>,
    /// How many of them.
    pub count: usize,
}

impl Facts {
    /// The facts of a recipe. Names with placeholders are left out: nobody knows what they become.
    pub fn of(recipe: &Recipe) -> Self {
        let mut facts = Self { places: Vec::with_capacity(recipe.steps().len()), ..Self::default() };
        let name = |step: &Step| recipe.text(step.queue).filter(|queue| !has_braces(queue)).map(Arc::from);
        for step in recipe.steps() {
            for link in recipe.links(step).iter().filter(|link| link.role == Role::Output) {
                let target = link.target.id().and_then(|id| recipe.step(id));
                if let (Some(channel), Some(target)) = (link.channel, target)
                    && let Some(queue) = name(target)
                {
                    let (channel, span) = (recipe.node(channel).text().into(), recipe.span(link.node));
                    facts.outputs.push(Output { channel, queue, from: step.id, to: target.id, span });
                }
            }
            let (Some(queue), Some(node)) = (name(step), step.queue) else { continue };
            let keys = || step.parameters.into_iter().flat_map(|node| keys(recipe.node(node)));
            facts.parameters.reserve(keys().count());
            for key in keys() {
                let (queue, name, span) = (Arc::clone(&queue), key.text().into(), key.span());
                facts.parameters.push(Parameter { queue, name, step: step.id, span });
            }
            let service = recipe.text(step.service).map(Arc::from);
            facts.places.push(Place { queue, service, step: step.id, span: recipe.span(node) });
        }
        facts
    }

    /// Whether another recipe, or another state of this one, says the same: only the places may differ.
    pub fn say_the_same(&self, other: &Self) -> bool {
        self.outputs.len() == other.outputs.len()
            && self.places.len() == other.places.len()
            && self.parameters.len() == other.parameters.len()
            && self
                .outputs
                .iter()
                .zip(&other.outputs)
                .all(|(a, b)| (&a.channel, &a.queue, a.from, a.to) == (&b.channel, &b.queue, b.from, b.to))
            && self
                .places
                .iter()
                .zip(&other.places)
                .all(|(a, b)| (&a.queue, &a.service, a.step) == (&b.queue, &b.service, b.step))
            && self
                .parameters
                .iter()
                .zip(&other.parameters)
                .all(|(a, b)| (&a.queue, &a.name, a.step) == (&b.queue, &b.name, b.step))
    }

    /// Takes the places from facts that say the same.
    pub fn take_places(&mut self, other: Self) {
        self.outputs.iter_mut().zip(other.outputs).for_each(|(own, other)| own.span = other.span);
        self.places.iter_mut().zip(other.places).for_each(|(own, other)| own.span = other.span);
        self.parameters.iter_mut().zip(other.parameters).for_each(|(own, other)| own.span = other.span);
    }

    fn counts(&self) -> Option<&Set> {
        const MANY: usize = 64;
        let count = || {
            let mut counts = Set::default();
            counts.add(&mut Self { counts: OnceLock::new(), ..self.clone() });
            Box::new(counts)
        };
        (self.outputs.len().max(self.places.len()) > MANY).then(|| &**self.counts.get_or_init(count))
    }

    /// How many outputs on a channel go to a queue.
    fn outputs_to(&self, channel: &str, queue: &str) -> usize {
        let is_one = |output: &&Output| &*output.channel == channel && &*output.queue == queue;
        match self.counts() {
            Some(counts) => count(counts.channels.get(channel), queue),
            None => self.outputs.iter().filter(is_one).count(),
        }
    }

    /// How many steps of a service are on a queue.
    fn places_on(&self, service: &str, queue: &str) -> usize {
        let is_one = |place: &&Place| place.service.as_deref() == Some(service) && &*place.queue == queue;
        match self.counts() {
            Some(counts) => count(counts.services.get(service), queue),
            None => self.places.iter().filter(is_one).count(),
        }
    }
}

fn keys(parameters: NodeRef<'_>) -> impl Iterator<Item = NodeRef<'_>> {
    let object = (parameters.kind() == Kind::Object).then_some(parameters);
    object.into_iter().flat_map(NodeRef::members).map(|member| member.key).filter(|key| !has_braces(&key.text()))
}

impl Set {
    /// Counts the facts of one more recipe. From now on these share their names with all others, so that many facts
    /// need little memory.
    pub fn add(&mut self, facts: &mut Facts) {
        for output in &mut facts.outputs {
            *entry(entry(&mut self.channels, &mut output.channel), &mut output.queue) += 1;
        }
        for parameter in &mut facts.parameters {
            *entry(entry(&mut self.parameters, &mut parameter.queue), &mut parameter.name) += 1;
        }
        let mut queues: HashSet<Arc<str>, foldhash::fast::RandomState> = HashSet::default();
        for place in &mut facts.places {
            if let Some(service) = &mut place.service {
                *entry(entry(&mut self.services, service), &mut place.queue) += 1;
            }
            if !queues.contains(&place.queue) {
                *entry(&mut self.queues, &mut place.queue) += 1;
                queues.insert(Arc::clone(&place.queue));
            }
        }
    }

    /// Takes the facts of a recipe out again.
    pub fn remove(&mut self, facts: &Facts) {
        for output in &facts.outputs {
            forget(&mut self.channels, &output.channel, &output.queue);
        }
        for parameter in &facts.parameters {
            forget(&mut self.parameters, &parameter.queue, &parameter.name);
        }
        let mut queues: HashSet<&str, foldhash::fast::RandomState> = HashSet::default();
        for place in &facts.places {
            if let Some(service) = &place.service {
                forget(&mut self.services, service, &place.queue);
            }
            if queues.insert(&place.queue) {
                less(&mut self.queues, &place.queue);
            }
        }
    }

    /// Whether the other recipes contradict this one in anything, so that a rule may have something to say.
    pub fn contradicts(&self, facts: &Facts) -> bool {
        facts.outputs.iter().any(|output| self.usual_queue_of_channel(facts, output).is_some())
            || facts.places.iter().any(|place| {
                self.usual_queue_of_service(facts, place).is_some() || self.nearly_the_queue(place).is_some()
            })
            || facts.parameters.iter().any(|parameter| self.nearly_the_parameter(facts, parameter).is_some())
    }

    /// Where the outputs of that name go in the other recipes, if nearly all go to one queue and none to this one.
    pub fn usual_queue_of_channel(&self, facts: &Facts, output: &Output) -> Option<Custom> {
        const ENOUGH: usize = 5;
        let own = |queue: &str| facts.outputs_to(&output.channel, queue);
        let counts = self.channels.get(&output.channel)?;
        if counts.get(&output.queue).is_some_and(|&count| count > own(&output.queue)) {
            return None;
        }
        let others = self.others(counts, own);
        let total: usize = others.iter().map(|custom| custom.count).sum();
        let custom = others.iter().max_by_key(|custom| custom.count)?;
        (total >= ENOUGH && custom.count * 10 >= total * 9).then(|| custom.clone())
    }

    /// The queue that a service is on everywhere else, if the queue it is on here is another service's everywhere else.
    pub fn usual_queue_of_service(&self, facts: &Facts, place: &Place) -> Option<Custom> {
        const ENOUGH: usize = 3;
        let service = place.service.as_ref()?;
        let own = |queue: &str| facts.places_on(service, queue);
        let counts = self.services.get(service)?;
        if counts.get(&place.queue).is_some_and(|&count| count > own(&place.queue)) {
            return None;
        }
        let mut others = self.others(counts, own);
        let custom = others.pop().filter(|custom| others.is_empty() && custom.count >= ENOUGH)?;
        let shared = self
            .services
            .iter()
            .any(|(other, queues)| other != service && queues.get(&place.queue).is_some_and(|&count| count >= ENOUGH));
        shared.then_some(custom)
    }

    /// A queue that many other recipes use and whose name is nearly that of this one, which none of them uses.
    pub fn nearly_the_queue(&self, place: &Place) -> Option<Custom> {
        const ENOUGH: usize = 5;
        let count = self.queues.get(&place.queue).copied().unwrap_or_default();
        if count > 1 {
            return None;
        }
        nearly(&place.queue, &self.queues, ENOUGH)
    }

    /// A parameter that many other steps of the same queue have, and whose name is nearly that of this one.
    pub fn nearly_the_parameter(&self, facts: &Facts, parameter: &Parameter) -> Option<Custom> {
        const ENOUGH: usize = 5;
        let known = self.parameters.get(&parameter.queue)?;
        if known.get(&parameter.name).copied().unwrap_or_default() > 1 {
            return None;
        }
        let custom = nearly(&parameter.name, known, ENOUGH)?;
        let has_both = facts.parameters.iter().any(|other| other.step == parameter.step && other.name == custom.name);
        (!has_both).then_some(custom)
    }

    fn others(&self, counts: &Counts, own: impl Fn(&str) -> usize) -> Vec<Custom> {
        let others =
            counts.iter().map(|(name, &count)| Custom { name: Arc::clone(name), count: count - own(name).min(count) });
        let mut others: Vec<Custom> = others.filter(|custom| custom.count > 0).collect();
        others.sort_by(|a, b| (a.count, &b.name).cmp(&(b.count, &a.name)));
        others
    }
}

fn count(counts: Option<&Counts>, name: &str) -> usize {
    counts.and_then(|counts| counts.get(name)).copied().unwrap_or_default()
}

/// One less of a name under another.
fn forget(known: &mut Named<Counts>, name: &str, inner: &str) {
    let Some(counts) = known.get_mut(name) else { return };
    less(counts, inner);
    if counts.is_empty() {
        known.swap_remove(name);
    }
}

fn less(counts: &mut Counts, name: &str) {
    let Some(count) = counts.get_mut(name) else { return };
    *count -= 1;
    if *count == 0 {
        counts.swap_remove(name);
    }
}

/// What is kept under a name, which is the known one afterwards.
fn entry<'k, V: Default>(known: &'k mut Named<V>, name: &mut Arc<str>) -> &'k mut V {
    let found = known.entry(Arc::clone(name));
    *name = Arc::clone(found.key());
    found.or_default()
}

/// The frequent name that is a slip of the finger away. Names that differ in digits only are meant to differ.
fn nearly(name: &str, known: &Counts, enough: usize) -> Option<Custom> {
    let length = name.chars().count();
    let most = match length {
        0..5 => return None,
        5..12 => 1,
        _ => 2,
    };
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let mut found: Vec<Custom> = known
        .iter()
        .filter(|(other, count)| {
            **count >= enough && other.chars().count().abs_diff(length) <= most && ***other != *name
        })
        .filter(|(other, _)| letters(other) != letters(name))
        .filter(|(other, _)| strsim::damerau_levenshtein(other, name) <= most)
        .map(|(other, &count)| Custom { name: Arc::clone(other), count })
        .collect();
    found.sort_by(|a, b| (a.count, &b.name).cmp(&(b.count, &a.name)));
    found.pop()
}
