//! What log lines say about the instance that they are from: the fields that the Python services add.

use std::sync::{Mutex, PoisonError};

use zrecipe_language::value::Value;

use crate::runtime::status::Board;

/// The first instance of each service of this process.
static INSTANCES: Mutex<Vec<(String, Board)>> = Mutex::new(Vec::new());

/// Log lines about the service of this name are from this instance.
pub fn follow(service: &str, board: &Board) {
    let mut instances = INSTANCES.lock().unwrap_or_else(PoisonError::into_inner);
    if instances.iter().all(|(known, _)| known != service) {
        instances.push((service.to_owned(), board.clone()));
    }
}

/// The fields of a line about this service. A line that is about no service is about the only one of the process.
pub(super) fn fields(service: Option<&str>) -> Vec<(&'static str, Value)> {
    let instances = INSTANCES.lock().unwrap_or_else(PoisonError::into_inner);
    let found = match (service, instances.as_slice()) {
        (Some(service), all) => {
            all.iter().find(|(known, board)| known == service || board.identity().service == service)
        }
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some((_, board)) = found else { return Vec::new() };
    let (identity, status) = (board.identity(), board.status());
    vec![
        ("_workflows_host", Value::from(identity.host.as_str())),
        ("_workflows_service", Value::from(board.title())),
        ("_workflows_serviceclass", Value::from(identity.class.as_str())),
        ("_workflows_status", Value::from(status.code())),
        ("_workflows_statustext", Value::from(status.text())),
    ]
}
