//! Runs of a site, from its dispatcher's logbook.

use super::broker::Environment;
use super::{Error, Session};
use zrecipe_broker::message::sanitise;
use zrecipe_language::bind::bind;
use zrecipe_language::source::Source;
use zrecipe_language::value::Value;
use zrecipe_project::judge::CheckOptions;
use zrecipe_runtime::ops::logbook::{self, Entry};
use zrecipe_runtime::runtime::LOGBOOK;

impl From<logbook::Error> for Error {
    fn from(error: logbook::Error) -> Self {
        Self::new(error.to_string())
    }
}

/// What the logbook of an environment says of a run.
///
/// # Errors
/// The site names no logbook, or it has no such run.
pub fn entry(environment: &Environment, id: &str) -> Result<Entry, Error> {
    let directory = environment.storage(LOGBOOK).ok_or_else(|| {
        Error::new("the environment has no dispatcher logbook, in which runs are looked up")
            .hint(format!("set `{LOGBOOK}` in a block of plugin `storage`"))
    })?;
    logbook::find(&directory, id).map_err(|error| {
        let is_missing = matches!(error, logbook::Error::NoSuchRun { .. });
        let said = Error::from(error);
        if !is_missing {
            return said;
        }
        said.hint("`zrecipe go` and `run -e` print the ID; its first three characters are enough").hint(
            "a request that the dispatcher rejected is not in the logbook: see `zrecipe dlq show processing_recipe`",
        )
    })
}

/// What the recipes that a request names would come to today, with its parameters; or why to nothing.
///
/// # Errors
/// The settings cannot be used.
pub fn today(entry: &Entry, environment: &Environment, session: &Session) -> Result<Result<Value, String>, Error> {
    let library = environment.library(session);
    let mut parameters = entry.request.parameters.clone();
    parameters.insert("guid".to_owned(), Value::from(entry.id.as_str()));
    let mut compiled = Vec::new();
    let custom =
        entry.request.custom_recipe.iter().map(|recipe| Ok(Source::from_text("custom_recipe", recipe.to_json())));
    for source in custom.chain(entry.request.recipes.iter().map(|name| library.find(name))) {
        let source = match source {
            Ok(source) => source,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let compilation =
            session.judge(source, CheckOptions { parameters: Some(&parameters), ..CheckOptions::default() })?;
        if let Some(refusal) = compilation.refusals().next() {
            let name = compilation.source.name();
            return Ok(Err(format!("`{name}` is refused: {} [{}]", refusal.message, refusal.rule)));
        }
        compiled.push(compilation);
    }
    Ok(Ok(sanitise(bind(&compiled, &parameters))))
}
