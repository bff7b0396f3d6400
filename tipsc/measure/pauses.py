"""What calls take that do not follow each other at once: caches and clock have to come back.

An application that calls every 20 ms never sees the latency of calls back to back. A call that had
to wait for its core tells of other work: it is made again, a few times, after a pause as long.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from tipsc.measure.disturbance import MOST_WAITED
from tipsc.measure.loop import AGAIN
from tipsc.measure.others import Waiting
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
    # Another clock than the machine's own is not the one that a thread waits by.
    with pinned(tuple(cores)), Waiting(clock is time.perf_counter_ns) as waiting:
        for call in calls.values():
            call()
        for _ in range(rounds):
            generator.shuffle(order)
            for name in order:
                tries = [_after(every_ms, calls[name], sleep, clock, waiting)]
                while tries[-1][0] > MOST_WAITED and len(tries) <= AGAIN:
                    tries.append(_after(every_ms, calls[name], sleep, clock, waiting))
                found[name].append(min(tries)[1])
    return found


def _after(
    every_ms: float,
    call: Call,
    sleep: Callable[[float], object],
    clock: Callable[[], int],
    waiting: Waiting,
) -> tuple[float, float]:
    """Of a call after a pause: the share of it in which the thread waited, and milliseconds."""
    sleep(every_ms / 1e3)
    waiting.begin()
    start = clock()
    call()
    elapsed = clock() - start
    return (waiting.nanoseconds() or 0) / max(elapsed, 1), elapsed / 1e6
