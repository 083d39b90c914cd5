//! The broker on the command line: `-t` and the options that Python's transports add to every command.
//!
//! The options come from [`TRANSPORTS`]. They are settings of the transports' plugins, which come before those of the
//! site configuration; so everything that reads the configuration agrees on the broker.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::Error;
use zrecipe_broker::address::OWN_SETTINGS;
use zrecipe_broker::transport::{CommandOption, Entry, TRANSPORTS};
use zrecipe_language::ini::Section;
use zrecipe_language::site::{Given, Precedence};
use zrecipe_language::source::Source;
use zrecipe_project::library;

/// The heading of the options on help pages.
pub const HEADING: &str = "Transport options";

/// The hidden option of shims: without a site configuration, the broker is where Python's transports find it.
pub const LIKE_PYTHON: &str = "like-python";

/// The options about the broker, as they are given.
#[derive(Debug, Clone, Default)]
pub struct TransportArgs {
    /// The class of the transport.
    class: Option<String>,
    /// Options that are given, and their values.
    options: Vec<(&'static Entry, &'static CommandOption, Secret)>,
    /// Files with settings.
    files: Vec<(&'static Entry, &'static str, PathBuf)>,
    /// The namespace of queues and topics.
    namespace: Option<String>,
    /// Whether, without a site configuration, the broker is where Python's transports find it.
    is_like_python: bool,
}

/// A value that may be a password.
#[derive(Clone)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The classes that `-t` takes.
pub fn classes() -> impl Iterator<Item = &'static str> {
    TRANSPORTS.iter().filter_map(|entry| entry.class)
}

/// The arguments, in the order of the help page.
pub fn arguments() -> Vec<Arg> {
    let argument = |name: &'static str| {
        Arg::new(name)
            .long(name)
            .action(ArgAction::Set)
            .overrides_with(name)
            .help_heading(HEADING)
            .hide_short_help(true)
    };
    let mut arguments = vec![
        argument("transport")
            .short('t')
            .value_name("TRANSPORT")
            .value_parser(PossibleValuesParser::new(classes()))
            .hide_possible_values(true)
            .help(format!("Transport: {}; defaults to that of the site", classes().collect::<Vec<_>>().join(" or "))),
    ];
    for entry in TRANSPORTS {
        let options = entry.options.iter().map(|option| {
            let default = match entry.secrets.contains(&option.setting) || option.default.is_empty() {
                true => String::new(),
                false => format!(" [default: that of the site, or {}]", option.default),
            };
            argument(option.name).value_name(option.value).help(format!("{}{default}", option.help))
        });
        arguments.extend(options);
        arguments.extend(entry.file_option.map(|(name, section)| {
            let help = format!(
                "Read settings of plugin `{}` from section `[{section}]` of this `.ini` file",
                entry.plugin.unwrap_or_default()
            );
            argument(name).value_name("FILE").value_parser(clap::value_parser!(PathBuf)).help(help)
        }));
    }
    arguments
}

impl clap::Args for TransportArgs {
    fn augment_args(command: Command) -> Command {
        let hidden = Arg::new(LIKE_PYTHON).long(LIKE_PYTHON).action(ArgAction::SetTrue).hide(true);
        command.args(arguments()).arg(hidden)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for TransportArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let is_like_python = matches.get_flag(LIKE_PYTHON);
        let mut found = Self { class: text("transport"), is_like_python, ..Self::default() };
        for entry in TRANSPORTS {
            let given = |option: &'static CommandOption| Some((entry, option, Secret(text(option.name)?)));
            found.options.extend(entry.options.iter().filter_map(given));
            let file = |(name, section)| Some((entry, section, matches.get_one::<PathBuf>(name)?.clone()));
            found.files.extend(entry.file_option.and_then(file));
        }
        Ok(found)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl TransportArgs {
    /// The same in another namespace: a virtual host of RabbitMQ, or a prefix of ActiveMQ.
    #[must_use]
    pub fn in_namespace(&self, namespace: Option<&str>) -> Self {
        Self { namespace: namespace.map(str::to_owned), ..self.clone() }
    }

    /// The same for a command without a site configuration: a shim works with the default broker of Python's transports.
    #[must_use]
    pub fn without_site(&self) -> Self {
        let is_silent = self.is_like_python && !self.is_given();
        let default = classes().next().filter(|_| is_silent).map(str::to_owned);
        Self { class: self.class.clone().or(default), ..self.clone() }
    }

    /// Whether an option says which broker is meant.
    pub fn is_given(&self) -> bool {
        self.class.is_some() || !self.options.is_empty() || !self.files.is_empty()
    }

    /// The settings that the options give, and those that hold where neither they nor the site give any.
    ///
    /// # Errors
    /// A file cannot be used.
    pub fn given(&self) -> Result<Vec<Given>, Error> {
        let mut given = Vec::new();
        for (entry, section, path) in &self.files {
            given.extend(read(entry, section, path)?);
        }
        let set = |(entry, option, value): &(&'static Entry, &'static CommandOption, Secret)| {
            let origin = format!("--{}", option.name);
            Some(Given::new(entry.plugin?, option.setting, Precedence::Replaces, origin, &value.0))
        };
        given.extend(self.options.iter().filter_map(set));
        if let Some(class) = &self.class {
            given.push(Given::new("transport", "default", Precedence::Replaces, "--transport", class));
        }
        let is_used = |entry: &&Entry| {
            entry.class.is_some() && entry.class == self.class.as_deref()
                || self.options.iter().any(|(used, ..)| used.name == entry.name)
                || self.files.iter().any(|(used, ..)| used.name == entry.name)
        };
        for entry in TRANSPORTS.iter().filter(is_used) {
            let default = |option: &CommandOption| {
                let origin = format!("--{}", option.name);
                Some(Given::new(entry.plugin?, option.setting, Precedence::Default, origin, option.default))
            };
            given.extend(entry.options.iter().filter_map(default));
        }
        if let Some(namespace) = &self.namespace {
            let set = |entry: &Entry| {
                Some(Given::new(entry.plugin?, entry.namespace?, Precedence::ReplacesInBlock, "--namespace", namespace))
            };
            given.extend(TRANSPORTS.iter().filter_map(set));
        }
        Ok(given)
    }
}

/// The settings in a file.
fn read(entry: &'static Entry, section: &str, path: &std::path::Path) -> Result<Vec<Given>, Error> {
    let name = path.to_string_lossy();
    let source = library::read(path, &name, Source::MAX_BYTES)?;
    let cannot = |place: String, reason: &str| {
        Error::new(format!("{place}: {reason}"))
            .hint(format!("write `[{section}]`, then lines such as `host = localhost`"))
    };
    let parsed = Section::read(source.text(), section);
    if let Some(fault) = parsed.faults().first() {
        return Err(cannot(source.place(fault.span.start), &fault.message));
    }
    let mut given = Vec::new();
    for setting in entry.options.iter().map(|option| option.setting).chain(OWN_SETTINGS) {
        let value = parsed.value(setting).map_err(|fault| cannot(source.place(fault.span.start), &fault.message))?;
        let (Some((value, span)), Some(plugin)) = (value, entry.plugin) else { continue };
        given.push(Given::in_file(plugin, setting, &source, span, &value));
    }
    Ok(given)
}
