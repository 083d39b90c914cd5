//! Operators of a shell in a command that no shell reads.

use crate::diagnostic::Sink;
use crate::lint::Context;
use crate::lint::commands::{Reader, commands};

declare_rule! {
    /// A command that no shell reads has an operator of the shell.
    ///
    /// # Why
    /// The Runner splits a command at spaces and starts it without a shell. An operator such as `>`, `|` or `&&` is
    /// then an ordinary argument: `echo done > log` prints `done > log`, writes no file, and succeeds.
    ///
    /// # Example
    /// ```json
    /// {
    ///   "1": {
    ///     "queue": "runner.submission",
    ///     "parameters": { "workingdir": "/tmp", "commands": ["sort names.txt > sorted.txt"] }
    ///   },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # Instead
    /// ```json
    /// {
    ///   "1": {
    ///     "queue": "runner.submission",
    ///     "parameters": { "workingdir": "/tmp", "commands": [["sh", "-c", "sort names.txt > sorted.txt"]] }
    ///   },
    ///   "start": [[1, []]]
    /// }
    /// ```
    ///
    /// # When not to follow it
    /// The program itself reads such an argument, as `expr` reads `>`.
    "shell-operator", Warning
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    for step in cx.recipe.steps() {
        for (_, command) in commands(cx, step).filter(|(reader, _)| *reader == Reader::Runner) {
            let text = command.text();
            let Some(operator) = text.split_whitespace().find_map(operator) else { continue };
            let start = operator.as_ptr().addr() - text.as_ptr().addr();
            let step = cx.recipe.name(step);
            let message = format!(
                "`{operator}` in a command of step `{step}` is an argument, because the command does not run in a shell"
            );
            sink.report(RULE.at(command.text_span(start..start + operator.len()), message).help(remedy(operator)));
        }
    }
}

/// The operator that a shell would see at the beginning of a word, or the `;` at its end.
fn operator(word: &str) -> Option<&str> {
    let redirection = word.trim_start_matches(|c: char| c.is_ascii_digit());
    if redirection.starts_with(['>', '<']) {
        let rest = redirection.trim_start_matches(['>', '<']);
        // `2>&1` names another stream.
        let rest =
            rest.strip_prefix('&').map_or(rest, |stream| stream.trim_start_matches(|c: char| c.is_ascii_digit()));
        return Some(&word[..word.len() - rest.len()]);
    }
    match word {
        "|" | "||" | "&&" | "&" | "|&" => Some(word),
        // `find -exec` ends with `\;`.
        _ if word.ends_with(';') && !word.ends_with("\\;") => Some(&word[word.len() - 1..]),
        _ => None,
    }
}

fn remedy(operator: &str) -> &'static str {
    if operator.contains('>') {
        "use `output_file` of the step for the output of its commands; `[\"sh\", \"-c\", \"…\"]` runs a command in a \
         shell"
    } else if matches!(operator, "&&" | ";") {
        "commands of the list run one after the other until one fails; `[\"sh\", \"-c\", \"…\"]` runs one in a shell"
    } else {
        "write the command as `[\"sh\", \"-c\", \"…\"]` to run it in a shell"
    }
}
