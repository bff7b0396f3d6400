"""The self-test's report: one file, with nothing private in it."""

from __future__ import annotations

import json
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
