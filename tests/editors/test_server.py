"""A client of another make speaks with the server: what VS Code, Emacs and Neovim say that they can do, in turn."""

import asyncio
import os
import pathlib

import pytest
import pytest_lsp
from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, client_capabilities

RECIPE = """{
  "1": { "service": "Sender", "queue": "first", "output": 2, "parameters": { "to": "é😀 {visit}" } },
  "2": { "service": "Archiver", "queue": "second", "output": "3" },
  "3": { "service": "Mailer", "queue": "third" },
  "start": [[1, []]]
}
"""
WORKSPACE = pathlib.Path(os.environ["ZRECIPE_WORKSPACE"])


@pytest_lsp.fixture(
    params=["visual-studio-code", "neovim", "emacs"],
    config=ClientServerConfig(server_command=[os.environ["ZRECIPE"], "lsp"]),
)
async def client(request, lsp_client: LanguageClient):
    folder = types.WorkspaceFolder(uri=WORKSPACE.as_uri(), name="workspace")
    params = types.InitializeParams(
        capabilities=client_capabilities(request.param),
        root_uri=folder.uri,
        workspace_folders=[folder],
    )

    @lsp_client.feature(types.CLIENT_REGISTER_CAPABILITY)
    def watch(_: types.RegistrationParams):
        """Files are watched by nobody here."""

    session = await lsp_client.initialize_session(params)
    assert session.server_info.name == "zrecipe"
    yield
    await lsp_client.shutdown_session()


def opened(client: LanguageClient, name: str, text: str) -> types.TextDocumentIdentifier:
    uri = (WORKSPACE / "recipes" / name).as_uri()
    document = types.TextDocumentItem(uri=uri, language_id="json", version=1, text=text)
    client.text_document_did_open(types.DidOpenTextDocumentParams(text_document=document))
    return types.TextDocumentIdentifier(uri=uri)


def position(client: LanguageClient, text: str, needle: str) -> types.Position:
    """Where a text begins, as the client and the server have agreed to count."""
    before = text[: text.index(needle)]
    line = before.rpartition("\n")[2]
    return types.Position(line=before.count("\n"), character=len(line.encode("utf-16-le")) // 2)


async def findings(client: LanguageClient, document: types.TextDocumentIdentifier) -> list[types.Diagnostic]:
    """Told, or asked for by clients that ask."""
    if client.capabilities.text_document.diagnostic:
        report = await client.text_document_diagnostic_async(types.DocumentDiagnosticParams(text_document=document))
        return report.items
    while document.uri not in client.diagnostics:
        await client.wait_for_notification(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    return client.diagnostics[document.uri]


@pytest.mark.asyncio
async def test_findings(client: LanguageClient):
    found = await findings(client, opened(client, "a.json", RECIPE))
    assert ("malformed-link", 2, types.DiagnosticSeverity.Error, "zrecipe") in [
        (one.code, one.range.start.line, one.severity, one.source) for one in found
    ]


@pytest.mark.asyncio
async def test_completion(client: LanguageClient):
    document = opened(client, "b.json", RECIPE)
    at = position(client, RECIPE, 'second"')
    params = types.CompletionParams(text_document=document, position=at)
    offered = set()
    # Those of other files are there once the workspace is read.
    for _ in range(1200):
        answer = await client.text_document_completion_async(params)
        offered = {item.label for item in answer.items}
        if "elsewhere" in offered:
            break
        await asyncio.sleep(0.1)
    assert {"first", "third", "elsewhere"} <= offered
    # What is being typed is no suggestion.
    assert "second" not in offered


@pytest.mark.asyncio
async def test_understanding(client: LanguageClient):
    document = opened(client, "c.json", RECIPE)
    at = position(client, RECIPE, "2, ")
    hover = await client.text_document_hover_async(types.HoverParams(text_document=document, position=at))
    assert "Archiver" in hover.contents.value
    found = await client.text_document_definition_async(types.DefinitionParams(text_document=document, position=at))
    found = found if isinstance(found, list) else [found]
    lines = [(getattr(one, "target_selection_range", None) or one.range).start.line for one in found]
    assert lines == [2]
    params = types.DocumentSymbolParams(text_document=document)
    assert await client.text_document_document_symbol_async(params)


@pytest.mark.asyncio
async def test_rename_and_fix(client: LanguageClient):
    document = opened(client, "d.json", RECIPE)
    at = position(client, RECIPE, '2": ')
    edit = await client.text_document_rename_async(
        types.RenameParams(text_document=document, position=at, new_name="7")
    )
    changes = [change.edits for change in edit.document_changes or []] or list(edit.changes.values())
    assert sorted((one.range.start.line, one.new_text) for edits in changes for one in edits) == [(1, "7"), (2, "7")]
    found = [one for one in await findings(client, document) if one.code == "malformed-link"]
    context = types.CodeActionContext(diagnostics=found)
    actions = await client.text_document_code_action_async(
        types.CodeActionParams(text_document=document, range=found[0].range, context=context)
    )
    assert any(action.kind == types.CodeActionKind.QuickFix for action in actions)
