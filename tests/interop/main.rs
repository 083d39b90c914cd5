//! Real brokers and the reference implementation. A broker that cannot start is a failure; `tests/interop/setup` installs
//! what is needed.
//!
//! Each test has a node of RabbitMQ of its own, so that none depends on what another has left, or on whether it passed.

mod activemq;
mod audit;
mod bare;
mod bridge;
mod bridges;
mod campaign;
#[path = "../contract/mod.rs"]
mod contract;
mod crash;
mod fixes;
mod ground;
mod hung;
mod kills;
mod letters;
mod looks;
mod mail;
mod operator;
mod order;
mod outage;
mod page;
#[path = "../shared/port.rs"]
mod port;
mod power;
mod pressure;
mod proxy;
mod python;
mod quarantine;
mod rabbitmq;
mod services;
mod shims;
mod slurm;
mod soak;
mod stage;
mod stomp;
mod stomp_crash;
mod stomp_full;
mod stomp_operator;
mod submit;
mod terminal;
mod tls;
mod upstream;
#[path = "../shared/wait.rs"]
mod wait;

use std::sync::Arc;

use self::contract::{Stage as _, check_contract};
use self::rabbitmq::Node;
use self::stage::Rabbit;

async fn stage(name: &str) -> Rabbit {
    Rabbit::new(Node::start(name, None).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_keeps_the_contract() {
    check_contract(Arc::new(stage("contract").await)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_serves_python() {
    let stage = stage("python").await;
    let transport = stage.fresh().await;
    python::messages_are_the_same(&stage, &*transport).await;
    transport.close().await.expect("close");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_used_named_and_verified() {
    let stage = stage("connections").await;
    stage.fresh().await.close().await.expect("close");
    stage::the_plugin_is_used_where_it_is_there(&stage).await;
    stage::connections_say_who_they_are(&stage).await;
    tls::certificates_are_verified(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_sent() {
    let stage = stage("requests").await;
    let transport = stage.fresh().await;
    submit::requests_are_sent(&stage, &*transport).await;
    transport.close().await.expect("close");
}
