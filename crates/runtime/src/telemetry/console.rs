//! Log lines for people: each is one line, whatever is in it.
//!
//! Much of what is logged was sent by others: the names of recipes, IDs, reasons. It neither adds a line that looks like
//! ours, nor acts on a terminal, nor fills it. Graylog gets all of it.

use std::fmt::Debug;

use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use zrecipe_language::report::printable;
use zrecipe_language::secret::hidden;
use zrecipe_language::value::Value;

/// The longest message, in characters; as much as one piece of what a program writes to its log.
const MOST_SAID: usize = 4 << 10;
/// The longest value of a field, in characters.
const MOST_TOLD: usize = 300;

/// Writes lines, with colours if wanted.
pub(super) fn layer<S, W>(writer: W, colour: bool) -> impl Layer<S> + Send + Sync
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt::layer()
        .fmt_fields(debug_fn(write).delimited(" "))
        .with_writer(writer)
        .with_ansi(colour)
        .with_target(false)
        .compact()
}

/// Writes a field of a line.
fn write(line: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> std::fmt::Result {
    let value = without_secrets(field.name(), format!("{value:?}"));
    match field.name() {
        "message" => line.write_str(&printable(&value, MOST_SAID)),
        name if line.has_ansi_escapes() => {
            write!(line, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{}", printable(&value, MOST_TOLD))
        }
        name => write!(line, "{name}={}", printable(&value, MOST_TOLD)),
    }
}

/// The value of a field without the secrets in it.
pub(super) fn without_secrets(name: &str, text: String) -> String {
    match hidden(name, Value::from(text)) {
        Value::String(text) => text,
        other => other.to_json(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::layer::SubscriberExt as _;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody has failed").write(text)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written of a line about a message, without its time.
    fn written(colour: bool, id: &str, reason: &str) -> String {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::registry().with(layer(move || writer.clone(), colour));
        tracing::subscriber::with_default(subscriber, || {
            let span = tracing::info_span!("message", step = 2, recipe_ID = tracing::field::Empty);
            span.record("recipe_ID", id);
            span.in_scope(|| tracing::warn!(sent = 3, "{reason}"));
        });
        let text = String::from_utf8(written.0.lock().expect("nobody has failed").clone()).expect("text");
        text[text.find("WARN").expect("a level")..].to_owned()
    }

    #[test]
    fn a_line_is_one_line_whatever_is_in_it() {
        for (id, reason, expected) in [
            ("a1", "no such file", "WARN message: no such file sent=3 step=2 recipe_ID=\"a1\"\n"),
            (
                "a\n1",
                "no\r\n2026-01-01T00:00:00Z  INFO all is well\x1b[2J\u{202e}",
                "WARN message: no␍␊2026-01-01T00:00:00Z  INFO all is well␛[2J\u{fffd} sent=3 step=2 recipe_ID=\"a\\n1\"\n",
            ),
        ] {
            assert_eq!(written(false, id, reason), expected);
        }
        let (id, reason) = ("i".repeat(30_000), "é".repeat(30_000));
        let (id, reason) = (written(false, &id, "x"), written(false, "x", &reason));
        assert!(id.ends_with("iii…\n") && id.chars().count() < MOST_TOLD + 100, "{id}");
        assert!(reason.contains("éé… sent=3") && reason.chars().count() < MOST_SAID + 100, "{reason}");
    }

    #[test]
    fn secrets_are_not_logged() {
        let (id, reason) = ("a", "curl -u me:canary7 failed: Authorization: Bearer canary7");
        let line = written(false, id, reason);
        assert!(line.contains("curl -u me") && !line.contains("canary7"), "{line}");
    }

    #[test]
    fn colours_are_ours_alone() {
        let line = written(true, "\x1b[31ma1", "\x1b[31mred");
        assert!(line.contains("␛[31mred") && line.contains("\x1b[3mstep\x1b[0m\x1b[2m=\x1b[0m2"), "{line:?}");
        assert!(!line.contains("\x1b[31m"), "{line:?}");
    }
}
