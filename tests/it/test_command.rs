//! `zrecipe test` with several recipes.

use serde_json::{Value, json};

use crate::run::Place;

/// A chain of steps.
fn chain(steps: usize) -> Value {
    let mut recipe = json!({ "start": [[1, []]] });
    for step in 1..=steps {
        let next = if step < steps { json!({ "next": step + 1 }) } else { json!({}) };
        recipe[step.to_string()] = json!({ "queue": format!("q{step}"), "output": next });
    }
    recipe
}

/// A directory of recipes of different lengths, some of which fail in different ways.
fn place() -> Place {
    let place = Place::new();
    std::fs::create_dir(place.path("many")).expect("a directory");
    for number in 0..12 {
        place.recipe(&format!("many/r{number:02}.json"), &chain(1 + (number * 5) % 7));
    }
    place.recipe("many/r03.json", &chain(4));
    std::fs::write(place.path("many/r03.test.yaml"), "cases:\n  - {name: all, not-reached: [2], reached: [3]}\n")
        .expect("writes");
    std::fs::write(place.path("many/r05.test.yaml"), "cases: 5\n").expect("writes");
    std::fs::write(place.path("many/r07.json"), r#"{"1": {"queue": "a", "output": 9}, "start": [[1, []]]}"#)
        .expect("writes");
    std::fs::write(place.path("many/other.json"), r#"{"some": "data"}"#).expect("writes");
    place
}

#[test]
fn several_recipes_are_reported_in_order_whatever_the_number_of_jobs() {
    let place = place();
    let first = place.recipe("zz.json", &chain(9));
    let arguments = |jobs: &'static str| ["test", &first, "many", "many/r00.json", "-j", jobs].map(str::to_owned);
    let run = |jobs| {
        let arguments = arguments(jobs);
        place.zrecipe(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).ends(2)
    };
    let alone = run("1");
    let heads: Vec<&str> = alone.stdout().lines().filter(|line| !line.starts_with(' ')).collect();
    let mut expected = vec!["passed: zz.json".to_owned()];
    for number in 0..12 {
        let result = if [3, 5, 7].contains(&number) { "failed" } else { "passed" };
        expected.push(format!("{result}: many/r{number:02}.json"));
    }
    assert_eq!(heads.len(), expected.len(), "{}", alone.stdout());
    for (head, expected) in heads.iter().zip(&expected) {
        assert!(head.starts_with(expected.as_str()), "{head}: {expected}");
    }
    // The report of a failure is whole.
    for part in
        ["  failed: all\n    step `2` was reached\n", "  passed: every channel\n", "from   channel  to  exercised\n"]
    {
        assert!(alone.stdout().contains(part), "{part}: {}", alone.stdout());
    }
    assert!(alone.stdout().contains("`cases` is not a list"), "{}", alone.stdout());
    let alone = alone.says("10 recipes passed, 3 failed").says("1 recipe could not be tested");
    for jobs in ["2", "7", "64"] {
        let several = run(jobs);
        assert_eq!(several.stdout(), alone.stdout(), "{jobs} jobs");
        assert_eq!(several.stderr(), alone.stderr(), "{jobs} jobs");
    }
}

#[test]
fn several_recipes_are_one_json_document() {
    let place = place();
    let ran = place.zrecipe(&["test", "many/r00.json", "many/r05.json", "many/r07.json", "--json", "-j", "3"]).ends(2);
    let document: Value = serde_json::from_str(ran.stdout()).expect("is JSON");
    let recipes = document["recipes"].as_array().expect("a list");
    let names: Vec<&Value> = recipes.iter().map(|recipe| &recipe["recipe"]).collect();
    assert_eq!(names, ["many/r00.json", "many/r05.json", "many/r07.json"]);
    assert_eq!(recipes[0]["cases"].as_array().map(Vec::len), Some(3));
    assert!(recipes[1]["error"].as_str().is_some_and(|error| error.contains("script")), "{document:#}");
    assert_eq!(recipes[2]["error"], "the dispatcher rejects the recipe");
}

#[test]
fn a_script_is_for_one_recipe() {
    let place = place();
    std::fs::write(place.path("s.yaml"), "cases: []\n").expect("writes");
    place.zrecipe(&["test", "many/r00.json", "--script", "s.yaml"]).ends(0).says("links were exercised");
    place.zrecipe(&["test", "many", "--script", "s.yaml"]).ends(2).says("`--script` needs exactly one recipe");
}
