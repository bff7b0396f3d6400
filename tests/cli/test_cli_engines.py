"""run, bench, inspect, unpack, targets: what they print, and what is stable of it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hog import hog, needs_schedstat

from tipsc.engine import read_engine, write_engine
from tipsc.engine.manifest import NAMED
from tipsc.runtime import Engine


def document(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # one document and nothing else


def test_inspect_has_the_stable_fields(tipsc, built_engine):
    found = document(tipsc("inspect", built_engine, "--format", "json"))
    assert len(found["paths"]) == 4
    for path in found["paths"]:
        assert path["latency"]["p50_ms"] <= path["latency"]["p95_ms"]
        assert 0 <= path["quality"]["value"] <= 1
        assert path["bytes"]["shared"] + path["bytes"]["private"] > 0
        assert set(path) >= {"id", "options", "macs", "parameters"}
    assert found["target"] == "host"


def test_inspect_for_people_names_every_path(tipsc, built_engine):
    done = tipsc("inspect", built_engine)
    assert done.returncode == 0 and done.stderr == ""
    with Engine.open(built_engine) as engine:
        assert all(path.id in done.stdout for path in engine.paths)


def test_run_gives_the_engine_s_output(tipsc, built_engine, image_file, tmp_path):
    output = tmp_path / "out.data"  # no ending is added
    with Engine.open(built_engine) as engine:
        path = engine.paths[2].id
        expected = engine.run(np.load(image_file)[None], path=path)
    done = tipsc(
        "run", built_engine, "--input", image_file, "--path", path, "--output", output,
        "--format", "json",
    )  # fmt: skip
    found = document(done)
    assert np.array_equal(np.load(output), expected)
    assert found["path"] == path
    assert found["top"][0]["index"] == int(expected.argmax())
    assert found["latency"]["p50_ms"] > 0


def test_run_reads_named_arrays(tipsc, built_engine, tmp_path):
    np.savez(tmp_path / "two.npz", input=np.zeros((1, 1, 8, 8), np.float32), other=np.zeros(3))
    found = document(
        tipsc("run", built_engine, "--input", tmp_path / "two.npz", "--format", "json")
    )
    assert len(found["top"]) == 5


def test_run_obeys_the_budget(tipsc, built_engine):
    # The recorded p95 of the paths are 1.5, 3, 4.5 and 6 ms; the second one is the most accurate.
    picked = {}
    for budget in (1.5, 3, 100):
        found = document(
            tipsc("run", built_engine, "--random", 0, "--budget-ms", budget, "--format", "json")
        )
        picked[budget] = found["path"]
    with Engine.open(built_engine) as engine:
        assert picked[1.5] == engine.paths[0].id
        assert picked[100] == engine.pick(budget_ms=100).id


def test_run_without_a_wish_takes_the_most_accurate_path(tipsc, built_engine):
    found = document(tipsc("run", built_engine, "--random", 0, "--format", "json"))
    with Engine.open(built_engine) as engine:
        assert found["path"] == max(engine.paths, key=lambda path: path.quality.value).id


def test_bench_takes_a_path_by_its_name(tipsc, built_engine, tmp_path):
    found = read_engine(built_engine)
    path, file = found.manifest.paths[1].id, tmp_path / "named.tipsc"
    named = {**found.manifest.provenance, NAMED + path: "small"}
    graphs = {entry.id: found.graph(entry.id) for entry in found.manifest.paths}
    write_engine(file, replace(found.manifest, provenance=named), found.weights, graphs)
    done = tipsc("bench", file, "--rounds", 4, "--path", "small", "--format", "json")
    assert [row["id"] for row in document(done)["paths"]] == [path]


def test_bench_measures_the_paths_asked_for(tipsc, built_engine):
    with Engine.open(built_engine) as engine:
        ids = [path.id for path in engine.paths][:2]
    done = tipsc(
        "bench", built_engine, "--rounds", 4, "--path", ids[0], "--path", ids[1],
        "--format", "json",
    )  # fmt: skip
    found = document(done)
    assert [path["id"] for path in found["paths"]] == ids
    for path in found["paths"]:
        latency = path["latency"]
        assert 0 < latency["p10_ms"] <= latency["p50_ms"] <= latency["p95_ms"]
        assert path["ratio"] == pytest.approx(latency["p50_ms"] / path["recorded"]["p50_ms"])
    assert found["rounds"] == 4
    assert "\x1b" not in done.stderr  # no control codes where there is no terminal


def test_an_engine_s_file_and_name_have_the_same_keys_in_every_verb(tipsc, built_engine):
    for arguments in (("inspect", built_engine), ("bench", built_engine, "--rounds", 4, "--quiet")):
        found = document(tipsc(*arguments, "--format", "json"))
        assert (found["engine"], found["name"]) == (str(built_engine), "tiny")


def test_quiet_says_nothing_beside_the_result(tipsc, built_engine):
    done = tipsc("bench", built_engine, "--rounds", 4, "--quiet")
    assert done.returncode == 0 and done.stderr == "" and "p50 ms" in done.stdout


def test_unpack_gives_models_that_onnxruntime_loads(tipsc, built_engine, tmp_path):
    import onnxruntime

    found = document(tipsc("unpack", built_engine, tmp_path / "files", "--format", "json"))
    models = [file for file in found["files"] if file.endswith(".onnx")]
    assert len(models) == 4
    onnxruntime.InferenceSession(models[0])


def test_targets_lists_and_shows(tipsc):
    assert "host" in [t["name"] for t in document(tipsc("targets", "--format", "json"))["targets"]]
    assert document(tipsc("targets", "host", "--format", "json"))["measure"]["rounds"] > 0
    assert "onnxruntime" in tipsc("targets").stdout


def test_the_doctor_reports_this_installation(tipsc):
    found = document(tipsc("doctor", "--format", "json"))
    assert found["healthy"] is True
    assert {"tipsc", "onnxruntime"} <= {finding["name"] for finding in found["findings"]}


def test_a_closed_pipe_is_quiet(built_engine):
    command = f"{sys.executable} -m tipsc inspect {built_engine} --format json | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "{\n" and done.stderr == ""


def test_bench_shows_calls_with_pauses_between_them(tipsc, built_engine):
    arguments = ("bench", built_engine, "--rounds", "4", "--every", "5")
    found = json.loads(tipsc(*arguments, "--format", "json").stdout)
    assert set(found["every"]) == {path["id"] for path in found["paths"]}
    assert all(ms > 0 for times in found["every"].values() for ms in times)
    assert "p50 of calls with pauses between them" in tipsc(*arguments).stdout
    assert tipsc("bench", built_engine, "--every", "0").returncode == 2


@needs_schedstat
def test_bench_says_that_other_work_ran(tipsc, built_engine):
    with hog():
        done = tipsc("bench", built_engine, "--rounds", 8, "--wait-quiet", "0.6")
        found = document(tipsc("bench", built_engine, "--rounds", 8, "--format", "json"))
    assert "warning: other work took" in done.stdout
    assert "measuring: " in done.stdout and "measured 3 times" in done.stdout
    assert "other work took" in found["noise"]
    assert found["disturbance"]["disturbed"] > 0


def test_an_engine_that_was_measured_among_other_work_says_so(tipsc, built_engine, tmp_path):
    from dataclasses import replace

    engine = read_engine(built_engine)
    ids = [path.id for path in engine.manifest.paths]
    noisy = replace(engine.manifest, noise="other work took 43% of the core")
    file = tmp_path / "noisy.tipsc"
    write_engine(file, noisy, engine.weights, {name: engine.graph(name) for name in ids})
    said = "other work took 43% of the core"
    assert f"warning: {said}" in tipsc("inspect", file).stdout
    assert document(tipsc("inspect", file, "--format", "json"))["noise"] == said
    assert said in tipsc("run", file, "--random", 0, "--budget-ms", 1000).stderr
    assert said not in tipsc("run", file, "--random", 0).stderr  # no latency decided
    assert f"of the recorded latencies: {said}" in tipsc("bench", file, "--rounds", 4).stdout
