//! Fixes applied to a text: which of them go together, which are undone again, and what is left to say afterwards.
//!
//! Invariants: the edits of a fix are applied together or not at all; a byte outside the edits stays as it is; a
//! fix stays only if its finding is gone afterwards and nothing is worse than before (see [`Reason`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::compile::{Compilation, Options, compile};
use crate::diagnostic::{Diagnostic, Edit, Fix};
use crate::source::Source;
use crate::syntax::{Problem, ProblemKind};

/// Which fixes are applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those after which a valid recipe does the same.
    Safe,
    /// The others as well.
    All,
}

/// A text after its fixes.
#[derive(Debug)]
pub struct Fixed {
    /// The text as it is now, and what there is to say about it.
    pub compilation: Compilation,
    /// How many fixes were applied.
    pub applied: usize,
    /// Fixes that were undone, in the order of trying them.
    pub undone: Vec<Undone>,
    /// Whether there is more to fix: [`MOST_ROUNDS`] did not suffice.
    pub unfinished: bool,
}

/// A fix that was undone, or not even tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The rule of its finding.
    pub rule: &'static str,
    /// The finding.
    pub message: String,
    /// Where in the text as it is now.
    pub at: u32,
    /// Why.
    pub reason: Reason,
}

/// Why a fix is undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There would be more syntax errors than before.
    SyntaxErrors,
    /// A later definition would replace one that counts now.
    Replaces,
    /// The dispatcher takes the recipe now and would refuse it then.
    Refused,
    /// The finding would still be there.
    NotEnded,
    /// A string in its line or before it is not closed, so what is text and what is not can only be guessed.
    OpenString,
    /// Too many fixes of the text have had to be undone to try this one.
    NotTried,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Reason::SyntaxErrors => "it would lead to more syntax errors",
            Reason::Replaces => "it would define a key a second time",
            Reason::Refused => "the dispatcher would refuse the recipe",
            Reason::NotEnded => "the finding would not go away",
            Reason::OpenString => "a string in its line or before it is not closed",
            Reason::NotTried => "too many others had to be undone",
        })
    }
}

impl Undone {
    fn new(found: &Diagnostic, reason: Reason) -> Self {
        Self { rule: found.rule, message: found.message.clone(), at: found.primary.span.start, reason }
    }
}

/// How often a text is checked again for what a fix has brought to light.
pub const MOST_ROUNDS: usize = 10;
/// How often a text is compiled in one round to find out which of its fixes are to be undone.
const MOST_TRIES: usize = 200;

/// Applies the fixes of a text until there are none left. Text that is not UTF-8 is left alone: what stands in its
/// place could not be written back.
pub fn fix(source: Arc<Source>, options: Options<'_>, which: Which) -> Fixed {
    let compilation = compile(source, options);
    let mut fixed = Fixed { compilation, applied: 0, undone: Vec::new(), unfinished: false };
    if !fixed.compilation.source.undecodable().is_empty() {
        return fixed;
    }
    for _ in 0..MOST_ROUNDS {
        let doubtful = doubtful(&fixed.compilation, which, &fixed.undone);
        fixed.undone.extend(doubtful);
        let chosen = choose(&fixed.compilation, which, &fixed.undone);
        if chosen.is_empty() {
            return fixed;
        }
        let mut round = Round {
            before: &fixed.compilation,
            options,
            tries: MOST_TRIES,
            kept: Vec::new(),
            after: None,
            undone: Vec::new(),
        };
        round.settle(&chosen);
        let Round { kept, after, undone, .. } = round;
        let places = Places::new(&sorted(&kept));
        fixed.applied += kept.len();
        fixed.undone.extend(undone);
        for undone in &mut fixed.undone {
            undone.at = places.start(undone.at);
        }
        // What was undone is not chosen again, so the next round has fewer to choose from.
        if let Some(after) = after {
            fixed.compilation = after;
        }
    }
    fixed.unfinished = !choose(&fixed.compilation, which, &fixed.undone).is_empty();
    fixed
}

/// The text with edits applied; nothing if they overlap, lie outside the text or within a character.
pub fn apply<'e>(text: &str, edits: impl IntoIterator<Item = &'e Edit>) -> Option<String> {
    let mut edits: Vec<&Edit> = edits.into_iter().collect();
    edits.sort_by_key(|edit| edit.span);
    let mut fixed = String::with_capacity(text.len());
    let mut at = 0;
    for edit in edits {
        text.get(edit.span.range())?;
        fixed.push_str(text.get(at..edit.span.start as usize)?);
        fixed.push_str(&edit.replacement);
        at = edit.span.end as usize;
    }
    fixed.push_str(text.get(at..)?);
    Some(fixed)
}

/// The findings with a fix that is asked for and has not been undone.
fn fixable<'c>(
    compilation: &'c Compilation,
    which: Which,
    undone: &'c [Undone],
) -> impl Iterator<Item = (&'c Diagnostic, &'c Fix)> {
    let is_undone = |found: &Diagnostic| {
        undone.iter().any(|undone| undone.at == found.primary.span.start && undone.message == found.message)
    };
    let findings = compilation.diagnostics.iter().filter_map(|found| Some((found, found.fix.as_ref()?)));
    findings.filter(move |(found, fix)| !fix.edits.is_empty() && (fix.safe || which == Which::All) && !is_undone(found))
}

/// The findings behind the beginning of a line with a string that is not closed: from there on texts and what stands
/// between them may have changed places.
fn doubtful(compilation: &Compilation, which: Which, undone: &[Undone]) -> Vec<Undone> {
    let source = &compilation.source;
    let is_open = |problem: &&Problem| match problem.kind {
        ProblemKind::UnterminatedString => true,
        ProblemKind::SingleQuotes => problem.span.range().len() < 2 || !source.slice(problem.span).ends_with('\''),
        _ => false,
    };
    let Some(open) = compilation.tree.problems().iter().find(is_open) else { return Vec::new() };
    let from = source.text()[..open.span.start as usize].rfind('\n').map_or(0, |end| end + 1);
    fixable(compilation, which, undone)
        .filter(|(_, fix)| fix.edits.iter().any(|edit| edit.span.end as usize >= from))
        .map(|(found, _)| Undone::new(found, Reason::OpenString))
        .collect()
}

/// The findings whose fixes can be applied together, in order of place: of two that touch the same bytes the first.
fn choose<'c>(compilation: &'c Compilation, which: Which, undone: &'c [Undone]) -> Vec<&'c Diagnostic> {
    let text = compilation.source.text();
    // Start and end of every edit that is taken.
    let mut taken: BTreeMap<u32, u32> = BTreeMap::new();
    let mut chosen = Vec::new();
    for (found, fix) in fixable(compilation, which, undone) {
        let is_free = |edit: &Edit| {
            let before = taken.range(..=edit.span.start).next_back();
            let after = taken.range(edit.span.start + 1..).next();
            before.is_none_or(|(&start, &end)| start < edit.span.start && end <= edit.span.start)
                && after.is_none_or(|(&start, _)| start >= edit.span.end)
        };
        if is_sound(text, fix) && fix.edits.iter().all(is_free) {
            taken.extend(fix.edits.iter().map(|edit| (edit.span.start, edit.span.end)));
            chosen.push(found);
        }
    }
    chosen
}

/// Whether the edits of a fix lie in the text, and apart from each other.
fn is_sound(text: &str, fix: &Fix) -> bool {
    let mut edits: Vec<&Edit> = fix.edits.iter().collect();
    edits.sort_by_key(|edit| edit.span);
    edits.iter().all(|edit| text.get(edit.span.range()).is_some())
        && edits.windows(2).all(|pair| pair[0].span.end <= pair[1].span.start)
}

/// The edits of several findings, in order of place.
fn sorted<'d>(found: &[&'d Diagnostic]) -> Vec<&'d Edit> {
    let mut edits: Vec<&Edit> =
        found.iter().filter_map(|found| found.fix.as_ref()).flat_map(|fix| &fix.edits).collect();
    edits.sort_by_key(|edit| edit.span);
    edits
}

/// One round: what is applied to the same text.
struct Round<'c, 'o> {
    before: &'c Compilation,
    options: Options<'o>,
    /// How often the text may still be compiled.
    tries: usize,
    kept: Vec<&'c Diagnostic>,
    /// The text with all that is kept.
    after: Option<Compilation>,
    undone: Vec<Undone>,
}

impl<'c> Round<'c, '_> {
    /// Keeps what does no harm: all of them, or what is left of each half.
    fn settle(&mut self, candidates: &[&'c Diagnostic]) {
        if candidates.is_empty() {
            return;
        }
        let reason = if self.tries == 0 { Some(Reason::NotTried) } else { self.attempt(candidates) };
        match (reason, candidates) {
            (None, _) => self.kept.extend(candidates),
            (Some(Reason::NotTried), _) | (Some(_), [_]) => {
                let reason = reason.unwrap_or(Reason::NotTried);
                self.undone.extend(candidates.iter().map(|found| Undone::new(found, reason)));
            }
            (Some(_), _) => {
                let (first, second) = candidates.split_at(candidates.len() / 2);
                self.settle(first);
                self.settle(second);
            }
        }
    }

    /// Applies what is kept and the candidates; says what would be worse than before.
    fn attempt(&mut self, candidates: &[&'c Diagnostic]) -> Option<Reason> {
        self.tries -= 1;
        let together: Vec<&Diagnostic> = self.kept.iter().chain(candidates).copied().collect();
        let edits = sorted(&together);
        let source = &self.before.source;
        let Some(text) = apply(source.text(), edits.iter().copied()) else { return Some(Reason::NotEnded) };
        let after = compile(Arc::new(Source::from_text(source.name(), text)), self.options);
        let places = Places::new(&edits);
        let reason = if syntax_errors(&after) > syntax_errors(self.before) {
            Some(Reason::SyntaxErrors)
        } else if replaced(&after) > replaced(self.before) {
            Some(Reason::Replaces)
        } else if after.is_refused() && !self.before.is_refused() {
            Some(Reason::Refused)
        } else if !self.all_ended(&together, &after, &places) {
            Some(Reason::NotEnded)
        } else {
            None
        };
        if reason.is_none() {
            self.after = Some(after);
        }
        reason
    }

    /// Whether the findings are gone: none like it stands where it stood or right behind what was inserted there, or
    /// there are fewer of its like by as many as were to end.
    fn all_ended(&self, ended: &[&Diagnostic], after: &Compilation, places: &Places) -> bool {
        let stays = |found: &&&Diagnostic| {
            let (start, end) = (places.start(found.primary.span.start), places.end(found.primary.span.end));
            let from = after.diagnostics.partition_point(|other| other.primary.span.start < start);
            let near = after.diagnostics[from..].iter().take_while(|other| other.primary.span.start <= end);
            near.into_iter().any(|other| other.rule == found.rule && other.message == found.message)
        };
        let mut wanted: HashMap<(&str, &str), usize> = HashMap::new();
        for found in ended.iter().filter(stays) {
            wanted.insert((found.rule, &found.message), 0);
        }
        if wanted.is_empty() {
            return true;
        }
        let count = |all: &mut dyn Iterator<Item = &Diagnostic>| {
            let mut counts = HashMap::new();
            for found in all.filter(|found| wanted.contains_key(&(found.rule, found.message.as_str()))) {
                *counts.entry((found.rule, found.message.clone())).or_insert(0usize) += 1;
            }
            counts
        };
        let now = count(&mut after.diagnostics.iter());
        let before = count(&mut self.before.diagnostics.iter());
        let ended = count(&mut ended.iter().copied());
        ended.iter().all(|(like, &ended)| {
            let of = |counts: &HashMap<_, usize>| counts.get(like).copied().unwrap_or(0);
            of(&now) + ended <= of(&before)
        })
    }
}

fn syntax_errors(compilation: &Compilation) -> usize {
    compilation.tree.mistakes().count()
}

/// How many definitions a later one replaces.
fn replaced(compilation: &Compilation) -> usize {
    let recipe = &compilation.recipe;
    recipe.shadowed().iter().filter(|member| !member.comment).count()
        + recipe.repeated().iter().filter(|repeated| !repeated.comment).count()
}

/// Where places of a text are after its edits.
struct Places {
    /// Start and end of every edit in the old text and in the new one, in order.
    edits: Vec<([u32; 2], [u32; 2])>,
}

impl Places {
    fn new(edits: &[&Edit]) -> Self {
        let mut grown = 0i64;
        let shift = |at: u32, by: i64| u32::try_from(i64::from(at) + by).unwrap_or(u32::MAX);
        let place = |edit: &&Edit| {
            let start = shift(edit.span.start, grown);
            let end = shift(start, edit.replacement.len() as i64);
            grown += i64::from(end - start) - i64::from(edit.span.end - edit.span.start);
            ([edit.span.start, edit.span.end], [start, end])
        };
        Self { edits: edits.iter().map(place).collect() }
    }

    /// Where what begins at `at` begins afterwards; what is inserted there belongs to it.
    fn start(&self, at: u32) -> u32 {
        // Edits that begin before it.
        match self.edits[..self.edits.partition_point(|(old, _)| old[0] < at)].last() {
            None => at,
            Some((old, new)) if old[1] <= at => new[1] + (at - old[1]),
            Some((_, new)) => new[0],
        }
    }

    /// Where what ends at `at` ends afterwards; what is inserted there belongs to it.
    fn end(&self, at: u32) -> u32 {
        let edits = &self.edits[..self.edits.partition_point(|(old, _)| old[0] <= at)];
        match edits.last() {
            None => at,
            Some((old, new)) if old[1] <= at => new[1] + (at - old[1]),
            // It only begins where this ends.
            Some((old, new)) if old[0] == at => new[0],
            Some((_, new)) => new[1],
        }
    }
}
