//! Files that a configuration under test names.

use std::collections::BTreeMap;
use std::sync::Arc;

use zrecipe::site::{Files, Look};
use zrecipe::source::Source;
use zrecipe::syntax::yaml;

/// What there is at which path, as the path is written; nobody has looked anywhere else. Nothing stands for a file at
/// which the program panics.
#[derive(Debug, Default)]
pub struct Folder(BTreeMap<String, Option<Look>>);

impl Files for Folder {
    fn look(&self, _from: &str, path: &str) -> Look {
        match self.0.get(path) {
            Some(Some(look)) => look.clone(),
            Some(None) => panic!("a bug at `{path}`"),
            None => Look::Unknown,
        }
    }
}

impl Folder {
    /// Adds a file.
    pub fn add(&mut self, path: &str, text: &str, public: bool) {
        let tree = Arc::new(yaml::parse(Arc::new(Source::from_text(path, text))));
        self.0.insert(path.to_owned(), Some(Look::File { tree, public }));
    }

    /// Adds something else: `missing`, `elsewhere`, `directory`, `denied`, `unreadable` or `faulty`.
    pub fn add_other(&mut self, path: &str, state: &str) -> Result<(), String> {
        let look = match state {
            "faulty" => {
                self.0.insert(path.to_owned(), None);
                return Ok(());
            }
            "missing" => Look::Missing,
            "elsewhere" => Look::Elsewhere,
            "directory" => Look::Directory,
            "denied" => Look::Denied,
            "unreadable" => Look::Unreadable("input/output error".to_owned()),
            _ => return Err(format!("nobody knows what `{state}` files are")),
        };
        self.0.insert(path.to_owned(), Some(look));
        Ok(())
    }
}
