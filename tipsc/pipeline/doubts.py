"""What makes the figures of a build doubtful, told before hours are spent on it."""

from __future__ import annotations

from tipsc.batch import count
from tipsc.elastic import Supernet
from tipsc.pipeline.original import Original
from tipsc.train import Data
from tipsc.train.data import targets_of
from tipsc.train.fit import unlearned

FEW = 100  # examples: below, one of them is more than a hundredth of the quality
CHANCE = 1.5  # times the quality of what is said without looking


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
    chance = data.judged_by.chance(parts["test"])
    if original is None or chance is None:
        return found
    times = CHANCE - 1 if chance.better == "higher" else 1 - 1 / CHANCE
    margin = times * abs(chance.value)
    if original.quality.above(chance) < margin:
        found.append(
            f"the original's {original.quality} on the test examples is little better than "
            "chance: see that its trained weights are loaded, and that labels and inputs are "
            "those that it was trained with"
        )
    return found
