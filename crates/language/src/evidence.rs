//! What many recipes have in common, so that the one that differs stands out.
//!
//! [`Facts`] are what one recipe says: which service is on which queue, where channels go, what parameters are called.
//! A [`Set`] counts them over all recipes that are checked together. A rule compares the facts of a recipe with the
//! counts of all the *others*, and speaks only when the others agree: a set without such mistakes is silent.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
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
    /// The queue of the step that has the output.
    pub by: Arc<str>,
    /// That queue and the channel.
    route: Arc<str>,
    /// The queue of the step that it goes to.
    pub queue: Arc<str>,
    /// The step that has the output.
    pub from: i64,
    /// The step that it goes to.
    pub to: i64,
    /// The channel's name in the text.
    pub key: Span,
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
    channels: Grouped,
    /// The same for the outputs of one queue.
    routes: Grouped,
    /// Queue, then channel on which steps of that queue send: how many outputs.
    senders: Grouped,
    /// Queue: in how many recipes.
    queues: Counts,
    /// Service, then queue: how many steps.
    services: Grouped,
    /// Queue, then parameter: how many steps.
    parameters: Grouped,
}

/// What is kept under a name.
type Named<V> = IndexMap<Arc<str>, V, foldhash::fast::RandomState>;

/// How often each name is there.
#[derive(Debug, Clone, Default)]
struct Counts {
    all: Named<usize>,
    /// Those that are there often enough for another to be a slip of the finger: they are few, and looked through.
    often: Named<()>,
}

/// How often each name is there under another.
#[derive(Debug, Clone, Default)]
struct Grouped(Named<Counts>);

impl Grouped {
    /// What is kept under a name, which is the known one afterwards.
    fn under(&mut self, name: &mut Arc<str>) -> &mut Counts {
        entry(&mut self.0, name)
    }

    fn get(&self, name: &str) -> Option<&Counts> {
        self.0.get(name)
    }

    fn count(&self, name: &str, inner: &str) -> usize {
        self.get(name).map_or(0, |counts| counts.get(inner))
    }

    /// One less of a name under another.
    fn forget(&mut self, name: &str, inner: &str) {
        let Some(counts) = self.0.get_mut(name) else { return };
        counts.remove(inner);
        if counts.all.is_empty() {
            self.0.swap_remove(name);
        }
    }
}

impl Counts {
    fn get(&self, name: &str) -> usize {
        self.all.get(name).copied().unwrap_or_default()
    }

    /// Whether there is no other name.
    fn is_only(&self, name: &str) -> bool {
        self.all.len() == 1 && self.all.contains_key(name)
    }

    /// One more of a name, which is the known one afterwards.
    fn add(&mut self, name: &mut Arc<str>) {
        let count = entry(&mut self.all, name);
        *count += 1;
        if *count == OFTEN {
            self.often.insert(Arc::clone(name), ());
        }
    }

    fn remove(&mut self, name: &str) {
        let Some(count) = self.all.get_mut(name) else { return };
        *count -= 1;
        match *count {
            0 => {
                self.all.swap_remove(name);
            }
            count if count + 1 == OFTEN => {
                self.often.swap_remove(name);
            }
            _ => {}
        }
    }
}

/// How often a name has to be there for another to be a misspelling of it.
const OFTEN: usize = 3;

type Queues = HashSet<Arc<str>, foldhash::fast::RandomState>;

/// What the others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// The name they use.
    pub name: Arc<str>,
    /// How many of them.
    pub count: usize,
}

/// Which outputs of that name were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Among {
    /// All.
    All,
    /// Those of steps on the same queue.
    ThoseOfTheQueue,
}

impl Output {
    fn name(&self, among: Among) -> &Arc<str> {
        match among {
            Among::All => &self.channel,
            Among::ThoseOfTheQueue => &self.route,
        }
    }
}

impl Facts {
    /// The facts of a recipe. Names with placeholders are left out: nobody knows what they become.
    pub fn of(recipe: &Recipe) -> Self {
        let mut facts = Self { places: Vec::with_capacity(recipe.steps().len()), ..Self::default() };
        // Of the step that the parameters are of: steps come one after the other.
        let mut last: Option<Arc<str>> = None;
        each(recipe, &mut |fact| {
            match fact {
                Fact::Output { by, channel, queue, from, to, span } => {
                    let (key, channel): (_, Arc<str>) = (channel.span(), channel.text().into());
                    let route = [by, "\n", &channel].concat().into();
                    let (by, queue) = (Arc::from(by), Arc::from(queue));
                    facts.outputs.push(Output { channel, by, route, queue, from, to, key, span });
                }
                Fact::Place { queue, service, step, span } => {
                    let queue: Arc<str> = Arc::from(queue);
                    last = Some(Arc::clone(&queue));
                    facts.places.push(Place { queue, service: service.map(Arc::from), step, span });
                }
                Fact::Parameter { queue, key, step } => {
                    let queue = last.clone().unwrap_or_else(|| Arc::from(queue));
                    let (name, span) = (key.text().into(), key.span());
                    facts.parameters.push(Parameter { queue, name, step, span });
                }
            }
            true
        });
        facts
    }

    /// Whether a recipe says the same, wherever in the text.
    pub fn are_of(&self, recipe: &Recipe) -> bool {
        let (mut outputs, mut places, mut parameters) =
            (self.outputs.iter(), self.places.iter(), self.parameters.iter());
        let mut same = true;
        each(recipe, &mut |fact| {
            same &= match fact {
                Fact::Output { by, channel, queue, from, to, .. } => outputs.next().is_some_and(|own| {
                    (own.from, own.to) == (from, to)
                        && (&*own.queue, &*own.by) == (queue, by)
                        && channel.is(&own.channel)
                }),
                Fact::Place { queue, service, step, .. } => places.next().is_some_and(|own| {
                    own.step == step && *own.queue == *queue && own.service.as_deref() == service.as_deref()
                }),
                Fact::Parameter { queue, key, step } => {
                    parameters.next().is_some_and(|own| own.step == step && *own.queue == *queue && key.is(&own.name))
                }
            };
            same
        });
        same && outputs.next().is_none() && places.next().is_none() && parameters.next().is_none()
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

    /// How many outputs of the name of this one go to a queue.
    fn outputs_to(&self, among: Among, output: &Output, queue: &str) -> usize {
        let name = output.name(among);
        let is_one = |other: &&Output| other.name(among) == name && &*other.queue == queue;
        match self.counts() {
            Some(counts) => counts.outputs(among).count(name, queue),
            None => self.outputs.iter().filter(is_one).count(),
        }
    }

    /// How many steps of a service are on a queue.
    fn places_on(&self, service: &str, queue: &str) -> usize {
        let is_one = |place: &&Place| place.service.as_deref() == Some(service) && &*place.queue == queue;
        match self.counts() {
            Some(counts) => counts.services.count(service, queue),
            None => self.places.iter().filter(is_one).count(),
        }
    }
}

/// One thing that a recipe says.
enum Fact<'r> {
    Output { by: &'r str, channel: NodeRef<'r>, queue: &'r str, from: i64, to: i64, span: Span },
    Place { queue: &'r str, service: Option<Cow<'r, str>>, step: i64, span: Span },
    Parameter { queue: &'r str, key: NodeRef<'r>, step: i64 },
}

/// Takes what a recipe says, step by step, the place of each before its parameters, until `take` has enough.
fn each(recipe: &Recipe, take: &mut dyn FnMut(Fact<'_>) -> bool) {
    let name = |step: &Step| recipe.text(step.queue).filter(|queue| !has_braces(queue));
    for step in recipe.steps() {
        let from = step.id;
        let by = recipe.text(step.queue).unwrap_or_default();
        // A line end would end it.
        let by = by.lines().next().unwrap_or_default();
        for link in recipe.links(step).iter().filter(|link| link.role == Role::Output) {
            let target = link.target.id().and_then(|id| recipe.step(id));
            if let (Some(channel), Some(target)) = (link.channel, target)
                && let Some(queue) = name(target)
            {
                let (channel, queue, span) = (recipe.node(channel), &*queue, recipe.span(link.node));
                if !take(Fact::Output { by, channel, queue, from, to: target.id, span }) {
                    return;
                }
            }
        }
        let (Some(queue), Some(node)) = (name(step), step.queue) else { continue };
        let (queue, service) = (&*queue, recipe.text(step.service));
        if !take(Fact::Place { queue, service, step: from, span: recipe.span(node) }) {
            return;
        }
        for key in step.parameters.into_iter().flat_map(|node| keys(recipe.node(node))) {
            if !take(Fact::Parameter { queue, key, step: from }) {
                return;
            }
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
        self.count(facts, &Queues::default());
    }

    /// The same for a part of a recipe, the rest of which is on these queues.
    fn count(&mut self, facts: &mut Facts, others: &Queues) {
        for output in &mut facts.outputs {
            self.channels.under(&mut output.channel).add(&mut output.queue);
            self.routes.under(&mut output.route).add(&mut output.queue);
            self.senders.under(&mut output.by).add(&mut output.channel);
        }
        for parameter in &mut facts.parameters {
            self.parameters.under(&mut parameter.queue).add(&mut parameter.name);
        }
        let mut queues = Queues::default();
        for place in &mut facts.places {
            if let Some(service) = &mut place.service {
                self.services.under(service).add(&mut place.queue);
            }
            if !queues.contains(&place.queue) && !others.contains(&place.queue) {
                self.queues.add(&mut place.queue);
                queues.insert(Arc::clone(&place.queue));
            }
        }
    }

    /// Takes the facts of a recipe out again.
    pub fn remove(&mut self, facts: &Facts) {
        self.discount(facts, &Queues::default());
    }

    fn discount(&mut self, facts: &Facts, others: &Queues) {
        for output in &facts.outputs {
            self.channels.forget(&output.channel, &output.queue);
            self.routes.forget(&output.route, &output.queue);
            self.senders.forget(&output.by, &output.channel);
        }
        for parameter in &facts.parameters {
            self.parameters.forget(&parameter.queue, &parameter.name);
        }
        let mut queues: HashSet<&str, foldhash::fast::RandomState> = HashSet::default();
        for place in &facts.places {
            if let Some(service) = &place.service {
                self.services.forget(service, &place.queue);
            }
            if queues.insert(&place.queue) && !others.contains(&place.queue) {
                self.queues.remove(&place.queue);
            }
        }
    }

    /// Counts another state of a recipe in place of the one that has been counted. Of a large recipe little changes at a
    /// time; whether anything has.
    pub fn replace(&mut self, known: &mut Facts, mut new: Facts) -> bool {
        let outputs = difference(&known.outputs, &new.outputs, |a, b| {
            (&a.route, &a.queue, a.from, a.to) == (&b.route, &b.queue, b.from, b.to)
        });
        let places = difference(&known.places, &new.places, |a, b| {
            (&a.queue, &a.service, a.step) == (&b.queue, &b.service, b.step)
        });
        let parameters = difference(&known.parameters, &new.parameters, |a, b| {
            (&a.queue, &a.name, a.step) == (&b.queue, &b.name, b.step)
        });
        let changes =
            [&outputs, &places, &parameters].into_iter().any(|(gone, new)| !(gone.is_empty() && new.is_empty()));
        if !changes {
            return false;
        }
        let kept = known.places[..places.0.start].iter().chain(&known.places[places.0.end..]);
        let kept: Queues = kept.map(|place| Arc::clone(&place.queue)).collect();
        let mut added = Facts {
            outputs: new.outputs.drain(outputs.1).collect(),
            places: new.places.drain(places.1).collect(),
            parameters: new.parameters.drain(parameters.1).collect(),
            counts: OnceLock::new(),
        };
        self.count(&mut added, &kept);
        known.counts = OnceLock::new();
        let gone = Facts {
            outputs: known.outputs.splice(outputs.0, added.outputs).collect(),
            places: known.places.splice(places.0, added.places).collect(),
            parameters: known.parameters.splice(parameters.0, added.parameters).collect(),
            counts: OnceLock::new(),
        };
        self.discount(&gone, &kept);
        true
    }

    /// Whether the other recipes contradict this one in anything, so that a rule may have something to say.
    pub fn contradicts(&self, facts: &Facts) -> bool {
        facts.outputs.iter().any(|output| {
            self.usual_queue_of_channel(facts, output).is_some() || self.nearly_the_channel(facts, output).is_some()
        }) || facts
            .places
            .iter()
            .any(|place| self.usual_queue_of_service(facts, place).is_some() || self.nearly_the_queue(place).is_some())
            || facts.parameters.iter().any(|parameter| self.nearly_the_parameter(facts, parameter).is_some())
    }

    /// Where the outputs of that name go in the other recipes, if nearly all go to one queue and none to this one: all,
    /// or else those of steps on the same queue.
    pub fn usual_queue_of_channel(&self, facts: &Facts, output: &Output) -> Option<(Custom, Among)> {
        let usual = |among| Some((self.usual_queue(facts, output, among)?, among));
        [Among::All, Among::ThoseOfTheQueue].into_iter().find_map(usual)
    }

    fn usual_queue(&self, facts: &Facts, output: &Output, among: Among) -> Option<Custom> {
        // Of few all have to agree, of many nearly all.
        const ENOUGH: usize = 3;
        const MANY: usize = 5;
        let own = |queue: &str| facts.outputs_to(among, output, queue);
        let counts = self.outputs(among).get(output.name(among))?;
        if counts.is_only(&output.queue) {
            return None;
        }
        if counts.get(&output.queue) > own(&output.queue) {
            return None;
        }
        let others = self.others(counts, own);
        let total: usize = others.iter().map(|custom| custom.count).sum();
        let custom = others.iter().max_by_key(|custom| custom.count)?;
        let agree = custom.count == total || total >= MANY && custom.count * 10 >= total * 9;
        (total >= ENOUGH && agree).then(|| custom.clone())
    }

    fn outputs(&self, among: Among) -> &Grouped {
        match among {
            Among::All => &self.channels,
            Among::ThoseOfTheQueue => &self.routes,
        }
    }

    /// The queue that a service is on everywhere else, if the queue it is on here is another service's everywhere else.
    pub fn usual_queue_of_service(&self, facts: &Facts, place: &Place) -> Option<Custom> {
        const ENOUGH: usize = 3;
        let service = place.service.as_ref()?;
        let own = |queue: &str| facts.places_on(service, queue);
        let counts = self.services.get(service)?;
        if counts.is_only(&place.queue) {
            return None;
        }
        if counts.get(&place.queue) > own(&place.queue) {
            return None;
        }
        let mut others = self.others(counts, own);
        let custom = others.pop().filter(|custom| others.is_empty() && custom.count >= ENOUGH)?;
        let shared =
            self.services.0.iter().any(|(other, queues)| other != service && queues.get(&place.queue) >= ENOUGH);
        shared.then_some(custom)
    }

    /// A queue that many other recipes use and whose name is nearly that of this one, which none of them uses.
    pub fn nearly_the_queue(&self, place: &Place) -> Option<Custom> {
        if self.queues.get(&place.queue) > 1 {
            return None;
        }
        nearly(&place.queue, &self.queues)
    }

    /// A parameter that many other steps of the same queue have, and whose name is nearly that of this one.
    pub fn nearly_the_parameter(&self, facts: &Facts, parameter: &Parameter) -> Option<Custom> {
        let known = self.parameters.get(&parameter.queue)?;
        if known.get(&parameter.name) > 1 {
            return None;
        }
        let custom = nearly(&parameter.name, known)?;
        let has_both = facts.parameters.iter().any(|other| other.step == parameter.step && other.name == custom.name);
        (!has_both).then_some(custom)
    }

    /// A channel of many other steps of the same queue whose name is nearly that of this one, which only this step has.
    pub fn nearly_the_channel(&self, facts: &Facts, output: &Output) -> Option<Custom> {
        let known = self.senders.get(&output.by).filter(|_| !output.by.is_empty() && !has_braces(&output.by))?;
        if known.often.is_empty() {
            return None;
        }
        let own = || facts.outputs.iter().filter(|other| other.from == output.from);
        if known.get(&output.channel) > own().filter(|other| other.channel == output.channel).count() {
            return None;
        }
        let custom = nearly(&output.channel, known)?;
        let has_both = own().any(|other| other.channel == custom.name);
        (!has_both).then_some(custom)
    }

    fn others(&self, counts: &Counts, own: impl Fn(&str) -> usize) -> Vec<Custom> {
        let others = counts
            .all
            .iter()
            .map(|(name, &count)| Custom { name: Arc::clone(name), count: count - own(name).min(count) });
        let mut others: Vec<Custom> = others.filter(|custom| custom.count > 0).collect();
        others.sort_by(|a, b| (a.count, &b.name).cmp(&(b.count, &a.name)));
        others
    }
}

/// What is kept under a name, which is the known one afterwards.
fn entry<'k, V: Default>(known: &'k mut Named<V>, name: &mut Arc<str>) -> &'k mut V {
    let found = known.entry(Arc::clone(name));
    *name = Arc::clone(found.key());
    found.or_default()
}

/// Where two lists differ: without what they begin and end with in common.
fn difference<T>(old: &[T], new: &[T], is_same: impl Fn(&T, &T) -> bool) -> (Range<usize>, Range<usize>) {
    let start = old.iter().zip(new).take_while(|(a, b)| is_same(a, b)).count();
    let (rest, new_rest) = (&old[start..], &new[start..]);
    let end = rest.iter().rev().zip(new_rest.iter().rev()).take_while(|(a, b)| is_same(a, b)).count();
    (start..old.len() - end, start..new.len() - end)
}

fn is_anagram(one: &str, other: &str) -> bool {
    let sorted = |text: &str| {
        let mut all: Vec<char> = text.chars().collect();
        all.sort_unstable();
        all
    };
    sorted(one) == sorted(other)
}

/// Whether names are made of words, and a whole word makes the difference: `d_min` and `x_min`, `size` and `size_x`.
fn differ_in_a_word(one: &str, other: &str) -> bool {
    let words = |text: &str| text.split(['_', '-', '.']).map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (words(one), words(other));
    if one.len() != other.len() {
        let (short, long) = if one.len() < other.len() { (&one, &other) } else { (&other, &one) };
        return long.starts_with(short) || long.ends_with(short);
    }
    let is_other = |(a, b): (&String, &String)| {
        a != b && strsim::damerau_levenshtein(a, b) >= a.chars().count().max(b.chars().count())
    };
    one.len() > 1 && one.iter().zip(&other).any(is_other)
}

/// The frequent name that is a slip of the finger away. Names that differ in digits only are meant to differ.
fn nearly(name: &str, known: &Counts) -> Option<Custom> {
    if known.often.is_empty() {
        return None;
    }
    let length = name.chars().count();
    if length < 4 {
        return None;
    }
    let most = match length {
        0..12 => 1,
        _ => 2,
    };
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let found = known.often.keys().filter(|other| {
        // A character has four bytes at most.
        other.len().abs_diff(name.len()) <= 4 * most
            && other.chars().count().abs_diff(length) <= most
            && ***other != *name
            && letters(other) != letters(name)
            && strsim::damerau_levenshtein(other, name) <= most
            // In four letters, two that have changed places are one slip, and another letter is another word.
            && (length.max(other.chars().count()) > 4 || is_anagram(other, name))
            && !differ_in_a_word(other, name)
    });
    let mut found: Vec<Custom> =
        found.map(|other| Custom { name: Arc::clone(other), count: known.get(other) }).collect();
    found.sort_by(|a, b| (a.count, &b.name).cmp(&(b.count, &a.name)));
    found.pop()
}
