"""The layout of an engine file, shared by the writer and the reader.

::

    offset  bytes  content
    0       8      magic
    8       4      format version, little-endian
    12      4      length n of the header
    16      32     SHA-256 of the header: the content hash of the engine
    48      n      header: JSON, lists the sections and the graphs
    ...            zeros up to the next page
    page    ...    section, zeros up to the next page, section, ...; the last ends the file

Sections in the order of the form, each at the first page after the one before. Form ``onnx``:
``manifest`` (JSON), ``weights`` (raw), ``graphs`` (one zlib stream over the path graphs in the
header's order: path graphs repeat each other, so 32 of them cost little more than one). Form
``tflite``: ``manifest``, ``model`` (one .tflite in which each path is the signature of its id).
Form ``plans``, an engine that was finished on a device: as ``onnx``, and ``plans`` (compiled plans,
one after the other, in the order of the header's second table; each is for one path or more).

The header holds the SHA-256 of each section, so its own hash covers the whole file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tipsc.engine.strict import dumps, encode

MAGIC = b"TIPSCENG"
VERSION = 3
PAGE = 4096
PREFIX = struct.Struct("<8sII32s")
MAX_HEADER = 1 << 20
MAX_MANIFEST = 4 << 20
#: all path graphs of an engine, decompressed
MAX_GRAPHS = 128 << 20
#: by which the graph of a path may be larger than the weights of the engine
GRAPH_MARGIN = 1 << 20
#: for each form of an engine: section name to its encoding, in the order of the file
FORMS = {
    "onnx": {"manifest": "json", "weights": "raw", "graphs": "zlib"},
    "tflite": {"manifest": "json", "model": "raw"},
    "plans": {"manifest": "json", "weights": "raw", "graphs": "zlib", "plans": "raw"},
}
#: what a .tflite has at bytes 4..8
TFLITE_IDENTIFIER = b"TFL3"
#: location of external data in a path graph, as the compiler writes it
WEIGHTS_LOCATION = "weights"


@dataclass(frozen=True)
class Section:
    """A run of bytes of the file. `sha256` is of these bytes as stored, in hexadecimal."""

    name: str
    encoding: str
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True)
class GraphEntry:
    """A path's share of the decompressed ``graphs``; `length` in bytes."""

    path: str
    length: int


@dataclass(frozen=True)
class PlanEntry:
    """The share of ``plans`` that is the plan of these paths; `length` in bytes."""

    paths: tuple[str, ...]
    length: int


@dataclass(frozen=True)
class Header:
    sections: tuple[Section, ...]
    graphs: tuple[GraphEntry, ...]
    plans: tuple[PlanEntry, ...] = ()

    def to_bytes(self) -> bytes:
        return dumps(encode(self))


def next_page(offset: int) -> int:
    return -(-offset // PAGE) * PAGE
