//! `zrecipe fmt`: recipes in their canonical layout.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::sync::Arc;

use crate::cli::files::{replace, whereabouts};
use crate::cli::{Error, Session, difference, print, say, say_error};
use zrecipe_language::compile::{Compilation, alone, structure};
use zrecipe_language::diagnostic::counted;
use zrecipe_language::format::{Layout, Reason, format, renumber};
use zrecipe_language::source::Source;
use zrecipe_project::files::{Input, gather};
use zrecipe_project::project::{each_in_order, is_meant, is_ours};

/// Format recipes in the canonical layout, without changing their meaning
///
/// Indentation is two spaces. Lists that fit into 100 columns are written on one line. The order of keys, comments, the
/// spelling of numbers and text, and line endings do not change. Files with syntax errors are skipped.
///
/// Exit codes: 0 success, 1 a file would change (with `--check` or `--diff`), 2 a file could not be read, formatted or
/// written.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Files, directories or patterns such as `recipes/**/*.json`; `-` formats standard input to standard output.
    #[arg(value_name = "PATH", default_value = ".")]
    paths: Vec<String>,
    /// File name to show in messages for standard input.
    #[arg(long, value_name = "NAME", default_value = "<stdin>")]
    stdin_filename: String,
    /// List the files that would change, without writing them.
    #[arg(long)]
    check: bool,
    /// Show what would change, without writing files.
    #[arg(long)]
    diff: bool,
    /// Renumber the steps 1, 2, 3, … along the links and sort them; numbers in text values do not change.
    #[arg(long)]
    renumber: bool,
}

/// Runs the command.
///
/// # Errors
/// See [`crate::cli`].
pub fn run(args: &Args, session: &Session) -> Result<(), Error> {
    let is_named = |path: &Path| session.kind_of(path).is_some();
    let inputs = gather(&args.paths, &args.stdin_filename, &session.settings.selection, is_named)?;
    if inputs.is_empty() {
        say("no recipe found");
    }
    let style = session.style(io::stdout().is_terminal());
    let max_bytes = session.settings.max_bytes();
    let (mut changed, mut unchanged, mut failed, mut passed_over) = (0, 0, 0, 0);
    each_in_order(
        &inputs,
        |input| lay_out(input, max_bytes, args.renumber),
        |input, result| {
            let (before, text) = match result {
                Ok((compilation, layout))
                    if input.found && (layout == Layout::None(Reason::NotJson) || !is_ours(&compilation))
                        || !is_meant(&compilation) =>
                {
                    passed_over += 1;
                    return Ok::<(), Error>(());
                }
                Ok((compilation, Layout::Text(text))) => (Arc::clone(&compilation.source), text),
                Ok((compilation, Layout::None(reason))) => {
                    failed += 1;
                    let mistake = compilation.tree.mistakes().next().filter(|_| reason == Reason::SyntaxErrors);
                    let source = &compilation.source;
                    let place = mistake.map_or(input.name.clone(), |mistake| source.place(mistake.span.start));
                    say_error(&format!("error: cannot format {place}: {reason}"));
                    if mistake.is_some() {
                        say_error(&format!("  help: run `zrecipe check {}` to see all errors", input.name));
                    }
                    return Ok(());
                }
                Err(error) => {
                    failed += 1;
                    say_error(&format!("error: {error}"));
                    if let Some(hint) = input.path.as_deref().and_then(whereabouts) {
                        say_error(&format!("  help: {hint}"));
                    }
                    return Ok(());
                }
            };
            let changes = text != before.text();
            match &input.path {
                _ if args.check || args.diff => {
                    if args.diff {
                        let after = Arc::new(Source::from_text(before.name(), text.as_str()));
                        print(&difference(&input.name, Arc::clone(&before), after, style.colour))?;
                    } else if changes {
                        print(&format!("{}\n", input.name))?;
                    }
                }
                None => print(&text)?,
                Some(path) if changes => {
                    if let Err(error) = replace(path, before.text(), &text) {
                        failed += 1;
                        say_error(&format!("error: {error}"));
                        return Ok(());
                    }
                }
                Some(_) => {}
            }
            if before.has_byte_order_mark() {
                say(&format!("note: {} begins with a byte order mark, which formatting removes", input.name));
            }
            *(if changes { &mut changed } else { &mut unchanged }) += 1;
            Ok(())
        },
    )?;
    let only_stdin = inputs.iter().all(|input| input.path.is_none());
    if !only_stdin {
        let verb = if args.check || args.diff { "would change" } else { "formatted" };
        say(&format!("{verb} {}, {unchanged} unchanged", counted(changed, "file")));
        if passed_over > 0 {
            say(&format!("skipped {} of other kinds", counted(passed_over, "file")));
        }
    }
    match failed {
        0 if changed > 0 && (args.check || args.diff) => Err(Error::findings()),
        0 => Ok(()),
        _ => Err(Error::new(format!("{} could not be formatted", counted(failed, "file")))),
    }
}

fn lay_out(input: &Input, max_bytes: u64, with_numbers: bool) -> Result<(Compilation, Layout), String> {
    let source = Arc::new(input.read(max_bytes)?);
    let compilation = if with_numbers { alone(source, None) } else { structure(source, None) };
    let layout = if with_numbers { renumber(&compilation) } else { format(&compilation.recipe) };
    Ok((compilation, layout))
}
