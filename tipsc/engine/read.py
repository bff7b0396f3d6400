"""Read an engine file, and believe nothing in it before it is checked."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tipsc.engine.allowed import check_allowed
from tipsc.engine.external import check_external
from tipsc.engine.format import (
    FORMS,
    GRAPH_MARGIN,
    MAGIC,
    MAX_HEADER,
    PREFIX,
    TFLITE_IDENTIFIER,
    VERSION,
    Header,
    Section,
    next_page,
)
from tipsc.engine.limits import Limits
from tipsc.engine.manifest import Manifest
from tipsc.engine.plan import DevicePlan
from tipsc.engine.signature import check_signature
from tipsc.engine.source import FileSource, MemorySource, Source
from tipsc.engine.strict import decode, loads
from tipsc.errors import EngineDamagedError, EngineVersionError, PathError, near

_REBUILD = "copy or build the engine again"


@dataclass(frozen=True)
class EngineFile:
    """An engine whose every byte was checked.

    Attributes:
        file: where it was read from; None for an engine parsed from memory.
        manifest: what is in it.
        form: ``onnx`` (with plans or without) or ``tflite``; see :mod:`tipsc.engine.format`.
        limits: that it was read with, for what opens it.
        plans: of an engine that was finished on a device; mapped and not copied.
        content_hash: SHA-256 that covers the whole file, in hexadecimal.
    """

    file: Path | None
    manifest: Manifest
    form: str
    content_hash: str
    _source: Source
    _weights_at: tuple[int, int]
    _graphs: Mapping[str, bytes]
    limits: Limits
    plans: tuple[DevicePlan, ...] = ()

    @property
    def weights(self) -> memoryview:
        """The weight store, or the whole .tflite; read-only, mapped and not copied.

        Raises:
            EngineDamagedError: somebody wrote to the file since it was read.
        """
        return self._source.view(*self._weights_at)

    def weights_parts(self) -> Iterator[bytes]:
        """The same, read part by part: for a copy, which then is whole whatever others do.

        Raises:
            EngineDamagedError: somebody writes to the file.
        """
        yield from self._source.parts(*self._weights_at)
        self._source.check_unchanged()

    @property
    def order(self) -> tuple[str, ...]:
        """Ids of the paths as they were laid out in the file; by latency where it does not say."""
        return tuple(self._graphs) or tuple(path.id for path in self.manifest.paths)

    def graph(self, path_id: str) -> bytes:
        """The serialised ONNX model of a path; its external data lies in :attr:`weights`.

        Raises:
            PathError: no such path.
            EngineDamagedError: it refers to bytes outside the weight store, or holds what tipsc
                does not write (:mod:`tipsc.engine.allowed`), or takes or gives other tensors than
                the manifest says.
        """
        if path_id not in self._graphs:
            raise PathError(f"the engine has no path {path_id!r}", fix=near(path_id, self._graphs))
        graph = self._graphs[path_id]
        # Here and not on opening: once an engine is finalised nobody asks for its graphs.
        where = f"{self.file}: graph of path {path_id}"
        check_allowed(graph, where)
        check_external(graph, self._weights_at[1], where)
        check_signature(graph, self.manifest.signature_of(self.manifest.path(path_id)), where)
        return graph


def read_engine(file: str | os.PathLike[str], limits: Limits | None = None) -> EngineFile:
    """Check all of an engine file, and map its weights.

    Args:
        file: an engine file.
        limits: what it may take. None: the defaults of :class:`Limits`.

    Raises:
        UsageError: there is no such file, or it may not be read.
        EngineDamagedError: it is truncated, altered or no engine, or passes a limit, or somebody
            writes to it.
        EngineVersionError: it is of another format version.
    """
    path = Path(file)
    return _parse(FileSource(path), path, limits or Limits())


def parse_engine(
    buffer: bytes | bytearray | memoryview,
    file: Path | None = None,
    limits: Limits | None = None,
) -> EngineFile:
    """The engine in `buffer`, which is not copied. Raises as :func:`read_engine` does."""
    return _parse(MemorySource(buffer), file, limits or Limits())


def _parse(source: Source, file: Path | None, limits: Limits) -> EngineFile:
    where = str(file) if file else "engine"
    _bound("file", source.size, limits.file_bytes, where)
    header_bytes = _header(source, where)
    header = decode(Header, loads(header_bytes, f"{where}: header"), f"{where}: header")
    form = _check_coverage(source, PREFIX.size + len(header_bytes), header.sections, where)
    sections = {section.name: section for section in header.sections}
    _bound("manifest", sections["manifest"].length, limits.manifest_bytes, where)
    for section in header.sections:
        if source.sha256(section.offset, section.length) != section.sha256:
            raise EngineDamagedError(
                f"section {section.name} is altered (its SHA-256 differs)",
                where=where,
                fix=_REBUILD,
            )

    def content(name: str) -> bytes:
        return source.read(sections[name].offset, sections[name].length)

    manifest = Manifest.from_json(
        loads(content("manifest"), f"{where}: manifest"), f"{where}: manifest"
    )
    largest = manifest.signature_of(max(manifest.paths, key=lambda path: path.batch))
    tensors = sum(spec.nbytes for spec in (*largest.inputs, *largest.outputs))
    _bound("inputs and outputs", tensors, limits.tensor_bytes, where)
    graphs: dict[str, bytes] = {}
    plans: tuple[DevicePlan, ...] = ()
    ids = {path.id for path in manifest.paths}
    weights = sections["model" if form == "tflite" else "weights"]
    if form != "tflite":
        packed = sections["graphs"]
        _check_graphs(header, packed.length, weights.length, limits, where)
        graphs = _graphs(content("graphs"), header, where)
        if set(graphs) != ids:
            raise EngineDamagedError(
                "manifest and graphs name different paths", where=where, fix=_REBUILD
            )
        of_plans = sections.get("plans")
        mapped = source.view(of_plans.offset, of_plans.length) if of_plans else memoryview(b"")
        plans = _plans(mapped, header, where)
        if bool(plans) != (form == "plans"):
            raise EngineDamagedError(
                "a section of plans and no plan, or plans and no section", where=where, fix=_REBUILD
            )
        planned = [path for plan in plans for path in plan.paths]
        if sorted(planned) != (sorted(ids) if manifest.built else []):
            raise EngineDamagedError(
                "manifest and plans name different paths", where=where, fix=_REBUILD
            )
    elif manifest.built:
        raise EngineDamagedError("no device finishes a .tflite", where=where, fix=_REBUILD)
    elif source.read(weights.offset + 4, 4) != TFLITE_IDENTIFIER or header.graphs or header.plans:
        raise EngineDamagedError("section model is not a .tflite", where=where, fix=_REBUILD)
    source.check_unchanged()  # what was read part by part is one file
    return EngineFile(
        file=file,
        manifest=manifest,
        form="tflite" if form == "tflite" else "onnx",
        content_hash=hashlib.sha256(header_bytes).hexdigest(),
        _source=source,
        _weights_at=(weights.offset, weights.length),
        _graphs=MappingProxyType(graphs),
        limits=limits,
        plans=plans,
    )


def _header(source: Source, where: str) -> bytes:
    prefix = source.read(0, PREFIX.size)
    if not prefix:
        raise EngineDamagedError("the file is empty", where=where, fix=_REBUILD)
    if len(prefix) < PREFIX.size or prefix[: len(MAGIC)] != MAGIC:
        raise EngineDamagedError("this is not an engine", where=where, fix=_REBUILD)
    _, version, length, digest = PREFIX.unpack(prefix)
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
    header = source.read(PREFIX.size, length)
    if len(header) != length:
        raise EngineDamagedError("the file ends within its header", where=where, fix=_REBUILD)
    if hashlib.sha256(header).digest() != digest:
        raise EngineDamagedError(
            "the header is altered (its SHA-256 differs)", where=where, fix=_REBUILD
        )
    return header


def _check_coverage(
    source: Source, position: int, sections: tuple[Section, ...], where: str
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
        if end > source.size:
            raise EngineDamagedError(
                f"the file ends within section {section.name}",
                where=where,
                expected=f"{end} bytes",
                got=source.size,
                fix=_REBUILD,
            )
        if any(source.read(position, section.offset - position)):
            raise EngineDamagedError(
                f"the padding before section {section.name} is not zero", where=where, fix=_REBUILD
            )
        position = end
    if position != source.size:
        raise EngineDamagedError(
            "there are bytes after the last section",
            where=where,
            expected=f"{position} bytes",
            got=source.size,
            fix=_REBUILD,
        )
    return form


def _bound(what: str, length: int, limit: int | None, where: str) -> None:
    if limit is not None and length > limit:
        raise EngineDamagedError(
            f"the {what} of the engine: more bytes than allowed",
            where=where,
            expected=f"<= {limit}",
            got=length,
            fix="give other limits= if you trust the file",
        )


def _check_graphs(header: Header, packed: int, weights: int, limits: Limits, where: str) -> None:
    """Before anything is decompressed. `packed` and `weights` are lengths of sections."""
    lengths = [graph.length for graph in header.graphs]
    if len({graph.path for graph in header.graphs}) != len(lengths) or min(lengths, default=0) < 0:
        raise EngineDamagedError("the table of graphs is not valid", where=where)
    _bound("path graphs", sum(lengths), limits.graph_bytes, where)
    _bound("largest path graph", max(lengths, default=0), weights + GRAPH_MARGIN, where)
    _bound("packed path graphs", packed, sum(lengths) + GRAPH_MARGIN, where)


def _graphs(packed: bytes, header: Header, where: str) -> dict[str, bytes]:
    stream, graphs = zlib.decompressobj(), {}
    try:  # one after the other: never more than is kept
        for graph in header.graphs:
            graphs[graph.path] = stream.decompress(packed, graph.length) if graph.length else b""
            packed = stream.unconsumed_tail
        whole = all(len(graphs[graph.path]) == graph.length for graph in header.graphs)
        more = stream.decompress(packed, 1)
    except zlib.error as error:
        raise EngineDamagedError(f"section graphs: {error}", where=where) from error
    if not whole or more or not stream.eof or stream.unused_data:
        raise EngineDamagedError(
            "section graphs has another length than its table says", where=where
        )
    return graphs


def _plans(section: memoryview, header: Header, where: str) -> tuple[DevicePlan, ...]:
    lengths = [plan.length for plan in header.plans]
    if min(lengths, default=0) < 0 or sum(lengths) != len(section):
        raise EngineDamagedError("the table of plans is not valid", where=where)
    plans, position = [], 0
    for plan in header.plans:
        if not plan.paths:
            raise EngineDamagedError("a plan is of no path", where=where, fix=_REBUILD)
        plans.append(DevicePlan(plan.paths, section[position : position + plan.length]))
        position += plan.length
    return tuple(plans)
