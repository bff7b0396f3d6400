"""Stage ``check``: how well a profile predicts random paths that it did not measure.

Not part of a build: ``tipsc profile --check`` asks for it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path as FilePath

import numpy as np

from tipsc.engine.atomic import write_atomically
from tipsc.errors import DataError
from tipsc.paths import Path
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.fold import features_of, predictor_of_profile
from tipsc.pipeline.profile import (
    ENGINE,
    FEWEST_FITTED,
    Bench,
    bench_of,
    load_profile,
    measured_key,
    p50_of,
)
from tipsc.profile import NoiseFloor, Profile, Shares
from tipsc.profile.record import Record
from tipsc.progress import Progress, part

FILE = "check.json"
_LISTED = 20  # a space up to this many times a check is listed; a larger one is drawn from


class Check(Record):
    """Random paths that were measured but not fitted.

    Attributes:
        paths: how many.
        predicted: shares of the predictor.
        constant: shares of the baseline that predicts the median of the fitted paths.
        covered: share of the paths whose latency lay in its interval.
        noise_floor: of the check's own measurement.
        noise: what makes the check's own measurement doubtful; "" if nothing does.
    """

    paths: int
    predicted: Shares
    constant: Shares
    covered: float
    noise_floor: NoiseFloor
    noise: str = ""


def draw_unmeasured(profile: Profile, count: int, seed: int) -> list[Path]:
    """`count` random paths that the profile did not measure; all if there are fewer.

    Raises:
        DataError: there is none.
    """
    space, known = profile.search_space, {path.id for path in profile.paths}
    generator = random.Random(f"check {seed}")  # not the draw that the candidates came from
    if space.size <= len(known) + _LISTED * count:
        rest = [path for path in space.enumerate() if path.id not in known]
        if not rest:
            raise DataError(
                "every path of the space was measured", fix="there is nothing left to check"
            )
        return generator.sample(rest, min(count, len(rest)))
    found: dict[str, Path] = {}
    while len(found) < count:
        path = space.sample(generator)
        if path.id not in known:
            found[path.id] = path
    return list(found.values())


def check_profile(
    bench: Bench, profile: Profile, extra: Sequence[Path], file: FilePath, progress: Progress
) -> Check:
    """Measures paths that the profile does not know and compares its predictions with them.

    Args:
        extra: paths that were not measured for the profile, drawn at random; at least one.
        file: for the engine that is measured.
    """
    predictor = predictor_of_profile(profile, bench.totals)
    bench.engine(file, extra, part(progress, 0.0, 0.2))
    _, samples = bench.measure(file, bench.seed, part(progress, 0.2, 1.0))
    measurement = samples.summarise()
    found = p50_of(extra, measurement)
    before = [path.latency.p50_ms for path in profile.paths]
    mean, low, high = predictor.predict(
        [path.values for path in extra], features_of(bench.totals, extra)
    )
    return Check(
        paths=len(extra),
        predicted=Shares.of(mean / found - 1.0),
        constant=Shares.of(np.median(before) / found - 1.0),
        covered=float(((found >= low) & (found <= high)).mean()),
        noise_floor=measurement.noise_floor,
        noise=measurement.noise,
    )


def check_step(project: TargetProject, count: int) -> StageSpec[TargetProject]:
    """The stage that measures `count` random paths more, or all that there are.

    Raises:
        DataError: the profile has too few paths, or the space has no others.
    """
    profile = load_profile(project)
    if profile.forecast is None:
        raise DataError(
            "too few paths were measured to predict others",
            expected=f"at least {FEWEST_FITTED}",
            got=f"{len(profile.paths)}, all that the space has",
        )
    paths = draw_unmeasured(profile, count, project.config.seed)

    def inputs(project: TargetProject) -> dict[str, object]:
        return {"profile": measured_key(project), "count": count, "seed": project.config.seed}

    def make(project: TargetProject, folder: FilePath, progress: Progress) -> None:
        found = check_profile(bench_of(project), profile, paths, folder / ENGINE, progress)
        write_atomically(folder / FILE, [found.model_dump_json(indent=1).encode()])

    return StageSpec("check", inputs, make, noise=lambda folder: load_check(folder).noise)


def load_check(folder: FilePath) -> Check:
    """What the stage found."""
    return Check.model_validate_json((folder / FILE).read_bytes())
