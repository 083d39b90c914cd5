//! What log lines say about the instance that they are from: the fields that the Python services add.

use std::sync::{Mutex, PoisonError};

use zrecipe_language::value::Value;

/// Fields and their values.
pub type Fields = Vec<(&'static str, Value)>;

/// What tells the fields of an instance.
type Describe = Box<dyn Fn() -> Fields + Send>;

/// The first instance of each service of this process: its name, that of its class, and what tells its fields.
static INSTANCES: Mutex<Vec<(String, String, Describe)>> = Mutex::new(Vec::new());

/// Log lines about the service of this name, or about the class of this name, are from this instance.
pub fn follow(service: &str, class: &str, fields: impl Fn() -> Fields + Send + 'static) {
    let mut instances = INSTANCES.lock().unwrap_or_else(PoisonError::into_inner);
    if instances.iter().all(|(known, ..)| known != service) {
        instances.push((service.to_owned(), class.to_owned(), Box::new(fields)));
    }
}

/// The fields of a line about this service. A line that is about no service is about the only one of the process.
pub(super) fn fields(service: Option<&str>) -> Fields {
    let instances = INSTANCES.lock().unwrap_or_else(PoisonError::into_inner);
    let found = match (service, instances.as_slice()) {
        (Some(service), all) => all.iter().find(|(known, class, _)| known == service || class == service),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    found.map(|(_, _, fields)| fields()).unwrap_or_default()
}
