//! `check --add-allow`: suppressions for the findings that are there.
//!
//! In a recipe they are in the comment before a step, in YAML at the end of the line. Other findings are suppressed by
//! `[[suppress]]` in `zrecipe.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cli::files::replace;
use crate::cli::{Error, Session, say};
use zrecipe_language::compile::{Compilation, structure};
use zrecipe_language::diagnostic::{Diagnostic, counted};
use zrecipe_language::document::DocumentKind;
use zrecipe_language::source::Source;
use zrecipe_language::syntax::{Kind, NodeRef, Notation};
use zrecipe_language::value::Value;
use zrecipe_project::batch::Checked;
use zrecipe_project::files::Input;
use zrecipe_project::paths::plain;
use zrecipe_project::settings::FILE_NAME;

/// Suppressions to write, and what became of those that are written.
#[derive(Default)]
pub(super) struct Suppressor {
    /// Entries of the settings: path, pointer and rule.
    entries: BTreeSet<(String, String, String)>,
    added: usize,
    files: usize,
    /// Number of findings that cannot be suppressed.
    left: usize,
}

impl Suppressor {
    /// Suppresses the findings of a file.
    ///
    /// # Errors
    /// The file cannot be written; the message is complete.
    pub(super) fn enter(&mut self, input: &Input, checked: &Checked, findings: &[Diagnostic]) -> Result<(), String> {
        if findings.is_empty() {
            return Ok(());
        }
        let compilation = structure(Arc::clone(&checked.before), Some(checked.kind));
        let Some(path) = input.path.as_ref().filter(|_| !compilation.tree.is_broken()) else {
            // Nothing in a broken text has a certain place.
            self.left += findings.len();
            return Ok(());
        };
        let mut comments: BTreeMap<Place, BTreeSet<&str>> = BTreeMap::new();
        for finding in findings {
            match place(&compilation, finding) {
                Some(place) => _ = comments.entry(place).or_default().insert(finding.rule),
                None => {
                    let pointer = pointer(compilation.tree.root(), finding.primary.span.start);
                    self.entries.insert((input.name.clone(), pointer, finding.rule.to_owned()));
                }
            }
        }
        if comments.is_empty() {
            return Ok(());
        }
        let before = checked.before.text();
        let after = commented(before, &comments);
        let means = |text: &str| structure(Arc::new(Source::from_text(&*input.name, text)), Some(checked.kind));
        if means(&after).tree.root().to_value() != compilation.tree.root().to_value() {
            self.left += comments.len();
            return Ok(());
        }
        replace(path, before, &after)?;
        self.added += comments.values().map(BTreeSet::len).sum::<usize>();
        self.files += 1;
        Ok(())
    }

    /// Writes the entries of the settings, and says what was done.
    ///
    /// # Errors
    /// The settings cannot be written.
    pub(super) fn close(self, session: &Session) -> Result<(), Error> {
        if !self.entries.is_empty() {
            let path = session.settings.path().unwrap_or_else(|| PathBuf::from(FILE_NAME));
            let base = plain(&path).parent().map(Path::to_owned).unwrap_or_default();
            let before = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
                Err(error) => return Err(Error::new(format!("cannot read {}: {error}", path.display()))),
            };
            let mut after = before.clone();
            if !after.is_empty() && !after.ends_with('\n') {
                after.push('\n');
            }
            for (name, pointer, rule) in &self.entries {
                let whole = plain(Path::new(name));
                let inner = whole.strip_prefix(&base).unwrap_or(&whole).to_string_lossy().into_owned();
                let text = |text: &str| Value::from(text).to_json();
                let pointer = if pointer.is_empty() { String::new() } else { format!("pointer = {}\n", text(pointer)) };
                after.push_str(&format!("\n[[suppress]]\npath = {}\n{pointer}rule = {}\n", text(&inner), text(rule)));
            }
            if path.exists() {
                replace(&path, &before, &after).map_err(Error::new)?;
            } else {
                std::fs::write(&path, &after)
                    .map_err(|error| Error::new(format!("cannot write {}: {error}", path.display())))?;
            }
            say(&format!("added {} to {}", counted(self.entries.len(), "suppression"), path.display()));
        }
        if self.added > 0 {
            say(&format!("added {} to {}", counted(self.added, "suppression"), counted(self.files, "file")));
        }
        if self.left > 0 {
            say(&format!(
                "{} cannot be suppressed: the file is broken or is standard input",
                counted(self.left, "finding")
            ));
        }
        Ok(())
    }
}

/// Where a comment is added.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Before the step with the key at these bytes.
    Step(u32, u32),
    /// At the end of the line that ends here.
    LineEnd(usize),
}

fn place(compilation: &Compilation, finding: &Diagnostic) -> Option<Place> {
    let (recipe, at) = (&compilation.recipe, finding.primary.span.start);
    match Notation::of(compilation.source.name()) {
        Notation::Json if compilation.document.kind() == DocumentKind::Recipe => {
            let step = recipe
                .steps()
                .iter()
                .find(|step| recipe.span(step.key).start <= at && at < recipe.span(step.value).end)?;
            let key = recipe.span(step.key);
            Some(Place::Step(key.start, key.end))
        }
        Notation::Yaml => {
            let text = compilation.source.text();
            let at = at as usize;
            let end = text[at..].find('\n').map_or(text.len(), |length| at + length);
            Some(Place::LineEnd(text[..end].trim_end_matches('\r').len()))
        }
        _ => None,
    }
}

fn commented(text: &str, comments: &BTreeMap<Place, BTreeSet<&str>>) -> String {
    let mut insertions: Vec<(usize, String)> = comments
        .iter()
        .map(|(place, rules)| {
            let rules = rules.iter().copied().collect::<Vec<_>>().join(", ");
            match *place {
                Place::LineEnd(end) => (end, format!("  # zrecipe: allow({rules})")),
                Place::Step(start, end) => {
                    let (start, end) = (start as usize, end as usize);
                    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
                    let indent = &text[line..start];
                    // On a line of its own if the step begins one.
                    let separator =
                        if indent.trim().is_empty() && line > 0 { format!(",\n{indent}") } else { ", ".to_owned() };
                    (start, format!("{}: [\"zrecipe: allow({rules})\"]{separator}", &text[start..end]))
                }
            }
        })
        .collect();
    insertions.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    let mut text = text.to_owned();
    insertions.into_iter().for_each(|(at, insertion)| text.insert_str(at, &insertion));
    text
}

/// The JSON pointer to the innermost value that begins at or before a byte and holds it.
fn pointer(root: NodeRef<'_>, at: u32) -> String {
    let mut pointer = String::new();
    let mut node = root;
    loop {
        let next = match node.kind() {
            Kind::Object => node
                .members()
                .find(|member| member.key.span().start <= at && at < member.value.span().end)
                .map(|member| (member.key.text().replace('~', "~0").replace('/', "~1"), member.value)),
            Kind::Array => node
                .items()
                .enumerate()
                .find(|(_, item)| item.span().start <= at && at < item.span().end)
                .map(|(index, item)| (index.to_string(), item)),
            _ => None,
        };
        let Some((part, value)) = next else { return pointer };
        pointer.push('/');
        pointer.push_str(&part);
        node = value;
    }
}
