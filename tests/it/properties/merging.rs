//! Merged recipes.

use super::*;

/// A valid recipe: every step but the first is linked to from one before it, and from more.
fn valid_recipe() -> impl Strategy<Value = Value> {
    let more = vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 0..8);
    (vec(any::<prop::sample::Index>(), 0..8), more, 1..40i64, 1..4i64, any::<bool>()).prop_map(
        |(parents, more, first, gap, on_error)| {
            let count = parents.len() + 1;
            let id = |place: usize| first + gap * place as i64;
            let mut outputs: Vec<Vec<i64>> = vec![Vec::new(); count];
            let mut errors: Vec<Vec<i64>> = vec![Vec::new(); count];
            parents.iter().enumerate().for_each(|(place, parent)| outputs[parent.index(place + 1)].push(id(place + 1)));
            for (from, to, is_error) in more {
                let (from, to) = (from.index(count), to.index(count));
                if from < to {
                    let links = if is_error { &mut errors } else { &mut outputs };
                    links[from].push(id(to));
                }
            }
            let mut recipe = Object::new();
            for (place, (outputs, errors)) in outputs.into_iter().zip(errors).enumerate() {
                let mut step = Object::from_iter([("queue".to_owned(), Value::from(format!("q{place}")))]);
                match outputs.as_slice() {
                    [] => {}
                    [one] if place % 2 == 0 => {
                        step.insert("output".to_owned(), Value::from(*one));
                    }
                    _ if place % 3 == 0 => {
                        let channels =
                            outputs.iter().enumerate().map(|(number, &to)| (format!("c{number}"), Value::from(to)));
                        step.insert("output".to_owned(), Value::Object(channels.collect()));
                    }
                    _ => {
                        step.insert("output".to_owned(), Value::from(outputs.clone()));
                    }
                }
                if !errors.is_empty() {
                    step.insert("error".to_owned(), Value::from(errors));
                }
                recipe.insert(id(place).to_string(), Value::Object(step));
            }
            let start = Value::from(vec![Value::from(id(0)), Value::Null]);
            recipe.insert("start".to_owned(), Value::from(vec![start]));
            if on_error {
                recipe.insert("error".to_owned(), Value::from(vec![id(0)]));
            }
            Value::Object(recipe)
        },
    )
}

/// How many steps, links, first messages and steps for errors a recipe has.
fn counts(recipe: &Value) -> [usize; 4] {
    let compilation = compiled(recipe.to_json().as_bytes(), None);
    let recipe = &compilation.recipe;
    [
        recipe.steps().len(),
        (0..recipe.steps().len()).map(|step| compilation.graph.outgoing(step).len()).sum(),
        recipe.start().map_or(0, |start| start.entries.len()),
        recipe.error().map_or(0, |error| error.targets.len()),
    ]
}

proptest! {
    #![proptest_config(config())]

    /// A merged recipe is valid and has what its parts have.
    #[test]
    fn merging_adds_up(recipes in vec(valid_recipe(), 1..4)) {
        let compiled: Vec<Compilation> = recipes.iter().map(|recipe| compiled(recipe.to_json().as_bytes(), None)).collect();
        for compilation in &compiled {
            prop_assert!(!compilation.is_refused(), "{:?}", compilation.diagnostics);
        }
        let before: Vec<Value> = compiled.iter().map(|compilation| compilation.recipe.to_value()).collect();
        let merged = bind(&compiled, &Object::new());
        let after: Vec<Value> = compiled.iter().map(|compilation| compilation.recipe.to_value()).collect();
        prop_assert_eq!(&before, &after);
        prop_assert_eq!(&merged, &merge(before.clone()));
        let sum = recipes.iter().map(counts).fold([0; 4], |sum, more| std::array::from_fn(|place| sum[place] + more[place]));
        prop_assert_eq!(counts(&merged), sum, "{}", merged.to_json());
        let again = self::compiled(merged.to_json().as_bytes(), None);
        prop_assert!(!again.is_refused(), "{}: {:?}", merged.to_json(), again.diagnostics);
        // The first recipe keeps its numbers.
        for key in before[0].as_object().expect("is an object").keys() {
            prop_assert!(merged.get(key).is_some(), "{}", key);
        }
    }
}
