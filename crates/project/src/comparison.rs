//! What changed between two states of a project, and whom it breaks.
//!
//! A state is a directory, a file, or a git revision of one. Recipes are compared step by step, contracts key by key.
//! What a change of contracts breaks is found by checking the recipes under both: a new finding is a break.

mod services;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::callers::Caller;
use zrecipe_language::change::{self, Affected, Change, Difference, Side, Sign, Subject};
use zrecipe_language::infer::{self, Type};

pub use services::{Checked, services};
pub use state::{Document, Error, State};

/// What two states are compared as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A recipe.
    Recipe,
    /// A service or wrapper, by its contract.
    Service,
    /// A queue.
    Queue,
}

impl Kind {
    /// The kind as a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Service => "service",
            Self::Queue => "queue",
        }
    }
}

/// Someone whom a change affects.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Victim {
    /// The group.
    pub who: Affected,
    /// Where, if it is known: file and line.
    pub place: Option<String>,
    /// What happens there: a clause.
    pub what: String,
}

/// A change and whom it affects.
#[derive(Debug, Clone)]
pub struct Item {
    /// The change.
    pub change: Change,
    /// Where it is: in the newer state, or in the older one if it is gone there.
    pub place: Option<String>,
    /// Whether it breaks somebody.
    pub is_breaking: bool,
    /// Those whom it affects.
    pub affected: Vec<Victim>,
}

/// What changed in a recipe, a service or a queue.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its name in the newer state, or in the older one if it is gone.
    pub name: String,
    /// Its name in the older state, if that is another one.
    pub old_name: Option<String>,
    /// The changes.
    pub items: Vec<Item>,
}

/// The difference of two states.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What changed, recipes first.
    pub entries: Vec<Entry>,
    /// How many recipes were compared.
    pub recipes: usize,
    /// How many contracts were compared.
    pub contracts: usize,
}

impl Report {
    /// The number of breaking changes.
    pub fn breaking(&self) -> usize {
        self.items().filter(|item| item.is_breaking).count()
    }

    /// All changes.
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.entries.iter().flat_map(|entry| &entry.items)
    }
}

/// The share of steps from which on a recipe under another name is the same recipe.
const RENAMED: f64 = 0.6;

/// Compares two states. `callers` are those of the newer one.
pub fn compare(old: &State, new: &State, callers: &[Caller]) -> Report {
    let mut report = Report::default();
    let (olds, news): (Vec<&Document>, Vec<&Document>) = (old.recipes().collect(), new.recipes().collect());
    let pairs = pairs(old, new);
    report.recipes = olds.len().max(news.len());
    for (before, after) in &pairs {
        report.entries.extend(recipe(old, new, *before, *after, callers));
    }
    let checked: Vec<Checked<'_>> = news
        .iter()
        .map(|document| Checked { name: &document.name, path: &document.path, reading: &document.reading })
        .collect();
    let earlier: Vec<Checked<'_>> = olds
        .iter()
        .map(|document| Checked { name: &document.name, path: &document.path, reading: &document.reading })
        .collect();
    // Of one recipe only the recipe itself is compared.
    if old.is_contract() && new.is_contract() || !(old.is_file() || new.is_file()) {
        report.contracts = old.own_contracts().max(new.own_contracts());
        report.entries.extend(services(old.contracts(), new.contracts(), &new.project, &checked, &earlier));
    }
    if !old.is_file() && !new.is_file() {
        report.entries.extend(queues(&olds, &news));
    }
    report
}

/// A recipe in both states, or in one of them.
pub type Pair<'d> = (Option<&'d Document>, Option<&'d Document>);

/// Which recipe of the older state is which of the newer one, in the order of their names.
pub fn pairs<'d>(old: &'d State, new: &'d State) -> Vec<Pair<'d>> {
    let (olds, news): (Vec<&Document>, Vec<&Document>) = (old.recipes().collect(), new.recipes().collect());
    if let ([before], [after]) = (&olds[..], &news[..])
        && (old.is_file() || new.is_file())
    {
        return vec![(Some(*before), Some(*after))];
    }
    let mut pairs: Vec<Pair<'d>> = Vec::new();
    let mut gone: Vec<&Document> = olds.to_vec();
    let mut come: Vec<&Document> = Vec::new();
    for after in news {
        match gone.iter().position(|before| before.name == after.name) {
            Some(at) => pairs.push((Some(gone.remove(at)), Some(after))),
            None => come.push(after),
        }
    }
    for after in come {
        let likeness = |before: &&Document| {
            let matching = change::match_steps(&before.reading, &after.reading);
            let most = matching.newer.len().max(matching.older.len()).max(1);
            matching.pairs().count() as f64 / most as f64
        };
        let stem = |document: &Document| Path::new(&document.name).file_stem().map(std::ffi::OsStr::to_owned);
        let moved = gone.iter().position(|before| stem(before) == stem(after) && likeness(before) >= RENAMED);
        let renamed = || {
            let best = gone.iter().enumerate().map(|(at, before)| (likeness(before), at));
            best.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness >= RENAMED).map(|(_, at)| at)
        };
        match moved.or_else(renamed) {
            Some(at) => pairs.push((Some(gone.remove(at)), Some(after))),
            None => pairs.push((None, Some(after))),
        }
    }
    pairs.extend(gone.into_iter().map(|before| (Some(before), None)));
    pairs.sort_by_key(|(before, after)| after.or(*before).map(|document| document.name.clone()));
    pairs
}

fn recipe(
    old: &State,
    new: &State,
    before: Option<&Document>,
    after: Option<&Document>,
    callers: &[Caller],
) -> Option<Entry> {
    let name = after.or(before)?.name.clone();
    let (difference, old_name) = match (before, after) {
        (Some(before), Some(after)) => {
            let side = |document: &'_ Document| document.reading.clone();
            let (old_reading, new_reading) = (side(before), side(after));
            let difference = change::recipes(
                Side { reading: &old_reading, contracts: old.contracts() },
                Side { reading: &new_reading, contracts: new.contracts() },
            );
            let is_renamed = before.name != after.name && !(old.is_file() || new.is_file());
            (difference, is_renamed.then(|| before.name.clone()))
        }
        (None, _) => (of_one(Sign::Added, "the recipe is added"), None),
        (_, None) => (of_one(Sign::Removed, "the recipe is removed"), None),
    };
    let mut items: Vec<Item> = Vec::new();
    let stem =
        |name: &str| Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some(old_name) = &old_name
        && stem(old_name) != stem(&name)
    {
        let text = format!("the recipe is renamed from `{}` to `{}`", stem(old_name), stem(&name));
        let mut change = plain(Sign::Changed, text);
        change.breaks.push(change::Break { who: Affected::Callers, why: "they name it as before".to_owned() });
        items.push(item(change, None, callers_of(old_name, callers, |_| Some("still names it".to_owned()))));
    }
    let declared = &new.project.settings.declared;
    for change in difference.changes {
        let place = match (&change.new, &change.old) {
            (Some(span), _) => after.map(|document| document.reading.source.place(span.start)),
            (None, Some(span)) => before.map(|document| document.reading.source.place(span.start)),
            (None, None) => None,
        };
        let is_gone = before.is_some() && after.is_none();
        let affected = match change.subject {
            _ if is_gone => callers_of(&name, callers, |_| Some("starts it".to_owned())),
            // The dispatcher adds it to every request.
            Subject::Parameter if declared.contains_key(&change.name) => Vec::new(),
            Subject::Parameter => {
                let meets = after.and_then(|document| meets(document, new, &change.name));
                callers_of(&name, callers, |caller| affects(&change, caller, meets.as_ref()))
            }
            _ => Vec::new(),
        };
        let mut found = item(change, place, affected);
        if declared.contains_key(&found.change.name) && found.change.subject == Subject::Parameter {
            found.is_breaking = false;
        }
        items.push(found);
    }
    (!items.is_empty()).then_some(Entry { kind: Kind::Recipe, name, old_name, items })
}

/// What a parameter of a recipe must be.
fn meets(document: &Document, state: &State, name: &str) -> Option<Type> {
    let reading = &document.reading;
    let signature = infer::infer(&reading.recipe, &reading.templates, state.contracts());
    signature.into_iter().find(|parameter| parameter.name == name).map(|parameter| parameter.meets)
}

/// What a change of a parameter does to a caller.
fn affects(change: &Change, caller: &Caller, meets: Option<&Type>) -> Option<String> {
    let name = &change.name;
    match (change.sign, caller.parameters.get(name)) {
        (Sign::Removed, Some(_)) => Some(format!("still gives `{name}`")),
        (Sign::Removed, None) => None,
        (_, None) if change.breaks.is_empty() => None,
        (_, None) if caller.is_open => Some(format!("may not give `{name}`")),
        (_, None) => Some(format!("does not give `{name}`")),
        (_, Some(Some(value))) => {
            let fits = meets.is_none_or(|meets| meets.holds(value));
            (!fits).then(|| format!("gives `{name}` the value `{}`", value.to_json()))
        }
        (Sign::Changed, Some(None)) if !change.breaks.is_empty() => {
            Some(format!("gives `{name}` a value that is not known here"))
        }
        (_, Some(None)) => None,
    }
}

fn callers_of(recipe: &str, callers: &[Caller], what: impl Fn(&Caller) -> Option<String>) -> Vec<Victim> {
    let found = callers.iter().filter(|caller| caller.starts(recipe)).filter_map(|caller| {
        Some(Victim { who: Affected::Callers, place: Some(caller.place.clone()), what: what(caller)? })
    });
    found.collect()
}

fn item(change: Change, place: Option<String>, affected: Vec<Victim>) -> Item {
    Item { is_breaking: !change.breaks.is_empty(), change, place, affected }
}

fn plain(sign: Sign, text: impl Into<String>) -> Change {
    Change {
        sign,
        subject: Subject::Step,
        name: String::new(),
        text: text.into(),
        old: None,
        new: None,
        breaks: Vec::new(),
    }
}

/// The difference of a recipe that is in one state only.
fn of_one(sign: Sign, text: &str) -> Difference {
    let mut change = plain(sign, text);
    if sign == Sign::Removed {
        change
            .breaks
            .push(change::Break { who: Affected::Callers, why: "requests that name it are rejected".to_owned() });
    }
    Difference { changes: vec![change], ..Difference::default() }
}

/// Queues to which no recipe sends any more.
fn queues(olds: &[&Document], news: &[&Document]) -> Vec<Entry> {
    let used = |documents: &[&Document]| -> BTreeMap<String, BTreeSet<String>> {
        let mut queues: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for document in documents {
            let recipe = &document.reading.recipe;
            for queue in recipe.steps().iter().filter_map(|step| recipe.text(step.queue)) {
                queues.entry(queue.into_owned()).or_default().insert(document.name.clone());
            }
        }
        queues
    };
    let (before, after) = (used(olds), used(news));
    let gone = before.into_iter().filter(|(queue, _)| !after.contains_key(queue) && !queue.contains('{'));
    let entries = gone.map(|(queue, recipes)| {
        let mut change = plain(Sign::Removed, "no recipe sends to this queue now");
        change.subject = Subject::Queue;
        change.name.clone_from(&queue);
        let victim = |recipe: String| Victim {
            who: Affected::RunningRequests,
            what: "messages of running requests may still arrive".to_owned(),
            place: Some(recipe),
        };
        let items = vec![item(change, None, recipes.into_iter().map(victim).collect())];
        Entry { kind: Kind::Queue, name: queue, old_name: None, items }
    });
    entries.collect()
}
