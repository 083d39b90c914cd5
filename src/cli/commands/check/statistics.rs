//! `check --statistics`: how many findings of each rule there are.

use std::collections::BTreeMap;

use zrecipe_language::diagnostic::Diagnostic;

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
