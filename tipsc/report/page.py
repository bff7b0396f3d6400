"""A build report as one HTML page that needs nothing else: no network, no font, no library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tipsc.report.data import BuildReport
from tipsc.report.format import moment
from tipsc.report.headline import header
from tipsc.report.html import Html, tag, verbatim
from tipsc.report.sections import SECTIONS
from tipsc.report.style import CSS, SCRIPT

# A browser then refuses whatever the page might be made to fetch.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def render(report: BuildReport) -> str:
    """The page, as a whole HTML document."""
    return document(
        f"{report.title} for {report.target}",
        header(report),
        [section(report) for section in SECTIONS],
        f"Written by {f'tipsc {report.version}'.strip()}, {moment(report.created_utc)}. "
        "Sizes are decimal: 1 MB = 10⁶ bytes.",
    )


def document(
    title: str, top: Html, sections: Sequence[Html | None], footer: str, language: str = "en"
) -> str:
    """A page in this style that needs nothing but itself."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", verbatim(CSS)),
    )
    body = tag(
        "body",
        top,
        tag("main", *sections),
        tag("footer", footer),
        tag("script", verbatim(SCRIPT)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang=language)}\n"


def write(report: BuildReport, file: Path) -> None:
    """Write the page to `file`, whole or not at all.

    Raises:
        OSError: the folder is missing or cannot be written.
    """
    from tipsc.engine.atomic import write_atomically

    write_atomically(file, [render(report).encode()])
