//! Templates: their placeholders, what is substituted, and what is inferred from them.

use super::*;

/// Pieces of templates.
const TEMPLATE_PIECES: &[&str] = &[
    "{",
    "}",
    "{{",
    "}}",
    "[",
    "]",
    ".",
    ":",
    "!",
    "!r",
    "!s",
    "!a",
    "x",
    "y",
    "a[b]",
    "[0]",
    "[2]",
    "[b][1]",
    "0",
    "é",
    "😀",
    " ",
    ">",
    "<5",
    "05d",
    ".3f",
    ",",
    "{x}",
    "{a}",
    "{c:>8}",
    "{nobody}",
    "{list[1][z]:.2f}",
    "{x:{c}}",
    "$",
    "{$REPLACE:",
    "{$REPLACE",
];

proptest! {
    #![proptest_config(config())]

    /// A template's places lie in it, whatever it is.
    #[test]
    fn placeholders_lie_in_the_template(pieces in vec(select(TEMPLATE_PIECES), 0..12)) {
        let text = pieces.concat();
        let check = |range: &std::ops::Range<usize>| range.start <= range.end && text.get(range.clone()).is_some();
        match template::parse(&text) {
            Err(error) => prop_assert!(check(&error.span), "{:?} of {:?}", error, text),
            Ok(template) => {
                for field in template.fields() {
                    prop_assert!(check(&field.span), "{:?} of {:?}", field, text);
                    if !template.replace {
                        let shown = &text[field.span.clone()];
                        prop_assert!(shown.starts_with('{') && shown.ends_with('}'), "{:?} of {:?}", shown, text);
                    }
                }
                for parameters in [Object::new(), parameters()] {
                    if let Err(error) = template.apply(&parameters) {
                        prop_assert!(check(&error.span), "{:?} of {:?}", error, text);
                    }
                }
            }
        }
    }

    /// Without braces nothing changes, and doubled braces are single ones afterwards.
    #[test]
    fn text_is_kept(text in "[a-z {}\\\\é😀$]{0,20}") {
        let doubled = text.replace('{', "{{").replace('}', "}}");
        let template = template::parse(&doubled).expect("has no placeholder");
        prop_assert!(template.fields().is_empty());
        prop_assert_eq!(template.apply(&parameters()), Ok(Value::from(text)));
    }

    /// A value is put in as it is: what looks like a placeholder in it is none.
    #[test]
    fn substitution_happens_once(value in "[a-z{}\\[\\]:!$\"\\\\é]{0,16}", key in "[a-z]{1,4}") {
        let object = |pairs: &[(&str, Value)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect::<Object>();
        let inner = object(&[("text", Value::from("<{x}>")), ("value", Value::from("{$REPLACE:x}")), ("{key}", Value::from("{{x}}"))]);
        let step = object(&[("queue", Value::from("a")), ("parameters", Value::Object(inner))]);
        let start = Value::from(vec![Value::from(vec![Value::from(1), Value::from("{x}{x}")])]);
        let recipe = Value::Object(object(&[("1", Value::Object(step)), ("start", start)]));
        let given = object(&[("x", Value::from(value.as_str())), ("key", Value::from(format!("{{{key}}}")))]);
        let compilation = compiled(recipe.to_json().as_bytes(), Some(&given));
        prop_assert!(!compilation.is_refused());
        let bound = bind([&compilation], &given);
        let parameters = bound.get("1").and_then(|step| step.get("parameters")).expect("has parameters");
        let expect = object(&[
            ("text", Value::from(format!("<{value}>"))),
            ("value", Value::from(value.as_str())),
            (&format!("{{{key}}}"), Value::from("{x}")),
        ]);
        prop_assert_eq!(parameters, &Value::Object(expect));
        let payload = bound.get("start").and_then(Value::as_array).and_then(|start| start[0].as_array()).map(|pair| &pair[1]);
        prop_assert_eq!(payload, Some(&Value::from(format!("{value}{value}"))));
    }
}

/// Templates of all forms, valid or not for some types.
fn templates() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        select(vec!["{x}", "{x!r}", "{x!s:>9}", "{$REPLACE:x}", "{$REPLACE:x[a]}", "{$REPLACE:x[1]}"])
            .prop_map(str::to_owned),
        select(vec!["", "[a]", "[0]", "[2]", "[a][b]", "[1][a]", "[a][0]"]).prop_flat_map(|path| {
            let spec = "[<>=^]?[-+ ]?#?0?[0-9]{0,2}[,_]?(\\.[0-9])?[bcdeEfFgGnosxX%]?";
            spec.prop_map(
                move |spec| if spec.is_empty() { format!("{{x{path}}}") } else { format!("{{x{path}:{spec}}}") },
            )
        }),
        select(vec!["{x:{y}}", "{y:>{x}}", "{y:.{x}f}", "{y[a]}", "{y}", "{y:05d}"]).prop_map(str::to_owned),
    ];
    vec(field, 1..3).prop_map(|fields| fields.join("-"))
}

/// Values, some of which are large or odd.
fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-20..200i64).prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Value::from),
        select(vec!["", "5", "-1", "x", "1.5", "true", "é😀", "{x}"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(select(vec!["a", "b", "name"]), inner, 0..3).prop_map(|members| Value::Object(
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..config() })]

    /// What the signature lets through never makes the substitution fail, and what it is sure about makes it fail.
    #[test]
    fn inference_agrees_with_substitution(texts in vec(templates(), 1..3), x in values(), y in values()) {
        let parameters: Vec<Value> = texts.iter().map(|text| Value::from(text.as_str())).collect();
        let object = |pairs: Vec<(&str, Value)>| Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
        let timeout = parameters[0].clone();
        let run = object(vec![("workingdir", ".".into()), ("commands", vec!["date"].into()), ("timeout", timeout)]);
        let start = Value::Array(vec![Value::from(1), object(vec![("payload", Value::Array(parameters.clone()))])]);
        let recipe = object(vec![
            ("1", object(vec![("queue", "q".into()), ("parameters", object(vec![("all", Value::Array(parameters))])), ("output", 2.into())])),
            ("2", object(vec![("queue", "runner.submission".into()), ("parameters", run)])),
            ("start", Value::Array(vec![start])),
        ]);
        let compilation = compiled(recipe.to_json().as_bytes(), None);
        let contracts = zrecipe::contract::Contracts::built_in();
        let signature = zrecipe::infer::infer(&compilation.recipe, &compilation.templates, contracts);
        let given = Object::from_iter([("x".to_owned(), x), ("y".to_owned(), y)]);
        let fits = signature.iter().all(|parameter| {
            parameter.conflict.is_none() && given.get(&parameter.name).is_some_and(|value| parameter.meets.holds(value))
        });
        let applied: Result<Vec<_>, _> = compilation
            .templates
            .iter()
            .filter_map(|used| used.template.as_ref().ok())
            .map(|template| template.apply(&given))
            .collect();
        if fits {
            prop_assert!(applied.is_ok(), "{:?} with {} says {:?}", texts, Value::Object(given).to_json(), applied);
            let bound = compiled(recipe.to_json().as_bytes(), Some(&given));
            let refused: Vec<_> = bound.refusals().collect();
            prop_assert!(refused.is_empty(), "{:?} with {} is refused: {:?}", texts, Value::Object(given).to_json(), refused);
        }
        // What the printed schema lets through is of the type. To JSON Schema 1.0 is an integer, and to Python it is not.
        for parameter in &signature {
            let schema = zrecipe::schema::Schema::new(parameter.meets.to_schema()).expect("a signature is a JSON Schema");
            let value = given_value(&given, &parameter.name);
            if !holds_whole_float(&value) && schema.check_value(&value, false).is_empty() {
                prop_assert!(parameter.meets.holds(&value), "{} {}", parameter.meets.to_schema(), value.to_json());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..config() })]

    /// A format that is said to suit no value suits none, and what is taken for other text fails without a parameter.
    #[test]
    fn what_is_said_to_fail_fails(text in prop_oneof![templates(), "\\$?\\{[ x'\"a,]{1,4}(:[ a1-9{}\\[\\]_,%q>]{1,5}|\\[[0a]\\])?\\}"], x in values(), y in values()) {
        let Ok(template) = template::parse(&text) else { return Ok(()) };
        if template.replace {
            return Ok(());
        }
        let given = Object::from_iter([("x".to_owned(), x), ("y".to_owned(), y)]);
        let unfit = template.fields().iter().any(|field| field.unfit_format().is_some());
        let foreign = template.fields().iter().any(|field| field.is_foreign() && field.needs_definition());
        if unfit || foreign {
            prop_assert!(template.apply(&given).is_err(), "{}", text);
        }
    }

    /// What comes of a template can come of it, and of one with its first letter changed it cannot.
    #[test]
    fn a_template_may_become_what_it_becomes(
        pieces in vec(select(&["a", "ab", "b", "{x}", "{y}", "{{", "{x}{y}", "é"][..]), 1..7),
        values in vec("[ab{é]{0,3}", 2),
    ) {
        let template = template::parse(&pieces.concat()).expect("is a template");
        let given = Object::from_iter([("x".to_owned(), Value::from(values[0].as_str())), ("y".to_owned(), Value::from(values[1].as_str()))]);
        let Ok(Value::String(filled)) = template.apply(&given) else { unreachable!("texts can be filled in") };
        prop_assert!(template.may_become(&filled), "{:?} {}", pieces, filled);
        if !pieces[0].contains('x') && !pieces[0].contains('y') {
            prop_assert!(!template.may_become(&format!("-{filled}")), "{:?} {}", pieces, filled);
        }
    }

    /// A command of which nothing is said has as many words with the values in it as without them.
    #[test]
    fn commands_keep_their_words(
        pieces in vec(select(&["ls", " ", "-d ", "{x}", "{y}", "{run[name]}", "'", "\"", "{n:d}", "{guid}", "/"][..]), 1..8),
        values in vec("[a-z/ ;$'\"]{0,3}", 3),
    ) {
        let command = pieces.concat();
        let object = |pairs: Vec<(&str, Value)>| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Object>();
        let step = |parameters: Object| Value::Object(object(vec![("queue", Value::from("cluster")), ("parameters", Value::Object(parameters))]));
        let cluster = object(vec![("commands", Value::from(vec![command.as_str()]))]);
        let start = Value::from(vec![Value::from(vec![Value::from(1), Value::Array(vec![])])]);
        let recipe = Value::Object(object(vec![("1", step(object(vec![("cluster", Value::Object(cluster))]))), ("start", start)]));
        let text = |at: usize| Value::from(values[at].as_str());
        let given = object(vec![("x", text(0)), ("y", text(1)), ("run", Value::Object(object(vec![("name", text(2))]))), ("n", Value::from(5)), ("guid", Value::from("1-2"))]);
        let compilation = compiled(recipe.to_json().as_bytes(), Some(&given));
        let said = compilation.diagnostics.iter().any(|found| found.rule == "parameter-in-command");
        let whole = template::parse(&command).is_ok_and(|template| template.whole().is_some());
        let Ok(Ok(Value::String(filled))) = template::parse(&command).map(|template| template.apply(&given)) else { return Ok(()) };
        if !said && !whole {
            prop_assert_eq!(shell_words(&filled), shell_words(&command), "{} becomes {}", command, filled);
        }
    }
}

/// What a shell sees in a command: how many words, how many characters of its own, and the quotes open at the end.
fn shell_words(command: &str) -> (usize, usize, Option<char>) {
    let (mut words, mut special, mut quote, mut in_word) = (0, 0, None, false);
    for c in command.chars() {
        let ends_word = quote.is_none() && c.is_whitespace();
        words += usize::from(!ends_word && !in_word);
        in_word = !ends_word;
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            (None, ';' | '$') | (Some('"'), '$') => special += 1,
            _ => {}
        }
    }
    (words, special, quote)
}

fn given_value(given: &Object, name: &str) -> Value {
    given.get(name).cloned().unwrap_or_default()
}

/// JSON Schema calls `1.0` an integer, Python does not.
fn holds_whole_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_integer() && number.as_f64().fract() == 0.0,
        Value::Array(items) => items.iter().any(holds_whole_float),
        Value::Object(object) => object.values().any(holds_whole_float),
        _ => false,
    }
}
