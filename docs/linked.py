"""Hooks of mkdocs: pages link to files of the repository, and the site has these files.

A page links as it lies in the repository, so that its links work there too. In the site the
READMEs of the examples and CONTRIBUTING.md are pages, and any other file is a copy below
``repository/``. A link to a folder is left as its text. What docstrings have of Sphinx's markup
(``:class:`Engine` ``, ``::`` before code) is plain text in the site. A quote below the comment
``in the repository`` is for those who read a page there, and is not in the site.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"(!?)\[([^]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
THERE = re.compile(r"^<!-- in the repository -->\n(?:>.*\n)+", re.MULTILINE)
ROLE = re.compile(r":(?:class|meth|func|attr|data|mod|exc):<code>~?([^<]+)</code>")
FENCE = re.compile(r"^( *```.*?^ *```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are not below ``docs/``."""
    root = _root(config)
    pages = {"CONTRIBUTING.md": "contributing.md"}
    for file in sorted(root.glob("examples/*/README.md")):
        pages[file.relative_to(root).as_posix()] = f"examples/{file.parent.name}.md"
    for source, page in pages.items():
        files.append(File.generated(config, page, abs_src_path=str(root / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with its links as the site has them; what they name is added to the site."""
    root = _root(config)
    folder = Path(page.file.abs_src_path or "").parent

    def link(match: re.Match[str]) -> str:
        image, text, target, anchor = match.groups()
        file = Path(os.path.normpath(folder / target))
        if file.is_dir():
            return text
        if not (file.is_file() and file.is_relative_to(root)):
            return match[0]  # mkdocs says what is wrong with it
        uri = _uri(file, root, files, config)
        here = PurePosixPath(page.file.src_uri).parent
        return f"{image}[{text}]({os.path.relpath(uri, here)}{anchor or ''})"

    parts = FENCE.split(THERE.sub("", markdown))
    return "".join(part if i % 2 else LINK.sub(link, part) for i, part in enumerate(parts))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page without Sphinx's markup."""
    html = ROLE.sub(lambda found: f"<code>{found[1].rpartition('.')[2]}</code>", html)
    return html.replace("<p>::</p>", "").replace("::</p>", ":</p>")


def _uri(file: Path, root: Path, files: Files, config: MkDocsConfig) -> str:
    known = {known.abs_src_path: known.src_uri for known in files}
    if str(file) in known:
        return known[str(file)]
    uri = f"repository/{file.relative_to(root).as_posix()}"
    if file.suffix == ".md":  # a copy to read, no page
        uri += ".txt"
    files.append(File.generated(config, uri, abs_src_path=str(file)))
    return uri


def _root(config: MkDocsConfig) -> Path:
    return Path(config.config_file_path).resolve().parent
