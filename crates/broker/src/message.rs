//! The envelope that travels: how a recipe's messages are read, written and passed along a link. Pure.
//!
//! The wire format lives here only. It is that of `workflows.recipe.RecipeWrapper` (`workflows` 3.3): the whole
//! bound recipe travels with every message, with a pointer to the step that is to deal with it.

pub mod deaths;
mod envelope;
mod outgoing;
mod output;
mod request;
pub mod text_headers;

pub use self::envelope::{
    Envelope, Error, RECIPE_HEADER, SendError, check_destinations, is_recipe, read_body, sanitise,
};
pub use self::outgoing::{Destination, Outgoing, RecipeStep, message_id};
pub use self::output::{Output, Sending, Way, own_messages};
pub use self::request::{REQUEST_QUEUE, Request};

#[cfg(test)]
mod tests;
