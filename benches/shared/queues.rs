//! Queues and topics of a benchmark on RabbitMQ.

use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind, Queue};

use crate::shared::Result;

/// Connects to a node of this machine and declares quorum queues and the topics of services.
pub async fn declare(port: u16, queues: &[&str]) -> Result<Connection> {
    let connection = Connection::connect(&format!("amqp://guest:guest@127.0.0.1:{port}"), Default::default()).await?;
    let channel = connection.create_channel().await?;
    for queue in queues {
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        channel.queue_declare((*queue).into(), durable, arguments).await?;
    }
    for topic in ["transient.status", "command"] {
        channel.exchange_declare(topic.into(), ExchangeKind::Fanout, Default::default(), Default::default()).await?;
    }
    Ok(connection)
}

/// What the broker says of a queue: its messages and its consumers.
pub async fn look(channel: &Channel, queue: &str) -> Result<Queue> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    Ok(channel.queue_declare(queue.into(), passive, FieldTable::default()).await?)
}
