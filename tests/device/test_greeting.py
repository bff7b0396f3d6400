"""What an agent says of its device before any job: on a Jetson, what only a Jetson tells."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tipsc.backends import BACKENDS
from tipsc.device import agent
from tipsc.device.client import connect
from tipsc.measure.jetson import parse_jetpack, parse_power_mode


def test_the_greeting_says_what_the_device_is(local: str) -> None:
    with connect(local) as device:
        told = device.capabilities
    assert {
        "architecture", "cores", "memory_mib", "python", "backends", "l4t", "jetpack", "sm",
        "power_mode", "clocks_mhz", "governor", "thermal_zones_mc",
    } <= told.keys()  # fmt: skip
    assert told["backends"]["numpy"]
    assert told["backends"].keys() <= {"numpy", *(n for b in BACKENDS.values() for n in b.packages)}


def test_a_backend_names_the_packages_that_a_device_is_asked_for(
    local: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up = replace(BACKENDS["onnxruntime"], package="no-such-package", stands_in="pytest")
    monkeypatch.setitem(BACKENDS, "made up", made_up)
    with connect(local) as device:
        told = device.capabilities["backends"]
    assert "pytest" in told and "no-such-package" not in told


@pytest.mark.parametrize("packages", ["numpy", ["a/b"], [1], ["x" * 81], ["numpy"] * 101])
def test_an_agent_takes_names_of_packages_only(packages: object) -> None:
    hello = {"version": agent.VERSION, "packages": packages}
    with pytest.raises(agent.Refused, match="package"):
        agent.Agent.hello(object.__new__(agent.Agent), hello)


@pytest.fixture
def orin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files as on an Orin Nano; their texts are those of tests/profile/test_jetson.py."""
    for name, text in {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic\n",
        "proc/device-tree/compatible": "nvidia,p3768-0000+p3767-0005\0nvidia,tegra234\0",
        "var/lib/dpkg/status": "Package: nvidia-jetpack-dev\nVersion: 1\n\n"
        "Package: nvidia-jetpack\nStatus: install ok installed\nVersion: 6.2+b77\n",
        "bin/nvpmodel": "#!/bin/sh\nprintf 'NV Power Mode: 15W\\n0\\n'\n",
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "bin/nvpmodel").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return tmp_path


def test_a_jetson_tells_its_release_mode_and_gpu(orin: Path) -> None:
    told = agent.jetson(str(orin))
    assert told["l4t"].startswith("# R36")
    assert (told["jetpack"], told["power_mode"], told["sm"]) == ("6.2+b77", "15W", "8.7")
    # The agent is one file and reads for itself: it must read as the jobs do.
    assert told["jetpack"] == parse_jetpack((orin / "var/lib/dpkg/status").read_text())
    said = subprocess.run([orin / "bin/nvpmodel"], capture_output=True, text=True, check=True)
    assert told["power_mode"] == parse_power_mode(said.stdout).name


@pytest.mark.parametrize("name", ["proc/device-tree/compatible", "var/lib/dpkg/status"])
def test_what_it_does_not_tell_is_left_open(orin: Path, name: str) -> None:
    (orin / name).write_bytes(b"\xff\0nothing known")
    (orin / "bin/nvpmodel").write_text("#!/bin/sh\nexit 1\n")
    told = agent.jetson(str(orin))
    assert told["power_mode"] is None
    assert (told["jetpack"], told["sm"]).count(None) == 1


def test_another_machine_is_not_asked(orin: Path) -> None:
    (orin / "etc/nv_tegra_release").unlink()
    assert set(agent.jetson(str(orin)).values()) == {None}
