"""What makes the figures of a build doubtful, told before hours are spent on it."""

from __future__ import annotations

from tipsc.batch import count
from tipsc.elastic import Supernet
from tipsc.pipeline.original import Original
from tipsc.quality import SHARE, Quality
from tipsc.train import Data
from tipsc.train.data import targets_of
from tipsc.train.fit import unlearned

FEW = 100  # examples: below, one of them is more than a hundredth of the quality
CHANCE = 1.5  # times the quality of what is said without looking
WAY = 0.1  # of the way from there to a perfect share, where that is less


def doubts(data: Data, original: Original | None, supernet: Supernet | None = None) -> list[str]:
    """Sentences; none if there is nothing to doubt.

    Args:
        original: the plain model's score, if there is one.
        supernet: that is trained with the data.
    """
    found = [] if supernet is None else unlearned(supernet, data)
    for name, use in (("validation", "paths are chosen"), ("test", "results are reported")):
        examples = len(getattr(data, name))
        if examples < FEW:
            found.append(
                f"{use} by {examples} {name} examples, of which one is {100 / examples:.1f} % of "
                f"the {data.judged_by.measure}: give more"
            )
    parts = {name: targets_of(getattr(data, name)) for name in ("train", "validation", "test")}
    whole = {name: part for name, part in parts.items() if count(part) == len(getattr(data, name))}
    found += data.judged_by.lacking(whole)
    if original is not None and data.judged_by.labelled:
        found += _near_chance(original, data.judged_by.chance(parts["validation"]))
    return found


def said_of(original: Original | None, data: Data) -> str:
    """What the original scores before anything is built; "" where nobody knows better than it."""
    if original is None or not data.judged_by.labelled:
        return ""
    all_of, seen = len(data.validation), original.validated
    examples = f"{seen:,}" if seen == all_of else f"the first {seen:,} of {all_of:,}"
    chance = data.judged_by.chance(targets_of(data.validation))
    beside = f" (without looking at an input: {chance.amount})" if chance is not None else ""
    return f"original: {original.validation} on {examples} validation examples{beside}"


def _near_chance(original: Original, chance: Quality | None) -> list[str]:
    if chance is None:
        return []
    times = CHANCE - 1 if chance.better == "higher" else 1 - 1 / CHANCE
    margin = times * abs(chance.value)
    if chance.unit == SHARE and chance.better == "higher":  # 95 % of one class leave little to gain
        margin = min(margin, WAY * (1 - chance.value))
    if original.validation.above(chance) >= margin:
        return []
    return [
        f"the original's {original.validation} on the validation examples is near chance, "
        f"{chance.amount}: see that its trained weights are loaded, that the labels are in the "
        "order of its outputs, and that the inputs are prepared as in its training"
    ]
