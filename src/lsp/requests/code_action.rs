//! `textDocument/codeAction`: fixes, suppressions, missing steps, and values that become parameters.

use std::sync::Arc;

use gen_lsp_types as lsp;

use crate::compile::Options;
use crate::diagnostic::{Diagnostic, Edit};
use crate::document::{DocumentKind, is_pattern};
use crate::fix::{Which, fix};
use crate::lsp::session::{Client, Error, Session, View, new_file};
use crate::recipe::Step;
use crate::settings;
use crate::source::Span;
use crate::syntax::{Kind, NodeRef, Notation};
use crate::value::write_string;

/// The request.
pub use gen_lsp_types::CodeActionRequest as Method;

/// All safe fixes at once; editors can do that on saving.
const FIX_ALL: &str = "source.fixAll.zrecipe";

/// What is offered.
pub fn offer(offered: &mut lsp::ServerCapabilities, _client: &Client) {
    offered.code_action_provider = Some(lsp::CodeActionProvider::CodeActionOptions(lsp::CodeActionOptions {
        code_action_kinds: Some(vec![
            lsp::CodeActionKind::QuickFix,
            lsp::CodeActionKind::RefactorExtract,
            lsp::CodeActionKind::Custom(FIX_ALL.into()),
        ]),
        ..Default::default()
    }));
}

/// The answer.
///
/// # Errors
/// See [`Session::view`].
pub fn run(
    session: &mut Session,
    params: lsp::CodeActionParams,
) -> Result<Option<Vec<lsp::CodeActionResponse>>, Error> {
    let view = session.view(&params.text_document.uri)?;
    let asked = view.span(params.range);
    let only: Option<Vec<String>> = params.context.only.map(|kinds| {
        let text = |kind| serde_json::to_value(kind).ok().and_then(|kind| kind.as_str().map(str::to_owned));
        kinds.into_iter().filter_map(text).collect()
    });
    // `source` asks for `source.fixAll.zrecipe` as well.
    let wants = |kind: &str| {
        let is_one = |asked: &String| kind == asked || kind.starts_with(&format!("{asked}."));
        only.as_ref().is_none_or(|only| only.iter().any(is_one))
    };
    let mut actions = Vec::new();
    let settings = session.view_of(&view.basis.root.join(settings::FILE_NAME));
    let act = Act { view: &view, settings: settings.as_deref(), client: session.client };
    if wants("quickfix") {
        let here = |found: &&Diagnostic| {
            let span = found.primary.span;
            span.start <= asked.end && asked.start <= span.end
        };
        for found in view.compilation.diagnostics.iter().filter(here) {
            actions.extend(act.fix(found));
            actions.extend(act.missing_step(found));
            actions.extend(act.suppress(found));
        }
    }
    if wants("refactor.extract") {
        actions.extend(act.extract_parameter(asked));
    }
    // Each fix is tried, so that is done for small texts and on demand.
    const SMALL: usize = 256 << 10;
    let is_demanded = only.is_some() || view.source().text().len() <= SMALL;
    if wants(FIX_ALL) && is_demanded {
        actions.extend(act.fix_all());
    }
    Ok(Some(actions.into_iter().map(lsp::CodeActionResponse::CodeAction).collect()))
}

struct Act<'v> {
    view: &'v View,
    /// The settings of the project, if there are some.
    settings: Option<&'v View>,
    client: Client,
}

impl Act<'_> {
    fn action(&self, title: String, kind: lsp::CodeActionKind, edits: &[Edit]) -> lsp::CodeAction {
        let edits = edits.iter().map(|edit| self.view.edit(edit)).collect();
        lsp::CodeAction {
            title,
            kind: Some(kind),
            edit: Some(self.view.workspace_edit(&self.client, edits)),
            ..Default::default()
        }
    }

    fn for_finding(&self, title: String, edits: &[Edit], found: &Diagnostic) -> lsp::CodeAction {
        let diagnostics = Some(vec![self.view.diagnostic(found)]);
        lsp::CodeAction { diagnostics, ..self.action(title, lsp::CodeActionKind::QuickFix, edits) }
    }

    /// The fix of a finding.
    fn fix(&self, found: &Diagnostic) -> Option<lsp::CodeAction> {
        let fix = found.fix.as_ref()?;
        let look = if fix.safe { "" } else { " (look at it)" };
        let action = self.for_finding(format!("{}{look}", fix.title), &fix.edits, found);
        Some(lsp::CodeAction { is_preferred: fix.safe.then_some(true), ..action })
    }

    /// A step with the number that a link names.
    fn missing_step(&self, found: &Diagnostic) -> Option<lsp::CodeAction> {
        let recipe = &self.view.compilation.recipe;
        let is_json = Notation::of(self.view.source().name()) == Notation::Json;
        let id: i64 = self.view.source().slice(found.primary.span).parse().ok().filter(|&id| id > 0)?;
        if found.rule != "unknown-step" || !is_json || recipe.step(id).is_some() {
            return None;
        }
        let last = recipe.steps().last()?;
        let end = recipe.span(last.value).end;
        let indent = self.indent(recipe.span(last.key).start);
        let (line, inner) = match indent {
            Some(indent) => (format!("\n{indent}"), format!("\n{indent}{indent}")),
            None => (" ".to_owned(), " ".to_owned()),
        };
        let step = format!(",{line}\"{id}\": {{{inner}\"service\": \"\",{inner}\"queue\": \"\"{line}}}");
        let edit = Edit { span: Span { start: end, end }, replacement: step };
        Some(self.for_finding(format!("add the missing step {id}"), &[edit], found))
    }

    /// The white space before a place, if nothing else is in its line.
    fn indent(&self, at: u32) -> Option<&str> {
        let before = &self.view.source().text()[..at as usize];
        let line = &before[before.rfind('\n')? + 1..];
        line.trim().is_empty().then_some(line)
    }

    /// A suppression of the finding where the format has a place for one.
    fn suppress(&self, found: &Diagnostic) -> Option<lsp::CodeAction> {
        let (view, at) = (self.view, found.primary.span.start);
        let mark = format!("zrecipe: allow({})", found.rule);
        let edit = match Notation::of(view.source().name()) {
            Notation::Json if view.compilation.document.kind() == DocumentKind::Recipe => {
                let Some(step) = view.step_at(at) else { return self.suppress_in_settings(found) };
                let key = view.compilation.recipe.node(step.key);
                let start = key.span().start;
                let gap = self.indent(start).map_or(" ".to_owned(), |indent| format!("\n{indent}"));
                let replacement = format!("{}: [\"{mark}\"],{gap}", key.raw());
                Edit { span: Span { start, end: start }, replacement }
            }
            Notation::Yaml => {
                let text = view.source().text();
                let rest = &text[at as usize..];
                let end = at as usize + rest.find(['\r', '\n']).unwrap_or(rest.len());
                let is_inside = view
                    .compilation
                    .tree
                    .comments()
                    .iter()
                    .any(|comment| comment.range().contains(&end.saturating_sub(1)));
                let hash = if is_inside { " " } else { "  # " };
                Edit { span: Span::empty(end), replacement: format!("{hash}{mark}") }
            }
            _ => return self.suppress_in_settings(found),
        };
        Some(self.for_finding(format!("allow `{}` here", found.rule), &[edit], found))
    }

    /// A suppression in the settings, for a place where no comment can stand.
    fn suppress_in_settings(&self, found: &Diagnostic) -> Option<lsp::CodeAction> {
        let view = self.view;
        let path = view.path.strip_prefix(&view.basis.root).ok()?.to_str()?;
        // It would be read as a pattern.
        if is_pattern(path) || path == settings::FILE_NAME {
            return None;
        }
        let quoted = |text: &str| {
            let mut out = String::new();
            write_string(&mut out, text);
            out
        };
        let text = self.settings.map_or("", |settings| settings.source().text());
        let gap = match text.len() {
            0 => "",
            _ if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        let (path, pointer) = (quoted(path), quoted(&pointer(view, found.primary.span)));
        let replacement =
            format!("{gap}[[suppress]]\npath = {path}\npointer = {pointer}\nrule = {}\n", quoted(found.rule));
        let edit = match self.settings {
            Some(settings) => {
                let edit = settings.edit(&Edit { span: Span::empty(text.len()), replacement });
                settings.workspace_edit(&self.client, vec![edit])
            }
            None if self.client.makes_files && view.is_file() => {
                new_file(&view.basis.root.join(settings::FILE_NAME), replacement)
            }
            None => return None,
        };
        Some(lsp::CodeAction {
            edit: Some(edit),
            ..self.for_finding(format!("allow `{}` here, in {}", found.rule, settings::FILE_NAME), &[], found)
        })
    }

    /// A parameter in place of the value at the cursor.
    fn extract_parameter(&self, asked: Span) -> Option<lsp::CodeAction> {
        let view = self.view;
        if view.compilation.document.kind() != DocumentKind::Recipe {
            return None;
        }
        let step: &Step = view.step_at(asked.start)?;
        let parts = [step.parameters, step.job_parameters];
        let node = view.node_at(asked.start);
        let part = parts.into_iter().flatten().find(|part| view.compilation.tree.node(*part).holds(node.id()))?;
        let name = key_of(view.compilation.tree.node(part), node)?;
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !is_name || node.has_braces() {
            return None;
        }
        let replacement = match node.kind() {
            Kind::String => format!("\"{{{name}}}\""),
            Kind::Number | Kind::Bool | Kind::Array | Kind::Object => format!("\"{{$REPLACE:{name}}}\""),
            Kind::Null | Kind::Missing => return None,
        };
        let edit = Edit { span: node.span(), replacement };
        Some(self.action(format!("make it the parameter `{name}`"), lsp::CodeActionKind::RefactorExtract, &[edit]))
    }

    /// All safe fixes, as `check --fix` makes them.
    fn fix_all(&self) -> Option<lsp::CodeAction> {
        let view = self.view;
        if !view.compilation.diagnostics.iter().any(|found| found.fix.as_ref().is_some_and(|fix| fix.safe)) {
            return None;
        }
        let source = Arc::clone(&view.compilation.source);
        let fixed = view.basis.with_options(&view.path, |options: Options<'_>| fix(source, options, Which::Safe));
        if fixed.applied == 0 {
            return None;
        }
        let edits = view.change_to(fixed.compilation.source.text());
        Some(lsp::CodeAction {
            title: format!("fix all that is safe to fix ({})", fixed.applied),
            kind: Some(lsp::CodeActionKind::Custom(FIX_ALL.into())),
            edit: Some(view.workspace_edit(&self.client, edits)),
            ..Default::default()
        })
    }
}

/// The JSON pointer of the innermost value that a finding begins in, its key included.
fn pointer(view: &View, span: Span) -> String {
    let (mut at, mut out) = (view.compilation.tree.root(), String::new());
    let holds = |node: NodeRef<'_>| node.span().start <= span.start && span.end <= node.span().end;
    loop {
        let member = at.members().find(|member| holds(member.key) || holds(member.value));
        let item = || at.items().enumerate().find(|(_, item)| holds(*item));
        (at, out) = if let Some(member) = member {
            let key = member.key.text().replace('~', "~0").replace('/', "~1");
            (member.value, format!("{out}/{key}"))
        } else if let Some((index, item)) = item() {
            (item, format!("{out}/{index}"))
        } else {
            return out;
        };
    }
}

/// The key under which a value stands, directly or in a list.
fn key_of(outer: NodeRef<'_>, node: NodeRef<'_>) -> Option<String> {
    let (mut at, mut name) = (outer, None);
    while at.id() != node.id() {
        if let Some(member) = at.members().find(|member| member.value.holds(node.id())) {
            name = Some(member.key.text().into_owned());
            at = member.value;
        } else {
            at = at.items().find(|item| item.holds(node.id()))?;
        }
    }
    name
}
