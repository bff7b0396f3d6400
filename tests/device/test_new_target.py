"""Target files from what devices say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipsc.cli import main
from tipsc.device.client import connect
from tipsc.device.info import lines_of, read_info
from tipsc.device.new_target import target_text, write_target
from tipsc.errors import DeviceError, DeviceJobError, UsageError
from tipsc.project.target import load_target

# Names of boards as their device trees give them, in public reports.
ORIN_NANO = "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super"
RASPBERRY = "Raspberry Pi 5 Model B Rev 1.0"


@pytest.mark.parametrize(
    ("board", "package", "base"),
    [
        (ORIN_NANO, "tensorrt", "jetson-orin-nano"),
        (RASPBERRY, "ai-edge-litert", "raspberry-pi-5"),
        (RASPBERRY, "onnxruntime", "host"),  # the target of that name has another backend
        (None, "tensorrt", "jetson"),
        ("Some Board", "ai-edge-litert", "mobile-cpu"),
    ],
)
def test_it_extends_the_shipped_target_that_is_called_like_the_board(
    board: str | None, package: str, base: str, tmp_path: Path
) -> None:
    info = {"board": board, "backends": {package: "1"}, "cores": [{}] * 6, "power_mode": "15W"}
    target = write_target("bench-7", info, tmp_path / "new.yaml", None)
    assert f"extends: {base}\n" in (tmp_path / "new.yaml").read_text()
    assert target == load_target(tmp_path / "new.yaml")
    assert target.measure == load_target(base).measure
    assert target.description == f"{board or 'a device'}, 6 cores, power mode 15W"
    with pytest.raises(UsageError, match="such a file already"):
        write_target("bench-7", info, tmp_path / "new.yaml", None)


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text())
def test_whatever_a_device_says_the_file_is_a_target(board: str, cpu: str) -> None:
    import tempfile

    info = {"board": board, "cpu": cpu, "backends": {"onnxruntime": cpu}, "power_mode": board}
    with tempfile.TemporaryDirectory() as folder:
        assert write_target("a", info, Path(folder) / "a.yaml", None).backend == "onnxruntime"


def test_a_device_without_a_backend_is_told() -> None:
    with pytest.raises(DeviceError, match=r"no backend is installed there.*numpy"):
        target_text("a", {"url": "local", "backends": {"numpy": "2"}})


def test_from_a_device_over_its_link(
    local: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    with pytest.raises(SystemExit) as end:
        main(["targets", "new", "mine", "--from-device", local, "--output", str(file),
              "--format", "json"])  # fmt: skip
    assert end.value.code == 0
    document = json.loads(capfd.readouterr().out)
    assert document["target"] == load_target(file).model_dump(mode="json")
    with connect(local) as device:
        info = read_info(device)
    assert info["power_mode"] is None
    assert len(info["cores"]) >= 1
    assert "power_mode            unknown" in lines_of(info)


def test_an_old_python_can_say_what_the_device_is(root: Path, tmp_path: Path) -> None:
    """As JetPack 5 has it. Running a backend needs 3.10, and says so."""
    installed = sorted(Path("~/.pyenv/versions").expanduser().glob("3.8.*/bin/python3"))
    python = str(installed[0]) if installed else shutil.which("python3.8")
    if python is None:
        pytest.skip("no Python 3.8 is here")
    with connect(f"local?python={python}&root={root}") as device:
        info = read_info(device)
        assert info["python"].startswith("3.8.")
        assert info["memory_total_mib"] > 0
        assert write_target("old", info, tmp_path / "old.yaml", "tensorrt").backend == "tensorrt"
        assert device.run("selftest", {"how": "print"}).result == "done"
        with pytest.raises(DeviceJobError):
            device.run("bench", {})
