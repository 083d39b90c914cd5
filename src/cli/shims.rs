//! Shims: programs with the names and the options of the Python commands, which run commands of zrecipe.
//!
//! A shim is a small shell script that runs `zrecipe shim NAME ARGUMENTS`. The table [`SHIMS`] has, for each Python
//! command, the options that it accepts and what they are called here; [`translate`] applies it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::terminal::{say, say_error};
use super::transport;

mod table;

pub use table::SHIMS;

/// The first argument of a shim.
pub const WORD: &str = "shim";

/// The transport of Python that only prints what it would send.
const OFFLINE: &str = "OfflineTransport";

/// A Python command, and what runs instead.
pub struct Shim {
    /// Name of the Python command.
    pub name: &'static str,
    /// Command of zrecipe.
    pub command: &'static [&'static str],
    /// Effect of the command.
    pub about: &'static str,
    /// Own options of the command.
    options: &'static [Opt],
    /// Arguments that are not options: the name, and how many there may be.
    arguments: Option<(&'static str, Number)>,
    /// Whether the command has `-e`.
    has_environment: bool,
    /// Whether the command has the options of the transports.
    has_transport: bool,
    /// Adds the arguments that are not options, and whatever depends on several options.
    complete: fn(&ArgMatches, &mut Vec<OsString>) -> Result<(), String>,
    /// What the command does differently, for users.
    pub differs: &'static [&'static str],
}

/// How many arguments a command takes.
enum Number {
    Any,
    One,
    AtLeastOne,
    Two,
}

/// An option of a Python command.
struct Opt {
    short: Option<char>,
    long: &'static str,
    kind: Kind,
    becomes: Becomes,
    help: &'static str,
}

/// What an option takes.
enum Kind {
    /// Nothing.
    Flag,
    /// Nothing; each time counts.
    Count,
    /// A value; the last one counts.
    Value(&'static str),
    /// A value; each of them counts.
    Values(&'static str),
}

/// What an option is called here.
enum Becomes {
    /// An option of the same kind.
    Option(&'static str),
    /// It has no effect.
    Nothing,
    /// [`Shim::complete`] reads it.
    Special,
}

impl Shim {
    /// The options and arguments of the Python command, with its rules: each unique beginning of an option is enough.
    fn parser(&self) -> Command {
        let help = Arg::new("help").short('h').long("help").action(ArgAction::Help).help("Print this help");
        let also = Arg::new("?").short('?').action(ArgAction::Help).hide(true);
        let mut parser = Command::new(self.name)
            .about(format!("{}: runs `zrecipe {}`", self.about, self.command.join(" ")))
            .max_term_width(100)
            .disable_help_flag(true)
            .infer_long_args(true);
        let differs: Vec<String> = self.differs.iter().map(|line| format!("  {line}")).collect();
        if !differs.is_empty() {
            parser = parser.after_help(format!("Differences from the Python command:\n{}", differs.join("\n")));
        }
        for option in self.options {
            let argument = Arg::new(option.long).long(option.long).help(option.help);
            let argument = match option.kind {
                Kind::Flag => argument.action(ArgAction::SetTrue).overrides_with(option.long),
                Kind::Count => argument.action(ArgAction::Count),
                Kind::Value(name) => argument.action(ArgAction::Set).value_name(name).overrides_with(option.long),
                Kind::Values(name) => argument.action(ArgAction::Append).value_name(name),
            };
            let takes_value = matches!(option.kind, Kind::Value(_) | Kind::Values(_));
            let argument = if takes_value { argument.value_parser(ValueParser::os_string()) } else { argument };
            parser = parser.arg(option.short.into_iter().fold(argument, Arg::short));
        }
        if let Some((name, number)) = &self.arguments {
            let argument = Arg::new("arguments").value_name(*name).value_parser(ValueParser::os_string());
            let argument = argument.action(ArgAction::Append);
            parser = parser.arg(match number {
                Number::Any => argument.num_args(0..),
                Number::One => argument.num_args(1).required(true),
                Number::AtLeastOne => argument.num_args(1..).required(true),
                Number::Two => argument.num_args(2).required(true).value_names(name.split(' ')),
            });
        }
        if self.has_environment {
            let argument = Arg::new("environment").short('e').long("environment").value_name("ENV");
            parser = parser.arg(argument.action(ArgAction::Append).help("Environment of the site (repeatable)"));
        }
        if self.has_transport {
            parser = parser.args(transport::arguments().into_iter().map(|argument| argument.hide_short_help(false)));
        }
        parser.arg(help).arg(also)
    }

    /// The arguments of zrecipe that mean the same.
    ///
    /// # Errors
    /// The options are wrong, or they ask for help.
    pub fn translate(&self, arguments: &[OsString]) -> Result<Vec<OsString>, clap::Error> {
        let mut parser = self.parser();
        if self.has_transport && arguments.iter().any(|argument| argument == OFFLINE) {
            let reason = format!("{OFFLINE} sends nothing and has no counterpart; use `--dry-run`, or `zrecipe emit`");
            return Err(parser.error(clap::error::ErrorKind::InvalidValue, reason));
        }
        let given = std::iter::once(OsString::from(self.name)).chain(arguments.iter().cloned());
        let matches = parser.try_get_matches_from_mut(given)?;
        let mut ours: Vec<OsString> = self.command.iter().map(OsString::from).collect();
        for option in self.options {
            let Becomes::Option(name) = option.becomes else { continue };
            match option.kind {
                Kind::Flag if matches.get_flag(option.long) => ours.push(name.into()),
                Kind::Flag => {}
                Kind::Count => ours.extend((0..matches.get_count(option.long)).map(|_| OsString::from(name))),
                Kind::Value(_) | Kind::Values(_) => {
                    ours.extend(texts(&matches, option.long).map(|value| assigned(name, value)));
                }
            }
        }
        if self.has_environment {
            let chosen = matches.get_many::<String>("environment").into_iter().flatten();
            ours.extend(chosen.map(|name| assigned("--environment", &name.into())));
        }
        if self.has_transport {
            ours.push(format!("--{}", transport::LIKE_PYTHON).into());
            for argument in transport::arguments() {
                let id = argument.get_id().as_str();
                let Some(values) = matches.get_raw(id) else { continue };
                ours.extend(values.map(|value| assigned(&format!("--{id}"), &value.to_owned())));
            }
        }
        (self.complete)(&matches, &mut ours)
            .map_err(|reason| parser.error(clap::error::ErrorKind::ValueValidation, reason))?;
        Ok(ours)
    }
}

/// The values of an option or of the arguments.
fn texts<'m>(matches: &'m ArgMatches, name: &str) -> impl Iterator<Item = &'m OsString> {
    matches.get_many::<OsString>(name).into_iter().flatten()
}

/// An option with its value in one argument, whatever the value begins with.
fn assigned(option: &str, value: &OsString) -> OsString {
    let mut argument = OsString::from(option);
    argument.push("=");
    argument.push(value);
    argument
}

/// The shim of this name.
pub fn find(name: &str) -> Option<&'static Shim> {
    SHIMS.iter().find(|shim| shim.name == name)
}

/// The arguments that a shim stands for; others as they are.
///
/// # Errors
/// The options are wrong, or they ask for help; it has been printed, and the program ends with this code.
pub fn translate(arguments: Vec<OsString>) -> Result<Vec<OsString>, ExitCode> {
    let is_shim = arguments.get(1).is_some_and(|word| word == WORD);
    let Some(name) = arguments.get(2).filter(|_| is_shim) else {
        if is_shim {
            say_error("error: `zrecipe shim` needs the name of a Python command");
            say_error("  help: `zrecipe install-shims --list` lists them");
            return Err(ExitCode::from(2));
        }
        return Ok(arguments);
    };
    let Some(shim) = name.to_str().and_then(find) else {
        say_error(&format!("error: there is no shim `{}`", name.to_string_lossy()));
        say_error("  help: `zrecipe install-shims --list` lists them");
        return Err(ExitCode::from(2));
    };
    match shim.translate(&arguments[3..]) {
        Ok(translated) => Ok(arguments.into_iter().take(1).chain(translated).collect()),
        Err(error) => {
            let _ = error.print();
            Err(ExitCode::from(if error.use_stderr() { 2 } else { 0 }))
        }
    }
}

/// Reports an argument that has no effect.
fn ignore(what: &str) {
    say(&format!("note: {what}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> String {
        let mut words = line.split(' ').filter(|word| !word.is_empty()).map(OsString::from);
        let name = words.next().and_then(|name| name.into_string().ok()).expect("a name");
        let shim = find(&name).expect("a shim");
        match shim.translate(&words.collect::<Vec<_>>()) {
            Ok(ours) => {
                let ours: Vec<_> = ours.iter().map(|word| word.to_string_lossy()).collect();
                ours.join(" ").replace(" --like-python", "")
            }
            Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
        }
    }

    #[test]
    fn options_of_the_python_commands_become_ours() {
        for (theirs, ours) in [
            ("zocalo.go -r a 5", "go --recipe=a 5"),
            ("zocalo.go -r a -r b --set x=1 -sy=2 -n 7 -a 3", "go --recipe=a --recipe=b --no-dcid --set=x=1 --set=y=2"),
            ("zocalo.go --rec a --dry 5", "go --recipe=a --dry-run 5"),
            ("zocalo.go -p 5 -r a -a 3", "go --recipe=a --reprocessing 5"),
            (
                "zocalo.go -r a 5 -a 3 -v --drop -e live",
                "go --recipe=a --drop --verbose --environment=live --autoprocscalingid=3 5",
            ),
            ("zocalo.go -r a 5 6", "error: only one data collection ID can be given"),
            ("zocalo.go -r a", "go --recipe=a"),
            (
                "zocalo.go -t OfflineTransport -n",
                "error: OfflineTransport sends nothing and has no counterpart; use `--dry-run`, or `zrecipe emit`",
            ),
            (
                "zocalo.go -nr a -t PikaTransport --rabbit-h h --rabbit-pass p --rabbit-conf f",
                "go --recipe=a --no-dcid --transport=PikaTransport --rabbit-host=h --rabbit-pass=p --rabbit-conf=f",
            ),
            ("zocalo.pickup -d 1 --wait 0 -v", "pickup --delay=1 --wait=0 --verbose"),
            (
                "zocalo.service -s Disp -vv --tag t -r extra",
                "service --service=Disp --verbose --verbose --tag=t --restart",
            ),
            ("zocalo.service -s A -s B -d --liveness", "service --service=B --verbose --http=0.0.0.0:8000"),
            (
                "zocalo.service -s A --liveness --liveness-port 8001 --liveness-timeout 5",
                "service --service=A --http=0.0.0.0:8001",
            ),
            ("zocalo.service -s A --liveness-port 8001", "service --service=A"),
            ("zocalo.service --version", "--version"),
            ("zocalo.service", "error: a service is required: `-s SERVICE`"),
            ("zocalo.shutdown ws1.5 -s A -s none", "shutdown --service=A --service=none ws1.5"),
            ("zocalo.wrap --wrap dummy --recipew f", "wrap --wrap=dummy --recipewrapper=f"),
            ("zocalo.wrap", "error: a wrapper is required: `--wrap WRAPPER`"),
            ("zocalo.dlq_check -n zocdev", "dlq check --namespace=zocdev"),
            ("zocalo.dlq_purge --wait 1.5 --location d a b", "dlq purge --wait=1.5 --location=d a b"),
            ("zocalo.dlq_reinject -r -v -d q -w 1 f g", "dlq reinject --remove --verbose --destination=q --wait=1 f g"),
            ("zocalo.queue_drain a b", "drain --wait=5 --stop=60 a b"),
            ("zocalo.queue_drain a . --wait 0 --stop 1.5", "drain --wait=0 --stop=1.5 a ."),
            ("zocalo.queue_drain a", "error: 2 values required for '<SOURCE> <DEST>...' but 1 was provided"),
            ("zocalo.configure_rabbitmq f.yml --user-config d -e x", "broker apply --environment=x --yes f.yml d"),
            ("zocalo.configure_rabbitmq f.yml -t PikaTransport", "error: unexpected argument '-t' found"),
            ("workflows.validate_recipe a.json b.json", "check a.json b.json"),
        ] {
            assert_eq!(translated(theirs), ours, "{theirs}");
        }
    }

    #[test]
    fn each_shim_has_help_and_leads_to_a_command() {
        for shim in SHIMS {
            shim.parser().debug_assert();
            for option in ["-h", "-?", "--help"] {
                let error = shim.translate(&[option.into()]).expect_err("help is printed");
                assert!(!error.use_stderr() && error.to_string().contains(shim.about), "{}: {error}", shim.name);
            }
            let mut command = &crate::cli::command();
            for name in shim.command {
                command = command.find_subcommand(name).unwrap_or_else(|| panic!("{}: no command {name}", shim.name));
            }
        }
    }
}
