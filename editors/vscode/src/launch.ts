// How the program is started: what of it VS Code does not need to know. Pure.

/** What the user has set. */
export interface Settings {
  path: string;
  arguments: readonly string[];
}

/** A program with its arguments. */
export interface Command {
  command: string;
  args: string[];
}

/** The home directory may be written as people write it. */
function program(settings: Settings, home: string): string {
  const path = settings.path.trim() || "zrecipe";
  return path.startsWith("~/") ? home + path.slice(1) : path;
}

/** The language server. */
export function server(settings: Settings, home: string): Command {
  return { command: program(settings, home), args: ["lsp", ...settings.arguments] };
}

/** A recipe on the embedded broker. A name that begins with a dash is no option. */
export function run(settings: Settings, home: string, file: string): Command {
  return { command: program(settings, home), args: ["run", ...settings.arguments, "--", file] };
}

/** The names by which a workspace without trust may set nothing are not taken from its folders. */
export function initializationOptions(trusted: boolean, parameters: string): object {
  return parameters === "" ? { trusted } : { trusted, parameters };
}
