//! Built-in services: one file each, and one line in the list below.

use std::sync::Arc;

use super::Service;
use super::surroundings::{Scope, Surroundings};
use super::why::Why;
use zrecipe_project::settings::Registered;

/// A built-in service, as its file registers it.
pub struct BuiltIn {
    /// Name for people; `zrecipe service -s NAME` takes it in any case.
    pub name: &'static str,
    /// Whether `zrecipe run` starts it as well.
    pub in_runs: bool,
    /// Its own table of `zrecipe.toml`.
    pub settings: Option<Registered>,
    /// Makes the service.
    pub make: fn(&Surroundings<'_>) -> Result<Arc<dyn Service>, Why>,
}

/// Declares the modules of `services/` and registers the `SERVICE` of each.
macro_rules! services {
    ($($module:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The built-in services, in the order of their names.
        pub static SERVICES: &[BuiltIn] = &[$($module::SERVICE),+];

        /// The names of the modules.
        pub const MODULES: &[&str] = &[$(stringify!($module)),+];
    };
}

services! {
    bridge,
    cluster,
    dispatcher,
    jsonlines,
    mailer,
    runner,
    schlockmeister,
}

/// The built-in service of a name.
pub fn service(name: &str) -> Option<&'static BuiltIn> {
    SERVICES.iter().find(|entry| entry.name.eq_ignore_ascii_case(name))
}

/// The built-in services of a run on this machine.
///
/// # Errors
/// One of them cannot be made.
pub fn of_run(surroundings: &Surroundings<'_>) -> Result<Vec<Arc<dyn Service>>, Why> {
    debug_assert_eq!(surroundings.scope, Scope::Run);
    SERVICES.iter().filter(|entry| entry.in_runs).map(|entry| (entry.make)(surroundings)).collect()
}
