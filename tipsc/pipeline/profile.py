"""Measuring paths: which of them, again where one does not fit, and predicting the rest."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath

import numpy as np
import torch

from tipsc.compile import Job, compile_candidates
from tipsc.device.measuring import Device, ThisMachine
from tipsc.elastic import Supernet
from tipsc.errors import DataError
from tipsc.measure.disturbance import joined
from tipsc.paths import Path
from tipsc.pipeline.fold import Totals, features_of, predictor_of_profile
from tipsc.pipeline.verify import make_manifest, measure_engine, write
from tipsc.profile import (
    Measurement,
    NoiseFloor,
    PredictedPath,
    Predictor,
    Profile,
    Protocol,
    Remeasured,
    Samples,
    Shares,
    choose_measured,
    fit,
    make_profile,
)
from tipsc.profile.forecast import make_forecast
from tipsc.profile.record import Record
from tipsc.progress import Progress
from tipsc.project.target import Target
from tipsc.search.candidates import Candidate
from tipsc.train import calibrate

FEWEST_FITTED = 10  # measured paths; from fewer no error could be told honestly
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


@dataclass(frozen=True)
class Bench:
    """Where and how candidates are measured.

    Attributes:
        name: of the engines that are made for it.
        version: of the target's backend.
        totals: of the supernet, from :func:`tipsc.elastic.additive_totals`.
        images: inputs (N, *input_shape): the first is run, and paths are calibrated on all; a few
            do, because weights and biases do not change a latency.
        seed: of what is drawn.
        device: that is measured.
        cache: a folder for what compilers keep.
    """

    name: str
    target: Target
    version: str
    supernet: Supernet
    totals: Totals
    images: torch.Tensor
    seed: int
    device: Device = field(default_factory=ThisMachine)
    cache: FilePath | None = None

    def measure(
        self,
        file: FilePath,
        seed: int,
        progress: Progress,
        only: Collection[str] | None = None,
    ) -> tuple[Protocol, Samples]:
        """Times of the paths of an engine; see :func:`tipsc.pipeline.verify.measure_engine`."""
        return measure_engine(file, self.target, self.images[:1], seed, progress, only, self.device)

    def engine(self, file: FilePath, paths: Sequence[Path], progress: Progress) -> FilePath:
        """Writes an engine with these paths, to measure them in it."""
        candidates = [
            Candidate(path, 0.0, 0, 0, calibrate(self.supernet, path, [self.images]))
            for path in paths
        ]
        compiled = compile_candidates(
            Job(self.target, self.supernet, candidates, self.images, self.cache, progress)
        )
        manifest = make_manifest(self.name, self.target, self.supernet, candidates, compiled, {})
        write(file, manifest, compiled)
        return file


def profile_paths(
    bench: Bench, paths: Sequence[Path], measured: int, file: FilePath, progress: Progress
) -> Profile:
    """Measures at most `measured` of the paths and predicts the others.

    A measured path that does not fit the others is measured once more, beside the anchors, and
    the second measurement counts.

    Args:
        file: for the engine that is measured.
    """
    system = bench.device.system()
    features = features_of(bench.totals, paths)
    chosen = tuple(range(len(paths)))
    if len(paths) > measured:
        values = [path.values for path in paths]
        chosen = choose_measured(values, measured, features=features, seed=bench.seed)
    bench.engine(file, [paths[i] for i in chosen], progress)
    protocol, samples = bench.measure(file, bench.seed, progress)
    measurement, forecast = samples.summarise(), None
    if len(chosen) >= FEWEST_FITTED:
        known, totals = [paths[i] for i in chosen], features[list(chosen)]
        suspects = [known[i].id for i in _fit(known, totals, measurement).outliers]
        remeasured: tuple[Remeasured, ...] = ()
        if suspects:
            again = {*suspects, *measurement.anchors}
            _, repeat = bench.measure(file, bench.seed + 1, progress, only=again)
            measurement, remeasured = _replaced(measurement, repeat.summarise(), suspects)
        predictor = _fit(known, totals, measurement)
        rest = [i for i in range(len(paths)) if i not in set(chosen)]
        forecast = make_forecast(
            predictor,
            _p50(known, measurement),
            remeasured,
            _predicted(predictor, [paths[i] for i in rest], features[rest]),
        )
    return make_profile(
        bench.target,
        bench.version,
        bench.supernet.space,
        {path.id: path for path in paths},
        measurement,
        protocol,
        system,
        bench.device.system(),
        forecast,
    )


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
    bench.engine(file, extra, progress)
    _, samples = bench.measure(file, bench.seed, progress)
    measurement = samples.summarise()
    found = _p50(extra, measurement)
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


def _p50(paths: Sequence[Path], measurement: Measurement) -> np.ndarray:
    return np.array([measurement.latencies[path.id].p50_ms for path in paths])


def _fit(paths: Sequence[Path], features: np.ndarray, measurement: Measurement) -> Predictor:
    values = [path.values for path in paths]
    return fit(values, _p50(paths, measurement), features=features)


def _replaced(
    first: Measurement, second: Measurement, suspects: Sequence[str]
) -> tuple[Measurement, tuple[Remeasured, ...]]:
    """The first measurement with the suspects' latencies of the second."""
    latencies = {**first.latencies, **{name: second.latencies[name] for name in suspects}}
    remeasured = tuple(
        Remeasured(
            id=name,
            before_ms=first.latencies[name].p50_ms,
            after_ms=second.latencies[name].p50_ms,
        )
        for name in suspects
    )
    seconds = first.seconds + second.seconds
    disturbance = joined(first.disturbance, second.disturbance)
    update = {"latencies": latencies, "seconds": seconds, "disturbance": disturbance}
    return first.model_copy(update=update), remeasured


def _predicted(
    predictor: Predictor, paths: Sequence[Path], features: np.ndarray
) -> tuple[PredictedPath, ...]:
    if not paths:
        return ()
    prediction = predictor.predict([path.values for path in paths], features)
    return tuple(
        PredictedPath(
            id=path.id,
            options=dict(path.options),
            p50_ms=float(mean),
            low_ms=float(low),
            high_ms=float(high),
        )
        for path, mean, low, high in zip(paths, *prediction, strict=True)
    )
