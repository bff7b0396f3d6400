"""Arrays as images that stand in the page itself: PNG (ISO/IEC 15948) in data URIs."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from tipsc.report.html import Html, shape
from tipsc.tree import tree_of

PALETTE = (
    (86, 180, 233), (230, 159, 0), (0, 190, 140), (240, 107, 178), (240, 228, 66), (255, 100, 70),
    (160, 140, 255), (150, 220, 80),
)  # fmt: skip
"""Okabe and Ito's colours and two more, bright enough for lines on a photograph."""
_SIDE = 320  # pixels; what is larger is thinned
_GREY, _RGB, _INDEXED = 0, 2, 3  # colour types of PNG


def colour(number: int) -> str:
    """Of a class, as CSS has it; they come again after the eighth."""
    return "#{:02x}{:02x}{:02x}".format(*PALETTE[number % len(PALETTE)])


def pictures_in(inputs: Any) -> np.ndarray | None:
    """The images (n, 1 or 3, H, W) among the inputs, which may have their channels last; None if
    there are none.
    """
    for array in tree_of(inputs, "inputs").flat(inputs, "inputs"):
        if array.ndim == 4 and array.shape[1] in (1, 3):
            return np.asarray(array)
        if array.ndim == 4 and array.shape[3] in (1, 3):
            return np.asarray(array).transpose(0, 3, 1, 2)
    return None


def photograph(pixels: np.ndarray) -> bytes:
    """The PNG of an image (1 or 3, H, W) in any unit: from its darkest to its brightest."""
    low, high = np.percentile(pixels, (0.5, 99.5))
    scaled = (pixels - low) / max(high - low, 1e-9)
    values = (255 * np.clip(np.nan_to_num(scaled), 0, 1)).astype(np.uint8)
    rows = _thinned(values.transpose(1, 2, 0))
    return png(rows, _RGB if len(pixels) == 3 else _GREY)


def areas(numbers: np.ndarray, clear: Sequence[int]) -> bytes:
    """The PNG of classes (H, W), each in its colour.

    Args:
        clear: classes that let what is below show through; others do a little.
    """
    present = [int(number) for number in np.unique(numbers)]
    colours = bytes(part for number in present for part in PALETTE[number % len(PALETTE)])
    depth = bytes(0 if number in clear else 175 for number in present)
    rows = _thinned(np.searchsorted(present, numbers).astype(np.uint8)[..., None])
    return png(rows, _INDEXED, (b"PLTE", colours), (b"tRNS", depth))


def png(rows: np.ndarray, kind: int, *more: tuple[bytes, bytes]) -> bytes:
    """A PNG of 8 bits a channel.

    Args:
        rows: (H, W, channels) uint8.
        kind: its colour type.
        more: chunks that stand before the pixels.
    """
    height, width, _ = rows.shape
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def embedded(image: bytes, width: int, height: int, name: str | None = None) -> Html:
    """An image in an SVG that it fills; `name` is what ``use`` can refer to."""
    address = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    return shape(
        "image",
        href=address,
        width=width,
        height=height,
        preserveAspectRatio="none",
        style="image-rendering:pixelated",  # a rule of the style sheet would not reach `use`
        id=name,
    )


def _thinned(rows: np.ndarray) -> np.ndarray:
    step = -(-max(rows.shape[:2]) // _SIDE)
    return rows[::step, ::step]


def _chunk(name: bytes, content: bytes) -> bytes:
    check = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)
