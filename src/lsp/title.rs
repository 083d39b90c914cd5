//! Titles of steps.

use zrecipe_language::recipe::{Recipe, Step};
use zrecipe_language::report::printable;
use zrecipe_language::secret;

/// How to name a step in a list, without secrets.
pub fn title(recipe: &Recipe, step: &Step) -> String {
    secret::hidden_text(&words(recipe, step))
}

/// What a step is found by.
pub fn words(recipe: &Recipe, step: &Step) -> String {
    match recipe.purpose(step) {
        Some(purpose) => format!("{} · {}", step.id, printable(&purpose, 60)),
        None => step.id.to_string(),
    }
}
