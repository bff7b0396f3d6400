"""What a build report shows. The build fills these from its stages; nothing here is computed.

A quality is None where none was measured. Latencies are milliseconds,
sizes are bytes, parameters and MACs are counts for one example.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tipsc.engine.original import OriginalModel
from tipsc.pipeline.climbs import PathClimb
from tipsc.pipeline.verdicts import GoalAnswer, LeftOut
from tipsc.quality import Quality
from tipsc.report.html import Html


@dataclass(frozen=True)
class Point:
    """A candidate path.

    Args:
        id: of the path.
        options: name of a choice to the option that the path takes; None: it has no effect there.
        quality: on the validation set.
        p10_ms: latency that a tenth of the calls stayed under; p50_ms and p95_ms likewise.
        chosen: whether the path is in the engine.
        measured: False where the latency is the predictor's.
    """

    id: str
    options: Mapping[str, int | None]
    quality: Quality | None
    p10_ms: float
    p50_ms: float
    p95_ms: float
    macs: int
    parameters: int
    chosen: bool
    measured: bool = True


@dataclass(frozen=True)
class Shipped:
    """A path of the engine.

    Args:
        id: of the path.
        quality: on the test set, computed by the engine.
        shared_bytes: weights of this path that other paths use as well.
        private_bytes: weights that only this path uses.
        samples_ms: latencies of single calls.
        difference: largest difference from the torch subnetwork, relative to the largest output.
        agreement: share of examples on which engine and torch say the same.
        own_weights: the path has weights for itself where it could share them.
        level: a faster path is at least as good on the test examples.
        budget_ms: the time budget that it was chosen for.
        batch: examples of one call.
        name: that people say; "" for none.
    """

    id: str
    quality: Quality | None
    p50_ms: float
    p95_ms: float
    parameters: int
    macs: int
    shared_bytes: int
    private_bytes: int
    samples_ms: tuple[float, ...]
    difference: float
    agreement: float
    own_weights: bool = False
    level: bool = False
    budget_ms: float | None = None
    batch: int = 1
    name: str = ""

    @property
    def label(self) -> str:
        """What it is called where there is little room."""
        return self.name or self.id


@dataclass(frozen=True)
class FeatureMap:
    """A node of the supernet's graph.

    Args:
        label: dotted, as traced (``stages.1.0.expand``); width group g > 0 is ``label[g]``.
        inputs: labels of the feature maps that its operations read.
        tas: Topological Accumulated Score.
    """

    label: str
    inputs: tuple[str, ...]
    tas: float


@dataclass(frozen=True)
class Curve:
    """A quantity over the steps of training, for example the loss of the largest path.

    Args:
        quantity: curves of one quantity share a chart and its axis.
    """

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    quantity: str = "loss"


@dataclass(frozen=True)
class StageTime:
    """A stage of the build.

    Args:
        seconds: that it took; of a cached stage, those of the run that filled the cache.
        cached: this build took it from the cache.
    """

    name: str
    seconds: float
    cached: bool


@dataclass(frozen=True)
class Pictures:
    """What some paths say to test examples, as the task shows it.

    Args:
        drawn: the pictures; whatever width the page has, they fit in.
    """

    title: str
    note: str
    drawn: Html


@dataclass(frozen=True)
class BuildReport:
    """A build.

    Args:
        created_utc: ISO 8601.
        machine: facts of the device that was measured, in the order shown.
        noise_floor: relative difference of latency that repeating a measurement shows by itself.
        feature_maps: in topological order.
        engine_bytes: size of the engine file.
        weights_bytes: weights of the largest path alone.
        commands: that made this build, one a line.
        protocol: how the latencies were measured, in the order shown.
        version: of tipsc.
        original: the plain model that was converted, on the same test examples and on the device;
            None if there is none.
        noise: sentences on what makes latencies doubtful; none if nothing does.
        pictures: None for a task that has none.
        climbs: what paths were given for themselves, and what that bought; none where it is off.
        batched: the shipped paths again, for calls with other numbers of examples.
        goals: what became of each goal of the configuration.
        left_out: paths that were built and do not ship.
        tested: how many test examples the figures are of, and how many there are.
    """

    title: str
    target: str
    backend: str
    created_utc: str
    machine: Mapping[str, str]
    noise_floor: float
    points: tuple[Point, ...]
    shipped: tuple[Shipped, ...]
    feature_maps: tuple[FeatureMap, ...]
    curves: tuple[Curve, ...]
    stages: tuple[StageTime, ...]
    engine_file: str
    engine_bytes: int
    weights_bytes: int
    commands: tuple[str, ...]
    protocol: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    original: OriginalModel | None = None
    noise: tuple[str, ...] = ()
    pictures: Pictures | None = None
    climbs: tuple[PathClimb, ...] = ()
    batched: tuple[Shipped, ...] = ()
    goals: tuple[GoalAnswer, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    tested: tuple[int, int] = (0, 0)

    @property
    def names(self) -> dict[str, str]:
        """Of the shipped paths, by their ids, where they have one."""
        return {path.id: path.name for path in self.shipped if path.name}

    @property
    def measure(self) -> Quality | None:
        """A value of the quality that its paths have; None if none was measured."""
        known = [*(p.quality for p in self.shipped), *(p.quality for p in self.points)]
        return next(filter(None, known), None)

    @property
    def separate_bytes(self) -> int:
        """Weights of the shipped paths if each were a model of its own."""
        return sum(path.shared_bytes + path.private_bytes for path in self.shipped)
