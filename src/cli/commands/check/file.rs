//! One file of many: what is known of it alone, its fixes, and what becomes of them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Args;
use crate::cli::files::{Input, replace};
use crate::cli::watch::Stamp;
use crate::cli::{Error, Session, Used, print, say};
use zrecipe_language::compile::{Compilation, structure};
use zrecipe_language::diagnostic::{Diagnostic, counted};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::evidence::{Facts, Set};
use zrecipe_language::fix::{Fixed, Undone, Which};
use zrecipe_language::guard::guarded;
use zrecipe_language::source::Source;
use zrecipe_language::value::Object;
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::project::{each_in_order, is_ours};

/// What checking a file has come to.
pub(super) struct Checked {
    /// The text as it was.
    pub(super) before: Arc<Source>,
    /// The text with fixes.
    pub(super) after: Arc<Source>,
    /// The same without secrets, for reports.
    pub(super) shown: Arc<Source>,
    pub(super) kind: DocumentKind,
    /// It is one of ours.
    pub(super) is_ours: bool,
    pub(super) diagnostics: Vec<Diagnostic>,
    pub(super) dropped: usize,
    pub(super) applied: usize,
    pub(super) undone: Vec<Undone>,
    pub(super) unfinished: bool,
    pub(super) used: Used,
}

impl Checked {
    pub(super) fn new(before: Arc<Source>, fixed: Fixed, parameters: Option<&Object>) -> Self {
        let Fixed { compilation, applied, undone, unfinished } = fixed;
        let (kind, is_ours) = (compilation.document.kind(), is_ours(&compilation));
        let mut used = Used::default();
        if parameters.is_some() {
            used.add(&compilation);
        }
        let Compilation { reading, shown, diagnostics, dropped, .. } = compilation;
        let after = Arc::clone(&reading.source);
        Self { before, after, shown, kind, is_ours, diagnostics, dropped, applied, undone, unfinished, used }
    }

    /// The same without its text, if that is neither to be shown nor written.
    pub(super) fn lighter(self) -> Self {
        if !self.diagnostics.is_empty() {
            return self;
        }
        let name = Arc::new(Source::from_text(self.before.name(), ""));
        Self { before: Arc::clone(&name), after: Arc::clone(&name), shown: name, ..self }
    }
}

/// What is known of a file by itself, without the others.
#[derive(Clone)]
pub(super) struct Alone {
    pub(super) facts: Facts,
    pub(super) checked: Arc<Checked>,
    /// If it is to be remembered.
    pub(super) stamp: Option<Stamp>,
}

/// What is known from the time before, of files that have not changed since.
pub(super) type Memory = HashMap<PathBuf, Alone>;

/// Looks at every file by itself, and counts what they have in common. What a file has come to is kept, as long as
/// there is room: then most need no second look.
pub(super) fn look(
    inputs: &[Input],
    args: &Args,
    session: &Session,
    memory: Option<&Memory>,
    parameters: Option<&Object>,
    check: impl Fn(&Input) -> Result<(Arc<Source>, Fixed), String> + Sync,
) -> Result<(Set, Vec<Option<Alone>>), Error> {
    /// Bytes of text.
    const MOST_KEPT: usize = 32 << 20;
    let (several, fixing) = (inputs.len() > 1, args.fixes() || args.diff);
    let facts = |compilation: &Compilation| if several { Facts::of(&compilation.recipe) } else { Facts::default() };
    let room = AtomicUsize::new(if fixing { 0 } else { MOST_KEPT });
    let look = |input: &Input| {
        // Standard input can be read only once.
        let path = input.path.as_ref()?;
        let stamp = memory.map(|_| Stamp::of(path));
        let known = memory.and_then(|memory| memory.get(path)).filter(|known| known.stamp == stamp);
        if let Some(known) = known {
            return Some((known.facts.clone(), Some((Arc::clone(&known.checked), stamp))));
        }
        if room.load(Ordering::Relaxed) == 0 {
            let source = several.then(|| input.read(session.settings.max_bytes()))?.ok()?;
            let compilation = structure(Arc::new(source), None);
            return Some((facts(&compilation), None));
        }
        let (before, fixed) = check(input).ok()?;
        let facts = facts(&fixed.compilation);
        let size = before.text().len();
        let _ = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| Some(room.saturating_sub(size)));
        // Where there is room nothing is fixed.
        Some((facts, Some((Arc::new(Checked::new(before, fixed, parameters).lighter()), stamp))))
    };
    let mut set = Set::default();
    let mut alone = Vec::with_capacity(inputs.len());
    each_in_order(inputs, look, |_, found| {
        alone.push(found.and_then(|(mut facts, checked)| {
            set.add(&mut facts);
            checked.map(|(checked, stamp)| Alone { facts, checked, stamp })
        }));
        Ok::<(), Error>(())
    })?;
    Ok((set, alone))
}

/// The text as it was, and what became of it.
pub(super) fn check(
    input: &Input,
    session: &Session,
    args: &Args,
    request: CheckOptions<'_>,
) -> Result<(Arc<Source>, Fixed), String> {
    let source = Arc::new(input.read(session.settings.max_bytes())?);
    let named = input.path.clone().unwrap_or_else(|| PathBuf::from(&input.name));
    let request = CheckOptions { path: Some(&named), ..request };
    let fixed = if args.fixes() || args.diff {
        let which = if args.unsafe_fixes { Which::All } else { Which::Safe };
        guarded(|| session.fix(Arc::clone(&source), which, request))
            .map_err(|panic| format!("cannot fix {}: internal error{}", input.name, panic.at()))?
    } else {
        let compilation = session.project.judge(Arc::clone(&source), request);
        Fixed { compilation, applied: 0, undone: Vec::new(), unfinished: false }
    };
    Ok((source, fixed))
}

/// Writes a text where it came from; the inner error is why a file cannot be written.
pub(super) fn write_back(input: &Input, checked: &Checked) -> Result<Result<(), String>, Error> {
    let after = checked.after.text();
    if !checked.before.undecodable().is_empty() {
        return Ok(Err(format!("cannot fix {}: it is not UTF-8", input.name)));
    }
    match &input.path {
        Some(path) if checked.applied > 0 => Ok(replace(path, checked.before.text(), after)),
        Some(_) => Ok(Ok(())),
        None => print(after).map(Ok),
    }
}

/// How many of a file's fixes that were not applied are named.
const MOST_UNDONE: usize = 10;

/// Says which fixes were not applied, and why.
pub(super) fn say_undone(checked: &Checked) {
    let source = &checked.after;
    for undone in checked.undone.iter().take(MOST_UNDONE) {
        let place = source.place(undone.at);
        say(&format!("{place}: not fixed, because {}: {}", undone.reason, undone.message));
    }
    if let Some(more @ 1..) = checked.undone.len().checked_sub(MOST_UNDONE) {
        say(&format!("{}: {} more not fixed", source.name(), counted(more, "finding")));
    }
    if checked.unfinished {
        say(&format!("{}: there is more to fix; run it again", source.name()));
    }
}
