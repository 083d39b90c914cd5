// The page of the graph and what it and the server say. Pure.

/** A place in a text, as the protocol has it. */
export interface Position {
  line: number;
  character: number;
}

/** A box of the drawing that is a step. */
export interface Box {
  box: number;
  step: number;
  range: { start: Position; end: Position };
}

/** The answer to `zrecipe/graph`. */
export interface Graph {
  format: string;
  text: string;
  boxes: Box[];
  current: number | null;
}

/** What the page is told. */
export type ToPage = { kind: "drawing"; svg: string; current: number | null } | { kind: "current"; current: number | null };

/** What the page tells. */
export type FromPage = { kind: "ready" } | { kind: "clicked"; box: number };

function isBefore(a: Position, b: Position): boolean {
  return a.line < b.line || (a.line === b.line && a.character < b.character);
}

/** The box of the step around a place. */
export function boxAt(graph: Graph, at: Position): number | null {
  const around = graph.boxes.find(({ range }) => !isBefore(at, range.start) && !isBefore(range.end, at));
  return around === undefined ? null : around.box;
}

/** The step that a click means. */
export function clicked(graph: Graph, message: unknown): Box | undefined {
  const said = message as Partial<{ kind: string; box: number }> | null;
  return said?.kind === "clicked" ? graph.boxes.find(({ box }) => box === said.box) : undefined;
}

/** The page: it loads nothing, and runs nothing but its own script. */
export function page(nonce: string): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-${nonce}'">
<style>
  body {
    --page: transparent;
    --box: var(--vscode-editor-background);
    --line: var(--vscode-editorLineNumber-activeForeground, var(--vscode-foreground));
    --text: var(--vscode-foreground);
    --bad: var(--vscode-editorError-foreground);
  }
  .node[data-step] { cursor: pointer; }
  .node[data-step]:hover .box { fill: var(--vscode-list-hoverBackground); }
  .node.current .box { stroke: var(--vscode-focusBorder); stroke-width: 3; }
</style>
</head>
<body>
<div id="drawing" role="img" aria-label="graph of the recipe"></div>
<script nonce="${nonce}">
  const vscode = acquireVsCodeApi();
  const drawing = document.getElementById("drawing");
  function mark(current) {
    drawing.querySelectorAll(".current").forEach((node) => node.classList.remove("current"));
    const node = current === null ? null : document.getElementById("n" + current);
    if (node) {
      node.classList.add("current");
      node.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }
  window.addEventListener("message", ({ data }) => {
    if (data.kind === "drawing") {
      drawing.innerHTML = data.svg;
    }
    mark(data.current);
  });
  drawing.addEventListener("click", (event) => {
    const node = event.target.closest(".node[data-step]");
    if (node) {
      vscode.postMessage({ kind: "clicked", box: Number(node.id.slice(1)) });
    }
  });
  vscode.postMessage({ kind: "ready" });
</script>
</body>
</html>
`;
}
