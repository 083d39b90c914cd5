//! Judges the state that the sum of all changes leaves behind: what stays keeps what it needs.
//!
//! A queue that stays against the configuration (it is in use, or cannot be changed) keeps everything on the way of its
//! dead letters: their queue, exchanges, bindings and the policy that names them. No queue that stays may have dead
//! letters that reach no queue, if they reached one before, unless the configuration wants a queue without dead letters.
//! A virtual host that stays keeps the users who have permissions in it.

use std::collections::HashSet;

use super::routes::{Route, State, counts, goes_with};
use super::{Action, Change, Hold, Id, Kind, Live, Progress, Thing};

/// What to do about something that would be taken away.
enum Remedy {
    /// The change at this place is not made.
    Hold(usize, Hold),
    /// The change at this place has been made, and is undone.
    Undo(usize),
    /// The binding goes with something that is deleted and created again, and is created once more.
    Bind(Box<Thing>),
}

/// Holds back the changes that would take away what something that stays needs. Adds changes that restore what has been
/// taken away already: that was right until another change failed.
pub fn protect(changes: &mut Vec<Change>, live: &Live) {
    loop {
        let remedies = remedies(changes, live);
        if remedies.is_empty() {
            return;
        }
        let mut repairs = Vec::new();
        for remedy in remedies {
            match remedy {
                Remedy::Hold(at, hold) => changes[at].hold = Some(hold),
                Remedy::Undo(at) => {
                    repairs.extend(undo(&changes[at], live));
                    changes[at].progress = Progress::Undone;
                }
                Remedy::Bind(binding) => repairs.push(repair(Action::Create, &binding, None, "")),
            }
        }
        let is_removal = |change: &Change| change.action == Action::Remove && is_to_do(change);
        let at = changes.iter().position(is_removal).unwrap_or(changes.len());
        changes.splice(at..at, repairs);
    }
}

fn is_to_do(change: &Change) -> bool {
    change.progress == Progress::Planned && change.hold.is_none()
}

fn remedies(changes: &[Change], live: &Live) -> Vec<Remedy> {
    let now = State::of(live);
    let after = State::after(live, changes, Change::counts);
    let meant = State::after(live, changes, |change| !change.is_repair);
    let temporary: HashSet<Id<'_>> =
        live.things.iter().filter(|found| found.is_temporary).map(|found| found.thing.id()).collect();
    for queue in after.all(Kind::Queue) {
        let described = meant.find(queue);
        let before = now.find(queue);
        let is_kept = before.is_some() && (described != Some(queue) || temporary.contains(&queue.id()));
        let led = before.map(|before| now.routes(before)).unwrap_or_default();
        let led: Vec<Route<'_>> = led.into_iter().filter(|route| !now.way(route).is_empty()).collect();
        let lead = after.routes(queue);
        let is_wish = lead.is_empty() && !is_kept && described.is_none_or(|queue| meant.routes(queue).is_empty());
        // Where letters come to keep their own routing keys, it is unknown whether they take the bindings that there are.
        let is_unsure = |route: &Route<'_>| is_kept && route.keeps_key() && !led.contains(route);
        let lead_nowhere = lead.is_empty() || lead.iter().any(|route| is_unsure(route) || after.way(route).is_empty());
        let could_lead = !led.is_empty() || lead.iter().any(|route| !now.way(route).is_empty());
        let is_cut = lead_nowhere && could_lead && !is_wish;
        let routes: Vec<&Route<'_>> = if is_cut {
            led.iter().chain(&lead).collect()
        } else if is_kept {
            led.iter().filter(|route| lead.contains(route)).collect()
        } else {
            continue;
        };
        let way: HashSet<Id<'_>> = routes.into_iter().flat_map(|route| now.way(route)).map(Thing::id).collect();
        let has_gone = |change: &Change| way.contains(&change.thing.id()) && after.find(&change.thing).is_none();
        let takes = |change: &Change| change.action == Action::Remove && has_gone(change);
        let mut found = find(changes, takes, queue);
        if found.is_empty() {
            let lost = now.all(Kind::Binding).filter(|binding| way.contains(&binding.id()));
            let lost = lost.filter(|binding| after.find(binding).is_none() && after.has_ends(binding));
            // One that could not be created is not tried again.
            let is_tried =
                |binding: &Thing| changes.iter().any(|change| change.is_repair && change.thing.id() == binding.id());
            let lost = lost.filter(|binding| !is_tried(binding));
            found = lost.map(|binding| Remedy::Bind(Box::new(binding.clone()))).collect();
        }
        if found.is_empty() && is_cut {
            let governs = |change: &Change| {
                change.thing.kind == Kind::Policy
                    && change.before.iter().chain([&change.thing]).any(|policy| counts(policy, queue))
            };
            found = find(changes, governs, queue);
        }
        if found.is_empty() && is_cut {
            let is_meant = |thing: &Thing| way.contains(&thing.id()) || thing.id() == queue.id();
            let replaces = |change: &Change| change.action == Action::Recreate && is_meant(&change.thing);
            found = find(changes, replaces, queue);
        }
        if !found.is_empty() {
            return found;
        }
    }
    for vhost in after.all(Kind::Vhost).filter(|vhost| meant.find(vhost).is_none()) {
        let rights = now.all(Kind::Permission).filter(|rights| rights.vhost == vhost.name);
        let users: HashSet<&str> = rights.map(|rights| rights.name.as_str()).collect();
        let takes = |change: &Change| {
            change.action == Action::Remove
                && change.thing.kind == Kind::User
                && users.contains(change.thing.name.as_str())
        };
        let found = find(changes, takes, vhost);
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// What to do about those changes that take away what something needs, where they are made or are to be made.
fn find(changes: &[Change], takes: impl Fn(&Change) -> bool, needing: &Thing) -> Vec<Remedy> {
    let counting = changes.iter().enumerate().filter(|(_, change)| change.counts() && !change.is_repair);
    let remedy = |(at, change): (usize, &Change)| match change.progress {
        Progress::Made => Remedy::Undo(at),
        _ => Remedy::Hold(at, Hold::Needed { kind: needing.kind, name: needing.name.clone() }),
    };
    counting.filter(|(_, change)| takes(change)).map(remedy).collect()
}

fn repair(action: Action, thing: &Thing, before: Option<&Thing>, key: &str) -> Change {
    Change {
        action,
        thing: thing.clone(),
        before: before.cloned(),
        hold: None,
        password: false,
        progress: Progress::Planned,
        is_repair: true,
        key: key.to_owned(),
        may_discard: false,
    }
}

/// The changes that take a change back. With a queue or an exchange come the bindings that went with it.
fn undo(change: &Change, live: &Live) -> Vec<Change> {
    let repair = |action, thing: &Thing, before: Option<&Thing>| repair(action, thing, before, &change.key);
    let thing = &change.thing;
    let went_with_it = live.things.iter().map(|found| &found.thing).filter(|binding| goes_with(binding, thing));
    let bindings = went_with_it.map(|binding| repair(Action::Create, binding, None));
    match (&change.before, change.action) {
        (Some(before), Action::Recreate) => {
            std::iter::once(repair(Action::Recreate, before, Some(thing))).chain(bindings).collect()
        }
        (Some(before), _) => vec![repair(Action::Update, before, Some(thing))],
        (None, Action::Remove) => std::iter::once(repair(Action::Create, thing, None)).chain(bindings).collect(),
        (None, _) => vec![repair(Action::Remove, thing, None)],
    }
}

/// How many of the things that are removed must be removed before each of these: a queue goes before what its dead letters
/// need.
pub(super) fn ranks(removals: &[Change], live: &Live) -> Vec<usize> {
    let now = State::of(live);
    let going: Vec<Id<'_>> = removals.iter().map(|change| change.thing.id()).collect();
    let needs = |change: &Change| -> Vec<usize> {
        let Some(queue) = now.find(&change.thing).filter(|thing| thing.kind == Kind::Queue) else { return Vec::new() };
        let way: HashSet<Id<'_>> = now.routes(queue).iter().flat_map(|route| now.way(route)).map(Thing::id).collect();
        let is_needed = |at: usize| way.contains(&going[at]) || counts(&removals[at].thing, queue);
        (0..going.len()).filter(|at| is_needed(*at)).collect()
    };
    let needs: Vec<Vec<usize>> = removals.iter().map(needs).collect();
    let mut ranks = vec![0; removals.len()];
    // Where queues are each other's dead-letter queues there is no such order, and this ends all the same.
    for _ in 0..removals.len() {
        let mut is_changed = false;
        for (at, needed) in needs.iter().enumerate() {
            for other in needed.iter().copied().filter(|other| *other != at) {
                let rank = (ranks[at] + 1).min(removals.len());
                is_changed |= ranks[other] < rank;
                ranks[other] = ranks[other].max(rank);
            }
        }
        if !is_changed {
            break;
        }
    }
    ranks
}
