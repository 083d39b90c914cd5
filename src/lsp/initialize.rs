//! What a client says of itself when it connects, and what the server offers to every client.

use std::path::PathBuf;

use gen_lsp_types as lsp;

use super::client::Client;
use super::convert;
use zrecipe_language::source::Unit;

/// The folders that the client has open.
pub(super) fn roots(params: &lsp::InitializeParams) -> Vec<PathBuf> {
    let folders = match &params.workspace_folders_initialize_params.workspace_folders {
        Some(lsp::WorkspaceFolders::WorkspaceFolderList(folders)) => {
            folders.iter().filter_map(|folder| convert::path(&folder.uri)).collect()
        }
        _ => Vec::new(),
    };
    #[expect(deprecated, reason = "older clients have nothing else")]
    let root = &params.root_uri;
    if folders.is_empty() { root.iter().filter_map(convert::path).collect() } else { folders }
}

pub(super) fn client(can: &lsp::ClientCapabilities) -> Client {
    let can = serde_json::to_value(can).unwrap_or_default();
    let says = |pointer: &str| can.pointer(pointer).and_then(serde_json::Value::as_bool).unwrap_or(false);
    let encodings = can.pointer("/general/positionEncodings").and_then(serde_json::Value::as_array);
    let takes = |name: &str| encodings.is_some_and(|encodings| encodings.iter().any(|encoding| encoding == name));
    let operations = can.pointer("/workspace/workspaceEdit/resourceOperations").and_then(serde_json::Value::as_array);
    let versioned_edits = says("/workspace/workspaceEdit/documentChanges");
    Client {
        unit: if takes("utf-8") { Unit::Utf8 } else { Unit::Utf16 },
        pulls: can.pointer("/textDocument/diagnostic").is_some(),
        refreshes: says("/workspace/diagnostics/refreshSupport"),
        snippets: says("/textDocument/completion/completionItem/snippetSupport"),
        watches: says("/workspace/didChangeWatchedFiles/dynamicRegistration"),
        registers_formatting: says("/textDocument/formatting/dynamicRegistration"),
        progress: says("/window/workDoneProgress"),
        versioned_edits,
        makes_files: versioned_edits && operations.is_some_and(|all| all.iter().any(|operation| operation == "create")),
        documents: can.pointer("/workspace/textDocumentContent").is_some(),
        commands: says("/experimental/zrecipeCommands"),
    }
}

pub(super) fn capabilities(client: &Client) -> lsp::ServerCapabilities {
    lsp::ServerCapabilities {
        position_encoding: Some(match client.unit {
            Unit::Utf8 => lsp::PositionEncodingKind::UTF8,
            Unit::Utf16 | Unit::Char => lsp::PositionEncodingKind::UTF16,
        }),
        text_document_sync: Some(lsp::TextDocumentSync::Options(lsp::TextDocumentSyncOptions {
            open_close: Some(true),
            change: Some(lsp::TextDocumentSyncKind::Incremental),
            save: Some(lsp::Save::Bool(true)),
            ..Default::default()
        })),
        workspace: Some(lsp::WorkspaceOptions {
            workspace_folders: Some(lsp::WorkspaceFoldersServerCapabilities {
                supported: Some(true),
                change_notifications: Some(lsp::ChangeNotifications::Bool(true)),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}
