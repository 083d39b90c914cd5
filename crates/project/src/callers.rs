//! Who starts recipes: Python code, shell scripts and request files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::python;
use crate::regular;
use zrecipe_language::compile::Reading;
use zrecipe_language::document::{DocumentKind, request};
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::syntax::{Kind, NodeRef};
use zrecipe_language::value::Value;

/// A place that starts recipes.
#[derive(Debug, Clone, PartialEq)]
pub struct Caller {
    /// The file and the line.
    pub place: String,
    /// The names of the recipes.
    pub recipes: BTreeSet<String>,
    /// The parameters that it gives, with their values as far as they are known.
    pub parameters: BTreeMap<String, Option<Value>>,
    /// Whether it may give others.
    pub is_open: bool,
}

impl Caller {
    /// Whether it starts the recipe in a file: the file's name without its ending is the recipe's name.
    pub fn starts(&self, file: &str) -> bool {
        let stem = Path::new(file).with_extension("");
        self.recipes.iter().any(|name| !name.is_empty() && stem.ends_with(name))
    }
}

/// The largest file that is searched: bytes.
const MAX_BYTES: u64 = 4 << 20;

/// The names under which `zocalo.go` and zrecipe start recipes.
const COMMANDS: [&[&str]; 2] = [&["zocalo.go"], &["zrecipe", "go"]];

/// The callers in the Python files and shell scripts below a path. `shown` is what to call a file.
///
/// # Errors
/// The path cannot be read; in words.
pub fn below(path: &Path, shown: &dyn Fn(&Path) -> String) -> Result<Vec<Caller>, String> {
    let mut files: Vec<PathBuf> = Vec::new();
    if path.is_dir() {
        for entry in regular::walk(ignore::WalkBuilder::new(path), path) {
            let entry = entry.map_err(|error| error.to_string())?;
            if entry.file_type().is_some_and(|kind| kind.is_file()) {
                files.push(entry.into_path());
            }
        }
        files.sort();
    } else {
        files.push(path.to_owned());
    }
    let (mut python, mut found) = (Vec::new(), Vec::new());
    for file in files {
        let ending = file.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        // A script may have no ending.
        if !matches!(ending, "py" | "sh" | "bash" | "csh" | "zsh" | "") {
            continue;
        }
        let Ok(regular::Content::Whole(bytes)) = regular::read_in_bulk(&file, MAX_BYTES) else { continue };
        if memchr::memmem::find(&bytes, b"recipe").is_none() && memchr::memmem::find(&bytes, b"zocalo.go").is_none() {
            continue;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let name = shown(&file);
        let is_python =
            ending == "py" || ending.is_empty() && text.starts_with("#!") && first_line(&text).contains("python");
        if is_python {
            // The path gives the name of the module.
            let path =
                if ending == "py" { file.to_string_lossy().into_owned() } else { format!("{}.py", file.display()) };
            python.push(python::File { path, name, text });
        } else if !ending.is_empty() || text.starts_with("#!") {
            found.extend(of_script(&name, &text));
        }
    }
    found.extend(of_python(&python));
    Ok(found)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The callers in Python files.
pub fn of_python(files: &[python::File]) -> Vec<Caller> {
    let value = |value: &serde_json::Value| read_value(value.to_string().as_bytes()).ok();
    let callers = python::callers::callers(files).into_iter();
    let callers = callers.map(|caller| Caller {
        place: caller.evidence.to_string(),
        recipes: caller.recipes.into_iter().collect(),
        parameters: caller
            .parameters
            .iter()
            .map(|(name, known)| (name.clone(), known.as_ref().and_then(value)))
            .collect(),
        is_open: caller.is_open,
    });
    callers.collect()
}

/// The requests that a document holds: it is one, or it is a recipe that sends some.
pub fn of_document(reading: &Reading) -> Vec<Caller> {
    let root = reading.tree.root();
    let requests: Vec<NodeRef<'_>> = match reading.document.kind() {
        DocumentKind::Request => vec![request(root)],
        DocumentKind::Recipe => root.descendants().filter(|node| node.kind() == Kind::Object).collect(),
        _ => Vec::new(),
    };
    let requests = requests.into_iter().filter_map(|object| {
        let names = object.get("recipes").filter(|names| names.kind() == Kind::Array)?;
        let recipes = names.items().filter(|name| name.kind() == Kind::String).map(|name| name.text().into_owned());
        let given = object.get("parameters");
        let members = given.into_iter().flat_map(NodeRef::members);
        let value = |node: NodeRef<'_>| (!node.descendants().any(NodeRef::has_braces)).then(|| node.to_value());
        Some(Caller {
            place: reading.source.place(names.span().start),
            recipes: recipes.collect(),
            parameters: members.map(|member| (member.key.text().into_owned(), value(member.value))).collect(),
            is_open: given.is_some_and(|given| given.kind() != Kind::Object),
        })
    });
    requests.filter(|caller| !caller.recipes.is_empty()).collect()
}

/// The commands of a shell script that start recipes.
pub fn of_script(name: &str, text: &str) -> Vec<Caller> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut line = line.to_owned();
        while line.ends_with('\\') {
            line.pop();
            line.push_str(lines.next().map_or("", |(_, next)| next));
        }
        let words = words(&line);
        let starts = |at: usize, command: &[&str]| {
            let named = |(word, part): (&String, &&str)| word == *part || word.ends_with(&format!("/{part}"));
            words.len() >= at + command.len() && words[at..].iter().zip(command).all(named)
        };
        for at in 0..words.len() {
            let Some(command) = COMMANDS.iter().find(|command| starts(at, command)) else { continue };
            let end = words[at..].iter().position(|word| matches!(word.as_str(), ";" | "&&" | "||" | "|" | "&"));
            let arguments = &words[at + command.len()..end.map_or(words.len(), |end| at + end)];
            found.extend(of_command(&format!("{name}:{}", number + 1), arguments, command.len() == 1));
        }
    }
    found
}

/// The request that the arguments of `go` make.
fn of_command(place: &str, arguments: &[String], is_zocalo: bool) -> Option<Caller> {
    let mut caller =
        Caller { place: place.to_owned(), recipes: BTreeSet::new(), parameters: BTreeMap::new(), is_open: false };
    let mut has_file = false;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let (option, attached) = match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, Some(value.to_owned())),
            // `-rNAME`
            _ if argument.starts_with('-') && !argument.starts_with("--") && argument.chars().count() > 2 => {
                let at = argument.char_indices().nth(2).map_or(argument.len(), |(at, _)| at);
                (&argument[..at], Some(argument[at..].to_owned()))
            }
            _ => (argument.as_str(), None),
        };
        let mut value = || attached.clone().or_else(|| arguments.next().cloned()).unwrap_or_default();
        match option {
            "-r" | "--recipe" => _ = caller.recipes.insert(value()),
            "-s" | "--set" => {
                let setting = value();
                let (name, value) = setting.split_once('=').unwrap_or((&setting, ""));
                let is_literal = !value.contains(['$', '`']);
                caller.parameters.insert(name.to_owned(), is_literal.then(|| Value::from(value)));
            }
            "-f" | "--file" => {
                value();
                has_file = true;
            }
            "-a" | "--autoprocscalingid" => {
                value();
                caller.parameters.insert("ispyb_autoprocscalingid".to_owned(), None);
                caller.is_open = true;
            }
            "-e" | "--environment" => _ = value(),
            option if option.starts_with('-') => {}
            // The ID of a data collection, with which filters find more parameters.
            _ => caller.is_open = true,
        }
    }
    if caller.recipes.is_empty() && is_zocalo && !has_file {
        caller.recipes.insert("mimas".to_owned());
    }
    caller.recipes.retain(|name| !name.contains(['$', '`', '{']));
    (!caller.recipes.is_empty()).then_some(caller)
}

/// The words of a line of a shell script, without comments; `;`, `|` and `&` are words of their own.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some('"') | None, '\\') => word.get_or_insert_default().extend(characters.next()),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ';' | '|' | '&' | '(' | ')') => {
                words.extend(word.take());
                let mut mark = c.to_string();
                if characters.peek() == Some(&c) {
                    mark.extend(characters.next());
                }
                words.push(mark);
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(caller: &Caller) -> (Vec<&str>, Vec<&str>, bool) {
        let parameters = caller.parameters.keys().map(String::as_str).collect();
        (caller.recipes.iter().map(String::as_str).collect(), parameters, caller.is_open)
    }

    #[test]
    fn commands_of_scripts_are_requests() {
        let text = "#!/bin/sh\n# zocalo.go -r old\nzocalo.go -n -r tomography \\\n  -s 'voltage=300' --set=dose=\"$DOSE\" && \
                    echo done\n/opt/bin/zrecipe go -rscale -e live 12 ; zocalo.go -r \"$NAME\"\nzocalo.go 42\n";
        let found = of_script("submit.sh", text);
        let found: Vec<_> = found.iter().map(|caller| (caller.place.as_str(), names(caller))).collect();
        assert_eq!(
            found,
            [
                ("submit.sh:3", (vec!["tomography"], vec!["dose", "voltage"], false)),
                ("submit.sh:5", (vec!["scale"], vec![], true)),
                ("submit.sh:6", (vec!["mimas"], vec![], true)),
            ]
        );
    }

    #[test]
    fn python_code_starts_recipes_in_many_ways() {
        let text = r#"
import dataclasses

RECIPES = ["nightly"]

@dataclasses.dataclass
class StartInfo:
    dcid: int
    filename: str

class Trigger:
    """As beamline software does it."""
    recipe = "grid-scan"

    def __init__(self):
        self.options = {"speed": "fast"}

    def _send(self, parameters: dict):
        message = {"recipes": ["mimas"], "parameters": parameters}
        transport.send("processing_recipe", message)

    def start(self, info: StartInfo):
        data = dataclasses.asdict(info)
        data["event"] = "start"
        self._send(data)

    def end(self):
        self._send({"event": "end", **self.options})

def nightly(transport, extra):
    message = {"parameters": {"a": 1}, "recipes": RECIPES}
    message["parameters"]["b"] = [2]
    message["recipes"].append("second")
    message["parameters"].update(extra)

def submit(name, **parameters):
    send(recipes=[name, "fixed"], parameters=dict(parameters, c="x"))

submit("unused", d=1)
"#;
        let file = python::File { path: "/p/t.py".to_owned(), name: "t.py".to_owned(), text: text.to_owned() };
        let found = of_python(&[file]);
        let found: Vec<_> = found.iter().map(|caller| (caller.place.as_str(), names(caller))).collect();
        assert_eq!(
            found,
            [
                ("t.py:13", (vec!["grid-scan"], vec![], true)),
                ("t.py:25", (vec!["mimas"], vec!["dcid", "event", "filename"], false)),
                ("t.py:28", (vec!["mimas"], vec!["event", "speed"], false)),
                ("t.py:31", (vec!["nightly", "second"], vec!["a", "b"], true)),
                ("t.py:37", (vec!["fixed"], vec!["c", "d"], false)),
            ]
        );
    }
}
