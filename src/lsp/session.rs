//! What the server knows between two messages: open documents, the folders they belong to, and what the client can do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use gen_lsp_types as lsp;
use lsp_server::Message;

use super::client::{Client, Error};
use super::convert::{self, Lines};
use super::folder::Folder;
use super::inbox::Inbox;
use super::view::View;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::draw::{Diagram, Direction};
use zrecipe_language::names::Name;
use zrecipe_language::source::Source;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::library;
use zrecipe_project::project::Given;

mod findings;
mod outbox;
mod workspace;

/// How many earlier states of documents are kept until there is time to drop them.
const MOST_OLD: usize = 2;

/// An open document.
struct Document {
    uri: lsp::Uri,
    path: PathBuf,
    version: i32,
    source: Arc<Source>,
    lines: Arc<Lines>,
    /// Everything about it, since somebody asked.
    view: Option<Arc<View>>,
    /// What has been said about it last.
    told: Option<Vec<lsp::Diagnostic>>,
    /// Whether that may not be all any more.
    stale: bool,
    /// The version whose text others are held against, if they are held against it.
    spread: Option<i32>,
    /// Its last drawing, with the direction.
    drawing: Option<(Direction, Diagram)>,
}

/// The server's state.
pub struct Session {
    /// What the client can do.
    pub client: Client,
    /// Its messages.
    pub inbox: Inbox,
    /// Messages to it that have not been sent yet.
    pub outbox: Vec<Message>,
    given: Given,
    /// The folders that the client has opened.
    roots: Vec<PathBuf>,
    /// The folders that files may lead to; none if the user trusts them.
    within: Option<Vec<PathBuf>>,
    folders: Vec<Folder>,
    documents: BTreeMap<String, Document>,
    /// What was known of earlier states of documents.
    old: Vec<Arc<View>>,
    sent: i32,
    /// The file with the parameters that the user has chosen.
    parameters: Option<PathBuf>,
}

impl Session {
    /// A session without documents. Files of folders that are not trusted count only as far as they lead nowhere else.
    pub fn new(client: Client, inbox: Inbox, given: Given, roots: Vec<PathBuf>, trusted: bool) -> Self {
        let within = (!trusted).then(|| roots.clone());
        let mut session = Self {
            client,
            inbox,
            outbox: Vec::new(),
            given,
            roots: roots.clone(),
            within,
            folders: Vec::new(),
            documents: BTreeMap::new(),
            old: Vec::new(),
            sent: 0,
            parameters: None,
        };
        roots.iter().for_each(|root| session.add_folder(root));
        session
    }

    /// A document is opened.
    pub fn open(&mut self, uri: lsp::Uri, language: &str, version: i32, text: String) {
        let path = convert::path(&uri).unwrap_or_else(|| {
            // A text without a file: it is read as what the editor takes it for.
            let root = self.folders.first().map_or(Path::new("/").to_owned(), |folder| folder.basis.root.clone());
            let name: String = uri.0.chars().map(|c| if c == '/' { '_' } else { c }).collect();
            root.join(format!("{name}.{}", if language == "yaml" { "yml" } else { "json" }))
        });
        let (lines, source) = self.text(&path, text);
        let document = Document {
            uri: uri.clone(),
            path,
            version,
            source,
            lines,
            view: None,
            told: None,
            stale: true,
            spread: None,
            drawing: None,
        };
        self.documents.insert(uri.0, document);
    }

    fn text(&self, path: &Path, text: String) -> (Arc<Lines>, Arc<Source>) {
        (Arc::new(Lines::new(self.client.unit)), Arc::new(Source::from_text(path.to_string_lossy(), text)))
    }

    /// A document is edited.
    ///
    /// # Errors
    /// It is not open.
    pub fn edit(
        &mut self,
        uri: &lsp::Uri,
        version: i32,
        changes: Vec<lsp::TextDocumentContentChangeEvent>,
    ) -> Result<(), Error> {
        for change in changes {
            let document = self.documents.get(&uri.0).ok_or_else(|| Error::Invalid(format!("{uri} is not open")))?;
            let text = match change {
                lsp::TextDocumentContentChangeEvent::TextDocumentContentChangePartial(part) => {
                    let (old, span) = (document.source.text(), document.lines.span(&document.source, part.range));
                    let mut text = String::with_capacity(old.len() + part.text.len());
                    text.push_str(&old[..span.start as usize]);
                    text.push_str(&part.text);
                    text.push_str(&old[span.end as usize..]);
                    text
                }
                lsp::TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => whole.text,
            };
            let (lines, source) = self.text(&document.path, text);
            if let Some(document) = self.documents.get_mut(&uri.0) {
                self.old.extend(document.view.take());
                if self.old.len() > MOST_OLD {
                    self.old.clear();
                }
                (document.lines, document.source) = (lines, source);
                (document.version, document.stale, document.told) = (version, true, None);
            }
        }
        Ok(())
    }

    /// The last drawing of an open document in a direction.
    pub fn drawing(&self, uri: &str, direction: Direction) -> Option<&Diagram> {
        let (drawn, diagram) = self.documents.get(uri)?.drawing.as_ref()?;
        (*drawn == direction).then_some(diagram)
    }

    /// Records a drawing of a document, until the document is closed.
    pub fn record_drawing(&mut self, uri: &str, direction: Direction, diagram: Diagram) {
        if let Some(document) = self.documents.get_mut(uri) {
            document.drawing = Some((direction, diagram));
        }
    }

    /// A document is closed: the file on the disk is what counts again. Returns whether it was open.
    pub fn close(&mut self, uri: &lsp::Uri) -> Option<PathBuf> {
        let document = self.documents.remove(&uri.0)?;
        if !self.client.pulls {
            self.publish(document.uri, None, Vec::new());
        }
        Some(document.path)
    }

    /// The path of an open document.
    pub fn path_of(&self, uri: &lsp::Uri) -> Option<PathBuf> {
        Some(self.documents.get(&uri.0)?.path.clone())
    }

    /// Everything about an open document.
    ///
    /// # Errors
    /// It is not open.
    pub fn view(&mut self, uri: &lsp::Uri) -> Result<Arc<View>, Error> {
        let document = self.documents.get(&uri.0).ok_or_else(|| Error::Invalid(format!("{uri} is not open")))?;
        if let Some(view) = &document.view {
            return Ok(Arc::clone(view));
        }
        let (path, source, lines, version) =
            (document.path.clone(), Arc::clone(&document.source), Arc::clone(&document.lines), document.version);
        let place = self.folder(&path);
        let folder = &mut self.folders[place];
        let before = folder.changes();
        let (compilation, is_contradicted) = folder.compile(&path, &source);
        let others_may_differ = folder.changes() != before;
        let (basis, names, version) = (Arc::clone(&folder.basis), OnceLock::new(), Some(version));
        let root = basis.root.clone();
        let uri = uri.clone();
        let view = Arc::new(View { uri, path, version, basis, compilation, lines, names, is_contradicted });
        for (key, other) in &mut self.documents {
            if *key == view.uri.0 {
                other.view = Some(Arc::clone(&view));
            // Two documents of one file would contradict each other for ever.
            } else if others_may_differ && other.path.starts_with(&root) && other.path != view.path {
                other.stale = true;
            }
        }
        Ok(view)
    }

    /// Everything about a file, which is read from the disk if it is not open.
    pub fn view_of(&mut self, path: &Path) -> Option<Arc<View>> {
        let open = self.documents.values().find(|document| document.path == path).map(|document| document.uri.clone());
        if let Some(uri) = open {
            return self.view(&uri).ok();
        }
        let place = self.folder(path);
        let basis = Arc::clone(&self.folders[place].basis);
        let compilation = basis.read(path)?;
        let (uri, lines, names) = (convert::uri(path), Arc::new(Lines::new(self.client.unit)), OnceLock::new());
        let (path, version, is_contradicted) = (path.to_owned(), None, false);
        Some(Arc::new(View { uri, path, version, basis, compilation, lines, names, is_contradicted }))
    }

    /// The files of the folder of a document that have a name, the document itself first.
    ///
    /// # Errors
    /// Nobody wants to know any more.
    pub fn views_with(&mut self, own: &Arc<View>, name: &Name) -> Result<Vec<Arc<View>>, Error> {
        let mut views = vec![Arc::clone(own)];
        if !name.is_shared() {
            return Ok(views);
        }
        let place = self.folder(&own.path);
        let root = &self.folders[place].basis.root;
        let files = self.folders[place].files().into_iter();
        let mut paths: BTreeSet<PathBuf> =
            files.filter(|(_, file)| file.has(name)).map(|(path, _)| path.to_owned()).collect();
        paths.extend(
            self.documents.values().map(|document| &document.path).filter(|path| path.starts_with(root)).cloned(),
        );
        paths.remove(&own.path);
        for path in paths {
            self.inbox.go_on()?;
            views.extend(self.view_of(&path));
        }
        Ok(views)
    }

    /// The files of the folder that say what a name is.
    ///
    /// # Errors
    /// Nobody wants to know any more.
    pub fn definitions(&mut self, own: &Arc<View>, name: &Name) -> Result<Vec<Arc<View>>, Error> {
        let here = own.names().iter().any(|found| found.is_definition && found.name == *name);
        if here || !name.is_shared() {
            return Ok(vec![Arc::clone(own)]);
        }
        let place = self.folder(&own.path);
        let files = self.folders[place].files().into_iter();
        // Recipes only use what others define.
        let files =
            files.filter(|(_, file)| file.kind.is_some_and(|kind| kind != DocumentKind::Recipe) && file.has(name));
        let paths: Vec<PathBuf> = files.map(|(path, _)| path.to_owned()).collect();
        let mut views = Vec::new();
        for path in paths {
            self.inbox.go_on()?;
            views.extend(self.view_of(&path));
        }
        Ok(views)
    }

    /// The parameters of the file that the user has chosen.
    pub fn parameters(&self) -> Option<Object> {
        let root = self.folders.first().map_or(Path::new(""), |folder| &folder.basis.root);
        let path = root.join(self.parameters.as_ref()?);
        // What is open counts before it is saved.
        let open = self.documents.values().find(|document| document.path == path).map(|open| Arc::clone(&open.source));
        let read = || library::read(&path, &path.to_string_lossy(), Source::MAX_BYTES).ok().map(Arc::new);
        let source = open.or_else(read)?;
        match read_value(source.text().as_bytes()) {
            Ok(Value::Object(parameters)) => Some(parameters),
            _ => None,
        }
    }

    /// Takes the settings of the editor: `parameters` is the file with the parameters to show values of.
    pub fn configure(&mut self, settings: &serde_json::Value) {
        let path = settings.get("parameters").and_then(serde_json::Value::as_str);
        self.parameters = path.filter(|path| !path.is_empty()).map(PathBuf::from);
    }

    /// The file of a recipe by its name: in the recipe directories, or a file of that name in the folder.
    pub fn recipe_file(&mut self, own: &View, name: &str) -> Option<PathBuf> {
        let library = own.basis.project.library().ok()?;
        let path = library.path_of(name).filter(|path| self.may_follow(path));
        path.or_else(|| {
            let place = self.folder(&own.path);
            let mut files = self.folders[place].files().into_iter();
            files.find(|(path, _)| path.file_stem().is_some_and(|stem| stem == name)).map(|(path, _)| path.to_owned())
        })
    }
}
