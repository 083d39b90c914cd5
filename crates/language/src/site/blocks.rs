//! Plugin blocks of a site configuration, as they are written.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{Site, plugin_of};
use crate::secret::{has_password, is_secret};
use crate::source::Span;
use crate::syntax::{Kind, NodeRef, Tree};

/// A plugin block that is written in the document at hand.
#[derive(Debug, Clone)]
pub struct Written<'t> {
    /// Its name; nothing when it is a file of its own.
    pub name: Option<Cow<'t, str>>,
    /// Where a finding about all of it should point.
    pub place: Span,
    /// What it says.
    pub content: NodeRef<'t>,
    /// The plugin that it is for.
    pub plugin: Cow<'t, str>,
}

/// The keys in a block under which a secret itself is written, and not the path of a file that holds it; a password in
/// the address of a server is one.
pub fn secrets(block: NodeRef<'_>) -> Vec<NodeRef<'_>> {
    let objects = block.descendants().filter(|node| node.kind() == Kind::Object);
    let is_written = |value: NodeRef<'_>| {
        let text = value.text();
        // What every broker comes with is no secret.
        let is_known = text.starts_with(['/', '~', '.']) || text == "guest";
        let scalar = matches!(value.kind(), Kind::String | Kind::Number) && !text.is_empty() && !is_known;
        scalar || value.items().next().is_some()
    };
    let members = objects.flat_map(|object| object.members());
    members
        .filter(|member| {
            has_password(&member.value.text()) || (is_secret(&member.key.text()) && is_written(member.value))
        })
        .map(|member| member.key)
        .collect()
}

/// The plugin blocks of a site configuration, or the one that a document is. A block that is written once and named
/// twice is one.
pub fn written<'t>(tree: &'t Tree, site: Option<&'t Site>) -> Vec<Written<'t>> {
    let root = tree.root();
    let Some(site) = site else {
        let plugin = plugin_of(root);
        let place = root.get("plugin").map_or(root.head(), NodeRef::span);
        return plugin.map(|plugin| Written { name: None, place, content: root, plugin }).into_iter().collect();
    };
    let mut found: Vec<Written<'t>> = Vec::new();
    let mut seen = HashSet::new();
    for block in &site.blocks {
        let content = site.node(block.value);
        let Some(plugin) = plugin_of(content) else { continue };
        let Span { start, end } = content.span();
        if seen.insert((start, end)) {
            let name = Some(Cow::Borrowed(block.name.as_str()));
            found.push(Written { name, place: site.node(block.key).span(), content, plugin });
        }
    }
    found
}

impl<'t> Written<'t> {
    /// What to call it in a message.
    pub fn called(&self) -> String {
        self.name.as_ref().map_or_else(|| "the block".to_owned(), |name| format!("`{name}`"))
    }

    /// The value of a setting that is written in this block.
    pub fn own(&self, key: &str) -> Option<NodeRef<'t>> {
        self.content.get(key).filter(|value| self.holds(*value))
    }

    /// Whether something is written in this block, and not taken from elsewhere by an alias or `<<`.
    pub fn holds(&self, node: NodeRef<'_>) -> bool {
        let (block, node) = (self.content.span(), node.span());
        block.start <= node.start && node.end <= block.end
    }
}
