//! The command line: what all commands share. Each command is one file in `cli/commands/`.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 clean, 1 findings or a failed
//! run, 2 could not do it; a closed pipe is 0.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser};

use zrecipe_language::contract::BuiltIn;
use zrecipe_language::guard;
use zrecipe_runtime::runtime::supervisor;

pub mod arguments;
pub mod broker;
pub mod changes;
pub mod checks;
pub mod confirm;
pub mod error;
pub mod files;
pub mod follow;
pub mod letters;
pub mod logbook;
pub mod output;
pub mod overview;
pub mod progress;
pub mod screen;
pub mod session;
pub mod submit;
pub mod terminal;
pub mod watch;

pub use arguments::{Common, LevelArgs, ParameterArgs, split, with_guid};
pub use checks::{Used, file_report};
pub use error::Error;
pub use output::{difference, difference_of_values, print};
pub use session::Session;
pub use terminal::{plain, plain_lines, say};

/// Compiler, linter and runtime for Zocalo recipes.
///
/// Exit codes: 0 clean, 1 findings or a failed run, 2 could not do it.
#[derive(Debug, Parser)]
#[command(name = "zrecipe", version, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: commands::Command,
}

/// Says that zrecipe has a fault, and where. What the panic itself says may hold parts of a document, and these may be
/// secret.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line()));
    if guard::is_guarded() {
        place.into_iter().for_each(guard::note);
    } else {
        let place = place.map_or_else(String::new, |place| format!(" ({place})"));
        say(&format!("error: zrecipe itself has a fault{place}; please report it"));
    }
}

/// Reads the command line.
fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(&arguments).map_err(|error| {
        // Where the environment gives an option, the line that says how to use a command has it as required.
        let bare = Cli::command().mut_args(|argument| argument.env(None::<&str>));
        let is_help = |said: &clap::Error| {
            !said.use_stderr() || said.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        };
        bare.try_get_matches_from(arguments).err().filter(|bare| !is_help(bare)).unwrap_or(error)
    })
}

/// Runs the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    std::panic::set_hook(Box::new(tell_panic));
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(code) = supervisor::main(&arguments) {
        return code;
    }
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let result = Session::new(cli.common).and_then(|mut session| {
        // Here zrecipe's own services take the steps.
        if matches!(cli.command, commands::Command::Run(_) | commands::Command::Service(_)) {
            session.project.settings.built_in = BuiltIn::Strict;
        }
        // Whoever checks files wants to hear about this one as about any other.
        if !matches!(cli.command, commands::Command::Check(_) | commands::Command::Lsp(_)) {
            session.settled().map_err(|(error, _)| error)?;
        }
        commands::run(cli.command, &session)
    });
    let error = match result {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) => error,
    };
    let code = error.code();
    // Nobody is left to hear that nobody is left.
    let _ = error.tell();
    code
}

/// Declares the modules of `cli/commands/` and the subcommand of each.
macro_rules! commands {
    ($($module:ident $variant:ident),+ $(,)?) => {
        /// One command a file: `Args`, whose documentation is the help page, and `run`.
        pub mod commands {
            $(pub mod $module;)+

            /// The commands there are.
            #[derive(Debug, clap::Subcommand)]
            pub enum Command {
                $(#[allow(missing_docs, reason = "the help page is the documentation of `Args`")]
                $variant($module::Args),)+
            }

            /// Runs a command.
            pub(super) fn run(command: Command, session: &super::Session) -> Result<(), super::Error> {
                match command {
                    $(Command::$variant(args) => $module::run(&args, session),)+
                }
            }

            /// The names of the modules, in the order of the help page.
            pub const COMMANDS: &[&str] = &[$(stringify!($module)),+];
        }
    };
}

commands! {
    check Check,
    fmt Fmt,
    config Config,
    broker Broker,
    schema Schema,
    explain Explain,
    graph Graph,
    contract Contract,
    params Params,
    expand Expand,
    emit Emit,
    go Go,
    pickup Pickup,
    run Run,
    service Service,
    shutdown Shutdown,
    status Status,
    monitor Monitor,
    doctor Doctor,
    wrap Wrap,
    dlq Dlq,
    queues Queues,
    peek Peek,
    drain Drain,
    runs Runs,
    show Show,
    resume Resume,
    resubmit Resubmit,
    test Test,
    lsp Lsp,
}
