//! The services that somebody hears of: what their broadcasts say, ours and those of the Python packages alike.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::runtime::status::Status;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::Value;

/// After so long without a word an instance is called silent: three broadcasts of which none has come.
const SILENT: Duration = Duration::from_secs(20);
/// After so long it is gone.
const GONE: Duration = Duration::from_secs(90);
/// The codes of the statuses in which an instance does nothing.
const IDLE: [&str; 2] = ["2", "3"];
/// The code of an instance whose process ends.
const TEARDOWN: i64 = -2;
/// The code of an instance that deals with messages.
const PROCESSING: i64 = 4;

/// What an instance has said last.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Host and process.
    pub host: String,
    /// What it is for, by the name for people; of a wrapper its task.
    pub service: String,
    /// The name by which it is started and stopped.
    pub class: String,
    /// What its user calls it.
    pub tag: Option<String>,
    /// What it is doing, in its words.
    pub state: String,
    /// Whether it deals with messages.
    pub is_busy: bool,
    /// Whether it has failed, or nothing is heard of it.
    pub is_failing: bool,
    /// The part of the last ten seconds in which it was not idle.
    pub busy: Option<f64>,
    /// The recipe that it works on.
    pub recipe_id: Option<String>,
    /// The program, with its version.
    pub program: String,
    heard: Duration,
}

/// All instances that have been heard of. Times are those since any one beginning.
#[derive(Debug, Clone, Default)]
pub struct Services {
    by_host: BTreeMap<String, Instance>,
    now: Duration,
}

impl Services {
    /// Takes in a broadcast. What is none is passed over.
    pub fn hear(&mut self, body: &[u8], now: Duration) {
        let Ok(said) = read_value(body) else { return };
        let text = |key: &str| said.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        let Some(host) = text("host") else { return };
        let code = said.get("status").and_then(Value::as_i64);
        if code == Some(TEARDOWN) {
            self.by_host.remove(&host);
            return;
        }
        let busy = said.get("utilization").and_then(Value::as_object).map(|parts| {
            let number = |value: &Value| match value {
                Value::Number(number) => number.as_f64(),
                _ => 0.0,
            };
            parts
                .iter()
                .filter(|(code, _)| !IDLE.contains(&code.as_str()))
                .fold(0.0, |sum, (_, part)| sum + number(part))
        });
        let service = text("service").or_else(|| text("task")).unwrap_or_else(|| "-".to_owned());
        let instance = Instance {
            class: text("serviceclass").unwrap_or_else(|| service.clone()),
            service,
            tag: text("tag"),
            state: text("statustext").unwrap_or_else(|| "unknown".to_owned()),
            is_busy: code == Some(PROCESSING),
            is_failing: code == Some(Status::Error.code()),
            busy,
            recipe_id: text("recipe_ID"),
            program: text("workflows").map_or_else(String::new, |version| {
                if version.starts_with("zrecipe") { version } else { format!("workflows {version}") }
            }),
            heard: now,
            host: host.clone(),
        };
        self.by_host.insert(host, instance);
    }

    /// Lets time pass: who has been silent for long is gone.
    pub fn pass(&mut self, now: Duration) {
        self.now = now;
        self.by_host.retain(|_, instance| now.saturating_sub(instance.heard) < GONE);
    }

    /// The instances by their services.
    pub fn list(&self) -> Vec<Instance> {
        let mut all: Vec<Instance> = self.by_host.values().cloned().collect();
        for instance in &mut all {
            let silence = self.now.saturating_sub(instance.heard);
            if silence > SILENT {
                instance.state = format!("silent for {} s", silence.as_secs());
                instance.is_busy = false;
                instance.is_failing = true;
            }
        }
        all.sort_by(|a, b| (&a.service, &a.host).cmp(&(&b.service, &b.host)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasts_are_taken_in() {
        let at = Duration::from_secs;
        let mut services = Services::default();
        // Ours, one of `workflows`, a wrapper of `zocalo`, and what is nothing of these.
        for (second, body) in [
            (
                0,
                r#"{"host": "a.1", "status": 2, "statustext": "idle", "service": "Runner", "serviceclass": "Runner",
                "utilization": {"2": 0.75, "4": 0.25}, "workflows": "zrecipe 0.1.0", "tag": "night"}"#,
            ),
            (
                1,
                r#"{"host": "b.2", "status": 4, "statustext": "processing", "service": "Per-image analysis",
                "serviceclass": "PIA", "utilization": {"3": 0.5, "4": 0.5}, "workflows": "3.3", "recipe_ID": "r"}"#,
            ),
            (2, r#"{"host": "c.3", "status": 0, "task": "xia2", "statustext": "starting"}"#),
            (2, r#"{"status": 2}"#),
            (2, "nonsense"),
            (2, "[]"),
        ] {
            services.hear(body.as_bytes(), at(second));
        }
        let seen = |services: &Services| -> Vec<String> {
            let line = |it: &Instance| {
                let busy = it.busy.map_or("-".to_owned(), |part| format!("{part}"));
                let tag = it.tag.as_deref().unwrap_or("-");
                let recipe = it.recipe_id.as_deref().unwrap_or("-");
                format!("{} {}/{} {tag} {} {busy} {recipe} {}", it.host, it.service, it.class, it.state, it.program)
            };
            services.list().iter().map(line).collect()
        };
        services.pass(at(10));
        assert_eq!(
            seen(&services),
            [
                "b.2 Per-image analysis/PIA - processing 0.5 r workflows 3.3",
                "a.1 Runner/Runner night idle 0.25 - zrecipe 0.1.0",
                "c.3 xia2/xia2 - starting - - ",
            ]
        );
        services.hear(br#"{"host": "c.3", "status": -2, "statustext": "shutdown"}"#, at(80));
        services.pass(at(90));
        assert_eq!(seen(&services), ["b.2 Per-image analysis/PIA - silent for 89 s 0.5 r workflows 3.3"]);
    }
}
