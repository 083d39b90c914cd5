//! Configurations that include themselves.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::site::{Include, Site};

declare_rule! {
    /// Files of the site configuration include each other.
    ///
    /// # Why
    /// If a configuration includes itself, or files include each other, reading never ends.
    ///
    /// # Example
    /// ```yaml
    /// version: 1
    /// environments: {}
    /// include: [more.yml]
    /// ```
    /// ```file more.yml
    /// version: 1
    /// include: [example.yaml]
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {}
    /// include: [common.yml]
    /// ```
    ///
    /// # When not to follow it
    /// Never: the site configuration cannot be read.
    "endless-include", Error, about [Site]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    let Some(site) = cx.document.site() else { return };
    for include in site.includes() {
        if let Some(path) = circle(site, include) {
            let path: Vec<String> = path.into_iter().map(|path| format!("`{path}`")).collect();
            let message = format!("the configuration includes itself: {}", path.join(" → "));
            sink.report(RULE.at(site.node(include.node).span(), message).refused());
        }
    }
}

/// The paths that lead round, as they are written.
fn circle(site: &Site, include: &Include) -> Option<Vec<String>> {
    let path = site.node(include.node).text().into_owned();
    if include.endless {
        return Some(vec![path]);
    }
    let inner = include.site.as_deref()?;
    let rest = inner.includes().iter().find_map(|include| circle(inner, include))?;
    Some(std::iter::once(path).chain(rest).collect())
}
