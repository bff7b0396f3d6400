"""What the paths that ship get for themselves, where sharing costs them too much.

A part of the stage ``ship``, by :mod:`tipsc.pipeline.ladder`. Each path that is done is kept in a
folder, so that a build that was killed goes on with the next one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path as FilePath

from tipsc.elastic import Supernet
from tipsc.engine.atomic import write_atomically
from tipsc.pipeline.climbs import PathClimb, Tried
from tipsc.pipeline.context import TargetProject
from tipsc.pipeline.ladder import Climb, Teaching, climb
from tipsc.pipeline.narrow import NARROW
from tipsc.pipeline.train import taught_by
from tipsc.progress import Progress
from tipsc.project.target import BYTES
from tipsc.search.candidates import Candidate, load_candidates, save_candidates
from tipsc.train import TrainConfig
from tipsc.train.rate import kept_rate

FILE = "climbs.json"
_DONE = "climb.json"  # of one path
#: of the peak of the learning rate while all were trained, that of a path by itself: it begins with
#: weights that are nearly right
RATE = 0.3


def owned_by(project: TargetProject) -> dict[str, object]:
    """All that it depends on, beside the paths and what they share; nothing where it is off."""
    limit = project.config.build.share_loss
    if limit is None:
        return {}
    return {
        "share_loss": limit,
        "own": _settings(project).essence(),
        "precision": project.target.precision,
        **taught_by(project),
    }


def climbed(
    project: TargetProject,
    supernet: Supernet,
    candidates: Sequence[Candidate],
    folder: FilePath,
    progress: Progress,
) -> list[Candidate]:
    """The candidates with what they need for themselves; a record of it is left in the folder."""
    limit = project.config.build.share_loss
    if limit is None:
        return list(candidates)
    config, batches = _settings(project), len(project.data.train) // _settings(project).batch_size
    steps = max(1, round(config.epochs * batches / len(candidates)))
    teaching = Teaching(project.data, config, steps, limit, project.model.original)
    found, records = [], []
    for done, candidate in enumerate(candidates):
        path = candidate.path
        mine = folder / path.id
        if not (mine / _DONE).exists():

            def tell(label: str, done: int = done, name: str = path.id) -> None:
                progress(done, len(candidates), f"path {name} by itself: {label}")

            climb_ = climb(supernet, path, candidate.statistics, teaching, tell)
            mine.mkdir(exist_ok=True)
            ships = climb_.ships
            save_candidates(
                mine, [replace(candidate, statistics=ships.statistics, quality=ships.quality)]
            )
            record = record_of(climb_, BYTES[project.target.precision])
            write_atomically(mine / _DONE, [json.dumps(asdict(record)).encode()])
        found += load_candidates(mine, supernet.space)
        records.append(json.loads((mine / _DONE).read_text()))
    write_atomically(folder / FILE, [json.dumps(records, indent=1).encode()])
    for candidate in candidates:
        shutil.rmtree(folder / candidate.path.id)
    return found


def load_climbs(folder: FilePath) -> tuple[PathClimb, ...]:
    """What was left in a folder; nothing where it was off."""
    file = folder / FILE
    records = json.loads(file.read_text()) if file.exists() else []
    return tuple(PathClimb.from_json(record) for record in records)


def record_of(found: Climb, size: int) -> PathClimb:
    """A climb as it is recorded.

    Args:
        size: bytes of a number in the target's precision.
    """
    return PathClimb(
        path_id=found.path.id,
        shared=found.shared.quality,
        alone=found.alone.quality,
        lost=found.lost.amount,
        error=found.lost.error,
        bytes=size * found.ships.values,
        all_bytes=size * found.alone.values,
        left=found.alone.judged.over(found.ships.judged).amount,
        tried=tuple(
            Tried(
                label=rung.label,
                bytes=size * rung.stand.values,
                quality=rung.stand.quality,
                gained=rung.gained.amount,
                error=rung.gained.error,
                lost=rung.lost.amount,
                kept=rung.kept,
            )
            for rung in found.rungs
        ),
    )


def _settings(project: TargetProject) -> TrainConfig:
    """How a path is trained by itself."""
    lessons = project.lessons
    config = lessons.last
    rate = config.learning_rate
    if lessons.narrow is not None:
        rate = kept_rate(project.done(NARROW).folder) or rate
    return replace(config, learning_rate=RATE * rate, cycle=(0.0, 1.0))
