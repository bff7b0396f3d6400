"""docs/engine-format.md is enough to read engines by, and to refuse what tipsc refuses."""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import format_reader
import onnx
import pytest
from format_faults import (
    FAULTS,
    FAULTS_OF_PLANS,
    as_tflite,
    in_graph,
    in_header,
    in_manifest,
    path,
)
from format_graphs import Refused
from synthetic_engine import Net
from test_engine_file import forged, unpacked

from tipsc.engine import DevicePlan, parse_engine, write_engine
from tipsc.errors import EngineDamagedError, EngineVersionError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fuzzing"))

import fuzz_engine


def same(data: bytes) -> format_reader.Read:
    """What the reader of the page makes of it, found to be what tipsc makes of it."""
    found, known = format_reader.read(data), parse_engine(data)
    written: dict[str, Any] = known.manifest.to_json()
    paths = [{"energy_mj": None, **path} for path in written["paths"]]  # left out if not known
    assert found.manifest == {**written, "paths": paths}
    assert [path["id"] for path in found.manifest["paths"]] == [p.id for p in known.manifest.paths]
    assert found.content_hash == known.content_hash
    assert found.weights == known.weights
    assert [(tuple(paths), content) for paths, content in found.plans] == [
        (plan.paths, bytes(plan.content)) for plan in known.plans
    ]
    if known.form == "onnx":
        ids = {path.id for path in known.manifest.paths}
        assert found.graphs == {name: known.graph(name) for name in ids}
    return found


@pytest.fixture
def finished(net: Net, graphs: dict[str, bytes], tmp_path: Path) -> bytes:
    """An engine with plans."""
    a, b, c, d = graphs
    manifest = replace(net.manifest(list(graphs)), recipe={"plans": "x"}, built={"state": "x"})
    plans = [DevicePlan((a,), b"alone"), DevicePlan((d, b, c), b"three in one")]
    write_engine(tmp_path / "finished.tipsc", manifest, net.store.blob, graphs, plans)
    return (tmp_path / "finished.tipsc").read_bytes()


@pytest.fixture
def data(engine_file: Path) -> bytes:
    return engine_file.read_bytes()


@pytest.mark.parametrize("energy_mj", [2, 0.5, None])
def test_an_energy_is_read_where_there_is_one(data: bytes, energy_mj: float | None) -> None:
    found = same(in_manifest(path(energy_mj=energy_mj))(data))
    assert [path["energy_mj"] for path in found.manifest["paths"]].count(energy_mj) in (1, 4)


def test_an_engine_of_graphs_is_read_as_tipsc_reads_it(data: bytes) -> None:
    found = same(data)
    assert found.form == "onnx"
    for name, graph in found.graphs.items():
        model = onnx.load_from_string(graph)
        inner = found.graph(name)["graph"][0]
        assert [node["op_type"][0] for node in inner["node"]] == [
            node.op_type for node in model.graph.node
        ]


def test_an_engine_without_latencies_and_with_a_silent_graph(net: Net, tmp_path: Path) -> None:
    graphs = net.paths(3)
    manifest = net.manifest(list(graphs))
    paths = tuple(replace(p, latency=None, quality=None) for p in reversed(manifest.paths))
    first = next(iter(graphs))
    silent = onnx.load_from_string(graphs[first])
    silent.graph.output[0].type.tensor_type.ClearField("shape")
    graphs[first] = silent.SerializeToString()
    file = tmp_path / "e.tipsc"
    write_engine(file, replace(manifest, paths=paths, noise="a fan"), net.store.blob, graphs)
    found = same(file.read_bytes())
    assert all(found.graph(name) for name in graphs)


def test_an_engine_with_plans(finished: bytes) -> None:
    found = same(finished)
    assert found.form == "plans" and len(found.plans) == 2


def test_an_engine_of_a_tflite(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert.schema_py_generated")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compile"))
    from plain_tflite import engine_of, two_widths

    from tipsc.compile.tflite.merge import merge

    model = merge(two_widths()).model
    found = same(engine_of(tmp_path / "e.tipsc", model, ["narrow", "wide"]).read_bytes())
    assert found.form == "tflite" and found.weights == model


def read_all(data: bytes) -> None:
    found = format_reader.read(data)
    for name in found.graphs:
        found.graph(name)


def tipsc_reads_all(data: bytes) -> None:
    engine = parse_engine(data)
    for entry in engine.manifest.paths:
        engine.graph(entry.id)


@pytest.mark.parametrize("fault", FAULTS_OF_PLANS)
def test_plans_that_tipsc_refuses_are_refused_by_the_page(finished: bytes, fault: str) -> None:
    make, reason = FAULTS_OF_PLANS[fault]
    refused_by_both(make(finished), reason)


@pytest.mark.parametrize("fault", FAULTS)
def test_what_tipsc_refuses_is_refused_by_the_page(data: bytes, fault: str) -> None:
    make, reason = FAULTS[fault]
    refused_by_both(make(data), reason)


def refused_by_both(broken: bytes, reason: str) -> None:
    with pytest.raises((EngineDamagedError, EngineVersionError)):
        tipsc_reads_all(broken)
    with pytest.raises(Refused, match=re.escape(reason)):
        read_all(broken)


def test_of_mutated_files_none_is_taken_that_tipsc_refuses(data: bytes) -> None:
    taken = 0
    for seed in range(500):
        broken = fuzz_engine.mutated(random.Random(seed), data)
        try:
            read_all(broken)
        except Refused:
            continue
        same(broken)  # which raises if tipsc refuses it, or reads anything else
        taken += 1
    assert taken > 20  # bytes that mean nothing: names, other weights


@pytest.mark.parametrize(
    "make",
    [in_header, in_manifest, in_graph],
)
def test_what_faults_are_made_with_breaks_nothing(
    data: bytes, make: Callable[..., Callable[[bytes], bytes]]
) -> None:
    untouched = make(lambda content: None)(forged(*unpacked(data)))
    read_all(untouched)
    same(untouched)
    same(as_tflite(b"1234TFL3")(data))
