//! The one thread of a process that writes: it gathers what waits into one transaction, hands out messages to the
//! subscriptions in the same transaction, and answers when it is on the disk.
//!
//! - What is kept in memory (subscriptions, held messages) changes only after the transaction is committed.
//! - A request that fails fails alone: when a transaction breaks, its requests are tried one by one.
//! - Everything waits in one place, [`Writer::run`]: for requests, the bell, the next due time, and, because bells can
//!   be missed, a slow clock.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};

use super::Options;
use super::peers::{Bell, Ears, Listener, News, Places, patiently};
use super::sql::{Claim, Ending, Held, Ledger, Parcel, now};
use crate::transport::{Delivery, Destination, Error};
use zrecipe_language::value::Object;

/// The most requests, and about the most bytes, that one transaction takes.
const BATCH: usize = 1_000;
const BATCH_BYTES: usize = 32 << 20;
/// How long a listening process goes without looking by itself, and how long when it cannot hear the bell.
const SLOW_CLOCK: Duration = Duration::from_millis(1_500);
const FAST_CLOCK: Duration = Duration::from_millis(15);
/// How long after a failed transaction the next is tried when nobody asks for one.
const AFTER_FAILURE: Duration = Duration::from_millis(250);
/// The bell is rung for work at most this often, and this often for those who only watch.
const BELL_FOR_WORK: Duration = Duration::from_millis(2);
const BELL_FOR_NEWS: Duration = Duration::from_millis(10);
/// How long the thread stays awake for whoever it has just answered, and waits at most to fill a transaction.
const NAP: Duration = Duration::from_micros(60);
const LONGEST_LINGER: Duration = Duration::from_millis(1);
/// How often old rows are looked for.
const PRUNING: Duration = Duration::from_secs(60);

/// What the writer thread is asked.
pub(super) enum Request {
    /// Do this and answer when it is on the disk.
    Do(Op, Option<Reply>),
    /// Something may have changed.
    Look,
    /// The process of this name may have died.
    Gone(String),
    /// Follow what other processes change.
    Listen(oneshot::Sender<()>),
    /// Release everything and end.
    Close(Option<oneshot::Sender<Result<(), Error>>>),
}

pub(super) type Reply = oneshot::Sender<Result<Answer, Error>>;

/// One request that writes.
pub(super) enum Op {
    Send {
        namespace: Arc<str>,
        parcels: Vec<Parcel>,
    },
    Settle {
        namespace: Arc<str>,
        tag: u64,
        id: String,
        ending: Ending,
    },
    Declare {
        namespace: Arc<str>,
        queue: String,
    },
    Subscribe(Subscriber),
    Describe {
        namespace: Arc<str>,
        description: String,
    },
    Hold {
        namespace: Arc<str>,
        lease: u64,
    },
    Purge {
        namespace: Arc<str>,
        queue: String,
    },
    Forget {
        namespace: Arc<str>,
    },
    /// A subscription is over.
    End(u64),
    /// A handle and its clones are gone.
    Leave(u64),
    /// A process has died.
    Bury(String),
}

impl Op {
    fn size(&self) -> usize {
        match self {
            Op::Send { parcels, .. } => parcels.iter().map(Parcel::size).sum(),
            Op::Settle { ending, .. } => ending.outputs.iter().map(Parcel::size).sum(),
            _ => 0,
        }
    }
}

/// Who wants messages.
pub(super) struct Subscriber {
    /// Chosen by whoever asks, so that it can end what it has not heard back about.
    pub(super) number: u64,
    pub(super) lease: u64,
    pub(super) namespace: Arc<str>,
    pub(super) source: Destination,
    pub(super) prefetch: usize,
    pub(super) sender: mpsc::Sender<Delivery>,
    /// Dropped with the subscription.
    pub(super) _alive: oneshot::Sender<()>,
}

/// What came of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Held(bool),
    /// All is sent, but for what was taken before: the ids of that.
    Sent(Vec<String>),
    Place {
        namespace: i64,
        queue: i64,
    },
    /// How many messages were thrown away.
    Purged(u64),
}

/// The change counts of the namespaces that handles of this process know.
pub(super) type Watches = Arc<Mutex<HashMap<String, watch::Sender<u64>>>>;

struct Subscription {
    subscriber: Subscriber,
    namespace: i64,
    queue: i64,
    unsettled: usize,
}

struct Holding {
    subscription: u64,
    namespace: Arc<str>,
    held: Held,
}

impl Holding {
    fn is(&self, namespace: &str, id: &str) -> bool {
        *self.namespace == *namespace && self.held.id == id
    }
}

/// What a transaction has done, to be applied once it is on the disk.
struct Done {
    outcomes: Vec<Result<Answer, Error>>,
    claims: Vec<(u64, Claim)>,
    changed: Vec<(String, u64)>,
    leaves_work: bool,
}

/// What a transaction has done to subscriptions so far.
#[derive(Default)]
struct Course {
    freed: HashMap<u64, usize>,
    ended: HashSet<u64>,
}

/// What waits to be done together.
#[derive(Default)]
struct Batch {
    ops: Vec<Op>,
    replies: Vec<Option<Reply>>,
    bytes: usize,
    look: bool,
    close: Option<Option<oneshot::Sender<Result<(), Error>>>>,
}

impl Batch {
    fn push(&mut self, op: Op, reply: Option<Reply>) {
        self.bytes += op.size();
        self.ops.push(op);
        self.replies.push(reply);
    }

    fn is_full(&self) -> bool {
        self.ops.len() >= BATCH || self.bytes >= BATCH_BYTES || self.close.is_some()
    }

    fn take(&mut self) -> (Vec<Op>, Vec<Option<Reply>>) {
        self.bytes = 0;
        (std::mem::take(&mut self.ops), std::mem::take(&mut self.replies))
    }
}

/// What the thread owns.
pub(super) struct Writer {
    ledger: Ledger,
    places: Places,
    /// Held around every transaction.
    lock: File,
    /// This process's lock file: locked as long as it lives.
    life: File,
    name: String,
    options: Options,
    bell: Bell,
    requests: Receiver<Request>,
    own: Sender<Request>,
    watches: Watches,

    subscriptions: BTreeMap<u64, Subscription>,
    held: HashMap<u64, Holding>,
    owned: HashMap<i64, u64>,
    next_tag: u64,
    /// Queues known to have nothing ready.
    dry: HashSet<i64>,
    /// Other processes, by row and name.
    others: Vec<(i64, String)>,
    /// This process is not registered any more.
    struck_off: bool,
    /// Requests of nobody that failed, to be tried again.
    unfinished: Vec<Op>,

    listening: bool,
    ears: Option<Ears>,
    pending: Arc<AtomicBool>,
    failed: bool,
    /// Requests in the last transaction: until the thread has waited for more, and until the next transaction.
    answered: usize,
    answered_before: usize,
    /// How long the last transaction took, waiting included.
    lasted: Duration,
    next_event: Option<i64>,
    looked: Instant,
    rung: Option<Instant>,
    ring_at: Option<Instant>,
    prune_at: Instant,
}

/// What [`Writer::new`] takes over from the opening of the database.
pub(super) struct Parts {
    pub(super) ledger: Ledger,
    pub(super) places: Places,
    pub(super) lock: File,
    pub(super) life: File,
    pub(super) name: String,
    pub(super) options: Options,
    pub(super) bell: Bell,
    pub(super) requests: Receiver<Request>,
    pub(super) own: Sender<Request>,
    pub(super) watches: Watches,
    /// Tags count up from here; another broker's start elsewhere.
    pub(super) first_tag: u64,
}

fn store(error: io::Error) -> Error {
    Error::Store(Box::new(error))
}

impl Writer {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            ledger: parts.ledger,
            places: parts.places,
            lock: parts.lock,
            life: parts.life,
            name: parts.name,
            options: parts.options,
            bell: parts.bell,
            requests: parts.requests,
            own: parts.own,
            watches: parts.watches,
            subscriptions: BTreeMap::new(),
            held: HashMap::new(),
            owned: HashMap::new(),
            next_tag: parts.first_tag,
            dry: HashSet::new(),
            others: Vec::new(),
            struck_off: false,
            unfinished: Vec::new(),
            listening: false,
            ears: None,
            pending: Arc::default(),
            failed: false,
            answered: 0,
            answered_before: 0,
            lasted: Duration::ZERO,
            next_event: None,
            looked: Instant::now(),
            rung: None,
            ring_at: None,
            prune_at: Instant::now(),
        }
    }

    /// Works until it is told to close.
    pub(super) fn run(mut self) {
        let mut batch = Batch::default();
        loop {
            match self.wait() {
                Ok(request) => self.take(request, &mut batch),
                Err(RecvTimeoutError::Timeout) => batch.look = true,
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.gather(&mut batch);
            if self.minds_the_clock() && self.looked.elapsed() >= self.clock() {
                self.tick(&mut batch);
            }
            let look = std::mem::take(&mut batch.look);
            if !batch.ops.is_empty() || (look && self.sees_work()) {
                self.perform(&mut batch);
            }
            self.ring_if_due();
            if let Some(reply) = batch.close.take() {
                return self.finish(reply);
            }
        }
    }

    /// The next request. Whoever has just been answered often asks again at once, which is not worth going to sleep.
    fn wait(&mut self) -> Result<Request, RecvTimeoutError> {
        if std::mem::take(&mut self.answered) > 0 {
            let start = Instant::now();
            while start.elapsed() < NAP {
                match self.requests.try_recv() {
                    Ok(request) => return Ok(request),
                    Err(TryRecvError::Empty) => thread::yield_now(),
                    Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                }
            }
        }
        match self.patience() {
            None => self.requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(patience) => self.requests.recv_timeout(patience),
        }
    }

    /// Takes all requests that wait.
    fn gather(&mut self, batch: &mut Batch) {
        while !batch.is_full()
            && let Ok(request) = self.requests.try_recv()
        {
            self.take(request, batch);
        }
    }

    /// After a transaction with many requests, those who were answered ask again soon: to wait for them a little makes
    /// one large transaction of two small ones.
    fn linger(&mut self, batch: &mut Batch, expected: usize) {
        let longest = (self.lasted / 4).min(LONGEST_LINGER);
        let start = Instant::now();
        let mut last = start;
        while batch.ops.len() < expected && !batch.is_full() {
            let now = Instant::now();
            if now.duration_since(start) > longest || now.duration_since(last) > NAP {
                break;
            }
            match self.requests.try_recv() {
                Ok(request) => {
                    self.take(request, batch);
                    last = now;
                }
                Err(_) => thread::yield_now(),
            }
        }
    }

    fn take(&mut self, request: Request, batch: &mut Batch) {
        match request {
            Request::Do(op, reply) => {
                if matches!(op, Op::Subscribe(_)) {
                    self.listen();
                }
                batch.push(op, reply);
            }
            Request::Look => {
                self.pending.store(false, Ordering::Release);
                batch.look = true;
            }
            Request::Gone(process) => batch.push(Op::Bury(process), None),
            Request::Listen(reply) => {
                self.listen();
                batch.look = true;
                // What changed before the handle asked; later changes are published as they come.
                let _ = self.publish_all();
                let _ = reply.send(());
            }
            Request::Close(reply) => batch.close = Some(reply),
        }
    }

    fn minds_the_clock(&self) -> bool {
        self.listening || !self.unfinished.is_empty()
    }

    fn clock(&self) -> Duration {
        if self.ears.is_some() { SLOW_CLOCK } else { FAST_CLOCK }
    }

    /// How long to wait for requests; for ever if there is nothing else to wait for.
    fn patience(&self) -> Option<Duration> {
        let mut patience = self.ring_at.map(|at| at.saturating_duration_since(Instant::now()));
        let mut at_most = |duration: Duration| patience = Some(patience.map_or(duration, |least| least.min(duration)));
        if self.minds_the_clock() {
            at_most(self.clock().saturating_sub(self.looked.elapsed()));
        }
        if self.listening
            && let Some(at) = self.next_event
        {
            let wait = Duration::from_micros(u64::try_from(at.saturating_sub(now())).unwrap_or(0));
            at_most(if self.failed { wait.max(AFTER_FAILURE) } else { wait });
        }
        patience
    }

    fn listen(&mut self) {
        if !self.listening {
            self.listening = true;
            // Where no watch can be had, the clock ticks faster.
            let own = self.own.clone();
            let listener: Listener = Arc::new(move |news| {
                let _ = own.send(match news {
                    News::Changed => Request::Look,
                    News::Gone(process) => Request::Gone(process),
                });
            });
            self.ears = Ears::new(&self.places, listener, self.pending.clone()).ok();
        }
    }

    // Looking

    /// Takes notice of what other processes have written.
    fn refresh(&mut self) -> Result<(), Error> {
        if self.ledger.moved_on()? {
            self.dry.clear();
            let mut processes = self.ledger.processes()?;
            let all = processes.len();
            processes.retain(|(process, _)| *process != self.ledger.process());
            self.struck_off = processes.len() == all;
            self.others = processes;
            self.publish_all()?;
            // Another process may have removed a namespace with its queues.
            let mut lost = Vec::new();
            for (number, subscription) in &self.subscriptions {
                if !self.ledger.has_queue(subscription.queue)? {
                    lost.push(*number);
                }
            }
            for number in lost {
                self.drop_subscription(number);
            }
        }
        Ok(())
    }

    fn publish_all(&self) -> Result<(), Error> {
        for (name, watch) in &*self.watches.lock().unwrap_or_else(PoisonError::into_inner) {
            publish(watch, self.ledger.changes(name)?);
        }
        Ok(())
    }

    /// Whether a transaction would find something to do. Reads only, and takes no lock.
    fn sees_work(&mut self) -> bool {
        self.sees().unwrap_or_else(|_| {
            self.failed = true;
            false
        })
    }

    fn sees(&mut self) -> Result<bool, Error> {
        self.refresh()?;
        self.next_event = self.ledger.next_event()?;
        if self.next_event.is_some_and(|at| at <= now()) {
            return Ok(true);
        }
        for subscription in self.subscriptions.values() {
            if subscription.unsettled < subscription.subscriber.prefetch && !self.dry.contains(&subscription.queue) {
                if self.ledger.has_ready(subscription.queue)? {
                    return Ok(true);
                }
                self.dry.insert(subscription.queue);
            }
        }
        Ok(false)
    }

    /// The clock has ticked: look, look for the dead, and try again what could not be done.
    fn tick(&mut self, batch: &mut Batch) {
        self.looked = Instant::now();
        batch.look = true;
        for op in self.unfinished.drain(..) {
            batch.push(op, None);
        }
        for (_, name) in &self.others {
            if !self.places.is_alive(name) {
                batch.push(Op::Bury(name.clone()), None);
            }
        }
    }

    // Writing

    /// Does all of `batch` and hands out what there is.
    fn perform(&mut self, batch: &mut Batch) {
        let start = Instant::now();
        let expected = batch.ops.len() + self.answered_before;
        if self.answered_before > 1 {
            self.linger(batch, expected);
        }
        let locked = patiently(|| self.lock.lock()).map_err(store);
        // While this process waited for its turn, more has come.
        self.gather(batch);
        let (ops, replies) = batch.take();
        self.answered = ops.len();
        self.answered_before = ops.len();
        let done = locked.and_then(|()| self.transact(&ops));
        let _ = self.lock.unlock();
        match done {
            Ok(done) => self.conclude(ops, replies, done),
            Err(_) if ops.len() > 1 => {
                for (op, reply) in ops.into_iter().zip(replies) {
                    self.perform_alone(op, reply);
                }
            }
            Err(error) => self.fail(ops.into_iter().zip(replies).next(), error),
        }
        self.lasted = start.elapsed();
    }

    fn perform_alone(&mut self, op: Op, reply: Option<Reply>) {
        let ops = [op];
        let locked = patiently(|| self.lock.lock()).map_err(store);
        let done = locked.and_then(|()| self.transact(&ops));
        let _ = self.lock.unlock();
        match done {
            Ok(done) => self.conclude(Vec::from(ops), vec![reply], done),
            Err(error) => self.fail(ops.into_iter().zip([reply]).next(), error),
        }
    }

    /// The transaction with this one request, or none, has failed.
    fn fail(&mut self, request: Option<(Op, Option<Reply>)>, error: Error) {
        self.failed = true;
        self.dry.clear();
        match request {
            Some((_, Some(reply))) => {
                let _ = reply.send(Err(error));
            }
            Some((op, None)) => self.unfinished.push(op),
            None => {}
        }
    }

    fn transact(&mut self, ops: &[Op]) -> Result<Done, Error> {
        let mut done = self.attempt(ops);
        if let Err(error) = &done {
            self.ledger.roll_back();
            if self.ledger.makes_room(error) {
                done = self.attempt(ops);
                if done.is_err() {
                    self.ledger.roll_back();
                }
            }
        }
        done
    }

    fn attempt(&mut self, ops: &[Op]) -> Result<Done, Error> {
        self.ledger.begin()?;
        self.refresh()?;
        if self.struck_off {
            // Someone has removed our lock file, and others took us for dead.
            self.life = self.places.live(&self.name).map_err(store)?;
            self.ledger.rejoin(&self.name, std::process::id())?;
            self.struck_off = false;
        }
        self.ledger.pass_time()?;
        let mut course = Course::default();
        let mut outcomes = Vec::with_capacity(ops.len());
        for op in ops {
            match self.execute(op, &mut course) {
                Err(error @ Error::Store(_)) => return Err(error),
                outcome => outcomes.push(outcome),
            }
        }
        if Instant::now() >= self.prune_at {
            let more = self.ledger.prune(self.options.remember_ids, self.options.keep_history)?;
            self.prune_at = Instant::now() + if more { Duration::ZERO } else { PRUNING };
        }
        let claims = self.claim(&course)?;
        let leaves_work = !self.others.is_empty() && self.ledger.leaves_work()?;
        if self.listening {
            self.next_event = self.ledger.next_event()?;
        }
        let changed = self.ledger.commit()?;
        Ok(Done { outcomes, claims, changed, leaves_work })
    }

    fn execute(&mut self, op: &Op, course: &mut Course) -> Result<Answer, Error> {
        let ledger = &mut self.ledger;
        match op {
            Op::Send { namespace, parcels } => return Ok(Answer::Sent(ledger.send(namespace, parcels)?)),
            Op::Settle { namespace, tag, id, ending } => {
                let holding = self.held.get(tag).filter(|holding| holding.is(namespace, id)).ok_or(Error::NotHeld)?;
                let known = ledger.settle(&holding.held, ending)?;
                *course.freed.entry(holding.subscription).or_default() += 1;
                return Ok(Answer::Sent(known));
            }
            Op::Declare { namespace, queue } => {
                let namespace = ledger.namespace_made(namespace)?;
                ledger.declare(namespace, queue)?;
            }
            Op::Subscribe(subscriber) => {
                let namespace = ledger.namespace_made(&subscriber.namespace)?;
                let queue = match &subscriber.source {
                    Destination::Queue(name) => ledger.declare(namespace, name)?,
                    Destination::Topic(name) => ledger.listen(namespace, name)?,
                };
                return Ok(Answer::Place { namespace, queue });
            }
            Op::Describe { namespace, description } => {
                let namespace = ledger.namespace_made(namespace)?;
                ledger.describe(namespace, description)?;
            }
            Op::Hold { namespace, .. } => {
                let namespace = ledger.namespace_made(namespace)?;
                if let Some((owner, name)) = ledger.owner(namespace)?
                    && owner != ledger.process()
                {
                    if let Some(name) = name {
                        if self.places.is_alive(&name) {
                            return Ok(Answer::Held(false));
                        }
                        self.places.bury(&name);
                    }
                    ledger.part(owner, true)?;
                }
                ledger.own(namespace, true)?;
                return Ok(Answer::Held(true));
            }
            Op::Purge { namespace, queue } => {
                return Ok(ledger.purge(namespace, queue)?.map_or(Answer::Done, Answer::Purged));
            }
            Op::Forget { namespace } => ledger.forget(namespace)?,
            Op::End(number) => {
                let Some(subscription) = self.subscriptions.get(number) else { return Ok(Answer::Done) };
                course.ended.insert(*number);
                if matches!(subscription.subscriber.source, Destination::Topic(_)) {
                    ledger.drop_queue(subscription.queue)?;
                } else if subscription.unsettled > 0 {
                    for holding in self.held.values().filter(|holding| holding.subscription == *number) {
                        ledger.release(&holding.held)?;
                    }
                }
            }
            Op::Leave(lease) => {
                let numbers: Vec<u64> = self.subscriptions_of(|subscription| subscription.subscriber.lease == *lease);
                for number in numbers {
                    self.execute(&Op::End(number), course)?;
                }
                for (namespace, _) in self.owned.iter().filter(|(_, owner)| *owner == lease) {
                    self.ledger.own(*namespace, false)?;
                }
            }
            Op::Bury(name) => {
                let process = ledger.processes()?.into_iter().find(|(_, known)| known == name);
                if let Some((process, _)) = process
                    && process != ledger.process()
                    && !self.places.is_alive(name)
                {
                    ledger.part(process, true)?;
                    self.places.bury(name);
                }
            }
        }
        Ok(Answer::Done)
    }

    fn subscriptions_of(&self, which: impl Fn(&Subscription) -> bool) -> Vec<u64> {
        let these = self.subscriptions.iter().filter(|(_, subscription)| which(subscription));
        these.map(|(number, _)| *number).collect()
    }

    /// Claims messages for every subscription that has room; those of one queue take turns.
    fn claim(&mut self, course: &Course) -> Result<Vec<(u64, Claim)>, Error> {
        for queue in self.ledger.stirred() {
            self.dry.remove(queue);
        }
        let mut hungry: BTreeMap<i64, (i64, Vec<(u64, usize)>)> = BTreeMap::new();
        for (number, subscription) in &self.subscriptions {
            if course.ended.contains(number) || self.dry.contains(&subscription.queue) {
                continue;
            }
            let freed = course.freed.get(number).copied().unwrap_or(0);
            let room = (subscription.subscriber.prefetch + freed).saturating_sub(subscription.unsettled);
            if room > 0 {
                let entry = hungry.entry(subscription.queue).or_insert_with(|| (subscription.namespace, Vec::new()));
                entry.1.push((*number, room));
            }
        }
        let mut all = Vec::new();
        for (queue, (namespace, mut subscriptions)) in hungry {
            let room = subscriptions.iter().map(|(_, room)| room).sum();
            let claims = self.ledger.claim(namespace, queue, room)?;
            if claims.len() < room {
                self.dry.insert(queue);
            }
            // Whoever has the most room is served first, so that nobody starves beside a greedy one.
            subscriptions.sort_by_key(|(_, room)| std::cmp::Reverse(*room));
            let mut turn = 0;
            for claim in claims {
                while subscriptions.get(turn % subscriptions.len()).is_some_and(|(_, room)| *room == 0) {
                    turn += 1;
                }
                let at = turn % subscriptions.len();
                if let Some((number, room)) = subscriptions.get_mut(at) {
                    *room -= 1;
                    all.push((*number, claim));
                }
                turn += 1;
            }
        }
        Ok(all)
    }

    /// The transaction is on the disk: change what is in memory, answer, and hand out.
    fn conclude(&mut self, ops: Vec<Op>, replies: Vec<Option<Reply>>, done: Done) {
        self.failed = false;
        let mut again = false;
        for ((op, reply), outcome) in ops.into_iter().zip(replies).zip(done.outcomes) {
            if let Ok(answer) = &outcome {
                again |= matches!(op, Op::Subscribe(_));
                self.apply(op, answer);
            } else if let (Op::Settle { namespace, tag, id, .. }, Err(Error::NotHeld)) = (&op, &outcome)
                && self.held.get(tag).is_some_and(|holding| holding.is(namespace, id))
            {
                // Taken from us: there is room for another one.
                self.let_go(*tag);
                again = true;
            }
            if let Some(reply) = reply {
                let _ = reply.send(outcome);
            }
        }
        for (number, claim) in done.claims {
            self.hand_out(number, claim);
        }
        let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, changes) in &done.changed {
            if let Some(watch) = watches.get(name) {
                publish(watch, *changes);
            }
        }
        drop(watches);
        if !done.changed.is_empty() && !self.others.is_empty() {
            let pause = if done.leaves_work { BELL_FOR_WORK } else { BELL_FOR_NEWS };
            let now = Instant::now();
            let at = self.rung.map_or(now, |rung| now.max(rung + pause));
            self.ring_at = Some(self.ring_at.map_or(at, |before| before.min(at)));
        }
        if again {
            // A new subscription, or a place that is free again, takes messages.
            let _ = self.own.send(Request::Look);
        }
    }

    fn apply(&mut self, op: Op, answer: &Answer) {
        match (op, answer) {
            (Op::Settle { tag, .. }, _) => self.let_go(tag),
            (Op::Subscribe(subscriber), Answer::Place { namespace, queue }) => {
                let (namespace, queue) = (*namespace, *queue);
                self.dry.remove(&queue);
                let number = subscriber.number;
                self.subscriptions.insert(number, Subscription { subscriber, namespace, queue, unsettled: 0 });
            }
            (Op::Hold { lease, namespace }, Answer::Held(true)) => {
                if let Ok(namespace) = self.ledger.namespace_made(&namespace) {
                    self.owned.entry(namespace).or_insert(lease);
                }
            }
            (Op::Forget { namespace }, _) => {
                for number in self.subscriptions_of(|subscription| subscription.subscriber.namespace == namespace) {
                    self.drop_subscription(number);
                }
                let watches = self.watches.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(watch) = watches.get(&*namespace) {
                    publish(watch, 0);
                }
            }
            (Op::End(number), _) => self.drop_subscription(number),
            (Op::Leave(lease), _) => {
                for number in self.subscriptions_of(|subscription| subscription.subscriber.lease == lease) {
                    self.drop_subscription(number);
                }
                self.owned.retain(|_, owner| *owner != lease);
            }
            _ => {}
        }
    }

    fn let_go(&mut self, tag: u64) {
        if let Some(holding) = self.held.remove(&tag)
            && let Some(subscription) = self.subscriptions.get_mut(&holding.subscription)
        {
            subscription.unsettled -= 1;
        }
    }

    fn drop_subscription(&mut self, number: u64) {
        self.subscriptions.remove(&number);
        self.held.retain(|_, holding| holding.subscription != number);
    }

    fn hand_out(&mut self, number: u64, claim: Claim) {
        let Some(subscription) = self.subscriptions.get_mut(&number) else { return };
        let tag = self.next_tag;
        self.next_tag = self.next_tag.wrapping_add(1);
        subscription.unsettled += 1;
        let sent = claim.sent();
        let namespace = subscription.subscriber.namespace.clone();
        let held = Held {
            namespace: subscription.namespace,
            queue: subscription.queue,
            source: subscription.subscriber.source.clone(),
            seq: claim.seq,
            id: claim.id.clone(),
            deliveries: claim.deliveries,
            sent: claim.sent,
        };
        self.held.insert(tag, Holding { subscription: number, namespace, held });
        let delivery = Delivery {
            tag,
            id: claim.id,
            has_own_id: true,
            source: subscription.subscriber.source.clone(),
            properties: Object::new(),
            headers: claim.headers,
            body: claim.body,
            deliveries: u32::try_from(claim.deliveries).unwrap_or(u32::MAX),
            returns: u32::try_from(claim.deliveries.saturating_sub(1)).unwrap_or(u32::MAX),
            came_before: claim.deliveries > 1,
            sent: Some(sent),
        };
        // Full it cannot be; closed it may be, and then the end of the subscription releases the message.
        let _ = subscription.subscriber.sender.try_send(delivery);
    }

    // The bell

    fn ring_if_due(&mut self) {
        if self.ring_at.is_some_and(|at| at <= Instant::now()) {
            self.bell.ring();
            self.rung = Some(Instant::now());
            self.ring_at = None;
        }
    }

    /// Releases everything, strikes this process off and closes the database.
    fn finish(mut self, reply: Option<oneshot::Sender<Result<(), Error>>>) {
        self.ears = None;
        self.subscriptions.clear();
        let parted = self.part();
        self.watches.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.bell.ring();
        // The last connection to close empties the log, which must not happen while another process opens it.
        let _ = patiently(|| self.lock.lock());
        drop(self.ledger);
        let _ = self.lock.unlock();
        drop(self.life);
        if let Some(reply) = reply {
            let _ = reply.send(parted);
        }
    }

    fn part(&mut self) -> Result<(), Error> {
        patiently(|| self.lock.lock()).map_err(store)?;
        let mut part = || {
            self.ledger.begin()?;
            self.ledger.part(self.ledger.process(), false)?;
            self.ledger.commit()?;
            Ok(())
        };
        let parted = part();
        match parted {
            Ok(()) => self.places.bury(&self.name),
            Err(_) => self.ledger.roll_back(),
        }
        let _ = self.lock.unlock();
        parted
    }
}

fn publish(watch: &watch::Sender<u64>, changes: u64) {
    watch.send_if_modified(|seen| std::mem::replace(seen, changes) != changes);
}
