"""tipsc report: a real engine against its paths as models of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from conftest import run_tipsc


@pytest.fixture(scope="module")
def said(built_engine):
    done = run_tipsc("report", built_engine, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_both_are_built_and_measured(said, built_engine):
    (found,) = said["engines"]
    separate = found["separate"]
    assert len(separate["paths"]) == len(found["paths"]) == 4
    assert found["file_bytes"] == built_engine.stat().st_size
    for path in separate["paths"]:
        assert 0.5 < path["engine_ms"] / path["alone_ms"] < 2.0
    # Each has a graph, a manifest and its weights; together they hold weights several times.
    assert sum(path["file_bytes"] for path in separate["paths"]) > found["file_bytes"]
    assert separate["separate_memory"]["total_mib"] > 0


def test_a_path_alone_has_its_weights_and_gives_the_engine_s_outputs(built_engine, tmp_path):
    import numpy as np

    from tipsc.engine import read_engine
    from tipsc.pipeline.separate import write_alone
    from tipsc.runtime import Engine

    whole = read_engine(built_engine)
    x = np.random.default_rng(0).standard_normal((1, 1, 8, 8)).astype(np.float32)
    with Engine.open(built_engine) as engine:
        for path in engine.paths:
            file = tmp_path / f"{path.id}.tipsc"
            write_alone(whole, path.id, file)
            single = read_engine(file)
            own = path.shared_bytes + path.private_bytes
            assert own <= len(single.weights) <= own + 64 * 40  # of tensors, each aligned
            with Engine.open(file) as alone:
                np.testing.assert_allclose(
                    alone.run(x, path=path.id), engine.run(x, path=path), rtol=1e-5, atol=1e-6
                )


def test_the_page_is_written_in_either_form_and_language(call, built_engine, tmp_path):
    html, markdown = tmp_path / "page.html", tmp_path / "page.md"
    done = call("report", built_engine, "--decision", html, "--no-measure", "--language", "ja")
    assert done.returncode == 0, done.stderr
    assert html.read_text().startswith("<!DOCTYPE html>") and "未測定" in html.read_text()
    done = call("report", built_engine, built_engine, "--decision", markdown, "--no-measure")
    assert done.returncode == 0 and markdown.read_text().count("## tiny for host") == 2
    refused = call("report", built_engine, "--decision", tmp_path / "page.pdf")
    assert refused.returncode == 2 and ".html or .md" in refused.stderr


def test_the_shadow_run_of_the_plan_runs_as_it_stands_there(built_engine, tmp_path):
    import numpy as np

    from tipsc.report.decision import facts_of
    from tipsc.report.decision.page import shadow_run

    shutil.copy(built_engine, tmp_path)
    np.save(tmp_path / "RECORDED.npy", np.zeros((7, 1, 8, 8), np.float32))
    facts = facts_of(tmp_path / built_engine.name, lambda *_: None, measured=False)
    lines = "\n".join(shadow_run(facts))
    lines = lines.replace("python -", f"{sys.executable} -", 1)
    lines = lines.replace("tipsc trace", f"{sys.executable} -m tipsc trace")
    done = subprocess.run(
        ["bash", "-ec", lines], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len((tmp_path / "calls.jsonl").read_text().splitlines()) == 7
    assert (tmp_path / "calls.html").read_text().startswith("<!DOCTYPE html>")
