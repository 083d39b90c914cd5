//! `textDocument/codeAction`: fixes, suppressions, missing steps, and values that become parameters.

use std::cell::OnceCell;
use std::sync::Arc;

use gen_lsp_types as lsp;

use crate::lsp::client::{Client, Error};
use crate::lsp::session::Session;
use crate::lsp::view::{View, new_file};
use zrecipe_language::compile::Compilation;
use zrecipe_language::diagnostic::{Diagnostic, Edit};
use zrecipe_language::document::{DocumentKind, is_pattern};
use zrecipe_language::fix::{Which, apply};
use zrecipe_language::lint::rules;
use zrecipe_language::names::Name;
use zrecipe_language::recipe::Step;
use zrecipe_language::report::printable;
use zrecipe_language::secret;
use zrecipe_language::source::{Source, Span};
use zrecipe_language::suppress::Pointed;
use zrecipe_language::syntax::{Kind, NodeRef, Notation};
use zrecipe_language::value::write_string;
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::settings;

/// The request.
pub use gen_lsp_types::CodeActionRequest as Method;

/// All safe fixes at once; editors can do that on saving.
const FIX_ALL: &str = "source.fixAll.zrecipe";

/// How many findings can be silenced from one place.
const MOST_SUPPRESSED: usize = 20;

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
        let is_one = |asked: &String| asked.is_empty() || kind == asked || kind.starts_with(&format!("{asked}."));
        only.as_ref().is_none_or(|only| only.iter().any(is_one))
    };
    let mut actions = Vec::new();
    let settings = session.view_of(&view.basis.root.join(settings::FILE_NAME));
    let act = Act { view: &view, settings: settings.as_deref(), client: session.client, before: OnceCell::new() };
    if wants("quickfix") {
        let here = |found: &&Diagnostic| {
            let span = found.primary.span;
            span.start <= asked.end && asked.start <= span.end
        };
        for (number, found) in view.compilation.diagnostics.iter().filter(here).enumerate() {
            // Two rules may have the same to propose.
            let fix = act.fix(found).filter(|fix| actions.iter().all(|known: &lsp::CodeAction| known.edit != fix.edit));
            actions.extend(fix);
            actions.extend(act.missing_step(found));
            // Each is tried.
            if number < MOST_SUPPRESSED {
                actions.extend(act.suppress(found));
            }
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
    /// What there is to say about the document by itself.
    before: OnceCell<Vec<Diagnostic>>,
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
        let look = if fix.safe { "" } else { " (review)" };
        let action = self.for_finding(format!("{}{look}", fix.title), &fix.edits, found);
        Some(lsp::CodeAction { is_preferred: fix.safe.then_some(true), ..action })
    }

    /// The document after an edit, with more suppressions in the settings.
    fn after(&self, edit: Option<&Edit>, suppressed: Option<Pointed>) -> Option<Compilation> {
        let (view, source) = (self.view, &self.view.compilation.source);
        let text = apply(source.text(), edit)?;
        let source = Arc::new(Source::from_text(source.name(), text));
        let request =
            CheckOptions { path: Some(&view.path), suppressions: suppressed.as_slice(), ..CheckOptions::default() };
        Some(view.basis.project.judge(source, request))
    }

    /// Whether a finding is gone after a change, the document says what it said, and there is nothing new to say.
    fn is_silenced(&self, found: &Diagnostic, after: &Compilation) -> bool {
        let before = self.before.get_or_init(|| self.after(None, None).map_or(Vec::new(), |all| all.diagnostics));
        let is_same = |a: &Diagnostic, b: &Diagnostic| a.rule == b.rule && a.message == b.message;
        let count = |all: &[Diagnostic], one: &Diagnostic| all.iter().filter(|other| is_same(one, other)).count();
        // What only other recipes tell is not found here, and its suppression seems to be unused.
        let is_known = count(before, found) > 0;
        let unused = rules::unused_suppression::RULE.name;
        let left: Vec<Diagnostic> =
            after.diagnostics.iter().filter(|left| is_known || left.rule != unused).cloned().collect();
        left.iter().all(|one| count(&left, one) <= count(before, one))
            && (!is_known || count(&left, found) < count(before, found))
            && after.tree.root().to_value() == self.view.compilation.tree.root().to_value()
    }

    /// A step with the number that a link names.
    fn missing_step(&self, found: &Diagnostic) -> Option<lsp::CodeAction> {
        let recipe = &self.view.compilation.recipe;
        let id: i64 = self.view.source().slice(found.primary.span).parse().ok().filter(|&id| id > 0)?;
        if found.rule != "unknown-step" || recipe.step(id).is_some() {
            return None;
        }
        let root = recipe.tree().root();
        let last = recipe.steps().last().map(|step| (recipe.node(step.key), recipe.node(step.value)));
        let first = root.members().next()?.key;
        let (key, text) = (last.map_or(first, |(key, _)| key), self.view.source().text());
        let indent = self.indent(key.span().start);
        let is_block = Notation::of(self.view.source().name()) == Notation::Yaml && !root.raw().starts_with('{');
        let edit = if is_block {
            let start = key.span().start as usize;
            let indent = &text[text[..start].rfind('\n').map_or(0, |end| end + 1)..start];
            if !indent.trim().is_empty() {
                return None;
            }
            let quote = match last.map(|(key, _)| key.raw().chars().next()) {
                Some(Some('"')) => "\"",
                None | Some(Some('\'')) => "'",
                Some(_) => "",
            };
            let step = format!("{quote}{id}{quote}:\n{indent}  service: \"\"\n{indent}  queue: \"\"");
            match last {
                Some((key, value)) => {
                    let end = value.span().end.max(key.span().end) as usize;
                    let end = text[..end].trim_end().len();
                    let end = end + text[end..].find(['\r', '\n']).unwrap_or(text.len() - end);
                    Edit { span: Span::empty(end), replacement: format!("\n{indent}{step}") }
                }
                None => {
                    Edit { span: Span::empty(first.span().start as usize), replacement: format!("{step}\n{indent}") }
                }
            }
        } else {
            let (line, inner) = match indent {
                Some(indent) => (format!("\n{indent}"), format!("\n{indent}{indent}")),
                None => (" ".to_owned(), " ".to_owned()),
            };
            let step = format!("\"{id}\": {{{inner}\"service\": \"\",{inner}\"queue\": \"\"{line}}}");
            match last {
                Some((_, value)) => {
                    Edit { span: Span::empty(value.span().end as usize), replacement: format!(",{line}{step}") }
                }
                None => Edit { span: Span::empty(first.span().start as usize), replacement: format!("{step},{line}") },
            }
        };
        let after = self.after(Some(&edit), None)?;
        let is_right = after.recipe.step(id).is_some() && after.tree.is_broken() == recipe.tree().is_broken();
        is_right.then(|| self.for_finding(format!("add the missing step {id}"), &[edit], found))
    }

    /// The white space before a place, if nothing else is in its line.
    fn indent(&self, at: u32) -> Option<&str> {
        let before = &self.view.source().text()[..at as usize];
        let line = &before[before.rfind('\n')? + 1..];
        line.trim().is_empty().then_some(line)
    }

    /// A suppression of the finding where the format has a place for one, if it works there.
    fn suppress(&self, found: &Diagnostic) -> Option<lsp::CodeAction> {
        let (view, at) = (self.view, found.primary.span.start);
        // A broken text is read differently by everyone, whatever is allowed.
        if [rules::syntax_error::RULE.name, rules::malformed_yaml::RULE.name].contains(&found.rule) {
            return None;
        }
        let mark = format!("zrecipe: allow({})", found.rule);
        let edits = match Notation::of(view.source().name()) {
            Notation::Json if view.compilation.document.kind() == DocumentKind::Recipe => {
                let comment = |step: &Step| {
                    let key = view.compilation.recipe.node(step.key);
                    let start = key.span().start;
                    let gap = self.indent(start).map_or(" ".to_owned(), |indent| format!("\n{indent}"));
                    let replacement = format!("{}: [\"{mark}\"],{gap}", key.raw());
                    Edit { span: Span { start, end: start }, replacement }
                };
                view.step_at(at).map(comment).into_iter().collect()
            }
            Notation::Yaml => self.comments(at, &mark),
            _ => Vec::new(),
        };
        let works = |edit: &Edit| self.after(Some(edit), None).is_some_and(|after| self.is_silenced(found, &after));
        match edits.into_iter().find(works) {
            Some(edit) => Some(self.for_finding(format!("allow `{}` here", found.rule), &[edit], found)),
            None => self.suppress_in_settings(found),
        }
    }

    /// The comments of YAML that may be about a place: at the end of its line, and above the entries around it.
    fn comments(&self, at: u32, mark: &str) -> Vec<Edit> {
        let (view, text) = (self.view, self.view.source().text());
        let rest = &text[at as usize..];
        let end = at as usize + rest.find(['\r', '\n']).unwrap_or(rest.len());
        let comments = view.compilation.tree.comments();
        let is_inside = comments.iter().any(|comment| comment.range().contains(&end.saturating_sub(1)));
        let hash = if is_inside { " " } else { "  # " };
        let mut edits = vec![Edit { span: Span::empty(end), replacement: format!("{hash}{mark}") }];
        let mut starts: Vec<usize> = Vec::new();
        let mut around = view.compilation.tree.root();
        loop {
            let holds = |span: Span| span.start <= at && at <= span.end;
            let mut members = around.members();
            let member = members.find(|found| holds(Span { end: found.value.span().end, ..found.key.span() }));
            let item = around.items().find(|item| holds(item.span()));
            let Some((start, inner)) = member.map(|found| (found.key, found.value)).or(item.map(|item| (item, item)))
            else {
                break;
            };
            starts.push(start.span().start as usize);
            around = inner;
        }
        let line_end = if text.contains("\r\n") { "\r\n" } else { "\n" };
        for start in starts.into_iter().rev() {
            let line = text[..start].rfind('\n').map_or(0, |end| end + 1);
            let indent = text[line..start].len() - text[line..start].trim_start().len();
            if text[line..start].chars().all(|c| c == ' ' || c == '-') {
                let replacement = format!("{}# {mark}{line_end}", &text[line..line + indent]);
                edits.push(Edit { span: Span::empty(line), replacement });
            }
        }
        edits.dedup();
        edits
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
        let pointed =
            Pointed { rule: found.rule.to_owned(), pointer: pointer(view, found.primary.span), is_exact: true };
        let after = self.after(None, Some(pointed.clone()))?;
        if !self.is_silenced(found, &after)
            || self.settings.is_some_and(|settings| settings.compilation.tree.is_broken())
        {
            return None;
        }
        let text = self.settings.map_or("", |settings| settings.source().text());
        let gap = match text.len() {
            0 => "",
            _ if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        let (path, pointer) = (quoted(path), quoted(&pointed.pointer));
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
        let is_taken = |name: &str| {
            let named = Name::Placeholder(name.to_owned());
            name == "guid"
                || view.names().iter().any(|found| found.name == named)
                || view.basis.project.settings.declared.get(name).is_some()
        };
        let name = std::iter::once(name.clone())
            .chain((2..).map(|number| format!("{name}_{number}")))
            .find(|name| !is_taken(name))?;
        let replacement = match node.kind() {
            Kind::String => format!("\"{{{name}}}\""),
            Kind::Number | Kind::Bool | Kind::Array | Kind::Object => format!("\"{{$REPLACE:{name}}}\""),
            Kind::Null | Kind::Missing => return None,
        };
        let edit = Edit { span: node.span(), replacement };
        let value = printable(&secret::hidden(&name, node.to_value()).to_json(), 60);
        let title = format!("extract parameter `{name}`; requests must then give `{value}` for it");
        Some(self.action(title, lsp::CodeActionKind::RefactorExtract, &[edit]))
    }

    /// All safe fixes, as `check --fix` makes them.
    fn fix_all(&self) -> Option<lsp::CodeAction> {
        let view = self.view;
        if !view.compilation.diagnostics.iter().any(|found| found.fix.as_ref().is_some_and(|fix| fix.safe)) {
            return None;
        }
        let source = Arc::clone(&view.compilation.source);
        let fixed = view.basis.project.fix(
            source,
            Which::Safe,
            CheckOptions { path: Some(&view.path), ..CheckOptions::default() },
        );
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
        if let Some(member) = at.member_around(node.id()) {
            name = Some(member.key.text().into_owned());
            at = member.value;
        } else {
            at = at.item_around(node.id())?.1;
        }
    }
    name
}
