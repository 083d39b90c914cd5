//! What services say while a run is at work: their status messages, as far as they are about it.
//!
//! Services of the reference do not say which run they work on. Those of ours do, as `recipe_ID`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::executor::interrupted;
use super::time::timestamp;
use super::{Error, say};
use zrecipe_broker::message::Destination;
use zrecipe_broker::transport::{self, Deliveries, Settlement, Subscription, Transport, Verdict};
use zrecipe_language::compile::Compilation;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;
use zrecipe_runtime::runtime::status::TOPIC;

/// Maximum number of unacknowledged status messages.
const PREFETCH: u16 = 200;

/// Listens to services from now on; nothing if they do not say how they are on this broker.
///
/// # Errors
/// The broker cannot be reached.
pub async fn listen(broker: &dyn Transport) -> Result<Option<Deliveries>, transport::Error> {
    let source = Destination::Topic(TOPIC.to_owned());
    match broker.subscribe(Subscription { source, prefetch: PREFETCH }).await {
        Ok(deliveries) => Ok(Some(deliveries)),
        Err(transport::Error::NoSuchTopic(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Shows what services say of a run until the user has seen enough.
///
/// # Errors
/// The broker failed.
pub async fn follow(broker: &dyn Transport, mut deliveries: Deliveries, run: Run) -> Result<(), Error> {
    say(&format!("following run {}; Ctrl-C stops following, not the run", run.id));
    let mut run = run;
    let mut end = std::pin::pin!(interrupted());
    loop {
        let delivery = tokio::select! {
            () = &mut end => return Ok(()),
            delivery = deliveries.next() => delivery,
        };
        let Some(delivery) = delivery else { return Err(transport::Error::Closed.into()) };
        if let Some(line) = read_value(&delivery.body).ok().and_then(|status| run.line(&status)) {
            say(&format!("{}  {line}", timestamp(SystemTime::now())));
        }
        let settlement = Settlement::of(Verdict::Accept);
        match broker.settle(&delivery, settlement).await {
            Err(transport::Error::NotHeld) | Ok(()) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// A run, and what services have said of it.
#[derive(Debug)]
pub struct Run {
    id: String,
    /// Services that steps of the recipe name.
    services: BTreeSet<String>,
    /// What each host has said last.
    said: BTreeMap<String, Said>,
}

#[derive(Debug, Clone, PartialEq)]
struct Said {
    line: String,
    is_ours: bool,
}

impl Run {
    /// The run of this ID of these recipes.
    pub fn new(id: &str, recipes: &[Compilation]) -> Self {
        let steps = recipes.iter().map(|compilation| compilation.recipe.to_value());
        let steps: Vec<Value> = steps.collect();
        let steps = steps.iter().filter_map(Value::as_object).flat_map(|recipe| recipe.values());
        let services = steps.filter_map(|step| step.get("service")?.as_str().map(str::to_lowercase));
        Self { id: id.to_owned(), services: services.collect(), said: BTreeMap::new() }
    }

    /// A line about a status message, if it is about this run or may be, and says something new.
    fn line(&mut self, status: &Value) -> Option<String> {
        let text = |name: &str| status.get(name).and_then(Value::as_str).map(plain);
        let (host, service) = (text("host")?, text("service").unwrap_or_default());
        let is_ours = status.get("recipe_ID").and_then(Value::as_str).map(|id| id == self.id);
        let was_ours = self.said.get(&host).is_some_and(|said| said.is_ours);
        let is_named = self.services.contains(&service.to_lowercase());
        let about = match is_ours {
            Some(true) => "",
            // It was, and is done with it.
            _ if was_ours => "",
            Some(false) => return None,
            None if is_named => "  (its run is not reported)",
            None => return None,
        };
        let state = text("statustext").unwrap_or_else(|| "?".to_owned());
        let state = if was_ours && is_ours == Some(false) { "works on another run".to_owned() } else { state };
        let line = format!("{service} on {host}: {state}{about}");
        let said = Said { line: line.clone(), is_ours: is_ours == Some(true) };
        let before = self.said.insert(host, said);
        (before.is_none_or(|before| before.line != line)).then_some(line)
    }
}

/// Text of others, without what moves a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_heard_as_far_as_they_speak_of_the_run() {
        let services = ["find spots"].map(str::to_owned).into();
        let mut run = Run { id: "mine".to_owned(), services, said: BTreeMap::new() };
        let mark = "  (its run is not reported)";
        for (status, expected) in [
            (
                r#"{"host": "h.1", "service": "Find Spots", "statustext": "idle"}"#,
                Some(format!("Find Spots on h.1: idle{mark}")),
            ),
            (r#"{"host": "h.1", "service": "Find Spots", "statustext": "idle"}"#, None),
            (r#"{"host": "h.2", "service": "Archiver", "statustext": "idle"}"#, None),
            (
                r#"{"host": "h.2", "service": "Archiver", "statustext": "processing", "recipe_ID": "mine"}"#,
                Some("Archiver on h.2: processing".to_owned()),
            ),
            (r#"{"host": "h.2", "service": "Archiver", "statustext": "processing", "recipe_ID": "mine"}"#, None),
            (
                r#"{"host": "h.2", "service": "Archiver", "statustext": "idle"}"#,
                Some("Archiver on h.2: idle".to_owned()),
            ),
            (r#"{"host": "h.2", "service": "Archiver", "statustext": "processing"}"#, None),
            (r#"{"host": "h.3", "service": "Dispatcher", "statustext": "processing", "recipe_ID": "other"}"#, None),
            (
                r#"{"host": "h.4", "service": "\u001b[2J", "statustext": "processing", "recipe_ID": "mine"}"#,
                Some("?[2J on h.4: processing".to_owned()),
            ),
            (
                r#"{"host": "h.4", "service": "x", "statustext": "processing", "recipe_ID": "other"}"#,
                Some("x on h.4: works on another run".to_owned()),
            ),
            (r#"{"host": "h.5", "service": "Dispatcher", "statustext": "idle"}"#, None),
            (r#"{"service": "Dispatcher"}"#, None),
            (r#"[1]"#, None),
        ] {
            assert_eq!(run.line(&read_value(status.as_bytes()).expect("JSON")), expected, "{status}");
        }
    }
}
