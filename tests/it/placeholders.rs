//! Every kind of value under every kind of subscript and form, as the reference implementation answers: the table
//! is recorded by `tests/conformance/placeholders.py`.

use std::sync::Arc;

use zrecipe::compile::{Compilation, Options, compile};
use zrecipe::contract::Contracts;
use zrecipe::infer::{self, Need};
use zrecipe::lint::{REFUSING, Rule};
use zrecipe::source::Source;
use zrecipe::syntax::json::read_value;
use zrecipe::template;
use zrecipe::value::{Object, Value};

/// A cell of the table.
struct Case {
    /// What the value is, for a message.
    kind: String,
    text: String,
    parameters: Object,
    /// What the reference makes of it; nothing where it rejects the recipe.
    expected: Option<Value>,
}

impl Case {
    /// The recipe with the text as a parameter, judged by these rules.
    fn compile(&self, rules: &[&'static Rule]) -> Compilation {
        let text = Value::from(self.text.as_str()).to_json();
        let recipe = format!(r#"{{"1": {{"queue": "q", "parameters": {{"x": {text}}}}}, "start": [[1, []]]}}"#);
        let source = Arc::new(Source::from_text("recipe", recipe));
        compile(source, Options { rules, parameters: Some(&self.parameters), ..Options::default() })
    }
}

fn cases() -> Vec<Case> {
    let table = read_value(include_bytes!("../conformance/placeholders.json")).expect("the table is JSON");
    let list = |value: &Value| value.as_array().expect("is a list").to_vec();
    let text = |value: &Value| value.as_str().expect("is text").to_owned();
    let (values, forms) = (table.get("values").expect("values"), list(table.get("forms").expect("forms")));
    let others = table.get("others").and_then(Value::as_object).expect("others");
    let mut cases = Vec::new();
    for row in list(table.get("rows").expect("rows")) {
        let [kind, subscript, results] = row.as_array().expect("is a list") else { panic!("a row has three parts") };
        let (kind, subscript) = (text(kind), text(subscript));
        let mut parameters = others.clone();
        if let Some(value) = values.get(&kind).and_then(Value::as_array) {
            parameters.insert("v".to_owned(), value[0].clone());
        }
        for (form, result) in forms.iter().zip(list(results)) {
            cases.push(Case {
                kind: kind.clone(),
                text: text(form).replace('*', &subscript),
                parameters: parameters.clone(),
                expected: result.as_array().map(|value| value[0].clone()),
            });
        }
    }
    assert!(cases.len() > 60_000, "{} cases", cases.len());
    cases
}

fn assert_none(wrong: &[String], of: usize) {
    let shown: Vec<&str> = wrong.iter().take(40).map(String::as_str).collect();
    assert!(wrong.is_empty(), "{} of {of} disagree:\n{}", wrong.len(), shown.join("\n"));
}

/// Equal as JSON: key order does not matter, numbers do.
fn as_json(value: &Value) -> serde_json::Value {
    serde_json::from_str(&value.to_json()).expect("is JSON")
}

#[test]
fn substitution_is_that_of_the_reference() {
    let cases = cases();
    let judged = cases.iter().filter(|case| !is_malformed_on_purpose(case));
    let wrong = judged.filter_map(|case| {
        let found = template::parse(&case.text).ok().and_then(|template| template.apply(&case.parameters).ok());
        let same = found.as_ref().map(as_json) == case.expected.as_ref().map(as_json);
        let show = |value: &Option<Value>| value.as_ref().map_or("rejected".to_owned(), Value::to_json);
        let (expected, found) = (show(&case.expected), show(&found));
        (!same).then(|| format!("{} with {}: {expected} in the reference, here {found}", case.text, case.kind))
    });
    assert_none(&wrong.collect::<Vec<_>>(), cases.len());
}

/// Templates that are malformed here, whatever the parameters are. The reference reads the malformed part only when
/// all before it is there: under `$REPLACE` the result is null otherwise.
fn is_malformed_on_purpose(case: &Case) -> bool {
    template::parse(&case.text).is_err() && case.text.contains("$REPLACE") && case.expected == Some(Value::Null)
}

/// `check` with the parameters at hand refuses what the reference rejects, and nothing else.
#[test]
fn check_refuses_what_the_reference_rejects() {
    let cases = cases();
    let judged = cases.iter().filter(|case| !is_malformed_on_purpose(case));
    let wrong = judged.filter_map(|case| {
        let compilation = case.compile(REFUSING);
        let rules: Vec<&str> = compilation.refusals().map(|found| found.rule).collect();
        let verb = if case.expected.is_some() { "accepts" } else { "rejects" };
        (case.expected.is_some() != rules.is_empty())
            .then(|| format!("{} with {}: the reference {verb} it, refused by {rules:?}", case.text, case.kind))
    });
    assert_none(&wrong.collect::<Vec<_>>(), cases.len());
}

/// What `params` infers with certainty of a parameter holds for every value with which the reference fills the
/// placeholder in, and a parameter that is absent where the reference rejects that is a required one. Null in place
/// of a `$REPLACE` may be what the reference writes for a missing key, and text that Python makes of other values is
/// never expected: rule `value-as-text` reports it.
#[test]
fn inferred_types_hold_what_the_reference_takes() {
    let cases = cases();
    let wrong = cases.iter().filter_map(|case| {
        let compilation = case.compile(&[]);
        let parameters = infer::infer(&compilation.recipe, &compilation.templates, Contracts::built_in());
        let parameter = parameters.iter().find(|parameter| parameter.name == "v")?;
        match (case.parameters.get("v"), &case.expected) {
            (Some(value), Some(result)) => {
                let is_missing = *result == Value::Null && case.text.contains("$REPLACE");
                let becomes_python = |used: &infer::Use| {
                    let value = used.field.value(&case.parameters);
                    !used.is_replace
                        && value.is_some_and(|value| !matches!(*value, Value::String(_) | Value::Number(_)))
                };
                let mut certain = parameter.uses.iter().filter(|used| used.certain && !becomes_python(used));
                let wrong = certain.find(|used| !used.expects.holds(value))?;
                (!is_missing).then(|| format!("{} with {}: {} does not hold it", case.text, case.kind, wrong.expects))
            }
            (None, None) if parameter.need != Need::Required => {
                Some(format!("{}: `v` is not required, and the reference rejects it", case.text))
            }
            _ => None,
        }
    });
    assert_none(&wrong.collect::<Vec<_>>(), cases.len());
}
