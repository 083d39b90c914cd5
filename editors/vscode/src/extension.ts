// The extension: starts the language server, shows the graph beside the text, and runs recipes in a terminal.

import { homedir } from "node:os";
import * as vscode from "vscode";
import { type ClientCapabilities, LanguageClient, type StaticFeature } from "vscode-languageclient/node";
import { type FromPage, type Graph, type ToPage, boxAt, clicked, mayBeRecipe, message } from "./graph";
import * as launch from "./launch";

const LANGUAGES = ["json", "jsonc", "yaml", "toml"];

let client: LanguageClient | undefined;
let panel: GraphPanel | undefined;

function settings(): launch.Settings & { parameters: string } {
  const all = vscode.workspace.getConfiguration("zrecipe");
  return {
    path: all.get("path", "zrecipe"),
    arguments: all.get<string[]>("arguments", []),
    parameters: all.get("parameters", ""),
  };
}

/** Says that we know what the commands in the server's lenses mean. */
const commands: StaticFeature = {
  fillClientCapabilities(capabilities: ClientCapabilities) {
    capabilities.experimental = { ...(capabilities.experimental as object | undefined), zrecipeCommands: true };
  },
  initialize() {},
  getState: () => ({ kind: "static" }),
  clear() {},
};

async function start(): Promise<void> {
  const now = settings();
  const { command, args } = launch.server(now, homedir());
  const started = new LanguageClient(
    "zrecipe",
    "zrecipe",
    { command, args },
    {
      documentSelector: [
        ...LANGUAGES.slice(0, 3).flatMap((language) => [
          { language, scheme: "file" },
          { language, scheme: "untitled" },
        ]),
        { pattern: "**/zrecipe.toml", scheme: "file" },
      ],
      synchronize: { configurationSection: "zrecipe" },
      initializationOptions: launch.initializationOptions(vscode.workspace.isTrusted, now.parameters),
    },
  );
  started.registerFeature(commands);
  client = started;
  try {
    await started.start();
  } catch (error) {
    const set = "Set the Path";
    const message = `The server of zrecipe does not start: ${error instanceof Error ? error.message : String(error)}`;
    if ((await vscode.window.showErrorMessage(message, set)) === set) {
      await vscode.commands.executeCommand("workbench.action.openSettings", "zrecipe.path");
    }
  }
}

async function stop(): Promise<void> {
  const running = client;
  client = undefined;
  if (running?.isRunning()) {
    await running.stop();
  }
}

async function restart(): Promise<void> {
  await stop();
  await start();
}

/** The document that a command is about: that of a lens, or the active one. */
function chosen(uri: unknown): vscode.Uri | undefined {
  if (typeof uri === "string") {
    return vscode.Uri.parse(uri);
  }
  return uri instanceof vscode.Uri ? uri : vscode.window.activeTextEditor?.document.uri;
}

function run(uri: unknown): void {
  const file = chosen(uri);
  if (file?.scheme !== "file" || !vscode.workspace.isTrusted) {
    void vscode.window.showInformationMessage("Only recipes in files of a workspace that you trust are run.");
    return;
  }
  const { command, args } = launch.run(settings(), homedir(), file.fsPath);
  const folder = vscode.workspace.getWorkspaceFolder(file);
  const task = new vscode.Task(
    { type: "zrecipe" },
    folder ?? vscode.TaskScope.Workspace,
    `run ${vscode.workspace.asRelativePath(file)}`,
    "zrecipe",
    // Without a shell in between.
    new vscode.ProcessExecution(command, args, folder ? { cwd: folder.uri.fsPath } : {}),
  );
  void vscode.tasks.executeTask(task);
}

/** The drawing of one recipe at a time, which follows the active editor, its text, its findings and its cursor. */
class GraphPanel implements vscode.Disposable {
  private graph: Graph | undefined;
  // Whether the page is a drawing, which takes messages.
  private isDrawn = false;
  private timer: NodeJS.Timeout | undefined;
  private readonly subscriptions: vscode.Disposable[];
  private readonly view: vscode.WebviewPanel;

  constructor(private uri: vscode.Uri) {
    this.view = vscode.window.createWebviewPanel(
      "zrecipe.graph",
      "",
      { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
      { enableScripts: true, localResourceRoots: [], retainContextWhenHidden: true },
    );
    this.subscriptions = [
      this.view.onDidDispose(() => this.dispose()),
      this.view.webview.onDidReceiveMessage((message: FromPage) => this.hear(message)),
      vscode.workspace.onDidChangeTextDocument(({ document }) => this.changed(document.uri)),
      vscode.window.onDidChangeTextEditorSelection(({ textEditor }) => this.moved(textEditor)),
      vscode.window.onDidChangeActiveTextEditor((editor) => this.follow(editor)),
      // Findings also change with contracts and other files.
      vscode.languages.onDidChangeDiagnostics(({ uris }) => uris.forEach((changed) => this.changed(changed))),
      vscode.workspace.onDidChangeConfiguration((event) => {
        if (event.affectsConfiguration("zrecipe.graph")) {
          void this.draw();
        }
      }),
    ];
  }

  private follow(editor: vscode.TextEditor | undefined): void {
    if (editor === undefined || editor.document.uri.toString() === this.uri.toString()) {
      return;
    }
    if (mayBeRecipe(editor.document.languageId, editor.document.uri.scheme)) {
      this.uri = editor.document.uri;
      void this.draw();
    }
  }

  private refuse(why: string): void {
    this.graph = undefined;
    this.isDrawn = false;
    this.view.webview.html = message(why);
  }

  show(uri: vscode.Uri): void {
    this.uri = uri;
    this.view.reveal(undefined, true);
    void this.draw();
  }

  private post(message: ToPage): void {
    void this.view.webview.postMessage(message);
  }

  private editor(): vscode.TextEditor | undefined {
    return vscode.window.visibleTextEditors.find(({ document }) => document.uri.toString() === this.uri.toString());
  }

  private changed(uri: vscode.Uri): void {
    if (uri.toString() === this.uri.toString()) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => void this.draw(), 100);
    }
  }

  private moved(editor: vscode.TextEditor): void {
    if (this.graph !== undefined && editor === this.editor()) {
      this.post({ kind: "current", current: boxAt(this.graph, editor.selection.active) });
    }
  }

  private async draw(): Promise<void> {
    const { uri } = this;
    const running = client;
    this.view.title = `Graph of ${vscode.workspace.asRelativePath(uri)}`;
    if (!running?.isRunning()) {
      this.refuse("The server of zrecipe is not running. The command “zrecipe: Restart the Server” starts it.");
      return;
    }
    const position = this.editor()?.selection.active;
    const params = {
      textDocument: { uri: running.code2ProtocolConverter.asUri(uri) },
      ...(position ? { position: running.code2ProtocolConverter.asPosition(position) } : {}),
      format: "html",
      direction: vscode.workspace.getConfiguration("zrecipe").get("graph.direction", "down"),
    };
    try {
      const graph = await running.sendRequest<Graph>("zrecipe/graph", params);
      if (uri === this.uri) {
        this.graph = graph;
        if (this.isDrawn) {
          // The page keeps its place and scale.
          this.post({ kind: "page", text: graph.text, current: graph.current });
        } else {
          this.isDrawn = true;
          this.view.webview.html = graph.text;
        }
      }
    } catch (error) {
      running.warn(`no graph of ${uri.toString()}: ${String(error)}`);
      if (uri === this.uri) {
        this.refuse(`There is no graph: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  private hear(heard: FromPage): void {
    if (heard.kind === "ready") {
      const editor = this.editor();
      if (editor) {
        this.moved(editor);
      }
      return;
    }
    const box = this.graph && clicked(this.graph, heard);
    if (!box) {
      return;
    }
    const { start, end } = box.range;
    const range = new vscode.Range(start.line, start.character, end.line, end.character);
    const column = this.editor()?.viewColumn ?? vscode.ViewColumn.One;
    void vscode.window.showTextDocument(this.uri, { viewColumn: column }).then((editor) => {
      editor.selection = new vscode.Selection(range.start, range.start);
      editor.revealRange(range, vscode.TextEditorRevealType.InCenterIfOutsideViewport);
    });
  }

  dispose(): void {
    clearTimeout(this.timer);
    panel = undefined;
    this.subscriptions.forEach((one) => one.dispose());
    this.view.dispose();
  }
}

function showGraph(uri: unknown): void {
  const file = chosen(uri);
  if (file) {
    panel ??= new GraphPanel(file);
    panel.show(file);
  }
}

/** The pages of the rules, which the server has. */
const pages: vscode.TextDocumentContentProvider = {
  async provideTextDocumentContent(uri) {
    const address = `${uri.scheme}:${uri.path}`;
    const answer = await client?.sendRequest<{ text: string }>("workspace/textDocumentContent", { uri: address });
    return answer?.text ?? "";
  },
};

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  context.subscriptions.push(
    vscode.commands.registerCommand("zrecipe.showGraph", showGraph),
    vscode.commands.registerCommand("zrecipe.run", run),
    vscode.commands.registerCommand("zrecipe.restart", restart),
    vscode.workspace.registerTextDocumentContentProvider("zrecipe", pages),
    vscode.workspace.onDidGrantWorkspaceTrust(() => void restart()),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("zrecipe.path") || event.affectsConfiguration("zrecipe.arguments")) {
        void restart();
      }
    }),
    { dispose: () => panel?.dispose() },
  );
  await start();
}

export async function deactivate(): Promise<void> {
  await stop();
}
