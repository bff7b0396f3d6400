"""An engine against its paths as models of their own: both are built, and both are measured.

Each path is taken out of the engine with its own part of each weight, as an export of it alone
would have it, and written as an engine with nothing else in it. Latencies of both are measured in
one interleaved run; memory in processes of their own.
"""

from __future__ import annotations

import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tipsc.engine import EngineFile, read_engine
from tipsc.errors import TargetError, UsageError
from tipsc.lower import Lowered
from tipsc.lower.plain import with_plain_weights
from tipsc.pipeline.holding import Holding, holding_of, zeros_for
from tipsc.profile import Protocol, collect
from tipsc.progress import Progress
from tipsc.project.target import load_target
from tipsc.runtime import Engine
from tipsc.runtime.pick import of_batch

_TIMES = 3  # that opening and memory are measured


@dataclass(frozen=True)
class AlonePath:
    """A path as a model of its own.

    Attributes:
        id: of the path.
        file_bytes: of its file.
        alone_ms, engine_ms: p50 of a call, measured side by side.
    """

    id: str
    file_bytes: int
    alone_ms: float
    engine_ms: float


@dataclass(frozen=True)
class Separate:
    """What was measured of both.

    Attributes:
        paths: as models of their own, in the engine's order, for batches of the first size.
        noise_floor: of the latencies, as a share.
        noise: what makes them doubtful; "" for nothing.
        engine_memory, separate_memory: with each path run once; None where nothing tells.
    """

    paths: tuple[AlonePath, ...]
    noise_floor: float
    noise: str
    engine_memory: Holding | None
    separate_memory: Holding | None

    @property
    def file_bytes(self) -> int:
        """Of all separate models together."""
        return sum(path.file_bytes for path in self.paths)

    @property
    def slowdown(self) -> float:
        """p50 in the engine over p50 alone, median over the paths."""
        return statistics.median(path.engine_ms / path.alone_ms for path in self.paths)


def measure_separate(file: Path, progress: Progress) -> Separate:
    """Builds each path of an engine alone, and measures both on this machine.

    Raises:
        UsageError: its paths cannot be taken apart here.
        EngineError: the engine is damaged, or not for this machine.
    """
    engine = read_engine(file)
    threads, protocol = _how(engine.manifest.target)
    ids = [path.id for path in of_batch(engine.manifest.paths)]
    with tempfile.TemporaryDirectory(prefix="tipsc-") as place, ExitStack() as stack:
        alone = {name: Path(place) / f"{name}.tipsc" for name in ids}
        for done, (name, single) in enumerate(alone.items()):
            write_alone(engine, name, single)
            progress(0.2 * done / len(ids), 1.0, f"path {name} alone")
        sizes = {name: single.stat().st_size for name, single in alone.items()}
        memory = [_median([holding_of(files) for _ in range(_TIMES)])
                  for files in ([file], list(alone.values()))]  # fmt: skip
        progress(0.4, 1.0, "measuring")
        whole = stack.enter_context(Engine.open(file, threads=threads))
        calls = {f"engine {i}": partial(whole.run, zeros_for(whole, i), path=i) for i in ids}
        for name, single in alone.items():
            one = stack.enter_context(Engine.open(single, threads=threads))
            calls[f"alone {name}"] = partial(one.run, zeros_for(one, name), path=name)
        found = collect(calls, protocol=protocol).summarise()
    progress(1.0, 1.0)
    p50 = {name: found.latencies[name].p50_ms for name in calls}
    paths = (AlonePath(i, sizes[i], p50[f"alone {i}"], p50[f"engine {i}"]) for i in ids)
    return Separate(tuple(paths), found.noise_floor.p95, found.noise, *memory)


def write_alone(engine: EngineFile, path_id: str, file: Path) -> None:
    """Writes an engine that has this path and nothing else.

    Raises:
        UsageError: its paths are not graphs of their own.
    """
    manifest = engine.manifest
    if engine.form != "onnx":
        raise UsageError(
            "the paths of this engine cannot be taken apart here",
            where=manifest.name,
            expected="an engine of ONNX graphs",
            got=f"the form {engine.form}",
        )
    graphs = {path_id: engine.graph(path_id)}
    whole = Lowered(bytes(engine.weights), graphs, {}, manifest.signature)
    alone, entry = with_plain_weights(whole), manifest.path(path_id)
    size = entry.shared_bytes + entry.private_bytes
    entry = replace(entry, shared_bytes=0, private_bytes=size)
    alone.write(file, replace(manifest, paths=(entry,)))


def _how(target: str) -> tuple[int, Protocol]:
    """Threads of a call, and how to measure."""
    try:
        found = load_target(target)
    except TargetError:  # a target file of somebody else's
        return 1, Protocol()
    return found.threads, Protocol.for_target(found)


def _median(found: list[Holding | None]) -> Holding | None:
    known = [holding for holding in found if holding is not None]
    if not known:
        return None
    return Holding(
        statistics.median(holding.private_mib for holding in known),
        statistics.median(holding.total_mib for holding in known),
    )
