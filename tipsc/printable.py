"""Text that a terminal shows and does not obey.

Names in an engine, facts that a device tells and the texts of foreign exceptions are data. Printed
as they are, they could move the cursor, rewrite lines above, set the window's title, or show their
letters in another order than they have. Whatever tipsc prints goes through here.
"""

from __future__ import annotations

import re

#: C0 but newline, DEL, C1 (with CSI and OSC as one character); marks and overrides of the
#: direction of writing; line and paragraph separator; halves of surrogate pairs
_OBEYED = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""`text` with ``\x1b``, ``\u202e`` and the like in place of what a terminal would obey.

    Lines stay lines, and what is printed already stays as it is: to print it twice does no harm.
    """
    return _OBEYED.sub(_visible, text)


def on_one_line(text: str) -> str:
    """:func:`printable`, its lines joined: a name cannot make a line of its own."""
    return printable(re.sub(r"\s*\n\s*", " ", text.strip()))


def printable_json(text: str) -> str:
    r"""JSON that says the same: each such character as its escape ``\u....`` of JSON.

    Args:
        text: JSON, of which strings alone can hold such characters.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def cut(text: str, limit: int) -> str:
    """`text`, or the beginning of it with … at the end where it has more than `limit` characters.

    For what an error shows of a value: what was left out must not look as if it were not there.
    """
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
