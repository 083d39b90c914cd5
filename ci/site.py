"""A hook of mkdocs: adds the files of the repository that pages link to.

A page links to a file outside of `docs` as readers of the repository need it: `../schemas/recipe.schema.json`. On the site
that file is a copy, at the same path below the site's root. Markdown files outside of `docs`, such as the READMEs of editors,
become pages.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
# Pages outside of `docs` that the navigation names.
PAGES = ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]
LINK = re.compile(r"\]\(([^)\s#:]+)(#[^)\s]*)?\)")


def outside(path):
    """The path in the repository of what a page in the repository links to, or None."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for target, _ in LINK.findall(text):
        found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if not found.startswith("docs/") and (ROOT / found).is_file():
            yield found


def on_files(files, config):
    """Adds files, and files that those link to."""
    pages = [f"docs/{file.src_uri}" for file in files.documentation_pages()] + PAGES
    added = set()
    for page in pages:
        wanted = [page] if page in PAGES else []
        for path in [*wanted, *outside(page)]:
            if path in added or path.startswith(".."):
                continue
            added.add(path)
            file = File.generated(config, path, abs_src_path=str(ROOT / path))
            if path.endswith(".md"):
                # Only what the navigation names has to be in it.
                file.inclusion = file.inclusion if path in PAGES else type(file.inclusion).NOT_IN_NAV
                pages.append(path)
            files.append(file)
    return files


def on_page_markdown(markdown, page, config, files):
    """Writes links into the repository as links on the site, where `docs` is the root."""
    uri = page.file.src_uri
    path = f"docs/{uri}" if (ROOT / "docs" / uri).is_file() else uri
    here = posixpath.dirname(uri) or "."

    def site(match):
        target, anchor = match[1], match[2] or ""
        found = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        inside = found.removeprefix("docs/")
        if files.get_file_from_path(inside) is None:
            return match[0]
        return f"]({posixpath.relpath(inside, here)}{anchor})"

    return LINK.sub(site, markdown)
