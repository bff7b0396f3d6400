"""What calls take that do not follow each other at once: caches and clock have to come back.

An application that calls every 20 ms never sees the latency of calls back to back.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from tipsc.measure.pinning import pinned

Call = Callable[[], object]
#: ms between calls, and calls of each path, that an engine's latencies are recorded with
EVERY_MS, ROUNDS = 20.0, 15


def collect_pauses(
    calls: Mapping[str, Call],
    cores: Sequence[int],
    *,
    every_ms: float = EVERY_MS,
    rounds: int = ROUNDS,
    seed: int = 0,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> dict[str, list[float]]:
    """Milliseconds of calls each of which follows a pause; the paths take turns in random order.

    Args:
        calls: by name; each is made once before anything is timed.
        cores: to pin to; none for no pinning.
        every_ms: from the end of a call to the next.
        rounds: calls of each.
    """
    found: dict[str, list[float]] = {name: [] for name in calls}
    generator, order = random.Random(seed), list(calls)
    with pinned(tuple(cores)):
        for call in calls.values():
            call()
        for _ in range(rounds):
            generator.shuffle(order)
            for name in order:
                sleep(every_ms / 1e3)
                start = clock()
                calls[name]()
                found[name].append((clock() - start) / 1e6)
    return found
