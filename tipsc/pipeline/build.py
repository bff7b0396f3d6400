"""The pipeline behind ``tipsc build``: every stage that is still missing, in order.

train -> profile -> search -> choose -> engine -> report. Each stage is
cached by everything that it depends on, so that a build that was killed resumes, and a build for
another device trains nothing again. Some paths are measured inside a real engine, opened as an
application opens it, and tell the latency of all; the search folds it into the chain and evaluates
few paths. What ships is measured in the engine that ships: nothing in it is estimated.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path as FilePath

import torch

from tipsc import search
from tipsc.backends import BACKENDS
from tipsc.compile import LIBRARIES, Job, compile_candidates
from tipsc.device.measuring import Device, ThisMachine
from tipsc.elastic import extract
from tipsc.engine import read_engine
from tipsc.engine.atomic import write_atomically
from tipsc.errors import DataError, TargetError, near
from tipsc.fingerprint.installed import BUILDS, code_of, versions
from tipsc.fingerprint.values import fingerprint
from tipsc.pipeline.latencies import with_latencies
from tipsc.pipeline.profile import (
    FEWEST_FITTED,
    Bench,
    Check,
    check_profile,
    draw_unmeasured,
    profile_paths,
)
from tipsc.pipeline.search import check_engine, doubting, load_records, save_records, search_paths
from tipsc.pipeline.stages import Stage, only_one_build
from tipsc.pipeline.train import Training
from tipsc.pipeline.verify import (
    make_manifest,
    measure_engine,
    verify_engine,
    with_accuracies,
    write,
)
from tipsc.profile import Profile, profile_file
from tipsc.profile.profile import VERSION as PROFILE_VERSION
from tipsc.progress import Reporter
from tipsc.project.target import Target, essence_of, load_target, waiting
from tipsc.report import Report
from tipsc.search.candidates import Candidate, draw_spread, load_candidates, save_candidates
from tipsc.train import accuracy, calibrate

ENGINE, VERIFIED, PROFILE = "engine.tipsc", "verified.json", "profile.json"
CHOSEN, CHECK = "chosen.json", "check.json"
COMPILED = "compiled"  # a folder: what compilers keep from one engine to the next

POOL = 4  # times the paths that are measured: what they are chosen from
PROFILED_IMAGES = 64  # that a path is calibrated on before it is measured


@dataclass(frozen=True)
class Built:
    """What a build made.

    Attributes:
        engine: the engine file.
        page: the HTML page.
        report: what is on it.
        profile: latencies of the measured paths, and how well others are predicted.
        stages: in order, with their seconds.
    """

    engine: FilePath
    page: FilePath
    report: Report
    profile: FilePath
    stages: tuple[Stage, ...]


class Pipeline(Training):
    """The stages of one configuration and target. Each method does what is missing before it.

    Args:
        config_file: tipsc.yaml, or a folder that has one.
        target: name or file of a target.
        reporter: is told how far it is.
        output: where the engine goes; by default ``<name>-<target>.tipsc`` beside the
            configuration.
        device: what is measured and verified; this machine if not given.
        label: set apart what is published of several devices of one target.
        wait_quiet_s: most seconds to wait for a quiet device before it is measured; what was
            measured among other work is measured again. None: as the target says.

    Raises:
        ConfigError, TargetError, DataError: before anything is done.
    """

    def __init__(
        self,
        config_file: str | FilePath,
        target: str = "host",
        *,
        reporter: Reporter | None = None,
        output: FilePath | None = None,
        device: Device | None = None,
        label: str = "",
        wait_quiet_s: float | None = None,
    ) -> None:
        self.device: Device = ThisMachine() if device is None else device
        self.target: Target = waiting(load_target(target), wait_quiet_s)
        if self.target.backend not in BACKENDS:
            raise TargetError(
                f"no backend is called {self.target.backend!r}",
                where=f"{target}, key backend",
                expected=f"one of {', '.join(BACKENDS)}",
                fix=near(self.target.backend, BACKENDS),
            )
        super().__init__(config_file, reporter=reporter)
        published = "-".join(filter(None, (self.config.name, label)))
        #: where people look for the profile
        self.published = profile_file(self.target.name, published, self.folder / "profiles")
        self.output = output or self.folder / f"{self.config.name}-{self.target.name}.tipsc"

    @property
    def measured(self) -> int:
        """How many paths are measured for the profile, at most."""
        return min(self.config.build.measured, self.target.measure.paths)

    def profile(self) -> Stage:
        """The stage with the latency of paths on this machine: measured or predicted."""
        inputs = {
            "trained": self.trained().key,
            "seed": self.config.seed,
            "measured": self.measured,
            "target": essence_of(self.target),
            "cpu": self.device.system().cpu,
            "runtime": dict(self.device.versions(self.target.backend)),
            "format": PROFILE_VERSION,
            "images": fingerprint(self.data.validation.inputs[:PROFILED_IMAGES]),
            **self._tools,
            **self.device.essence,
        }

        def work(folder: FilePath) -> None:
            bench, count = self._bench(), self.measured
            generator = random.Random(self.config.seed)
            pool = draw_spread(bench.supernet.space, self.totals["macs"], POOL * count, generator)
            profile = profile_paths(bench, pool, count, folder / ENGINE, self._progress)
            profile.save(folder / PROFILE)

        def noise(folder: FilePath) -> str:
            return Profile.load(folder / PROFILE).noise

        stage = self._stage("profile", inputs, work, good=self._quiet_enough(noise))
        _publish(stage.folder / PROFILE, self.published)
        return stage

    @property
    def _tools(self) -> dict[str, object]:
        """What makes engines here, by its versions."""
        return {
            "libraries": versions(LIBRARIES[self.target.backend]),
            "code": code_of(BUILDS),
        }

    def _quiet_enough(self, noise: Callable[[FilePath], str]) -> Callable[[FilePath], bool]:
        """Whether what a stage measured may stay: it was quiet, or nobody waits for quiet."""
        return lambda folder: not (self.target.measure.wait_quiet_s and noise(folder))

    def _measured_key(self) -> str:
        """Of the profile's stage and what is in it: measured again, it is another one."""
        stage = self.profile()
        return f"{stage.key} {sha256((stage.folder / PROFILE).read_bytes()).hexdigest()[:12]}"

    def check(self, count: int) -> Stage:
        """The stage with a check of the profile: random paths measured, but not fitted.

        Raises:
            DataError: the profile has too few paths, or the space has no others.
        """
        inputs = {"profile": self._measured_key(), "count": count, "seed": self.config.seed}
        profile = self._load_profile()
        if profile.forecast is None:
            raise DataError(
                "too few paths were measured to predict others",
                expected=f"at least {FEWEST_FITTED}",
                got=f"{len(profile.paths)}, all that the space has",
            )
        paths = draw_unmeasured(profile, count, self.config.seed)

        def work(folder: FilePath) -> None:
            check = check_profile(self._bench(), profile, paths, folder / ENGINE, self._progress)
            write_atomically(folder / CHECK, [check.model_dump_json(indent=1).encode()])

        def noise(folder: FilePath) -> str:
            return Check.model_validate_json((folder / CHECK).read_bytes()).noise

        return self._stage("check", inputs, work, good=self._quiet_enough(noise))

    def _bench(self) -> Bench:
        return Bench(
            name=self.config.name,
            target=self.target,
            version=self.device.versions(self.target.backend)[self.target.backend],
            supernet=self.supernet,
            totals=self.totals,
            images=self.data.validation.inputs[:PROFILED_IMAGES],
            cache=self.runs / COMPILED,
            seed=self.config.seed,
            device=self.device,
        )

    def searched(self) -> Stage:
        """The stage with the candidates: found by the search, calibrated and evaluated."""
        build = self.config.build
        inputs = {
            "profile": self._measured_key(),
            "data": self.data.validation.fingerprint,
            "paths": build.paths,
            "evaluations": build.evaluations,
            "budgets_ms": build.budgets_ms,
            "limits": build.limits.model_dump(),
            "calibration_images": build.calibration_images,
            "seed": self.config.seed,
        }

        def work(folder: FilePath) -> None:
            profile = self._load_profile()
            with doubting(profile.noise):
                candidates, records = search_paths(
                    self.supernet,
                    self.data,
                    profile,
                    self.totals,
                    build,
                    self.config.seed,
                    self._progress,
                    self.target.precision,
                )
            save_candidates(folder, candidates)
            save_records(folder, records)

        return self._stage("search", inputs, work)

    def chosen(self) -> Stage:
        """The stage with the paths to ship, with a scale of their own where they need it."""
        build = self.config.build
        inputs = {
            "search": self.searched().key,
            "paths": build.paths,
            "own_scale_above": build.own_scale_above,
        }

        def work(folder: FilePath) -> None:
            selections = self._select()
            by_id = {c.path.id: c for c in self._load_candidates()}
            chosen = []
            for done, selection in enumerate(selections, 1):
                chosen.append(self._with_best_scale(by_id[selection.path_id]))
                self._progress(done, len(selections), "scales")
            save_candidates(folder, chosen)
            write_atomically(
                folder / CHOSEN, [json.dumps([asdict(s) for s in selections], indent=1).encode()]
            )

        return self._stage("choose", inputs, work)

    def _select(self) -> tuple[search.Selection, ...]:
        records = load_records(self.searched().folder)
        return search.choose(
            [search.Candidate(r.id, r.expected, r.latency_ms) for r in records.values()],
            self.config.build.paths,
            spread=self._load_profile().noise_floor.p95,
        )

    def _with_best_scale(self, candidate: Candidate) -> Candidate:
        """The candidate with its own batch-norm scale, if it loses too much with the shared."""
        limit = self.config.build.own_scale_above
        if limit is None or not candidate.statistics.mean:
            return candidate
        batches = self.data.calibration(self.config.build.calibration_images)
        own = calibrate(self.supernet, candidate.path, batches, own_scale=True)
        right = accuracy(extract(self.supernet, candidate.path, own), self.data.validation)
        if right - candidate.accuracy <= limit:
            return candidate
        return replace(candidate, statistics=own, accuracy=right)

    def engine(self) -> Stage:
        """The stage with the engine: lowered, verified, measured as it ships."""
        build = self.config.build
        inputs = {
            "chosen": self.chosen().key,
            "profile": self._measured_key(),
            "name": self.config.name,
            "tolerance": build.tolerance,
            "quantised_loss": build.quantised_loss,
            "verify_examples": build.verify_examples,
            "limits": build.limits.model_dump(),
            "data": self.data.test.fingerprint,
            "metric": self.data.metric,
        }

        def work(folder: FilePath) -> None:
            supernet, progress, file = self.supernet, self._progress, folder / ENGINE
            candidates = load_candidates(self.chosen().folder, supernet.space)
            compiled = compile_candidates(
                Job(
                    target=self.target,
                    supernet=supernet,
                    candidates=candidates,
                    images=torch.cat(self.data.calibration(build.calibration_images)),
                    cache=self.runs / COMPILED,
                    progress=progress,
                )
            )
            provenance = {
                "trained": self.trained().key,
                "profile": self.profile().key,
                "chosen": self.chosen().key,
                "data": self.data.train.fingerprint[:16],
            }
            manifest = make_manifest(
                self.config.name, self.target, supernet, candidates, compiled, provenance
            )
            write(file, manifest, compiled)
            differences = verify_engine(
                file,
                self.target,
                supernet,
                candidates,
                self.data.test,
                build.verify_examples,
                build.tolerance,
                progress,
                build.quantised_loss,
                device=self.device,
            )
            example = self.data.validation.inputs[:1]
            _, samples = measure_engine(
                file, self.target, example, self.config.seed, progress, device=self.device
            )
            right = {name: difference.accuracy for name, difference in differences.items()}
            manifest = with_accuracies(manifest, right, self.data.metric)
            measurement = samples.summarise()
            pauses = self.device.pauses(file, self.target, example.numpy(), self.config.seed)
            write(file, with_latencies(manifest, measurement, pauses), compiled)
            medians = {name: latency.p50_ms for name, latency in measurement.latencies.items()}
            check_engine(build.limits, file, medians, measurement.noise)
            record = {
                "differences": {k: asdict(d) for k, d in differences.items()},
                "samples_ms": {k: samples.milliseconds(k, 400) for k in samples.batches},
            }
            write_atomically(folder / VERIFIED, [json.dumps(record, indent=1).encode()])

        def noise(folder: FilePath) -> str:
            return read_engine(folder / ENGINE).manifest.noise

        stage = self._stage("engine", inputs, work, good=self._quiet_enough(noise))
        _publish(stage.folder / ENGINE, self.output)
        return stage

    def run(self) -> Built:
        """Everything."""
        from tipsc.pipeline.report import write_report

        self.device.versions(self.target.backend)  # a runtime that is not there: told before all
        with only_one_build(self.runs):
            self.original()
            self.engine()
            report_file, report = write_report(self)
        return Built(
            self.output,
            report_file,
            report,
            self.published,
            tuple(self.stages.done),
        )

    def _load_candidates(self) -> list[Candidate]:
        return load_candidates(self.searched().folder, self.untrained.space)

    def _load_profile(self) -> Profile:
        return Profile.load(self.profile().folder / PROFILE)


def build(
    config_file: str | FilePath,
    target: str = "host",
    *,
    reporter: Reporter | None = None,
    output: FilePath | None = None,
    device: Device | None = None,
) -> Built:
    """Trains, profiles, chooses, compiles and verifies; see :class:`Pipeline`."""
    return Pipeline(config_file, target, reporter=reporter, output=output, device=device).run()


def _publish(made: FilePath, place: FilePath) -> None:
    """Copies a stage's file to where people look for it."""
    place.parent.mkdir(parents=True, exist_ok=True)
    content = made.read_bytes()
    if not place.is_file() or place.read_bytes() != content:
        write_atomically(place, [content])
