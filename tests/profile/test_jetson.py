"""What Jetsons print. Origins of the texts stand beside them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipsc.measure.facts import read_facts
from tipsc.measure.jetson import (
    UNKNOWN,
    PowerMode,
    TegraStats,
    parse_jetpack,
    parse_l4t,
    parse_power_mode,
    parse_tegrastats,
    read_gpu_clocks,
    read_ina3221,
    read_thermal_zones,
)

# An Orin Nano, reported in https://github.com/rbonghi/jetson_stats/issues/624
ORIN_NANO = (
    "05-15-2025 18:30:28 RAM 6982/7620MB (lfb 5x1MB) SWAP 2640/16384MB (cached 202MB) CPU "
    "[97%@1984,95%@1984,95%@1984,91%@1984,88%@1984,93%@247] EMC_FREQ 18%@3199 GR3D_FREQ 84%@[713] "
    "NVENC 1%@115 NVDEC 40%@115 NVJPG off NVJPG1 off VIC 31%@115 OFA off NVDLA0 off PVA0_FREQ off "
    "APE 174 cv0@63.031C cpu@65.562C soc2@64.156C soc0@63.031C cv1@62.937C gpu@63.5C tj@65.562C "
    "soc1@64.718C cv2@60.875C VDD_IN 17946mW/15710mW VDD_CPU_GPU_CV 8896mW/7585mW "
    "VDD_SOC 3923mW/3515mW"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # forms of the output that public repositories quote from Orins
        ("NV Power Mode: MAXN\n0\n", PowerMode("MAXN", 0)),
        ("NV Power Mode: 15W\n", PowerMode("15W")),
        (
            "NVPM VERB: Config file: /etc/nvpmodel.conf\nNV Fan Mode:quiet\n"
            "NVPM VERB: Current mode: NV Power Mode: MODE_15W_6CORE\n2\n"
            "NVPM VERB: PARAM CPU_ONLINE: ARG CORE_0: REAL_VAL: 1 CONF_VAL: 1\n",
            PowerMode("MODE_15W_6CORE", 2),
        ),
        # made up: what is not known
        ("nvpmodel: command not found", PowerMode(UNKNOWN)),
        ("NV Power Mode:\n", PowerMode(UNKNOWN)),
        ("", PowerMode(UNKNOWN)),
    ],
)
def test_power_mode(text: str, expected: PowerMode) -> None:
    assert parse_power_mode(text) == expected


def test_tegrastats_of_an_orin_nano() -> None:
    found = parse_tegrastats(ORIN_NANO)
    assert (found.ram_used_mb, found.ram_total_mb) == (6982, 7620)
    assert (found.gpu_percent, found.gpu_mhz) == (84, 713)
    assert found.cpu_mhz == [1984] * 5 + [247]
    assert len(found.celsius) == 9
    assert found.celsius["tj"] == 65.562
    assert found.milliwatts == {"VDD_IN": 17946, "VDD_CPU_GPU_CV": 8896, "VDD_SOC": 3923}
    assert found.input_milliwatts == 17946


def test_rails_of_parts_are_not_taken_for_the_whole() -> None:
    # An AGX Orin has these three, as https://github.com/rbonghi/jetson_stats sums them up.
    line = "VDD_GPU_SOC 3187mW/3187mW VDD_CPU_CV 398mW/398mW VIN_SYS_5V0 4031mW/4031mW"
    found = parse_tegrastats(line)
    assert len(found.milliwatts) == 3
    assert found.input_milliwatts is None


def test_sensors_that_are_off_are_left_out() -> None:  # made up, after the line above
    found = parse_tegrastats("CPU [off,3%@729] cv0@-256C cpu@40.5C GR3D_FREQ 0%")
    assert found.celsius == {"cpu": 40.5}
    assert found.cpu_mhz == [729]
    assert found.gpu_mhz is None
    assert found.input_milliwatts is None


@given(st.one_of(st.text(), st.lists(st.sampled_from(ORIN_NANO.split())).map(" ".join)))
def test_unknown_text_is_never_an_error(text: str) -> None:
    assert isinstance(parse_tegrastats(text), TegraStats)
    assert isinstance(parse_power_mode(text), PowerMode)


def test_thermal_zones_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    # Files as https://docs.kernel.org/driver-api/thermal/sysfs-api.html says.
    for index, (name, value) in enumerate(
        [("cpu-thermal", "52062"), ("cv0-thermal", "-256000"), ("gpu-thermal", "hot")]
    ):
        zone = tmp_path / f"thermal_zone{index}"
        zone.mkdir()
        (zone / "type").write_text(name + "\n")
        (zone / "temp").write_text(value + "\n")
    (tmp_path / "thermal_zone9").mkdir()
    assert read_thermal_zones(tmp_path) == {"cpu-thermal": 52.062}
    assert read_thermal_zones(tmp_path / "none") == {}


def test_ina3221_is_volts_times_amperes(tmp_path: Path) -> None:
    # Files as https://docs.kernel.org/hwmon/ina3221.html says.
    sensor = tmp_path / "1-0040" / "hwmon" / "hwmon3"
    sensor.mkdir(parents=True)
    for name, text in {
        "in1_label": "VDD_IN", "in1_input": "5016", "curr1_input": "1200",
        "in2_label": "VDD_SOC", "in2_input": "5000",
        "in7_label": "sum of shunt voltages", "in7_input": "40", "curr7_input": "1",
    }.items():  # fmt: skip
        (sensor / name).write_text(text + "\n")
    assert read_ina3221(tmp_path) == {"VDD_IN": pytest.approx(6019.2)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # as on an Orin Nano, https://github.com/dusty-nv/jetson-containers/issues/883 and others
        (
            "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
            "DATE: Wed Jan  8 01:49:37 UTC 2025\n",
            "36.4.3",
        ),
        ("# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref", "32.7.1"),
        # made up
        ("R36", None),
        ("", None),
    ],
)
def test_the_release_of_the_system(text: str, expected: str | None) -> None:
    assert parse_l4t(text) == expected


def test_the_package_of_jetpack() -> None:  # in the form of dpkg's status file
    other = "Package: nvidia-jetpack-dev\nStatus: install ok installed\nVersion: 1\n\n"
    own = "Package: nvidia-jetpack\nStatus: install ok installed\nVersion: 6.2+b77\n"
    assert parse_jetpack(other + own) == "6.2+b77"
    assert parse_jetpack(other) is None


@pytest.mark.parametrize(
    "name",
    # on Orins, on Xaviers, and on a Thor (https://github.com/rbonghi/jetson_stats/issues/885)
    ["17000000.gpu", "17000000.gv11b", "gpu-gpc-0"],
)
def test_clocks_of_the_gpu(name: str, tmp_path: Path) -> None:
    # Files as https://docs.kernel.org/admin-guide/abi-testing.html says.
    for folder, hertz in (("13e10000.host1x", 1), ("gpu-nvd-0", 2), (name, 1_300_500_000)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "cur_freq").write_text(f"{hertz}\n")
        (tmp_path / folder / "max_freq").write_text(f"{hertz}\n")
    assert read_gpu_clocks(tmp_path) == {"current_mhz": 1300.5, "max_mhz": 1300.5}
    assert read_gpu_clocks(tmp_path / "none") == {}


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("printf 'NV Power Mode: MODE_15W_6CORE\\n2\\n'", "MODE_15W_6CORE"),
        ("echo 'NVPM ERROR: failed to read' >&2; exit 1", None),
        ("head -c 10000 /dev/urandom", None),
    ],
)
def test_the_power_mode_is_asked_of_the_system(
    program: str, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "nvpmodel"
    command.write_text(f"#!/bin/sh\n{program}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert read_facts()["power_mode"] == expected
