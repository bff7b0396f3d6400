"""Plans in an engine: one for each path, or one that several share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from synthetic_engine import Net, tiny_net
from test_engine_file import forged, unpacked

from tipsc.cli.finish import finish_document, finish_lines
from tipsc.engine import DevicePlan, parse_engine, read_engine, unpack, write_engine
from tipsc.engine.manifest import ESTIMATED
from tipsc.engine.plan import paths_of, plan_name, switch_names, switches
from tipsc.errors import DataError, EngineDamagedError
from tipsc.pipeline.finish import Finished


@pytest.fixture
def plans(graphs: dict[str, bytes]) -> list[DevicePlan]:
    a, b, c, d = graphs
    return [DevicePlan((a,), b"alone"), DevicePlan((d, b, c), b"three in one")]


@pytest.fixture
def finished(net: Net, graphs: dict[str, bytes], plans: list[DevicePlan], tmp_path: Path) -> Path:
    manifest = replace(net.manifest(list(graphs)), recipe={"plans": "x"}, built={"state": "x"})
    write_engine(tmp_path / "a.tipsc", manifest, net.store.blob, graphs, plans)
    return tmp_path / "a.tipsc"


def test_plans_come_back_as_they_were_and_as_files(
    finished: Path, plans: list[DevicePlan], tmp_path: Path
) -> None:
    read = read_engine(finished)
    assert [DevicePlan(plan.paths, bytes(plan.content)) for plan in read.plans] == plans
    names = {file.name for file in unpack(finished, tmp_path / "out")}
    assert {f"{plan.name}.plan" for plan in plans} == {n for n in names if n.endswith(".plan")}
    for plan in plans:
        assert (tmp_path / "out" / f"{plan.name}.plan").read_bytes() == plan.content
        assert paths_of(plan.name) == plan.paths


@pytest.mark.parametrize(
    "edit",
    [
        lambda plans: plans.pop(),
        lambda plans: plans.append(plans[0]),
        lambda plans: plans[1]["paths"].pop(),
        lambda plans: plans[1]["paths"].append(plans[0]["paths"][0]),
        lambda plans: plans[0]["paths"].append("other"),
        lambda plans: plans[0].update(paths=[]),
        lambda plans: plans[0].update(length=4),
        lambda plans: plans[0].update(length=-1),
        lambda plans: plans[0].update(path="00000000"),
    ],
)
def test_a_forged_table_of_plans_is_refused(
    finished: Path, edit: Callable[[list[Any]], object]
) -> None:
    header, bodies = unpacked(finished.read_bytes())
    assert parse_engine(forged(json.loads(json.dumps(header)), bodies)).plans
    edit(header["plans"])
    with pytest.raises(EngineDamagedError):
        parse_engine(forged(header, bodies))


def test_each_path_is_in_exactly_one_plan(
    net: Net, graphs: dict[str, bytes], plans: list[DevicePlan], tmp_path: Path
) -> None:
    manifest = replace(net.manifest(list(graphs)), built={"state": "x"})
    for wrong in ([], plans[1:], [*plans, plans[0]]):
        with pytest.raises(DataError, match="different paths"):
            write_engine(tmp_path / "b.tipsc", manifest, net.store.blob, graphs, wrong)
    assert not (tmp_path / "b.tipsc").exists()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_one_switch_at_most_is_on(count: int) -> None:
    states = [switches(place, count) for place in range(count)]
    assert all(tuple(state) == switch_names(count) for state in states)
    assert len({tuple(state.values()) for state in states}) == count
    assert all(sum(state.values()) == (place < count - 1) for place, state in enumerate(states))
    assert plan_name(["a"]) == "a"


def test_finishing_holds_estimates_against_what_was_measured(tmp_path: Path) -> None:
    manifest = tiny_net().manifest(["a", "b", "c"])
    recipe = {f"{ESTIMATED}a": "0.5", f"{ESTIMATED}c": "6"}  # they take 1, 2 and 3 ms
    built = {"state": "built", "module": "tensorrt", "version": "10", "device": "x", "plans": "3"}
    done = Finished(tmp_path, replace(manifest, recipe=recipe, built=built), (), (), None, {}, ())
    assert "estimate measured over estimated: a 2, c 0.5" in finish_lines(done)
    assert finish_document(done)["estimated_ms"] == {"a": 0.5, "c": 6.0}
