// The server answers as the extension asks. The program is that of the variable `ZRECIPE`.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { StreamMessageReader, StreamMessageWriter, createMessageConnection } from "vscode-jsonrpc/node";
import { type Graph, boxAt } from "../src/graph";
import { initializationOptions, server } from "../src/launch";

const RECIPE = `{
  "1": { "service": "é😀 <b>", "queue": "first", "output": { "some": 2 } },
  "2": { "service": "Archiver", "queue": "second" },
  "start": [[1, []]]
}
`;

test("the graph, its boxes, lenses and pages", async (context) => {
  const path = process.env.ZRECIPE;
  assert.ok(path, "ZRECIPE is not set");
  const { command, args } = server({ path, arguments: [] }, "");
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  // Otherwise it would be waited for when something else is wrong.
  context.after(() => child.kill());
  const connection = createMessageConnection(new StreamMessageReader(child.stdout), new StreamMessageWriter(child.stdin));
  connection.onRequest(() => null);
  connection.listen();
  await connection.sendRequest("initialize", {
    processId: null,
    rootUri: null,
    capabilities: { experimental: { zrecipeCommands: true } },
    initializationOptions: initializationOptions(false, ""),
  });
  await connection.sendNotification("initialized", {});
  const uri = "untitled:Untitled-1";
  await connection.sendNotification("textDocument/didOpen", {
    textDocument: { uri, languageId: "json", version: 1, text: RECIPE },
  });
  const textDocument = { uri };
  const at = { line: 2, character: 10 };
  const graph = await connection.sendRequest<Graph>("zrecipe/graph", { textDocument, position: at, format: "html" });
  assert.equal(graph.format, "html");
  assert.ok(graph.text.startsWith("<!DOCTYPE html>") && !graph.text.includes("<b>"));
  // The page may run its own script, and nothing else.
  assert.match(graph.text, /default-src 'none'; img-src data:; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'"/);
  assert.deepEqual(
    graph.boxes.map(({ step }) => step),
    [1, 2],
  );
  for (const { box, step } of graph.boxes) {
    assert.ok(graph.text.includes(`<g id="r1n${box}" class="queue node" data-step="${step}"`), graph.text);
  }
  assert.equal(graph.current, boxAt(graph, at));
  // What is run is a file.
  const file = "file:///nosuch/recipe.json";
  await connection.sendNotification("textDocument/didOpen", {
    textDocument: { uri: file, languageId: "json", version: 1, text: RECIPE },
  });
  for (const [uri, expected] of [
    [file, ["zrecipe.run", "zrecipe.showGraph"]],
    ["untitled:Untitled-1", ["zrecipe.showGraph"]],
  ] as const) {
    const lenses = await connection.sendRequest<{ command: { command: string; arguments: unknown[] } }[]>(
      "textDocument/codeLens",
      { textDocument: { uri } },
    );
    assert.deepEqual(
      lenses.map(({ command }) => [command.command, command.arguments]),
      expected.map((command) => [command, [uri]]),
    );
  }
  const page = await connection.sendRequest<{ text: string }>("workspace/textDocumentContent", {
    uri: "zrecipe:rules/cycle.md",
  });
  assert.match(page.text, /cycle/);
  await connection.sendRequest("shutdown");
  await connection.sendNotification("exit");
  await new Promise((ended) => child.once("exit", ended));
  assert.equal(child.exitCode, 0);
  connection.dispose();
});
