"""The blocks of a page, as HTML that needs nothing else, or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tipsc.printable import printable
from tipsc.report.html import Html, prose, tag
from tipsc.report.page import document


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the page's own."""

    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """Prose."""

    text: str


@dataclass(frozen=True)
class Bullets:
    """Points of equal rank, or of an order."""

    items: tuple[str, ...]
    numbered: bool = False


@dataclass(frozen=True)
class Grid:
    """A table; the first column is text, the others are figures."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Commands:
    """What somebody types."""

    lines: tuple[str, ...]


Block: TypeAlias = Heading | Paragraph | Bullets | Grid | Commands


def to_html(blocks: Sequence[Block], language: str, footer: str) -> str:
    """One page; the first block is its title."""
    first, *rest = blocks
    assert isinstance(first, Heading)
    top = tag("header", tag("h1", first.text), tag("button", "Light / dark", id="theme"))
    body = tag("section", *map(_as_html, rest))
    return document(first.text, top, [body], footer, language)


def _as_html(block: Block) -> Html:
    if isinstance(block, Heading):
        return tag(f"h{block.level}", block.text)
    if isinstance(block, Paragraph):
        return tag("p", prose(block.text))
    if isinstance(block, Bullets):
        return tag(
            "ol" if block.numbered else "ul", *(tag("li", prose(item)) for item in block.items)
        )
    if isinstance(block, Commands):
        return tag("pre", tag("code", "\n".join(block.lines)))
    head = [tag("th", text, class_=None if i else "left") for i, text in enumerate(block.headings)]
    rows = [
        tag("tr", *(tag("td", text, class_=None if i else "left") for i, text in enumerate(row)))
        for row in block.rows
    ]
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows))
    return tag("div", table, class_="scroll")


def to_markdown(blocks: Sequence[Block], footer: str) -> str:
    """The same as Markdown."""
    return "\n\n".join([*map(_as_markdown, blocks), footer]) + "\n"


def _as_markdown(block: Block) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {_plain(block.text)}"
    if isinstance(block, Paragraph):
        return _plain(block.text)
    if isinstance(block, Bullets):
        marks = [f"{n}." if block.numbered else "-" for n in range(1, len(block.items) + 1)]
        return "\n".join(f"{m} {_plain(i)}" for m, i in zip(marks, block.items, strict=True))
    if isinstance(block, Commands):
        return "\n".join(f"    {printable(line)}" for line in block.lines)
    lines = [block.headings, ("---", *("---:" for _ in block.headings[1:])), *block.rows]
    return "\n".join("| " + " | ".join(map(_plain, line)) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown does not read as its own."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
