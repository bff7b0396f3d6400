"""The self-test's report: one file, with nothing private in it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_engine import Net, tiny_net

from tipsc.backends.tensorrt import api
from tipsc.cli import main
from tipsc.engine import write_engine


def selftest(url: str, engine: Path, file: Path) -> tuple[int, dict[str, dict[str, object]]]:
    with pytest.raises(SystemExit) as end:
        main(["device", "selftest", url, "--engine", str(engine), "--report", str(file), "-q"])
    checks = json.loads(file.read_text())["checks"]
    return int(end.value.code or 0), {check.pop("name"): check for check in checks}


def test_on_a_device_without_a_gpu(ssh: str, engine_file: Path, tmp_path: Path) -> None:
    code, checks = selftest(ssh, engine_file, tmp_path / "report.json")
    assert code == 0
    status = {name: check["status"] for name, check in checks.items()}
    assert status == {
        "link": "ok", "failures": "ok", "facts": "ok", "sensors": status["sensors"],
        "tensorrt": "ok" if api.installed() else "absent", "cuda": "absent", "plans": "absent",
        "bench": "ok",
    }  # fmt: skip
    assert "no CUDA device is here" in str(checks["cuda"]["found"])
    bench = checks["bench"]["found"]
    assert isinstance(bench, dict)
    assert len(bench["latency"]) == 4
    text = (tmp_path / "report.json").read_text()
    assert "127.0.0.1" not in text
    assert str(tmp_path) not in text


def test_an_engine_that_cannot_be_finished_there_stays_untouched(
    local: str, tmp_path: Path
) -> None:
    net: Net = tiny_net()
    graphs, file = net.paths(1), tmp_path / "jetson.tipsc"
    manifest = replace(
        net.manifest(list(graphs)), target="jetson", backend="tensorrt", recipe={"plans": "one"}
    )
    write_engine(file, manifest, net.store.blob, graphs)
    before = file.read_bytes()
    code, checks = selftest(local, file, tmp_path / "report.json")
    assert code == 0
    assert checks["plans"]["status"] == "absent"
    assert checks["bench"]["found"] == "no plans to run"
    assert file.read_bytes() == before


def read(*files: Path | str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "tipsc", "device", "read", *map(str, files)],
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def test_reports_are_read_side_by_side(local: str, engine_file: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    selftest(local, engine_file, first)
    checks = json.loads(first.read_text())
    checks["checks"][-1] = {"name": "bench", "status": "failed", "found": "a \x1b[2Jtale [bold]"}
    checks["checks"][2]["found"]["board"] = "Orin [red]"
    second.write_text(json.dumps(checks))
    code, text = read(first, second)
    assert code == 0
    assert "Orin [red]" in text, text
    assert "2, bench: a \\x1b[2Jtale [bold]" in text
    (row,) = (line for line in text.splitlines() if line.split()[:2] == ["2", "Orin"])
    assert row.split()[-1] == "failed"
    latencies = json.loads(first.read_text())["checks"][-1]["found"]["latency"]
    for path, found in latencies.items():
        (row,) = (line for line in text.splitlines() if line.strip().startswith(path))
        assert row.split()[1:] == [f"{found['p50_ms']:.4g}"]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"tipsc": "0.1", "taken": "today", "checks": [{"name": "link"}]}',
     '{"tipsc": "0.1", "taken": "today", "checks": [{"name": "a", "status": "fine", "found": 1}]}'],
)  # fmt: skip
def test_what_is_no_report_is_refused_in_one_sentence(text: str, tmp_path: Path) -> None:
    file = tmp_path / "no.json"
    file.write_text(text)
    code, said = read(file)
    assert code == 2
    (line,) = said.splitlines()
    assert "this is no report of a self-test" in line
    assert "tipsc device selftest URL --report FILE" in line


@pytest.mark.parametrize("found", [None, 3, "x", [1], {"latency": 3}, {"latency": {"a": {}}}])
def test_a_report_with_other_facts_than_expected_is_shown_all_the_same(
    found: object, tmp_path: Path
) -> None:
    file = tmp_path / "odd.json"
    checks = [{"name": n, "status": "ok", "found": found} for n in ("facts", "bench", "tensorrt")]
    file.write_text(json.dumps({"tipsc": "9", "taken": "", "checks": checks}))
    assert read(file)[0] == 0
