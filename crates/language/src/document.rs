//! What a file is, told by its content: a recipe, a contract, or a part of a site's configuration.

mod detect;

use std::path::Path;
use std::sync::Arc;

use crate::contract::{self, Reading};
use crate::site::{Files, Site};
use crate::syntax::{NodeRef, Notation, Tree};
use crate::topology::{self, Topology, users};

/// Name of the settings file.
pub const SETTINGS_FILE: &str = "zrecipe.toml";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// A recipe; also a document that shows no kind.
    Recipe,
    /// What a service promises.
    Contract,
    /// A site configuration (`ZOCALO_CONFIG`).
    Site,
    /// A plugin block of a site configuration in a file of its own.
    Plugin,
    /// The broker's queues, exchanges and policies.
    Broker,
    /// Settings of zrecipe itself: `zrecipe.toml`.
    Settings,
    /// A processing request, as sent to the dispatcher or kept in a drop file.
    Request,
    /// A user of the broker, in an `.ini` file.
    Users,
    /// Parameters that recipes are to be run with.
    Parameters,
}

impl DocumentKind {
    /// Every kind there is.
    pub const ALL: [Self; 9] = [
        Self::Recipe,
        Self::Contract,
        Self::Site,
        Self::Plugin,
        Self::Broker,
        Self::Settings,
        Self::Request,
        Self::Users,
        Self::Parameters,
    ];

    /// Its name on the command line and in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Recipe => "recipe",
            Self::Contract => "contract",
            Self::Site => "site",
            Self::Plugin => "plugin",
            Self::Broker => "broker",
            Self::Settings => "settings",
            Self::Request => "request",
            Self::Users => "user",
            Self::Parameters => "parameters",
        }
    }

    /// The kind of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The kind that the content of a document shows; a recipe if it shows none.
    pub fn of(tree: &Tree) -> Self {
        Self::detect(tree).unwrap_or_else(|| match Notation::of(tree.source().name()) {
            Notation::Toml => Self::Settings,
            Notation::Ini => Self::Users,
            Notation::Json | Notation::Yaml => Self::Recipe,
        })
    }

    /// The kind that the content of a document shows; none if it may as well belong to another program.
    pub fn detect(tree: &Tree) -> Option<Self> {
        detect::detect(tree)
    }
}

/// Whether a path stands for many.
pub fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?', '[', ']', '{', '}', '!', '\\'])
}

/// The request in a document: it is one, or it is a drop file or a dead letter with one.
pub fn request(root: NodeRef<'_>) -> NodeRef<'_> {
    root.get("headers").or(root.get("header")).and_then(|_| root.get("message")).unwrap_or(root)
}

/// Whether this is a message of a recipe, as services send it to each other.
pub fn is_recipe_message(message: NodeRef<'_>) -> bool {
    ["recipe", "recipe-pointer", "payload"].into_iter().all(|key| message.get(key).is_some())
}

/// A document's content as what it is.
#[derive(Debug)]
pub enum Document {
    /// A recipe: see [`crate::lower`].
    Recipe,
    /// A contract and what is wrong with its form.
    Contract(Box<Reading>),
    /// A site configuration.
    Site(Site),
    /// A plugin block.
    Plugin,
    /// The broker's configuration.
    Broker(Box<Topology>),
    /// Settings.
    Settings,
    /// A processing request.
    Request,
    /// A user of the broker.
    Users(users::Reading),
    /// Parameters.
    Parameters,
}

impl Document {
    /// Reads a document as what it is.
    ///
    /// `site` is the file with the site configuration that this document may be a part of.
    pub fn read(tree: &Arc<Tree>, kind: DocumentKind, files: &dyn Files, site: Option<&Path>) -> Self {
        match kind {
            DocumentKind::Recipe => Self::Recipe,
            DocumentKind::Contract => Self::Contract(Box::new(contract::read(tree))),
            DocumentKind::Site => Self::Site(Site::within(Arc::clone(tree), files, site)),
            DocumentKind::Plugin => Self::Plugin,
            DocumentKind::Broker => Self::Broker(Box::new(topology::read(tree))),
            DocumentKind::Settings => Self::Settings,
            DocumentKind::Request => Self::Request,
            DocumentKind::Users => Self::Users(users::read(tree.source())),
            DocumentKind::Parameters => Self::Parameters,
        }
    }

    /// What it is.
    pub fn kind(&self) -> DocumentKind {
        match self {
            Self::Recipe => DocumentKind::Recipe,
            Self::Contract(_) => DocumentKind::Contract,
            Self::Site(_) => DocumentKind::Site,
            Self::Plugin => DocumentKind::Plugin,
            Self::Broker(_) => DocumentKind::Broker,
            Self::Settings => DocumentKind::Settings,
            Self::Request => DocumentKind::Request,
            Self::Users(_) => DocumentKind::Users,
            Self::Parameters => DocumentKind::Parameters,
        }
    }

    /// The contract that it is.
    pub fn contract(&self) -> Option<&Reading> {
        match self {
            Self::Contract(reading) => Some(reading),
            _ => None,
        }
    }

    /// The site configuration that it is.
    pub fn site(&self) -> Option<&Site> {
        match self {
            Self::Site(site) => Some(site),
            _ => None,
        }
    }

    /// The user of the broker that it describes.
    pub fn users(&self) -> Option<&users::Reading> {
        match self {
            Self::Users(reading) => Some(reading),
            _ => None,
        }
    }

    /// The broker configuration that it is.
    pub fn broker(&self) -> Option<&Topology> {
        match self {
            Self::Broker(topology) => Some(topology),
            _ => None,
        }
    }
}
