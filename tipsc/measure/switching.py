"""What it costs to change the path: the first call of one right after another."""

from __future__ import annotations

import random
from collections.abc import Mapping
from statistics import median

from tipsc.measure.loop import Call, Clock

MOST_PATHS = 12  # of which all pairs are tried
WARM_CALLS = 2  # of the path before, so that caches and clocks are its own


def switch_matrix(
    calls: Mapping[str, Call], rounds: int, seed: int, clock: Clock
) -> dict[str, dict[str, float]]:
    """Median milliseconds of the first call of a path after another: ``found[before][after]``.

    The diagonal is the path after itself: what a switch is compared with. All pairs are tried in
    a new random order in each round. With more than :data:`MOST_PATHS` paths, evenly spaced ones.
    """
    names = list(calls)
    step = max(len(names) / MOST_PATHS, 1.0)
    chosen = [names[int(place * step)] for place in range(min(len(names), MOST_PATHS))]
    pairs = [(before, after) for before in chosen for after in chosen]
    times: dict[tuple[str, str], list[int]] = {pair: [] for pair in pairs}
    generator = random.Random(seed)
    for _ in range(rounds):
        generator.shuffle(pairs)
        for before, after in pairs:
            for _ in range(WARM_CALLS):
                calls[before]()
            begin = clock()
            calls[after]()
            times[before, after].append(clock() - begin)
    return {
        before: {after: median(times[before, after]) / 1e6 for after in chosen} for before in chosen
    }
