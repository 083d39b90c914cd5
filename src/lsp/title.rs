//! Titles of steps.

use zrecipe_language::recipe::{Recipe, Step};
use zrecipe_language::report::printable;

/// How to name a step in a list.
pub fn title(recipe: &Recipe, step: &Step) -> String {
    match recipe.purpose(step) {
        Some(purpose) => format!("{} · {}", step.id, printable(&purpose, 60)),
        None => step.id.to_string(),
    }
}
