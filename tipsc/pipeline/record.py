"""What a build made, as a record: what its report is made from, without the pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tipsc.backends.finishing import PathCheck
from tipsc.convert.report import RESIDUAL_STREAM
from tipsc.elastic import Supernet
from tipsc.engine import Manifest, read_engine
from tipsc.engine.original import OriginalModel, original_in
from tipsc.factors import Additive
from tipsc.pipeline.answers import Answers, load_answers
from tipsc.pipeline.climbs import PathClimb
from tipsc.pipeline.context import TargetProject
from tipsc.pipeline.engine import FILE, VERIFIED, built
from tipsc.pipeline.goals import Trained, answers_of, largest_of
from tipsc.pipeline.limits import SearchRecord
from tipsc.pipeline.narrow import NARROW
from tipsc.pipeline.profile import load_profile
from tipsc.pipeline.search import SEARCH, load_records
from tipsc.pipeline.ship import climbs, shipped
from tipsc.pipeline.stages import StageDone
from tipsc.pipeline.train import TRAIN
from tipsc.pipeline.unbuilt import by_paths, load_checks
from tipsc.pipeline.verdicts import GoalAnswer, LeftOut
from tipsc.profile import Profile
from tipsc.project.target import Target
from tipsc.runtime.pick import of_batch
from tipsc.search.candidates import Candidate, load_candidates
from tipsc.tasks import Task
from tipsc.train import History
from tipsc.train.learner import HISTORY_FILE


@dataclass(frozen=True)
class MeasuredBuild:
    """What was measured on the way.

    Attributes:
        profile: latencies of the measured paths, and how well others are predicted.
        file: the profile, where people look for it.
        records: of the search, by path id.
        samples_ms: some times of each path of the engine.
    """

    profile: Profile
    file: Path
    records: Mapping[str, SearchRecord]
    samples_ms: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class BuildRecord:
    """What a build made.

    Attributes:
        config_file: that it was built from.
        target: that it was built for.
        together: names of all targets that one training was for, this one among them.
        seed: of the configuration.
        engine: the engine file.
        manifest: what the engine says.
        supernet: whose paths they are.
        totals: of any path of it.
        history: of the training, in the whole space and after it.
        original: the plain model, its quality and what it costs; None without one.
        trained: how long, and how.
        goals: what became of each goal of the configuration.
        left_out: paths that were built and do not ship, as another is faster and as good.
        candidates: that the search found.
        chosen: those that ship, with what is their own.
        climbs: what that bought, in the same order; none where ``build.share_loss`` is off.
        trained_later: the chosen ones were trained after the search had seen them.
        differences: by path id, the fields of :class:`tipsc.lower.Difference`.
        task: that its paths are judged by.
        answers: what some of its paths say to test examples.
        measured: None for an engine that is left unbuilt.
        checks: of an unbuilt engine, how each path was compiled without the device; empty where
            nothing is installed that can.
        groups: of paths as one plan, likewise.
        remarks: what could not be told of a profile that was given, or makes it doubtful.
        stages: in order, with their seconds.
        tested: how many test examples every path ran, and how many there are.
    """

    config_file: Path
    target: Target
    together: tuple[str, ...]
    seed: int
    engine: Path
    manifest: Manifest
    supernet: Supernet
    totals: Mapping[str, Additive]
    history: History
    original: OriginalModel | None
    trained: Trained
    goals: tuple[GoalAnswer, ...]
    left_out: tuple[LeftOut, ...]
    candidates: tuple[Candidate, ...]
    chosen: tuple[Candidate, ...]
    climbs: tuple[PathClimb, ...]
    trained_later: bool
    differences: Mapping[str, Mapping[str, float]]
    task: Task
    answers: Answers
    measured: MeasuredBuild | None
    checks: tuple[PathCheck, ...]
    groups: tuple[PathCheck, ...]
    remarks: tuple[str, ...]
    stages: tuple[StageDone, ...]
    tested: tuple[int, int]


def record_of(project: TargetProject) -> BuildRecord:
    """The record of a project whose stages are done, or done now."""
    engine, searched = built(project), project.done(SEARCH)
    space, verified = project.untrained.space, json.loads((engine.folder / VERIFIED).read_text())
    measured = None
    if not project.plan.unbuilt:
        measured = MeasuredBuild(
            load_profile(project),
            project.published,
            load_records(searched.folder),
            verified["samples_ms"],
        )
    manifest = read_engine(engine.folder / FILE).manifest
    ids, original = {path.id for path in manifest.paths}, original_in(manifest)
    entries, config = of_batch(manifest.paths, project.config.build.batches[0]), project.config
    tested = min(config.build.verify_examples, len(project.data.test))
    reference, called = original, "the original"
    if original is None:
        reference, called = largest_of(entries, space.largest.id, tested), "the largest path"
    history = history_of(project)
    trained = _trained(project, history)
    checks, groups = by_paths(load_checks(engine.folder) if project.plan.unbuilt else ())
    return BuildRecord(
        config_file=project.config_file,
        target=project.target,
        together=tuple(one.target.name for one in project.together),
        seed=project.config.seed,
        engine=project.output,
        manifest=manifest,
        supernet=project.untrained,
        totals=project.totals,
        history=history,
        original=original,
        trained=trained,
        goals=answers_of(config, trained, project.target, entries, reference, called),
        left_out=tuple(LeftOut(**path) for path in verified["left_out"]),
        candidates=tuple(load_candidates(searched.folder, space)),
        chosen=tuple(c for c in shipped(project) if c.path.id in ids),
        climbs=tuple(climb for climb in climbs(project) if climb.path_id in ids),
        trained_later=project.lessons.narrow is not None,
        differences=verified["differences"],
        task=project.data.judged_by,
        answers=load_answers(engine.folder),
        measured=measured,
        checks=checks,
        groups=groups,
        remarks=project.plan.remarks,
        stages=tuple(project.stages.done),
        tested=(tested, len(project.data.test)),
    )


def _trained(project: TargetProject, history: History) -> Trained:
    fixed = () if project.conversion is None else project.conversion.fixed
    streams = any(kept.reason == RESIDUAL_STREAM for kept in fixed)
    lessons = project.lessons
    found = history.peak is not None and lessons.last.find_rate
    return Trained(lessons.epochs, history.peak, found, streams)


def history_of(project: TargetProject) -> History:
    """Of all parts of the training, one after the other."""
    parts = []
    if project.lessons.wide is not None:
        parts.append(project.done(TRAIN))
    if project.lessons.narrow is not None:
        parts.append(project.done(NARROW))
    return History.joined([History.read(part.folder / HISTORY_FILE) for part in parts])
