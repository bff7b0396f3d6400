"""Write an engine file."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tipsc.engine.atomic import write_atomically
from tipsc.engine.external import check_external
from tipsc.engine.format import (
    FORMS,
    GRAPH_MARGIN,
    MAGIC,
    MAX_GRAPHS,
    MAX_HEADER,
    MAX_MANIFEST,
    PREFIX,
    TFLITE_IDENTIFIER,
    VERSION,
    GraphEntry,
    Header,
    PlanEntry,
    Section,
    next_page,
)
from tipsc.engine.manifest import Manifest
from tipsc.engine.plan import DevicePlan
from tipsc.engine.strict import dumps
from tipsc.errors import DataError


def write_engine(
    file: str | os.PathLike[str],
    manifest: Manifest,
    weights: bytes | bytearray | memoryview,
    graphs: Mapping[str, bytes],
    plans: Sequence[DevicePlan] = (),
) -> None:
    """Write one engine file: whole or not at all; the same bytes for the same arguments.

    Args:
        file: where to; replaced if it exists.
        manifest: its paths are exactly the keys of `graphs`.
        weights: the weight store.
        graphs: path id to a serialised ONNX model, whose external data lies in `weights`; they are
            written in this order.
        plans: for a manifest that is ``built``; each of its paths is in exactly one of them.

    Raises:
        DataError: manifest, graphs and plans name different paths, or something is too large.
        EngineDamagedError: a graph refers to bytes outside `weights`.
    """
    ids = [path.id for path in manifest.paths]
    if set(ids) != set(graphs):
        raise DataError(
            "manifest and graphs name different paths", expected=sorted(ids), got=sorted(graphs)
        )
    planned = [path for plan in plans for path in plan.paths]
    if sorted(planned) != (sorted(ids) if manifest.built else []):
        raise DataError("manifest and plans name different paths", got=sorted(planned))
    weights = memoryview(weights).cast("B")
    for path, graph in graphs.items():
        check_external(graph, len(weights), f"graph of path {path}")
    bodies: dict[str, bytes | memoryview] = {
        "manifest": dumps(manifest.to_json()),
        "weights": weights,
        "graphs": _packed(graphs.values()),
    }
    _bound("largest path graph", max(map(len, graphs.values())), len(weights) + GRAPH_MARGIN)
    _bound("path graphs", sum(map(len, graphs.values())), MAX_GRAPHS)
    if plans:
        bodies["plans"] = b"".join(plan.content for plan in plans)
    header = Header(
        (),
        tuple(GraphEntry(path, len(graph)) for path, graph in graphs.items()),
        tuple(PlanEntry(plan.paths, len(plan.content)) for plan in plans),
    )
    _write(file, "plans" if plans else "onnx", bodies, header)


def _packed(graphs: Iterable[bytes]) -> bytes:
    """One zlib stream, in which what is packed of a graph does not depend on those behind it."""
    packer = zlib.compressobj(9)
    parts = [packer.compress(graph) + packer.flush(zlib.Z_SYNC_FLUSH) for graph in graphs]
    return b"".join(parts) + packer.flush()


def write_tflite_engine(
    file: str | os.PathLike[str], manifest: Manifest, model: bytes | bytearray | memoryview
) -> None:
    """As :func:`write_engine`, for a backend that runs one .tflite with all paths.

    Args:
        model: each path of `manifest` is the signature with its id.

    Raises:
        DataError: `model` is no .tflite, or something is too large.
    """
    model = memoryview(model).cast("B")
    if bytes(model[4:8]) != TFLITE_IDENTIFIER:
        raise DataError("the model is not a .tflite", got=bytes(model[4:8]))
    _write(file, "tflite", {"manifest": dumps(manifest.to_json()), "model": model}, Header((), ()))


def _write(
    file: str | os.PathLike[str],
    form: str,
    bodies: Mapping[str, bytes | memoryview],
    tables: Header,
) -> None:
    _bound("manifest", len(bodies["manifest"]), MAX_MANIFEST)
    hashes = {name: hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
    header, first = b"", 0
    while first != next_page(PREFIX.size + len(header)):
        # The offsets stand in the header, whose length they follow: a second round settles it.
        first = next_page(PREFIX.size + len(header))
        sections = _lay_out(form, bodies, hashes, first)
        header = replace(tables, sections=sections).to_bytes()
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
    form: str, bodies: Mapping[str, bytes | memoryview], hashes: Mapping[str, str], offset: int
) -> tuple[Section, ...]:
    sections = []
    for name, body in bodies.items():
        offset = next_page(offset)
        sections.append(Section(name, FORMS[form][name], offset, len(body), hashes[name]))
        offset += len(body)
    return tuple(sections)


def _bound(what: str, length: int, limit: int) -> None:
    if length > limit:
        raise DataError(
            f"the {what} is too large for an engine", expected=f"<= {limit}", got=length
        )
