//! Numbers about services for Prometheus.
//!
//! Those that begin with `workflows_` mean what they mean in `workflows.transport.middleware.prometheus` (3.3), so that
//! a site's dashboards go on; `source` is the service's name there. Times are in seconds. zrecipe has no transactions of
//! the broker: what stands for one is a delivery that is settled together with the messages that it leads to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use tokio::sync::watch;

use crate::runtime::status::Observer;
use crate::runtime::{DEAD_LETTERED, Event, RETRY, Traffic};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Source {
    source: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    service: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HeldUp {
    source: String,
    by: String,
}

/// The numbers of this process.
pub struct Metrics {
    registry: Registry,
    processing: Family<Source, Histogram>,
    acknowledged: Family<Source, Counter>,
    refused: Family<Source, Counter>,
    sent: Family<Source, Counter>,
    traffic: Counted,
    outcomes: Family<Outcome, Counter>,
    redelivered: Family<Source, Counter>,
    abandoned: Family<Source, Counter>,
    active: Family<Source, Gauge>,
    held_up: Family<HeldUp, Gauge>,
    waits: Family<HeldUp, Counter>,
    /// What holds up which message of a service.
    held: Mutex<HashMap<(String, String), HeldUp>>,
    connected: Gauge,
    blocked: Gauge,
    reconnections: Counter,
    lost_spans: Counter,
    duplicates: Counter,
}

/// Counters of what Python's middleware counts beside messages.
#[derive(Default)]
struct Counted {
    subscriptions: Family<Source, Counter>,
    topic_subscriptions: Family<Source, Counter>,
    temporary_subscriptions: Family<Source, Counter>,
    active_subscriptions: Family<Source, Gauge>,
    broadcasts: Family<Source, Counter>,
    begun: Family<Source, Counter>,
    aborted: Family<Source, Counter>,
    committed: Family<Source, Counter>,
    in_progress: Family<Source, Gauge>,
}

impl Counted {
    fn register(&self, registry: &mut Registry) {
        for (name, help, family) in [
            ("workflows_transport_subscriptions", "Subscriptions to queues", &self.subscriptions),
            ("workflows_transport_broadcast_subscriptions", "Subscriptions to topics", &self.topic_subscriptions),
            ("workflows_transport_temporary_subscriptions", "Temporary queues", &self.temporary_subscriptions),
            ("workflows_transport_broadcast", "Status broadcasts", &self.broadcasts),
            ("workflows_transport_transaction_begin", "Messages that led to others", &self.begun),
            ("workflows_transport_transaction_abort", "Those that could not be settled", &self.aborted),
            ("workflows_transport_transaction_commit", "Those that were settled", &self.committed),
        ] {
            registry.register(name, help, family.clone());
        }
        for (name, help, family) in [
            ("workflows_transport_active_subscriptions", "Subscriptions at present", &self.active_subscriptions),
            ("workflows_transport_transactions_in_progress", "Messages that are being settled", &self.in_progress),
        ] {
            registry.register(name, help, family.clone());
        }
    }

    /// All numbers of a service are there from the beginning.
    fn begin(&self, source: &Source) {
        for family in [&self.temporary_subscriptions, &self.begun, &self.aborted, &self.committed] {
            let _ = family.get_or_create(source);
        }
        let _ = self.in_progress.get_or_create(source);
    }

    fn count(&self, source: &Source, traffic: Traffic) {
        let active = |change: i64| _ = self.active_subscriptions.get_or_create(source).inc_by(change);
        match traffic {
            Traffic::Subscribed(queues) => {
                self.begin(source);
                self.subscriptions.get_or_create(source).inc_by(queues as u64);
                active(i64::try_from(queues).unwrap_or_default());
            }
            Traffic::SubscribedToTopic => {
                self.topic_subscriptions.get_or_create(source).inc();
                active(1);
            }
            Traffic::Unsubscribed(count) => active(-i64::try_from(count).unwrap_or_default()),
            Traffic::Broadcast => _ = self.broadcasts.get_or_create(source).inc(),
        }
    }

    /// A message was settled with others, or could not be.
    fn settle(&self, source: &Source, is_committed: bool) {
        self.begun.get_or_create(source).inc();
        let ended = if is_committed { &self.committed } else { &self.aborted };
        ended.get_or_create(source).inc();
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Arc<Self> {
        const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0];
        let mut registry = Registry::default();
        let processing = Family::<Source, Histogram>::new_with_constructor(|| Histogram::new(BOUNDS));
        let (acknowledged, refused, sent) = (Family::default(), Family::default(), Family::default());
        let (outcomes, redelivered, abandoned) = (Family::default(), Family::default(), Family::default());
        let active = Family::default();
        let (connected, blocked) = (Gauge::default(), Gauge::default());
        let (reconnections, lost_spans) = (Counter::default(), Counter::default());
        let duplicates = Counter::default();
        registry.register_with_unit(
            "workflows_callback_processing_time",
            "Processing time of messages",
            Unit::Seconds,
            processing.clone(),
        );
        registry.register("workflows_transport_ack", "Messages acknowledged", acknowledged.clone());
        registry.register("workflows_transport_nack", "Messages rejected or requeued", refused.clone());
        registry.register("workflows_transport_send", "Messages sent", sent.clone());
        let traffic = Counted::default();
        traffic.register(&mut registry);
        registry.register("zrecipe_messages", "Messages settled, by outcome", outcomes.clone());
        registry.register("zrecipe_redelivered", "Messages that were redelivered", redelivered.clone());
        registry.register(
            "zrecipe_abandoned",
            "Messages that could not be settled and are redelivered",
            abandoned.clone(),
        );
        registry.register("zrecipe_messages_in_progress", "Messages that are being processed", active.clone());
        let (held_up, waits) = (Family::default(), Family::default());
        registry.register("zrecipe_held_up", "Messages held up by something else", held_up.clone());
        registry.register(
            "zrecipe_held_up_attempts",
            "Attempts that failed because of it; they do not count",
            waits.clone(),
        );
        registry.register("zrecipe_connected", "Whether the broker is connected", connected.clone());
        registry.register("zrecipe_blocked", "Whether the broker is connected but blocks publishing", blocked.clone());
        registry.register("zrecipe_reconnections", "Lost connections that were restored", reconnections.clone());
        registry.register("zrecipe_lost_spans", "Spans that the trace collector did not accept", lost_spans.clone());
        let about = "Messages dropped because one with the same id was accepted before";
        registry.register("zrecipe_duplicates", about, duplicates.clone());
        Arc::new(Self {
            registry,
            processing,
            acknowledged,
            refused,
            sent,
            traffic,
            outcomes,
            redelivered,
            abandoned,
            active,
            held_up,
            waits,
            held: Mutex::default(),
            connected,
            blocked,
            reconnections,
            lost_spans,
            duplicates,
        })
    }

    /// Counts what happens.
    pub fn observer(self: &Arc<Self>) -> Observer {
        let metrics = Arc::clone(self);
        Arc::new(move |identity, event| metrics.count(&identity.service, event))
    }

    fn count(&self, service: &str, event: &Event) {
        let source = Source { source: service.to_owned() };
        match event {
            Event::Started { deliveries, .. } => {
                self.active.get_or_create(&source).inc();
                if *deliveries > 1 {
                    self.redelivered.get_or_create(&source).inc();
                }
            }
            Event::HeldUp { id, by, .. } => {
                let now = HeldUp { source: service.to_owned(), by: by.replace('`', "") };
                self.waits.get_or_create(&now).inc();
                self.hold(service, id, Some(now));
            }
            Event::Settled { id, outcome, sent, took, .. } => {
                self.hold(service, id, None);
                self.active.get_or_create(&source).dec();
                self.processing.get_or_create(&source).observe(took.as_secs_f64());
                let kind = if [RETRY, DEAD_LETTERED].contains(outcome) { &self.refused } else { &self.acknowledged };
                kind.get_or_create(&source).inc();
                self.sent.get_or_create(&source).inc_by(*sent as u64);
                if *sent > 0 {
                    self.traffic.settle(&source, true);
                }
                self.outcomes.get_or_create(&Outcome { service: service.to_owned(), outcome }).inc();
            }
            Event::Abandoned { id } => {
                self.hold(service, id, None);
                self.active.get_or_create(&source).dec();
                self.abandoned.get_or_create(&source).inc();
                self.traffic.settle(&source, false);
            }
            Event::Traffic(traffic) => self.traffic.count(&source, *traffic),
            Event::Warning(_) => {}
        }
    }

    /// What holds up a message now.
    fn hold(&self, service: &str, id: &str, now: Option<HeldUp>) {
        let key = (service.to_owned(), id.to_owned());
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = &now {
            self.held_up.get_or_create(now).inc();
        }
        let before = match now {
            Some(now) => held.insert(key, now),
            None => held.remove(&key),
        };
        if let Some(before) = before {
            self.held_up.get_or_create(&before).dec();
        }
    }

    /// The broker is there.
    pub fn connected(&self, again: bool) {
        self.connected.set(1);
        self.reconnections.inc_by(u64::from(again));
    }

    /// It is not.
    pub fn disconnected(&self) {
        self.connected.set(0);
    }

    /// Whether it is there, and takes no messages.
    pub fn blocked(&self, is_blocked: bool) {
        self.blocked.set(i64::from(is_blocked));
    }

    /// Counts the duplicates that a connection drops, until it is closed.
    pub async fn follow_duplicates(self: Arc<Self>, mut dropped: watch::Receiver<u64>) {
        let mut counted = 0;
        loop {
            let now = *dropped.borrow_and_update();
            self.duplicates.inc_by(now.saturating_sub(counted));
            counted = now;
            if dropped.changed().await.is_err() {
                return;
            }
        }
    }

    /// Spans that were not taken.
    pub fn lose_spans(&self, count: usize) {
        self.lost_spans.inc_by(count as u64);
    }

    /// The text that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn what_happens_is_counted() {
        let metrics = Metrics::new();
        let started = |id: &str, deliveries| Event::Started {
            id: id.to_owned(),
            service: "Runner".to_owned(),
            step: None,
            recipe_id: None,
            deliveries,
            allowance: None,
        };
        let settled = |outcome, sent| Event::Settled {
            id: "a".to_owned(),
            service: "Runner".to_owned(),
            step: None,
            outcome,
            reason: None,
            sent,
            took: Duration::from_millis(20),
            attempt: 1,
            retry_after: None,
        };
        let held_up = |id: &str| Event::HeldUp {
            id: id.to_owned(),
            service: "Runner".to_owned(),
            by: "`mark`".to_owned(),
            reason: "it is full".to_owned(),
            attempt: 1,
            again: SystemTime::now(),
        };
        for event in [
            Event::Traffic(Traffic::Subscribed(2)),
            Event::Traffic(Traffic::SubscribedToTopic),
            Event::Traffic(Traffic::Broadcast),
            Event::Traffic(Traffic::Unsubscribed(1)),
            started("a", 1),
            settled("done", 2),
            started("b", 2),
            settled("dead-lettered", 0),
            started("c", 1),
            Event::Abandoned { id: "c".to_owned() },
            started("d", 1),
            held_up("d"),
            held_up("d"),
            started("e", 1),
            held_up("e"),
            Event::Abandoned { id: "e".to_owned() },
        ] {
            metrics.count("Runner", &event);
        }
        metrics.connected(false);
        metrics.disconnected();
        metrics.connected(true);
        metrics.lose_spans(5);
        let text = metrics.text();
        for line in [
            "workflows_callback_processing_time_seconds_count{source=\"Runner\"} 2",
            "workflows_callback_processing_time_seconds_bucket{le=\"0.01\",source=\"Runner\"} 0",
            "workflows_callback_processing_time_seconds_bucket{le=\"0.025\",source=\"Runner\"} 2",
            "workflows_transport_subscriptions_total{source=\"Runner\"} 2",
            "workflows_transport_broadcast_subscriptions_total{source=\"Runner\"} 1",
            "workflows_transport_temporary_subscriptions_total{source=\"Runner\"} 0",
            "workflows_transport_active_subscriptions{source=\"Runner\"} 2",
            "workflows_transport_broadcast_total{source=\"Runner\"} 1",
            "workflows_transport_transaction_begin_total{source=\"Runner\"} 3",
            "workflows_transport_transaction_abort_total{source=\"Runner\"} 2",
            "workflows_transport_transaction_commit_total{source=\"Runner\"} 1",
            "workflows_transport_transactions_in_progress{source=\"Runner\"} 0",
            "workflows_transport_ack_total{source=\"Runner\"} 1",
            "workflows_transport_nack_total{source=\"Runner\"} 1",
            "workflows_transport_send_total{source=\"Runner\"} 2",
            "zrecipe_messages_total{service=\"Runner\",outcome=\"dead-lettered\"} 1",
            "zrecipe_redelivered_total{source=\"Runner\"} 1",
            "zrecipe_abandoned_total{source=\"Runner\"} 2",
            "zrecipe_messages_in_progress{source=\"Runner\"} 1",
            "zrecipe_held_up{source=\"Runner\",by=\"mark\"} 1",
            "zrecipe_held_up_attempts_total{source=\"Runner\",by=\"mark\"} 3",
            "zrecipe_connected 1",
            "zrecipe_reconnections_total 1",
            "zrecipe_lost_spans_total 5",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
