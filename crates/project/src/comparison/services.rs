//! What a change of contracts breaks: recipes are checked under both, and what is found only under the newer is a break.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{Entry, Item, Kind, Victim, item};
use crate::judge::CheckOptions;
use crate::project::Project;
use zrecipe_language::change::{self, Affected, Change, Sign, Subject};
use zrecipe_language::compile::Reading;
use zrecipe_language::contract::Contracts;
use zrecipe_language::diagnostic::{Diagnostic, Level};
use zrecipe_language::recipe::Step;

/// A recipe that is checked under both.
#[derive(Clone, Copy)]
pub struct Checked<'r> {
    /// What to call it.
    pub name: &'r str,
    /// Its file, for the settings of rules.
    pub path: &'r Path,
    /// The recipe.
    pub reading: &'r Arc<Reading>,
}

/// A finding that only the newer contracts give.
struct Broken {
    /// The services of the step, and of those that feed it.
    services: BTreeSet<String>,
    victim: Victim,
}

/// Compares two sets of contracts. `recipes` are those of today, `earlier` those that running requests may carry.
pub fn services(
    old: &Contracts,
    new: &Contracts,
    project: &Project,
    recipes: &[Checked<'_>],
    earlier: &[Checked<'_>],
) -> Vec<Entry> {
    let differences = change::contracts(old, new);
    if differences.is_empty() {
        return Vec::new();
    }
    let mut broken: Vec<Broken> =
        recipes.iter().flat_map(|recipe| broken_by(recipe, old, new, project, Affected::Recipes)).collect();
    // What is mended in the newer recipes still breaks messages with the older ones.
    let running = earlier.iter().flat_map(|recipe| broken_by(recipe, old, new, project, Affected::RunningRequests));
    let running: Vec<Broken> = running.collect();
    let is_known = |found: &Broken| {
        broken.iter().any(|known| known.victim.place.is_some() && known.victim.what == found.victim.what)
    };
    let running: Vec<Broken> = running.into_iter().filter(|found| !is_known(found)).collect();
    broken.extend(running);
    let entries = differences.into_iter().map(|difference| {
        let own: Vec<&Broken> = broken.iter().filter(|broken| broken.services.contains(&difference.name)).collect();
        let mut taken = vec![false; own.len()];
        let mut items: Vec<Item> = Vec::new();
        for change in difference.changes {
            let mut affected = users(&change, recipes, new);
            for (at, broken) in own.iter().enumerate() {
                if is_about(&change, &broken.victim.what) && !taken[at] {
                    taken[at] = true;
                    affected.push(broken.victim.clone());
                }
            }
            let mut found = item(change, difference.evidence.clone(), affected);
            // Where the recipes are known, a change that none of them meets breaks none.
            found.is_breaking &= recipes.is_empty() || !found.affected.is_empty();
            items.push(found);
        }
        let rest: Vec<Victim> =
            own.iter().zip(&taken).filter(|(_, taken)| !**taken).map(|(broken, _)| broken.victim.clone()).collect();
        if !rest.is_empty() {
            match items.iter_mut().find(|item| !item.change.breaks.is_empty()) {
                Some(item) => {
                    item.affected.extend(rest);
                    item.is_breaking = true;
                }
                None => {
                    let mut found = item(super::plain(Sign::Changed, "recipes no longer fit"), None, rest);
                    found.is_breaking = true;
                    items.push(found);
                }
            }
        }
        Entry { kind: Kind::Service, name: difference.name, old_name: None, items }
    });
    entries.collect()
}

/// Whether a finding is about what changed.
fn is_about(change: &Change, message: &str) -> bool {
    let last = change.name.rsplit('.').next().unwrap_or(&change.name);
    !change.breaks.is_empty() && !last.is_empty() && message.contains(&format!("`{last}`"))
}

/// The steps that use a queue or service that is gone.
fn users(change: &Change, recipes: &[Checked<'_>], new: &Contracts) -> Vec<Victim> {
    if change.sign != Sign::Removed || !matches!(change.subject, Subject::Queue | Subject::Service) {
        return Vec::new();
    }
    let is_queue = change.subject == Subject::Queue;
    let mut found = Vec::new();
    for checked in recipes {
        let recipe = &checked.reading.recipe;
        for step in recipe.steps() {
            let part = if is_queue { step.queue } else { step.service };
            let is_it = recipe.text(part).is_some_and(|text| text == change.name);
            // Another service may serve it.
            let is_served = match is_queue {
                true => !new.all_of_queue(&change.name).is_empty(),
                false => new.all_of_service(&change.name).next().is_some(),
            };
            if is_it && !is_served {
                let node = part.unwrap_or(step.key);
                let what = format!("step {} uses `{}`", recipe.name(step), change.name);
                let place = Some(checked.reading.source.place(recipe.span(node).start));
                found.push(Victim { who: Affected::Recipes, place, what });
            }
        }
    }
    found
}

fn broken_by(checked: &Checked<'_>, old: &Contracts, new: &Contracts, project: &Project, who: Affected) -> Vec<Broken> {
    let findings = |contracts| {
        let request = CheckOptions { path: Some(checked.path), contracts: Some(contracts), ..CheckOptions::default() };
        project.judge_reading(Arc::clone(checked.reading), request).diagnostics
    };
    let known = findings(old);
    let is_known =
        |found: &Diagnostic| known.iter().any(|known| (known.rule, &known.message) == (found.rule, &found.message));
    let recipe = &checked.reading.recipe;
    let introduced = findings(new).into_iter().filter(|found| found.level > Level::Note && !is_known(found));
    let found = introduced.map(|found| {
        let span = found.primary.span;
        let holds = |step: &&Step| {
            let whole = recipe.span(step.value);
            recipe.span(step.key).start <= span.start && span.end <= whole.end
        };
        let step = recipe.steps().iter().position(|step| holds(&step));
        let graph = &checked.reading.graph;
        let sources = step.into_iter().flat_map(|step| graph.incoming(step)).map(|(_, source)| source);
        let steps: Vec<usize> = step.into_iter().chain(sources).collect();
        let under = steps.iter().flat_map(|&step| {
            let step = &recipe.steps()[step];
            old.under(recipe, step)
                .all()
                .chain(new.under(recipe, step).all())
                .map(|contract| contract.name().to_owned())
        });
        let place = Some(checked.reading.source.place(span.start));
        Broken { services: under.collect(), victim: Victim { who, place, what: found.message } }
    });
    found.collect()
}
