//! The levels that a project gives to rules.

use super::{RULES, rule};
use crate::diagnostic::{Diagnostic, Level, nearest};

/// What a project has decided about rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Levels {
    /// Later decisions come before earlier ones.
    decisions: Vec<(Subject, Choice)>,
}

/// What a decision is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Rule(&'static str),
    /// Everything that is at this level by itself.
    At(Level),
    All,
}

/// What is decided about a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Its findings are not told.
    Allow,
    /// Its findings have this level.
    At(Level),
}

impl Choice {
    /// Reads `allow`, `note`, `warning` (or `warn`) or `error` (or `deny`).
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "allow" => Choice::Allow,
            "note" => Choice::At(Level::Note),
            "warning" | "warn" => Choice::At(Level::Warning),
            "error" | "deny" => Choice::At(Level::Error),
            _ => return None,
        })
    }
}

impl Levels {
    /// Decides about a rule, about `notes`, `warnings` or `errors` (what is at that level by itself), or about `all`.
    ///
    /// # Errors
    /// There is no such rule; what may be meant.
    pub fn decide(&mut self, subject: &str, choice: Choice) -> Result<(), String> {
        self.decide_among(subject, choice, &[])
    }

    /// The same where these rules of the site are rules as well.
    ///
    /// # Errors
    /// There is no such rule; what may be meant.
    pub fn decide_among(&mut self, subject: &str, choice: Choice, site_rules: &[&'static str]) -> Result<(), String> {
        let subject = match subject {
            "all" => Subject::All,
            "notes" => Subject::At(Level::Note),
            "warnings" => Subject::At(Level::Warning),
            "errors" => Subject::At(Level::Error),
            name => match rule(name) {
                Some(rule) => Subject::Rule(rule.name),
                None if let Some(own) = site_rules.iter().find(|own| **own == name) => Subject::Rule(own),
                None => {
                    let groups = ["all", "notes", "warnings", "errors"];
                    let known = RULES.iter().map(|rule| rule.name).chain(site_rules.iter().copied()).chain(groups);
                    let meant = nearest(name, known);
                    let hint = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
                    return Err(format!("there is no rule `{name}`{hint}"));
                }
            },
        };
        self.decisions.push((subject, choice));
        Ok(())
    }

    /// Adds decisions that come before these.
    pub fn extend(&mut self, others: &Levels) {
        self.decisions.extend(others.decisions.iter().copied());
    }

    /// What is decided about a finding: its level, or nothing when it is not to be told.
    ///
    /// A decision about the rule itself comes before one about many rules, except that `--deny warnings` also raises
    /// what a project has made a warning.
    pub fn level_of(&self, diagnostic: &Diagnostic) -> Option<Level> {
        let last = |about: &dyn Fn(&Subject) -> bool| {
            self.decisions.iter().rev().find(|(subject, _)| about(subject)).map(|&(_, choice)| choice)
        };
        let of_many = |level: Level| last(&|subject| matches!(subject, Subject::All) || *subject == Subject::At(level));
        match (last(&|subject| *subject == Subject::Rule(diagnostic.rule)), of_many(diagnostic.level)) {
            (Some(Choice::Allow), _) | (None, Some(Choice::Allow)) => None,
            (Some(Choice::At(level)), _) => match of_many(level) {
                Some(Choice::At(raised)) => Some(raised.max(level)),
                _ => Some(level),
            },
            (None, Some(Choice::At(level))) => Some(level),
            (None, None) => Some(diagnostic.level),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;

    #[test]
    fn the_more_precise_decision_counts() {
        // Decisions, and what becomes of the warning `misspelt-key`.
        type Row = (&'static [(&'static str, &'static str)], Option<Level>);
        let rows: [Row; 8] = [
            (&[], Some(Level::Warning)),
            (&[("warnings", "deny")], Some(Level::Error)),
            (&[("errors", "allow")], Some(Level::Warning)),
            (&[("misspelt-key", "allow"), ("warnings", "deny")], None),
            (&[("misspelt-key", "note"), ("warnings", "deny")], Some(Level::Note)),
            (&[("misspelt-key", "error"), ("all", "allow")], Some(Level::Error)),
            (&[("misspelt-key", "allow"), ("misspelt-key", "warn")], Some(Level::Warning)),
            (&[("all", "note"), ("warnings", "error")], Some(Level::Error)),
        ];
        let found = Diagnostic::new("misspelt-key", Level::Warning, Span::default(), "");
        for (decisions, expected) in rows {
            let mut levels = Levels::default();
            for (subject, choice) in decisions {
                levels.decide(subject, Choice::parse(choice).expect("is one")).expect("is a rule");
            }
            assert_eq!(levels.level_of(&found), expected, "{decisions:?}");
        }
        assert_eq!(
            Levels::default().decide("mispelt-key", Choice::Allow),
            Err("there is no rule `mispelt-key`; did you mean `misspelt-key`?".to_owned())
        );
    }
}
