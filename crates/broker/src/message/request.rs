//! The processing request, from which a dispatcher makes recipe messages.

use super::outgoing::{Destination, Outgoing};
use zrecipe_language::contract::Contracts;
use zrecipe_language::source::Source;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};

/// The queue on which a dispatcher waits for processing requests.
pub const REQUEST_QUEUE: &str = "processing_recipe";

/// A processing request: recipes to run and the parameters to run them with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Request {
    /// Names of recipes, resolved by the dispatcher.
    pub recipes: Vec<String>,
    /// A recipe that travels with the request; it comes first.
    pub custom_recipe: Option<Value>,
    /// Parameters.
    pub parameters: Object,
    /// Further members that filters may understand.
    pub rest: Object,
}

impl Request {
    /// Reads the body of a request, which is what the contract of the dispatcher says.
    ///
    /// # Errors
    /// What is wrong with it, in words; such a request can never be dealt with.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        if body.len() as u64 > Source::MAX_BYTES {
            let (length, most) = (body.len() >> 20, Source::MAX_BYTES >> 20);
            return Err(format!("the request has {length} MiB; the maximum is {most} MiB"));
        }
        let body = read_value(body).map_err(|reason| format!("the request is {reason}"))?;
        // What follows from it is written to files and read by others, where it is no JSON.
        if let Some(place) = body.non_finite() {
            return Err(format!("`{place}` of the request is not a finite number, which JSON cannot represent"));
        }
        let contract = Contracts::built_in().of_queue(REQUEST_QUEUE);
        if let Some(reason) = contract.and_then(|contract| contract.payload_refusal(&body, "the request")) {
            return Err(reason);
        }
        // What the contract says is not said again here.
        let Value::Object(mut object) = body else { return Err("the request is not an object".to_owned()) };
        let recipes = match object.shift_remove("recipes") {
            Some(Value::Array(items)) => {
                let names = items.iter().map(|item| item.as_str().map(str::to_owned));
                // Half a character is text for the contract and part of no name.
                names.collect::<Option<_>>().ok_or("`recipes` contains an item that is not a name")?
            }
            _ => Vec::new(),
        };
        let custom_recipe = object.shift_remove("custom_recipe").filter(Value::is_truthy);
        let parameters = match object.shift_remove("parameters") {
            Some(Value::Object(parameters)) => parameters,
            _ => Object::new(),
        };
        Ok(Self { recipes, custom_recipe, parameters, rest: object })
    }

    /// The recipe ID that the request asks for, as parameter `guid`.
    ///
    /// # Errors
    /// What is wrong with it: it names a file of the logbook, among others.
    pub fn recipe_id(&self) -> Result<Option<&str>, String> {
        match self.parameters.get("guid") {
            Some(Value::String(guid)) if !guid.is_empty() => {
                let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
                if guid.len() > 200 {
                    return Err("parameter `guid` is longer than 200 characters".to_owned());
                }
                if !guid.chars().all(is_allowed) {
                    let allowed = "letters from A to Z, digits, `-`, `_` and `.`";
                    return Err(format!("parameter `guid` has invalid characters; an ID can have {allowed}"));
                }
                Ok(Some(guid))
            }
            Some(value) if value.is_truthy() => Err(format!("parameter `guid` is {}, not a string", value.describe())),
            _ => Ok(None),
        }
    }

    /// What a dispatcher says to every such request: it is read as it is sent.
    ///
    /// # Errors
    /// Why it would refuse the request.
    pub fn check(&self) -> Result<(), String> {
        Self::read(&self.to_body())?.recipe_id().map(drop)
    }

    /// The request as it travels.
    fn to_body(&self) -> Vec<u8> {
        self.to_value().to_json().into_bytes()
    }

    /// The body of the request.
    pub fn to_value(&self) -> Value {
        let mut object = Object::new();
        object.insert("recipes".to_owned(), Value::from(self.recipes.iter().map(String::as_str).collect::<Vec<_>>()));
        object.insert("parameters".to_owned(), Value::Object(self.parameters.clone()));
        if let Some(recipe) = &self.custom_recipe {
            object.insert("custom_recipe".to_owned(), recipe.clone());
        }
        object.extend(self.rest.clone());
        Value::Object(object)
    }

    /// The message that carries the request.
    pub fn to_message(&self, id: String, headers: Object) -> Outgoing {
        Outgoing::new(id, Destination::Queue(REQUEST_QUEUE.to_owned()), headers, self.to_body())
    }
}
