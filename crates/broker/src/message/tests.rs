//! What messages and requests are read as, and what is refused.

use std::time::Duration;

use super::*;
use zrecipe_language::source::Source;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};

#[test]
fn requests_that_are_too_long_and_ids_that_name_no_file_are_refused() {
    let long = vec![b' '; Source::MAX_BYTES as usize + 1];
    assert!(Request::read(&long).is_err_and(|reason| reason.contains("the maximum is 64 MiB")));
    for (guid, expected) in [
        (Value::from("a-1_b.c"), Ok(Some("a-1_b.c"))),
        (Value::from(""), Ok(None)),
        (Value::Null, Ok(None)),
        (Value::from("../../x"), Err("has invalid characters")),
        (Value::from("x".repeat(201)), Err("longer than 200")),
        (Value::from(1), Err("a number, not a string")),
    ] {
        let parameters = Object::from_iter([("guid".to_owned(), guid)]);
        let request = Request { parameters, ..Request::default() };
        match (request.recipe_id(), expected) {
            (Err(said), Err(part)) => assert!(said.contains(part), "{said}"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned)),
        }
    }
}

#[test]
fn messages_with_a_recipe_are_known_as_the_reference_knows_them() {
    for (header, expected) in [
        (Value::Bool(true), true),
        (Value::from("True"), true),
        (Value::from("true"), true),
        (Value::from(1), true),
        (Value::from("TRUE"), false),
        (Value::from("1"), false),
        (Value::Bool(false), false),
        (Value::Object(Object::new()), false),
        (Value::Array(Vec::new()), false),
        (Value::Null, false),
    ] {
        let headers = Object::from_iter([(RECIPE_HEADER.to_owned(), header.clone())]);
        assert_eq!(is_recipe(&headers), expected, "{}", header.to_json());
    }
}

#[test]
fn a_message_comes_to_a_step_once() {
    let recipe = r#"{"1": {"queue": "a", "output": 2}, "2": {"queue": "b", "output": 1}, "start": [[1, []]]}"#;
    for (pointer, path, expected) in [
        (1, "[]", None),
        (2, "[1]", None),
        (2, "[0, 1]", None),
        (1, "[2]", None),
        (1, "[1]", Some("the message goes in a circle: step 1 is in its `recipe-path` already")),
        (1, "[1, 2]", Some("the message goes in a circle: step 1 is in its `recipe-path` already")),
        (2, "[3, 4, 5]", Some("the message goes in a circle: its `recipe-path` has 3 steps, and the recipe has 2")),
    ] {
        let body = format!(r#"{{"recipe": {recipe}, "recipe-pointer": {pointer}, "recipe-path": {path}}}"#);
        let headers = Object::from_iter([(RECIPE_HEADER.to_owned(), Value::Bool(true))]);
        let read = Envelope::read(&headers, body.as_bytes());
        assert_eq!(read.as_ref().err().map(ToString::to_string).as_deref(), expected, "{body}");
        let Ok(envelope) = read else { continue };
        // A checkpoint comes to the same step any number of times.
        let again = envelope.checkpoint("id", &Value::Null, Duration::ZERO, &Object::new()).expect("is sent").remove(0);
        assert_eq!(Envelope::read(&again.headers, &again.body), Ok(envelope), "{body}");
    }
}

#[test]
fn nothing_is_sent_to_a_step_without_a_destination() {
    for (recipe, expected) in [
        (r#"{"1": {"queue": "a", "output": 2}, "2": {}, "start": [[1, []]]}"#, Some(2)),
        (r#"{"1": {"queue": "a", "output": {"x": [3], "y": 2}}, "2": {"queue": "b"}, "3": {"queue": ""}}"#, Some(3)),
        (r#"{"1": {"queue": "a", "error": 2}, "2": {"topic": null}, "start": [[1, []]]}"#, Some(2)),
        (r#"{"1": {"queue": "a"}, "2": {}, "start": [[1, []]], "error": [2]}"#, Some(2)),
        (r#"{"1": {}, "start": [[1, []]]}"#, Some(1)),
        // No message can come to it.
        (r#"{"1": {"topic": "a", "output": []}, "2": {}, "start": [[1, []]]}"#, None),
    ] {
        let recipe = read_value(recipe.as_bytes()).expect("JSON");
        let expected = expected.map_or(Ok(()), |number| Err(SendError::NoDestination(number)));
        assert_eq!(check_destinations(&recipe), expected, "{}", recipe.to_json());
    }
    let recipe = read_value(br#"{"1": {"queue": "a", "output": 2}, "2": {"queue": null}, "start": [[2, []]]}"#);
    let recipe = recipe.expect("JSON");
    assert_eq!(Envelope::start(recipe.clone(), Object::new(), "id"), Err(SendError::NoDestination(2)));
    let (environment, payload) = (Object::new(), Value::Null);
    let envelope = Envelope { recipe: recipe.into(), pointer: 1, path: Vec::new(), environment, payload };
    let output = Output::new(None, Value::Null);
    assert_eq!(envelope.advance("id", &[output], None), Err(SendError::NoDestination(2)));
}

#[test]
fn requests_are_what_the_contract_says() {
    let deep = "[".repeat(600);
    let many = format!("{{\"recipes\": [{}\"x\"]}}", "\"x\", ".repeat(100));
    for (body, fault) in [
        (r#"{"recipes": ["x"], "parameters": {"a": "{b"}, "more": 1}"#, None),
        (r#"{"custom_recipe": null}"#, None),
        (&deep, Some("the request is nested more than 512 levels deep (byte 512)")),
        ("", Some("the request is not valid JSON (byte 0)")),
        ("\u{feff}{}", Some("the request is not valid JSON: it begins with a byte order mark")),
        (
            r#"{"parameters": {"a": [1, NaN]}}"#,
            Some("`parameters.a[1]` of the request is not a finite number, which JSON cannot represent"),
        ),
        (
            r#"{"custom_recipe": {"1": {"queue": "q", "x": -Infinity}, "start": [[1, []]]}}"#,
            Some("`custom_recipe.1.x` of the request is not a finite number, which JSON cannot represent"),
        ),
        ("[]", Some("the request is a list, not an object")),
        (r#"{"recipes": "x"}"#, Some("`recipes` is the text `\"x\"`, not a list")),
        (r#"{"recipes": ["x", 1]}"#, Some("`recipes[1]` is `1`, not a string")),
        (r#"{"recipes": ["\ud800"]}"#, Some("`recipes` contains an item that is not a name")),
        (r#"{"parameters": null}"#, Some("`parameters` is null, not an object")),
        (&many, Some("`recipes` has more than 100 items")),
    ] {
        assert_eq!(Request::read(body.as_bytes()).err().as_deref(), fault, "{body}");
    }
}

fn recipe_message(recipe: &str, pointer: i64) -> Envelope {
    let body = format!(
        r#"{{"recipe": {recipe}, "recipe-pointer": {pointer}, "recipe-path": [], "environment": {{"ID": "i"}}, "payload": [1]}}"#
    );
    let headers = Object::from_iter([(RECIPE_HEADER.to_owned(), Value::Bool(true))]);
    Envelope::read(&headers, body.as_bytes()).expect("is a message")
}

/// The recipe leaves a service as the text that came, whatever its layout, order and numbers; what a receiver would change
/// is changed.
#[test]
fn a_recipe_travels_as_its_text() {
    let odd = "{ \"2\": {\"queue\": \"b\", \"x\": 1.50e+3},\n \"1\" : {\"queue\": \"a\", \"output\": [2], \"é\": NaN}, \"start\": [[1, []]] }";
    let single = r#"{"1": {"queue": "a", "output": 2}, "2": {"queue": "b"}, "start": [[1, []]]}"#;
    let half = r#"{"1": {"queue": "a", "output": [2], "x": "\ud800"}, "2": {"queue": "b"}, "start": [[1, []]]}"#;
    for (recipe, expected) in [
        (odd, odd.to_owned()),
        (single, r#"{"1":{"queue":"a","output":[2]},"2":{"queue":"b"},"start":[[1,[]]]}"#.to_owned()),
        (half, half.replace(": ", ":").replace(", ", ",")),
    ] {
        let envelope = recipe_message(recipe, 1);
        assert_eq!(envelope.recipe.to_json(), expected);
        assert!(!envelope.recipe.to_line().contains('\n'));
        let sent = envelope.advance("id", &[Output::new(None, Value::from("p"))], None).expect("is sent").remove(0);
        assert_eq!(sent.destination, Destination::Queue("b".to_owned()));
        let next = Envelope::read(&sent.headers, &sent.body).expect("is a message");
        assert_eq!((next.pointer, &next.path, &next.payload), (2, &vec![Value::from(1)], &Value::from("p")));
        assert_eq!((next.recipe.to_json(), &next.recipe), (expected.as_str().into(), &envelope.recipe));
        assert_eq!(next.step().get("queue"), Some(&Value::from("b")));
    }
}

/// Of repeated steps the last counts, as for a receiver in Python; others are of no interest to a hop.
#[test]
fn only_the_steps_of_a_hop_are_read() {
    let many: String =
        (3..100).map(|step| format!(r#""{step}": {{"queue": "q{step}", "output": [[{step}]]}}, "#)).collect();
    let recipe =
        format!(r#"{{"1": {{"queue": "old"}}, {many}"1": {{"queue": "a", "output": [99, 7]}}, "start": [[1, []]]}}"#);
    let envelope = recipe_message(&recipe, 1);
    assert_eq!(envelope.place(), Some((Destination::Queue("a".to_owned()), None)));
    let sent = envelope.advance("id", &[Output::new(None, Value::Null)], None).expect("is sent");
    let to: Vec<&Destination> = sent.iter().map(|message| &message.destination).collect();
    assert_eq!(to, [&Destination::Queue("q99".to_owned()), &Destination::Queue("q7".to_owned())]);
    // Half a hop is none: a link to nowhere is found before anything is sent.
    let lost = recipe_message(r#"{"1": {"queue": "a", "output": [2, 3]}, "2": {"queue": "b"}, "start": [[1, []]]}"#, 1);
    let error = lost.advance("id", &[Output::new(None, Value::Null)], None).expect_err("leads nowhere");
    assert_eq!(error.to_string(), "step `1` links to 3, which is not a step");
}
