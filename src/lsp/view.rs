//! Everything that is known about one document between two changes of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use gen_lsp_types as lsp;

use super::client::Client;
use super::convert::{self, Lines};
use super::folder::Basis;
use zrecipe_language::compile::Compilation;
use zrecipe_language::names::{self, Occurrence};
use zrecipe_language::recipe::Step;
use zrecipe_language::source::{Source, Span};
use zrecipe_language::syntax::NodeRef;
/// Everything that is known about a document: open, or a file on the disk.
pub struct View {
    /// What the client calls it.
    pub uri: lsp::Uri,
    /// The file.
    pub path: PathBuf,
    /// The version that the client has open.
    pub version: Option<i32>,
    /// What it is compiled with.
    pub basis: Arc<Basis>,
    /// What it says.
    pub compilation: Compilation,
    pub(super) lines: Arc<Lines>,
    pub(super) names: OnceLock<Vec<Occurrence>>,
    /// Whether other recipes contradict it.
    pub(super) is_contradicted: bool,
}

impl View {
    /// Whether anybody wants to hear about the document.
    pub fn is_told(&self) -> bool {
        self.basis.is_told(&self.path, &self.compilation)
    }

    /// The document with another text, of which only the structure is known.
    pub fn with_text(&self, client: &Client, text: String) -> Self {
        let source = Arc::new(Source::from_text(self.source().name(), text));
        let compilation = self.basis.structure(&self.path, source);
        Self {
            uri: self.uri.clone(),
            path: self.path.clone(),
            version: self.version,
            basis: Arc::clone(&self.basis),
            compilation,
            lines: Arc::new(Lines::new(client.unit)),
            names: OnceLock::new(),
            is_contradicted: false,
        }
    }

    /// The text.
    pub fn source(&self) -> &Source {
        &self.compilation.source
    }

    /// The byte of a position.
    pub fn offset(&self, position: lsp::Position) -> u32 {
        self.lines.offset(self.source(), position)
    }

    /// The span of a range.
    pub fn span(&self, range: lsp::Range) -> Span {
        self.lines.span(self.source(), range)
    }

    /// The range of a span.
    pub fn range(&self, span: Span) -> lsp::Range {
        self.lines.range(self.source(), span)
    }

    /// The position of a byte.
    pub fn position(&self, at: u32) -> lsp::Position {
        self.lines.position(self.source(), at)
    }

    /// The place of a span.
    pub fn location(&self, span: Span) -> lsp::Location {
        lsp::Location { uri: self.uri.clone(), range: self.range(span) }
    }

    /// An edit of the text.
    pub fn edit(&self, edit: &zrecipe_language::diagnostic::Edit) -> lsp::TextEdit {
        self.lines.edit(self.source(), edit)
    }

    /// The edits that make another text of it: of what is between its first and its last difference.
    pub fn change_to(&self, text: &str) -> Vec<lsp::TextEdit> {
        let old = self.source().text();
        if old == text {
            return Vec::new();
        }
        let same = |(a, b): &((usize, char), char)| a.1 == *b;
        let start = old
            .char_indices()
            .zip(text.chars())
            .find(|pair| !same(pair))
            .map_or(old.len().min(text.len()), |(a, _)| a.0);
        // There is no position between the two halves of a line end.
        let start = if old[..start].ends_with('\r') { start - 1 } else { start };
        let (old_rest, new_rest) = (&old[start..], &text[start..]);
        let ends = old_rest.chars().rev().zip(new_rest.chars().rev()).take_while(|(a, b)| a == b);
        let end: usize = ends.map(|(a, _)| a.len_utf8()).sum();
        let is_half = old[old.len() - end..].starts_with('\n') && old[..old.len() - end].ends_with('\r');
        let end = end - usize::from(is_half);
        let span = Span::new(start, old.len() - end);
        let replacement = new_rest[..new_rest.len() - end].to_owned();
        vec![self.edit(&zrecipe_language::diagnostic::Edit { span, replacement })]
    }

    /// The findings as the client takes them.
    pub fn diagnostics(&self) -> Vec<lsp::Diagnostic> {
        let found = self.compilation.diagnostics.iter();
        found.map(|found| self.lines.diagnostic(self.source(), &self.uri, found)).collect()
    }

    /// One finding as the client takes it.
    pub fn diagnostic(&self, found: &zrecipe_language::diagnostic::Diagnostic) -> lsp::Diagnostic {
        self.lines.diagnostic(self.source(), &self.uri, found)
    }

    /// The names in it, in order.
    pub fn names(&self) -> &[Occurrence] {
        self.names.get_or_init(|| names::names(&self.compilation, self.basis.contracts()))
    }

    /// The name at a position.
    pub fn name_at(&self, position: lsp::Position) -> Option<&Occurrence> {
        names::at(self.names(), self.offset(position))
    }

    /// The innermost node at a byte, the byte behind it included.
    pub fn node_at(&self, offset: u32) -> NodeRef<'_> {
        let holds = |node: NodeRef<'_>| node.span().start <= offset && offset <= node.span().end;
        let mut at = self.compilation.tree.root();
        loop {
            let children = at.items().chain(at.members().flat_map(|member| [member.key, member.value]));
            // Of two that meet here, the one that begins here.
            match children.filter(|&child| holds(child)).last() {
                Some(child) => at = child,
                None => return at,
            }
        }
    }

    /// The step whose definition is around a byte, its key included.
    pub fn step_at(&self, offset: u32) -> Option<&Step> {
        let recipe = &self.compilation.recipe;
        let start = |step: &Step| recipe.span(step.key).start;
        let after = recipe.steps().partition_point(|step| start(step) <= offset);
        let step = &recipe.steps()[after.checked_sub(1)?];
        (offset <= recipe.span(step.value).end).then_some(step)
    }

    /// Whether it is a file, or is to be one where the client says, and not a text without a name.
    pub fn is_file(&self) -> bool {
        self.uri.0.starts_with("file:")
    }

    /// Changes of this document as an edit of the workspace.
    pub fn workspace_edit(&self, client: &Client, edits: Vec<lsp::TextEdit>) -> lsp::WorkspaceEdit {
        workspace_edit(client, vec![(self, edits)])
    }
}

/// A file that is made with a text in it.
pub fn new_file(path: &Path, text: String) -> lsp::WorkspaceEdit {
    let uri = convert::uri(path);
    let options = lsp::CreateFileOptions { ignore_if_exists: Some(true), ..Default::default() };
    let made = lsp::CreateFile { uri: uri.clone(), options: Some(options), annotation_id: None };
    let text_document = lsp::OptionalVersionedTextDocumentIdentifier {
        version: None,
        text_document_identifier: lsp::TextDocumentIdentifier { uri },
    };
    let text = lsp::TextEdit { range: lsp::Range::default(), new_text: text };
    let written = lsp::TextDocumentEdit { text_document, edits: vec![lsp::Edit::TextEdit(text)] };
    let changes = vec![lsp::DocumentChange::CreateFile(made), lsp::DocumentChange::TextDocumentEdit(written)];
    lsp::WorkspaceEdit { document_changes: Some(changes), ..Default::default() }
}

/// Changes of several documents.
pub fn workspace_edit(client: &Client, files: Vec<(&View, Vec<lsp::TextEdit>)>) -> lsp::WorkspaceEdit {
    if client.versioned_edits {
        let changes = files.into_iter().map(|(view, edits)| {
            let identifier = lsp::TextDocumentIdentifier { uri: view.uri.clone() };
            let text_document = lsp::OptionalVersionedTextDocumentIdentifier {
                version: view.version,
                text_document_identifier: identifier,
            };
            let edits = edits.into_iter().map(lsp::Edit::TextEdit).collect();
            lsp::DocumentChange::TextDocumentEdit(lsp::TextDocumentEdit { text_document, edits })
        });
        lsp::WorkspaceEdit { document_changes: Some(changes.collect()), ..Default::default() }
    } else {
        let changes = files.into_iter().map(|(view, edits)| (view.uri.clone(), edits));
        lsp::WorkspaceEdit { changes: Some(changes.collect()), ..Default::default() }
    }
}
