"""What the original costs on the device: its largest path, alone in an engine of its own.

A conversion leaves the largest path equal to the model that it was made from. Its engine is
measured right after the engine that ships, so that both meet the same machine. What it is worth is
told by :mod:`tipsc.pipeline.original`, of the model itself.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from tipsc.engine import Latency
from tipsc.engine.original import OriginalModel
from tipsc.pipeline.context import TargetProject
from tipsc.pipeline.original import original_of
from tipsc.pipeline.profile import bench_of
from tipsc.pipeline.worth import joined_samples
from tipsc.profile import Samples
from tipsc.progress import Progress

FILE = "original.tipsc"


@dataclass(frozen=True)
class OriginalCost:
    """What the original takes on the device.

    Attributes:
        p10_ms, p50_ms, p95_ms: of one call.
        macs: of one call.
        file_bytes: of an engine with nothing else in it.
    """

    p10_ms: float
    p50_ms: float
    p95_ms: float
    macs: int
    file_bytes: int

    @property
    def latency(self) -> Latency:
        """As an engine has it of a path."""
        return Latency(self.p10_ms, self.p50_ms, self.p95_ms)

    def to_json(self) -> dict[str, float]:
        """Its fields."""
        return asdict(self)


class OriginalAlone:
    """The original in an engine of its own, compiled once and measured as often as is needed."""

    def __init__(self, project: TargetProject, folder: Path, progress: Progress) -> None:
        self._bench = bench_of(project)
        self._path = project.untrained.space.largest
        self._macs = self._bench.batch * round(project.totals["macs"].of(self._path))
        self._file = self._bench.engine(folder / FILE, [self._path], progress)
        self._samples: Samples | None = None

    def measure(self, seed: int, progress: Progress) -> float:
        """Measures it, beside what was measured before; p50 of all, in ms."""
        _, more = self._bench.measure(self._file, seed, progress)
        self._samples = more if self._samples is None else joined_samples(self._samples, more)
        return self.cost.p50_ms

    @property
    def cost(self) -> OriginalCost:
        """What was measured so far."""
        assert self._samples is not None
        (found,) = self._samples.summarise().latencies.values()
        size = self._file.stat().st_size
        return OriginalCost(found.p10_ms, found.p50_ms, found.p95_ms, self._macs, size)


def original_model(project: TargetProject, cost: OriginalCost | None) -> OriginalModel | None:
    """The plain model with all that is known of it; None for a supernet.

    Args:
        cost: on the device; None: nothing was measured.
    """
    found = original_of(project)
    if found is None:
        return None
    batch = project.config.build.batches[0]
    return OriginalModel(
        found.quality,
        found.examples,
        found.parameters,
        batch * round(project.totals["macs"].of(project.untrained.space.largest)),
        None if cost is None else cost.latency,
        None if cost is None else cost.file_bytes,
    )
