//! Waits for requests, the bell, the next due time and a slow clock, and looks for work.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Writer;
use super::handing::publish;
use super::requests::{Batch, Op, Request};
use crate::transport::Error;
use crate::transport::embedded::peers::{Ears, Listener, News};
use crate::transport::embedded::sql::now;

/// How long a listening process goes without looking by itself, and how long when it cannot hear the bell.
const SLOW_CLOCK: Duration = Duration::from_millis(1_500);
const FAST_CLOCK: Duration = Duration::from_millis(15);
/// How long after a failed transaction the next is tried when nobody asks for one.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// How long the thread stays awake for whoever it has just answered, and waits at most to fill a transaction.
const NAP: Duration = Duration::from_micros(60);
const LONGEST_LINGER: Duration = Duration::from_millis(1);

impl Writer {
    /// The next request. Whoever has just been answered often asks again at once, which is not worth going to sleep.
    pub(super) fn wait(&mut self) -> Result<Request, RecvTimeoutError> {
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
    pub(super) fn gather(&mut self, batch: &mut Batch) {
        while !batch.is_full()
            && let Ok(request) = self.requests.try_recv()
        {
            self.take(request, batch);
        }
    }

    /// After a transaction with many requests, those who were answered ask again soon: to wait for them a little makes
    /// one large transaction of two small ones.
    pub(super) fn linger(&mut self, batch: &mut Batch, expected: usize) {
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

    pub(super) fn take(&mut self, request: Request, batch: &mut Batch) {
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

    pub(super) fn minds_the_clock(&self) -> bool {
        self.listening || !self.unfinished.is_empty()
    }

    pub(super) fn clock(&self) -> Duration {
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
    pub(super) fn refresh(&mut self) -> Result<(), Error> {
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
    pub(super) fn sees_work(&mut self) -> bool {
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
    pub(super) fn tick(&mut self, batch: &mut Batch) {
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
}
