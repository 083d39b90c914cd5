//! A recipe compared with the others.

mod links;
mod parameters;
mod steps;
mod values;

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::facts::{Facts, Key, Shape, is_name};
use super::near::is_near;
use super::set::{Custom, Group, Set, Table, count, place};

/// Something that the other recipes contradict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What they contradict.
    pub about: About,
    /// Why it is taken for a mistake.
    pub reason: Reason,
    /// What the others say, the likeliest first.
    pub usual: Vec<Custom>,
    /// How many others there are.
    pub of: usize,
}

/// What the other recipes contradict. Numbers are places in [`Facts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The queue of a step.
    Queue(u32),
    /// The service of a step.
    Service(u32),
    /// The queue and the service of a step, which have changed places.
    Exchanged(u32),
    /// The name of an output's channel.
    Channel(usize),
    /// The step that an output goes to, and the one that is meant.
    Target(usize, u32),
    /// A channel that a step does not have, and the step that it would go to.
    Unwired(u32, Option<u32>),
    /// The name of a parameter.
    Parameter(usize),
    /// A parameter that a step does not have.
    Omitted(u32),
    /// A key of a step that others have among their parameters.
    Misplaced(usize),
    /// The value of a parameter.
    Value(usize),
    /// The type of the value of a parameter, and that which others have.
    Shape(usize, Shape),
    /// The values of two parameters, which have changed places.
    ExchangedValues(usize, usize),
    /// The name in a placeholder.
    Placeholder(usize),
}

/// Why something is taken for a mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It is nearly what the others say.
    Near,
    /// It is the name of another kind: of a service, say.
    OtherKind,
    /// It has the value that the others give under another name.
    SameValue,
    /// It differs in braces.
    Braces,
    /// The others agree.
    Agreement,
    /// The others that the same channel feeds agree.
    AgreementOfFed,
    /// A channel has the name of the queue.
    Name,
}

/// How often a name has to be there for another to be a slip of the finger.
const OFTEN: usize = 2;
/// How often, if the name is short or in the same step.
const SURE: usize = 3;
/// How long a name is that speaks for itself.
const LONG: usize = 6;
/// How many values of a parameter have something in common.
const MAX_VALUES: usize = 200;
/// How many names are searched for one that is near.
const MOST_NAMES: usize = 20_000;
/// How many things that all others have a step may lack: one that lacks more is of another kind.
const MOST_LACKING: usize = 2;

/// What others say in a group.
#[derive(Clone, Copy)]
struct Others<'a> {
    group: Option<&'a Group>,
    /// What they do not say.
    name: Key,
    /// How often this recipe says that: what others say less often does not count.
    own: usize,
    /// How many they are.
    of: usize,
}

impl<'a> Others<'a> {
    /// So many that are not looked at.
    fn alike(of: usize) -> Self {
        Self { group: None, name: 0, own: 0, of }
    }

    /// What they say at least so often.
    fn frequent(self, enough: usize) -> impl Iterator<Item = (Key, usize)> + 'a {
        let least = enough.max(self.own);
        let group = self.group.filter(|group| group.max() >= least);
        let all = group.into_iter().flat_map(Group::iter);
        all.filter(move |&(name, count)| name != self.name && count >= least)
    }

    /// What nearly all of them say, if they are enough.
    fn agreed(self, enough: usize) -> Option<(Key, usize)> {
        if self.of < enough || !self.group.is_some_and(|group| agree(group.max(), self.of)) {
            return None;
        }
        self.frequent(1).find(|&(_, count)| agree(count, self.of))
    }

    /// Whether they say so many different things that they have nothing in common.
    fn is_diverse(self) -> bool {
        self.group.is_some_and(is_diverse)
    }
}

/// Whether the names in a group differ so much that they have nothing in common.
fn is_diverse(group: &Group) -> bool {
    group.len() > MAX_VALUES
}

/// Whether this count of the others is nearly all of them.
fn agree(count: usize, of: usize) -> bool {
    const MANY: usize = 5;
    count >= of || of >= MANY && count * 10 >= of * 9
}

impl Finding {
    /// The name that is probably meant.
    pub fn meant(&self) -> &str {
        self.usual.first().map_or("", |custom| &custom.name)
    }

    /// How many of the others say so: `5 of 6`.
    pub fn counts(&self) -> String {
        let count = self.usual.first().map_or(0, |custom| custom.count);
        format!("{count} of {}", self.of)
    }

    /// What else others say, for the end of a sentence; empty if nothing.
    pub fn alternatives(&self) -> String {
        let more: Vec<String> = self
            .usual
            .iter()
            .skip(1)
            .map(|custom| format!("`{}` ({})", shortened(&custom.name), custom.count))
            .collect();
        if more.is_empty() { String::new() } else { format!("; also {}", more.join(", ")) }
    }
}

/// A name as it is shown in a message.
pub fn shortened(name: &str) -> String {
    const MOST: usize = 48;
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

struct Comparison<'a> {
    set: &'a Set,
    facts: &'a Facts,
    /// How often this recipe says each thing.
    own: OnceCell<HashMap<(Key, Key), u32, foldhash::fast::RandomState>>,
    found: Vec<Finding>,
    /// Steps and names of what is meant by something else that they have.
    meant: HashSet<(u32, Key)>,
    /// Texts in the recipe about which something has been found.
    told: HashSet<u32>,
}

impl Set {
    /// What of a recipe the others contradict, in the order of its facts.
    pub fn findings(&self, facts: &Facts) -> Vec<Finding> {
        let mut comparison = Comparison {
            set: self,
            facts,
            own: OnceCell::new(),
            found: Vec::new(),
            meant: HashSet::new(),
            told: HashSet::new(),
        };
        comparison.compare_steps();
        comparison.compare_outputs();
        comparison.find_unwired();
        comparison.compare_placeholders();
        comparison.compare_parameters();
        comparison.compare_values();
        comparison.find_misplaced();
        comparison.find_omitted();
        comparison.found
    }
}

impl<'a> Comparison<'a> {
    fn group(&self, table: Table, within: [Key; 3]) -> Option<&'a Group> {
        self.set.group(table, within)
    }

    /// How often this recipe says something.
    fn own(&self, table: Table, within: [Key; 3], name: Key) -> usize {
        let own = self.own.get_or_init(|| count(self.facts));
        own.get(&(place(table, within), name)).copied().unwrap_or(0) as usize
    }

    /// What others say in a group, if only this recipe says this, and not more often than by an oversight.
    fn others(&self, table: Table, within: [Key; 3], name: Key) -> Option<Others<'a>> {
        const MOST_OVERSIGHTS: usize = 2;
        let group = self.group(table, within)?;
        let count = group.count(name);
        // Counting this recipe costs more than all the rest, and most names are there more often than an oversight.
        if group.is_uniform() && count > 0 || count > MOST_OVERSIGHTS {
            return None;
        }
        let own = self.own(table, within, name);
        if count > own || own > MOST_OVERSIGHTS {
            return None;
        }
        Some(Others { group: Some(group), name, own, of: group.total() - count })
    }

    /// The same, unless the names in the group have nothing in common.
    fn few_others(&self, table: Table, within: [Key; 3], name: Key) -> Option<Others<'a>> {
        self.group(table, within).filter(|group| !is_diverse(group))?;
        self.others(table, within, name)
    }

    /// What others say most often.
    fn most_frequent(&self, all: impl Iterator<Item = (Key, usize)>) -> Option<(Key, usize)> {
        all.max_by(|a, b| a.1.cmp(&b.1).then_with(|| self.text(b.0).cmp(self.text(a.0))))
    }

    /// The name behind a hash.
    fn text(&self, name: Key) -> &str {
        self.facts.name(name).or_else(|| self.set.name(name).map(|name| &**name)).unwrap_or_default()
    }

    fn custom(&self, (name, count): (Key, usize)) -> Custom {
        let text = self.set.name(name).cloned().unwrap_or_else(|| Arc::from(self.text(name)));
        Custom { name: text, count }
    }

    /// The usual name and what else others say.
    fn usual(&self, best: (Key, usize), others: Others<'_>) -> Vec<Custom> {
        const MOST: usize = 3;
        let mut more: Vec<(Key, usize)> = match others.is_diverse() {
            true => Vec::new(),
            false => others.frequent(1).filter(|&(name, _)| name != best.0).collect(),
        };
        more.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| self.text(a.0).cmp(self.text(b.0))));
        std::iter::once(best).chain(more).take(MOST).map(|custom| self.custom(custom)).collect()
    }

    fn report(&mut self, about: About, reason: Reason, best: (Key, usize), others: Others<'_>) {
        let usual = self.usual(best, others);
        self.found.push(Finding { about, reason, usual, of: others.of });
    }

    /// The frequent name that is a slip of the finger away.
    fn near(&self, name: Key, others: Others<'_>, fits: impl Fn(Key, &str) -> bool) -> Option<(Key, usize)> {
        let enough = if self.text(name).chars().count() < 5 { SURE } else { OFTEN };
        self.near_of(name, others, enough, fits)
    }

    /// The same of names that are there so often: once is enough where something else speaks for the name as well.
    fn near_of(
        &self,
        name: Key,
        others: Others<'_>,
        enough: usize,
        fits: impl Fn(Key, &str) -> bool,
    ) -> Option<(Key, usize)> {
        if others.group.is_some_and(|group| group.len() > MOST_NAMES) {
            return None;
        }
        let text = self.text(name);
        let is_meant = |&(other, _): &(Key, usize)| is_near(text, self.text(other)) && fits(other, self.text(other));
        self.most_frequent(others.frequent(enough).filter(is_meant))
    }
}

/// The name in a text that is one placeholder.
fn placeholder_in(text: &str) -> Option<&str> {
    text.strip_prefix('{')?.strip_suffix('}').filter(|name| is_name(name))
}
