"""Read an engine file, and believe nothing in it before it is checked."""

from __future__ import annotations

import hashlib
import mmap
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tipsc.engine.allowed import check_allowed
from tipsc.engine.external import check_external
from tipsc.engine.format import (
    FORMS,
    MAGIC,
    MAX_GRAPHS,
    MAX_HEADER,
    MAX_MANIFEST,
    PREFIX,
    TFLITE_IDENTIFIER,
    VERSION,
    Header,
    Section,
    next_page,
)
from tipsc.engine.manifest import Manifest
from tipsc.engine.plan import Plan
from tipsc.engine.strict import decode, loads
from tipsc.errors import EngineDamagedError, EngineVersionError, PathError, UsageError, near
from tipsc.files import open_regular

_REBUILD = "copy or build the engine again"


@dataclass(frozen=True)
class EngineFile:
    """An engine whose every byte was checked.

    Attributes:
        file: where it was read from; None for an engine parsed from memory.
        manifest: what is in it.
        form: ``onnx`` (with plans or without) or ``tflite``; see :mod:`tipsc.engine.format`.
        weights: the weight store, or the whole .tflite; read-only, mapped and not copied.
        plans: of an engine that was finished on a device; mapped and not copied.
        content_hash: SHA-256 that covers the whole file, in hexadecimal.
    """

    file: Path | None
    manifest: Manifest
    form: str
    weights: memoryview
    content_hash: str
    _graphs: Mapping[str, bytes]
    plans: tuple[Plan, ...] = ()

    def graph(self, path_id: str) -> bytes:
        """The serialised ONNX model of a path; its external data lies in :attr:`weights`.

        Raises:
            PathError: no such path.
            EngineDamagedError: it refers to bytes outside the weight store, or holds what tipsc
                does not write (:mod:`tipsc.engine.allowed`).
        """
        if path_id not in self._graphs:
            raise PathError(f"the engine has no path {path_id!r}", fix=near(path_id, self._graphs))
        graph = self._graphs[path_id]
        # Here and not on opening: once an engine is finalised nobody asks for its graphs.
        where = f"{self.file}: graph of path {path_id}"
        check_allowed(graph, where)
        check_external(graph, len(self.weights), where)
        return graph


def read_engine(file: str | os.PathLike[str]) -> EngineFile:
    """Map an engine file and check all of it.

    Raises:
        UsageError: there is no such file, or it may not be read.
        EngineDamagedError: it is truncated, altered or no engine.
        EngineVersionError: it is of another format version.
    """
    path = Path(file)
    try:
        with open_regular(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            if size == 0:  # which cannot be mapped
                raise EngineDamagedError("the file is empty", where=str(path), fix=_REBUILD)
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UsageError(
            f"cannot open the engine: {error.strerror or error}", where=str(path)
        ) from error
    return parse_engine(mapped, path)


def parse_engine(buffer: bytes | mmap.mmap, file: Path | None = None) -> EngineFile:
    """The engine in `buffer`, which is not copied. Raises as :func:`read_engine` does."""
    view = memoryview(buffer)
    where = str(file) if file else "engine"
    header_bytes = _header(view, where)
    header = decode(Header, loads(header_bytes, f"{where}: header"), f"{where}: header")
    form = _check_coverage(view, PREFIX.size + len(header_bytes), header.sections, where)

    sections = {s.name: view[s.offset : s.offset + s.length] for s in header.sections}
    for section in header.sections:
        if hashlib.sha256(sections[section.name]).hexdigest() != section.sha256:
            raise EngineDamagedError(
                f"section {section.name} is altered (its SHA-256 differs)",
                where=where,
                fix=_REBUILD,
            )
    if len(sections["manifest"]) > MAX_MANIFEST:
        raise EngineDamagedError("the manifest is too large", where=where)
    manifest = Manifest.from_json(
        loads(bytes(sections["manifest"]), f"{where}: manifest"), f"{where}: manifest"
    )
    graphs: dict[str, bytes] = {}
    plans: tuple[Plan, ...] = ()
    ids = {path.id for path in manifest.paths}
    if form != "tflite":
        graphs = _graphs(sections["graphs"], header, where)
        if set(graphs) != ids:
            raise EngineDamagedError("manifest and graphs name different paths", where=where)
        plans = _plans(sections.get("plans", memoryview(b"")), header, where)
        planned = [path for plan in plans for path in plan.paths]
        if sorted(planned) != (sorted(ids) if manifest.built else []):
            raise EngineDamagedError("manifest and plans name different paths", where=where)
    elif bytes(sections["model"][4:8]) != TFLITE_IDENTIFIER or header.graphs or header.plans:
        raise EngineDamagedError("section model is not a .tflite", where=where, fix=_REBUILD)
    return EngineFile(
        file=file,
        manifest=manifest,
        form="tflite" if form == "tflite" else "onnx",
        weights=sections["model" if form == "tflite" else "weights"],
        content_hash=hashlib.sha256(header_bytes).hexdigest(),
        _graphs=MappingProxyType(graphs),
        plans=plans,
    )


def _header(view: memoryview, where: str) -> bytes:
    if len(view) < PREFIX.size or bytes(view[: len(MAGIC)]) != MAGIC:
        raise EngineDamagedError("this is not an engine", where=where, fix=_REBUILD)
    _, version, length, digest = PREFIX.unpack(view[: PREFIX.size])
    if version != VERSION:
        raise EngineVersionError(
            "the engine is of another format version",
            where=where,
            expected=VERSION,
            got=version,
            fix="install the tipsc that wrote it, or build it again",
        )
    if length > MAX_HEADER:
        raise EngineDamagedError(
            "the header is too long", where=where, expected=f"<= {MAX_HEADER}", got=length
        )
    header = bytes(view[PREFIX.size : PREFIX.size + length])
    if len(header) != length:
        raise EngineDamagedError("the file ends within its header", where=where, fix=_REBUILD)
    if hashlib.sha256(header).digest() != digest:
        raise EngineDamagedError(
            "the header is altered (its SHA-256 differs)", where=where, fix=_REBUILD
        )
    return header


def _check_coverage(
    view: memoryview, position: int, sections: tuple[Section, ...], where: str
) -> str:
    """Each byte of the file is in the header, in one section, or a zero between them.

    Returns:
        The form whose sections these are.
    """
    kinds = [(section.name, section.encoding) for section in sections]
    form = next((name for name, of in FORMS.items() if list(of.items()) == kinds), None)
    if form is None:
        raise EngineDamagedError(
            "not the sections of an engine",
            where=where,
            expected=" or ".join(str(list(of)) for of in FORMS.values()),
            got=[name for name, _ in kinds],
        )
    for section in sections:
        if section.offset != next_page(position) or section.length < 0:
            raise EngineDamagedError(
                f"section {section.name} is out of place",
                where=where,
                expected=next_page(position),
                got=section.offset,
            )
        end = section.offset + section.length
        if end > len(view):
            raise EngineDamagedError(
                f"the file ends within section {section.name}",
                where=where,
                expected=f"{end} bytes",
                got=len(view),
                fix=_REBUILD,
            )
        if any(view[position : section.offset]):
            raise EngineDamagedError(
                f"the padding before section {section.name} is not zero", where=where, fix=_REBUILD
            )
        position = end
    if position != len(view):
        raise EngineDamagedError(
            "there are bytes after the last section",
            where=where,
            expected=f"{position} bytes",
            got=len(view),
            fix=_REBUILD,
        )
    return form


def _graphs(packed: memoryview, header: Header, where: str) -> dict[str, bytes]:
    lengths = {graph.path: graph.length for graph in header.graphs}
    total = sum(lengths.values())
    if len(lengths) != len(header.graphs) or min(lengths.values(), default=0) < 0:
        raise EngineDamagedError("the table of graphs is not valid", where=where)
    if total > MAX_GRAPHS:
        raise EngineDamagedError(
            "the path graphs are too large", where=where, expected=f"<= {MAX_GRAPHS}", got=total
        )
    stream = zlib.decompressobj()
    try:  # one byte more than stated is enough to see that it is more
        data = stream.decompress(packed, total + 1)
    except zlib.error as error:
        raise EngineDamagedError(f"section graphs: {error}", where=where) from error
    if len(data) != total or not stream.eof or stream.unused_data:
        raise EngineDamagedError(
            "section graphs has another length than its table says", where=where, expected=total
        )
    graphs, position = {}, 0
    for path, length in lengths.items():
        graphs[path] = data[position : position + length]
        position += length
    return graphs


def _plans(section: memoryview, header: Header, where: str) -> tuple[Plan, ...]:
    lengths = [plan.length for plan in header.plans]
    if min(lengths, default=0) < 0 or sum(lengths) != len(section):
        raise EngineDamagedError("the table of plans is not valid", where=where)
    plans, position = [], 0
    for plan in header.plans:
        plans.append(Plan(plan.paths, section[position : position + plan.length]))
        position += plan.length
    return tuple(plans)
