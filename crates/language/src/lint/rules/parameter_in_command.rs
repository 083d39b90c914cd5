//! Parameters that become part of a command.

use crate::diagnostic::{Diagnostic, Level, Sink};
use crate::infer::Type;
use crate::lint::Context;
use crate::lint::commands::{Reader, commands};
use crate::recipe::Step;
use crate::schema::{Schema, SchemaValue, pattern_is_made_of};
use crate::syntax::NodeRef;
use crate::template::{Field, Piece, Template};
use crate::value::Value;

declare_rule! {
    /// A parameter becomes part of a command.
    ///
    /// # Why
    /// The value of the parameter becomes part of the command. The Runner splits a command at spaces, so a file name
    /// with a space becomes two arguments. The commands of a cluster job are a shell script: with the value
    /// `a; rm -rf ~` for `{file}`, the script deletes files. Numbers, words from a list, other values that are known to
    /// be harmless, and commands that are given as a whole are not reported.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": {
    ///     "queue": "cluster.submission",
    ///     "parameters": { "workingdir": "/scratch", "cluster": { "commands": ["process {file}"] } }
    ///   },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": {
    ///     "queue": "cluster.submission",
    ///     "parameters": {
    ///       "workingdir": "/scratch",
    ///       "cluster": { "commands": ["process \"$FILE\""], "environment": { "FILE": "{file}" } }
    ///     }
    ///   },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The values come from programs, not from people, and contain no spaces or characters of the shell.
    "parameter-in-command", Note
}

/// How many placeholders of a command are looked at.
const MOST_FIELDS: usize = 50;
/// How many of them are pointed at beside the first.
const MOST_LABELS: usize = 5;

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if cx.templates.is_empty() {
        return;
    }
    for step in cx.recipe.steps() {
        for (reader, command) in commands(cx, step) {
            if let Some(diagnostic) = judge(cx, step, reader, command) {
                sink.report(diagnostic);
            }
        }
    }
}

/// What there is to say about a command, once for all that is put into it.
fn judge(cx: &Context<'_>, step: &Step, reader: Reader, command: NodeRef<'_>) -> Option<Diagnostic> {
    let template = cx.template(command)?;
    if template.replace || template.whole().is_some() {
        return None;
    }
    let text = command.text();
    // Each of a name, because it may be in quotes at one place and not at another.
    let mut found = template.fields();
    found.truncate(MOST_FIELDS);
    found.retain(|field| {
        let of_shell = text[..field.span.start].ends_with('$');
        !of_shell && !field.is_foreign() && !is_harmless(cx, field, quote_around(reader, &text, field))
    });
    let runs = |field: &&Field| {
        let special = special(quote_around(reader, &text, field));
        reader == Reader::Shell && given_text(cx, field).is_some_and(|text| text.contains(special))
    };
    let culprit = found.iter().position(runs);
    let first = found.get(culprit.unwrap_or_default())?;
    let mut names: Vec<&str> = Vec::new();
    for field in &found {
        if !names.contains(&field.name.as_str()) {
            names.push(&field.name);
        }
    }
    let names = match names.as_slice() {
        [only] => format!("`{only}` becomes"),
        [one, two] => format!("`{one}` and `{two}` become"),
        [one, two, three] => format!("`{one}`, `{two}` and `{three}` become"),
        more => format!("`{}`, `{}` and {} more parameters become", more[0], more[1], more.len() - 2),
    };
    let kind = if reader == Reader::Shell { "shell command" } else { "command" };
    let message = format!("{names} part of a {kind} of step `{}`", cx.recipe.name(step));
    let mut diagnostic = RULE.at(command.text_span(first.span.clone()), message);
    for field in found.iter().filter(|field| field.span != first.span).take(MOST_LABELS) {
        diagnostic = diagnostic.also(command.text_span(field.span.clone()), "part of it, too");
    }
    if culprit.is_some() {
        diagnostic =
            diagnostic.level(Level::Warning).label("the value contains characters with a meaning in the shell");
    }
    Some(diagnostic.help(match reader {
        Reader::Shell => IN_THE_ENVIRONMENT,
        Reader::Runner => {
            "a value with a space is several arguments, unless the command is written as a list of arguments"
        }
        Reader::Unknown => "the value is split and interpreted by the shell like the rest of the command",
    }))
}

const IN_THE_ENVIRONMENT: &str =
    "the shell may execute the value, even in quotes: pass it in `environment`, and write `\"$NAME\"` here";

/// The quotes of the shell that a placeholder stands in.
fn quote_around(reader: Reader, command: &str, field: &Field) -> Option<char> {
    let mut quote = None;
    for c in command[..field.span.start].chars().filter(|c| reader == Reader::Shell && matches!(c, '\'' | '"')) {
        quote = match quote {
            None => Some(c),
            Some(open) => Some(open).filter(|&open| open != c),
        };
    }
    quote
}

/// Characters by which a shell runs, or reads and writes, something else than it would without them.
fn special(quote: Option<char>) -> &'static [char] {
    match quote {
        Some('\'') => &['\''],
        Some(_) => &['"', '$', '`', '\\'],
        None => &[';', '|', '&', '$', '`', '<', '>', '(', ')', '\'', '"', '\\', '\n'],
    }
}

/// Whether a text is one word to every shell, as Python's `shlex.quote` has it.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c))
}

/// What is put in for a placeholder, where that is known.
fn given_text(cx: &Context<'_>, field: &Field) -> Option<String> {
    let parameters = cx.parameters.filter(|parameters| parameters.contains_key(&field.name))?;
    let alone = Template { replace: false, pieces: vec![Piece::Field(field.clone())] };
    match alone.apply(parameters) {
        Ok(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Whether nothing that is put in for a placeholder can be more than one word.
fn is_harmless(cx: &Context<'_>, field: &Field, quote: Option<char>) -> bool {
    let given = cx.parameters.and_then(|parameters| parameters.get(&field.name));
    match given {
        // `value-as-text` says it.
        Some(Value::Array(_) | Value::Object(_)) if field.path.is_empty() => return true,
        // What cannot be filled in is the business of another rule, too.
        Some(_) => {
            let in_quotes = |text: &str| quote.is_some() && !text.contains(special(quote));
            return given_text(cx, field).is_none_or(|text| is_word(&text) || in_quotes(&text));
        }
        // It stays as text, and `undefined-placeholder` says it.
        None if cx.parameters.is_some() && !cx.is_given(&field.name) => return true,
        None => {}
    }
    // The dispatcher makes the one and reads the others as whole numbers.
    let name = &field.name;
    if name == "guid" || (name.starts_with("ispyb_") && name.ends_with("id")) {
        return true;
    }
    let makes_number =
        matches!(field.spec.last(), Some(Piece::Literal(spec)) if spec.ends_with(|c| "bdoxXeEfFgGn%".contains(c)));
    if makes_number && field.conversion.is_none() {
        return true;
    }
    if !field.path.is_empty() {
        return false;
    }
    let schema = cx.declared.and_then(|declared| declared.get(name));
    if let Some(schema) = schema.map(Schema::root) {
        let pattern = schema.get("pattern").filter(|_| schema.get("type").is_some_and(|kind| kind == "string"));
        let pattern_fits = pattern.and_then(SchemaValue::as_str).is_some_and(|text| pattern_is_made_of(text, is_word));
        if pattern_fits || Type::of_schema(schema, schema).is_made_of(is_word) {
            return true;
        }
    }
    let demands = cx.demands();
    let place = demands.binary_search_by(|parameter| parameter.name.as_str().cmp(name));
    place.is_ok_and(|place| {
        let meets = &demands[place].meets;
        let as_text = meets.meet(&Type::scalar());
        if as_text.is_empty() { meets.is_made_of(is_word) } else { as_text.is_made_of(is_word) }
    })
}
