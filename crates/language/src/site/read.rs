//! The reader of site configurations and of the files that they include.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use super::{Block, Environment, Files, Group, Include, Look, Site, plugin_of};
use crate::syntax::{Kind, NodeRef, Tree};

/// How many files may include one another, one in the other.
const MOST_INCLUDES: usize = 16;

/// How many files may be included in all.
pub(super) const MOST_INCLUDED: usize = 100;

impl Site {
    pub(super) fn read(tree: Arc<Tree>, files: &dyn Files, way: &mut Way) -> Self {
        let name = tree.source().name();
        way.within.push(name.to_owned());
        let root = tree.root();
        let mut site = Self {
            blocks: Vec::new(),
            environments: Vec::new(),
            includes: Vec::new(),
            recipe_directories: Vec::new(),
            whole: None,
            aliases: OnceLock::new(),
            places: OnceLock::new(),
            copies: OnceLock::new(),
            given: Vec::new(),
            tree: Arc::clone(&tree),
        };
        let mut last: HashMap<String, usize> = HashMap::new();
        for (at, member) in root.members().enumerate() {
            last.insert(member.key.text().into_owned(), at);
        }
        for (at, member) in root.members().enumerate() {
            let key = member.key.text();
            let value = member.value;
            match &*key {
                // Of a repeated key the last counts.
                _ if last.get(&*key) != Some(&at) => {}
                "version" => {}
                "environments" => {
                    site.environments = value.members().map(|member| environment(member.key, member.value)).collect()
                }
                "include" => {
                    for node in value.items().filter(|item| item.kind() == Kind::String) {
                        site.includes.push(include(node, files, way));
                    }
                }
                _ => {
                    let file = (value.kind() == Kind::String).then(|| files.look(name, &value.text()));
                    let is_storage = plugin_of(value).is_some_and(|plugin| plugin == "storage");
                    if is_storage && let Some(directory) = recipe_directory(value) {
                        // The dispatcher takes it as it is: relative to wherever it runs.
                        let absolute = directory.text().starts_with('/');
                        let look = if absolute { files.look(name, &directory.text()) } else { Look::Unknown };
                        site.recipe_directories.push((directory.id(), look));
                    }
                    site.blocks.push(Block { name: key.into_owned(), key: member.key.id(), value: value.id(), file });
                }
            }
        }
        way.within.pop();
        site
    }
}

fn recipe_directory(block: NodeRef<'_>) -> Option<NodeRef<'_>> {
    block.get("zocalo.recipe_directory").filter(|directory| directory.kind() == Kind::String)
}

fn environment(key: NodeRef<'_>, value: NodeRef<'_>) -> Environment {
    let names = |node: NodeRef<'_>| {
        let one = (node.kind() == Kind::String).then_some(node);
        one.into_iter()
            .chain(node.items())
            .filter(|node| node.kind() == Kind::String)
            .map(|node| (node.text().into_owned(), node.id()))
            .collect()
    };
    let groups = match value.kind() {
        Kind::Array => vec![Group { name: "plugins".to_owned(), node: value.id(), blocks: names(value) }],
        _ => {
            let group = |member: crate::syntax::Member<'_>| Group {
                name: member.key.text().into_owned(),
                node: member.value.id(),
                blocks: names(member.value),
            };
            value.members().map(group).collect()
        }
    };
    let alias = (value.kind() == Kind::String).then(|| value.text().into_owned());
    Environment { name: key.text().into_owned(), key: key.id(), value: value.id(), alias, groups }
}

/// How reading came to a file.
#[derive(Default)]
pub(super) struct Way {
    /// The files that are being read, one within the other.
    within: Vec<String>,
    /// How many files have been included.
    included: usize,
}

fn include(node: NodeRef<'_>, files: &dyn Files, way: &mut Way) -> Include {
    way.included += 1;
    let look = if way.included > MOST_INCLUDED {
        Look::Unreadable(format!("more than {MOST_INCLUDED} files are included"))
    } else {
        files.look(node.tree().source().name(), &node.text())
    };
    let mut include = Include { node: node.id(), look, site: None, endless: false };
    if let Look::File { tree, .. } = &include.look {
        include.endless =
            way.within.iter().any(|name| name == tree.source().name()) || way.within.len() == MOST_INCLUDES;
        if !include.endless {
            include.site = Some(Box::new(Site::read(Arc::clone(tree), files, way)));
        }
    }
    include
}
