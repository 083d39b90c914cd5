//! The command line: what all commands share. Each command is one file in `cli/commands/`.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0 success, 1 findings or a failed
//! run, 2 a usage error, or an input, file or broker could not be used; a closed pipe is 0.
//!
//! | file | contents |
//! |---|---|
//! | `absent` | commands that this build does not have |
//! | `answers` | answers of a run, for `go --wait` |
//! | `arguments` | options that several commands have |
//! | `bridged` | services that are Python classes |
//! | `broker` | which broker a command works with |
//! | `causes` | what to do about a broker that cannot be used |
//! | `checks` | documents checked as the project and the command line ask, and their findings shown |
//! | `confirm` | asking before something is done that cannot be taken back |
//! | `error` | what stops a command |
//! | `executor` | work that waits for brokers and programs, until it is done or somebody interrupts it |
//! | `files` | files that are written back whole, and suggestions for names of files that do not exist |
//! | `follow` | what services say while a run is at work |
//! | `help` | the help page of the program, and suggestions for commands and options of other programs |
//! | `impact` | how changes and those whom they affect are shown |
//! | `letters` | options and lines of the commands for dead letters |
//! | `logbook` | runs of a site, from its dispatcher's logbook |
//! | `outages` | outages of a broker, reported while a command waits for it |
//! | `output` | results on standard output, whole even if the reader has gone |
//! | `overview` | what an operator sees of a broker at one glance |
//! | `progress` | working on a run in the foreground: its services, its lines, how it ends |
//! | `screen` | the screen of `monitor` |
//! | `session` | settings, project and options of one command |
//! | `shims` | the Python commands, and what they are called here |
//! | `submit` | A request on its way to the dispatcher of a site |
//! | `table` | rows in columns, and times, for people |
//! | `target` | where results go: standard output, or the file of `-o` |
//! | `terminal` | what the terminal can do: colours, width, links |
//! | `time` | times of day |
//! | `transport` | options about the broker, as Python's transports have them |
//! | `watch` | waiting for changes in files |

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use zrecipe_language::guard;

pub mod absent;
#[cfg(feature = "runtime")]
pub mod answers;
pub mod arguments;
#[cfg(feature = "runtime")]
pub mod bridged;
#[cfg(feature = "runtime")]
pub mod broker;
#[cfg(feature = "runtime")]
pub mod causes;
pub mod checks;
#[cfg(feature = "runtime")]
pub mod confirm;
pub mod error;
#[cfg(feature = "runtime")]
pub mod executor;
pub mod files;
#[cfg(feature = "runtime")]
pub mod follow;
pub mod help;
pub mod impact;
#[cfg(feature = "runtime")]
pub mod letters;
#[cfg(feature = "runtime")]
pub mod logbook;
#[cfg(feature = "runtime")]
pub mod outages;
pub mod output;
#[cfg(feature = "runtime")]
pub mod overview;
#[cfg(feature = "runtime")]
pub mod progress;
#[cfg(feature = "runtime")]
pub mod screen;
pub mod session;
#[cfg(feature = "runtime")]
pub mod shims;
#[cfg(feature = "runtime")]
pub mod submit;
pub mod table;
pub mod target;
pub mod terminal;
#[cfg(feature = "runtime")]
pub mod time;
#[cfg(feature = "runtime")]
pub mod transport;
pub mod watch;

pub use arguments::{Common, LevelArgs, ParameterArgs, split, with_guid};
pub use checks::file_report;
pub use error::Error;
pub use output::{difference, difference_of_values, print};
pub use session::Session;
pub use terminal::{plain, plain_lines, say, say_error};

/// Compiler, linter and runtime for Zocalo recipes.
///
/// Exit codes: 0 success, 1 findings or a failed run, 2 a usage error, or an input, file or broker could not be used.
#[derive(Debug, Parser)]
#[command(name = "zrecipe", version, max_term_width = 100)]
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
        say_error(&format!("error: internal error in zrecipe{place}; please report it"));
    }
}

/// The command line with all commands.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Reads the command line.
fn parse(arguments: Vec<OsString>) -> Result<Cli, clap::Error> {
    let parsed = help::grouped(command()).try_get_matches_from(&arguments);
    parsed.and_then(|matches| Cli::from_arg_matches(&matches)).map_err(|error| {
        // Where the environment gives an option, the line that says how to use a command has it as required.
        let bare = help::grouped(command()).mut_args(|argument| argument.env(None::<&str>));
        let is_help = |said: &clap::Error| {
            !said.use_stderr() || said.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        };
        let error = bare.try_get_matches_from(arguments).err().filter(|bare| !is_help(bare)).unwrap_or(error);
        help::suggest(error)
    })
}

/// Runs the program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    std::panic::set_hook(Box::new(tell_panic));
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    #[cfg(feature = "runtime")]
    if let Some(code) = zrecipe_runtime::runtime::supervisor::main(&arguments) {
        return code;
    }
    #[cfg(feature = "runtime")]
    let arguments = match shims::translate(arguments) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    let cli = match parse(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    terminal::set_verbosity(cli.common.quiet, cli.common.verbose);
    let result = Session::new(cli.common).and_then(|session| {
        #[cfg(feature = "runtime")]
        let mut session = session;
        // Here zrecipe's own services take the steps.
        #[cfg(feature = "runtime")]
        if matches!(cli.command, commands::Command::Run(_) | commands::Command::Service(_)) {
            session.project.settings.built_in = zrecipe_language::contract::BuiltIn::Strict;
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

/// Declares the modules of `cli/commands/` and the subcommand of each, in the groups of the help page. One that needs a
/// feature is refused in a program without it, in words.
macro_rules! commands {
    ($($group:literal { $($module:ident $variant:ident $(needs $feature:tt)?),+ $(,)? })+) => {
        /// One command a file: `Args`, whose documentation is the help page, and `run`.
        pub mod commands {
            $($($(#[cfg(feature = $feature)])? pub mod $module;)+)+

            /// The commands there are.
            #[derive(Debug, clap::Subcommand)]
            #[allow(clippy::large_enum_variant, reason = "a process has one")]
            pub enum Command {
                $($($(#[cfg(feature = $feature)])?
                #[allow(missing_docs, reason = "the help page is the documentation of `Args`")]
                $variant($module::Args),)+)+
                $($($(#[cfg(not(feature = $feature))]
                #[allow(missing_docs, reason = "no help page has it")]
                #[command(hide = true)]
                $variant(super::absent::Absent),)?)+)+
            }

            /// Runs a command.
            pub(super) fn run(command: Command, session: &super::Session) -> Result<(), super::Error> {
                match command {
                    $($($(#[cfg(feature = $feature)])?
                    Command::$variant(args) => $module::run(&args, session),)+)+
                    $($($(#[cfg(not(feature = $feature))]
                    Command::$variant(args) => Err(args.refuse(stringify!($module))),)?)+)+
                }
            }

            /// The names of the modules, in the order of the help page.
            pub const COMMANDS: &[&str] = &[$($(stringify!($module)),+),+];

            /// The groups of the help page, and their commands.
            pub const GROUPS: &[(&str, &[&str])] = &[$(($group, &[$(stringify!($module)),+])),+];
        }
    };
}

commands! {
    "Write and check recipes" {
        init Init,
        check Check,
        fmt Fmt,
        explain Explain,
        graph Graph,
        diff Diff,
        params Params,
        expand Expand,
        emit Emit,
        contract Contract,
        schema Schema,
        config Config,
    }
    "Run recipes on this machine" {
        run Run needs "runtime",
        test Test needs "runtime",
        runs Runs needs "runtime",
        show Show needs "runtime",
        resume Resume needs "runtime",
        resubmit Resubmit needs "runtime",
        wrap Wrap needs "runtime",
    }
    "Run recipes at a site" {
        go Go needs "runtime",
        pickup Pickup needs "runtime",
        service Service needs "runtime",
        shutdown Shutdown needs "runtime",
        status Status needs "runtime",
        monitor Monitor needs "runtime",
        install_shims InstallShims needs "runtime",
    }
    "Operate a broker" {
        doctor Doctor needs "runtime",
        broker Broker,
        queues Queues needs "runtime",
        peek Peek needs "runtime",
        drain Drain needs "runtime",
        dlq Dlq needs "runtime",
        audit Audit needs "runtime",
    }
    "Editors and shells" {
        lsp Lsp,
        completions Completions,
        man Man,
        version Version,
    }
}
