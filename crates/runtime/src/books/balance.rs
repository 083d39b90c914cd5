//! The books against what the broker counts.
//!
//! A queue hands out its messages in order. So if the broker counts fewer messages in a queue than the books have there,
//! the ones that have been there longest are missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ledger::{Item, Ledger, State};
use zrecipe_broker::books::{Account, Missing};
use zrecipe_broker::message::dead_letter_queue;
use zrecipe_broker::transport::Waiting;

/// What is due for less than this is not expected in its queue yet: it may be on its way.
const MARGIN: Duration = Duration::from_secs(2);

/// What the broker says of each queue; a queue that does not exist is absent.
pub type Counts = HashMap<String, Waiting>;

/// What the books and the broker say together.
#[derive(Debug, Default)]
pub struct Balance {
    /// The accounts, by recipe ID.
    pub accounts: BTreeMap<Option<String>, Account>,
    /// Messages in queues that are in no book: other programs sent them.
    pub foreign: u64,
}

impl Ledger {
    /// The queues that have to be counted: those of messages that wait, and their dead letters; and those of what the
    /// messages lead to of which nobody knows whether they are settled.
    pub fn queues(&self) -> Vec<String> {
        let waiting = self.items.values().filter(|item| matches!(item.state, State::Queued { .. } | State::Dead));
        let unsure = self.items.values().filter(|item| item.state == State::Unsure);
        let places = waiting.map(|item| item.queue.as_str()).chain(unsure.flat_map(|item| {
            let outputs = item.outputs.iter().filter_map(|output| output.as_array()?.get(1)?.as_str());
            outputs.chain([item.queue.as_str()])
        }));
        let mut queues: Vec<String> = places.flat_map(|queue| [queue.to_owned(), dead_letter_queue(queue)]).collect();
        queues.sort();
        queues.dedup();
        queues
    }

    /// The books as of now, with these counts. Missing messages may have been on their way: only those that are missing
    /// time and again are.
    pub fn balance(&mut self, counts: &Counts) -> Balance {
        loop {
            let (balance, settled) = self.weigh(counts);
            if settled.is_empty() {
                return balance;
            }
            // What they lead to is somewhere too.
            for id in settled {
                let at = self.items.get(&id).map_or(0, |item| item.updated);
                self.finish(&id, State::Finished, at);
            }
        }
    }

    /// The books with these counts; and the messages whose holder died while it settled them and which are settled by
    /// the counts, if they lead to others.
    fn weigh(&self, counts: &Counts) -> (Balance, Vec<String>) {
        let mut balance = Balance::default();
        for (recipe, ended) in &self.ended {
            let account = balance.account(recipe);
            account.finished += ended.finished;
            account.removed += ended.removed;
            account.accepted += ended.finished + ended.removed;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        let (expected, now) = (micros(now.saturating_sub(MARGIN)), micros(now));
        let mut settled = Vec::new();
        let mut places: BTreeMap<&str, Place<'_>> = BTreeMap::new();
        for (id, item) in &self.items {
            let account = balance.account(&item.recipe_id);
            account.accepted += 1;
            match item.state {
                State::Finished => account.finished += 1,
                State::Removed => account.removed += 1,
                State::Running => account.running += 1,
                State::Queued { due } if due > expected => {
                    account.queued += 1;
                    places.entry(&item.queue).or_default().arriving += u64::from(due <= now);
                }
                State::Queued { .. } => places.entry(&item.queue).or_default().queued.push((id, item)),
                State::Unsure => places.entry(&item.queue).or_default().unsure.push((id, item)),
                State::Dead => places.entry(&item.queue).or_default().dead.push((id, item)),
            }
        }
        for (queue, place) in places {
            let count = |queue: &str| counts.get(queue).map_or(0, |waiting| waiting.messages);
            // A consumer without books, such as a Python service, takes messages as well.
            let consumers = counts.get(queue).and_then(|waiting| waiting.consumers).unwrap_or_default();
            let is_ours = self.served.get(queue).is_some_and(|&live| consumers <= live);
            settled.extend(place.settle(count(queue), count(&dead_letter_queue(queue)), is_ours, &mut balance));
        }
        (balance, settled)
    }
}

/// The messages of one queue.
#[derive(Default)]
struct Place<'l> {
    /// How many may be in the queue already, or not yet.
    arriving: u64,
    queued: Vec<(&'l String, &'l Item)>,
    unsure: Vec<(&'l String, &'l Item)>,
    dead: Vec<(&'l String, &'l Item)>,
}

impl Place<'_> {
    /// Shares the messages out: `ready` are in the queue, `letters` are dead letters. Returns what [`Ledger::weigh`] does.
    fn settle(mut self, mut ready: u64, letters: u64, is_ours: bool, balance: &mut Balance) -> Vec<String> {
        for list in [&mut self.queued, &mut self.unsure, &mut self.dead] {
            // The newest first: they are there if any is.
            list.sort_by_key(|(id, item)| (std::cmp::Reverse(item.accepted), *id));
        }
        let mut letters = letters;
        for (id, item) in &self.dead {
            let account = balance.account(&item.recipe_id);
            if take(&mut letters) {
                account.dead += 1;
            } else {
                // Another tool has taken the letter.
                account.missing.push(missing(id, item));
            }
        }
        for (id, item) in &self.queued {
            let account = balance.account(&item.recipe_id);
            if take(&mut ready) {
                account.queued += 1;
            } else if take(&mut letters) {
                // The broker itself made a dead letter of it.
                account.dead += 1;
            } else if is_ours {
                account.missing.push(missing(id, item));
            } else {
                // A program without books has taken it.
                account.finished += 1;
            }
        }
        // The letters that are left are those that were about to be.
        self.unsure.sort_by_key(|(_, item)| !item.was_to_die());
        let mut settled = Vec::new();
        for (id, item) in &self.unsure {
            let account = balance.account(&item.recipe_id);
            if item.was_to_die() && take(&mut letters) {
                account.dead += 1;
            } else if take(&mut ready) {
                account.queued += 1;
            } else if take(&mut letters) {
                account.dead += 1;
            } else {
                // It has not come again, so the broker has its acknowledgement.
                account.finished += 1;
                if item.leads_on() {
                    settled.push((*id).clone());
                }
            }
        }
        balance.foreign += ready.saturating_sub(self.arriving);
        settled
    }
}

fn take(count: &mut u64) -> bool {
    let is_there = *count > 0;
    *count = count.saturating_sub(1);
    is_there
}

fn missing(id: &str, item: &Item) -> Missing {
    let accepted = UNIX_EPOCH + Duration::from_micros(item.accepted.unsigned_abs());
    Missing { id: id.to_owned(), queue: item.queue.clone(), step: item.step, accepted }
}

impl Balance {
    fn account(&mut self, recipe: &Option<String>) -> &mut Account {
        let named = || Account { recipe_id: recipe.clone(), ..Account::default() };
        self.accounts.entry(recipe.clone()).or_insert_with(named)
    }

    /// Counts as queued what is missing only at this moment: it is on its way.
    pub fn keep_missing(&mut self, ids: &HashSet<String>) {
        for account in self.accounts.values_mut() {
            let before = account.missing.len();
            account.missing.retain(|missing| ids.contains(&missing.id));
            account.queued += (before - account.missing.len()) as u64;
        }
    }

    /// The IDs of what is missing.
    pub fn missing(&self) -> HashSet<String> {
        let missing = self.accounts.values().flat_map(|account| &account.missing);
        missing.map(|missing| missing.id.clone()).collect()
    }
}
