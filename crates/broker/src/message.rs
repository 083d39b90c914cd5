//! The wire: recipe messages, requests, dead letters, and all names that travel. Pure.
//!
//! The wire format lives here only. Recipe messages are those of `workflows.recipe.RecipeWrapper` (`workflows` 3.3): the
//! whole bound recipe travels with every message, with a pointer to the step that is to deal with it. Dead letters are
//! those of RabbitMQ, with a reason of zrecipe's own.
//!
//! | file | contents |
//! |---|---|
//! | `outgoing` | a message on its way to a broker |
//! | `output` | what services send, and where it goes |
//! | `bound_recipe` | its bound recipe, which leaves as the text that came |
//! | `envelope` | the recipe message: reading, writing, following a link |
//! | `request` | the processing request |
//! | `headers` | names of headers, and which of them are bookkeeping |
//! | `text_headers` | headers on a broker that has only text |
//! | `names` | names of dead-letter queues and of places to wait |
//! | `bounds` | how often a message may be delivered |
//! | `reason` | why a message is dead-lettered: code and text |
//! | `death` | header `x-death` |

mod bound_recipe;
pub mod bounds;
pub mod death;
mod envelope;
pub mod headers;
mod names;
mod outgoing;
mod output;
mod reason;
mod request;
pub mod text_headers;

pub use self::bound_recipe::{BoundRecipe, sanitise};
pub use self::death::{Cause, Death, record_death};
pub use self::envelope::{Envelope, Error, SendError, check_destinations, read_body};
pub use self::headers::{RECIPE_HEADER, bridged_headers, fresh_headers, is_recipe, reinjected_headers};
pub use self::names::{DELAY_PREFIX, dead_letter_queue, is_dead_letter_queue, is_delay, source_of_dead_letters};
pub use self::outgoing::{Destination, Outgoing, RecipeStep, message_id};
pub use self::output::{Output, Sending, Way, own_messages};
pub use self::reason::{Code, Reason};
pub use self::request::{REQUEST_QUEUE, Request};

#[cfg(test)]
mod tests;
