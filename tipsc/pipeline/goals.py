"""Whether the goals of a configuration are met, by which path, and what would help if not.

All figures are those of the engine: qualities on test examples, latencies of this file on the
device. Nothing is predicted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tipsc.engine import PathEntry
from tipsc.engine.original import OriginalModel
from tipsc.pipeline.verdicts import GoalAnswer
from tipsc.project.config import BuildGoal, Config
from tipsc.project.target import Target
from tipsc.quality import SHARE, Quality

_LEAST = 0.005  # of a quality: what a loss is compared with where none is allowed


@dataclass(frozen=True)
class Trained:
    """What was trained, as far as it says what would help.

    Attributes:
        epochs: of all parts together.
        learning_rate: the peak; None: nothing was trained.
        found: whether a range test found it.
        streams: whether the model has residual streams, which are fixed unless asked for.
    """

    epochs: int
    learning_rate: float | None = None
    found: bool = False
    streams: bool = True

    def __str__(self) -> str:
        if self.learning_rate is None:
            return "nothing"
        how = ", found by a short test" if self.found else ""
        return f"{self.epochs} epochs, learning rate up to {self.learning_rate:.2g}{how}"


@dataclass(frozen=True)
class _Condition:
    """A part of a goal: what a path has of something, and the most that it may have."""

    name: str
    wanted: str
    most: float
    of: Mapping[str, float | None]  # by path id; None: not measured
    shown: Mapping[str, str]
    least: float = 0.0  # what an excess is at least compared with

    def excess(self, path_id: str) -> float:
        """By how much a path has too much of it, as a share; 0 or less: it keeps it."""
        value = self.of[path_id]
        return math.inf if value is None else (value - self.most) / max(self.most, self.least)


def answers_of(
    config: Config,
    trained: Trained,
    target: Target,
    paths: Sequence[PathEntry],
    reference: OriginalModel | None,
    called: str = "the original",
) -> tuple[GoalAnswer, ...]:
    """An answer for each goal.

    Args:
        trained: what was, also where the configuration does not say.
        paths: of the engine, for batches of the first size.
        reference: the original, or what stands for it; None: no goal is relative to it.
        called: what the reference is.
    """
    helps = partial(_helps, config=config, trained=trained, target=target)
    return tuple(answer_of(goal, paths, reference, called, helps) for goal in config.build.goals)


def largest_of(paths: Sequence[PathEntry], largest: str, examples: int) -> OriginalModel | None:
    """The largest path of a supernet, which stands for an original; None if it does not ship."""
    found = next((path for path in paths if path.id == largest), None)
    if found is None or found.quality is None:
        return None
    return OriginalModel(
        found.quality,
        examples,
        found.parameters,
        found.macs,
        found.latency,
        found.shared_bytes + found.private_bytes,
    )


def answer_of(
    goal: BuildGoal,
    paths: Sequence[PathEntry],
    reference: OriginalModel | None,
    called: str = "the original",
    helps: Callable[[Sequence[str]], tuple[str, ...]] = lambda missed: (),
) -> GoalAnswer:
    """What became of one goal, by the figures of the paths alone.

    Args:
        helps: what would help, by the names of the conditions that were missed.
    """
    conditions = _conditions(goal, paths, reference, called)
    wanted = " and ".join(condition.wanted for condition in conditions)
    timed = any(condition.name == "latency" for condition in conditions)

    def excess(path: PathEntry) -> float:
        return max(condition.excess(path.id) for condition in conditions)

    def merit(path: PathEntry) -> float:
        return path.quality.merit if path.quality is not None else -math.inf

    meeting = [path for path in paths if excess(path) <= 0]
    if meeting:

        def found(path: PathEntry) -> str:
            return _found(path, conditions) + _doubt(goal, path, reference)

        best, fastest = max(meeting, key=merit), min(meeting, key=lambda p: p.speed_key)
        if goal.lose_at_most is None:
            return GoalAnswer(wanted, True, best.id, found(best), timed=timed)
        answer = GoalAnswer(wanted, True, fastest.id, found(fastest), timed=timed)
        if merit(best) <= merit(fastest):
            return answer
        return replace(answer, best=best.id, best_found=found(best))
    nearest = min(paths, key=lambda path: (excess(path), path.speed_key))
    unknown = any(value is None for condition in conditions for value in condition.of.values())
    keeping = ([p for p in paths if c.excess(p.id) <= 0] for c in conditions)
    closest = (min(some, key=lambda p: (excess(p), p.speed_key)) for some in keeping if some)
    near = {path.id: path for path in closest if path.id != nearest.id}
    missed = [c for c in conditions if any(c.excess(i) > 0 for i in (nearest.id, *near))]
    return GoalAnswer(
        wanted,
        None if unknown else False,
        nearest.id,
        _found(nearest, conditions) + _doubt(goal, nearest, reference),
        ("finish the engine on its device, which measures it",)
        if unknown
        else helps([c.name for c in missed]),
        timed=timed,
        near=() if unknown else tuple((i, _found(p, conditions)) for i, p in near.items()),
    )


def _conditions(
    goal: BuildGoal, paths: Sequence[PathEntry], reference: OriginalModel | None, called: str
) -> list[_Condition]:
    found = []
    p50 = {p.id: p.latency.p50_ms if p.latency else None for p in paths}
    whole = reference.latency.p50_ms if reference is not None and reference.latency else None
    if goal.lose_at_most is not None:
        assert reference is not None
        quality = reference.quality
        lost = {p.id: quality.above(p.quality) if p.quality else None for p in paths}
        least = _LEAST * (1.0 if quality.unit == SHARE else abs(quality.value) or 1.0)
        wanted = f"lose at most {amount_of(quality, goal.lose_at_most)}"
        shown = {name: _lost(quality, value) for name, value in lost.items()}
        found.append(_Condition("lose_at_most", wanted, goal.lose_at_most, lost, shown, least))
    if goal.latency_share is not None:
        most = math.nan if whole is None else goal.latency_share * whole
        wanted = f"take at most {goal.latency_share:.0%} of the time of {called}"
        share = {n: None if ms is None or whole is None else ms for n, ms in p50.items()}
        shown = {
            n: "no time measured" if ms is None or whole is None
            else f"{ms:.4g} ms, {ms / whole:.0%} of {whole:.4g} ms"
            for n, ms in p50.items()
        }  # fmt: skip
        found.append(_Condition("latency", wanted, most, share, shown))
    if goal.latency_ms is not None:
        shown = {n: "no time measured" if ms is None else f"{ms:.4g} ms" for n, ms in p50.items()}
        wanted = f"take at most {goal.latency_ms:g} ms"
        found.append(_Condition("latency", wanted, goal.latency_ms, p50, shown))
    if goal.file_bytes is not None:
        weights = {p.id: float(p.shared_bytes + p.private_bytes) for p in paths}
        shown = {name: f"{value:,.0f} bytes of weights" for name, value in weights.items()}
        wanted = f"need at most {goal.file_bytes:,.0f} bytes of weights"
        found.append(_Condition("file_bytes", wanted, goal.file_bytes, dict(weights), shown))
    return found


def _found(path: PathEntry, conditions: Sequence[_Condition]) -> str:
    return ", ".join(dict.fromkeys(condition.shown[path.id] for condition in conditions))


def amount_of(quality: Quality, difference: float) -> str:
    """A difference of a quality with its unit: ``1.2 points``, ``0.3 mm``."""
    if quality.unit == SHARE:
        points = 100 * difference
        return f"{points:.3g} point{'' if points == 1 else 's'}"
    return f"{difference:.3g} {quality.unit or quality.name}"


def _lost(quality: Quality, lost: float | None) -> str:
    if lost is None:
        return "no quality measured"
    return f"{'loses' if lost >= 0 else 'gains'} {amount_of(quality, abs(lost))}"


def _doubt(goal: BuildGoal, path: PathEntry, reference: OriginalModel | None) -> str:
    """Where the test examples are too few to tell on which side of the goal a path is."""
    if goal.lose_at_most is None or reference is None or path.quality is None:
        return ""
    if reference.quality.unit != SHARE:
        return ""
    share, examples = path.quality.value, reference.examples
    error = math.sqrt(max(share * (1 - share), 1 / examples) / examples)
    if abs(reference.quality.above(path.quality) - goal.lose_at_most) > error:
        return ""
    return f"; {examples} test examples are good for ±{100 * error:.1f} points, so this is close"


def _helps(
    missed: Sequence[str], config: Config, trained: Trained, target: Target
) -> tuple[str, ...]:
    """What can be changed in the configuration for what was missed, the most helpful first."""
    found = []
    build, converts = config.build, config.model.family is None
    if "lose_at_most" in missed:
        epochs = trained.epochs
        found.append(f"train longer (train.epochs: {2 * epochs or 24}, now {epochs})")
        if trained.learning_rate is not None:
            found.append(
                f"another learning rate (train.learning_rate: {trained.learning_rate / 3:.2g}, now "
                f"{trained.learning_rate:.2g})"
            )
        found.append(f"look at more paths (build.evaluations: {3 * build.evaluations})")
        if build.share_loss is None:
            found.append("give paths that lose by sharing weights of their own (build.share_loss)")
    if {"latency", "file_bytes"} & set(missed):
        if converts:
            section = config.convert
            if "lose_at_most" not in missed:  # of what loses too much nothing is to be taken away
                widths = None if section is None else section.widths
                smallest = min(widths or (0.25,))
                found.append(f"allow narrower paths (convert.widths, now down to {smallest:g})")
            if trained.streams and (section is None or not section.streams):
                found.append("let residual streams be narrower as well (convert.streams)")
            if "latency" in missed and (section is None or section.resolutions is None):
                found.append("allow smaller inputs, if they are images (convert.resolutions)")
        else:
            found.append("allow smaller blocks (model.arguments)")
        if target.precision == "fp32":
            found.append("build for a target in int8 (`tipsc targets`)")
    return tuple(found)
