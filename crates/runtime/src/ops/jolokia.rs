//! ActiveMQ's management API: JMX over HTTP, by Jolokia. The plugin `jmx` of a site says where it is.
//!
//! Format: <https://jolokia.org/reference/html/manual/jolokia_protocol.html>.

use std::time::SystemTime;

use base64::Engine as _;

use crate::http::{Client, Method};
use crate::ops::checkup::{self, Finding};
use crate::ops::management::{Error, Queue, Remedies};
use zrecipe_broker::message::headers::CAME_BACK;
use zrecipe_broker::transport::PROBE;
use zrecipe_language::site::Plugins;
use zrecipe_language::value::Value;

/// Above this percentage of a limit of the broker somebody should look.
const MUCH: i64 = 80;

static REMEDIES: Remedies = Remedies {
    forbidden: "`username` and `password` of plugin `jmx` name a user of ActiveMQ's web console, as in `users.properties`",
    missing: "set `base_url` of plugin `jmx` to the path of Jolokia, which is `api/jolokia` in ActiveMQ's own web \
              server",
    silence: "check that ActiveMQ is running with its web console, whose log has `ActiveMQ Jolokia REST API available \
              at …`, and check `host`, `port` and `base_url` of plugin `jmx`",
};

/// How senders to queues do not wait for memory.
const NO_FLOW_CONTROL: &str = "set `producerFlowControl=\"false\"` in `<policyEntry queue=\"&gt;\" …>` of \
    ActiveMQ's configuration: waiting messages then leave the memory for the store. If senders wait now, raise the \
    attribute `MemoryLimit` of the broker's bean by JMX";

/// The API of a broker.
pub struct Jolokia {
    client: Client,
    login: String,
}

impl Jolokia {
    /// The API that plugin `jmx` of a site names; nothing where there is no such plugin.
    ///
    /// # Errors
    /// Its settings are no address.
    pub fn of_site(plugins: &Plugins<'_>) -> Result<Option<Self>, Error> {
        let Some((_, settings)) = plugins.iter().find(|(plugin, _)| plugin == "jmx") else { return Ok(None) };
        let text = |name: &str| {
            let found = settings.iter().find(|setting| setting.name == name);
            found.map(|setting| setting.node.text().into_owned()).unwrap_or_default()
        };
        let scheme = if text("ssl") == "true" { "https" } else { "http" };
        let base = format!(
            "{scheme}://{}:{}/{}",
            text("host").trim(),
            text("port").trim(),
            text("base_url").trim_matches('/')
        );
        let client = Client::new(&base).map_err(|_| {
            let reason = "`host`, `port` and `base_url` of plugin `jmx` do not form a URL".to_owned();
            Error::new("its address", reason, None).with_remedies(&REMEDIES)
        })?;
        let login = format!("{}:{}", text("username"), text("password"));
        let login = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login));
        Ok(Some(Self { client, login }))
    }

    /// Where the API is.
    pub fn place(&self) -> String {
        self.client.base().to_owned()
    }

    /// What there is at a path below the address: the value, and when it was given by the broker's clock in seconds since
    /// 1970. Null where there is no such bean.
    async fn get(&self, path: &str) -> Result<(Value, i64), Error> {
        let wrong = |reason: String, status| Error::new(self.client.base(), reason, status).with_remedies(&REMEDIES);
        let login = [("authorization", self.login.clone())];
        let answer = self.client.ask(Method::GET, path, &login, None).await;
        let answer = answer.map_err(|error| wrong(error.reason, None))?;
        if !answer.is_success() {
            return Err(wrong(format!("it answers {}", answer.status()), Some(answer.status())));
        }
        let said = answer.value().map_err(|reason| wrong(reason, None))?;
        // HTTP says that all is well whatever Jolokia says.
        let time = said.get("timestamp").and_then(Value::as_i64).unwrap_or_default();
        match said.get("status").and_then(Value::as_i64) {
            Some(200) => Ok((said.get("value").cloned().unwrap_or_default(), time)),
            Some(404) => Ok((Value::Null, time)),
            status => {
                let status = status.unwrap_or_default();
                let reason = said.get("error").and_then(Value::as_str).unwrap_or_default();
                Err(wrong(format!("it answers {status}: {reason}"), None))
            }
        }
    }

    /// The queues of the broker, by the broker's own names: exact counts of this moment.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn queues(&self) -> Result<Vec<Queue>, Error> {
        const QUEUES: &str = "read/org.apache.activemq:type=Broker,brokerName=*,destinationType=Queue,destinationName=*/\
                              Name,QueueSize,InFlightCount,ConsumerCount";
        let (beans, _) = self.get(QUEUES).await?;
        let mut queues: Vec<Queue> =
            beans.as_object().into_iter().flatten().filter_map(|(_, bean)| read(bean)).collect();
        // It is there because something was tried.
        queues.retain(|queue| queue.messages > 0 || !queue.name.ends_with(PROBE));
        queues.sort_by(|a, b| a.name.cmp(&b.name));
        if queues.iter().any(|queue| queue.consumers > Some(0)) {
            const CONSUMERS: &str =
                "read/org.apache.activemq:type=Broker,brokerName=*,endpoint=Consumer,*/DestinationName,Selector";
            let (beans, _) = self.get(CONSUMERS).await?;
            let beans: Vec<&Value> = beans.as_object().into_iter().flatten().map(|(_, bean)| bean).collect();
            leave_out_guards(&mut queues, &beans);
        }
        Ok(queues)
    }

    /// Removes queues, by the broker's own names, that have neither messages nor consumers. What cannot be removed stays.
    pub async fn remove_empty(&self, names: &[String]) {
        const BROKERS: &str = "search/org.apache.activemq:type=Broker,brokerName=*";
        let Ok((brokers, _)) = self.get(BROKERS).await else { return };
        for broker in brokers.as_array().unwrap_or_default().iter().filter_map(Value::as_str) {
            for name in names {
                let sizes =
                    format!("read/{broker},destinationType=Queue,destinationName={name}/QueueSize,ConsumerCount");
                let Ok((bean, _)) = self.get(&sizes).await else { continue };
                let is_zero = |name: &str| bean.get(name).and_then(Value::as_i64) == Some(0);
                if is_zero("QueueSize") && is_zero("ConsumerCount") {
                    let _ = self.get(&format!("exec/{broker}/removeQueue(java.lang.String)/{name}")).await;
                }
            }
        }
    }

    /// What is wrong with the broker itself.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn examine(&self) -> Result<Vec<Finding>, Error> {
        const FLOW_CONTROL: &str = "read/org.apache.activemq:type=Broker,brokerName=*,destinationType=Queue,\
                                    destinationName=*/ProducerFlowControl";
        const BROKER: &str = "read/org.apache.activemq:type=Broker,brokerName=*/\
                              BrokerVersion,MemoryPercentUsage,StorePercentUsage,TempPercentUsage,JobSchedulerStorePercentUsage,\
                              MemoryLimit,StoreLimit,TempLimit,JobSchedulerStoreLimit";
        let (beans, time) = self.get(BROKER).await?;
        let (scheduler, _) = self.get("search/org.apache.activemq:service=JobScheduler,*").await?;
        let mut found = Vec::new();
        for (_, bean) in beans.as_object().into_iter().flatten() {
            found.extend(broker(bean));
        }
        found.push(match scheduler.as_array() {
            Some([]) | None => Finding::error(
                "delays",
                "the broker has no scheduler: a delayed message is delivered immediately, so retries do not wait",
                "set `schedulerSupport=\"true\"` on `<broker …>` in ActiveMQ's configuration, and restart it",
            ),
            Some(_) => Finding::fine("delays", "the broker has a scheduler"),
        });
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let skew = i64::try_from(now).unwrap_or(i64::MAX).saturating_sub(time).saturating_abs();
        found.push(if skew > 5 {
            let text = format!(
                "the broker's clock differs by {skew} s from this machine's: expirations and ages are wrong by as much"
            );
            Finding::warning(
                "clock",
                text,
                "synchronize the clocks of both machines (`chronyc tracking`, `timedatectl`)",
            )
        } else {
            Finding::fine("clock", "it agrees with this machine's within a few seconds")
        });
        found.extend(flow_control(&self.get(FLOW_CONTROL).await?.0));
        let shared = self.get("read/org.apache.activemq:type=Broker,brokerName=*,destinationType=Queue,destinationName=ActiveMQ.DLQ/QueueSize");
        let (shared, _) = shared.await?;
        let sizes = shared.as_object().into_iter().flatten().filter_map(|(_, bean)| bean.get("QueueSize")?.as_i64());
        let count: i64 = sizes.sum();
        if count > 0 {
            found.push(Finding::warning(
                "dead letters",
                format!(
                    "{count} dead letters are in the shared queue `ActiveMQ.DLQ`, which does not record their queues"
                ),
                checkup::OWN_DEAD_LETTERS,
            ));
        }
        Ok(found)
    }
}

/// Waiting messages of a queue fill up to 70 % of the memory; with those of a second one it is full, and services wait for
/// each other.
fn flow_control(queues: &Value) -> Option<Finding> {
    let is_set = |bean: &Value| match bean.get("ProducerFlowControl") {
        Some(Value::Bool(is_set)) => Some(*is_set),
        _ => None,
    };
    let set: Vec<bool> = queues.as_object().into_iter().flatten().filter_map(|(_, bean)| is_set(bean)).collect();
    let count = set.iter().filter(|is_set| **is_set).count();
    if set.is_empty() {
        return None;
    }
    Some(if count == 0 {
        Finding::fine("flow control", "senders to queues do not wait for memory")
    } else {
        let text = format!(
            "{} flow control for producers: when waiting messages fill the broker's memory, services that send to them \
             stop until others consume",
            if count == 1 { "1 queue has".to_owned() } else { format!("{count} queues have") }
        );
        Finding::warning("flow control", text, NO_FLOW_CONTROL)
    })
}

fn read(bean: &Value) -> Option<Queue> {
    let number = |name: &str| bean.get(name).and_then(Value::as_i64);
    let (messages, held) = (number("QueueSize")?, number("InFlightCount").unwrap_or(0));
    Some(Queue {
        name: bean.get("Name")?.as_str()?.to_owned(),
        messages,
        ready: messages.saturating_sub(held).max(0),
        unacknowledged: Some(held),
        consumers: number("ConsumerCount"),
        is_current: true,
        ..Queue::default()
    })
}

/// Leaves out the consumers that deal with no message: Schlockmeister is subscribed to all queues, and would hide those that
/// nobody serves.
fn leave_out_guards(queues: &mut [Queue], consumers: &[&Value]) {
    let text = |bean: &Value, name: &str| bean.get(name).and_then(Value::as_str).map(str::to_owned);
    // The broker puts `convert_string_expressions:` before the selectors of STOMP.
    let guards = consumers.iter().filter(|bean| text(bean, "Selector").is_some_and(|text| text.ends_with(CAME_BACK)));
    for guarded in guards.filter_map(|bean| text(bean, "DestinationName")) {
        let Some(prefix) = guarded.strip_suffix('>') else { continue };
        for queue in queues.iter_mut().filter(|queue| queue.name.starts_with(prefix)) {
            queue.consumers = queue.consumers.map(|count| count.saturating_sub(1).max(0));
        }
    }
}

/// Version and limits of a broker.
fn broker(bean: &Value) -> Vec<Finding> {
    let number = |name: &str| bean.get(name).and_then(Value::as_i64).unwrap_or(0);
    let version = bean.get("BrokerVersion").and_then(Value::as_str).unwrap_or("?");
    let mut found =
        vec![Finding::fine("versions", format!("ActiveMQ {version}, zrecipe {}", env!("CARGO_PKG_VERSION")))];
    let limits = [
        ("memory", "Memory", "memoryUsage"),
        ("store", "Store", "storeUsage"),
        ("temporary store", "Temp", "tempUsage"),
        ("scheduler's store", "JobSchedulerStore", "jobSchedulerUsage"),
    ];
    let used = |name: &str| number(&format!("{name}PercentUsage"));
    let size = |name: &str| format!("{} MB", number(&format!("{name}Limit")) >> 20);
    let full: Vec<_> = limits.iter().filter(|(_, name, _)| used(name) >= MUCH).collect();
    for (what, name, setting) in &full {
        let (used, size) = (used(name), size(name));
        let text = format!("{used} % of the {what} ({size}) are used; at 100 % senders wait without an error");
        let help = format!(
            "consume or purge messages (`zrecipe queues`), or raise the limit: \
             `<{setting}><{setting} limit=\"… mb\"/></{setting}>` in `<systemUsage><systemUsage …>`"
        );
        found.push(if used >= 100 {
            Finding::error("limits", text, help)
        } else {
            Finding::warning("limits", text, help)
        });
    }
    if full.is_empty() {
        let sizes: Vec<String> = limits.iter().map(|(what, name, _)| format!("{what} {}", size(name))).collect();
        found.push(Finding::fine("limits", format!("less than {MUCH} % of each are used: {}", sizes.join(", "))));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::checkup::Severity;
    use zrecipe_language::syntax::json::read_value;

    #[test]
    fn queues_are_read_as_jolokia_writes_them() {
        let read = |text: &str| read(&read_value(text.as_bytes()).expect("JSON"));
        let found =
            read(r#"{"Name": "zocalo.q", "QueueSize": 5, "InFlightCount": 2, "ConsumerCount": 1}"#).expect("is one");
        assert_eq!((found.name.as_str(), found.messages, found.ready), ("zocalo.q", 5, 3));
        assert_eq!((found.unacknowledged, found.consumers, found.is_current), (Some(2), Some(1), true));
        assert_eq!(read(r#"{"Name": "q"}"#), None);
    }

    #[test]
    fn who_only_guards_a_queue_does_not_serve_it() {
        let bean = |text: &str| read_value(text.as_bytes()).expect("JSON");
        let guard =
            bean(r#"{"DestinationName": "zocalo.>", "Selector": "convert_string_expressions:JMSXDeliveryCount > 1"}"#);
        let service = bean(r#"{"DestinationName": "zocalo.q", "Selector": null}"#);
        let queue = |name: &str, consumers| Queue { name: name.to_owned(), consumers, ..Queue::default() };
        let mut queues = [queue("zocalo.q", Some(2)), queue("zocalo.r", Some(1)), queue("other.q", Some(1))];
        leave_out_guards(&mut queues, &[&guard, &service]);
        assert_eq!(queues.map(|queue| queue.consumers), [Some(1), Some(0), Some(1)]);
    }

    #[test]
    fn queues_whose_senders_wait_for_memory_are_counted() {
        let found = |text: &str| flow_control(&read_value(text.as_bytes()).expect("JSON"));
        assert!(found("null").is_none() && found(r#"{"a": {"Name": "q"}}"#).is_none());
        let queues = |set: &str| found(&format!(r#"{{"a": {{"ProducerFlowControl": false}}, "b": {set}}}"#));
        let fine = queues(r#"{"ProducerFlowControl": false}"#).expect("something is known");
        assert_eq!(fine.severity, Severity::Fine);
        let warning = queues(r#"{"ProducerFlowControl": true}"#).expect("something is known");
        assert!(warning.severity == Severity::Warning && warning.text.starts_with("1 queue has"), "{warning:?}");
    }

    #[test]
    fn limits_are_told_before_they_are_reached() {
        for (used, expected) in [(79, Severity::Fine), (80, Severity::Warning), (100, Severity::Error)] {
            let bean = read_value(format!(r#"{{"BrokerVersion": "5.17.2", "StorePercentUsage": {used}}}"#).as_bytes());
            let found = broker(&bean.expect("JSON"));
            assert_eq!(found.iter().map(|finding| finding.severity).max(), Some(expected), "{used}");
        }
    }
}
