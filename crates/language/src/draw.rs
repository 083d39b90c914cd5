//! Recipes as drawings: the list of formats. Each format is one file in `draw/` and writes [`Diagram`]s.

use crate::compile::Compilation;

pub use crate::diagram::{Diagram, Edge, EdgeKind, Finding, Mark, Node, NodeKind, Progress, State, overlay};
pub use crate::layout::Direction;
pub use crate::picture::keep;

/// A format of drawings.
#[derive(Debug)]
pub struct Format {
    /// The name by which the user asks for it: its file's stem.
    pub name: &'static str,
    /// What it is for, in a clause.
    pub description: &'static str,
    /// Writes recipes into one document.
    pub render: fn(&[Diagram], Direction) -> String,
}

/// The format of this name.
pub fn format(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name).copied()
}

/// Draws recipes from top to bottom, under the names the user knows them by.
pub fn render(format: &Format, recipes: &[(&str, &Compilation)]) -> String {
    let diagrams: Vec<Diagram> = recipes.iter().map(|(name, recipe)| Diagram::new(name, &recipe.recipe)).collect();
    (format.render)(&diagrams, Direction::Down)
}

/// Declares the modules of `draw/` and the list of their formats.
macro_rules! formats {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// Every format there is.
        pub static FORMATS: &[&Format] = &[$(&$module::FORMAT),+];
    };
}

formats! {
    mermaid,
    dot,
    svg,
    html,
    text,
}
