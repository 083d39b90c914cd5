//! Site configuration (`ZOCALO_CONFIG`): which plugin blocks an environment activates, and what they say.
//!
//! The reference is `zocalo.configuration` (`zocalo` 1.5.0). What is read here is what running a recipe needs.

use libyaml_safer::{Document, NodeData, Parser};

/// A site configuration.
#[derive(Debug)]
pub struct Site {
    document: Document,
}

/// A plugin block of a site configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block<'s> {
    /// Written in the file itself.
    Here(Node<'s>),
    /// Written in a file of its own.
    File(&'s str),
}

/// A node of a site configuration.
#[derive(Debug, Clone, Copy)]
pub struct Node<'s> {
    site: &'s Site,
    index: i32,
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl Eq for Node<'_> {}

/// The names at the top level that are no plugin blocks.
const RESERVED: [&str; 3] = ["version", "environments", "include"];

impl Site {
    /// Reads a site configuration, or a plugin block in a file of its own.
    ///
    /// # Errors
    /// The text is not YAML: what is wrong and in which line. The line itself may hold a password, so it is not shown.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut input = text.as_bytes();
        let mut parser = Parser::new();
        parser.set_input_string(&mut input);
        match Document::load(&mut parser) {
            Ok(document) => Ok(Self { document }),
            Err(error) => {
                let line = error.problem_mark().map_or(1, |mark| mark.line + 1);
                Err(format!("line {line}: {}", error.problem()))
            }
        }
    }

    /// The document's top level.
    pub fn root(&self) -> Node<'_> {
        Node { site: self, index: 1 }
    }

    /// The plugin blocks of an environment in the order of their activation: groups alphabetically, `plugins` last,
    /// each block once.
    ///
    /// # Errors
    /// There is no such environment, it goes in circles, or it names a block that there is not.
    pub fn activate(&self, environment: &str) -> Result<Vec<(&str, Block<'_>)>, String> {
        let environments = self.root().get("environments");
        let mut name = environment;
        let mut seen = Vec::new();
        let found = loop {
            let found = environments
                .and_then(|all| all.get(name))
                .ok_or_else(|| format!("there is no environment `{name}`"))?;
            match found.text() {
                Some(_) if seen.contains(&name) => {
                    return Err(format!("environment `{environment}` is an alias of itself"));
                }
                Some(alias) => {
                    seen.push(name);
                    name = alias;
                }
                None => break found,
            }
        };
        let mut groups: Vec<(&str, Node<'_>)> = found.members();
        if groups.is_empty() {
            groups.push(("plugins", found));
        }
        groups.sort_by_key(|&(group, _)| (group == "plugins", group));
        let mut blocks = Vec::new();
        for (_, group) in groups {
            let names = group.text().into_iter().chain(group.items().into_iter().filter_map(Node::text));
            for name in names {
                if blocks.iter().all(|&(known, _)| known != name) {
                    let block = self.root().get(name).filter(|_| !RESERVED.contains(&name));
                    let block =
                        block.ok_or_else(|| format!("environment `{environment}` names the unknown block `{name}`"))?;
                    blocks.push((name, block.text().map_or(Block::Here(block), Block::File)));
                }
            }
        }
        Ok(blocks)
    }

    /// Whether there is an environment of this name.
    pub fn has_environment(&self, name: &str) -> bool {
        self.root().get("environments").is_some_and(|all| all.get(name).is_some())
    }
}

impl<'s> Node<'s> {
    fn data(self) -> &'s NodeData {
        const NOTHING: &NodeData = &NodeData::NoNode;
        usize::try_from(self.index - 1)
            .ok()
            .and_then(|at| self.site.document.nodes.get(at))
            .map_or(NOTHING, |node| &node.data)
    }

    fn at(self, index: i32) -> Self {
        Self { index, ..self }
    }

    /// The text of a scalar, as written.
    pub fn text(self) -> Option<&'s str> {
        match self.data() {
            NodeData::Scalar { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The items of a sequence.
    pub fn items(self) -> Vec<Node<'s>> {
        match self.data() {
            NodeData::Sequence { items, .. } => items.iter().map(|&item| self.at(item)).collect(),
            _ => Vec::new(),
        }
    }

    /// The members of a mapping, in order.
    pub fn members(self) -> Vec<(&'s str, Node<'s>)> {
        match self.data() {
            NodeData::Mapping { pairs, .. } => {
                pairs.iter().filter_map(|pair| Some((self.at(pair.key).text()?, self.at(pair.value)))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A member of a mapping: the last of its name, else the first that `<<` brings in.
    pub fn get(self, key: &str) -> Option<Node<'s>> {
        let members = self.members();
        if let Some(&(_, found)) = members.iter().rev().find(|&&(name, _)| name == key) {
            return Some(found);
        }
        let merged = members.iter().filter(|&&(name, _)| name == "<<").flat_map(|&(_, from)| match from.items() {
            items if items.is_empty() => vec![from],
            items => items,
        });
        // One level is enough for real files, and what is merged into itself must not go round for ever.
        merged.flat_map(Node::members).find(|&(name, _)| name == key).map(|(_, found)| found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
version: 1
common: &common {plugin: storage, zocalo.recipe_directory: /common}
live-storage: {<<: *common, zocalo.recipe_directory: /live}
secret: ~/secret.yml
environments:
  live: {plugins: [live-storage], zz: secret, aa: [common, live-storage]}
  default: live
  round: about
  about: round
  broken: [nosuch]
";

    #[test]
    fn environments_activate_their_blocks_in_order() {
        let site = Site::parse(TEXT).expect("is YAML");
        let blocks = site.activate("default").expect("is right");
        let names: Vec<_> = blocks.iter().map(|&(name, _)| name).collect();
        assert_eq!(names, ["common", "live-storage", "secret"]);
        assert_eq!(blocks[2].1, Block::File("~/secret.yml"));
        let Block::Here(live) = blocks[1].1 else { panic!("is written here") };
        assert_eq!(live.get("zocalo.recipe_directory").and_then(Node::text), Some("/live"));
        assert_eq!(live.get("plugin").and_then(Node::text), Some("storage"));
        for (environment, expected) in [
            ("nosuch", "there is no environment `nosuch`"),
            ("round", "environment `round` is an alias of itself"),
            ("broken", "environment `broken` names the unknown block `nosuch`"),
        ] {
            assert_eq!(site.activate(environment).expect_err("is wrong"), expected);
        }
        assert!(Site::parse("password: s3cret: bad").is_err_and(|error| !error.contains("s3cret")));
    }
}
