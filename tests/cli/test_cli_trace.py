"""tipsc trace: a real engine's calls, logged, summed up and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tipsc.runtime import CallLog, Engine, Governor


@pytest.fixture
def calls(built_engine: Path, tmp_path: Path) -> Path:
    file = tmp_path / "calls.jsonl"
    with CallLog(file) as log, Engine.open(built_engine) as engine:
        spec = engine.manifest.signature.inputs[0]
        governor = Governor(engine, on_call=log.of("tiny"))
        for _ in range(30):
            governor.run(np.zeros(spec.shape, spec.dtype), budget_ms=10_000)
    return file


def test_a_log_is_summed_up(call: Any, calls: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = call("trace", calls, "--html", page, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["trace"], found["html"], found["calls"]) == (str(calls), str(page), 30)
    assert found["seconds"] > 0 and not found["cut_short"]
    (engine,) = found["engines"]
    assert (engine["engine"], engine["calls"], engine["in_time"]) == ("tiny", 30, 1.0)
    assert sum(path["calls"] for path in engine["paths"]) == 30
    assert set(engine["paths"][0]) == {
        "path", "calls", "in_time", "p50_ms", "p95_ms", "longest_ms", "error",
    }  # fmt: skip
    assert engine["slowdown"]["median"] <= engine["slowdown"]["largest"]
    assert "<h2>Engine tiny</h2>" in page.read_text()


def test_people_get_a_table(call: Any, calls: Path) -> None:
    done = call("trace", calls)
    assert done.returncode == 0 and done.stderr == ""
    assert "engine tiny" in done.stdout and "100.0 % in time" in done.stdout
    assert "30 calls in" in done.stdout


def test_a_log_that_was_cut_short_is_said(call: Any, calls: Path) -> None:
    calls.write_bytes(calls.read_bytes()[:-5])
    done = call("trace", calls)
    assert done.returncode == 0
    assert "29 calls in" in done.stdout and "the last line is not whole" in done.stderr


def test_what_is_no_log_is_one_sentence(call: Any, calls: Path) -> None:
    calls.write_text("{}\n")
    done = call("trace", calls)
    assert done.returncode == 2 and done.stdout == ""
    assert "line 1: this is no call of a governor: it has no unix_s" in done.stderr
    assert len(done.stderr.splitlines()) == 1
