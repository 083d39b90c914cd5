// What needs neither VS Code nor the server.

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, boxAt, clicked, mayBeRecipe, message } from "../src/graph";
import { initializationOptions, run, server } from "../src/launch";

const span = (line: number, from: number, end: number, to: number) => ({
  start: { line, character: from },
  end: { line: end, character: to },
});
const graph: Graph = {
  format: "html",
  text: "",
  boxes: [
    { box: 1, step: 1, range: span(1, 2, 3, 3) },
    { box: 2, step: 7, range: span(4, 2, 4, 20) },
  ],
  current: null,
};

test("the box around the cursor", () => {
  for (const [line, character, box] of [
    [0, 0, null],
    [1, 1, null],
    [1, 2, 1],
    [2, 99, 1],
    [3, 3, 1],
    [3, 4, null],
    [4, 20, 2],
    [4, 21, null],
  ] as const) {
    assert.equal(boxAt(graph, { line, character }), box, `${line}:${character}`);
  }
});

test("a click on a step", () => {
  assert.equal(clicked(graph, { kind: "clicked", box: 2 })?.step, 7);
  for (const other of [{ kind: "clicked", box: 0 }, { kind: "clicked" }, { kind: "ready" }, {}, null, "clicked"]) {
    assert.equal(clicked(graph, other), undefined, JSON.stringify(other));
  }
});

test("a page without a drawing loads and runs nothing", () => {
  const html = message('no <img src="x"> & more');
  assert.match(html, /default-src 'none'/);
  assert.match(html, /no &#60;img src=&#34;x&#34;&#62; &#38; more/);
  assert.doesNotMatch(html, /<script|https?:/);
});

test("the graph follows the editor to what may be a recipe", () => {
  assert.ok(mayBeRecipe("json", "file") && mayBeRecipe("yaml", "untitled"));
  assert.ok(!mayBeRecipe("typescript", "file") && !mayBeRecipe("json", "output"));
});

test("commands", () => {
  const settings = { path: "~/bin/zrecipe", arguments: ["--site", "a b.yml"] };
  assert.deepEqual(server(settings, "/home/me"), {
    command: "/home/me/bin/zrecipe",
    args: ["lsp", "--site", "a b.yml"],
  });
  assert.deepEqual(run({ path: " ", arguments: [] }, "/home/me", "-x.json"), {
    command: "zrecipe",
    args: ["run", "--", "-x.json"],
  });
  assert.deepEqual(initializationOptions(false, ""), { trusted: false });
  assert.deepEqual(initializationOptions(true, "p.json"), { trusted: true, parameters: "p.json" });
});
