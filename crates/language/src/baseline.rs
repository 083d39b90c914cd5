//! Known findings: an old library is checked for new ones only.
//!
//! A finding is known by its file, its rule, its message without numbers ([`without_numbers`]), and by how often it
//! occurs. Its line does not count, so that it stays known when lines move or steps get other numbers. The file is
//! JSON, to be kept under version control:
//! `{"version": 1, "findings": {"recipes/a.json": [{"rule": "…", "message": "…", "count": 1}]}}`.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::identity::without_numbers;
use crate::syntax::json::read_value;
use crate::value::{Object, Value};

/// Known findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    /// By file; no entry is empty.
    files: BTreeMap<String, Entry>,
}

/// Known findings of one file: rule and message, and how often they occur.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry(BTreeMap<(String, String), usize>);

fn identity(finding: &Diagnostic) -> (String, String) {
    (finding.rule.to_owned(), without_numbers(&finding.message))
}

impl Entry {
    /// Records findings.
    pub fn add<'d>(&mut self, findings: impl IntoIterator<Item = &'d Diagnostic>) {
        for finding in findings {
            *self.0.entry(identity(finding)).or_default() += 1;
        }
    }

    /// Removes and returns the known ones of `findings`; each is known as often as it was recorded. What is left of
    /// the entry did not occur.
    pub fn take(&mut self, findings: &mut Vec<Diagnostic>) -> Vec<Diagnostic> {
        let is_known = |finding: &mut Diagnostic| match self.0.get_mut(&identity(finding)) {
            Some(count) if *count > 0 => {
                *count -= 1;
                true
            }
            _ => false,
        };
        let taken = findings.extract_if(.., is_known).collect();
        self.0.retain(|_, count| *count > 0);
        taken
    }

    /// Removes the findings of other rules than those that pass.
    pub fn retain_rules(&mut self, passes: impl Fn(&str) -> bool) {
        self.0.retain(|(rule, _), _| passes(rule));
    }

    /// Adds the findings of another entry.
    pub fn extend(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(key.clone()).or_default() += count;
        }
    }

    /// Removes the findings of another entry.
    pub fn subtract(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            if let Some(recorded) = self.0.get_mut(key) {
                *recorded = recorded.saturating_sub(*count);
            }
        }
        self.0.retain(|_, count| *count > 0);
    }

    /// Number of findings.
    pub fn count(&self) -> usize {
        self.0.values().sum()
    }
}

impl Baseline {
    /// Reads a baseline file.
    ///
    /// # Errors
    /// The text is not a baseline; the message is a predicate.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value = read_value(text.as_bytes()).map_err(|reason| format!("is {reason}"))?;
        if value.get("version").and_then(Value::as_i64) != Some(1) {
            return Err("is not a baseline of version 1".to_owned());
        }
        let mut baseline = Self::default();
        for (file, findings) in value.get("findings").and_then(Value::as_object).into_iter().flatten() {
            let mut entry = Entry::default();
            for finding in findings.as_array().unwrap_or_default() {
                let text = |key: &str| finding.get(key).and_then(Value::as_str).map(str::to_owned);
                let count = finding.get("count").and_then(Value::as_i64).and_then(|count| usize::try_from(count).ok());
                match (text("rule"), text("message"), count) {
                    (Some(rule), Some(message), Some(count)) => {
                        *entry.0.entry((rule, without_numbers(&message))).or_default() += count;
                    }
                    _ => return Err(format!("has a finding of `{file}` without `rule`, `message` or `count`")),
                }
            }
            baseline.set(file, entry);
        }
        Ok(baseline)
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let findings = self.files.iter().map(|(file, Entry(findings))| {
            let findings = findings.iter().map(|((rule, message), count)| {
                Value::from([
                    ("rule", Value::from(rule.as_str())),
                    ("message", Value::from(message.as_str())),
                    ("count", Value::from(*count as i64)),
                ])
            });
            (file.clone(), Value::Array(findings.collect()))
        });
        let findings = Value::Object(findings.collect::<Object>());
        Value::from([("version", Value::from(1)), ("findings", findings)]).to_json_pretty() + "\n"
    }

    /// The files with known findings.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The known findings of a file.
    pub fn of(&self, file: &str) -> Option<&Entry> {
        self.files.get(file)
    }

    /// Replaces the known findings of a file.
    pub fn set(&mut self, file: &str, entry: Entry) {
        if entry.count() == 0 {
            self.files.remove(file);
        } else {
            self.files.insert(file.to_owned(), entry);
        }
    }

    /// Records findings of a file beside those that are known.
    pub fn add(&mut self, file: &str, findings: &[Diagnostic]) {
        let mut entry = self.files.remove(file).unwrap_or_default();
        entry.add(findings);
        self.set(file, entry);
    }

    /// Number of known findings.
    pub fn count(&self) -> usize {
        self.files.values().map(Entry::count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Level;

    fn finding(message: &str) -> Diagnostic {
        Diagnostic::new("cycle", Level::Error, Default::default(), message)
    }

    #[test]
    fn as_many_are_known_as_there_were() {
        let mut written = Baseline::default();
        written.add("a.json", &[finding("one"), finding("one"), finding("two")]);
        let baseline = Baseline::parse(&written.to_text()).expect("is one");
        assert_eq!(baseline, written);
        assert!(baseline.of("b.json").is_none());
        let mut findings = vec![finding("one"), finding("one"), finding("one"), finding("three")];
        let mut entry = baseline.of("a.json").expect("is recorded").clone();
        assert_eq!(entry.take(&mut findings).len(), 2);
        assert_eq!(findings, [finding("one"), finding("three")]);
        assert_eq!(entry.count(), 1, "`two` does not occur any more");
        assert_eq!(Baseline::parse("{}"), Err("is not a baseline of version 1".to_owned()));
        assert_eq!(Baseline::parse("{,").map_err(|reason| reason.contains("is not valid JSON")), Err(true));
    }

    #[test]
    fn a_finding_is_known_under_another_step_number() {
        let mut written = Baseline::default();
        written.add("a.json", &[finding("step `3` leads to step `12`")]);
        // A file of an earlier version has the numbers.
        let text = written.to_text().replace('#', "5");
        let mut entry = Baseline::parse(&text).expect("is one").of("a.json").expect("is recorded").clone();
        let mut findings = vec![finding("step `1` leads to step `2`"), finding("step `1` leads to step `2`")];
        assert_eq!(entry.take(&mut findings).len(), 1);
    }
}
