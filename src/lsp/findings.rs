//! Findings of a document as the client gets them.

use std::hash::{Hash as _, Hasher as _};

use gen_lsp_types as lsp;

/// The findings of a document, and a text that is another if they are others.
#[derive(Debug, Clone)]
pub struct Findings {
    /// The text.
    pub id: String,
    /// What there is to say.
    pub items: Vec<lsp::Diagnostic>,
}

impl Findings {
    /// Findings with their text.
    pub fn new(items: Vec<lsp::Diagnostic>) -> Self {
        let mut hasher = std::hash::DefaultHasher::new();
        serde_json::to_string(&items).unwrap_or_default().hash(&mut hasher);
        Self { id: format!("{:016x}", hasher.finish()), items }
    }

    /// As the client takes them.
    pub fn report(self) -> lsp::FullDocumentDiagnosticReport {
        lsp::FullDocumentDiagnosticReport { result_id: Some(self.id), items: self.items }
    }
}
