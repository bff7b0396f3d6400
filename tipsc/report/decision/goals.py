"""What was asked for in ``build.goals``, and what became of it, in the language of the page."""

from __future__ import annotations

from collections.abc import Iterator

from tipsc.engine import PathEntry
from tipsc.project.config import BuildGoal
from tipsc.report.decision.facts import EngineFacts
from tipsc.report.decision.texts import Texts
from tipsc.report.format import byte_size, milliseconds, significant
from tipsc.report.metric import metric_of


def goal_items(facts: EngineFacts, texts: Texts) -> Iterator[str]:
    """Each goal: met or not, by which path or how near; that none is known, where none is."""
    if facts.goals is None:
        yield texts("goals_unknown")
        return
    paths = {path.id: path for path in facts.paths}
    for goal, answer in facts.goals:
        key = {True: "goal_met", False: "goal_missed", None: "goal_open"}[answer.met]
        path = paths[answer.path]
        wanted, found = _wanted(goal, facts, texts), _found(path, facts, texts)
        text = texts(key, goal=wanted, path=facts.label(path), found=found)
        if answer.best:
            best = paths[answer.best]
            found = _found(best, facts, texts)
            text += texts("goal_best", path=facts.label(best), found=found)
        yield text


def amount(facts: EngineFacts, texts: Texts, lost: float) -> str:
    """A difference of quality, with its unit."""
    metric = metric_of(facts.paths[0].quality if facts.original is None else facts.original.quality)
    if metric.share:
        return texts("points", value=f"{100 * lost:.2f}")
    return f"{significant(lost)} {metric.lost}".rstrip()


def _wanted(goal: BuildGoal, facts: EngineFacts, texts: Texts) -> str:
    parts = []
    if goal.lose_at_most is not None:
        parts.append(texts("goal_lose", amount=amount(facts, texts, goal.lose_at_most)))
    if goal.latency_share is not None:
        parts.append(texts("goal_share", share=f"{goal.latency_share:.0%}"))
    if goal.latency_ms is not None:
        parts.append(texts("goal_ms", ms=f"{goal.latency_ms:g}"))
    if goal.file_bytes is not None:
        parts.append(texts("goal_bytes", size=byte_size(goal.file_bytes)))
    return texts("and").join(parts)


def _found(path: PathEntry, facts: EngineFacts, texts: Texts) -> str:
    """What a path has of all that a goal can ask for."""
    lost, share, parts = facts.lost(path), facts.share(path), []
    if lost is not None:
        key = "loses" if lost >= 0 else "gains"
        parts.append(texts(key, amount=amount(facts, texts, abs(lost))))
    if path.latency is not None:
        parts.append(f"{milliseconds([path.latency.p50_ms])[0]} ms")
    if share is not None:
        parts.append(texts("of_original", share=f"{share:.0%}"))
    parts.append(texts("of_weights", size=byte_size(path.shared_bytes + path.private_bytes)))
    return texts("comma").join(parts)
