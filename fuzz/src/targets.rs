//! One function a target: it takes any bytes and must not panic. What must hold of every result is asserted here.

use std::sync::Arc;

use zrecipe::bind::bind;
use zrecipe::compile::{Options, alone, compile};
use zrecipe::document::DocumentKind;
use zrecipe::message::{Envelope, Request};
use zrecipe::source::Source;
use zrecipe::syntax::json::read_value;
use zrecipe::syntax::{Tree, json, toml, yaml};
use zrecipe::transport::stomp::frame::{Decoder, Frame};
use zrecipe::value::{Object, Value};
use zrecipe::{python, secret, template};

/// Every span lies in the text and on character boundaries, and so do the secrets; masking keeps the length.
fn is_sound(tree: &Tree) {
    let text = tree.source().text();
    let spans = tree.nodes().map(|node| node.span()).chain(tree.problems().iter().map(|problem| problem.span));
    for span in spans {
        assert!(text.get(span.range()).is_some(), "{span:?} is no part of the text");
    }
    tree.nodes().for_each(|node| _ = node.text());
    assert_eq!(secret::shown(tree).text().len(), text.len(), "a mask is as long as its secret");
}

fn source(name: &str, bytes: &[u8]) -> Arc<Source> {
    Arc::new(Source::from_bytes(name, bytes.to_vec()))
}

/// The JSON parser.
pub fn json(bytes: &[u8]) {
    is_sound(&json::parse(source("a.json", bytes)));
    let _ = read_value(bytes);
}

/// The YAML and the TOML parser.
pub fn yaml(bytes: &[u8]) {
    is_sound(&yaml::parse(source("a.yml", bytes)));
    is_sound(&toml::parse(source("a.toml", bytes)));
}

/// Frames of STOMP. What was decoded is the same after encoding and decoding, and the pieces of a stream do not matter.
pub fn stomp(bytes: &[u8]) {
    let decode = |bytes: &[u8], piece: usize| {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(piece) {
            decoder.feed(piece);
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error)),
                }
            }
        }
        (frames, None)
    };
    let whole: (Vec<Frame>, _) = decode(bytes, bytes.len().max(1));
    assert_eq!(whole.0, decode(bytes, 1).0, "the pieces do not matter");
    for frame in whole.0.iter().filter(|frame| !frame.command.is_empty() && !frame.command.starts_with("CONNECT")) {
        let again = decode(&frame.encode(), 7).0;
        assert!(again.len() == 1 && again[0].body == frame.body, "{frame:?} comes back as {again:?}");
        assert!(frame.headers.iter().all(|header| again[0].headers.contains(header)), "{frame:?} and {again:?}");
    }
}

/// Placeholders and what is put in for them.
pub fn template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let parameters = parameters();
    if let Ok(template) = template::parse(&text) {
        let _ = template.apply(&parameters);
        let _ = template.size(Some(&parameters), template::MAX_TEXT);
        for field in template.fields() {
            assert!(text.get(field.span.clone()).is_some(), "a placeholder is a part of its template");
        }
    }
}

fn parameters() -> Object {
    let value = read_value(br#"{"x": 1, "name": "text", "list": [1, null], "o": {"a": {"0": true}}, "f": 1.5e300}"#);
    value.ok().and_then(|value| value.as_object().cloned()).unwrap_or_default()
}

/// A recipe from its text to its messages.
pub fn expand(bytes: &[u8]) {
    let parameters = parameters();
    let options = Options { parameters: Some(&parameters), ..Options::default() };
    let compilation = compile(source("recipe.json", bytes), options);
    let internal = compilation.diagnostics.iter().find(|found| found.rule == "internal");
    assert!(internal.is_none(), "{internal:?}");
    if !compilation.is_refused() {
        let recipe = bind([&compilation], &parameters);
        let _ = Envelope::start(recipe, Object::new(), "fuzz");
    }
}

/// A document of any kind, with all that is checked of it: site, broker and user configurations, contracts, settings,
/// requests, parameters.
pub fn document(bytes: &[u8]) {
    let kind = DocumentKind::ALL[bytes.len() % DocumentKind::ALL.len()];
    let name = match kind {
        DocumentKind::Settings => "zrecipe.toml",
        DocumentKind::Users => "a.ini",
        _ if bytes.first() == Some(&b'{') => "a.json",
        _ => "a.yml",
    };
    for kind in [Some(kind), None] {
        let compilation = alone(source(name, bytes), kind);
        let internal = compilation.diagnostics.iter().find(|found| found.rule == "internal");
        assert!(internal.is_none(), "{kind:?}: {internal:?}");
    }
}

/// Python source of services, and the contracts that are made of it.
pub fn python(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let file = python::File { path: "site/services/a.py".to_owned(), name: "a.py".to_owned(), text };
    let (drafts, _) = python::contracts(&[file]);
    for draft in &drafts {
        assert!(read_value(draft.text().as_bytes()).is_ok(), "a contract is JSON: {}", draft.text());
    }
}

/// The body of a message, with and without the header of a recipe.
pub fn message(bytes: &[u8]) {
    let headers = Object::from_iter([("workflows-recipe".to_owned(), Value::from("True"))]);
    if let Ok(envelope) = Envelope::read(&headers, bytes) {
        let _ = (envelope.step().len(), envelope.place(), envelope.parameters());
        let _ = envelope.write();
    }
    if let Ok(request) = Request::read(bytes) {
        let _ = request.recipe_id();
        let _ = request.to_value().to_json();
    }
}

/// The headers of a message as they come from RabbitMQ: the bytes as they are, and a table that they are made into.
pub fn headers(bytes: &[u8]) {
    for content in [bytes.to_vec(), table(&mut bytes.iter().copied(), 0)] {
        let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let table = [length.to_be_bytes().to_vec(), content].concat();
        if let Some((headers, _)) = zrecipe::transport::amqp::read_headers(&table) {
            let text = Value::Object(headers).to_json();
            assert!(read_value(text.as_bytes()).is_ok(), "headers are JSON: {text}");
        }
    }
}

/// The members of a table of AMQP, each chosen by the next bytes.
fn table(bytes: &mut impl Iterator<Item = u8>, depth: u8) -> Vec<u8> {
    /// Names that are read, and the types there are.
    const NAMES: [&str; 9] = [
        "x-death",
        "x-delivery-count",
        "zrecipe-retries",
        "workflows-recipe",
        "count",
        "queue",
        "reason",
        "time",
        "x-last-death-queue",
    ];
    const TYPES: &[u8] = b"tbBsuIilLfdSxTDAFV";
    let mut table = Vec::new();
    while let Some(choice) = bytes.next() {
        let name = NAMES[usize::from(choice) % NAMES.len()];
        table.push(u8::try_from(name.len()).unwrap_or_default());
        table.extend(name.bytes());
        value(TYPES[usize::from(bytes.next().unwrap_or_default()) % TYPES.len()], bytes, depth, &mut table);
        if choice >= 200 {
            break;
        }
    }
    table
}

fn value(kind: u8, bytes: &mut impl Iterator<Item = u8>, depth: u8, table: &mut Vec<u8>) {
    table.push(kind);
    let size = match kind {
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'D' => 5,
        b'V' => 0,
        _ => {
            let content = match kind {
                b'F' if depth < 4 => self::table(bytes, depth + 1),
                b'A' if depth < 4 => {
                    let mut items = Vec::new();
                    for _ in 0..bytes.next().unwrap_or_default() % 4 {
                        let kind = b"tsILSFAV"[usize::from(bytes.next().unwrap_or_default()) % 8];
                        value(kind, bytes, depth + 1, &mut items);
                    }
                    items
                }
                _ => bytes.take(5).collect(),
            };
            table.extend(u32::try_from(content.len()).unwrap_or_default().to_be_bytes());
            table.extend(content);
            return;
        }
    };
    table.extend((0..size).map(|_| bytes.next().unwrap_or_default()));
}

/// The search for secrets in any text.
pub fn secret(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = secret::hidden_text(&text);
    if let Ok(value) = read_value(bytes) {
        let _ = secret::hidden("", value);
    }
    for name in ["a.yml", "a.ini", "a.toml", "a.json"] {
        is_sound(&zrecipe::syntax::parse(source(name, bytes)));
    }
}

/// The messages of an editor.
pub fn lsp(bytes: &[u8]) {
    let mut input = bytes;
    while let Ok(Some(_)) = zrecipe::lsp::wire::hear(&mut input) {}
}
