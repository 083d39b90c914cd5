//! The files that a site configuration reaches: those that it includes, and those that hold one block each.

use super::{Block, Fault, Look, Site, plugin_of};
use crate::source::Unit;
use crate::syntax::{Kind, NodeId, ProblemKind, Tree};

/// A file that a configuration is made of.
#[derive(Debug, Clone, Copy)]
pub struct Part<'s> {
    /// The entry of `include` in the first file that leads to it; none for the first file itself.
    pub via: Option<NodeId>,
    /// What it says.
    pub site: &'s Site,
}

/// A block of an environment that is in a file which cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The block.
    pub block: String,
    /// The path as it is written.
    pub path: String,
    /// Why, as the rest of a sentence about the file.
    pub reason: String,
    /// Whether only this user may not read it, which is right for credentials.
    pub is_denied: bool,
}

impl Site {
    /// This file and all that it includes, however deep.
    pub fn parts(&self) -> Vec<Part<'_>> {
        let mut parts = vec![Part { via: None, site: self }];
        for include in &self.includes {
            let within = include.site.iter().flat_map(|site| site.parts());
            parts.extend(within.map(|part| Part { via: Some(include.node), ..part }));
        }
        parts
    }

    /// Why this file cannot be a part of a configuration, if that is so, as the rest of a sentence about it.
    pub fn defect(&self) -> Option<String> {
        let root = self.tree.root();
        let is_object = matches!(root.kind(), Kind::Object | Kind::Missing);
        defect(&self.tree).or_else(|| (!is_object).then(|| format!("holds {} instead of an object", root.describe())))
    }

    /// The blocks of these environments that are in files which cannot be used.
    ///
    /// # Errors
    /// See [`Site::activate`].
    pub fn unusable_blocks(&self, environments: &[&str]) -> Result<Vec<Unusable>, Fault> {
        let mut found: Vec<Unusable> = Vec::new();
        for environment in environments {
            for name in self.names_in(environment)? {
                let Some((site, block)) = self.block(name) else { continue };
                let Some(reason) = block.defect() else { continue };
                let path = site.node(block.value).text().into_owned();
                let is_denied = matches!(block.file, Some(Look::Denied));
                let unusable = Unusable { block: name.to_owned(), path, reason, is_denied };
                if !found.contains(&unusable) {
                    found.push(unusable);
                }
            }
        }
        Ok(found)
    }
}

impl Block {
    /// Why the file of a block cannot be used, if that is so, as the rest of a sentence about it.
    fn defect(&self) -> Option<String> {
        match self.file.as_ref()? {
            Look::Unknown => None,
            Look::Missing => Some("does not exist".to_owned()),
            Look::Elsewhere => Some("is not on this machine".to_owned()),
            Look::Directory => Some("is a directory".to_owned()),
            Look::Denied => Some("may not be read by this user".to_owned()),
            Look::Unreadable(why) => Some(format!("cannot be read: {why}")),
            Look::File { tree, .. } => {
                let has_plugin = plugin_of(tree.root()).is_some();
                defect(tree).or_else(|| (!has_plugin).then(|| "has no `plugin`".to_owned()))
            }
        }
    }
}

/// What keeps a text from being read. An empty one says nothing, and is no mistake by itself.
fn defect(tree: &Tree) -> Option<String> {
    let problem = tree.mistakes().find(|problem| problem.kind != ProblemKind::Empty)?;
    if tree.source().text().is_empty() && tree.source().undecodable().is_empty() {
        return None;
    }
    let line = tree.source().position(problem.span.start, Unit::Char).line;
    Some(format!("is not YAML: line {line} cannot be read"))
}
