//! What becomes of findings: known ones are left out, others are counted or written down.

use std::collections::BTreeMap;

use super::Args;
use crate::cli::{Error, Session};
use zrecipe_language::baseline::Baseline;
use zrecipe_language::diagnostic::Diagnostic;
use zrecipe_project::known::Known;

/// The known findings: of the baseline that is named, or that the settings name.
pub(super) fn read_baseline(args: &Args, session: &Session) -> Result<Known, Error> {
    match (&args.write_baseline, &args.baseline, &session.settings.baseline) {
        (Some(path), ..) => Ok(Known::beside(path)),
        (None, Some(path), _) | (None, None, Some(path)) => Ok(Known::read(path)?),
        (None, None, None) => Ok(Known::default()),
    }
}

/// What becomes of findings.
#[derive(Default)]
pub(super) struct Ledger {
    /// Those of the baseline that have not been met.
    pub(super) known: Known,
    /// How many of the baseline have been met.
    pub(super) taken: usize,
    /// How many of the baseline have not been met in files that were looked at.
    pub(super) left: usize,
    /// Those that are written down instead of being shown.
    pub(super) written: Baseline,
    /// Whether all are.
    pub(super) writes: bool,
    /// Those that are shown.
    pub(super) statistics: Statistics,
}

impl Ledger {
    /// Enters the findings of a file; gives those that are to be shown.
    pub(super) fn enter(&mut self, name: &str, diagnostics: &[Diagnostic]) -> Vec<Diagnostic> {
        let mut left = diagnostics.to_vec();
        self.taken += self.known.take(name, &mut left).len();
        let file = self.known.key(name);
        self.left += self.known.baseline.count_of(&file);
        if self.writes {
            self.written.add(&file, &std::mem::take(&mut left));
        }
        self.statistics.add(&left);
        left
    }
}

/// How many findings of each rule there are.
#[derive(Default)]
pub(super) struct Statistics {
    /// Rule: all, and those with a fix.
    counts: BTreeMap<&'static str, (usize, usize)>,
}

impl Statistics {
    pub(super) fn add(&mut self, findings: &[Diagnostic]) {
        for finding in findings {
            let (all, fixable) = self.counts.entry(finding.rule).or_default();
            *all += 1;
            *fixable += usize::from(finding.fix.is_some());
        }
    }

    /// The most frequent first.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_by_key(|&(rule, &(all, _))| (std::cmp::Reverse(all), *rule));
        let line = |(rule, &(all, fixable)): (&&str, &(usize, usize))| match fixable {
            0 => format!("{all:>6}  {rule}"),
            _ if fixable == all => format!("{all:>6}  {rule:<24} fixable"),
            _ => format!("{all:>6}  {rule:<24} {fixable} fixable"),
        };
        counts.into_iter().map(line).collect()
    }
}
