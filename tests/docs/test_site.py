"""The manual is a site that is whole, and that loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from snippets import ROOT

#: tags and attributes that a browser loads by itself
LOADS = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("use", "href")}
#: of a link, what is no load
NAMES = {"canonical", "prev", "next"}


class Loads(HTMLParser):
    """What a page loads."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") in NAMES:
            return
        self.found += [v for k, v in attrs if (tag, k) in LOADS and v]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr  # strict: links, anchors, pages in no menu
    return folder


def test_every_page_is_there(site: Path) -> None:
    for page in (*ROOT.glob("docs/**/*.md"),):
        assert (site / page.relative_to(ROOT / "docs").with_suffix(".html")).is_file()
    assert (site / "examples" / "spam.html").is_file()
    assert (site / "contributing.html").is_file()


def test_pages_load_only_what_is_in_the_site(site: Path) -> None:
    count = 0
    for page in site.rglob("*.html"):
        for load in Loads(page).found:
            count += 1
            # the page that a server shows where there is none does not know where it stands
            target = site / load.lstrip("/") if page.name == "404.html" else page.parent / load
            assert not re.match(r"(https?:)?//", load), f"{page.name} loads {load}"
            assert Path(str(target).partition("?")[0].partition("#")[0]).exists(), f"{page}: {load}"
    assert count > 100


def test_style_sheets_load_nothing_from_elsewhere(site: Path) -> None:
    sheets = list(site.rglob("*.css"))
    assert sheets
    for sheet in sheets:
        assert not re.search(r"url\(['\"]?(https?:)?//|@import", sheet.read_text()), sheet


def test_files_of_the_repository_that_pages_link_to_are_in_the_site(site: Path) -> None:
    page = (site / "how-to" / "own-backend.html").read_text()
    assert 'href="../repository/tipsc/backends/table.py"' in page
    copied = (site / "repository" / "tipsc" / "backends" / "table.py").read_text()
    assert copied == (ROOT / "tipsc" / "backends" / "table.py").read_text()


def test_what_a_page_says_of_itself_in_the_repository_is_not_in_the_site(site: Path) -> None:
    pages = sorted(ROOT.glob("docs/reference/*.md"))
    assert pages
    for page in pages:
        first = page.read_text().splitlines()[3]
        assert first.startswith("> `make docs` fills this page"), page
        assert "make docs" not in (site / "reference" / f"{page.stem}.html").read_text()


def test_python_is_documented_from_its_docstrings(site: Path) -> None:
    from tipsc.runtime import Engine

    page = (site / "reference" / "running.html").read_text()
    summary = str(Engine.pick.__doc__).splitlines()[0]
    assert ":meth:" not in page and ":class:" not in page and "<p>::</p>" not in page
    assert re.sub(r"[`.]", "", summary)[:30] in re.sub(r"<[^>]+>|[`.]", "", page)
