//! `zrecipe schema`: the JSON Schemas of everything that people write and programs read.

use crate::cli::target::OutputArgs;
use crate::cli::{Error, Session, print};
use zrecipe_language::lint::nearest;

/// Declares the list of the schemas by the names of their files.
macro_rules! schemas {
    ($($name:literal),+ $(,)?) => {
        /// Every schema there is: its name, and its text.
        pub const SCHEMAS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../schemas/", $name, ".schema.json")))),+];
    };
}

schemas! {
    "broker", "contract", "recipe", "report", "settings", "site", "site/graylog", "site/jmx", "site/logging",
    "site/opentelemetry", "site/pika", "site/rabbitmqapi", "site/slurm", "site/smtp", "site/stomp", "site/storage",
    "site/transport", "worker",
}

/// Print a JSON Schema, for editors and other tools
#[derive(Debug, clap::Args)]
pub struct Args {
    /// `recipe`, `contract`, `site`, `broker`, `settings`, `report`, `worker`, or a plugin of a site such as
    /// `site/storage`; without it, list all names.
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, _session: &Session) -> Result<(), Error> {
    let names = || SCHEMAS.iter().map(|&(name, _)| name);
    let Some(wanted) = &args.name else {
        return print(&names().map(|name| format!("{name}\n")).collect::<String>());
    };
    match SCHEMAS.iter().find(|(name, _)| name == wanted) {
        Some((_, text)) => args.output.print(text),
        None => {
            let error = Error::new(format!("there is no schema `{wanted}`"));
            Err(match nearest(wanted, names()) {
                Some(meant) => error.hint(format!("did you mean `{meant}`?")),
                None => error.hint("`zrecipe schema` lists all of them"),
            })
        }
    }
}
