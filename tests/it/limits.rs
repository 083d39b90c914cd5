//! Small inputs that could cost much: each has a limit, and what is within all limits is read on a small stack.

use std::sync::Arc;

use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::schema::Schema;
use zrecipe::secret::hidden;
use zrecipe::source::Source;
use zrecipe::syntax::json::read_value;
use zrecipe::syntax::{MAX_DEPTH, parse};
use zrecipe::template::MAX_PATH;
use zrecipe::template::python;
use zrecipe::value::{Object, Value};

fn check(text: &str, parameters: Option<&Object>) -> Compilation {
    compile(Arc::new(Source::from_text("recipe.json", text)), Options { parameters, ..Options::default() })
}

fn rules(compilation: &Compilation) -> Vec<&str> {
    compilation.diagnostics.iter().map(|found| found.rule).collect()
}

fn recipe(value: &str) -> String {
    format!(r#"{{"1": {{"queue": "a", "parameters": {{"x": {value}}}}}, "start": [[1, []]]}}"#)
}

/// Every recursive type, with the deepest input that the limits allow. The stack is that of a thread of the runtime.
#[test]
fn the_deepest_inputs_are_read_on_a_small_stack() {
    let deepest = || {
        let depth = MAX_DEPTH - 4;
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let value = read_value(nested.as_bytes()).expect("is within the limit");
            assert_eq!(hidden("", value.clone()), value.clone());
            let _ = (value.to_json_pretty().len(), python::repr(&value).len(), python::pformat(&value).len());
            assert!(!rules(&check(&recipe(&nested), None)).contains(&"too-deep"));
            let parameters = Object::from_iter([("p".to_owned(), value)]);
            let _ = check(&recipe(r#"["{p}", "{$REPLACE:p}"]"#), Some(&parameters));
            for name in ["a.yml", "a.toml"] {
                let text = if name == "a.toml" { format!("x = {nested}") } else { nested.clone() };
                let _ = parse(Arc::new(Source::from_text(name, text))).root().to_value();
            }
        }
        let path = format!("{{p{}}}", "[a]".repeat(MAX_PATH));
        for text in [path.clone(), format!("{{$REPLACE:{}", &path[1..]), "{p[0]}".repeat(2000)] {
            let compilation = check(&recipe(&Value::from(text).to_json()), None);
            assert!(!rules(&compilation).contains(&"malformed-placeholder"));
            let found =
                zrecipe::infer::infer(&compilation.recipe, &compilation.templates, Options::default().contracts);
            found.iter().for_each(|parameter| _ = (parameter.meets.to_schema(), parameter.meets.to_string()));
        }
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(deepest).expect("starts");
    assert!(thread.join().is_ok(), "a limit is missing");
}

#[test]
fn what_is_deeper_is_a_finding() {
    for subscripts in [MAX_PATH + 1, 200_000] {
        let text = format!("\"{{p{}}}\"", "[a]".repeat(subscripts));
        assert_eq!(rules(&check(&recipe(&text), None)), ["malformed-placeholder"]);
    }
}

/// A schema is as long as the recipe, not as the numbers in it say.
#[test]
fn a_large_subscript_makes_no_large_schema() {
    for index in ["100", "10000000", "9223372036854775806"] {
        let compilation = check(&recipe(&format!("\"{{p[{index}]}}\"")), None);
        let found = zrecipe::infer::infer(&compilation.recipe, &compilation.templates, Options::default().contracts);
        let schema = found[0].meets.to_schema().to_string();
        assert!(schema.len() < 1000 && schema.contains("minItems"), "{index}: {:.100}", schema);
    }
}

/// The widths alone tell that a recipe becomes too large; so do parameters that are put in many times.
#[test]
fn large_results_are_refused_before_they_are_made() {
    let many = |text: &str, count: usize| recipe(&Value::Array(vec![Value::from(text); count]).to_json());
    let parameters = Object::from_iter([("long".to_owned(), Value::from("x".repeat(1_000_000)))]);
    for (text, parameters) in [
        (many("{guid:>1000000}", 400), None),
        (many("{guid:>1000000}", 400), Some(&parameters)),
        (recipe(&Value::from("{long}".repeat(1_000)).to_json()), Some(&parameters)),
        (many("{$REPLACE:long}", 1_000), Some(&parameters)),
    ] {
        let compilation = check(&text, parameters);
        let refused: Vec<&str> = compilation.refusals().map(|found| found.rule).collect();
        assert_eq!(refused, ["rejected-placeholder"]);
    }
    assert!(!rules(&check(&many("{guid:>1000000}", 60), None)).contains(&"rejected-placeholder"));
}

/// A match that the engine gives up is no match.
#[test]
fn a_pattern_that_takes_too_long_is_a_finding() {
    let schema = serde_json::json!({"type": "string", "pattern": "^(?=.)(a|aa)+(?<!x)$"});
    let schema = Schema::new(schema).expect("is a schema");
    for length in [20, 30, 60] {
        let text = "a".repeat(length) + "!";
        assert!(!schema.check_value(&Value::from(text), false).is_empty(), "{length} characters");
    }
    assert!(schema.check_value(&Value::from("aaa"), false).is_empty());
}

/// What is left of a text after a byte order mark has the places that the parser counts.
#[test]
fn byte_order_marks_do_not_move_places() {
    for marks in 0..4 {
        for rest in ["!", "a", "&a", "!!str a", "a: [1", "é: &x 1\nb: *x", "", "\u{feff}"] {
            for name in ["a.yml", "a.json", "a.toml", "a.ini"] {
                let text = "\u{feff}".repeat(marks) + rest;
                let compilation = compile(Arc::new(Source::from_text(name, text.clone())), Options::default());
                assert!(!rules(&compilation).contains(&"internal"), "{name}: {text:?}");
            }
        }
    }
}
