//! Tables of `zrecipe.toml` that services and programs define: each beside what it configures, and all in one list.

use crate::runtime::cluster::Submitting;
use crate::runtime::process::Running;
use crate::runtime::python::PythonSettings;
use crate::runtime::services::SERVICES;
use crate::wrapper::Wrappers;
use zrecipe_project::settings::Registered;

/// The tables of services, and those that several services share.
pub fn sections() -> Vec<Registered> {
    let of_services = SERVICES.iter().filter_map(|service| service.settings);
    let shared = [
        Registered::of::<Running>(),
        Registered::of::<Submitting>(),
        Registered::of::<Wrappers>(),
        Registered::of::<PythonSettings>(),
    ];
    of_services.chain(shared).collect()
}
