"""What is known of an engine when somebody has to decide: its own figures, and measured ones."""

from __future__ import annotations

import filecmp
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tipsc.engine import PathEntry, read_engine
from tipsc.engine.original import OriginalModel, original_in
from tipsc.errors import UsageError
from tipsc.pipeline.asked import needs_reference
from tipsc.pipeline.goals import answer_of
from tipsc.pipeline.separate import Separate, measure_separate
from tipsc.pipeline.stages import trained_for
from tipsc.pipeline.verdicts import GoalAnswer
from tipsc.progress import Progress
from tipsc.project.config import BuildGoal
from tipsc.runtime.pick import of_batch

#: provenance of an engine to the stages that it may name
_STAGES = {
    "trained": ("train",),
    "profile": ("profile",),
    "weights": ("narrow", "train"),
    "shipped": ("ship",),
}
_TRAINING = ("train", "narrow")


@dataclass(frozen=True)
class EngineFacts:
    """What is known of one engine.

    Attributes:
        file: the engine.
        name, target: of it.
        file_bytes: of the file.
        original: the model that its paths were made from; None: it says nothing of one.
        paths: for batches of the first size, the fastest first.
        names: of them, by their ids.
        separate: the same paths as models of their own; None: not measured.
        why_not: then the reason, in a sentence.
        seconds: by stage, what its build took; empty where its stages are not beside it.
        noise: what makes its latencies doubtful.
        goals: that its build was asked for, with what became of each; None where its build is not
            beside it, as the engine itself does not carry them.
        trained_for: targets that its training was for, this one among them; 1 where its stages
            are not beside it.
    """

    file: Path
    name: str
    target: str
    file_bytes: int
    original: OriginalModel | None
    paths: tuple[PathEntry, ...]
    names: Mapping[str, str]
    separate: Separate | None
    why_not: str
    seconds: Mapping[str, float]
    noise: str
    goals: tuple[tuple[BuildGoal, GoalAnswer], ...] | None = None
    trained_for: int = 1

    @property
    def training_s(self) -> float | None:
        """Of all its paths together; None where it is not known."""
        found = [self.seconds[stage] for stage in _TRAINING if stage in self.seconds]
        return sum(found) if found else None

    @property
    def other_s(self) -> float | None:
        """Of measuring, searching, compiling and verifying, as far as it is known."""
        found = [s for stage, s in self.seconds.items() if stage not in _TRAINING]
        return sum(found) if found else None

    def label(self, path: PathEntry) -> str:
        """What a path is called."""
        return self.names.get(path.id, path.id)

    def lost(self, path: PathEntry) -> float | None:
        """Quality that a path loses against the original, in the unit of the quality."""
        if self.original is None or path.quality is None:
            return None
        return self.original.quality.above(path.quality)

    def share(self, path: PathEntry) -> float | None:
        """Of the original's time that a path takes."""
        if self.original is None or self.original.latency is None or path.latency is None:
            return None
        return path.latency.p50_ms / self.original.latency.p50_ms

    def to_json(self) -> dict[str, Any]:
        """Everything that the page says in figures."""
        separate = None if self.separate is None else asdict(self.separate)
        return {
            "engine": str(self.file),
            "name": self.name,
            "target": self.target,
            "file_bytes": self.file_bytes,
            "original": None if self.original is None else asdict(self.original),
            "paths": [
                {
                    "id": path.id,
                    "name": self.names.get(path.id),
                    "quality": None if path.quality is None else asdict(path.quality),
                    "lost": self.lost(path),
                    "p50_ms": None if path.latency is None else path.latency.p50_ms,
                    "share": self.share(path),
                }
                for path in self.paths
            ],
            "goals": None if self.goals is None else [asdict(answer) for _, answer in self.goals],
            "separate": separate,
            "not_measured": self.why_not or None,
            "seconds": dict(self.seconds),
            "trained_for": self.trained_for,
        }


def facts_of(file: Path, progress: Progress, *, measured: bool = True) -> EngineFacts:
    """What is known of an engine.

    Args:
        measured: whether its paths are built and measured as models of their own, on this machine.

    Raises:
        EngineError: it is damaged.
    """
    manifest = read_engine(file).manifest
    separate, why_not = None, "it was not asked for"
    if measured:
        try:
            separate, why_not = measure_separate(file, progress), ""
        except UsageError as error:
            why_not = str(error)
    return EngineFacts(
        file,
        manifest.name,
        manifest.target,
        file.stat().st_size,
        original_in(manifest),
        of_batch(manifest.paths),
        manifest.names,
        separate,
        why_not,
        _seconds(file, manifest.provenance),
        manifest.noise,
        _goals(file, of_batch(manifest.paths), original_in(manifest)),
        max(map(trained_for, _stages(file, manifest.provenance).values()), default=1),
    )


def _goals(
    file: Path, paths: Sequence[PathEntry], original: OriginalModel | None
) -> tuple[tuple[BuildGoal, GoalAnswer], ...] | None:
    """The goals of the build that made this very file, held against the file's own figures."""
    for folder in _made(file):
        try:
            recorded = json.loads((folder / "stage.json").read_text())["inputs"]["goals"]
            goals = [BuildGoal.model_validate(goal) for goal in recorded]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        # A supernet has no original that a goal could be relative to.
        known = [goal for goal in goals if original is not None or not needs_reference([goal])]
        return tuple((goal, answer_of(goal, paths, original)) for goal in known)
    return None


def _made(file: Path) -> list[Path]:
    """Folders of the stages beside an engine that made this very file."""
    made = (file.resolve().parent / "runs").glob("*/engine-*/engine.tipsc")
    return [engine.parent for engine in made if filecmp.cmp(engine, file, shallow=False)]


def _seconds(file: Path, provenance: Mapping[str, str]) -> dict[str, float]:
    """What the stages took that lie beside the engine and made it."""
    found: dict[str, float] = {}
    for name, folder in _stages(file, provenance).items():
        found |= _told(folder, name)
    for folder in _made(file):
        found |= _told(folder, "engine")
    return found


def _stages(file: Path, provenance: Mapping[str, str]) -> dict[str, Path]:
    """Name to folder of the stages beside the engine that it names."""
    runs = file.resolve().parent / "runs"
    return {
        name: folder
        for source, names in _STAGES.items()
        for name in names
        for folder in runs.glob(f"*/{name}-{provenance.get(source, '-')}")
    }


def _told(folder: Path, name: str) -> dict[str, float]:
    try:
        return {name: float(json.loads((folder / "stage.json").read_text())["seconds"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
