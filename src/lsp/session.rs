//! What the server knows between two messages: open documents, the folders they belong to, and what the client can do.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use gen_lsp_types as lsp;
use gen_lsp_types::Request as _;
use lsp_server::{Message, Notification, Request, RequestId, Response};

use super::client::{Client, Error};
use super::convert::{self, Lines};
use super::findings::Findings;
use super::folder::{Basis, Folder};
use super::inbox::Inbox;
use super::view::View;
use zrecipe_language::document::DocumentKind;
use zrecipe_language::names::Name;
use zrecipe_language::source::Source;
use zrecipe_language::syntax::json::read_value;
use zrecipe_language::value::{Object, Value};
use zrecipe_project::library;
use zrecipe_project::project::{Given, is_ignored, is_within, walk};
use zrecipe_project::settings;

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
}

/// The directories that files are in, and those above.
fn directories_of<'p>(files: impl Iterator<Item = &'p Path>) -> HashSet<&'p Path> {
    let mut found = HashSet::new();
    for file in files {
        // Above one that is known all are.
        file.ancestors().skip(1).all(|above| found.insert(above));
    }
    found
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

    fn basis(&self, root: &Path) -> Basis {
        let open = self.documents.values().filter(|document| document.path.starts_with(root));
        let unsaved = open.map(|document| (document.path.clone(), Arc::clone(&document.source))).collect();
        Basis::new(root, &Given { unsaved, ..self.given.clone() }, self.within.as_deref())
    }

    /// Takes a folder into the workspace.
    pub fn add_folder(&mut self, root: &Path) {
        if self.folders.iter().any(|folder| folder.basis.root == root) {
            return;
        }
        if let Some(within) = &mut self.within
            && !within.iter().any(|known| known == root)
        {
            within.push(root.to_owned());
        }
        let basis = self.basis(root);
        self.complain(&basis);
        let outside = basis.project.outside();
        if !outside.is_empty() {
            let paths: Vec<String> = outside.iter().map(|path| format!("`{}`", path.display())).collect();
            let message = format!(
                "{} names {}, outside of the workspace, which does not count: much is not checked. Trust the workspace, \
                 or set the option `trusted` of the server",
                root.join(settings::FILE_NAME).display(),
                paths.join(", ")
            );
            self.notify::<lsp::ShowMessageNotification>(lsp::ShowMessageParams {
                kind: lsp::MessageType::Warning,
                message,
            });
        }
        self.folders.push(Folder::new(basis));
        self.forget_views();
    }

    /// Says what of the settings cannot be used.
    fn complain(&mut self, basis: &Basis) {
        let unsettled = basis.project.unsettled().map(ToString::to_string);
        let unusable = basis.project.usable_contracts().1.iter().map(|contract| contract.why.clone());
        let site = basis.project.recipe_names().err().map(|error| error.to_string());
        let broker = basis.project.topology().err().map(|error| error.to_string());
        let all: Vec<String> = unsettled.into_iter().chain(unusable).chain(site).chain(broker).collect();
        all.into_iter().for_each(|message| self.log(lsp::MessageType::Warning, message));
    }

    /// Takes a folder out of the workspace.
    pub fn remove_folder(&mut self, root: &Path) {
        self.folders.retain(|folder| folder.basis.root != root);
        self.forget_views();
    }

    /// The folders.
    pub fn folders(&self) -> &[Folder] {
        &self.folders
    }

    /// The folder of a file: of several the innermost. A file by itself gets one, and its neighbours are not looked at.
    fn folder(&mut self, path: &Path) -> usize {
        if let Some(place) = self.innermost(path) {
            return place;
        }
        let root = path.parent().unwrap_or(Path::new("/")).to_owned();
        let within =
            self.within.as_ref().map(|within| within.iter().cloned().chain([root.clone()]).collect::<Vec<_>>());
        let basis = Basis::new(&root, &self.given, within.as_deref());
        self.folders.push(Folder::new(basis));
        self.folders.len() - 1
    }

    /// What a scan of a folder has found; returns the projects in it that are to be scanned by themselves.
    pub fn scanned(&mut self, root: &Path, mut files: Vec<(PathBuf, super::folder::File)>) -> Vec<Arc<Basis>> {
        let mut inner = Vec::new();
        let settings =
            files.iter().filter(|(path, _)| path.file_name().is_some_and(|name| name == settings::FILE_NAME));
        let projects = settings.filter_map(|(path, _)| path.parent()).filter(|project| *project != root);
        for project in projects.map(Path::to_owned).collect::<Vec<_>>() {
            if self.folders.iter().all(|folder| folder.basis.root != project) {
                self.add_folder(&project);
                inner.extend(self.folders.last().map(|folder| Arc::clone(&folder.basis)));
            }
        }
        files.retain(|(path, _)| self.innermost(path).is_none_or(|place| self.folders[place].basis.root == root));
        let Some(folder) = self.folders.iter_mut().find(|folder| folder.basis.root == root) else { return inner };
        let is_open = |path: &Path| self.documents.values().any(|document| document.path == path);
        let seen: HashSet<PathBuf> = files.iter().map(|(path, _)| path.clone()).collect();
        let gone: Vec<PathBuf> = folder
            .files()
            .into_iter()
            .map(|(path, _)| path.to_owned())
            .filter(|path| !seen.contains(path) && !is_open(path))
            .collect();
        gone.iter().for_each(|path| folder.forget(path));
        for (path, file) in files {
            // What is open is what counts.
            if is_open(&path) { folder.keep_names(&path, file) } else { folder.keep(&path, file) }
        }
        self.forget_views();
        inner
    }

    /// The innermost folder around a file.
    fn innermost(&self, path: &Path) -> Option<usize> {
        let around = self.folders.iter().enumerate().filter(|(_, folder)| path.starts_with(&folder.basis.root));
        around.max_by_key(|(_, folder)| folder.basis.root.as_os_str().len()).map(|(place, _)| place)
    }

    /// Whether a file or directory belongs to the workspace: git does not ignore it.
    pub fn is_ours(&self, path: &Path) -> bool {
        self.innermost(path).is_some_and(|place| !is_ignored(&self.folders[place].basis.root, path))
    }

    /// Files have changed on the disk; returns the folders that have to be scanned again.
    pub fn changed(&mut self, paths: &[PathBuf]) -> Vec<Arc<Basis>> {
        let mut scans = Vec::new();
        let paths = &self.files_at(paths);
        let is_open = |path: &Path| self.documents.values().any(|document| document.path == path);
        // What git ignores is not looked at, as when the folder is scanned.
        let is_told = |path: &PathBuf| {
            let is_known =
                is_open(path) || self.folders.iter().any(|folder| folder.knows(path) || folder.basis.holds(path));
            is_known || self.is_ours(path)
        };
        let paths: Vec<&PathBuf> = paths.iter().filter(|path| is_told(path)).collect();
        if paths.is_empty() {
            return scans;
        }
        for place in 0..self.folders.len() {
            let folder = &self.folders[place];
            let root = folder.basis.root.clone();
            let is_own = |path: &Path| self.innermost(path) == Some(place) || folder.basis.names(path);
            let own: Vec<&PathBuf> = paths.iter().copied().filter(|path| is_own(path)).collect();
            if own.is_empty() {
                continue;
            }
            let ends = |path: &&PathBuf| **path == root.join(settings::FILE_NAME) && !path.exists();
            let outer =
                self.folders.iter().filter(|folder| folder.basis.root != root && root.starts_with(&folder.basis.root));
            let outer =
                outer.max_by_key(|folder| folder.basis.root.as_os_str().len()).map(|folder| folder.basis.clone());
            if let Some(outer) = outer.filter(|_| own.iter().any(ends) && !self.roots.contains(&root)) {
                // It is no project of its own any more.
                self.remove_folder(&root);
                scans.push(outer);
                scans.extend(self.changed(&own.into_iter().cloned().collect::<Vec<_>>()));
                return scans;
            }
            if own.iter().any(|path| folder.is_basis(path)) {
                let basis = self.basis(&root);
                self.complain(&basis);
                self.folders[place].basis = Arc::new(basis);
                scans.push(Arc::clone(&self.folders[place].basis));
                continue;
            }
            let is_new = own.iter().any(|path| !folder.knows(path) || !path.exists());
            if is_new {
                let basis = self.basis(&root);
                self.folders[place].basis = Arc::new(basis);
            }
            for path in own {
                let is_open = self.documents.values().any(|document| document.path == *path);
                let folder = &mut self.folders[place];
                match folder.basis.look(path) {
                    Some(file) if is_open => folder.keep_names(path, file),
                    Some(file) => folder.keep(path, file),
                    None if !is_open => folder.forget(path),
                    None => {}
                }
            }
        }
        self.forget_views();
        scans
    }

    /// The files that may have changed if these paths have: of a directory that has come, what is in it, and of one
    /// that is gone, what has been.
    fn files_at(&self, paths: &[PathBuf]) -> Vec<PathBuf> {
        let mut files = BTreeSet::new();
        let known = || self.folders.iter().flat_map(Folder::paths);
        let above = OnceCell::new();
        for path in paths {
            let is_in = |known: &&Path| known.starts_with(path);
            if path.is_dir() {
                if self.is_ours(path) {
                    files.extend(walk(path).unwrap_or_default());
                } else {
                    let named = self.folders.iter().flat_map(|folder| folder.basis.named());
                    let open = self.documents.values().map(|document| document.path.as_path());
                    files.extend(named.filter(|named| is_in(&named.as_path())));
                    files.extend(known().chain(open).filter(is_in).map(Path::to_owned));
                }
            } else if Self::is_relevant(path) {
                files.insert(path.clone());
            } else if above.get_or_init(|| directories_of(known())).contains(path.as_path()) {
                files.extend(known().filter(is_in).map(Path::to_owned));
            }
        }
        files.into_iter().collect()
    }

    /// Whether files of this name are any of our business.
    pub fn is_relevant(path: &Path) -> bool {
        let ends = |ending: &str| path.extension().is_some_and(|found| found == ending);
        ["json", "yml", "yaml", "ini", "toml", "py"].into_iter().any(ends)
    }

    /// What is known of the open documents may not be all any more.
    fn forget_views(&mut self) {
        for document in self.documents.values_mut() {
            document.view = None;
            document.stale = true;
        }
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

    /// Whether a path that is written in a document may be followed.
    pub fn may_follow(&self, path: &Path) -> bool {
        self.within.as_ref().is_none_or(|within| is_within(path, within))
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

    /// The findings of a document as the client takes them.
    ///
    /// # Errors
    /// It is not open.
    pub fn diagnostics(&mut self, uri: &lsp::Uri) -> Result<Vec<lsp::Diagnostic>, Error> {
        let view = self.view(uri)?;
        Ok(view.diagnostics())
    }

    /// The files of the workspace that are ours, each with the place of its folder.
    pub fn files(&self) -> Vec<(usize, PathBuf)> {
        let of = |(place, folder): (usize, &Folder)| {
            let files = folder.files().into_iter().filter(|(_, file)| file.kind.is_some());
            files.map(|(path, _)| (place, path.to_owned())).collect::<Vec<_>>()
        };
        self.folders.iter().enumerate().flat_map(of).collect()
    }

    /// What there is to say about a file of a folder, with its version if it is open. It is known until something about
    /// it changes.
    ///
    /// # Errors
    /// Nobody wants to know any more, or something else has to be done first.
    pub fn findings_of(
        &mut self,
        place: usize,
        path: &Path,
    ) -> Result<Option<(lsp::Uri, Option<i32>, Findings)>, Error> {
        let open = self.documents.values().find(|document| document.path == path).map(|document| document.uri.clone());
        if let Some(uri) = open {
            let view = self.view(&uri)?;
            return Ok(Some((uri, view.version, Findings::new(view.diagnostics()))));
        }
        let Some(folder) = self.folders.get_mut(place) else { return Ok(None) };
        let (uri, lines) = (convert::uri(path), Lines::new(self.client.unit));
        if let Some(found) = folder.said(path) {
            return Ok(Some((uri, None, found.clone())));
        }
        self.inbox.go_on()?;
        if !self.inbox.waiting.is_empty() {
            return Err(Error::Later);
        }
        let Some(compilation) = folder.check(path) else { return Ok(None) };
        let found = compilation.diagnostics.iter();
        let found = found.map(|found| lines.diagnostic(&compilation.source, &uri, found)).collect();
        let found = Findings::new(found);
        folder.say(path, found.clone());
        Ok(Some((uri, None, found)))
    }

    /// Says what there is to say about one document that has changed; whether there was one.
    pub fn tell_one(&mut self) -> bool {
        // What the user looks at is most likely what has been edited; its findings are not told yet.
        let stale = || self.documents.values().filter(|document| document.stale);
        let next = stale().find(|document| document.told.is_none()).or_else(|| stale().next());
        let Some(uri) = next.map(|document| document.uri.clone()) else { return false };
        let unknown_before = self.documents.get(&uri.0).is_some_and(|document| document.told.is_none());
        if !unknown_before {
            self.compare(&uri);
        }
        if self.client.pulls {
            // It is asked for next.
            if unknown_before && self.view(&uri).is_ok() {
                self.spread(&uri);
            }
            if let Some(document) = self.documents.get_mut(&uri.0) {
                document.stale = false;
                document.told.get_or_insert_default();
            }
            if !unknown_before && self.client.refreshes && !self.documents.values().any(|document| document.stale) {
                self.request(lsp::DiagnosticRefreshRequest::METHOD.as_str(), serde_json::Value::Null);
            }
            return true;
        }
        let Ok(found) = self.diagnostics(&uri) else { return false };
        self.spread(&uri);
        let Some(document) = self.documents.get_mut(&uri.0) else { return false };
        document.stale = false;
        if document.told.as_ref() != Some(&found) {
            let version = document.version;
            document.told = Some(found.clone());
            self.publish(uri, Some(version), found);
        }
        true
    }

    /// Holds the others against the text of a document that has not been saved yet, if they are held against its file.
    fn spread(&mut self, uri: &lsp::Uri) {
        let Some(document) = self.documents.get(&uri.0) else { return };
        let Some(view) = &document.view else { return };
        let is_one = matches!(
            view.compilation.document.kind(),
            DocumentKind::Contract | DocumentKind::Broker | DocumentKind::Settings | DocumentKind::Site
        );
        let (path, version) = (document.path.clone(), document.version);
        if !is_one || document.spread == Some(version) || !self.folders.iter().any(|folder| folder.basis.holds(&path)) {
            return;
        }
        for place in 0..self.folders.len() {
            let folder = &self.folders[place];
            if folder.basis.holds(&path) && (folder.basis.names(&path) || self.innermost(&path) == Some(place)) {
                let basis = self.basis(&folder.basis.root.clone());
                self.folders[place].basis = Arc::new(basis);
            }
        }
        for (key, other) in &mut self.documents {
            if *key == uri.0 {
                other.spread = Some(version);
            } else {
                self.old.extend(other.view.take());
                other.stale = true;
            }
        }
    }

    /// Forgets what is known of a document if other recipes have or had something to say against it.
    fn compare(&mut self, uri: &lsp::Uri) {
        let Some(document) = self.documents.get(&uri.0) else { return };
        let Some(view) = &document.view else { return };
        let (path, was_contradicted) = (document.path.clone(), view.is_contradicted);
        let place = self.folder(&path);
        if (was_contradicted || self.folders[place].contradicts(&path))
            && let Some(document) = self.documents.get_mut(&uri.0)
        {
            self.old.extend(document.view.take());
        }
    }

    /// Drops what is not needed any more, which for a large recipe takes as long as to say something about it.
    pub fn rest(&mut self) {
        self.old.clear();
    }

    /// Marks a document as told although it could not be.
    pub fn give_up(&mut self) {
        self.documents.values_mut().for_each(|document| document.stale = false);
    }

    fn publish(&mut self, uri: lsp::Uri, version: Option<i32>, diagnostics: Vec<lsp::Diagnostic>) {
        let params = lsp::PublishDiagnosticsParams { uri, version, diagnostics };
        self.notify::<lsp::PublishDiagnosticsNotification>(params);
    }

    /// Sends a notification.
    pub fn notify<N: lsp::Notification>(&mut self, params: N::Params) {
        self.outbox.push(Message::Notification(Notification::new(N::METHOD.as_str().to_owned(), params)));
    }

    /// Sends a request; what the client answers does not matter.
    pub fn request(&mut self, method: &str, params: serde_json::Value) {
        self.sent += 1;
        let id = RequestId::from(format!("zrecipe-{}", self.sent));
        self.outbox.push(Message::Request(Request::new(id, method.to_owned(), params)));
    }

    /// Says something in the log of the client.
    pub fn log(&mut self, kind: lsp::MessageType, message: String) {
        self.notify::<lsp::LogMessageNotification>(lsp::LogMessageParams { kind, message });
    }

    /// Answers a request.
    pub fn respond(&mut self, response: Response) {
        self.outbox.push(Message::Response(response));
    }
}
