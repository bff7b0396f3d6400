"""Write an engine file."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

from tipsc.engine.atomic import write_atomically
from tipsc.engine.external import check_external
from tipsc.engine.format import (
    MAGIC,
    MAX_GRAPHS,
    MAX_HEADER,
    MAX_MANIFEST,
    PREFIX,
    SECTIONS,
    VERSION,
    GraphEntry,
    Header,
    Section,
    next_page,
)
from tipsc.engine.manifest import Manifest
from tipsc.engine.strict import dumps
from tipsc.errors import DataError


def write_engine(
    file: str | os.PathLike[str],
    manifest: Manifest,
    weights: bytes | bytearray | memoryview,
    graphs: Mapping[str, bytes],
) -> None:
    """Write one engine file: whole or not at all; the same bytes for the same arguments.

    Args:
        file: where to; replaced if it exists.
        manifest: its paths are exactly the keys of `graphs`.
        weights: the weight store.
        graphs: path id to a serialised ONNX model, whose external data lies in `weights`.

    Raises:
        DataError: manifest and graphs name different paths, or something is too large.
        EngineDamagedError: a graph refers to bytes outside `weights`.
    """
    ids = [path.id for path in manifest.paths]
    if set(ids) != set(graphs):
        raise DataError(
            "manifest and graphs name different paths", expected=sorted(ids), got=sorted(graphs)
        )
    weights = memoryview(weights).cast("B")
    for path in ids:
        check_external(graphs[path], len(weights), f"graph of path {path}")
    bodies: dict[str, bytes | memoryview] = {
        "manifest": dumps(manifest.to_json()),
        "weights": weights,
        "graphs": zlib.compress(b"".join(graphs[path] for path in ids), 9),
    }
    _bound("manifest", len(bodies["manifest"]), MAX_MANIFEST)
    _bound("path graphs", sum(map(len, graphs.values())), MAX_GRAPHS)

    table = tuple(GraphEntry(path, len(graphs[path])) for path in ids)
    hashes = {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
    header, first = b"", 0
    while first != next_page(PREFIX.size + len(header)):
        # The offsets stand in the header, whose length they follow: a second round settles it.
        first = next_page(PREFIX.size + len(header))
        sections = _lay_out(bodies, hashes, first)
        header = Header(sections, table).to_bytes()
    _bound("header", len(header), MAX_HEADER)

    chunks: list[bytes | memoryview] = [
        PREFIX.pack(MAGIC, VERSION, len(header), hashlib.sha256(header).digest()),
        header,
    ]
    position = PREFIX.size + len(header)
    for section in sections:
        chunks += [bytes(section.offset - position), bodies[section.name]]
        position = section.offset + section.length
    write_atomically(Path(file), chunks)


def _lay_out(
    bodies: Mapping[str, bytes | memoryview], hashes: Mapping[str, str], offset: int
) -> tuple[Section, ...]:
    sections = []
    for name, body in bodies.items():
        offset = next_page(offset)
        sections.append(Section(name, SECTIONS[name], offset, len(body), hashes[name]))
        offset += len(body)
    return tuple(sections)


def _bound(what: str, length: int, limit: int) -> None:
    if length > limit:
        raise DataError(
            f"the {what} is too large for an engine", expected=f"<= {limit}", got=length
        )
