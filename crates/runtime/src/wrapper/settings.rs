//! Programs that are wrapped by name.

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;

use zrecipe_project::settings::{Command, Section};

/// Programs that `zrecipe wrap --wrap NAME` runs, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(example = BTreeMap::from([("phasing", ["python3", "wrappers/phasing.py"])]))]
pub struct Wrappers(pub BTreeMap<String, Command>);

impl Section for Wrappers {
    const NAME: &'static str = "wrappers";

    fn relative_to(&mut self, directory: &Path) {
        self.0.values_mut().for_each(|command| command.relative_to(directory));
    }
}
