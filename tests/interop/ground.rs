//! A facility on any broker, for campaigns and books: services, a broker that can die, and what it can run short of.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicGetOptions, QueuePurgeOptions};
use serde_json::json;
use tokio::process::Command;
use zrecipe::address::Host;
use zrecipe::transport::amqp::{self, Amqp};
use zrecipe::transport::stomp::Stomp;
use zrecipe::transport::{Error, Transport};

use crate::bare::Bare;
use crate::proxy::{Point, Proxy};
use crate::wait::{eventually, within};
use crate::{services, stomp};

/// What a broker may run short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// A queue takes no more.
    FullQueue,
    /// Memory.
    Memory,
    /// Space on its disk, or in its store.
    Disk,
}

/// A facility.
#[async_trait(?Send)]
pub trait Ground {
    /// A command of ours there.
    fn ours(&self, arguments: &[&str]) -> Command;

    /// A file there.
    fn path(&self, name: &str) -> PathBuf;

    /// The port of the broker.
    fn port(&self) -> u16;

    /// Connects; messages may take so long until they are confirmed.
    async fn connect(&self, patience: Duration) -> Arc<dyn Transport>;

    /// A way to the broker that can be cut.
    async fn proxy(&self) -> Proxy;

    /// Waits until somebody consumes from a queue.
    async fn served(&self, queue: &str);

    /// Kills the broker, and starts it with what it has on its disk.
    async fn restart(&mut self);

    /// What this broker can be made short of.
    fn shortages(&self) -> &'static [Shortage];

    /// Makes the broker short of something; queue `out`, if it is about a queue.
    async fn begin(&self, shortage: Shortage);

    /// Ends that.
    async fn end(&self, shortage: Shortage);

    /// Takes the first message of a queue away, without zrecipe; its id.
    async fn take_away(&self, queue: &str) -> String;

    /// Takes all messages of a queue away, without zrecipe; how many.
    async fn empty(&self, queue: &str) -> u64;
}

impl dyn Ground + '_ {
    /// Writes a recipe.
    pub fn recipe(&self, name: &str, recipe: &serde_json::Value) {
        std::fs::write(self.path("recipes").join(format!("{name}.json")), recipe.to_string()).expect("write");
    }

    /// A site configuration that leads to the broker by a proxy.
    pub fn site_by(&self, proxy: &Proxy) -> PathBuf {
        let site = std::fs::read_to_string(self.path("site.yml")).expect("is there");
        let site = site.replace(&format!("port: {},", self.port()), &format!("port: {},", proxy.port));
        let path = self.path("by-proxy.yml");
        std::fs::write(&path, site).expect("written");
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("is set");
        path
    }

    /// Waits until the broker takes no messages.
    pub async fn takes_nothing(&self) {
        eventually("a broker that takes nothing", async || {
            let transport = self.connect(Duration::from_secs(1)).await;
            let tried = transport.try_send(Duration::ZERO).await;
            let _ = tokio::time::timeout(Duration::from_millis(100), transport.close()).await;
            matches!(tried, Err(Error::Blocked(_) | Error::Refused { is_full: true, .. }))
        })
        .await;
    }
}

#[async_trait(?Send)]
impl Ground for services::Facility {
    fn ours(&self, arguments: &[&str]) -> Command {
        self.ours(arguments)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path(name)
    }

    fn port(&self) -> u16 {
        self.node.port
    }

    async fn connect(&self, patience: Duration) -> Arc<dyn Transport> {
        let host = Host { name: "127.0.0.1".to_owned(), port: self.node.port };
        let heartbeat = Duration::from_secs(5);
        let options = amqp::Options { heartbeat, patience, ..amqp::Options::new(vec![host]) };
        Arc::new(Amqp::connect(options).await.expect("connect"))
    }

    async fn proxy(&self) -> Proxy {
        Proxy::with_fault(self.node.port, Point::Elsewhere, false).await
    }

    async fn served(&self, queue: &str) {
        self.served(queue).await;
    }

    async fn restart(&mut self) {
        self.node.restart().await;
    }

    fn shortages(&self) -> &'static [Shortage] {
        &[Shortage::FullQueue, Shortage::Memory, Shortage::Disk]
    }

    async fn begin(&self, shortage: Shortage) {
        match shortage {
            Shortage::FullQueue => {
                let limit = json!({"max-length": 3, "overflow": "reject-publish"}).to_string();
                self.node.control(&["set_policy", "--apply-to", "queues", "full", "^out$", &limit]);
            }
            Shortage::Memory => _ = self.node.control(&["set_vm_memory_high_watermark", "absolute", "1"]),
            Shortage::Disk => _ = self.node.control(&["set_disk_free_limit", "900GB"]),
        }
    }

    async fn end(&self, shortage: Shortage) {
        match shortage {
            Shortage::FullQueue => _ = self.node.control(&["clear_policy", "full"]),
            Shortage::Memory => _ = self.node.control(&["set_vm_memory_high_watermark", "absolute", "512MiB"]),
            Shortage::Disk => _ = self.node.control(&["set_disk_free_limit", "50MB"]),
        }
    }

    async fn take_away(&self, queue: &str) -> String {
        let options = BasicGetOptions { no_ack: true };
        let got = self.channel.basic_get(queue.into(), options).await.expect("get").expect("a message");
        got.properties.message_id().as_ref().expect("an ID").to_string()
    }

    async fn empty(&self, queue: &str) -> u64 {
        let purged = self.channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await;
        u64::from(purged.expect("purged"))
    }
}

#[async_trait(?Send)]
impl Ground for stomp::Facility {
    fn ours(&self, arguments: &[&str]) -> Command {
        self.ours(arguments)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path(name)
    }

    fn port(&self) -> u16 {
        self.node.port
    }

    async fn connect(&self, patience: Duration) -> Arc<dyn Transport> {
        let options = zrecipe::transport::stomp::Options { patience, ..stomp::options(self.node.port) };
        Arc::new(Stomp::connect(options).await.expect("connect"))
    }

    async fn proxy(&self) -> Proxy {
        Proxy::with_fault(self.node.port, Point::Bytes, false).await
    }

    async fn served(&self, queue: &str) {
        self.served(queue).await;
    }

    async fn restart(&mut self) {
        self.node.restart().await;
    }

    fn shortages(&self) -> &'static [Shortage] {
        &[Shortage::Disk]
    }

    async fn begin(&self, _shortage: Shortage) {
        // Filling it would keep it full: a file of its journal stays while one message in it waits.
        self.node.limit("StoreLimit", 1).await;
    }

    async fn end(&self, _shortage: Shortage) {
        self.node.limit("StoreLimit", 256 << 20).await;
    }

    async fn take_away(&self, queue: &str) -> String {
        let mut bare = Bare::connect(self.node.port).await;
        bare.subscribe(&format!("/queue/zocalo.{queue}"), 1).await;
        let got = bare.message().await;
        bare.acknowledge(&got).await;
        got.get("zrecipe-id").expect("an ID").to_owned()
    }

    async fn empty(&self, queue: &str) -> u64 {
        let mut bare = Bare::connect(self.node.port).await;
        bare.subscribe(&format!("/queue/zocalo.{queue}"), 1).await;
        let mut count = 0;
        let waiting = async || self.transport.waiting(queue).await.map_or(0, |found| found.messages);
        while within("a count", waiting()).await > 0 {
            let got = bare.message().await;
            bare.acknowledge(&got).await;
            count += 1;
        }
        count
    }
}
