//! Site configuration (`ZOCALO_CONFIG`): which plugin blocks an environment activates, and what they say.
//!
//! The reference is `zocalo.configuration` (`zocalo` 1.5.0). Files that a configuration names are looked up through
//! [`Files`], so that reading stays pure; `include`, which the reference documents and does not do, works as it is
//! documented.

mod blocks;
mod given;
mod logging;
mod parts;
mod read;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

pub use self::blocks::{Written, secrets, written};
pub use self::given::{Given, Precedence};
pub use self::logging::{LOGGING_PARTS, LoggingUse, logging_scopes, logging_uses};
pub use self::parts::{Part, Unusable};
use self::read::Way;
use crate::schema::Schema;
use crate::source::Span;
use crate::syntax::{Kind, NodeId, NodeRef, Tree};

/// The names at the top level that are no plugin blocks.
pub const RESERVED: [&str; 3] = ["version", "environments", "include"];

/// The plugins that come with `zocalo` and `workflows`, and the JSON Schemas of their settings.
const FORMS: [(&str, &str); 12] = [
    ("graylog", include_str!("../../../schemas/site/graylog.schema.json")),
    ("iris", include_str!("../../../schemas/site/slurm.schema.json")),
    ("jmx", include_str!("../../../schemas/site/jmx.schema.json")),
    ("logging", include_str!("../../../schemas/site/logging.schema.json")),
    ("opentelemetry", include_str!("../../../schemas/site/opentelemetry.schema.json")),
    ("pika", include_str!("../../../schemas/site/pika.schema.json")),
    ("rabbitmqapi", include_str!("../../../schemas/site/rabbitmqapi.schema.json")),
    ("slurm", include_str!("../../../schemas/site/slurm.schema.json")),
    ("smtp", include_str!("../../../schemas/site/smtp.schema.json")),
    ("stomp", include_str!("../../../schemas/site/stomp.schema.json")),
    ("storage", include_str!("../../../schemas/site/storage.schema.json")),
    ("transport", include_str!("../../../schemas/site/transport.schema.json")),
];

/// The files that a configuration names.
pub trait Files: Sync {
    /// Looks up a path that is written in the file `from`.
    fn look(&self, from: &str, path: &str) -> Look;

    /// Whether a path that is written in the file `from` leads to the file of this name.
    fn are_same(&self, _from: &str, _path: &str, _name: &str) -> bool {
        false
    }
}

/// What there is at a path.
#[derive(Debug, Clone)]
pub enum Look {
    /// Nobody has looked.
    Unknown,
    /// Nothing.
    Missing,
    /// Nothing, and not even the topmost directory of its path: it may well be on another machine.
    Elsewhere,
    /// A directory.
    Directory,
    /// Something that this user may not read.
    Denied,
    /// Something that cannot be read, and why.
    Unreadable(String),
    /// A file.
    File {
        /// What is in it.
        tree: Arc<Tree>,
        /// Whether every user of the machine may read it.
        public: bool,
    },
}

/// No files at all: nobody has looked.
#[derive(Debug, Clone, Copy)]
pub struct NoFiles;

impl Files for NoFiles {
    fn look(&self, _from: &str, _path: &str) -> Look {
        Look::Unknown
    }
}

/// Files of which one has a text that is not in it yet.
struct Edited<'a> {
    text: &'a Arc<Tree>,
    others: &'a dyn Files,
}

impl Files for Edited<'_> {
    fn look(&self, from: &str, path: &str) -> Look {
        match self.others.look(from, path) {
            Look::File { public, .. } if self.others.are_same(from, path, self.text.source().name()) => {
                Look::File { tree: Arc::clone(self.text), public }
            }
            found => found,
        }
    }
}

/// A site configuration and the files that belong to it.
#[derive(Debug)]
pub struct Site {
    tree: Arc<Tree>,
    blocks: Vec<Block>,
    environments: Vec<Environment>,
    includes: Vec<Include>,
    recipe_directories: Vec<(NodeId, Look)>,
    /// The configuration that this is a part of.
    whole: Option<Box<Site>>,
    /// The environments of all files, and what each is a name for.
    aliases: OnceLock<HashMap<String, Option<String>>>,
    /// The places of the blocks of this file.
    places: OnceLock<HashMap<String, usize>>,
    /// Where values are written that stand elsewhere in the document, too, and the nodes there.
    copies: OnceLock<Vec<(Span, NodeId)>>,
    /// Settings from the command line.
    given: Vec<Given>,
}

/// A plugin block.
#[derive(Debug)]
pub struct Block {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: NodeId,
    /// What follows the key.
    pub value: NodeId,
    /// The file that it is in, when it is not written here.
    pub file: Option<Look>,
}

/// An environment: the blocks that `-e NAME` activates.
#[derive(Debug)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: NodeId,
    /// What follows the key.
    pub value: NodeId,
    /// Another environment that it is a name for.
    pub alias: Option<String>,
    /// Its groups in the order of the text; one named `plugins` if it is a list.
    pub groups: Vec<Group>,
}

/// A group of blocks in an environment.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub node: NodeId,
    /// The names of its blocks.
    pub blocks: Vec<(String, NodeId)>,
}

/// A file that is read as if it were part of this one.
#[derive(Debug)]
pub struct Include {
    /// Where it is named.
    pub node: NodeId,
    /// What is there.
    pub look: Look,
    /// What it says.
    pub site: Option<Box<Site>>,
    /// Whether it includes itself.
    pub endless: bool,
}

/// A block that an environment activates.
#[derive(Debug, Clone, Copy)]
pub struct Active<'s> {
    /// Its name.
    pub name: &'s str,
    /// What it says; nothing when it is in a file that cannot be read.
    pub block: Option<NodeRef<'s>>,
}

/// A setting of a plugin that holds, and where it comes from.
#[derive(Debug, Clone)]
pub struct Setting<'s> {
    /// Its name.
    pub name: String,
    /// Its value.
    pub node: NodeRef<'s>,
    /// The block that it is in.
    pub block: &'s str,
}

/// Plugins by name, and the settings of each.
pub type Plugins<'s> = Vec<(Cow<'s, str>, Vec<Setting<'s>>)>;

/// Why an environment cannot be activated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// There is none of this name.
    #[error("there is no environment `{0}`")]
    NoEnvironment(String),
    /// It is a name for itself; the names on the way.
    #[error("the environment `{}` is an alias of itself", .0.first().map_or("", String::as_str))]
    Circle(Vec<String>),
    /// It names a block that there is not.
    #[error("the environment `{environment}` names the unknown block `{block}`")]
    NoBlock {
        /// The environment.
        environment: String,
        /// The block.
        block: String,
    },
}

impl Site {
    /// Reads a site configuration by itself.
    pub fn new(tree: Arc<Tree>) -> Self {
        Self::with(tree, &NoFiles)
    }

    /// Reads a site configuration and the files that it names.
    pub fn with(tree: Arc<Tree>, files: &dyn Files) -> Self {
        Self::read(tree, files, &mut Way::default())
    }

    /// The same for a file that the configuration in the file `outer` may include: then it is read as the part of
    /// that.
    pub fn within(tree: Arc<Tree>, files: &dyn Files, outer: Option<&Path>) -> Self {
        let outer = outer.and_then(|outer| {
            let files = Edited { text: &tree, others: files };
            let Look::File { tree: whole, .. } = files.look("", &outer.to_string_lossy()) else { return None };
            let is_itself = Arc::ptr_eq(&whole, &tree);
            Some(Self::with(whole, &files)).filter(|_| !is_itself)
        });
        let whole = outer.filter(|whole| whole.files().iter().any(|part| Arc::ptr_eq(&part.tree, &tree)));
        Self { whole: whole.map(Box::new), ..Self::with(tree, files) }
    }

    /// The document.
    pub fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    /// A node of the document.
    pub fn node(&self, id: NodeId) -> NodeRef<'_> {
        self.tree.node(id)
    }

    /// The blocks of this file.
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The environments of this file.
    pub fn environments(&self) -> &[Environment] {
        &self.environments
    }

    /// The files that are read as if they were part of this one.
    pub fn includes(&self) -> &[Include] {
        &self.includes
    }

    /// The recipe directories that blocks of this file name, and what is there.
    pub fn recipe_directories(&self) -> &[(NodeId, Look)] {
        &self.recipe_directories
    }

    /// This file and all that it includes, each before those that come before it; of a part, the files of the whole.
    pub fn files(&self) -> Vec<&Site> {
        if let Some(whole) = &self.whole {
            return whole.files();
        }
        let mut all = vec![self];
        all.extend(self.includes.iter().filter_map(|include| include.site.as_deref()).flat_map(Site::files));
        all
    }

    /// Whether everything that belongs to the configuration is known.
    pub fn is_complete(&self) -> bool {
        self.files()
            .iter()
            .all(|site| !site.tree.is_broken() && site.includes.iter().all(|include| include.site.is_some()))
    }

    /// The block of this name: included files come before the including one, later ones before earlier ones.
    pub fn block(&self, name: &str) -> Option<(&Site, &Block)> {
        if let Some(whole) = &self.whole {
            return whole.block(name);
        }
        let included = self.includes.iter().rev().filter_map(|include| include.site.as_deref());
        included.into_iter().find_map(|site| site.block(name)).or_else(|| {
            let places = self.places.get_or_init(|| {
                // Of several with one name, the first.
                self.blocks.iter().enumerate().rev().map(|(place, block)| (block.name.clone(), place)).collect()
            });
            Some((self, &self.blocks[*places.get(name)?]))
        })
    }

    /// What a block of this configuration says; nothing when it is in a file that is not known.
    pub fn content<'s>(&'s self, block: &'s Block) -> Option<NodeRef<'s>> {
        match &block.file {
            None => Some(self.node(block.value)),
            Some(Look::File { tree, .. }) => Some(tree.root()),
            Some(_) => None,
        }
    }

    /// Whether something else in the document takes from this value, by an alias or `<<`.
    pub fn is_copied(&self, value: NodeId) -> bool {
        let copies = self.copies.get_or_init(|| {
            // What is copied is written before the place that it is copied to.
            let mut end = 0;
            let mut copies: Vec<(Span, NodeId)> = Vec::new();
            for node in self.tree.nodes() {
                let span = node.span();
                if span.start <= end && span.start < span.end {
                    copies.push((span, node.id()));
                }
                end = end.max(span.start);
            }
            copies.sort_unstable();
            copies
        });
        let value = self.node(value);
        let Span { start, end } = value.span();
        let from = copies.partition_point(|(span, _)| span.start < start);
        let mut inside = copies[from..].iter().take_while(|(span, _)| span.start < end);
        inside.any(|(span, id)| span.end <= end && !value.holds(*id))
    }

    /// The names of all environments, each once, in the order of the text.
    pub fn environment_names(&self) -> Vec<&str> {
        let mut seen = HashSet::new();
        let names = self.files().into_iter().flat_map(Site::environments).map(|environment| &*environment.name);
        names.filter(|name| seen.insert(*name)).collect()
    }

    /// The names of the blocks that environments name.
    pub fn named_blocks(&self) -> HashSet<&str> {
        let environments = self.files().into_iter().flat_map(Site::environments);
        let groups = environments.flat_map(|environment| &environment.groups);
        groups.flat_map(|group| &group.blocks).map(|(name, _)| &**name).collect()
    }

    /// What an environment is a name for, if it is one; nothing if there is no such environment.
    pub fn alias(&self, name: &str) -> Option<Option<&str>> {
        let aliases = self.aliases.get_or_init(|| {
            let environments = self.files().into_iter().flat_map(Site::environments);
            environments.map(|environment| (environment.name.clone(), environment.alias.clone())).collect()
        });
        aliases.get(name).map(Option::as_deref)
    }

    /// The environment that an environment is a name for, or itself.
    ///
    /// # Errors
    /// There is none of this name, or it is a name for itself.
    pub fn aliased<'s>(&'s self, name: &'s str) -> Result<&'s str, Fault> {
        let mut name = name;
        let (mut path, mut seen) = (Vec::new(), HashSet::new());
        loop {
            let alias = self.alias(name).ok_or_else(|| Fault::NoEnvironment(name.to_owned()))?;
            let Some(alias) = alias else { return Ok(name) };
            path.push(name);
            seen.insert(name);
            if seen.contains(alias) {
                path.push(alias);
                return Err(Fault::Circle(path.into_iter().map(str::to_owned).collect()));
            }
            name = alias;
        }
    }

    /// The names of the blocks of an environment in the order of their activation: groups alphabetically, `plugins`
    /// last, each block once.
    ///
    /// # Errors
    /// See [`Site::aliased`].
    pub fn names_in<'s>(&'s self, environment: &'s str) -> Result<Vec<&'s str>, Fault> {
        let name = self.aliased(environment)?;
        let mut groups: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
        for found in self.files().into_iter().flat_map(Site::environments).filter(|found| found.name == name) {
            for group in &found.groups {
                let is_plugins = group.name == "plugins";
                let names = groups.entry((is_plugins, &group.name)).or_default();
                // An included file says more about `plugins`, and something else about any other group.
                if !is_plugins {
                    names.clear();
                }
                names.extend(group.blocks.iter().map(|(name, _)| name.as_str()));
            }
        }
        let mut seen = HashSet::new();
        Ok(groups.into_values().flatten().filter(|name| seen.insert(*name)).collect())
    }

    /// The blocks of an environment in the order of their activation.
    ///
    /// # Errors
    /// See [`Site::aliased`], or it names a block that there is not.
    pub fn activate<'s>(&'s self, environment: &'s str) -> Result<Vec<Active<'s>>, Fault> {
        let active = |name: &'s str| {
            let found = self.block(name).filter(|_| !RESERVED.contains(&name));
            let (site, block) =
                found.ok_or_else(|| Fault::NoBlock { environment: environment.to_owned(), block: name.to_owned() })?;
            Ok(Active { name, block: site.content(block) })
        };
        self.names_in(environment)?.into_iter().map(active).collect()
    }
}

impl Site {
    /// The settings that hold when environments are activated in this order, by plugin. Blocks of `storage` add to
    /// one another; of any other plugin the last block counts.
    ///
    /// # Errors
    /// See [`Site::activate`].
    pub fn resolve<'s>(&'s self, environments: &[&'s str]) -> Result<Plugins<'s>, Fault> {
        let mut plugins: Plugins<'s> = Vec::new();
        for environment in environments {
            for active in self.activate(environment)? {
                let Some((block, plugin)) = active.block.and_then(|block| Some((block, plugin_of(block)?))) else {
                    continue;
                };
                let at = plugins.iter().position(|(known, _)| *known == plugin).unwrap_or_else(|| {
                    plugins.push((plugin.clone(), Vec::new()));
                    plugins.len() - 1
                });
                let settings = &mut plugins[at].1;
                if plugin != "storage" {
                    settings.clear();
                }
                let members = block.members().filter(|member| !member.key.is("plugin"));
                settings.extend(members.map(|member| Setting {
                    name: member.key.text().into_owned(),
                    node: member.value,
                    block: active.name,
                }));
            }
        }
        // Of several with one name the last counts, and stands where it is.
        for (_, settings) in &mut plugins {
            let mut seen = HashSet::new();
            let is_last: Vec<bool> = settings.iter().rev().map(|setting| seen.insert(&*setting.name)).collect();
            let mut is_last = is_last.into_iter().rev();
            settings.retain(|_| is_last.next() == Some(true));
        }
        self.add_given(&mut plugins);
        Ok(plugins)
    }
}

/// The name of the plugin that a block is for.
pub fn plugin_of(block: NodeRef<'_>) -> Option<Cow<'_, str>> {
    block.get("plugin").filter(|plugin| plugin.kind() == Kind::String).map(NodeRef::text)
}

/// The names of the plugins that come with `zocalo` and `workflows`.
pub fn plugins() -> impl Iterator<Item = &'static str> {
    FORMS.iter().map(|(name, _)| *name)
}

/// What the settings of a plugin look like; nothing for one that the site has made.
pub fn form_of(plugin: &str) -> Option<&'static Schema> {
    static COMPILED: [OnceLock<Option<Schema>>; FORMS.len()] = [const { OnceLock::new() }; FORMS.len()];
    let at = FORMS.iter().position(|(name, _)| *name == plugin)?;
    COMPILED[at].get_or_init(|| Schema::published(FORMS[at].1)).as_ref()
}

#[cfg(test)]
mod tests {
    use super::read::MOST_INCLUDED;
    use super::*;
    use crate::source::Source;
    use crate::syntax::yaml;

    const TEXT: &str = "
version: 1
include: [more.yml, nosuch.yml]
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

    struct Thrice;

    impl Files for Thrice {
        fn look(&self, _: &str, path: &str) -> Look {
            let next = format!("{path}x");
            let text = format!("include: [{next}, {next}, {next}]");
            Look::File { tree: Arc::new(yaml::parse(Arc::new(Source::from_text(path, text)))), public: false }
        }
    }

    #[test]
    fn includes_that_multiply_come_to_an_end() {
        let tree = Arc::new(yaml::parse(Arc::new(Source::from_text("site.yml", "include: [a, a]"))));
        assert!(Site::with(tree, &Thrice).files().len() <= MOST_INCLUDED + 1);
    }

    struct Folder;

    impl Files for Folder {
        fn look(&self, from: &str, path: &str) -> Look {
            let text = match path {
                "more.yml" => {
                    "include: [site.yml]\nextra: {plugin: x}\nenvironments: {live: {plugins: [extra], zz: []}}"
                }
                "site.yml" => TEXT,
                "~/secret.yml" => "plugin: pika",
                _ => return Look::Missing,
            };
            assert!(["site.yml", "more.yml"].contains(&from), "{from}");
            Look::File { tree: Arc::new(yaml::parse(Arc::new(Source::from_text(path, text)))), public: false }
        }
    }

    #[test]
    fn environments_activate_their_blocks_in_order() {
        let tree = Arc::new(yaml::parse(Arc::new(Source::from_text("site.yml", TEXT))));
        let site = Site::new(Arc::clone(&tree));
        assert_eq!(site.names_in("default").expect("is right"), ["common", "live-storage", "secret"]);
        let site = Site::with(tree, &Folder);
        let blocks = site.activate("default").expect("is right");
        let names: Vec<_> = blocks.iter().map(|active| active.name).collect();
        assert_eq!(names, ["common", "live-storage", "extra"]);
        let live = blocks[1].block.expect("is written here");
        assert_eq!(live.get("zocalo.recipe_directory").map(NodeRef::text).as_deref(), Some("/live"));
        assert_eq!(plugin_of(live).as_deref(), Some("storage"));
        let includes = site.includes();
        assert!(matches!(includes[1].look, Look::Missing));
        assert!(includes[0].site.as_ref().is_some_and(|site| site.includes()[0].endless));
        for (environment, expected) in [
            ("nosuch", "there is no environment `nosuch`"),
            ("round", "the environment `round` is an alias of itself"),
            ("broken", "the environment `broken` names the unknown block `nosuch`"),
        ] {
            assert_eq!(site.activate(environment).expect_err("is wrong").to_string(), expected);
        }
    }
}
