//! What many recipes have in common, so that the one that differs stands out.
//!
//! [`Facts`] are what one recipe says: which service is on which queue, where channels go, what parameters are called.
//! A [`Set`] counts them over all recipes that are checked together. A rule compares the facts of a recipe with the
//! counts of all the *others*, and speaks only when the others agree: a set without such mistakes is silent.

use std::collections::HashMap;

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
}

/// An output on a named channel.
#[derive(Debug, Clone)]
pub struct Output {
    /// The channel.
    pub channel: String,
    /// The queue of the step that it goes to.
    pub queue: String,
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
    pub queue: String,
    /// The service, if it is named.
    pub service: Option<String>,
    /// The step.
    pub step: i64,
    /// The queue's name in the text.
    pub span: Span,
}

/// A parameter of a step.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The queue of the step.
    pub queue: String,
    /// The parameter.
    pub name: String,
    /// The step.
    pub step: i64,
    /// Its key.
    pub span: Span,
}

/// The counts over all recipes of a set.
#[derive(Debug, Clone, Default)]
pub struct Set {
    /// Channel, then queue that it goes to: how many outputs.
    channels: HashMap<String, HashMap<String, usize>>,
    /// Queue: in how many recipes.
    queues: HashMap<String, usize>,
    /// Service, then queue: how many steps.
    services: HashMap<String, HashMap<String, usize>>,
    /// Queue, then parameter: how many steps.
    parameters: HashMap<String, HashMap<String, usize>>,
}

/// What the others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Custom {
    /// The name they use.
    pub name: String,
    /// How many of them.
    pub count: usize,
}

impl Facts {
    /// The facts of a recipe. Names with placeholders are left out: nobody knows what they become.
    pub fn of(recipe: &Recipe) -> Self {
        let mut facts = Self::default();
        let name =
            |step: &Step| recipe.text(step.queue).filter(|queue| !has_braces(queue)).map(|queue| queue.into_owned());
        for step in recipe.steps() {
            for link in recipe.links(step).iter().filter(|link| link.role == Role::Output) {
                let target = link.target.id().and_then(|id| recipe.step(id));
                if let (Some(channel), Some(target)) = (link.channel, target)
                    && let Some(queue) = name(target)
                {
                    let (channel, span) = (recipe.node(channel).text().into_owned(), recipe.span(link.node));
                    facts.outputs.push(Output { channel, queue, from: step.id, to: target.id, span });
                }
            }
            let (Some(queue), Some(node)) = (name(step), step.queue) else { continue };
            let service = recipe.text(step.service).map(|service| service.into_owned());
            for key in step.parameters.into_iter().flat_map(|node| keys(recipe.node(node))) {
                let (name, span) = (key.text().into_owned(), key.span());
                facts.parameters.push(Parameter { queue: queue.clone(), name, step: step.id, span });
            }
            facts.places.push(Place { queue, service, step: step.id, span: recipe.span(node) });
        }
        facts
    }
}

fn keys(parameters: NodeRef<'_>) -> impl Iterator<Item = NodeRef<'_>> {
    let object = (parameters.kind() == Kind::Object).then_some(parameters);
    object.into_iter().flat_map(NodeRef::members).map(|member| member.key).filter(|key| !has_braces(&key.text()))
}

impl Set {
    /// Counts the facts of one more recipe.
    pub fn add(&mut self, facts: &Facts) {
        self.count(facts, |count| *count += 1);
    }

    /// The counts of all recipes but this one, which has been counted.
    fn count(&mut self, facts: &Facts, step: impl Fn(&mut usize)) {
        let two = |counts: &mut HashMap<String, HashMap<String, usize>>, a: &str, b: &str| {
            let counts = match counts.get_mut(a) {
                Some(counts) => counts,
                None => counts.entry(a.to_owned()).or_default(),
            };
            match counts.get_mut(b) {
                Some(count) => step(count),
                None => step(counts.entry(b.to_owned()).or_default()),
            }
        };
        for output in &facts.outputs {
            two(&mut self.channels, &output.channel, &output.queue);
        }
        for parameter in &facts.parameters {
            two(&mut self.parameters, &parameter.queue, &parameter.name);
        }
        for place in &facts.places {
            if let Some(service) = &place.service {
                two(&mut self.services, service, &place.queue);
            }
        }
        let mut queues: Vec<&str> = facts.places.iter().map(|place| place.queue.as_str()).collect();
        queues.sort_unstable();
        queues.dedup();
        for queue in queues {
            step(self.queues.entry(queue.to_owned()).or_default());
        }
    }

    /// Where the outputs of that name go in the other recipes, if nearly all go to one queue and none to this one.
    pub fn usual_queue_of_channel(&self, facts: &Facts, output: &Output) -> Option<Custom> {
        const ENOUGH: usize = 5;
        let own = |queue: &str| {
            facts.outputs.iter().filter(|other| other.channel == output.channel && other.queue == queue).count()
        };
        let others = self.others(self.channels.get(&output.channel)?, own);
        let total: usize = others.iter().map(|custom| custom.count).sum();
        let custom = others.iter().max_by_key(|custom| custom.count)?;
        let elsewhere = others.iter().any(|other| other.name == output.queue);
        (total >= ENOUGH && custom.count * 10 >= total * 9 && !elsewhere).then(|| custom.clone())
    }

    /// The queue that a service is on everywhere else, if the queue it is on here is another service's everywhere else.
    pub fn usual_queue_of_service(&self, facts: &Facts, place: &Place) -> Option<Custom> {
        const ENOUGH: usize = 3;
        let service = place.service.as_ref()?;
        let own = |queue: &str| {
            facts.places.iter().filter(|other| other.service.as_ref() == Some(service) && other.queue == queue).count()
        };
        let mut others = self.others(self.services.get(service)?, own);
        let custom =
            others.pop().filter(|custom| others.is_empty() && custom.count >= ENOUGH && custom.name != place.queue)?;
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

    fn others(&self, counts: &HashMap<String, usize>, own: impl Fn(&str) -> usize) -> Vec<Custom> {
        let others =
            counts.iter().map(|(name, &count)| Custom { name: name.clone(), count: count - own(name).min(count) });
        let mut others: Vec<Custom> = others.filter(|custom| custom.count > 0).collect();
        others.sort_by(|a, b| (a.count, &b.name).cmp(&(b.count, &a.name)));
        others
    }
}

/// The frequent name that is a slip of the finger away. Names that differ in digits only are meant to differ.
fn nearly(name: &str, known: &HashMap<String, usize>, enough: usize) -> Option<Custom> {
    let length = name.chars().count();
    let most = match length {
        0..5 => return None,
        5..12 => 1,
        _ => 2,
    };
    let letters = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
    let mut found: Vec<Custom> = known
        .iter()
        .filter(|(other, count)| **count >= enough && other.chars().count().abs_diff(length) <= most && *other != name)
        .filter(|(other, _)| letters(other) != letters(name))
        .filter(|(other, _)| strsim::damerau_levenshtein(other, name) <= most)
        .map(|(other, &count)| Custom { name: other.clone(), count })
        .collect();
    found.sort_by(|a, b| (a.count, &b.name).cmp(&(b.count, &a.name)));
    found.pop()
}
