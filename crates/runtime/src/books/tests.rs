//! What clerks write and what is read of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::{State, sum_up};
use super::{Balance, Counts, Ledger, open};
use zrecipe_broker::books::{Account, Clerk, Entry, Fate};
use zrecipe_broker::message::RecipeStep;
use zrecipe_broker::transport::Waiting;

fn entry(id: &str, queue: &str, step: i64) -> Entry {
    let step = RecipeStep { recipe_id: Some("r".to_owned()), step };
    Entry { id: id.to_owned(), queue: queue.to_owned(), step: Some(step), delay: Duration::ZERO }
}

fn read(place: &Path) -> Ledger {
    Ledger::read_all(&[place.to_owned()]).expect("can be read")
}

/// What there is in queues, with one consumer each.
fn counts<const N: usize>(counts: [(&str, u64); N]) -> Counts {
    with_consumers(1, counts)
}

fn with_consumers<const N: usize>(consumers: u64, counts: [(&str, u64); N]) -> Counts {
    let waiting = |messages| Waiting { messages, consumers: Some(consumers) };
    HashMap::from(counts.map(|(queue, messages)| (queue.to_owned(), waiting(messages))))
}

/// Finished, dead, queued, running, removed, missing.
fn of(balance: &Balance) -> [u64; 6] {
    let total = Account::total(balance.accounts.values());
    let Account { accepted, finished, dead, queued, running, removed, missing, .. } = total;
    let missing = missing.len() as u64;
    assert_eq!(accepted, finished + dead + queued + running + removed + missing, "{balance:?}");
    [finished, dead, queued, running, removed, missing]
}

/// How many files of ended processes there are.
fn ended(place: &Path) -> usize {
    let files = std::fs::read_dir(place).expect("is there").map(|entry| entry.expect("is there").path());
    let logs = files.filter(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.filter(|path| std::fs::File::open(path).is_ok_and(|file| file.try_lock_shared().is_ok())).count()
}

fn keep(clerk: &dyn Clerk) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(clerk.keep());
}

/// The end of a process: its file is locked no more.
fn end(clerk: Arc<dyn Clerk>, place: &Path) {
    keep(&*clerk);
    let before = ended(place);
    drop(clerk);
    while ended(place) == before {
        std::thread::yield_now();
    }
}

/// Longer than the balance gives a message to reach its queue.
fn later(ledger: &mut Ledger) {
    for item in ledger.items.values_mut() {
        match &mut item.state {
            State::Queued { due } => *due -= 10_000_000,
            State::Unsure => item.updated -= 10_000_000,
            State::Running | State::Finished | State::Dead | State::Removed => {}
        }
    }
}

fn balance(place: &Path, of: Counts) -> Balance {
    let mut ledger = read(place);
    later(&mut ledger);
    ledger.balance(&of)
}

#[test]
fn senders_and_receivers_say_together_what_became_of_a_message() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let (sender, service) = (open(place), open(place));
    sender.accepted(&[entry("a", "first", 1), entry("b", "first", 1), entry("c", "first", 1)]);
    keep(&*sender);
    service.served("first");
    service.received("first", "a");
    service.settling("a", Fate::Finished, &[entry("a2", "second", 2)]);
    service.settled("a", Fate::Finished);
    service.received("first", "b");
    keep(&*service);
    // One is with the service, one in its queue, and one is in the next one's.
    assert_eq!(of(&balance(place, counts([("first", 1), ("second", 1)]))), [1, 0, 2, 1, 0, 0]);
    // Another program takes messages from the second queue, whatever the books say.
    assert_eq!(of(&balance(place, counts([("first", 1), ("second", 0)]))), [2, 0, 1, 1, 0, 0]);
    // Nobody else takes messages from the first.
    let found = balance(place, counts([("second", 1)]));
    assert_eq!(of(&found), [1, 0, 1, 1, 0, 1]);
    let account = found.accounts.values().next().expect("one");
    let missing = account.missing.first().expect("one");
    assert_eq!((missing.id.as_str(), missing.queue.as_str(), missing.step), ("c", "first", Some(1)));
    // But with another consumer nobody knows.
    let others = HashMap::from([("first".to_owned(), Waiting { messages: 0, consumers: Some(2) })]);
    assert_eq!(of(&balance(place, others)), [3, 0, 0, 1, 0, 0]);

    service.settled("b", Fate::Dead);
    keep(&*service);
    assert_eq!(of(&balance(place, counts([("first", 1), ("second", 1), ("dlq.first", 1)]))), [1, 1, 2, 0, 0, 0]);
    // The broker made a dead letter of the other one, after too many deliveries.
    assert_eq!(of(&balance(place, counts([("second", 1), ("dlq.first", 2)]))), [1, 2, 1, 0, 0, 0]);
    // A letter goes back; then the queue is purged.
    sender.received("dlq.first", "b");
    sender.settling("b", Fate::Removed, &[entry("b", "first", 1)]);
    sender.settled("b", Fate::Removed);
    keep(&*sender);
    assert_eq!(of(&balance(place, counts([("first", 2), ("second", 1)]))), [1, 0, 3, 0, 0, 0]);
    sender.purged("first");
    keep(&*sender);
    assert_eq!(of(&balance(place, counts([("second", 1)]))), [1, 0, 1, 0, 2, 0]);
}

#[test]
fn what_a_dead_process_held_is_in_its_queue_or_was_settled() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let (sender, service) = (open(place), open(place));
    sender.served("first");
    sender.accepted(&[entry("a", "first", 1), entry("b", "first", 1), entry("c", "first", 1)]);
    keep(&*sender);
    service.received("first", "a");
    service.received("first", "b");
    service.settling("b", Fate::Finished, &[]);
    service.received("first", "c");
    service.settling("c", Fate::Finished, &[entry("c2", "second", 2)]);
    end(service, place);
    // `a` was not begun: if it is not in its queue, it is missing.
    assert_eq!(of(&balance(place, counts([("first", 3)]))), [0, 0, 3, 0, 0, 0]);
    // `c` was settled by the count, so what it led to was sent as well: here another program has taken it.
    assert_eq!(of(&balance(place, counts([("first", 1)]))), [3, 0, 1, 0, 0, 0]);
    let found = balance(place, counts([("first", 1), ("second", 1)]));
    assert_eq!((of(&found), found.foreign), ([2, 0, 2, 0, 0, 0], 0));
    assert_eq!(of(&balance(place, counts([("first", 0)]))), [3, 0, 0, 0, 0, 1]);
    // What `c` led to has come, so it was settled.
    sender.received("second", "c2");
    keep(&*sender);
    assert_eq!(of(&balance(place, counts([("first", 2)]))), [1, 0, 2, 1, 0, 0]);
    drop(sender);
}

#[test]
fn of_what_a_dead_process_settled_the_letters_are_those_that_were_to_be() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let (sender, service) = (open(place), open(place));
    sender.accepted(&[entry("a", "first", 1), entry("b", "first", 1), entry("c", "first", 1)]);
    keep(&*sender);
    for (id, fate, output) in [("a", Fate::Finished, "a2"), ("b", Fate::Dead, ""), ("c", Fate::Finished, "c2")] {
        service.received("first", id);
        let output = (!output.is_empty()).then(|| entry(output, "second", 2));
        service.settling(id, fate, output.as_slice());
    }
    end(service, place);
    let counts = || counts([("dlq.first", 1), ("second", 2)]);
    let found = balance(place, counts());
    assert_eq!((of(&found), found.foreign), ([2, 1, 2, 0, 0, 0], 0));
    sum_up(place).expect("can be summed up");
    assert_eq!(of(&balance(place, counts())), [2, 1, 2, 0, 0, 0]);
}

#[test]
fn what_was_lost_after_another_process_had_it_is_with_that_process() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let (cut, service) = (open(place), open(place));
    cut.received("first", "a");
    keep(&*cut);
    service.received("first", "a");
    keep(&*service);
    cut.lost("a");
    keep(&*cut);
    assert_eq!(of(&balance(place, counts([]))), [0, 0, 0, 1, 0, 0]);
    service.settling("a", Fate::Finished, &[entry("a2", "second", 2)]);
    end(service, place);
    assert_eq!(of(&balance(place, counts([("second", 1)]))), [1, 0, 1, 0, 0, 0]);
    drop(cut);
}

#[test]
fn a_receiver_may_be_quicker_than_its_sender() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let (sender, receiver) = (open(place), open(place));
    for id in ["a", "b"] {
        receiver.received("first", id);
        receiver.settling(
            id,
            if id == "a" { Fate::Finished } else { Fate::Dead },
            &[entry(&format!("{id}2"), "second", 2)],
        );
    }
    receiver.settled("b", Fate::Dead);
    keep(&*receiver);
    // The broker confirms what it has delivered long ago, and the sender's lines are summed up first.
    sender.accepted(&[entry("a", "first", 1), entry("b", "first", 1)]);
    end(sender, place);
    sum_up(place).expect("can be summed up");
    receiver.settled("a", Fate::Finished);
    keep(&*receiver);
    assert_eq!(of(&balance(place, counts([("dlq.first", 1), ("second", 2)]))), [1, 1, 2, 0, 0, 0]);
    drop(receiver);
}

#[test]
fn a_summary_says_the_same() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let (sender, service) = (open(place), open(place));
    let many: Vec<Entry> = (0..100).map(|n| entry(&format!("m-{n}"), "first", 1)).collect();
    service.served("first");
    for entry in &many[..60] {
        // The line of its sender comes later.
        service.received("first", &entry.id);
        service.settling(&entry.id, Fate::Finished, &[]);
        service.settled(&entry.id, Fate::Finished);
    }
    end(service, place);
    sum_up(place).expect("can be summed up");
    let files = || std::fs::read_dir(place).expect("is there").count();
    assert_eq!(files(), 2, "the summary and the lock");
    sender.accepted(&many);
    keep(&*sender);
    for _ in 0..3 {
        assert_eq!(of(&balance(place, with_consumers(0, [("first", 40)]))), [60, 0, 40, 0, 0, 0]);
        sum_up(place).expect("can be summed up");
    }
    end(sender, place);
    for _ in 0..3 {
        sum_up(place).expect("can be summed up");
        assert_eq!(of(&balance(place, with_consumers(0, [("first", 40)]))), [60, 0, 40, 0, 0, 0]);
        assert_eq!(of(&balance(place, with_consumers(0, [("first", 39)]))), [60, 0, 39, 0, 0, 1]);
    }
    // A line that was cut off, and noise.
    std::fs::write(place.join("x.log"), "[1,\"accepted\",[\"n\"\n\u{0}\n[]\n[2,\"received\"]\n[3]\n").expect("written");
    assert_eq!(of(&balance(place, with_consumers(0, [("first", 40)])))[..5], [60, 0, 40, 0, 0]);
}

#[test]
fn books_that_cannot_be_kept_stop_nothing() {
    let place = tempfile::NamedTempFile::new().expect("a file");
    let clerk = open(&place.path().join("below"));
    for n in 0..200_000 {
        clerk.received("first", &n.to_string());
    }
    keep(&*clerk);
    let place = tempfile::tempdir().expect("a directory");
    assert_eq!(read(&place.path().join("nosuch")).items.len(), 0);
}
