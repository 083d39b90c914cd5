//! Files that a site configuration or the settings name and that are not there.

use crate::diagnostic::{Diagnostic, Level, Sink};
use crate::document::{DocumentKind, is_pattern};
use crate::lint::Context;
use crate::secret::{has_user_info, is_secret};
use crate::site::{Look, Site};
use crate::source::Span;
use crate::syntax::{Kind, NodeRef};

declare_rule! {
    /// A file that the configuration names does not exist.
    ///
    /// # Why
    /// A plugin block in a separate file is read when it is activated, so services fail in one environment and run in
    /// another. If no environment names the block, the missing file is a note. An included file is read immediately. A missing file that `zrecipe.toml` names cannot be used for
    /// checks. A file that this user may not read is a note, because credentials are often readable only by services. A
    /// file whose topmost directory is not on this machine is also a note. A file in a checked directory that cannot be
    /// read is an error, because it is not checked.
    ///
    /// # Example
    /// ```yaml missing=secrets/brokr.yml
    /// version: 1
    /// environments: {live: [broker]}
    /// broker: secrets/brokr.yml
    /// ```
    ///
    /// # Instead
    /// ```yaml
    /// version: 1
    /// environments: {live: [broker]}
    /// broker: secrets/broker.yml
    /// ```
    ///
    /// # When not to follow it
    /// The file exists on the machines that run the services, and not on this one.
    "missing-file", Error, about [Site, Settings]
}

fn check(cx: &Context<'_>, sink: &mut Sink) {
    if cx.document.kind() == DocumentKind::Settings {
        settings(cx, sink);
    }
    let Some(site) = cx.document.site() else { return };
    let used = cx.whole_site().map(Site::named_blocks).unwrap_or_default();
    for part in site.parts() {
        // What an included file names is found where that file is named.
        let place = |path: NodeRef<'_>| part.via.map_or(path.span(), |via| cx.tree.node(via).span());
        let name = part.via.map(|_| part.site.tree().source().name());
        let within = |found: Diagnostic| match name {
            Some(name) => Diagnostic { message: format!("in the included file `{name}` {}", found.message), ..found },
            None => found,
        };
        for block in part.site.blocks() {
            if let Some(look) = &block.file {
                let (what, path) = (format!("the file of block `{}`", block.name), part.site.node(block.value));
                let found = finding(&what, path, place(path), look, is_secret(&block.name)).map(within);
                // Such a file is read only when its block is activated.
                let is_idle = !used.is_empty() && !used.contains(&*block.name);
                sink.extend(found.map(|found| if is_idle { found.level(Level::Note) } else { found }));
            }
        }
        for include in part.site.includes() {
            let path = part.site.node(include.node);
            let found = finding("an included file", path, place(path), &include.look, false).map(within);
            sink.extend(found.map(|found| match include.look {
                Look::Denied => {
                    found.level(Level::Warning).help("all users of the configuration must be able to read it")
                }
                _ => found,
            }));
        }
    }
}

/// The finding for a file or directory that a checked directory holds and that cannot be read.
pub fn unreadable(reason: &str) -> Diagnostic {
    RULE.at(Span::empty(0), reason)
        .help("make it readable, or list it in `exclude` of zrecipe.toml; `max-file-size` there raises the limit")
}

/// The files and directories that the settings name.
fn settings(cx: &Context<'_>, sink: &mut Sink) {
    let (root, from) = (cx.tree.root(), cx.tree.source().name());
    for (key, what) in [
        ("site", "the site configuration"),
        ("broker", "the broker configuration"),
        ("contracts", "the contract"),
        ("baseline", "the baseline"),
        ("recipe-directories", "the recipe directory"),
    ] {
        let value = root.get(key);
        let paths = value.into_iter().flat_map(|value| value.items().chain([value]));
        for path in paths.filter(|path| path.kind() == Kind::String) {
            let text = path.text();
            if text.contains(['*', '?', '[', '{']) {
                // Everything that matches lies below the part of it without a wildcard.
                let fixed = text.split('/').take_while(|part| !is_pattern(part)).collect::<Vec<_>>().join("/");
                if !fixed.is_empty() && matches!(cx.files.look(from, &fixed), Look::Missing) {
                    let message = format!("nothing matches `{text}`: `{fixed}` does not exist");
                    sink.report(RULE.at(path.span(), message).help("it is relative to the directory of this file"));
                }
                continue;
            }
            let look = cx.files.look(from, &text);
            if key != "recipe-directories" || !matches!(look, Look::Directory) {
                sink.extend(finding(what, path, path.span(), &look, false));
            }
        }
    }
}

/// A setting that slipped out of its block looks like a path: a secret is not named.
fn finding(what: &str, path: NodeRef<'_>, place: Span, look: &Look, secret: bool) -> Option<Diagnostic> {
    let text = path.text();
    let named = if secret || has_user_info(&text) { what.to_owned() } else { format!("{what}, `{text}`,") };
    let at = |rest: String| RULE.at(place, format!("{named} {rest}"));
    Some(match look {
        Look::Unknown | Look::File { .. } => return None,
        Look::Missing => {
            let found = at("does not exist".to_owned());
            if text.starts_with(['/', '~']) {
                found
            } else {
                found.help("it is relative to the directory of this file")
            }
        }
        Look::Elsewhere => {
            at("is not on this machine".to_owned()).level(Level::Note).help("nor is its topmost directory")
        }
        Look::Directory => at("is a directory".to_owned()),
        Look::Denied => at("may not be read by this user".to_owned())
            .level(Level::Note)
            .help("this is usual for credentials; its content is not checked"),
        Look::Unreadable(why) => at(format!("cannot be read: {why}")),
    })
}
