//! Findings that are known already: an old library is checked for what is new.
//!
//! A finding is known by its file, its rule and its message, and by how often it occurs: not by its line, so that it
//! stays known when lines move. Files are named from the directory of the baseline file. It is JSON, to be kept under version control:
//! `{"version": 1, "findings": {"recipes/a.json": [{"rule": "…", "message": "…", "count": 1}]}}`.

use std::collections::BTreeMap;

use crate::diagnostic::Diagnostic;
use crate::syntax::json::read_value;
use crate::value::{Object, Value};

/// Known findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Baseline {
    /// File, then rule and message: how often.
    known: BTreeMap<String, BTreeMap<(String, String), usize>>,
}

impl Baseline {
    /// Reads a baseline file.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let value = read_value(text.as_bytes())?;
        if value.get("version").and_then(Value::as_i64) != Some(1) {
            return Err("is not a baseline of version 1".to_owned());
        }
        let mut baseline = Self::default();
        for (file, findings) in value.get("findings").and_then(Value::as_object).into_iter().flatten() {
            for finding in findings.as_array().unwrap_or_default() {
                let text = |key: &str| finding.get(key).and_then(Value::as_str).map(str::to_owned);
                let count = finding.get("count").and_then(Value::as_i64).and_then(|count| usize::try_from(count).ok());
                match (text("rule"), text("message"), count) {
                    (Some(rule), Some(message), Some(count)) => {
                        *baseline.known.entry(file.clone()).or_default().entry((rule, message)).or_default() += count;
                    }
                    _ => return Err(format!("has a finding of `{file}` without `rule`, `message` or `count`")),
                }
            }
        }
        Ok(baseline)
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let findings = self.known.iter().map(|(file, findings)| {
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

    /// Makes findings known.
    pub fn add(&mut self, file: &str, findings: &[Diagnostic]) {
        for finding in findings {
            let key = (finding.rule.to_owned(), finding.message.clone());
            *self.known.entry(file.to_owned()).or_default().entry(key).or_default() += 1;
        }
    }

    /// Takes the known ones out of a file's findings and returns them; each is known as often as it was recorded.
    pub fn take_known(&mut self, file: &str, findings: &mut Vec<Diagnostic>) -> Vec<Diagnostic> {
        let Some(known) = self.known.get_mut(file) else { return Vec::new() };
        let is_known =
            |finding: &mut Diagnostic| match known.get_mut(&(finding.rule.to_owned(), finding.message.clone())) {
                Some(count) if *count > 0 => {
                    *count -= 1;
                    true
                }
                _ => false,
            };
        findings.extract_if(.., is_known).collect()
    }

    /// How many findings are known.
    pub fn count(&self) -> usize {
        self.known.values().flat_map(BTreeMap::values).sum()
    }

    /// How many findings are known of one file.
    pub fn count_of(&self, file: &str) -> usize {
        self.known.get(file).into_iter().flat_map(BTreeMap::values).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Level;

    #[test]
    fn as_many_are_known_as_there_were() {
        let finding = |message: &str| Diagnostic::new("cycle", Level::Error, Default::default(), message);
        let mut written = Baseline::default();
        written.add("a.json", &[finding("one"), finding("one"), finding("two")]);
        let mut baseline = Baseline::parse(&written.to_text()).expect("is one");
        assert_eq!(baseline, written);
        let mut findings = vec![finding("one"), finding("one"), finding("one"), finding("three")];
        baseline.take_known("b.json", &mut findings);
        assert_eq!(findings.len(), 4);
        baseline.take_known("a.json", &mut findings);
        assert_eq!(findings, [finding("one"), finding("three")]);
        assert_eq!(baseline.count(), 1, "`two` does not occur any more");
        assert!(Baseline::parse("{}").is_err());
    }
}
