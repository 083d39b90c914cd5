//! What a worker does on a broker beside the messages that it gets: it sends, and subscribes to topics and queues.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use super::{Fault, Question};
use crate::runtime::pressure::Obstacle;
use crate::runtime::said::{Answer, Refusal, Terms};
use zrecipe_broker::backoff::Backoff;
use zrecipe_broker::message::{Destination, Outgoing, is_recipe, own_messages, read_body};
use zrecipe_broker::transport::{Delivery, Error, Settlement, Subscription, Transport, Verdict};
use zrecipe_language::contract::Invocation;
use zrecipe_language::value::{Object, Value};

/// How long to wait before something is sent again: the first time, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// The most messages that a subscription to a topic holds.
const COPIES: u16 = 100;

/// What workers of a kind may use beside their answers.
pub(super) struct Outside {
    transport: watch::Sender<Option<Arc<dyn Transport>>>,
    invocation: Option<Arc<Invocation>>,
}

impl Outside {
    pub(super) fn new(invocation: Option<Invocation>) -> Self {
        Self { transport: watch::Sender::new(None), invocation: invocation.map(Arc::new) }
    }

    pub(super) fn attach(&self, transport: &Arc<dyn Transport>) {
        self.transport.send_replace(Some(Arc::clone(transport)));
    }

    /// Topics that the contract names.
    pub(super) fn topics(&self) -> Vec<String> {
        self.invocation.as_ref().map(|invocation| invocation.topics.clone()).unwrap_or_default()
    }

    /// Sends outputs and says so; where the broker takes nothing for now, later.
    pub(super) fn send(
        &self,
        outputs: &Value,
        number: Option<i64>,
        lines: mpsc::UnboundedSender<String>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let messages = self.messages(outputs);
        let transport = self.transport.subscribe();
        async move {
            let sent = match messages {
                Ok(messages) => deliver(transport, messages).await,
                Err(fault) => Err(fault),
            };
            if let Err(reason) = &sent {
                tracing::warn!("a message of the worker was not sent: {reason}");
            }
            if let Some(number) = number {
                reply(&lines, "sent", number, sent.err());
            }
        }
    }

    fn messages(&self, outputs: &Value) -> Result<Vec<Outgoing>, String> {
        let terms = Terms { is_second: true, invocation: self.invocation.as_deref() };
        let outputs = terms.outputs(outputs)?;
        if outputs.iter().any(|output| output.is_on_channel() || output.is_checkpoint()) {
            return Err("it has no `destination`, and belongs to no message".to_owned());
        }
        // Whoever wants to send the same once more names an id.
        Ok(own_messages(&Uuid::new_v4().to_string(), &outputs))
    }

    /// Subscribes, and hands what comes to the worker, until `ended`.
    pub(super) fn serve(
        &self,
        wish: &Value,
        number: i64,
        lines: mpsc::UnboundedSender<String>,
        questions: mpsc::UnboundedSender<Question>,
        mut ended: oneshot::Receiver<()>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let wish = Wish::read(wish);
        let (transport, invocation) = (self.transport.subscribe(), self.invocation.clone());
        async move {
            let serving = async {
                let transport = attached(transport).await.ok_or("there is no broker")?;
                let wish = wish?;
                let mut deliveries = wish.subscribe(&*transport).await.map_err(|error| error.to_string())?;
                reply(&lines, "subscribed", number, None);
                let mut under_way = JoinSet::new();
                while let Some(delivery) = deliveries.next().await {
                    while under_way.try_join_next().is_some() {}
                    let (transport, questions, invocation) =
                        (Arc::clone(&transport), questions.clone(), invocation.clone());
                    under_way.spawn(async move {
                        let settlement = settlement(&delivery, number, &questions, invocation.as_deref()).await;
                        if let Err(error) = transport.settle(&delivery, settlement).await {
                            tracing::warn!("a message of the worker's subscription is not settled: {error}");
                        }
                    });
                }
                Ok::<(), String>(())
            };
            let failed = tokio::select! {
                served = serving => served.err(),
                _ = &mut ended => None,
            };
            if let Some(reason) = failed {
                tracing::warn!("the worker cannot subscribe: {reason}");
                reply(&lines, "subscribed", number, Some(reason));
            }
        }
    }
}

fn reply(lines: &mpsc::UnboundedSender<String>, what: &str, number: i64, error: Option<String>) {
    let mut line = Object::from_iter([(what.to_owned(), Value::from(number))]);
    if let Some(error) = error {
        line.insert("error".to_owned(), Value::from(error));
    }
    let _ = lines.send(Value::Object(line).to_json());
}

/// The broker, as soon as there is one.
async fn attached(mut transport: watch::Receiver<Option<Arc<dyn Transport>>>) -> Option<Arc<dyn Transport>> {
    transport.wait_for(Option::is_some).await.ok()?.clone()
}

async fn deliver(
    transport: watch::Receiver<Option<Arc<dyn Transport>>>,
    messages: Vec<Outgoing>,
) -> Result<(), String> {
    let transport = attached(transport).await.ok_or("there is no broker")?;
    let mut backoff = Backoff::new(PAUSE);
    loop {
        let error = match transport.send(messages.clone()).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let obstacle = Obstacle::of(&error, &transport.connection().borrow());
        let Some(obstacle) = obstacle else { return Err(error.to_string()) };
        tracing::warn!("a message of the worker waits: {}", obstacle.reason);
        sleep(backoff.pause()).await;
    }
}

/// What a worker subscribes to.
struct Wish {
    source: Destination,
    prefetch: u16,
    is_temporary: bool,
}

impl Wish {
    fn read(said: &Value) -> Result<Self, String> {
        let text = |key: &str| said.get(key).and_then(Value::as_str).map(str::to_owned);
        let prefetch = said.get("prefetch").and_then(Value::as_i64).and_then(|count| u16::try_from(count).ok());
        let (source, is_temporary) = match (text("topic"), text("queue"), text("temporary")) {
            (Some(topic), None, None) => (Destination::Topic(topic), false),
            (None, Some(queue), None) => (Destination::Queue(queue), false),
            (None, None, Some(queue)) => (Destination::Queue(queue), true),
            _ => return Err("a subscription has one of `topic`, `queue` and `temporary`".to_owned()),
        };
        let usual = if matches!(source, Destination::Topic(_)) { COPIES } else { 1 };
        Ok(Self { source, prefetch: prefetch.unwrap_or(usual).max(1), is_temporary })
    }

    async fn subscribe(self, transport: &dyn Transport) -> Result<zrecipe_broker::transport::Deliveries, Error> {
        if self.is_temporary {
            transport.declare_temporary(self.source.name()).await?;
        }
        transport.subscribe(Subscription { source: self.source, prefetch: self.prefetch }).await
    }
}

/// What the worker makes of a message of its own subscription.
async fn settlement(
    delivery: &Delivery,
    number: i64,
    questions: &mpsc::UnboundedSender<Question>,
    invocation: Option<&Invocation>,
) -> Settlement {
    let mut text = about(delivery);
    text.insert("subscription".to_owned(), Value::from(number));
    text.insert("plain".to_owned(), Value::Bool(!is_recipe(&delivery.headers)));
    text.insert("payload".to_owned(), read_body(&delivery.body));
    let (answer, answered) = oneshot::channel();
    let span = tracing::info_span!("message", source = delivery.source.name(), message_id = delivery.id);
    let question = Question { text, more: Object::new(), span, taken: oneshot::channel().0, answer };
    let is_copy = matches!(delivery.source, Destination::Topic(_));
    let answer = match questions.send(question) {
        Ok(()) => answered.await.unwrap_or(Err(Fault::Stopped)),
        Err(_) => Err(Fault::Stopped),
    };
    let terms = Terms { is_second: true, invocation };
    let understand = |said: &Value| {
        let answer = Answer::read(said, &["outputs", "bad", "later", "after"])?;
        Ok::<_, String>((answer.refusal()?, answer.outputs(&terms)?))
    };
    let accepted = |outputs| Settlement { outputs, ..Settlement::of(Verdict::Accept) };
    match answer.map(|said| understand(&said)) {
        Ok(Ok((None, outputs))) => accepted(own_messages(&delivery.id, &outputs)),
        // A broadcast is heard once.
        _ if is_copy => accepted(Vec::new()),
        Ok(Ok((Some(Refusal::Bad(reason)), _)) | Err(reason)) => {
            Settlement::of(Verdict::DeadLetter { reason: reason.into() })
        }
        Ok(Ok((Some(Refusal::Later(reason, after)), _))) => {
            Settlement::of(Verdict::Retry { after: after.unwrap_or_default(), reason })
        }
        Err(Fault::Gone(reason)) => Settlement::of(Verdict::Retry { after: PAUSE.0, reason }),
        Err(_) => Settlement::of(Verdict::Release),
    }
}

/// What a worker of the second edition gets of a delivery.
pub(in crate::runtime) fn about(delivery: &Delivery) -> Object {
    let kind = match &delivery.source {
        Destination::Queue(_) => "queue",
        Destination::Topic(_) => "topic",
    };
    let parts = [
        (kind, Value::from(delivery.source.name())),
        ("message_id", Value::from(delivery.id.as_str())),
        ("headers", Value::Object(delivery.headers.clone())),
        ("deliveries", Value::from(i64::from(delivery.deliveries))),
        ("redelivered", Value::Bool(delivery.came_before || delivery.deliveries > 1)),
    ];
    parts.map(|(key, value)| (key.to_owned(), value)).into_iter().collect()
}
