//! What is wrong with a broker, and what to do about it: judged from what it says of itself.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use crate::ops::management::Queue;
use crate::runtime::instance::COMMANDS;
use crate::runtime::status::TOPIC;
use zrecipe_broker::message::{REQUEST_QUEUE, is_dead_letter_queue};
use zrecipe_broker::transport::Place;
use zrecipe_language::topology::{DELAYED, Pattern};
use zrecipe_language::value::Value;

/// A clock that is further off makes ages and deadlines wrong.
const MOST_SKEW: Duration = Duration::from_secs(5);
/// The oldest version whose quorum queues dead-letter what is delivered too often.
const OLDEST: (u32, u32) = (3, 8);
/// A limit that RabbitMQ sets by itself is none to warn of.
const MOST_LOOKS: u32 = 20;
/// Less free disk than this is little.
const LITTLE_DISK: i64 = 1 << 30;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// It works, and somebody should look.
    Warning,
    /// Messages are not dealt with, or will be lost.
    Error,
}

impl Severity {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fine => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub severity: Severity,
    /// What was looked at.
    pub about: &'static str,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Finding {
    /// As it should be.
    pub fn fine(about: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Fine, about, text: text.into(), help: None }
    }

    /// Somebody should look.
    pub fn warning(about: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, about, text: text.into(), help: Some(help.into()) }
    }

    /// Something does not work.
    pub fn error(about: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self { severity: Severity::Error, about, text: text.into(), help: Some(help.into()) }
    }
}

/// What is added to a number that is not the broker's count of this moment.
const STATISTICS: &str = " (statistics, 5 s old or older)";

/// Queues, and who needs each.
pub type Needs = BTreeMap<String, String>;

/// How a broker of ActiveMQ keeps the dead letters of each queue apart.
pub const OWN_DEAD_LETTERS: &str = "give each queue its own, in `<policyEntries>` of ActiveMQ's configuration: \
    `<policyEntry queue=\"&gt;\"><deadLetterStrategy><individualDeadLetterStrategy queuePrefix=\"DLQ.\" \
    useQueueForQueueMessages=\"true\"/></deadLetterStrategy></policyEntry>`";

/// Where the broker puts what consumers reject and what expires.
pub fn dead_letters(place: &Place) -> Finding {
    match place {
        Place::OfItsQueue => Finding::fine("dead letters", "each queue has its own for messages that are rejected"),
        Place::Shared(name) => Finding::warning(
            "dead letters",
            format!(
                "messages that a consumer such as a Python service rejects go to the shared queue `{name}`, which \
                 `zrecipe dlq` does not list by queue; so do messages that expire"
            ),
            OWN_DEAD_LETTERS,
        ),
        Place::Nowhere => Finding::warning(
            "dead letters",
            "a message that a consumer such as a Python service rejects reaches no dead-letter queue",
            OWN_DEAD_LETTERS,
        ),
    }
}

/// A queue that is not there.
pub fn missing(queue: &str, who: &str) -> Finding {
    let help = "`zrecipe broker diff FILE` shows what is missing on the broker, `apply` creates it; if the name is \
                misspelt, `zrecipe check --broker FILE` finds it";
    Finding::error("queues", format!("there is no queue `{queue}`, which {who} needs: its messages are refused"), help)
}

/// The queues: those that are needed, those that nobody consumes from, and dead letters.
pub fn queues(queues: &[Queue], needs: &Needs, may_be_missing: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if !may_be_missing {
        let is_there = |name: &str| queues.iter().any(|queue| queue.name == name);
        found.extend(needs.iter().filter(|(name, _)| !is_there(name)).map(|(name, who)| missing(name, who)));
    }
    let is_of_letters = |queue: &Queue| is_dead_letter_queue(&queue.name);
    for queue in queues.iter().filter(|queue| !is_of_letters(queue)) {
        let is_old = if queue.is_current { "" } else { STATISTICS };
        if queue.messages > 0 && queue.consumers == Some(0) {
            let whose = if queue.name == REQUEST_QUEUE { "a dispatcher" } else { "its service" };
            let (wait, them) = if queue.messages == 1 { ("waits", "it") } else { ("wait", "them") };
            let count = messages(queue.messages);
            let text = format!("{count} {wait} in `{}` and no service consumes {them}{is_old}", queue.name);
            let help =
                format!("start {whose} (`zrecipe service`), or check its log; `zrecipe status` shows running services");
            // Statistics alone do not make it an error.
            let finding = if queue.is_current { Finding::error } else { Finding::warning };
            found.push(finding("consumers", text, help));
        }
    }
    if found.is_empty() {
        let needed = needs.len();
        found.push(Finding::fine("queues", format!("{} there, {needed} needed", queues.len())));
    }
    let dead: Vec<&Queue> = queues.iter().filter(|queue| is_of_letters(queue) && queue.messages > 0).collect();
    for queue in &dead {
        let is_old = if queue.is_current { "" } else { STATISTICS };
        let count = messages(queue.messages).replace("message", "dead letter");
        let text = format!("{count} in `{}`{is_old}", queue.name);
        let help = format!("`zrecipe dlq diagnose {}` shows why, and whether reinjecting them can help", queue.name);
        found.push(Finding::warning("dead letters", text, help));
    }
    if dead.is_empty() {
        found.push(Finding::fine("dead letters", "none"));
    }
    let limited = queues.iter().filter(|queue| is_of_letters(queue));
    for (queue, limit) in limited.filter_map(|queue| Some((queue, queue.limit.filter(|limit| *limit < MOST_LOOKS)?))) {
        let text = format!(
            "`{}` has a delivery limit of {limit}: a letter that is delivered more often, for example to a tool that \
             is killed, is lost",
            queue.name
        );
        let help = "exclude dead-letter queues from the policy that sets it: pattern `^(?!dlq\\.)`";
        found.push(Finding::warning("dead letters", text, help));
    }
    found
}

fn messages(count: i64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}

/// The exchanges of a virtual host that services cannot do without.
pub fn exchanges(listed: &Value) -> Vec<Finding> {
    let listed = listed.as_array().unwrap_or_default();
    let kind = |name: &str| {
        let found = listed.iter().find(|exchange| exchange.get("name").and_then(Value::as_str) == Some(name));
        found.and_then(|exchange| exchange.get("type")?.as_str())
    };
    let mut found = Vec::new();
    for (topic, lack) in
        [(TOPIC, "services cannot broadcast their status"), (COMMANDS, "services cannot be stopped remotely")]
    {
        match kind(topic) {
            Some("fanout") => {}
            Some(other) => found.push(Finding::error(
                "topics",
                format!("the exchange `{topic}` is of type `{other}`, so {lack}"),
                "recreate it as `fanout`: a group with `broadcast: true` in the broker's configuration",
            )),
            None => found.push(Finding::error(
                "topics",
                format!("there is no exchange `{topic}`, so {lack}"),
                "add it to a group with `broadcast: true` in the broker's configuration; `zrecipe broker apply FILE`",
            )),
        }
    }
    if found.is_empty() {
        found.push(Finding::fine("topics", format!("`{TOPIC}` and `{COMMANDS}` are there")));
    }
    found.push(match kind(DELAYED) {
        Some("x-delayed-message") => Finding::fine("delays", format!("the plug-in's exchange `{DELAYED}` is there")),
        Some(other) => Finding::error(
            "delays",
            format!("the exchange `{DELAYED}` is of type `{other}`: messages are sent without their delay"),
            "recreate it as `x-delayed-message` (plug-in `rabbitmq_delayed_message_exchange`), or delete it",
        ),
        None => {
            let text = format!(
                "no exchange `{DELAYED}`: zrecipe delays messages with its own queues, Python services cannot \
                 delay them"
            );
            Finding::fine("delays", text)
        }
    });
    found
}

/// The nodes of a cluster.
pub fn nodes(listed: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let listed = listed.as_array().unwrap_or_default();
    for node in listed {
        let name = node.get("name").and_then(Value::as_str).unwrap_or("?");
        let is = |key: &str| node.get(key).is_some_and(Value::is_truthy);
        let number = |key: &str| node.get(key).and_then(Value::as_i64);
        if node.get("running").is_some_and(|running| !running.is_truthy()) {
            let text = format!("node `{name}` is not running");
            found.push(Finding::error("nodes", text, "start it; queues whose leader it had may be without a majority"));
            continue;
        }
        if is("partitions") {
            let help = "the nodes cannot reach each other: check the network, then restart the smaller part";
            found.push(Finding::error("nodes", format!("node `{name}` is cut off from others"), help));
        }
        let blocked = "so publishing is blocked";
        if is("mem_alarm") {
            let text = format!("node `{name}` is out of memory, {blocked}");
            found.push(Finding::error(
                "memory",
                text,
                "consume or drain queues (`zrecipe queues`), or raise `vm_memory_high_watermark`",
            ));
        }
        if is("disk_free_alarm") {
            let text = format!("node `{name}` is out of disk, {blocked}");
            found.push(Finding::error(
                "disk",
                text,
                "free space on the broker's disk; publishing is blocked until then",
            ));
        } else if let (Some(free), Some(limit)) = (number("disk_free"), number("disk_free_limit"))
            && free < LITTLE_DISK.max(limit.saturating_mul(2))
        {
            let text = format!("node `{name}` has {} MB of disk left", free >> 20);
            found.push(Finding::warning(
                "disk",
                text,
                format!("free space soon: below {} MB it blocks publishing", limit >> 20),
            ));
        }
    }
    if found.is_empty() {
        let count = listed.len();
        let text = if count == 1 { "1, without alarms".to_owned() } else { format!("{count}, without alarms") };
        found.push(Finding::fine("nodes", text));
    }
    found
}

/// The broker's version, and ours.
pub fn version(overview: &Value) -> Finding {
    let version = overview.get("rabbitmq_version").and_then(Value::as_str).unwrap_or("?");
    let mut numbers = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let text = format!("RabbitMQ {version}, zrecipe {}", env!("CARGO_PKG_VERSION"));
    if found < OLDEST {
        let help = format!("update RabbitMQ to {}.{} or later", OLDEST.0, OLDEST.1);
        return Finding::error("versions", format!("{text}: queues have no delivery limit"), help);
    }
    Finding::fine("versions", text)
}

/// The difference of the clocks, by when the broker says that it answers (a date as HTTP has it).
pub fn clock(date: Option<&str>, now: SystemTime) -> Option<Finding> {
    let theirs = SystemTime::from(jiff::fmt::rfc2822::parse(date?).ok()?.timestamp());
    let skew = theirs.duration_since(now).unwrap_or_else(|error| error.duration());
    // Its time is in whole seconds.
    let seconds = skew.as_secs();
    Some(if skew > MOST_SKEW {
        let text = format!(
            "the broker's clock differs by {seconds} s from this machine's: ages and time limits are wrong by as much"
        );
        Finding::warning("clock", text, "synchronize the clocks of both machines (`chronyc tracking`, `timedatectl`)")
    } else {
        Finding::fine("clock", "it agrees with this machine's within a few seconds")
    })
}

/// What the user may do, by the permissions in the virtual host: a text each in `configure`, `write` and `read`. `grant`
/// is how a user gets permissions.
pub fn permissions(rights: &Value, user: &str, needs: &Needs, grant: &str) -> Vec<Finding> {
    let matches = |right: &str, name: &str| {
        let pattern = rights.get(right).and_then(Value::as_str).unwrap_or_default();
        // An empty one matches nothing; what nobody can tell is taken as granted.
        !pattern.is_empty() && Pattern::new(pattern).matches(name).unwrap_or(true)
    };
    let wanted = [
        ("write", "amq.default", "publish to queues"),
        ("configure", "amq.gen-x", "subscribe to topics"),
        ("write", "amq.gen-x", "subscribe to topics"),
        ("read", "amq.gen-x", "subscribe to topics"),
        ("read", COMMANDS, "take commands"),
        ("write", TOPIC, "broadcast its status"),
    ];
    let lacks = wanted.iter().map(|(right, name, what)| (*right, *name, (*what).to_owned()));
    let reads = needs.keys().map(|queue| ("read", queue.as_str(), format!("consume from `{queue}`")));
    let mut found: Vec<Finding> = Vec::new();
    for (right, name, what) in lacks.chain(reads).filter(|(right, name, _)| !matches(right, name)) {
        let text = format!("user `{user}` may not {what}: its right to {right} does not match `{name}`");
        found.push(Finding::warning("permissions", text, grant));
    }
    if found.is_empty() {
        found.push(Finding::fine("permissions", format!("user `{user}` has the permissions that services need")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use zrecipe_language::syntax::json::read_value;

    fn value(text: &str) -> Value {
        read_value(text.as_bytes()).expect("JSON")
    }

    fn shown(found: &[Finding]) -> Vec<String> {
        found.iter().map(|it| format!("{} {}: {}", it.severity.name(), it.about, it.text)).collect()
    }

    #[test]
    fn nodes_are_judged() {
        for (node, expected) in [
            (
                r#"{"running": true, "disk_free": 50000000000, "disk_free_limit": 50000000}"#,
                "ok nodes: 1, without alarms",
            ),
            (r#"{"running": false}"#, "error nodes: node `n` is not running"),
            (
                r#"{"running": true, "mem_alarm": true}"#,
                "error memory: node `n` is out of memory, so publishing is blocked",
            ),
            (
                r#"{"running": true, "disk_free_alarm": true}"#,
                "error disk: node `n` is out of disk, so publishing is blocked",
            ),
            (
                r#"{"running": true, "disk_free": 104857600, "disk_free_limit": 52428800}"#,
                "warning disk: node `n` has 100 MB of disk left",
            ),
            (r#"{"running": true, "partitions": ["m"]}"#, "error nodes: node `n` is cut off from others"),
        ] {
            let listed = value(&format!("[{}]", node.replacen('{', r#"{"name": "n", "#, 1)));
            assert_eq!(shown(&nodes(&listed)), [expected], "{node}");
        }
    }

    #[test]
    fn exchanges_are_judged() {
        let fine = r#"{"name": "transient.status", "type": "fanout"}, {"name": "command", "type": "fanout"}"#;
        for (listed, expected) in [
            (format!(r#"{fine}, {{"name": "delayed", "type": "x-delayed-message"}}"#), ["ok topics", "ok delays"]),
            (fine.to_owned(), ["ok topics", "ok delays"]),
            (format!(r#"{fine}, {{"name": "delayed", "type": "direct"}}"#), ["ok topics", "error delays"]),
            (fine.replace("command", "commands"), ["error topics", "ok delays"]),
            (fine.replacen("fanout", "topic", 1), ["error topics", "ok delays"]),
        ] {
            let found = shown(&exchanges(&value(&format!("[{listed}]"))));
            let found: Vec<&str> = found.iter().filter_map(|line| line.split_once(':')).map(|(head, _)| head).collect();
            assert_eq!(found, expected, "{listed}");
        }
    }

    #[test]
    fn queues_are_judged() {
        let queue = |name: &str, messages, consumers| {
            let named = Queue { name: name.to_owned(), is_current: true, ..Queue::default() };
            Queue { messages, consumers, ..named }
        };
        let needs = Needs::from([("images".to_owned(), "recipe `a`".to_owned())]);
        for (listed, expected) in [
            (vec![queue("images", 0, Some(0))], vec!["ok queues: 1 there, 1 needed", "ok dead letters: none"]),
            (
                vec![queue("index", 2, Some(1)), queue("dlq.index", 1, Some(0))],
                vec![
                    "error queues: there is no queue `images`, which recipe `a` needs: its messages are refused",
                    "warning dead letters: 1 dead letter in `dlq.index`",
                ],
            ),
            (
                vec![queue("images", 2, Some(0))],
                vec![
                    "error consumers: 2 messages wait in `images` and no service consumes them",
                    "ok dead letters: none",
                ],
            ),
        ] {
            assert_eq!(shown(&queues(&listed, &needs, false)), expected);
        }
        let old = Queue { is_current: false, ..queue("images", 2, Some(0)) };
        let said = shown(&queues(&[old], &needs, false));
        assert!(
            said[0].starts_with("warning consumers: ") && said[0].ends_with("(statistics, 5 s old or older)"),
            "{said:?}"
        );
    }

    #[test]
    fn rights_are_judged() {
        let needs = Needs::from([("images".to_owned(), "recipe `a`".to_owned())]);
        for (rights, expected) in [
            (r#"{"configure": ".*", "write": ".*", "read": ".*"}"#, 0),
            (r#"{"configure": "^amq\\.gen.*$", "write": ".*", "read": ".*"}"#, 0),
            (r#"{"configure": "", "write": ".*", "read": ".*"}"#, 1),
            (r#"{"configure": ".*", "write": ".*", "read": "^(command|amq\\.gen)"}"#, 1),
            (r#"{"configure": "", "write": "", "read": ""}"#, 7),
        ] {
            let found = permissions(&value(rights), "zocalo", &needs, "grant");
            let wrong = found.iter().filter(|it| it.severity != Severity::Fine).count();
            assert_eq!(wrong, expected, "{rights}: {:?}", shown(&found));
        }
    }

    #[test]
    fn versions_and_clocks_are_judged() {
        for (said, expected) in [("3.7.28", Severity::Error), ("3.10.8", Severity::Fine), ("4.1.0", Severity::Fine)] {
            let overview = Value::from([("rabbitmq_version", said)]);
            assert_eq!(version(&overview).severity, expected, "{said}");
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (date, expected) in [
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Severity::Fine)),
            (Some("Sun, 06 Nov 1994 08:49:40 GMT"), Some(Severity::Fine)),
            (Some("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Severity::Warning)),
            (Some("Sun, 06 Nov 1994 08:48:37 GMT"), Some(Severity::Warning)),
            (Some("yesterday"), None),
            (None, None),
        ] {
            assert_eq!(clock(date, now).map(|found| found.severity), expected, "{date:?}");
        }
    }
}
