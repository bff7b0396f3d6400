"""What is particular about a shipped path, in a word and in a sentence; what the original tells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tipsc.engine.original import OriginalModel
from tipsc.measure.disturbance import Disturbance, remark_of
from tipsc.pipeline.verdicts import GoalAnswer, LeftOut
from tipsc.quality import Quality
from tipsc.report.data import Shipped
from tipsc.report.format import significant
from tipsc.report.metric import metric_of

OWN_WEIGHTS, LEVEL = "own weights", "level"
MEANING = {
    OWN_WEIGHTS: "has some weights for itself, as sharing them cost quality (build.share_loss)",
    LEVEL: "a faster path is at least as good on the test examples; this one was asked for",
}


def flags_of(path: Shipped) -> dict[str, bool]:
    """The notes that a path may have, and whether it has them."""
    return {OWN_WEIGHTS: path.own_weights, LEVEL: path.level}


def notes_of(paths: Iterable[Shipped]) -> list[tuple[str, str]]:
    """The notes that at least one of the paths has, with what each means."""
    paths = list(paths)
    return [(n, text) for n, text in MEANING.items() if any(flags_of(path)[n] for path in paths)]


def left_out_line(paths: Sequence[LeftOut], names: Mapping[str, str]) -> str:
    """Which paths do not ship, and why.

    Args:
        names: of those that do, by their ids.
    """
    by_rival: dict[str, list[str]] = {}
    for path in paths:
        by_rival.setdefault(path.for_path, []).append(path.id)
    said = [f"{', '.join(ids)}, as {called(rival, names)}" for rival, ids in by_rival.items()]
    verb = "is" if len(said) == 1 else "are"
    return f"left out: {'; '.join(said)} {verb} faster, and at least as good on the test examples"


def examples_line(tested: int, there: int) -> str:
    """How many test examples the figures are of, where these are not all; else ""."""
    if tested >= there:
        return ""
    return (
        f"test examples: the first {tested:,} of {there:,}, as each path runs them one by one on "
        f"the device; build.verify_examples: {there} uses all"
    )


#: of goals that a latency decides
DOUBTFUL_GOALS = (
    "latencies are doubtful, as the warning says: measured again, another path may meet a goal"
)


def goal_lines(
    answers: Sequence[GoalAnswer], names: Mapping[str, str], *, doubtful: bool = False
) -> list[str]:
    """Each goal, whether it is met, by which path, and what would help.

    Args:
        names: of paths, by their ids.
        doubtful: whether latencies are.
    """
    lines = []
    for answer in answers:
        said = {True: "met by", False: "not met; nearest is", None: "not known yet; perhaps"}
        path = called(answer.path, names)
        lines.append(f"goal: {answer.goal}: {said[answer.met]} {path}: {answer.found}")
        lines += [f"  also near: {called(path, names)}: {has}" for path, has in answer.near]
        if answer.best:
            best = called(answer.best, names)
            lines.append(f"  that is the fastest; the most accurate is {best}: {answer.best_found}")
        if answer.helps:
            lines.append(f"  would help: {'; '.join(answer.helps)}")
    if doubtful and any(answer.timed for answer in answers):
        lines.append(f"  {DOUBTFUL_GOALS}")
    return lines


def called(path_id: str, names: Mapping[str, str]) -> str:
    """A path by its name, if it has one, and its id."""
    return f"{names[path_id]} ({path_id})" if path_id in names else path_id


def noise_lines(noise: str, disturbance: Disturbance, of: str = "") -> list[str]:
    """What disturbed a measurement, and what was done about it; no line if nothing did.

    Args:
        of: what was measured, where it is not plain.
    """
    whose = f" of {of}" if of else ""
    warning = [f"warning{whose}: {noise}"] if noise else []
    remark = remark_of(disturbance)
    return [*warning, *([f"measuring{whose}: {remark}"] if remark else [])]


def against_original(
    original: OriginalModel, qualities: Mapping[str, Quality | None], names: Mapping[str, str]
) -> str:
    """What the best path loses to the original.

    Args:
        qualities: of the paths, by their ids.
        names: likewise, of those that have one.
    """
    known = {name: quality for name, quality in qualities.items() if quality is not None}
    metric = metric_of(original.quality)
    said = (
        f"original: {metric.name} {metric.figure(original.quality)} {metric.sign} on the same "
        f"{original.examples} test examples"
    )
    if not known:
        return said
    best = max(known, key=lambda name: known[name].merit)
    lost = original.quality.above(known[best])
    amount = f"{100 * abs(lost):.2f}" if metric.share else significant(abs(lost))
    change = (
        f"{'loses' if lost > 0 else 'gains'} {amount} {metric.lost}" if lost else "loses nothing"
    )
    return f"{said}; the best path, {called(best, names)}, {change}"
