//! Does what is asked, several requests in one transaction.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use super::handing::Subscription;
use super::requests::{Answer, Batch, Done, Op, Reply};
use super::{Writer, store};
use crate::transport::embedded::peers::patiently;
use crate::transport::embedded::sql::Claim;
use crate::transport::{Destination, Error};

/// How often old rows are looked for.
const PRUNING: Duration = Duration::from_secs(60);

/// What a transaction has done to subscriptions so far.
#[derive(Default)]
struct Course {
    freed: HashMap<u64, usize>,
    ended: HashSet<u64>,
}

impl Writer {
    /// Does all of `batch` and hands out what there is.
    pub(super) fn perform(&mut self, batch: &mut Batch) {
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

    pub(super) fn subscriptions_of(&self, which: impl Fn(&Subscription) -> bool) -> Vec<u64> {
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
}
