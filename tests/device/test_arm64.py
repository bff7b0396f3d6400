"""An aarch64 device behind a real sshd: its processor is emulated, all else is as on a board.

Correctness only: what an emulator takes says nothing about a device. ``make arm64`` prepares the
userland and runs this; without it the tests are skipped.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from test_device_build import digits

from tipsc.backends import runtime_of
from tipsc.device import stream
from tipsc.device.client import connect
from tipsc.device.info import read_info
from tipsc.device.measuring import Remote
from tipsc.device.new_target import target_text
from tipsc.engine import read_engine
from tipsc.errors import DeviceCrashError, MissingExtraError
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.engine import VERIFIED
from tipsc.pipeline.profile import FILE as PROFILE
from tipsc.profile import Profile
from tipsc.project.target import load_target
from tipsc.runtime import Engine

PYTHON = Path(os.environ.get("TIPSC_ARM64", Path(__file__).parents[2] / ".arm64")) / "python3"
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="no emulated userland: make arm64 prepares one"
)
#: other kernels round otherwise; outputs here are of the order of 1
TOLERANCE = 1e-4


@pytest.fixture
def arm64(ssh_port: int, root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # An interpreter under emulation starts in seconds, on a busy machine in minutes.
    monkeypatch.setattr(stream, "ANSWER_S", 1200.0)
    return f"ssh://127.0.0.1:{ssh_port}?python={PYTHON}&root={root}"


def test_engines_compute_there_what_they_compute_here(
    arm64: str, root: Path, engine_file: Path, tmp_path: Path
) -> None:
    files = {"onnxruntime": engine_file}
    try:
        runtime_of("litert")
    except MissingExtraError:
        pass
    else:
        files["litert"] = _tflite(tmp_path / "two.tipsc")
    with connect(arm64) as connection:
        info = read_info(connection)
        assert info["architecture"] == "aarch64"
        assert "onnxruntime" in info["backends"]
        assert "backend: " not in target_text("emulated", info)  # which its base has
        device = Remote(connection)
        for file in files.values():
            manifest = read_engine(file).manifest
            shape = manifest.signature.inputs[0].shape[1:]
            x = np.random.default_rng(0).standard_normal((2, *shape)).astype(np.float32)
            ids = [path.id for path in manifest.paths]
            with (
                Engine.open(file) as here,
                device.opened(file, load_target("host"), ids, [x]) as run,
            ):
                for path in ids:
                    for row in x:
                        np.testing.assert_allclose(
                            run([row[None]], path)[0],
                            here.run(row[None], path=path),
                            atol=TOLERANCE,
                        )
        with pytest.raises(DeviceCrashError):
            connection.run("selftest", {"how": "crash"})
        assert connection.run("selftest", {"how": "nothing"}).result == "done"
        connection.clean()
    assert not root.exists()


def test_a_build_on_it_equals_a_local_one(arm64: str, root: Path, tmp_path: Path) -> None:
    folder = digits(tmp_path / "digits")
    here = Pipeline(folder, output=tmp_path / "here.tipsc")
    here.run()
    with connect(arm64) as connection:
        there = Pipeline(folder, output=tmp_path / "there.tipsc", device=Remote(connection))
        there.run()
        profile = Profile.load(there.profile().folder / PROFILE)
        record = json.loads((there.engine().folder / VERIFIED).read_bytes())
        connection.clean()
    assert not root.exists()
    assert profile.system.architecture == "aarch64"
    assert {path.id for path in profile.paths} == {
        path.id for path in Profile.load(here.profile().folder / PROFILE).paths
    }
    verified = record["differences"]
    locally = json.loads((here.engine().folder / VERIFIED).read_bytes())["differences"]
    assert verified  # by what was computed there; which paths are shipped, its times decide
    for path in verified.keys() & locally.keys():
        assert verified[path]["quality"] == locally[path]["quality"]
    entries = {path.id: path for path in read_engine(tmp_path / "there.tipsc").manifest.paths}
    assert all(entry.latency is not None for entry in entries.values())


def _tflite(file: Path) -> Path:
    sys.path.insert(0, str(Path(__file__).parents[1] / "compile"))
    from plain_tflite import engine_of, two_widths

    from tipsc.compile.tflite.merge import merge

    models = two_widths()
    return engine_of(file, merge(models).model, list(models))
