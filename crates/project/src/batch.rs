//! Many documents checked together: each by itself, and again those that the others contradict.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::files::{Input, Stamp};
use crate::judge::{CheckOptions, Used};
use crate::known::Found;
use crate::paths::plain;
use crate::project::{Project, each_in_order, is_damaged, is_meant, is_reported};
use zrecipe_language::compile::{Compilation, recipe_facts};
use zrecipe_language::diagnostic::Diagnostic;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::evidence::{Facts, Set};
use zrecipe_language::fix::{Fixed, Undone, Which};
use zrecipe_language::guard::{Panic, guarded};
use zrecipe_language::lint;
use zrecipe_language::source::Source;

/// What documents are checked against, and which fixes are applied to them.
#[derive(Clone, Copy)]
pub struct Batch<'b> {
    /// The project.
    pub project: &'b Project,
    /// What the front end adds to it.
    pub request: CheckOptions<'b>,
    /// Fixes to apply.
    pub fixes: Option<Which>,
}

/// A checked document.
#[derive(Clone)]
pub struct Checked {
    /// The text as it was.
    pub before: Arc<Source>,
    /// The text with fixes.
    pub after: Arc<Source>,
    /// The same without secrets, for reports.
    pub shown: Arc<Source>,
    /// Its kind.
    pub kind: DocumentKind,
    /// Whether it is a recipe or a configuration, and not a file of another program.
    pub is_ours: bool,
    /// Whether it is so damaged that it does not show what it is.
    pub is_damaged: bool,
    /// Whether it is to be checked if somebody names it.
    pub is_meant: bool,
    /// Its findings.
    pub diagnostics: Vec<Diagnostic>,
    /// Suppressed and allowed findings.
    pub silenced: Vec<Diagnostic>,
    /// Number of further findings that were left out.
    pub dropped: usize,
    /// Number of fixes that were applied.
    pub applied: usize,
    /// Fixes that were not applied.
    pub undone: Vec<Undone>,
    /// Whether fixing it again would change more.
    pub unfinished: bool,
    /// The parameters that it uses, if any are given.
    pub used: Used,
}

/// What is known of a document by itself, without the others.
#[derive(Clone)]
struct Alone {
    facts: Facts,
    checked: Arc<Checked>,
    /// If it is to be remembered.
    stamp: Option<Stamp>,
}

/// Results of an earlier batch: a file that has not changed since is not read again.
#[derive(Default)]
pub struct Memory(HashMap<PathBuf, Alone>);

impl Batch<'_> {
    /// Checks documents, and hands the results on in their order; an error is why a document cannot be read, in words.
    /// With a memory, unchanged files are taken from it, and their results kept in it.
    ///
    /// # Errors
    /// The first that `take` returns; nothing is taken after it.
    pub fn check<E>(
        &self,
        inputs: &[Input],
        memory: &mut Option<Memory>,
        mut take: impl FnMut(&Input, Result<&Checked, String>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (set, alone) = self.each_alone(inputs, memory.as_ref());
        let set = Some(&set);
        let inputs: Vec<(&Input, Option<Alone>)> = inputs.iter().zip(alone).collect();
        // A damaged file beside recipes is one; elsewhere it may belong to any program.
        let directory = |input: &Input| input.path.as_ref()?.parent().map(Path::to_owned);
        let is_recipe = |alone: &Alone| !alone.facts.steps.is_empty();
        let of_recipes = inputs.iter().filter(|(_, alone)| alone.as_ref().is_some_and(is_recipe));
        let of_recipes: HashSet<PathBuf> = of_recipes.filter_map(|(input, _)| directory(input)).collect();
        let is_beside = |input: &Input| directory(input).is_some_and(|directory| of_recipes.contains(&directory));
        each_in_order(
            &inputs,
            |(input, alone)| match alone {
                Some(alone) if !set.is_some_and(|set| set.contradicts(&alone.facts)) => Ok(Arc::clone(&alone.checked)),
                // A fault of zrecipe in one file is a finding there, and the others have theirs.
                _ => guarded(|| self.one(input, set).map(|(before, fixed)| Arc::new(self.checked(before, fixed))))
                    .unwrap_or_else(|panic| Ok(Arc::new(Checked::faulty(input, &panic)))),
            },
            |(input, _), result| match result {
                Ok(checked) if checked.is_damaged && !checked.is_ours && is_beside(input) => {
                    take(input, Ok(&Checked { is_ours: true, ..Checked::clone(&checked) }))
                }
                result => take(input, result.as_deref().map_err(Clone::clone)),
            },
        )?;
        if let Some(memory) = memory {
            let kept = inputs.into_iter().filter_map(|(input, alone)| Some((input.path.clone()?, alone?)));
            memory.0 = kept.collect();
        }
        Ok(())
    }

    /// Checks every document by itself, and counts what they have in common. What a document has come to is kept, as
    /// long as there is room: then most need no second check.
    fn each_alone(&self, inputs: &[Input], memory: Option<&Memory>) -> (Set, Vec<Option<Alone>>) {
        /// Bytes of facts, and of the texts of what has findings.
        const MAX_KEPT: usize = 32 << 20;
        // What is fixed is not kept.
        let room = AtomicUsize::new(if self.fixes.is_some() { 0 } else { MAX_KEPT });
        let work = |input: &Input| {
            // Standard input can be read only once.
            let path = input.path.as_ref()?;
            let stamp = memory.map(|_| Stamp::of(path));
            let known = memory.and_then(|memory| memory.0.get(path)).filter(|known| known.stamp == stamp);
            if let Some(known) = known {
                return Some((known.facts.clone(), Some((Arc::clone(&known.checked), stamp))));
            }
            if room.load(Ordering::Relaxed) == 0 {
                let source = input.read(self.project.settings.max_bytes()).ok()?;
                return Some((recipe_facts(Arc::new(source)).unwrap_or_default(), None));
            }
            let (before, fixed) = self.one(input, None).ok()?;
            let facts = fixed.compilation.facts();
            let checked = self.checked(before, fixed).lighter();
            let size = checked.before.text().len() + size_of_facts(&facts);
            let _ = room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |room| Some(room.saturating_sub(size)));
            Some((facts, Some((Arc::new(checked), stamp))))
        };
        // A panic comes once more when the file is checked, and is told then.
        let work = |input: &Input| guarded(|| work(input)).ok().flatten();
        let mut set = Set::default();
        let mut alone = Vec::with_capacity(inputs.len());
        let Ok(()) = each_in_order(inputs, work, |_, found| {
            alone.push(found.and_then(|(mut facts, checked)| {
                set.add(&facts);
                facts.forget_names();
                checked.map(|(checked, stamp)| Alone { facts, checked, stamp })
            }));
            Ok::<(), Infallible>(())
        });
        // What is checked alone is compared with the recipes of the project, too.
        let is_recipe = |alone: &Option<Alone>| alone.as_ref().is_none_or(|alone| !alone.facts.steps.is_empty());
        if alone.iter().any(is_recipe) {
            let checked: HashSet<PathBuf> =
                inputs.iter().filter_map(|input| input.path.as_deref().map(plain)).collect();
            self.project.evidence(&checked, |facts| set.add(&facts));
        }
        (set, alone)
    }

    /// The text as it was, and what became of it.
    fn one(&self, input: &Input, set: Option<&Set>) -> Result<(Arc<Source>, Fixed), String> {
        let source = Arc::new(input.read(self.project.settings.max_bytes())?);
        let path = input.path.as_deref().unwrap_or(Path::new(&input.name));
        let request = CheckOptions { path: Some(path), set, ..self.request };
        let fixed = match self.fixes {
            Some(which) => self.project.fix(Arc::clone(&source), which, request),
            None => {
                let compilation = self.project.judge(Arc::clone(&source), request);
                Fixed { compilation, applied: 0, undone: Vec::new(), unfinished: false }
            }
        };
        Ok((source, fixed))
    }

    fn checked(&self, before: Arc<Source>, fixed: Fixed) -> Checked {
        let Fixed { compilation, applied, undone, unfinished } = fixed;
        let (kind, is_ours) = (compilation.document.kind(), is_reported(&compilation));
        let (is_damaged, is_meant) = (is_damaged(&compilation), is_meant(&compilation));
        let mut used = Used::default();
        if self.request.parameters.is_some() {
            used.add(&compilation);
        }
        let Compilation { reading, shown, diagnostics, silenced, dropped } = compilation;
        let after = Arc::clone(&reading.source);
        Checked {
            before,
            after,
            shown,
            kind,
            is_ours,
            is_damaged,
            is_meant,
            diagnostics,
            silenced,
            dropped,
            applied,
            undone,
            unfinished,
            used,
        }
    }
}

/// About how many bytes facts take without their names.
fn size_of_facts(facts: &Facts) -> usize {
    size_of_val(&*facts.steps)
        + size_of_val(&*facts.outputs)
        + size_of_val(&*facts.parameters)
        + size_of_val(&*facts.own_keys)
        + size_of_val(&*facts.placeholders)
}

impl Checked {
    /// A file of which the check panicked.
    fn faulty(input: &Input, panic: &Panic) -> Self {
        let name = Arc::new(Source::from_text(&input.name, ""));
        Self {
            before: Arc::clone(&name),
            after: Arc::clone(&name),
            shown: name,
            kind: DocumentKind::Recipe,
            is_ours: true,
            is_damaged: false,
            is_meant: true,
            diagnostics: vec![lint::internal(panic)],
            silenced: Vec::new(),
            dropped: 0,
            applied: 0,
            undone: Vec::new(),
            unfinished: false,
            used: Used::default(),
        }
    }

    /// The findings under the name of the file.
    pub fn found<'f>(&'f self, name: &'f str) -> Found<'f> {
        Found { name, diagnostics: &self.diagnostics, silenced: &self.silenced, dropped: self.dropped }
    }

    /// The same without its text, if that is neither to be shown nor written.
    fn lighter(self) -> Self {
        if !self.diagnostics.is_empty() {
            return self;
        }
        let name = Arc::new(Source::from_text(self.before.name(), ""));
        Self { before: Arc::clone(&name), after: Arc::clone(&name), shown: name, ..self }
    }
}
