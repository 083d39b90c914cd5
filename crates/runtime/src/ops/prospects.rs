//! Whether sending a dead letter back can help, and what else there is to do about it.

use std::sync::Arc;

use crate::ops::dead_letters::Letter;
use zrecipe_broker::message::{Cause, Code, Envelope, REQUEST_QUEUE, Reason, Request};
use zrecipe_language::syntax::json::read_value;
use zrecipe_project::judge::CheckOptions;
use zrecipe_project::library::Library;
use zrecipe_project::project::Project;

/// What is to be expected of sending a letter back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Prospects {
    /// Whether it can help.
    pub helps: bool,
    /// Why.
    pub why: String,
    /// What to do, without the place of the letter.
    pub remedy: Remedy,
}

/// What to do about a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Remedy {
    /// It is as good as new.
    SendBack,
    /// Its recipe has to be another one.
    Rebase,
    /// What was asked for has to be asked for again.
    Ask,
    /// Somebody has to mend what it complains of first.
    Mend,
    /// There is no more to be had of it.
    Keep,
}

impl Remedy {
    /// In words, for letters of a queue or for a file.
    pub fn text(self, place: &str, is_queue: bool) -> String {
        let back = if is_queue {
            format!("`zrecipe dlq purge {place} | zrecipe dlq reinject -r`")
        } else {
            "`zrecipe dlq reinject -r FILE`".to_owned()
        };
        let place = if is_queue { place } else { "FILE" };
        let rebase = format!("`zrecipe dlq rebase {place} --onto RECIPE`");
        match self {
            Self::SendBack => format!("send it back with {back}"),
            Self::Rebase => format!("replace its recipe and send it with {rebase}"),
            Self::Ask => "submit a corrected recipe with `zrecipe go RECIPE`".to_owned(),
            Self::Mend => {
                format!("if the recipe is wrong, use {rebase}; otherwise fix the cause, and send it back with {back}")
            }
            Self::Keep if is_queue => format!("save it to a file with `zrecipe dlq purge {place}`"),
            Self::Keep => "it is kept in its file".to_owned(),
        }
    }
}

/// Whether sending a letter back can help, and why.
pub fn prospects(letter: &Letter, library: &Library, project: &Project) -> Prospects {
    let death = letter.death();
    let queue = death.queue.clone().unwrap_or_default();
    let cannot = |why: String, remedy| Prospects { helps: false, why, remedy };
    let can = |why: &str| Prospects { helps: true, why: why.to_owned(), remedy: Remedy::SendBack };
    let envelope = match Envelope::read(&letter.headers, &letter.body) {
        Ok(envelope) => Some(envelope),
        Err(zrecipe_broker::message::Error::NotARecipe) => None,
        Err(error) => return cannot(format!("{error}, which no service can process"), Remedy::Keep),
    };
    if queue == REQUEST_QUEUE {
        let body =
            envelope.as_ref().map_or_else(|| letter.body.clone(), |envelope| envelope.payload.to_json().into_bytes());
        let request = match Request::read(&body) {
            Ok(request) => request,
            Err(reason) => return cannot(reason, Remedy::Ask),
        };
        for name in &request.recipes {
            let source = match library.find(name) {
                Ok(source) => source,
                Err(error) => return cannot(error.to_string(), Remedy::Ask),
            };
            let asked = CheckOptions { parameters: Some(&request.parameters), ..CheckOptions::default() };
            let compiled = project.judge(Arc::new(source), asked);
            if let Some(refusal) = compiled.refusals().next() {
                let why = format!("recipe `{name}` is still refused: {} [{}]", refusal.message, refusal.rule);
                return cannot(why, Remedy::Ask);
            }
        }
        if request.recipes.is_empty() && request.custom_recipe.is_none() {
            return cannot("the request names no recipe and carries none".to_owned(), Remedy::Ask);
        }
    }
    if let Err(error) = read_value(&letter.body) {
        return cannot(format!("its body is {error}, and services read JSON"), Remedy::Keep);
    }
    let contract = project.usable_contracts().0.of_queue(&queue);
    if let (Some(envelope), Some(contract)) = (&envelope, contract)
        && let Some(reason) = contract.refusal(&envelope.parameters())
    {
        return cannot(format!("service {} rejects it: {reason}", contract.name()), Remedy::Rebase);
    }
    // Services of zrecipe say why; the dispatcher's reasons have been looked at above.
    let reason = Reason::read(&letter.headers).filter(|_| queue != REQUEST_QUEUE);
    match (death.cause(), reason.map(|reason| reason.code)) {
        (Some(Cause::DeliveryLimit), _) => can("all attempts of a service failed: it can help once the cause is fixed"),
        (Some(Cause::Expired | Cause::MaxLength), _) => can("no service has processed it"),
        (Some(Cause::Rejected), Some(Code::NoSuchQueue | Code::NoSuchTopic)) => can("it can help once that exists"),
        (Some(Cause::Rejected), Some(_)) => {
            let who =
                contract.map_or_else(|| "its service".to_owned(), |contract| format!("service {}", contract.name()));
            cannot(format!("{who} rejected it as impossible to process"), Remedy::Mend)
        }
        _ => can("no obstacle is known"),
    }
}
