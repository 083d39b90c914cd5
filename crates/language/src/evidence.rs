//! What many recipes have in common, so that the one that differs stands out.
//!
//! [`Facts`] are what one recipe says: which service is on which queue, where channels go, which parameters steps have
//! and what their values are. A [`Set`] counts facts over all recipes that are compared, the recipe itself among them.
//! [`Set::findings`] compares a recipe with everything that the others say, and its own other steps: a set without
//! mistakes is silent.
//!
//! # Strength
//!
//! A finding needs a number of others that agree, `k` of `n`. How many depends on how much else speaks for a mistake:
//! a name that differs from the usual one by a slip of the finger, or braces that are lost, need one or two others; a
//! value that has nothing in common with the usual one needs more. Nothing is reported where the others disagree.
//!
//! Facts hold hashes of names, 8 bytes each, so that 10,000 recipes fit into a few megabytes.

mod compare;
mod facts;
mod near;
mod set;

pub use self::compare::{About, Finding, Reason, shortened};
pub use self::facts::{Facts, Form, Output, OwnKey, Parameter, Placeholder, Shape, StepFacts};
pub use self::set::{Custom, Set};
