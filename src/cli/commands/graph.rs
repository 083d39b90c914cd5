//! `zrecipe graph`: a recipe as a drawing.

use crate::cli::target::OutputArgs;
use crate::cli::{Error, Session};
use zrecipe_language::compile::Compilation;
use zrecipe_language::draw::{FORMATS, format, render};
use zrecipe_project::judge::CheckOptions;

/// Draw recipes
///
/// Steps are labelled with service and queue, edges with their channel.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths or names of recipes; several are drawn side by side.
    #[arg(required = true, value_name = "RECIPE")]
    recipes: Vec<String>,
    /// How to draw.
    #[arg(long, value_name = "FORMAT", default_value = "mermaid", value_parser = FORMATS.iter().map(|f| f.name).collect::<Vec<_>>())]
    format: String,
    /// Draw the one recipe that they are merged into when they run together.
    #[arg(long)]
    merge: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let mut compiled = session.compile(&args.recipes, CheckOptions::default())?;
    if !args.merge {
        session.explain(&compiled);
    }
    if args.merge {
        session.refuse(&compiled)?;
        compiled = vec![session.merged(&compiled)];
    }
    let chosen = format(&args.format).ok_or_else(|| Error::new(format!("there is no format `{}`", args.format)))?;
    let named: Vec<(&str, &Compilation)> = compiled.iter().map(|recipe| (recipe.source.name(), recipe)).collect();
    args.output.print(&render(chosen, &named))
}
