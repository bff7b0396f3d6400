"""Writes governor_vectors.json: what the rule of the governor decides, for every implementation.

    python tests/runtime/make_governor_vectors.py

The file is `{"cases": [...]}`. A case has a `name`, the `paths` of an engine in its order (`id`,
`p10_ms`, `p50_ms`, `p95_ms`, `pause_ms` or null, `macs`, `quality`: null or `value` and `better`;
`energy_mj` of those that have one), the options `percentile` and `hysteresis`, the `steps`, and
`end`: the state after them. A step has an `op`:

deadline, throughput, pinned
    A decision, `gap_ms` after the last call (null: the first one, an infinite gap) for `budget_ms`,
    the period of a throughput (null: none, infinite). A pinned one says which path by `pin`. The
    decision must be of `path`, for `reason` (a name of `Reason`, in lower case), and predict
    `predicted_ms`. If `elapsed_ms` is there, the call ran, took that and is learned from; if
    `refused` is there, it was refused. Otherwise nothing follows from it.
energy
    As a deadline, for a call that may take `budget_mj` (null: no such bound) and, if `watts` is not
    null, what that leaves `since_ms` after the last call that was held to watts and ran (null: the
    first one, infinite). The decision must have the cap `cap_mj`. A call that runs is charged to
    the account first, then learned from.
observe
    A call of `path` that took `elapsed_ms` was told of, `gap_ms` after the last one.
explain
    For a deadline: `share` of calls in time of each path of the front, fastest first. If there is a
    `cap_mj`, of the front of those that take no more.

After each step the factor must be `slowdown`. In `end` are `slowdown`, `constants_ms` by gap,
`allowance` of late calls, `owed_ms`, and `left_mj` of the account, null where there is none.
Decisions must be equal; numbers to 1e-9 of their size.
Decisions depend on comparisons of doubles: compute in the order of tipsc/runtime/estimate.py and
rule.py, without fused multiply-add (-ffp-contract=off).
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tipsc.quality import Quality
from tipsc.runtime import Latency, PathEntry, Reason
from tipsc.runtime.account import Account
from tipsc.runtime.rule import Decision, Rule

FILE = Path(__file__).with_name("governor_vectors.json")


def entry(
    name: str,
    p50_ms: float,
    quality: float | None,
    *,
    spread: float = 0.1,
    pause_ms: float | None = None,
    macs: int = 0,
    better: str = "higher",
    energy_mj: float | None = None,
) -> PathEntry:
    """A path whose p95 is the share `spread` above its median."""
    return PathEntry(
        name,
        {},
        None if quality is None else Quality("quality", quality, better=better),  # type: ignore[arg-type]
        Latency(0.95 * p50_ms, p50_ms, round((1 + spread) * p50_ms, 9), pause_ms),
        macs,
        0,
        0,
        0,
        energy_mj=energy_mj,
    )


def doubling(count: int = 5, pause_ms: float | None = None, *, watts: float = 0) -> list[PathEntry]:
    """Medians of 1, 2, 4, ... ms, the slower the better; each takes so much while it runs."""
    return [
        entry(f"p{i}", 2.0**i, 0.5 + i / 10, pause_ms=pause_ms, energy_mj=watts * 2.0**i or None)
        for i in range(count)
    ]


@dataclass
class Recorder:
    """Runs a rule on a made-up device, and keeps what it decides."""

    name: str
    paths: list[PathEntry]
    percentile: str = "p95"
    hysteresis: int = 0
    seed: int = 0
    #: what a call takes: its median, to the device's time
    device: Callable[[float], float] = lambda p50_ms: p50_ms
    steps: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rule = Rule(self.paths, self.percentile, self.hysteresis)
        self.random = random.Random(self.seed)
        self.first = True
        self.since_ms = math.inf

    def slower(self, factor: float, constant_ms: float = 0.0, noise: float = 0.03) -> None:
        """From now on."""
        self.device = lambda p50_ms: (
            factor * p50_ms * (1 + noise * self.random.uniform(-1, 1)) + constant_ms
        )

    def _gap(self, gap_ms: float) -> float:
        return math.inf if self.first else gap_ms

    def deadline(self, budget_ms: float, gap_ms: float = 0.0, *, refuse: bool = False) -> None:
        gap = self._gap(gap_ms)
        self._run("deadline", self.rule.by_deadline(gap, budget_ms), refuse)

    def throughput(self, period_ms: float, gap_ms: float = 0.0, *, refuse: bool = False) -> None:
        gap = self._gap(gap_ms)
        self._run("throughput", self.rule.by_throughput(gap, period_ms), refuse)

    def energy(
        self,
        budget_mj: float = math.inf,
        watts: float | None = None,
        budget_ms: float = math.inf,
        gap_ms: float = 0.0,
        *,
        refuse: bool = False,
        together: bool = False,
    ) -> None:
        """`together`: it begins with the call before, which runs in another thread."""
        gap, cap = self._gap(gap_ms), budget_mj
        since = 0.0 if together else self.since_ms + gap_ms
        if watts is not None:
            cap = min(cap, self._account.cap_mj(since, watts))
        decision = self.rule.by_energy(gap, budget_ms, cap)
        given = {
            "budget_mj": _finite(budget_mj),
            "watts": watts,
            "since_ms": _finite(since),
            "cap_mj": _finite(cap),
        }
        refused = refuse and decision.reason in (Reason.TOO_LATE, Reason.TOO_COSTLY)
        if watts is not None and not refused:
            assert decision.path.energy_mj is not None
            self._account.spend(since, watts, decision.path.energy_mj)
            self.since_ms = 0.0
        elif not self.first:
            self.since_ms += gap_ms
        self._run("energy", decision, refuse, **given)

    @property
    def _account(self) -> Account:
        assert self.rule.account is not None
        return self.rule.account

    def pinned(self, place: int, budget_ms: float = math.inf, gap_ms: float = 0.0) -> None:
        path = self.paths[place]
        decision = self.rule.pinned(self._gap(gap_ms), path, budget_ms)
        self._run("pinned", decision, refuse=False, pin=path.id)

    def look(self, budget_ms: float, gap_ms: float = 0.0) -> None:
        """A decision that is not run."""
        self._add(_step("deadline", self.rule.by_deadline(self._gap(gap_ms), budget_ms)))

    def observe(self, place: int, elapsed_ms: float, gap_ms: float = 0.0) -> None:
        path, gap = self.paths[place], self._gap(gap_ms)
        self.rule.observe(path.id, gap, elapsed_ms)
        self.first = False
        self._add(
            {"op": "observe", "gap_ms": _finite(gap), "path": path.id, "elapsed_ms": elapsed_ms}
        )

    def explain(self, budget_ms: float, gap_ms: float = 0.0, cap_mj: float | None = None) -> None:
        gap, front, given = self._gap(gap_ms), self.rule.front, {}
        if cap_mj is not None:
            decision = self.rule.by_energy(gap, budget_ms, cap_mj)
            front, given = self.rule.front_of(decision), {"cap_mj": cap_mj}
        chances = self.rule.estimate.chances(gap, budget_ms)
        shares = {place.path.id: place.share(chances) for place in front}
        self._add(
            {"op": "explain", "gap_ms": _finite(gap), "budget_ms": budget_ms, "share": shares}
            | given
        )

    def _run(self, op: str, decision: Decision, refuse: bool, **given: Any) -> None:
        step = _step(op, decision) | given
        if refuse and decision.reason in (Reason.TOO_LATE, Reason.TOO_COSTLY):
            if decision.reason is Reason.TOO_LATE:
                self.rule.refused(decision)
            self._add(step | {"refused": True})
            return
        assert decision.path.latency is not None
        elapsed = round(self.device(decision.path.latency.p50_ms), 6)
        self.rule.learn(decision, elapsed)
        self.first = False
        self.since_ms += elapsed
        self._add(step | {"elapsed_ms": elapsed})

    def _add(self, step: dict[str, Any]) -> None:
        self.steps.append(step | {"slowdown": self.rule.estimate.factor})

    def case(self) -> dict[str, Any]:
        """As the file has it."""
        return {
            "name": self.name,
            "paths": [_path(path) for path in self.paths],
            "percentile": self.percentile,
            "hysteresis": self.hysteresis,
            "steps": self.steps,
            "end": {
                "slowdown": self.rule.estimate.factor,
                "constants_ms": self.rule.estimate.constants,
                "allowance": self.rule.allowances.of_all,
                "owed_ms": self.rule.owed_ms,
                "left_mj": None if self.rule.account is None else self.rule.account.left_mj,
            },
        }


def _finite(ms: float) -> float | None:
    return ms if math.isfinite(ms) else None


def _step(op: str, decision: Decision) -> dict[str, Any]:
    return {
        "op": op,
        "gap_ms": _finite(decision.gap_ms),
        "budget_ms": _finite(decision.budget_ms),
        "path": decision.path.id,
        "reason": decision.reason.name.lower(),
        "predicted_ms": decision.predicted_ms,
    }


def _path(path: PathEntry) -> dict[str, Any]:
    latency, quality = path.latency, path.quality
    assert latency is not None
    energy = {} if path.energy_mj is None else {"energy_mj": path.energy_mj}
    return energy | {
        "id": path.id,
        "p10_ms": latency.p10_ms,
        "p50_ms": latency.p50_ms,
        "p95_ms": latency.p95_ms,
        "pause_ms": latency.pause_ms,
        "macs": path.macs,
        "quality": None if quality is None else {"value": quality.value, "better": quality.better},
    }


def cases() -> Iterator[Recorder]:
    """All of them."""
    yield from deadlines()
    yield from nothing_fits()
    yield from allowances()
    yield from other_modes()
    yield from energies()
    yield from orders()


def deadlines() -> Iterator[Recorder]:
    it = Recorder("as profiled: the profile decides", doubling())
    for budget in (1.2, 3.0, 5.0, 9.0, 100.0, 17.5, 17.7):
        it.deadline(budget)
        it.explain(budget)
    yield it

    it = Recorder("slower by a factor, and recovers", doubling())
    for factor, calls in ((1.0, 10), (3.0, 20), (1.0, 125)):
        it.slower(factor)
        for _ in range(calls):
            it.deadline(30.0)
    it.explain(17.0)
    yield it

    it = Recorder("slower by a factor and a constant, told apart by paths", doubling(), seed=1)
    it.slower(1.7, 2.5)
    for turn in range(60):
        it.deadline((4.0, 8.0, 16.0, 30.0)[turn % 4], 20.0)
    yield it

    for pause in (None, 2.0):
        it = Recorder(f"pauses, of which the profile knows {pause}", doubling(pause_ms=pause))
        for gap, constant in ((0.4, 0.0), (4.0, 0.5), (40.0, 1.5), (400.0, 4.0), (0.4, 0.0)):
            it.slower(1.0, constant)
            for _ in range(12):
                it.deadline(20.0, gap)
            it.explain(18.5, gap)
        yield it

    it = Recorder("one stray call moves nothing", doubling())
    for _ in range(5):
        it.deadline(30.0)
    it.observe(0, 5000.0)
    for _ in range(5):
        it.deadline(18.0)
    yield it

    it = Recorder("bursts are expected", doubling(), seed=2)
    for turn in range(160):
        it.slower(1.6 if turn % 50 < 10 else 1.0)
        it.deadline(18.0)
    yield it

    it = Recorder("what was timed elsewhere, from none to far too long", doubling())
    for place, ms in ((0, 0.0), (4, 0.0), (2, 0.0), (1, 1e9), (4, 1e9), (0, 1e9), (3, 12.0)):
        it.observe(place, ms, 2.0)
        it.look(25.0)
    for _ in range(20):
        it.observe(3, 1e9)
    it.look(1e12)
    for _ in range(30):
        it.observe(3, 0.0)
    it.look(4.0)
    yield it

    it = Recorder(
        "much faster than profiled after any pause: no call takes less than nothing", doubling()
    )
    for gap, ms in ((400.0, 0.4), (40.0, 0.3), (4.0, 0.2), (0.1, 0.001), (400.0, 0.1)):
        for _ in range(6):
            it.observe(0, ms, gap)
            it.look(0.3, gap)
    for gap in (400.0, 40.0, 4.0):
        it.look(0.3, gap)
    yield it

    for percentile in ("p10", "p50"):
        it = Recorder(f"until calls were seen, {percentile} decides", doubling(), percentile)
        for budget in (15.5, 16.5, 17.5, 18.0):
            it.look(budget)
            it.deadline(budget)
        yield it


def nothing_fits() -> Iterator[Recorder]:
    it = Recorder("nothing fits and the fastest runs, until it fits again", doubling())
    it.slower(10.0)
    for _ in range(12):
        it.deadline(2.1)
    it.slower(1.0)
    for _ in range(90):
        it.deadline(2.1)
    yield it

    it = Recorder("nothing fits and calls are refused, until one fits again", doubling())
    it.slower(10.0)
    for _ in range(20):
        it.deadline(200.0, refuse=True)
    it.slower(1.0)
    for _ in range(60):
        it.deadline(3.0, refuse=True)
    yield it

    it = Recorder("refused after pauses", doubling(pause_ms=1.0))
    for _ in range(8):
        it.observe(0, 10.0, 20.0)
    it.slower(1.0, 1.0)
    for _ in range(25):
        it.deadline(4.0, 20.0, refuse=True)
    yield it

    it = Recorder("a budget between the fastest path's median and what it takes", doubling())
    for _ in range(5):
        it.deadline(1.05)
    yield it


def allowances() -> Iterator[Recorder]:
    it = Recorder("a path that is late too often rests", doubling(), seed=3)

    def tails(p50_ms: float) -> float:
        late = p50_ms > 10 and it.random.random() < 0.2
        return p50_ms * (1 + 0.02 * it.random.uniform(-1, 1)) + 20.0 * late

    it.device = tails
    for _ in range(200):
        it.deadline(19.0)
    yield it

    it = Recorder("what was saved up is spent once", doubling())
    for _ in range(210):
        it.deadline(18.0)
    it.device = lambda p50_ms: p50_ms + 2.5 * (p50_ms > 10 and len(it.steps) % 3 == 0)
    for _ in range(60):
        it.deadline(18.0)
    yield it

    it = Recorder("late whatever runs", doubling(), seed=4)
    it.device = lambda p50_ms: p50_ms + 20.0 * (it.random.random() < 0.06)
    for _ in range(150):
        it.deadline(18.0)
    yield it

    it = Recorder("a path that seems too slow is tried and fits", doubling())
    it.slower(1.0, 6.0, noise=0.0)
    for _ in range(30):
        it.deadline(7.5, 0.1)
    for _ in range(135):
        it.deadline(15.0, 0.1)
    yield it

    it = Recorder("a path that seems too slow is tried and is late", doubling())
    it.slower(7.0, noise=0.0)
    for _ in range(10):
        it.pinned(0)
    for _ in range(310):
        it.deadline(16.5)
    yield it


def other_modes() -> Iterator[Recorder]:
    it = Recorder("throughput: what is owed is paid", doubling(), seed=5)
    for turn in range(60):
        it.slower(3.0 if 15 <= turn < 25 else 1.0, noise=0.05)
        it.throughput(10.0)
    yield it

    it = Recorder("throughput: nothing keeps up", doubling())
    it.slower(20.0)
    for _ in range(12):
        it.throughput(9.0)
    it.throughput(9.0, refuse=True)
    it.slower(1.0)
    for _ in range(25):
        it.throughput(9.0, refuse=True)
    yield it

    it = Recorder("throughput: a path is tried", doubling())
    it.slower(1.0, 3.0, noise=0.0)
    for _ in range(20):
        it.throughput(5.5)
    for _ in range(125):
        it.throughput(12.0)
    yield it

    it = Recorder("pinned, with a budget and without", doubling(), seed=6)
    it.slower(1.4)
    for turn in range(24):
        if turn % 3 == 2:
            it.deadline(9.0, 0.1)
        else:
            it.pinned(turn % 5, *((8.0,) if turn % 2 else ()))
    yield it

    it = Recorder(
        "hysteresis: a better path waits, a faster one does not", doubling(), hysteresis=6
    )
    for budget, calls in ((9.0, 4), (18.0, 4), (9.0, 2), (18.0, 9), (3.0, 3), (100.0, 9)):
        for _ in range(calls):
            it.deadline(budget)
    for period, calls in ((3.0, 4), (9.0, 8)):
        for _ in range(calls):
            it.throughput(period)
    yield it

    it = Recorder("hysteresis: not for a path that rests", doubling(), hysteresis=4, seed=7)
    for turn in range(80):
        slow = turn > 30 and turn % 3 == 0
        it.device = lambda p50_ms, slow=slow: p50_ms * (4.0 if slow and p50_ms == 8 else 1.0)
        it.deadline(18.0 if turn % 11 > 6 else 9.5)
    yield it


def energies() -> Iterator[Recorder]:
    it = Recorder("energy: at most so much a call, in time and without", doubling(watts=3.0))
    for cap, budget in ((100.0, 100.0), (13.0, 100.0), (12.0, 100.0), (100.0, 5.0), (13.0, 2.5)):
        it.energy(cap, budget_ms=budget)
        it.energy(cap)
        it.explain(budget, cap_mj=cap)
    yield it

    it = Recorder("energy: nothing is as thrifty", doubling(watts=3.0))
    for _ in range(3):
        it.energy(2.9, refuse=True)
        it.energy(2.9)
    it.slower(5.0)
    for _ in range(4):
        it.energy(4.0, budget_ms=2.0)
        it.energy(4.0, budget_ms=2.0, refuse=True)
    it.slower(1.0)
    for _ in range(20):
        it.energy(4.0, budget_ms=2.0, refuse=True)
    yield it

    it = Recorder("energy: a thrifty path that is slow, one that is fast, one unknown", [
        entry("fast", 1.0, 0.5, energy_mj=20.0),
        entry("unknown", 2.0, 0.9),
        entry("slow", 3.0, 0.6, energy_mj=5.0, spread=0.02),
        entry("dull", 4.0, 0.55, energy_mj=6.0),
        entry("worse", 5.0, 0.4, energy_mj=1.0),
        entry("good", 6.0, 0.8, energy_mj=40.0),
    ])  # fmt: skip
    for cap in (0.5, 1.0, 5.0, 7.0, 25.0, 40.0):
        for budget in (1.2, 3.2, 20.0):
            it.energy(cap, budget_ms=budget)
            it.explain(budget, cap_mj=cap)
    yield it

    it = Recorder("watts: at a steady rate calls take what flows in", doubling(watts=3.0), seed=10)
    it.slower(1.0, noise=0.05)
    for turn in range(120):
        it.energy(watts=0.7 if turn < 70 else 1.8, budget_ms=30.0, gap_ms=5.0)
    yield it

    it = Recorder("watts: a burst, two at once, a pause, and a bound beside", doubling(watts=3.0))
    for turn in range(60):
        it.energy(watts=2.0, together=turn % 3 == 1)
    it.energy(watts=2.0, gap_ms=400.0)
    for _ in range(30):
        it.energy(20.0, watts=2.0, budget_ms=9.0, gap_ms=1.0)
    yield it

    it = Recorder("watts: less than the thriftiest takes", doubling(watts=3.0))
    for turn in range(250):
        it.energy(watts=0.5, gap_ms=0.5, refuse=turn % 50 < 40)
    for _ in range(30):
        it.energy(watts=6.0, gap_ms=20.0)
    yield it

    it = Recorder("energy: held, tried, at rest, among other modes", doubling(watts=3.0),
                  hysteresis=4, seed=11)  # fmt: skip
    for turn in range(60):
        slow = turn > 30 and turn % 3 == 0
        it.device = lambda p50_ms, slow=slow: p50_ms * (4.0 if slow and p50_ms == 8 else 1.0)
        it.energy(30.0 if turn % 11 > 6 else 14.0, budget_ms=18.0)
        if turn % 9 == 8:
            it.deadline(18.0)
        if turn % 13 == 12:
            it.throughput(9.0)
    it.slower(1.0, 6.0, noise=0.0)
    for _ in range(30):
        it.energy(100.0, budget_ms=7.5, gap_ms=0.1)
    for _ in range(135):
        it.energy(30.0, budget_ms=15.0, gap_ms=0.1)
    yield it

    it = Recorder("energy: a budget between the fastest path's median and what it takes",
                  doubling(watts=3.0))  # fmt: skip
    for _ in range(5):
        it.energy(9.0, budget_ms=1.05)
    yield it


def orders() -> Iterator[Recorder]:
    def all_budgets(name: str, paths: Iterable[PathEntry]) -> Recorder:
        it = Recorder(name, list(paths))
        for budget in (0.5, 1.3, 2.5, 3.5, 4.6, 9.0, 20.0):
            it.look(budget)
        it.explain(4.6)
        return it

    yield all_budgets(
        "ties: equally fast, equally good, both",
        [
            entry("slow_same", 4.0, 0.7, macs=9),
            entry("fast_better", 2.0, 0.7, macs=5),
            entry("fast_worse", 2.0, 0.6, macs=1),
            entry("b", 1.0, 0.5, macs=3),
            entry("a", 1.0, 0.5, macs=3),
            entry("fewer_macs", 1.0, 0.5, macs=2),
        ],
    )
    yield all_budgets(
        "slower and no better never runs, and teaches",
        [
            entry("p0", 1.0, 0.5),
            entry("p1", 2.0, 0.9),
            entry("p2", 3.0, 0.8),
            entry("p3", 4.0, 0.95),
        ],
    )
    yield all_budgets(
        "a lower value is better",
        [entry(f"p{i}", 1.0 + i, 9.0 - i, better="lower") for i in range(4)],
    )
    yield all_budgets(
        "without qualities the most MACs are the best",
        [entry(f"p{i}", 1.0 + i, None, macs=(5, 9, 7, 20)[i]) for i in range(4)],
    )
    yield all_budgets(
        "a measured path is better than one that is not",
        [entry("a", 1.0, None, macs=99), entry("b", 2.0, 0.1), entry("c", 3.0, None, macs=999)],
    )
    yield all_budgets(
        "a slower path is not taken to be late less often",
        [
            entry("p0", 1.0, 0.5),
            entry("p1", 2.0, 0.6, spread=1.0),
            entry("p2", 3.0, 0.7, spread=0.1),
        ],
    )
    yield all_budgets("one path", [entry("only", 2.0, 0.5)])

    chance = random.Random(8)
    medians = [round(chance.uniform(0.5, 20.0), 3) for _ in range(40)]
    it = Recorder(
        "forty paths in any order",
        [
            entry(f"p{i:02d}", ms, round(ms + chance.uniform(-2, 2), 3), macs=i,
                  spread=round(chance.uniform(0.02, 0.3), 3), pause_ms=chance.choice([None, 0.7]))
            for i, ms in enumerate(medians)
        ],
        seed=9,
    )  # fmt: skip
    for turn in range(90):
        it.slower((1.0, 1.6, 0.7)[turn // 30], 0.3, noise=0.08)
        it.deadline(round(chance.uniform(0.6, 25.0), 3), chance.choice([0.0, 5.0]))
    it.explain(10.0)
    yield it


def document() -> str:
    """The file: a line for each path and each step."""

    def lines(values: list[Any]) -> str:
        return "[\n    " + ",\n    ".join(json.dumps(value) for value in values) + "\n   ]"

    texts = []
    for case in (recorder.case() for recorder in cases()):
        rest = ", ".join(
            f'"{key}": {json.dumps(case[key])}' for key in ("percentile", "hysteresis", "end")
        )
        texts.append(
            f'  {{"name": {json.dumps(case["name"])},\n   "paths": {lines(case["paths"])},\n'
            f'   "steps": {lines(case["steps"])},\n   {rest}}}'
        )
    return '{"cases": [\n' + ",\n".join(texts) + "\n]}\n"


if __name__ == "__main__":
    FILE.write_text(document())
