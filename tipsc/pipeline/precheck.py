"""Stage ``precheck``: whether the model can be built at all, known before anything is trained.

A few paths that take every kind of step, and leave each kind out, are compiled for the target and
compared with torch on real examples. What a compiler gets wrong is named by its layer.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path as FilePath
from statistics import median

from tipsc.batch import Batch, arrays, first, joined, rows
from tipsc.compile import Job, compile_candidates
from tipsc.device.measuring import Arrays, Run, ThisMachine
from tipsc.elastic import CostModel, Statistics, Supernet
from tipsc.elastic.extract import extract_traced
from tipsc.elastic.looking import at_rest
from tipsc.engine.atomic import write_atomically
from tipsc.engine.manifest import entry_ids
from tipsc.errors import LoweringError, TipscError, VerificationError
from tipsc.fingerprint.installed import TRAINING, versions
from tipsc.fingerprint.values import fingerprint
from tipsc.lower import run_both
from tipsc.paths import Path
from tipsc.pipeline.alone import check_alone
from tipsc.pipeline.context import StageSpec, TargetProject
from tipsc.pipeline.manifest import make_manifest
from tipsc.pipeline.profile import tools
from tipsc.pipeline.tried import CALIBRATED, Precheck, Problem, TriedPath, paths_to_try
from tipsc.pipeline.unbuilt import recipe_of, tried_with, try_paths
from tipsc.pipeline.wrong_layer import TappedPath, first_wrong
from tipsc.progress import Progress, part
from tipsc.project.target import essence_of
from tipsc.search.candidates import Candidate
from tipsc.train import Data
from tipsc.train.calibrate import measure

FILE = "precheck.json"
ENGINE = "engine.tipsc"  # with the paths that are tried
TAPPED = "tapped.tipsc"  # with one of them, to find the layer that is wrong
COMPARED = 2  # real examples; what is wrong is wrong on each


def try_out(project: TargetProject, folder: FilePath, progress: Progress) -> Precheck:
    """Compiles some paths and compares them; leaves weights and chance alone.

    Raises:
        ConversionError: the model's answer to an example depends on the rest of its batch.
        TargetError, MissingExtraError: nothing here compiles for the target.
    """
    supernet, data = project.untrained, project.data
    with at_rest(supernet):
        if project.conversion is None:  # else it was done there
            check_alone(supernet, first(data.validation, 2).inputs)
        bench = _TrialBench(project, folder, progress)
        wanted = paths_to_try(supernet, project.config.seed)
        begin = time.perf_counter()
        costs = CostModel(supernet)
        paths = list(wanted)
        candidates = _calibrated(supernet, costs, paths, data, part(progress, 0.0, 0.2))
        calibrate_s = (time.perf_counter() - begin) / len(candidates)
        ticks = _Ticks(part(progress, 0.2, 0.6))
        try:
            remark = replace(bench, progress=ticks).write(
                ENGINE, supernet, candidates, bench.batches
            )
        except LoweringError as error:
            return Precheck(_untried(wanted, candidates), (_of(error),), calibrate_s)
        export_s, compile_s = ticks.split(len(candidates))
        tried, problems = [], []
        ids = [name for c in candidates for name in entry_ids(c.path.id, bench.batches)]
        with bench.opened(ENGINE, ids) as run:
            for place, candidate in enumerate(candidates):
                part(progress, 0.6, 1.0)(place, len(candidates), "comparing")
                path, wrong = _compared(bench, run, costs, candidate, wanted[candidate.path])
                tried.append(path)
                if wrong:
                    problems.append(Problem(path.id, "", wrong))
    if problems:
        problems = _named(bench, costs, candidates, problems)
    elif project.plan.unbuilt:
        try:
            try_paths(project.target, folder / ENGINE, folder, progress)
        except VerificationError as error:
            problems = [_of(error)]
    return Precheck(tuple(tried), tuple(problems), calibrate_s, export_s, compile_s, remark)


class _Ticks:
    """Hands progress on, and keeps when each of the paths was done."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._begin = progress, time.perf_counter()
        self._done: dict[float, float] = {}

    def __call__(self, done: float, total: float, note: str = "") -> None:
        self._done.setdefault(done, time.perf_counter())
        self._progress(done, total, note)

    def split(self, count: int) -> tuple[float, float]:
        """Seconds until now: those that come once, and those of each of `count` paths."""
        whole = time.perf_counter() - self._begin
        times = sorted(self._done.values())
        each = (times[-1] - times[0]) / (len(times) - 1) if len(times) > 2 else whole / count
        each = min(each, whole / count)
        return whole - count * each, each


@dataclass(frozen=True)
class _TrialBench:
    """Where engines are written, and run as far as they run here."""

    project: TargetProject
    folder: FilePath
    progress: Progress

    @property
    def batches(self) -> tuple[int, ...]:
        """Examples of a call; paths are tried for each."""
        return self.project.config.build.batches

    @property
    def batch(self) -> Batch:
        return first(self.project.data.validation, COMPARED)

    def write(
        self,
        name: str,
        supernet: Supernet,
        candidates: Sequence[Candidate],
        batches: Sequence[int],
        precision: str = "",
    ) -> str:
        """Compiles paths into an engine; gives the compiler's remark."""
        target = self.project.target
        target = target.model_copy(update={"precision": precision or target.precision})
        images, cache = self.project.data.calibration(CALIBRATED), self.project.compiled
        job = Job(target, supernet, candidates, joined(images), cache, self.progress, batches)
        compiled, called = compile_candidates(job), self.project.config.name
        made = make_manifest(called, target, supernet, candidates, compiled, {}, batches)
        if self.project.plan.unbuilt:
            recipe = recipe_of(target, self.project.plan, compiled.remark)
            compiled.write(self.folder / name, replace(made, recipe=recipe))
        runs_as = replace(made, backend=self.project.plan.verifies_as)
        compiled.write(self._runnable(name), runs_as)
        return compiled.remark

    def _runnable(self, name: str) -> FilePath:
        """The engine as it runs here: of one that is left unbuilt, another file."""
        return self.folder / (f"here-{name}" if self.project.plan.unbuilt else name)

    @contextmanager
    def opened(self, name: str, ids: Sequence[str]) -> Iterator[Run]:
        project = self.project
        target = project.target.model_copy(update={"backend": project.plan.verifies_as})
        device = ThisMachine() if project.plan.unbuilt else project.device
        with device.opened(self._runnable(name), target, ids, arrays(self.batch.inputs)) as run:
            yield run


def _calibrated(
    supernet: Supernet, costs: CostModel, paths: Sequence[Path], data: Data, progress: Progress
) -> list[Candidate]:
    batches, found = data.calibration(CALIBRATED), []
    for place, path in enumerate(paths):
        progress(place, len(paths), "calibrating")
        cost, module = costs.of(path), extract_traced(supernet, costs.trace(path))
        statistics = measure(supernet, module, path, batches, own_scale=False)
        found.append(Candidate(path, None, cost.macs, cost.parameters, statistics))
    return found


def _compared(
    bench: _TrialBench, run: Run, costs: CostModel, candidate: Candidate, why: str
) -> tuple[TriedPath, str]:
    """A path against torch, and what is wrong with it; "" for nothing."""
    project, calls = bench.project, list[float]()
    batch = bench.batch
    traced = costs.trace(candidate.path)
    module = extract_traced(project.untrained, traced, candidate.statistics)
    (path_id, size), *others = entry_ids(candidate.path.id, bench.batches).items()

    def timed(example: Arrays) -> Arrays:
        begin = time.perf_counter()
        answer = run(example, path_id)
        calls.append(time.perf_counter() - begin)
        return answer

    tried = TriedPath(path_id, why, candidate.macs, candidate.parameters, None, None, None)
    begin = time.perf_counter()
    try:
        signature = project.untrained.signature
        outputs = [run_both(timed, module, batch.inputs, signature, batch=size)]
        whole = time.perf_counter() - begin
        outputs += [
            run_both(partial(_run_on, run, name), module, batch.inputs, signature, batch=more)
            for name, more in others
        ]
    except VerificationError as error:
        return tried, _sentence(error)
    judged = [each.difference(batch.targets, project.data.judged_by) for each in outputs]
    found = max(judged, key=lambda each: math.inf if math.isnan(each.largest) else each.largest)
    tried = replace(
        tried,
        difference=found.largest if math.isfinite(found.largest) else None,
        torch_s=(whole - sum(calls)) / batch.examples,
        engine_s=median(calls) / size,  # the first calls of a path take much longer
    )
    try:
        if project.target.precision == "fp32":
            found.check("", project.config.build.tolerance)
        else:  # a few examples say nothing of the quality that rounding costs
            found.check_rounded("", most_lost=math.inf)
    except VerificationError as error:
        return tried, _sentence(error)
    return tried, ""


def _run_on(run: Run, path_id: str, examples: Arrays) -> Arrays:
    return run(examples, path_id)


def _named(
    bench: _TrialBench,
    costs: CostModel,
    candidates: Sequence[Candidate],
    problems: Sequence[Problem],
) -> list[Problem]:
    """The problems, each with the layer that is its cause, if there is one."""
    by_id, named = {candidate.path.id: candidate for candidate in candidates}, []
    supernet, example = bench.project.untrained, rows(bench.batch.inputs, slice(1))
    left = sorted(problems, key=lambda problem: by_id[problem.path].macs)
    while left:
        first = left[0]
        wrong = first_wrong(
            supernet,
            by_id[first.path],
            example,
            lambda tapped: _compiled_alone(bench, tapped),
            bench.project.config.build.tolerance,
        )
        alike = [first]
        if wrong is not None:
            what = (
                f"{wrong} computes something else on {bench.project.target.name} than in torch "
                f"(a relative difference of {wrong.difference:.2g})"
            )
            alike = [
                problem
                for problem in left
                if any(
                    step.label == wrong.label
                    for step in costs.trace(by_id[problem.path].path).steps
                )
            ]
        for problem in alike:
            left.remove(problem)
            named.append(
                problem if wrong is None else Problem(problem.path, wrong.layer or wrong.kind, what)
            )
    return named


def _compiled_alone(bench: _TrialBench, tapped: TappedPath) -> Callable[[Arrays], Arrays]:
    path = tapped.space.largest
    # In fp32, whatever the target's precision: values side by side would be rounded alike.
    bench.write(TAPPED, tapped, [Candidate(path, None, 0, 0, Statistics(path.id))], (1,), "fp32")

    def run(example: Arrays) -> Arrays:
        with bench.opened(TAPPED, [path.id]) as opened:
            return opened(example, path.id)

    return run


def _untried(wanted: Mapping[Path, str], candidates: Sequence[Candidate]) -> tuple[TriedPath, ...]:
    return tuple(
        TriedPath(c.path.id, wanted[c.path], c.macs, c.parameters, None, None, None)
        for c in candidates
    )


def _of(error: TipscError) -> Problem:
    """What concerns the export, and so all paths."""
    return Problem("", "", _sentence(error))


def _sentence(error: TipscError) -> str:
    """What is wrong, without what to do about it, which is not the same this early."""
    where = error.where or None
    return str(TipscError(error.what, where=where, expected=error.expected, got=error.got))


def _inputs(project: TargetProject) -> dict[str, object]:
    build, data = project.config.build, project.data
    return {
        "model": project.made_of,
        "space": project.untrained.space.to_json(),
        "seed": project.config.seed,
        "target": essence_of(project.target),
        "tolerance": build.tolerance,
        "batch": build.batches,
        "cpu": project.device.system().cpu,
        "task": project.task_key,
        "images": [
            fingerprint(first(data.validation, COMPARED).inputs),
            fingerprint(joined(data.calibration(CALIBRATED))),
        ],
        "calibrated_by": versions(TRAINING),
        **tools(project.target),
        **(tried_with(project.target) if project.plan.unbuilt else {}),
        **project.device.essence,
    }


def _make(project: TargetProject, folder: FilePath, progress: Progress) -> None:
    found = try_out(project, folder, progress)
    write_atomically(folder / FILE, [json.dumps(asdict(found), indent=1).encode()])


PRECHECK: StageSpec[TargetProject] = StageSpec("precheck", _inputs, _make)


def prechecked(project: TargetProject) -> Precheck:
    """What the stage found; done now if it was not."""
    found = json.loads((project.done(PRECHECK).folder / FILE).read_text())
    paths = tuple(TriedPath(**fields) for fields in found.pop("paths"))
    problems = tuple(Problem(**fields) for fields in found.pop("problems"))
    return Precheck(paths, problems, **found)
