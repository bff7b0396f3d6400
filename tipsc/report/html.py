"""HTML and SVG elements. Whatever is not made here is text, and is escaped.

That is also what no page may hold or what turns its letters round: see :mod:`tipsc.printable`.
"""

from __future__ import annotations

import html

from tipsc.printable import printable

_VOID = frozenset({"br", "link", "meta"})


class Html(str):
    """Text that is HTML already: made by :func:`tag` and the like, never of data."""

    __slots__ = ()


def tag(name: str, /, *children: str | None, **attributes: object) -> Html:
    """The element `name`.

    Args:
        children: :class:`Html` as it is, other text escaped; None is left out.
        attributes: ``class_`` means ``class`` and ``stroke_width`` means ``stroke-width``; None
            and False leave the attribute out, True leaves its value out.
    """
    opened = "<" + name + "".join(map(_attribute, attributes.items()))
    if name in _VOID:
        return Html(opened + ">")
    return Html(f"{opened}>{join(children)}</{name}>")


def prose(text: str) -> Html:
    """Text of ours in which `backticks` stand around code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one without its partner is a letter like others
        return Html(_text(text))
    return join([tag("code", p) if k % 2 else Html(_text(p)) for k, p in enumerate(parts)])


def shape(name: str, title: str | None = None, /, **attributes: object) -> Html:
    """An SVG shape, with what a pointer over it shows."""
    if title is None:
        return Html("<" + name + "".join(map(_attribute, attributes.items())) + "/>")
    return tag(name, tag("title", title), **attributes)


def join(parts: tuple[str | None, ...] | list[Html]) -> Html:
    """One piece of HTML out of several."""
    return Html("".join(_text(part) for part in parts if part is not None))


def verbatim(text: str) -> Html:
    """A style sheet or script of our own, which is not escaped inside its element."""
    return Html(text)


def number(value: float) -> str:
    """A coordinate to a tenth of a pixel, as short as it goes."""
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"


def _text(part: str) -> str:
    return part if isinstance(part, Html) else html.escape(printable(part))


def _attribute(item: tuple[str, object]) -> str:
    name, value = item
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = number(value) if isinstance(value, float) else html.escape(printable(str(value)))
    return f' {name}="{text}"'
