//! The Python commands (zocalo 1.5, workflows 3.7), their options, and what these are called here.

use std::ffi::OsString;
use std::path::Path;

use clap::ArgMatches;

use super::Becomes::{Nothing, Option as Ours, Special};
use super::Kind::{Count, Flag, Value, Values};
use super::{Becomes, Kind, Number, Opt, Shim, assigned, ignore, texts};

const fn option(short: char, long: &'static str, kind: Kind, becomes: Becomes, help: &'static str) -> Opt {
    Opt { short: Some(short), long, kind, becomes, help }
}

const fn long(long: &'static str, kind: Kind, becomes: Becomes, help: &'static str) -> Opt {
    Opt { short: None, long, kind, becomes, help }
}

/// The Python commands that have a shim.
pub static SHIMS: &[Shim] = &[
    Shim {
        name: "zocalo.go",
        command: &["go"],
        about: "Submit recipes to the dispatcher of a site",
        options: &[
            option('r', "recipe", Values("RECIPE"), Ours("--recipe"), "Name of a recipe (repeatable)"),
            option('f', "file", Value("FILE"), Ours("--file"), "File with a recipe"),
            option('n', "no-dcid", Flag, Ours("--no-dcid"), "Submit without a data collection; an ID is ignored"),
            option('p', "reprocessing", Flag, Special, "The ID is that of a reprocessing task"),
            option('a', "autoprocscalingid", Value("ID"), Special, "ID of a scaling result of automatic processing"),
            option('s', "set", Values("KEY=VALUE"), Ours("--set"), "Set a parameter (repeatable)"),
            long("drop", Flag, Ours("--drop"), "Save the request for `zocalo.pickup`"),
            long("dry-run", Flag, Ours("--dry-run"), "Check without sending anything"),
            option('v', "verbose", Flag, Ours("--verbose"), "Print the request"),
        ],
        arguments: Some(("ID", Number::Any)),
        has_environment: true,
        has_transport: true,
        complete: |matches, ours| {
            if matches.get_flag("no-dcid") {
                // The Python command sends before it looks at these.
                return Ok(());
            }
            let ids: Vec<&OsString> = texts(matches, "arguments").collect();
            if ids.len() > 1 {
                return Err("only one data collection ID can be given".to_owned());
            }
            if matches.get_flag("reprocessing") {
                ours.push("--reprocessing".into());
            } else {
                ours.extend(texts(matches, "autoprocscalingid").map(|id| assigned("--autoprocscalingid", id)));
            }
            ours.extend(ids.into_iter().cloned());
            Ok(())
        },
        differs: &[
            "recipes on this machine are checked first; a recipe with errors is not sent",
            "standard output is the recipe ID, messages are on standard error",
            "`-n` without a recipe, and `--drop` without a directory for requests, are errors",
        ],
    },
    Shim {
        name: "zocalo.pickup",
        command: &["pickup"],
        about: "Send the requests that `zocalo.go` saved",
        options: &[
            option('d', "delay", Value("SECONDS"), Ours("--delay"), "Seconds between requests"),
            option('w', "wait", Value("SECONDS"), Ours("--wait"), "Seconds to wait at the start"),
            option('v', "verbose", Flag, Ours("--verbose"), "Print the requests"),
        ],
        arguments: None,
        has_environment: true,
        has_transport: true,
        complete: |_, _| Ok(()),
        differs: &["an unreadable file does not stop the others; the exit code is 1"],
    },
    Shim {
        name: "zocalo.service",
        command: &["service"],
        about: "Run a service",
        options: &[
            option(
                's',
                "service",
                Value("SERVICE"),
                Ours("--service"),
                "Service to start; a unique beginning is enough",
            ),
            option('v', "verbose", Count, Ours("--verbose"), "Log more"),
            option('d', "debug", Flag, Ours("--verbose"), "Log details, as `-v` does"),
            long("tag", Value("TAG"), Ours("--tag"), "Tag in the status"),
            option('r', "restart", Flag, Ours("--restart"), "Retry if the broker is unavailable at the start"),
            long("liveness", Flag, Special, "Answer liveness checks over HTTP"),
            long("liveness-port", Value("PORT"), Special, "Port for liveness checks [default: 8000]"),
            long("liveness-timeout", Value("SECONDS"), Nothing, "Has no effect, as in Python"),
            long("version", Flag, Special, "Print the version of zrecipe"),
        ],
        arguments: Some(("IGNORED", Number::Any)),
        has_environment: true,
        has_transport: true,
        complete: |matches, ours| {
            if matches.get_flag("version") {
                *ours = vec!["--version".into()];
                return Ok(());
            }
            if texts(matches, "service").next().is_none() {
                return Err("a service is required: `-s SERVICE`".to_owned());
            }
            if matches.get_flag("liveness") {
                let port = texts(matches, "liveness-port").next().map_or("8000".into(), |port| port.to_string_lossy());
                ours.push(assigned("--http", &format!("0.0.0.0:{port}").into()));
            }
            if let Some(argument) = texts(matches, "arguments").next() {
                ignore(&format!("argument `{}` is ignored, as in Python", argument.to_string_lossy()));
            }
            Ok(())
        },
        differs: &[
            "a service always restarts by itself; `-r` is about the start",
            "a Python service is found by the complete name of its entry point",
        ],
    },
    Shim {
        name: "zocalo.shutdown",
        command: &["shutdown"],
        about: "Stop services after their current messages",
        options: &[option(
            's',
            "service",
            Values("SERVICE"),
            Ours("--service"),
            "All instances of a service, or `none`",
        )],
        arguments: Some(("HOST", Number::Any)),
        has_environment: true,
        has_transport: true,
        complete: arguments,
        differs: &["an instance of a host without a domain is found by `HOST.PID`"],
    },
    Shim {
        name: "zocalo.wrap",
        command: &["wrap"],
        about: "Run a wrapper for a recipe step",
        options: &[
            long("wrap", Value("WRAPPER"), Ours("--wrap"), "Name of the wrapper"),
            long("recipewrapper", Value("FILE"), Ours("--recipewrapper"), "Wrapper file with the recipe and the step"),
            option('v', "verbose", Count, Ours("--verbose"), "Log more"),
        ],
        arguments: None,
        has_environment: true,
        has_transport: true,
        complete: |matches, _| match texts(matches, "wrap").next() {
            Some(_) => Ok(()),
            None => Err("a wrapper is required: `--wrap WRAPPER`".to_owned()),
        },
        differs: &[
            "the exit code is that of the wrapper: not 0 after a failure",
            "reports are stored on disk while the broker is unavailable",
        ],
    },
    Shim {
        name: "zocalo.dlq_check",
        command: &["dlq", "check"],
        about: "Count dead letters",
        options: &[option(
            'n',
            "namespace",
            Value("NAMESPACE"),
            Ours("--namespace"),
            "Virtual host of RabbitMQ, or prefix of ActiveMQ",
        )],
        arguments: None,
        has_environment: true,
        has_transport: true,
        complete: |_, _| Ok(()),
        differs: &["without `-n`, the virtual host is that of the site, not `zocalo`"],
    },
    Shim {
        name: "zocalo.dlq_purge",
        command: &["dlq", "purge"],
        about: "Move dead letters to files",
        options: &[
            long("wait", Value("SECONDS"), Ours("--wait"), "Seconds to wait for another letter"),
            long("location", Value("DIR"), Ours("--location"), "Directory for the files"),
        ],
        arguments: Some(("QUEUE", Number::Any)),
        has_environment: true,
        has_transport: true,
        complete: arguments,
        differs: &["standard output has one path a line"],
    },
    Shim {
        name: "zocalo.dlq_reinject",
        command: &["dlq", "reinject"],
        about: "Send dead letters in files back to their queues",
        options: &[
            option('r', "remove", Flag, Ours("--remove"), "Remove each file after its message is sent"),
            option('v', "verbose", Flag, Ours("--verbose"), "Print more"),
            option('d', "destination", Value("QUEUE"), Ours("--destination"), "Send the letters to this queue instead"),
            option('w', "wait", Value("SECONDS"), Ours("--wait"), "Seconds between letters"),
        ],
        arguments: Some(("FILE", Number::Any)),
        has_environment: true,
        has_transport: true,
        complete: |matches, ours| {
            let files: Vec<&OsString> = texts(matches, "arguments").collect();
            let (there, missing): (Vec<_>, Vec<_>) = files.into_iter().partition(|file| Path::new(file).exists());
            // Without any file, paths are read from standard input.
            if there.is_empty() {
                ours.extend(missing.into_iter().cloned());
                return Ok(());
            }
            missing.iter().for_each(|file| ignore(&format!("missing file {} is ignored", file.to_string_lossy())));
            ours.extend(there.into_iter().cloned());
            Ok(())
        },
        differs: &[
            "it is an error if all files are missing",
            "paths on standard input are read only if no file is named",
        ],
    },
    Shim {
        name: "zocalo.queue_drain",
        command: &["drain"],
        about: "Move messages from one queue to another",
        options: &[
            long("wait", Value("SECONDS"), Special, "Seconds between messages [default: 5]"),
            long("stop", Value("SECONDS"), Special, "Seconds without a message, after which it stops [default: 60]"),
        ],
        arguments: Some(("SOURCE DEST", Number::Two)),
        has_environment: true,
        has_transport: true,
        complete: |matches, ours| {
            for (name, default) in [("wait", "5"), ("stop", "60")] {
                let seconds = texts(matches, name).next().cloned().unwrap_or_else(|| default.into());
                ours.push(assigned(&format!("--{name}"), &seconds));
            }
            arguments(matches, ours)
        },
        differs: &["a message without a destination stays in its queue, and the others move; the exit code is 1"],
    },
    Shim {
        name: "zocalo.configure_rabbitmq",
        command: &["broker", "apply"],
        about: "Apply a configuration to RabbitMQ",
        options: &[long("user-config", Value("DIR"), Special, "Directory with one `.ini` file for each user")],
        arguments: Some(("FILE", Number::One)),
        has_environment: true,
        has_transport: false,
        complete: |matches, ours| {
            ours.push("--yes".into());
            arguments(matches, ours)?;
            ours.extend(texts(matches, "user-config").cloned());
            Ok(())
        },
        differs: &["a queue with messages or consumers is not deleted; the exit code is 1"],
    },
    Shim {
        name: "workflows.validate_recipe",
        command: &["check"],
        about: "Check recipes",
        options: &[],
        arguments: Some(("FILE", Number::AtLeastOne)),
        has_environment: false,
        has_transport: false,
        complete: arguments,
        differs: &["all errors are reported, each with its location; a missing file has exit code 2"],
    },
];

/// Adds the arguments that are not options.
fn arguments(matches: &ArgMatches, ours: &mut Vec<OsString>) -> Result<(), String> {
    ours.extend(texts(matches, "arguments").cloned());
    Ok(())
}
