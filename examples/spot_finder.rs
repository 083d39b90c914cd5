//! A service in Rust is one file: its contract, its name, and what it does with a message. Here it finds bright spots,
//! on an embedded broker that is made for it; at a site the broker is `transport::amqp`.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use zrecipe::contract::Contract;
use zrecipe::message::{Destination, Envelope, Output};
use zrecipe::runtime::{Host, Job, Outcome, Service};
use zrecipe::syntax::json::read_value;
use zrecipe::transport::embedded::{Broker, Options};
use zrecipe::transport::{Settlement, Subscription, Transport, Verdict};
use zrecipe::value::{Object, Value};

const CONTRACT: &str = r#"{
  "names": ["Spot finder"],
  "queues": ["spots"],
  "parameters": { "type": "object", "required": ["threshold"], "properties": { "threshold": { "type": "number" } } },
  "payload": { "type": "array", "items": { "type": "number" } },
  "channels": { "spots": { "fires": "always", "default": true } }
}"#;

struct SpotFinder {
    contract: Contract,
}

#[async_trait]
impl Service for SpotFinder {
    fn name(&self) -> &str {
        self.contract.name()
    }

    fn contract(&self) -> Option<&Contract> {
        Some(&self.contract)
    }

    /// What comes here is as the contract says; anything else is among the dead letters.
    async fn handle(&self, job: &Job) -> Outcome {
        let payload = job.payload();
        let number = |value: &Value| match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().unwrap_or(f64::INFINITY),
            _ => f64::INFINITY,
        };
        let threshold = job.parameters().get("threshold").map_or(f64::INFINITY, number);
        let pixels = payload.as_array().unwrap_or_default().iter();
        let spots: Vec<i64> =
            pixels.zip(0..).filter(|(pixel, _)| number(pixel) > threshold).map(|(_, at)| at).collect();
        Outcome::done(vec![Output::on("spots", spots)])
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// Finds the spots of a row of pixels, with a broker in this directory.
pub async fn find_spots(directory: &Path, pixels: &str) -> Result<Value, Error> {
    let broker = Broker::open(&directory.join("broker.db"), Options::default()).await?;
    let space = Arc::new(broker.namespace("zocalo"));
    for queue in ["spots", "found"] {
        space.declare(queue).await?;
    }
    let recipe = format!(
        r#"{{"1": {{"queue": "spots", "parameters": {{"threshold": 10}}, "output": 2}}, "2": {{"queue": "found"}},
            "start": [[1, {pixels}]]}}"#
    );
    let environment = Object::from_iter([("ID".to_owned(), Value::from("an example"))]);
    space.send(Envelope::start(read_value(recipe.as_bytes())?, environment, "an example")?).await?;

    let service = SpotFinder { contract: Contract::parse("spot_finder.json", CONTRACT)? };
    let (stop, stopped) = watch::channel(false);
    let (events, _) = mpsc::unbounded_channel();
    let host = Host::new(space.clone(), vec![Arc::new(service)], 1, events, stopped);
    let serving = tokio::spawn(async move { host.serve(&["spots".to_owned()]).await });

    let found = Subscription { source: Destination::Queue("found".to_owned()), prefetch: 1 };
    let mut found = space.subscribe(found).await?;
    let delivery = found.next().await.ok_or("the broker is closed")?;
    let envelope = Envelope::read(&delivery.headers, &delivery.body)?;
    let accept = Settlement { verdict: Verdict::Accept, outputs: Vec::new(), note: None };
    space.settle(&delivery, accept).await?;
    stop.send(true)?;
    serving.await??;
    broker.close().await?;
    Ok(envelope.payload)
}

#[tokio::main]
#[allow(clippy::print_stdout, dead_code, reason = "a test calls what it calls")]
async fn main() -> Result<(), Error> {
    let directory = tempfile::tempdir()?;
    println!("spots at {}", find_spots(directory.path(), "[1, 20, 3, 11]").await?.to_json());
    Ok(())
}
