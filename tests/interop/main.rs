//! Real brokers and the reference implementation. A broker that cannot start is a failure; `tests/interop/setup` installs
//! what is needed.
//!
//! One node of RabbitMQ serves all of it, because it takes seconds to start.

#[path = "../contract.rs"]
mod contract;
mod crash;
mod kills;
mod letters;
mod looks;
mod mail;
mod operator;
mod outage;
mod proxy;
mod python;
mod rabbitmq;
mod services;
mod slurm;
mod stage;
mod submit;
mod terminal;
mod tls;

use std::sync::Arc;

use self::contract::{Stage as _, check_contract};
use self::rabbitmq::Node;
use self::stage::Rabbit;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_keeps_the_contract_and_serves_python() {
    let node = Node::start("one", None).await;
    let stage = Arc::new(Rabbit::new(node).await);
    let transport = stage.fresh().await;
    python::messages_are_the_same(&stage, &*transport).await;
    stage::the_plugin_is_used_where_it_is_there(&stage).await;
    stage::connections_say_who_they_are(&stage).await;
    tls::certificates_are_verified(&stage).await;
    submit::requests_are_sent(&stage, &*transport).await;
    transport.close().await.expect("close");
    check_contract(stage).await;
}
