"""``tipsc build`` for a device that is not at hand: everything but what only the device can do.

train -> search -> choose -> engine. No path is measured: they are chosen by their MACs, or by a
profile of the device that was taken before. Their outputs are verified with ONNX Runtime here, and
where NVIDIA's parser and builder are installed, they try every path. The engine has no latencies
and a recipe, which marks it unbuilt.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path as FilePath
from typing import Any

import torch

from tipsc import search
from tipsc.backends.tensorrt import api
from tipsc.backends.tensorrt.examine import PathCheck, check_engine
from tipsc.backends.tensorrt.merge import depth_groups
from tipsc.backends.tensorrt.trial import LIMIT
from tipsc.compile import Job, compile_candidates
from tipsc.device.measuring import conditions
from tipsc.engine import read_engine
from tipsc.engine.atomic import write_atomically
from tipsc.engine.plan import paths_of, plan_name
from tipsc.errors import ConfigError, ProfileError, VerificationError
from tipsc.files import open_regular
from tipsc.fingerprint.installed import versions
from tipsc.pipeline.build import ENGINE, PROFILE, VERIFIED, Pipeline
from tipsc.pipeline.finish import TAKEN
from tipsc.pipeline.stages import Stage, only_one_build
from tipsc.pipeline.verify import make_manifest, verify_engine, with_accuracies, write
from tipsc.profile import Profile
from tipsc.profile.conditions import check_conditions, conditions_of
from tipsc.project.target import essence_of
from tipsc.search.candidates import assess, draw_spread, load_candidates, save_candidates

CHECKS = "nvidia.json"
_VERIFIED_WITH = "onnxruntime"
_PLANS = f"one a path, or one for several depths that stay within {LIMIT:.2f}"


@dataclass(frozen=True)
class Unbuilt:
    """What a build without the device made.

    Attributes:
        engine: the engine file.
        checks: by NVIDIA's parser and builder, one a path; empty where they are not installed.
        groups: of paths that differ in depth, as one plan: also by them.
        stages: in order, with their seconds.
    """

    engine: FilePath
    checks: tuple[PathCheck, ...]
    groups: tuple[PathCheck, ...]
    stages: tuple[Stage, ...]


class UnbuiltPipeline(Pipeline):
    """The stages of a build without the device.

    Args:
        profile_file: a profile of such a device. None: paths are chosen by their MACs.
        other: as for :class:`tipsc.pipeline.build.Pipeline`.

    With a device, the profile has to be taken under the conditions that it is in now; without
    one, the engine keeps them so that ``tipsc finish`` can compare.

    Raises:
        ProfileError: the profile is not of this target, or not of the device's conditions.
        ConfigError: the configuration has budgets or latency limits, which only a profile can
            judge.
    """

    def __init__(self, *args: Any, profile_file: FilePath | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._profile_file = profile_file
        self._taken: dict[str, str] = {}
        self.remarks: tuple[str, ...] = ()  # what could not be told of the profile
        if profile_file is None:
            if self.config.build.budgets_ms:
                raise ConfigError(
                    "budgets in milliseconds mean nothing without a profile of the device",
                    where="build.budgets_ms",
                    fix="give --profile FILE, or leave the budgets out",
                )
            return
        found = Profile.load(profile_file)
        if found.target != self.target.name:
            raise ProfileError(
                "the profile is of another target",
                where=str(profile_file),
                expected=self.target.name,
                got=found.target,
            )
        self._taken = conditions_of(found)
        self.remarks = (f"of the profile: {found.noise}",) if found.noise else ()
        if options.get("device") is not None:
            now = conditions(self.device, self.target.backend)
            self.remarks += check_conditions(self._taken, now, str(profile_file))

    @property
    def chosen_by(self) -> str:
        """What the paths are chosen by, in words."""
        if self._profile_file is None:
            return "MACs (nothing was measured)"
        return f"the profile {self._profile_file.name}"

    def profile(self) -> Stage:
        """The stage with the profile that was given."""
        if self._profile_file is None:
            raise ProfileError("a build without the device has no profile of its own")
        with open_regular(self._profile_file) as stream:
            content = stream.read()

        def work(folder: FilePath) -> None:
            write_atomically(folder / PROFILE, [content])

        given = hashlib.sha256(content).hexdigest()
        inputs = {"trained": self.trained().key, "given": given, **self._tools}
        return self._stage("profile", inputs, work)

    def searched(self) -> Stage:
        """The stage with the candidates: spread over MACs, unless a profile was given."""
        if self._profile_file is not None:
            return super().searched()
        build = self.config.build
        inputs = {
            "trained": self.trained().key,
            "data": self.data.validation.fingerprint,
            "paths": build.paths,
            "evaluations": build.evaluations,
            "calibration_images": build.calibration_images,
            "seed": self.config.seed,
            "by": "macs",
            **self._tools,
        }

        def work(folder: FilePath) -> None:
            generator = random.Random(self.config.seed)
            count = max(build.evaluations, build.paths)
            paths = draw_spread(self.supernet.space, self.totals["macs"], count, generator)
            candidates = assess(
                self.supernet, paths, self.data, build.calibration_images, self._progress
            )
            save_candidates(folder, candidates)

        return self._stage("search", inputs, work)

    def _select(self) -> tuple[search.Selection, ...]:
        if self._profile_file is not None:
            return super()._select()
        # Millions of MACs stand where milliseconds would: only their order and ratios count.
        return search.choose(
            [
                search.Candidate(c.path.id, c.accuracy, c.macs / 1e6)
                for c in self._load_candidates()
            ],
            self.config.build.paths,
        )

    def engine(self) -> Stage:
        """The stage with the unbuilt engine: lowered, verified on the CPU, tried by NVIDIA's."""
        build, module = self.config.build, api.installed()
        inputs = {
            "chosen": self.chosen().key,
            "name": self.config.name,
            "target": essence_of(self.target),
            "tolerance": build.tolerance,
            "quantised_loss": build.quantised_loss,
            "verify_examples": build.verify_examples,
            "data": self.data.test.fingerprint,
            "metric": self.data.metric,
            "checked with": module and f"{module} {versions([module])[module]}",
            "plans": _PLANS,
        }

        def work(folder: FilePath) -> None:
            supernet, progress, file = self.supernet, self._progress, folder / ENGINE
            candidates = load_candidates(self.chosen().folder, supernet.space)
            images = torch.cat(self.data.calibration(build.calibration_images))
            compiled = compile_candidates(
                Job(self.target, supernet, candidates, images, None, progress)
            )
            provenance = {
                "trained": self.trained().key,
                "chosen": self.chosen().key,
                "data": self.data.train.fingerprint[:16],
            }
            manifest = make_manifest(
                self.config.name, self.target, supernet, candidates, compiled, provenance
            )
            runnable = self.target.model_copy(update={"backend": _VERIFIED_WITH})
            write(file, replace(manifest, backend=_VERIFIED_WITH), compiled)
            differences = verify_engine(
                file,
                runnable,
                supernet,
                candidates,
                self.data.test,
                build.verify_examples,
                build.tolerance,
                progress,
                build.quantised_loss,
            )
            manifest = with_accuracies(
                manifest, {k: d.accuracy for k, d in differences.items()}, self.data.metric
            )
            recipe = {
                "precision": self.target.precision,
                "plans": _PLANS,
                "paths chosen by": self.chosen_by,
                "verified with": _VERIFIED_WITH,
                **({"remark": compiled.remark} if compiled.remark else {}),
                **{f"{TAKEN}{name}": value for name, value in self._taken.items()},
            }
            write(file, replace(manifest, recipe=recipe), compiled)
            checks: tuple[PathCheck, ...] = ()
            if module is not None:
                ids = [path.id for path in manifest.paths]
                engine = read_engine(file)
                groups = depth_groups({name: engine.graph(name) for name in ids})
                checks = check_engine(
                    file,
                    [*ids, *map(plan_name, groups)],
                    lambda done, all_: progress(done, all_, module),
                )
            # A group that is refused costs nothing but the saving: its paths keep a plan each.
            alone, _ = _by_paths(checks)
            refused = [f"{check.path_id}: {check.problem}" for check in alone if check.problem]
            if refused:
                raise VerificationError(
                    f"{module} refuses {len(refused)} of {len(alone)} paths",
                    got="; ".join(refused),
                    fix="replace the layers that are named",
                )
            record = {"differences": {k: asdict(d) for k, d in differences.items()}}
            write_atomically(folder / VERIFIED, [json.dumps(record, indent=1).encode()])
            write_atomically(
                folder / CHECKS, [json.dumps([asdict(c) for c in checks], indent=1).encode()]
            )

        stage = self._stage("engine", inputs, work)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.output, [(stage.folder / ENGINE).read_bytes()])
        return stage

    def run_without_device(self) -> Unbuilt:
        """Everything that can be done here."""
        with only_one_build(self.runs):
            stage = self.engine()
        checks = tuple(PathCheck(**c) for c in json.loads((stage.folder / CHECKS).read_text()))
        return Unbuilt(self.output, *_by_paths(checks), tuple(self.stages.done))


def _by_paths(
    checks: Sequence[PathCheck],
) -> tuple[tuple[PathCheck, ...], tuple[PathCheck, ...]]:
    """Checks of single paths, and of several as one."""
    return (
        tuple(check for check in checks if len(paths_of(check.path_id)) == 1),
        tuple(check for check in checks if len(paths_of(check.path_id)) > 1),
    )
