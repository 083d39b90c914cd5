//! `zrecipe expand`: the recipe as it runs, parameters put in and several merged into one.

use crate::cli::target::OutputArgs;
use crate::cli::{Error, ParameterArgs, Session, with_guid};
use zrecipe_language::bind::bind;
use zrecipe_project::judge::CheckOptions;

/// Print the bound recipe as JSON: parameters substituted, several recipes merged
///
/// If a dispatcher would reject the recipe, nothing is printed and the exit code is 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Paths or names of recipes; several are merged in this order.
    #[arg(required = true, value_name = "RECIPE")]
    recipes: Vec<String>,
    #[command(flatten)]
    parameters: ParameterArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let (parameters, _) = with_guid(args.parameters.read()?);
    let compiled = session.compile_for(
        &args.recipes,
        &args.parameters,
        CheckOptions { parameters: Some(&parameters), ..CheckOptions::default() },
    )?;
    session.refuse(&compiled)?;
    args.output.print(&(bind(&compiled, &parameters).to_json_pretty() + "\n"))
}
