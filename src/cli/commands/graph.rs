//! `zrecipe graph`: recipes as drawings.

#[cfg(feature = "runtime")]
mod progress;

use std::sync::Arc;

use crate::cli::target::OutputArgs;
use crate::cli::{Error, Session, say};
use zrecipe_language::change::{self, Side};
use zrecipe_language::compile::{Reading, read};
use zrecipe_language::draw::{Diagram, Direction, FORMATS, format, overlay};
use zrecipe_language::source::Source;
use zrecipe_project::comparison::{Document, State, pairs};
use zrecipe_project::judge::CheckOptions;

/// Draw recipes
///
/// Steps are labelled with service and queue, links with their channel. `text` is for terminals. `html` is a single
/// file for browsers with zoom, search, findings and details of steps. `svg` is for documents, `mermaid` for Markdown
/// pages.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths or names of recipes; several are drawn side by side, in HTML with an index.
    #[arg(required_unless_present_any = ["diff", "run"], value_name = "RECIPE")]
    recipes: Vec<String>,
    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "mermaid", value_parser = FORMATS.iter().map(|f| f.name).collect::<Vec<_>>())]
    format: String,
    /// Direction of the drawing; `text` is always drawn downwards.
    #[arg(long, value_name = "DIRECTION", default_value = "down")]
    direction: Towards,
    /// Draw the recipe that results when the recipes are merged into one run.
    #[arg(long)]
    merge: bool,
    /// Draw the changes between two states, as in `zrecipe diff`: added, removed, changed and rewired steps.
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], conflicts_with_all = ["recipes", "merge"])]
    diff: Option<Vec<String>>,
    /// Draw a run on this machine with the states, counts and times of its steps; the first characters of the ID are
    /// enough.
    #[arg(long, value_name = "ID", conflicts_with_all = ["recipes", "merge", "diff"])]
    run: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Direction in which a drawing reads.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Towards {
    /// From top to bottom.
    Down,
    /// From left to right.
    Right,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let chosen = format(&args.format).ok_or_else(|| Error::new(format!("there is no format `{}`", args.format)))?;
    let direction = match args.direction {
        Towards::Down => Direction::Down,
        Towards::Right => Direction::Right,
    };
    let diagrams = match (args.diff.as_deref(), &args.run) {
        (Some([old, new]), _) => overlays(old, new, session)?,
        (_, Some(id)) => vec![of_run(id, session)?],
        _ => recipes(args, session)?,
    };
    args.output.print(&(chosen.render)(&diagrams, direction))
}

#[cfg(feature = "runtime")]
use progress::of_run;

#[cfg(not(feature = "runtime"))]
fn of_run(_: &str, _: &Session) -> Result<Diagram, Error> {
    Err(Error::new("`graph --run` is not available in this build").hint("build zrecipe with its default features"))
}

/// The recipes that the arguments name.
fn recipes(args: &Args, session: &Session) -> Result<Vec<Diagram>, Error> {
    let mut compiled = session.compile(&args.recipes, CheckOptions::default())?;
    if args.merge {
        session.refuse(&compiled)?;
        compiled = vec![session.merged(&compiled)];
    } else {
        session.explain(&compiled);
    }
    let contracts = session.project.usable_contracts().0;
    Ok(compiled.iter().map(|recipe| Diagram::of(recipe.source.name(), recipe, contracts)).collect())
}

/// The recipes that differ between two states.
fn overlays(old: &str, new: &str, session: &Session) -> Result<Vec<Diagram>, Error> {
    let here =
        std::env::current_dir().map_err(|error| Error::new(format!("cannot use the working directory: {error}")))?;
    let given = session.common.given();
    let (old, new) = (State::open(old, &here, &given)?, State::open(new, &here, &given)?);
    for warning in old.warnings.iter().chain(&new.warnings) {
        say(&format!("warning: {warning}"));
    }
    let pairs = pairs(&old, &new);
    if pairs.is_empty() {
        return Err(Error::new(format!("there are no recipes in `{}` and `{}`", old.name, new.name)));
    }
    let nothing =
        || Arc::new(read(Arc::new(Source::from_text("", "{}")), zrecipe_language::compile::Options::default()));
    let reading = |document: Option<&Document>| -> Arc<Reading> {
        document.map_or_else(nothing, |document| Arc::clone(&document.reading))
    };
    let is_alone = pairs.len() == 1;
    let mut diagrams = Vec::new();
    for (before, after) in pairs {
        let name = after.or(before).map_or("", |document| document.name.as_str());
        let (before, after) = (reading(before), reading(after));
        let difference = change::recipes(
            Side { reading: &before, contracts: old.contracts() },
            Side { reading: &after, contracts: new.contracts() },
        );
        let diagram = overlay(name, &before, &after, &difference);
        // Recipes without a difference are not part of the drawing, unless there is nothing else.
        if is_alone || diagram.is_marked() {
            diagrams.push(diagram);
        }
    }
    if diagrams.is_empty() {
        return Err(Error::new(format!("no recipe differs between `{}` and `{}`", old.name, new.name))
            .hint("`zrecipe diff` also shows changes of parameters and services"));
    }
    Ok(diagrams)
}
