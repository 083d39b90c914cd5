// What the page of the graph and the server say. The page itself is the HTML drawing of the server. Pure.

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
export type ToPage = { kind: "page"; text: string; current: number | null } | { kind: "current"; current: number | null };

/** What the page tells. */
export type FromPage = { kind: "ready" } | { kind: "clicked"; box: number };

const LANGUAGES = ["json", "jsonc", "yaml"];
const SCHEMES = ["file", "untitled"];

/** Whether a document may be a recipe, so that the graph follows the editor to it. */
export function mayBeRecipe(languageId: string, scheme: string): boolean {
  return LANGUAGES.includes(languageId) && SCHEMES.includes(scheme);
}

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

/** A page with one sentence, for when there is no drawing. */
export function message(text: string): string {
  const escaped = text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'">
</head>
<body><p role="status">${escaped}</p></body>
</html>
`;
}
