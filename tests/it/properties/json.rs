//! JSON is read as others read it.

use super::*;

/// Any JSON value, numbers as text.
fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<u64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_filter("is JSON", |number| number.is_finite()).prop_map(|number| format!("{number:e}")),
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,6})?([eE][+-]?[0-9]{1,2})?",
    ];
    let string = prop_oneof![any::<String>(), "[a-z{}\\\\\"/\n\té😀]{0,12}"]
        .prop_map(|text| serde_json::Value::String(text).to_string());
    let escaped =
        select(&["\"\\u00e9\\ud83d\\ude00\"", "\"\\/\\b\\f\"", "\"\\u0000\"", "\"\""][..]).prop_map(str::to_owned);
    let space = select(&["", " ", "\n  ", "\t", "\r\n"][..]);
    let leaf = prop_oneof![number, string, escaped, select(&["null", "true", "false"][..]).prop_map(str::to_owned)];
    leaf.prop_recursive(5, 60, 6, move |inner| {
        let items = (vec(inner.clone(), 0..6), space.clone())
            .prop_map(|(items, space)| format!("[{space}{}{space}]", items.join(&format!("{space},{space}"))));
        let members = (btree_map("[a-z\"\\\\é]{0,4}", inner, 0..6), space.clone()).prop_map(|(members, space)| {
            let members = members
                .into_iter()
                .map(|(key, value)| format!("{}{space}:{space}{value}", serde_json::Value::String(key)));
            format!("{{{space}{}{space}}}", members.collect::<Vec<_>>().join(&format!("{space},{space}")))
        });
        prop_oneof![items, members]
    })
}

/// Whether a value is what another reader makes of the same text.
fn same(ours: &Value, theirs: &serde_json::Value) -> bool {
    match (ours, theirs) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(ours), serde_json::Value::Bool(theirs)) => ours == theirs,
        (Value::Number(ours), serde_json::Value::Number(theirs)) => match (ours.as_i64(), theirs.as_i64()) {
            (Some(ours), Some(theirs)) => ours == theirs,
            // Theirs may be off by the last digit.
            _ => theirs.as_f64().is_some_and(|theirs| {
                let ours = ours.as_f64();
                (ours - theirs).abs() <= f64::MIN_POSITIVE.max(ours.abs() * 4.0 * f64::EPSILON)
            }),
        },
        (Value::String(ours), serde_json::Value::String(theirs)) => ours == theirs,
        (Value::Array(ours), serde_json::Value::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| same(ours, theirs))
        }
        (Value::Object(ours), serde_json::Value::Object(theirs)) => {
            let pairs = || ours.iter().zip(theirs);
            ours.len() == theirs.len() && pairs().all(|((a, ours), (b, theirs))| a == b && same(ours, theirs))
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(config())]

    /// Both readers read the same, and what is written is read again.
    #[test]
    fn json_is_read_as_others_read_it(text in json()) {
        let theirs: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        let tree = parse(Arc::new(Source::from_text("text", text.clone())));
        prop_assert_eq!(tree.problems(), &[], "{}", text);
        let ours = tree.root().to_value();
        prop_assert!(same(&ours, &theirs), "{}: {:?}", text, ours);
        prop_assert_eq!(&read_value(text.as_bytes()), &Ok(ours.clone()));
        prop_assert_eq!(read_value(ours.to_json().as_bytes()), Ok(ours.clone()));
        prop_assert_eq!(read_value(ours.to_json_pretty().as_bytes()), Ok(ours));
    }

    /// Numbers keep their text, strings have their place.
    #[test]
    fn text_has_its_place(text in json()) {
        let tree = parse(Arc::new(Source::from_text("text", text)));
        for node in tree.nodes().filter(|node| node.raw().starts_with('"')) {
            let decoded = node.text().into_owned();
            let edges: Vec<usize> = (0..=decoded.len()).filter(|&at| decoded.is_char_boundary(at)).collect();
            let spans: Vec<Span> = edges.windows(2).map(|pair| node.text_span(pair[0]..pair[1])).collect();
            for (span, pair) in spans.iter().zip(edges.windows(2)) {
                // What stands there, read alone, is the character.
                let alone = format!("\"{}\"", tree.source().slice(*span));
                let read = read_value(alone.as_bytes()).ok();
                prop_assert_eq!(read, Some(Value::from(&decoded[pair[0]..pair[1]])), "{}", node.raw());
            }
            prop_assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start), "{}", node.raw());
        }
    }
}
