"""Stage ``profile``: the latency of paths, measured on the device or given, and predicted.

Needs the model alone: weights do not change a latency, so that a profile is there before anything
is trained, and stays when it is trained in another way. What is measured is a real engine, opened
as an application opens it. A measured path that does not fit the others is measured again. What
comes out is a file, ``profile.json``.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath

import numpy as np

from tipsc.backends import backend
from tipsc.batch import Tensors, arrays, cycled, first, rows
from tipsc.compile import Job, compile_candidates
from tipsc.device.measuring import Device, ThisMachine
from tipsc.elastic import Supernet
from tipsc.engine.atomic import write_atomically
from tipsc.files import open_regular
from tipsc.fingerprint.installed import BUILDS, TRAINING, code_of, versions
from tipsc.fingerprint.values import fingerprint
from tipsc.measure.disturbance import joined
from tipsc.paths import Path
from tipsc.pipeline.context import StageSpec, TargetProject, publish
from tipsc.pipeline.fold import Totals, features_of
from tipsc.pipeline.manifest import make_manifest
from tipsc.pipeline.stages import StageDone
from tipsc.profile import (
    Measurement,
    PredictedPath,
    Predictor,
    Profile,
    Protocol,
    Remeasured,
    Samples,
    choose_measured,
    fit,
    make_profile,
)
from tipsc.profile.forecast import make_forecast
from tipsc.profile.profile import VERSION
from tipsc.progress import Progress, part
from tipsc.project.target import Target, essence_of
from tipsc.search.candidates import Candidate, draw_spread
from tipsc.train import calibrate

FILE = "profile.json"
ENGINE = "engine.tipsc"  # that is measured
POOL = 4  # times the paths that are measured: what they are chosen from
PROFILED_IMAGES = 64  # that a path is calibrated on before it is measured
FEWEST_FITTED = 10  # measured paths; from fewer no error could be told honestly


@dataclass(frozen=True)
class Bench:
    """Where and how candidates are measured.

    Attributes:
        name: of the engines that are made for it.
        version: of the target's backend.
        totals: of the supernet, from :func:`tipsc.elastic.additive_totals`.
        inputs: of some examples: the first of them are run, and paths are calibrated on all; a few
            do, because weights and biases do not change a latency.
        seed: of what is drawn.
        device: that is measured.
        cache: a folder for what compilers keep.
        batch: examples of a call; at most as many as there are inputs.
    """

    name: str
    target: Target
    version: str
    supernet: Supernet
    totals: Totals
    inputs: Tensors
    seed: int
    device: Device = field(default_factory=ThisMachine)
    cache: FilePath | None = None
    batch: int = 1

    def measure(
        self,
        file: FilePath,
        seed: int,
        progress: Progress,
        only: Collection[str] | None = None,
    ) -> tuple[Protocol, Samples]:
        """Times of the paths of an engine, and the target's protocol for it.

        Args:
            only: ids of the paths to measure; all if not given.
        """
        example = arrays(rows(self.inputs, slice(self.batch)))
        return self.device.measure(file, self.target, example, seed, progress, only)

    def engine(self, file: FilePath, paths: Sequence[Path], progress: Progress) -> FilePath:
        """Writes an engine with these paths, to measure them in it."""
        candidates = [
            Candidate(path, None, 0, 0, calibrate(self.supernet, path, [self.inputs]))
            for path in paths
        ]
        batches = (self.batch,)
        compiled = compile_candidates(
            Job(self.target, self.supernet, candidates, self.inputs, self.cache, progress, batches)
        )
        manifest = make_manifest(
            self.name, self.target, self.supernet, candidates, compiled, {}, batches
        )
        compiled.write(file, manifest)
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
    bench.engine(file, [paths[i] for i in chosen], part(progress, 0.0, 0.2))
    protocol, samples = bench.measure(file, bench.seed, part(progress, 0.2, 0.9))
    measurement, forecast = samples.summarise(), None
    if len(chosen) >= FEWEST_FITTED:
        known, totals = [paths[i] for i in chosen], features[list(chosen)]
        suspects = [known[i].id for i in _fit(known, totals, measurement).outliers]
        remeasured: tuple[Remeasured, ...] = ()
        if suspects:
            again = {*suspects, *measurement.anchors}
            last = part(progress, 0.9, 1.0)
            _, repeat = bench.measure(file, bench.seed + 1, last, only=again)
            measurement, remeasured = _replaced(measurement, repeat.summarise(), suspects)
        predictor = _fit(known, totals, measurement)
        rest = [i for i in range(len(paths)) if i not in set(chosen)]
        forecast = make_forecast(
            predictor,
            p50_of(known, measurement),
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


def p50_of(paths: Sequence[Path], measurement: Measurement) -> np.ndarray:
    return np.array([measurement.latencies[path.id].p50_ms for path in paths])


def _fit(paths: Sequence[Path], features: np.ndarray, measurement: Measurement) -> Predictor:
    values = [path.values for path in paths]
    return fit(values, p50_of(paths, measurement), features=features)


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


def most_measured(project: TargetProject) -> int:
    """How many paths are measured for the profile, at most."""
    return min(project.config.build.measured, project.target.measure.paths)


def bench_of(project: TargetProject) -> Bench:
    """Where and how the project's paths are measured."""
    return Bench(
        name=project.config.name,
        target=project.target,
        version=project.device.versions(project.target.backend)[project.target.backend],
        supernet=project.untrained.eval(),
        totals=project.totals,
        inputs=_profiled_on(project),
        batch=project.config.build.batches[0],
        cache=project.compiled,
        seed=project.config.seed,
        device=project.device,
    )


def _profiled_on(project: TargetProject) -> Tensors:
    """Inputs of as many examples as a call has, at least."""
    data, batch = project.data.validation, project.config.build.batches[0]
    few = first(data, PROFILED_IMAGES)
    return few.inputs if few.examples >= batch else cycled(data, batch).inputs


def tools(target: Target) -> dict[str, object]:
    """What makes engines here, by its versions."""
    return {"libraries": versions(backend(target.backend).libraries), "code": code_of(BUILDS)}


def _measured_of(project: TargetProject) -> dict[str, object]:
    """The model, by which a latency is that of its paths."""
    return {
        "model": project.made_of,
        "space": project.untrained.space.to_json(),
        "calibrated_by": versions(TRAINING),
    }


def _inputs(project: TargetProject) -> dict[str, object]:
    return {
        **_measured_of(project),
        "seed": project.config.seed,
        "measured": most_measured(project),
        "target": essence_of(project.target),
        "cpu": project.device.system().cpu,
        "runtime": dict(project.device.versions(project.target.backend)),
        "format": VERSION,
        "inputs": fingerprint(_profiled_on(project)),
        "batch": project.config.build.batches[0],
        **tools(project.target),
        **project.device.essence,
    }


def _make(project: TargetProject, folder: FilePath, progress: Progress) -> None:
    bench, count = bench_of(project), most_measured(project)
    generator = random.Random(project.config.seed)
    pool = draw_spread(bench.supernet.space, project.totals["macs"], POOL * count, generator)
    profile_paths(bench, pool, count, folder / ENGINE, progress).save(folder / FILE)


def _noise(folder: FilePath) -> str:
    return Profile.load(folder / FILE).noise


MEASURE: StageSpec[TargetProject] = StageSpec("profile", _inputs, _make, noise=_noise)


def _inputs_given(project: TargetProject) -> dict[str, object]:
    given = hashlib.sha256(_content(project)).hexdigest()
    return {**_measured_of(project), "given": given, **tools(project.target)}


def _make_given(project: TargetProject, folder: FilePath, progress: Progress) -> None:
    write_atomically(folder / FILE, [_content(project)])


def _content(project: TargetProject) -> bytes:
    assert project.given is not None
    with open_regular(project.given) as stream:
        return stream.read()


GIVEN: StageSpec[TargetProject] = StageSpec("profile", _inputs_given, _make_given)


def profiled(project: TargetProject) -> StageDone:
    """The stage with the profile: measured on the device, unless one was given."""
    if project.given is not None:
        return project.done(GIVEN)
    stage = project.done(MEASURE)
    publish(stage.folder / FILE, project.published)
    return stage


def load_profile(project: TargetProject) -> Profile:
    """The profile of :func:`profiled`."""
    return Profile.load(profiled(project).folder / FILE)


def measured_key(project: TargetProject) -> str:
    """Of the profile's stage and what is in it: measured again, it is another one."""
    stage = profiled(project)
    digest = hashlib.sha256((stage.folder / FILE).read_bytes()).hexdigest()
    return f"{stage.key} {digest[:12]}"
