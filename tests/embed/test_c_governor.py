"""The governor in C decides as the one in Python."""

from __future__ import annotations

import ctypes as c
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from building import run
from engines import with_batches
from library import CError, Choice, Demand, Engine, Governor, Library, Result, Sized
from synthetic_engine import Net

from tipsc.engine import read_engine, write_engine
from tipsc.errors import BudgetError
from tipsc.runtime import Engine as PythonEngine
from tipsc.runtime import Governor as PythonGovernor
from tipsc.runtime.rule import Mode, Reason

VECTORS = Path(__file__).parents[1] / "runtime" / "governor_vectors.json"
REASONS = list(Reason)


def test_the_rule_decides_as_the_vectors_say(programs: Path) -> None:
    assert int(run([str(programs / "vectors"), str(VECTORS)]).split()[0]) > 20


def test_a_vector_with_another_decision_is_noticed(programs: Path, tmp_path: Path) -> None:
    text = VECTORS.read_text()
    for old, new in (('"path": "p1", "reason": "most_accurate"', '"path": "p2", "reason": "held"'),
                     ('"predicted_ms": 4.0', '"predicted_ms": 4.00001')):  # fmt: skip
        (tmp_path / "other.json").write_text(text.replace(old, new, 1))
        with pytest.raises(AssertionError, match="step"):
            run([str(programs / "vectors"), str(tmp_path / "other.json")])


class Fake:
    """What a governor in Python runs: nothing."""

    def __init__(self, engine: PythonEngine) -> None:
        self.paths = engine.paths

    def run(self, x: object, *, path: object) -> object:
        return x


@pytest.fixture
def costed_file(engine_file: Path, tmp_path: Path) -> Path:
    """Its paths take 2, 4, 6, ... mJ, but for the second, which nobody measured."""
    known = read_engine(engine_file)
    energies = [None if i == 1 else 2.0 * (i + 1) for i in range(len(known.manifest.paths))]
    paths = zip(known.manifest.paths, energies, strict=True)
    manifest = replace(
        known.manifest, paths=tuple(replace(path, energy_mj=mj) for path, mj in paths)
    )
    graphs = {path.id: known.graph(path.id) for path in known.manifest.paths}
    write_engine(tmp_path / "costed.tipsc", manifest, known.weights, graphs)
    return tmp_path / "costed.tipsc"


@pytest.fixture
def costed(library: Library, costed_file: Path) -> Iterator[Engine]:
    with library.open(costed_file) as engine:
        yield engine


@pytest.fixture
def engine(library: Library, engine_file: Path) -> Iterator[Engine]:
    with library.open(engine_file) as engine:
        yield engine


def by_time(rng: random.Random) -> dict[str, float]:
    return rng.choice(({"budget_ms": rng.uniform(0.5, 6)}, {"per_second": rng.uniform(150, 600)}))


def by_energy(rng: random.Random) -> dict[str, float]:
    in_time = {"budget_ms": rng.uniform(0.5, 6)} if rng.random() < 0.7 else {}
    cap = {"budget_mj": rng.uniform(2, 18)} if rng.random() < 0.6 else {}
    return in_time | ({"watts": 1.2} | cap if rng.random() < 0.5 or not cap else cap)


@pytest.mark.parametrize("demanded", [by_time, by_energy])
@pytest.mark.parametrize("options", [{}, {"hysteresis": 3, "percentile": 50}])
def test_both_decide_alike_on_a_device_that_changes(
    library: Library,
    costed_file: Path,
    image: np.ndarray,
    options: dict[str, int],
    demanded: Callable[[random.Random], dict[str, float]],
) -> None:
    rng, now, ticks = random.Random(5), [100.0], iter(())

    def clock() -> float:
        return next(ticks, now[0])

    with library.open(costed_file) as engine, PythonEngine.open(costed_file) as opened:
        found = Governor(engine, clock=clock, **options)
        known = PythonGovernor(
            Fake(opened),  # type: ignore[arg-type]
            clock=clock,
            hysteresis=options.get("hysteresis", 0),
            percentile=f"p{options.get('percentile', 95)}",
        )
        late = 0
        for call in range(400):
            slow = 1.0 if call < 100 else 1.6 if call < 200 else 1.0
            now[0] += rng.choice((0.0, 0.005, 0.05, 0.5))
            demand, takes = demanded(rng), slow * rng.uniform(0.9, 1.3) * 2.5e-3
            ends = now[0] + takes
            try:
                ticks = iter((now[0], now[0], ends))  # the decision, the start of the call, its end
                expected = known.run(image, **demand)
            except BudgetError as error:
                late += 1
                ticks = iter(())
                with pytest.raises(CError, match=r"no path (fits|takes)") as caught:
                    found.run([image], **demand)
                assert caught.value.text.split(":")[0].split(", which")[0] in str(error)
            else:
                ticks = iter((now[0], now[0], ends))
                result = found.run([image], **demand)
                assert engine.path(result.path).id.decode() == expected.path.id
                assert list(Mode)[result.mode] is expected.mode
                assert REASONS[result.reason] is expected.reason
                assert result.predicted_ms == expected.predicted_ms
                assert (result.elapsed_ms, result.gap_ms) == (expected.elapsed_ms, expected.gap_ms)
                assert bool(result.in_time) == expected.in_time
                assert result.budget_mj == expected.budget_mj
                assert same_or_none(result.energy_mj, expected.path.energy_mj)
                now[0] = ends
            assert found.slowdown() == known.slowdown
            if call % 20 == 0:
                ticks = iter(())
                assert found.explain(**demand) == str(known.explain(**demand))
                assert found.pause_ms() == known.pause_ms
        assert 0 < late < 200
        found.free()


def same_or_none(number: float, known: float | None) -> bool:
    return math.isnan(number) if known is None else number == known


def test_without_an_energy_none_can_be_asked_for(engine: Engine) -> None:
    governor = Governor(engine)
    for name in ("budget_mj", "watts"):
        with pytest.raises(CError, match=f"{name}: no path of this engine has a measured") as found:
            governor.pick(**{name: 1.0})
        assert "power sensor" in found.value.fix
    governor.free()


class DemandOfBefore(Sized):
    """As an application has it that was compiled before there was an energy."""

    _fields_: ClassVar = Demand._fields_[:5]


class ResultOfBefore(Sized):
    _fields_: ClassVar = [*Result._fields_[:11], ("beyond", c.c_double)]


def test_an_application_that_was_compiled_before_runs_on(library: Library, costed: Engine) -> None:
    governor, demand, found = Governor(costed), DemandOfBefore(budget_ms=50.0), ResultOfBefore()
    assert [name for name, _ in DemandOfBefore._fields_][-1] == "path"
    found.size -= c.sizeof(c.c_double)
    found.beyond = 7.0
    library("governor_pick", governor.handle, c.byref(demand), c.byref(found))
    assert (found.path, found.mode, found.beyond) == (governor.pick(budget_ms=50.0).path, 0, 7.0)
    governor.free()


def test_calls_that_were_timed_elsewhere_teach(engine: Engine) -> None:
    governor = Governor(engine)
    for _ in range(20):
        governor.observe(1, 4.0)
    assert governor.slowdown() + governor.pause_ms() > 1.5
    for wrong in (math.nan, -1.0, math.inf):
        with pytest.raises(CError, match="no time that a call took"):
            governor.observe(1, wrong)
    governor.free()


def test_each_call_is_told(engine: Engine, image: np.ndarray) -> None:
    told: list[tuple[int, float]] = []
    governor = Governor(
        engine, run_fastest=1, on_call=lambda r: told.append((r.path, r.elapsed_ms))
    )
    results = [governor.run([image], budget_ms=ms) for ms in (1e-6, 50.0)]
    governor.free()
    assert told == [(result.path, result.elapsed_ms) for result in results]
    assert [REASONS[r.reason] for r in results] == [Reason.TOO_LATE, Reason.MOST_ACCURATE]
    assert not results[0].in_time and results[1].in_time


def test_what_cannot_be_asked_is_refused(engine: Engine, image: np.ndarray) -> None:
    governor = Governor(engine)
    for demand, match in (
        ({}, "no time budget"),
        ({"budget_ms": -1.0}, "no time budget"),
        ({"budget_ms": 1.0, "per_second": 1.0}, "held to one thing"),
        ({"per_second": math.inf}, "no rate"),
        ({"pinned": 1, "path": 9}, "knows no path 9"),
        ({"budget_mj": 1.0, "per_second": 1.0}, "held to one thing"),
        ({"watts": 1.0, "pinned": 1}, "held to one thing"),
        ({"budget_mj": -1.0}, "no energy of a call .expected millijoules above 0, got -1"),
        ({"watts": math.inf}, "no power"),
        ({"watts": 1.0, "budget_ms": -1.0}, "no time budget"),
        ({"budget_ms": 1e-9}, "no path fits a budget of 1e-09 ms: the fastest, 00000000"),
    ):
        with pytest.raises(CError, match=match):
            governor.run([image], **demand)  # type: ignore[arg-type]
    pinned = governor.run([image], pinned=1, path=2)
    assert pinned.path == 2 and pinned.budget_ms == math.inf
    assert len(governor.explain(room=20, budget_ms=9)) == 19
    governor.free()
    with pytest.raises(CError, match="no percentile 96"):
        Governor(engine, percentile=96)
    with pytest.raises(CError, match="no path of this engine takes 3 examples"):
        Governor(engine, batch=3)


@pytest.mark.parametrize("percentile", [10, 50, 95])
def test_pick_is_pythons(library: Library, tmp_path: Path, net: Net, percentile: int) -> None:
    """Also of paths without quality, and of several batches."""
    file = with_batches(tmp_path / "batches.tipsc")
    graphs = net.paths(4)
    manifest = net.manifest(list(graphs))
    paths = tuple(
        replace(p, quality=p.quality if i != 2 else None, latency=p.latency if i != 3 else None)
        for i, p in enumerate(manifest.paths)
    )
    other = tmp_path / "other.tipsc"
    write_engine(other, replace(manifest, paths=paths), net.store.blob, graphs)
    compared = 0
    for engine_file, batches in ((file, (1, 4)), (other, (1,))):
        with library.open(engine_file) as found, PythonEngine.open(engine_file) as known:
            for budget in (0.5, 1.05, 1.3, 2.5, 3.3, 100.0):
                for batch in batches:
                    choice = Choice(batch=batch, percentile=percentile, slowdown=1.1)
                    asked = {
                        "budget_ms": budget, "batch": batch, "percentile": f"p{percentile}",
                        "slowdown": 1.1,
                    }  # fmt: skip
                    try:
                        expected = known.pick(**asked)  # type: ignore[arg-type]
                    except BudgetError:
                        with pytest.raises(CError, match="no path fits"):
                            found.pick(budget, choice)
                    else:
                        assert found.ids()[found.pick(budget, choice)] == expected.id
                        compared += 1
    assert compared > 5


def test_a_governor_outlives_its_engine(library: Library, engine_file: Path) -> None:
    engine = library.open(engine_file)
    governor = Governor(engine)
    engine.library.c.tipsc_close(engine.handle)
    assert isinstance(governor.pick(budget_ms=5), Result)
    with pytest.raises(CError, match="the engine is closed") as caught:
        governor.run([np.zeros((1, 3, 16, 16), np.float32)], budget_ms=5)
    assert caught.value.code == "closed"
    governor.free()
    engine.library.c.tipsc_context_free(engine.context)
