//! Steps as the protocol has them in a hierarchy.

use crate::lsp::title::title;
use gen_lsp_types as lsp;

use super::view::View;
use zrecipe_language::graph::Edge;
use zrecipe_language::recipe::Step;
use zrecipe_language::secret;
use zrecipe_language::source::Span;

/// A step.
pub fn item(view: &View, step: &Step) -> lsp::CallHierarchyItem {
    let recipe = &view.compilation.recipe;
    let (key, value) = (recipe.span(step.key), recipe.span(step.value));
    lsp::CallHierarchyItem {
        name: title(recipe, step),
        kind: lsp::SymbolKind::Class,
        tags: None,
        detail: recipe.text(step.queue).map(|queue| secret::hidden_text(&queue)),
        uri: view.uri.clone(),
        range: view.range(Span { start: key.start, end: value.end.max(key.end) }),
        selection_range: view.range(key),
        data: Some(step.id.into()),
    }
}

/// The place of such a step in the recipe as it is now.
pub fn place(view: &View, item: &lsp::CallHierarchyItem) -> Option<usize> {
    view.compilation.recipe.step_index(item.data.as_ref()?.as_i64()?)
}

/// Where a link of a step stands.
pub fn link(view: &View, from: usize, edge: Edge) -> lsp::Range {
    let recipe = &view.compilation.recipe;
    view.range(recipe.span(recipe.links(&recipe.steps()[from])[edge.link].node))
}

/// The links to each step.
pub fn grouped(links: impl Iterator<Item = (usize, lsp::Range)>) -> Vec<(usize, Vec<lsp::Range>)> {
    let mut groups: Vec<(usize, Vec<lsp::Range>)> = Vec::new();
    for (step, range) in links {
        match groups.iter_mut().find(|(known, _)| *known == step) {
            Some((_, ranges)) => ranges.push(range),
            None => groups.push((step, vec![range])),
        }
    }
    groups
}
