//! RabbitMQ as a stage for the contract of all transports, and what only RabbitMQ has.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{
    BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::Mutex;
use zrecipe::address::{Host, Login, Password};
use zrecipe::transport::amqp::{self, Amqp, Options};
use zrecipe::transport::{Error, Outgoing, Transport};

use crate::contract::{Ability, Caller, Fate, Stage, message, queue};
use crate::port::Port;
use crate::proxy::{Point, Proxy};
use crate::rabbitmq::Node;

/// The queues of the contract; each has dead letters.
const QUEUES: [&str; 3] = ["q", "in", "out"];
/// What scenarios may leave behind.
const LEFT_BEHIND: [&str; 2] = ["small", "nowhere"];
const TOPICS: [&str; 3] = ["t", "u", "nobody listens"];

/// A node, a way to it that can be cut, and somebody who sets up its queues.
pub struct Rabbit {
    pub node: Node,
    proxy: Proxy,
    admin: Connection,
    /// Where nobody listens.
    closed: Port,
    /// Another node of the cluster, once it was needed.
    second: Mutex<Option<Node>>,
}

fn table<const N: usize>(members: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in members {
        table.insert(name.into(), value);
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

const DURABLE: QueueDeclareOptions =
    QueueDeclareOptions { passive: false, durable: true, exclusive: false, auto_delete: false, nowait: false };

async fn admin(port: u16) -> Connection {
    let url = format!("amqp://guest:guest@127.0.0.1:{port}");
    Connection::connect(&url, ConnectionProperties::default()).await.expect("connect")
}

impl Rabbit {
    pub async fn new(node: Node) -> Self {
        // It counts what is published.
        let proxy = Proxy::with_fault(node.port, Point::Elsewhere, false).await;
        let admin = admin(node.port).await;
        Self { node, proxy, admin, closed: Port::closed(), second: Mutex::new(None) }
    }

    /// How the scenarios connect.
    pub fn options(&self) -> Options {
        Options {
            heartbeat: Duration::from_secs(3),
            patience: Duration::from_secs(20),
            delivery_limit: 2,
            ..Options::new(vec![Host { name: "127.0.0.1".to_owned(), port: self.proxy.port }])
        }
    }

    pub async fn channel(&self) -> Channel {
        self.admin.create_channel().await.expect("a channel")
    }
}

#[async_trait]
impl Stage for Rabbit {
    fn can(&self, ability: Ability) -> bool {
        ability.is_in(&amqp::TRANSPORT.capabilities)
    }

    async fn fresh(&self) -> Arc<dyn Transport> {
        let channel = self.channel().await;
        let dead: Vec<String> = QUEUES.iter().map(|queue| format!("dlq.{queue}")).collect();
        for queue in QUEUES.iter().copied().chain(dead.iter().map(String::as_str)).chain(LEFT_BEHIND) {
            channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("delete");
        }
        for (queue, dead) in QUEUES.iter().zip(&dead) {
            let arguments = table([
                ("x-queue-type", text("quorum")),
                ("x-dead-letter-exchange", text("")),
                ("x-dead-letter-routing-key", text(dead)),
            ]);
            channel.queue_declare((*queue).into(), DURABLE, arguments).await.expect("declare");
            let arguments = table([("x-queue-type", text("quorum"))]);
            channel.queue_declare(dead.as_str().into(), DURABLE, arguments).await.expect("declare");
        }
        for topic in TOPICS {
            let (fanout, options) = (ExchangeKind::Fanout, ExchangeDeclareOptions::default());
            channel.exchange_declare(topic.into(), fanout, options, FieldTable::default()).await.expect("declare");
        }
        Arc::new(Amqp::connect(self.options()).await.expect("connect"))
    }

    async fn connect(&self, caller: Caller) -> Result<Arc<dyn Transport>, Error> {
        let mut options = self.options();
        let dead = Host { name: "127.0.0.1".to_owned(), port: self.closed.number() };
        match caller {
            Caller::Nowhere => options.hosts = vec![dead],
            Caller::Somewhere => options.hosts.push(dead),
            Caller::Stranger => {
                options.login = Login::Password { user: "guest".to_owned(), password: Password::new("wr0ng") };
            }
            Caller::Lost => options.vhost = "nowhere".to_owned(),
        }
        Ok(Arc::new(Amqp::connect(options).await?))
    }

    async fn reachable(&self, reachable: bool) {
        self.proxy.open(reachable);
    }

    async fn is_tried(&self) {
        self.proxy.connected(self.proxy.connections() + 2).await;
    }

    fn published(&self) -> u64 {
        self.proxy.published()
    }

    async fn hang(&self) {
        self.proxy.block();
    }

    async fn declare_small(&self, queue: &str) {
        let arguments = table([
            ("x-queue-type", text("quorum")),
            ("x-max-length", AMQPValue::LongInt(1)),
            ("x-overflow", text("reject-publish")),
        ]);
        self.channel().await.queue_declare(queue.into(), DURABLE, arguments).await.expect("declare");
    }

    async fn delete(&self, queue: &str) {
        self.channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await.expect("delete");
    }

    async fn declare_elsewhere(&self, queue: &str) {
        let mut second = self.second.lock().await;
        if second.is_none() {
            let node = Node::start("two", Some(&self.node)).await;
            node.join(&self.node);
            *second = Some(node);
        }
        let port = second.as_ref().expect("a node").port;
        let connection = admin(port).await;
        let channel = connection.create_channel().await.expect("a channel");
        // The leader is where it is declared.
        let arguments = table([("x-queue-type", text("quorum"))]);
        channel.queue_declare(queue.into(), DURABLE, arguments).await.expect("declare");
        connection.close(200, "".into()).await.expect("close");
    }

    async fn happens_elsewhere(&self, fate: Fate) {
        self.second.lock().await.as_mut().expect("a node").meet(fate);
    }
}

/// A broker with the delayed-message plug-in gets messages by its exchange, as the reference sends them.
pub async fn the_plugin_is_used_where_it_is_there(stage: &Rabbit) {
    let channel = stage.channel().await;
    // The plug-in is not there, so this one passes everything on at once; what it is told is what counts.
    let (direct, options) = (ExchangeKind::Direct, ExchangeDeclareOptions::default());
    channel.exchange_declare("delayed".into(), direct, options, FieldTable::default()).await.expect("declare");
    let bind = QueueBindOptions::default();
    channel.queue_bind("q".into(), "delayed".into(), "q".into(), bind, FieldTable::default()).await.expect("bind");
    let transport = Amqp::connect(stage.options()).await.expect("connect");
    let late = Outgoing { delay: Some(Duration::from_millis(1_500)), ..message("late", queue("q")) };
    transport.send(vec![late]).await.expect("send");
    let got = channel.basic_get("q".into(), BasicGetOptions { no_ack: true }).await.expect("get").expect("a message");
    let headers = got.properties.headers().as_ref().expect("headers");
    assert_eq!(headers.inner().get("x-delay"), Some(&AMQPValue::LongInt(1_500)));
    assert_eq!((got.exchange.as_str(), got.routing_key.as_str()), ("delayed", "q"));
    transport.close().await.expect("close");
    channel.exchange_delete("delayed".into(), ExchangeDeleteOptions::default()).await.expect("delete");
}

/// Operators find a connection by the name that it was given.
pub async fn connections_say_who_they_are(stage: &Rabbit) {
    let options = Options { name: "zrecipe Dispatcher at here".to_owned(), ..stage.options() };
    let transport = Amqp::connect(options).await.expect("connect");
    let listed = stage.node.control(&["list_connections", "--silent", "client_properties", "timeout"]);
    let line = listed.lines().find(|line| line.contains("zrecipe Dispatcher at here"));
    assert!(line.is_some_and(|line| line.trim_end().ends_with('3')), "{listed}");
    transport.close().await.expect("close");
}
