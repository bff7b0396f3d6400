from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tipsc.measure.pinning import allowed_cores
from tipsc.profile import System, pinned, read_system, select_cores

X86 = """processor\t: 0
model name\t: Some CPU @ 2.00GHz
flags\t\t: fpu sse4_1 smep avx2 avx512f fma hypervisor

processor\t: 1
model name\t: Some CPU @ 2.00GHz
flags\t\t: fpu sse4_1 smep avx2 avx512f fma hypervisor
"""

# The form of a 64-bit Arm kernel: no model name, Features instead of flags.
ARM = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes asimdhp asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0b
"""


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


def frequencies(core: int, maximum_khz: int) -> dict[str, str]:
    folder = f"sys/devices/system/cpu/cpu{core}/cpufreq"
    return {
        f"{folder}/scaling_cur_freq": "600000\n",
        f"{folder}/cpuinfo_min_freq": "400000\n",
        f"{folder}/cpuinfo_max_freq": f"{maximum_khz}\n",
        f"{folder}/scaling_governor": "ondemand\n",
    }


def test_a_pc_in_a_virtual_machine(tmp_path: Path) -> None:
    system = read_system(written(tmp_path, {"proc/cpuinfo": X86}))
    assert system.cpu == "Some CPU @ 2.00GHz"
    assert system.vector_flags == ("avx2", "avx512f", "fma", "sse4_1")
    assert [core.number for core in system.cores] == [0, 1]
    assert system.virtualised is True


def test_a_pc_without_the_hypervisor_flag_is_none(tmp_path: Path) -> None:
    cpuinfo = X86.replace(" hypervisor", "")
    assert read_system(written(tmp_path, {"proc/cpuinfo": cpuinfo})).virtualised is False


def test_a_small_arm_board(tmp_path: Path) -> None:
    files = {
        "proc/cpuinfo": ARM,
        "proc/device-tree/model": "Some Board Rev 1.0\0",
        "proc/meminfo": "MemTotal:        8192000 kB\nMemAvailable:    4096000 kB\n",
        "proc/loadavg": "0.52 0.58 0.59 1/123 4567\n",
        "proc/sys/kernel/osrelease": "6.6.31-v8\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "48850\n",
        **frequencies(0, 2_400_000),
    }
    system = read_system(written(tmp_path, files))
    assert system.cpu == "implementer 0x41 part 0xd0b"
    assert system.board == "Some Board Rev 1.0"
    assert system.vector_flags == ("asimd", "asimddp", "asimdhp")
    (core,) = system.cores
    assert (core.current_mhz, core.min_mhz, core.max_mhz) == (600.0, 400.0, 2400.0)
    assert core.governor == "ondemand"
    (zone,) = system.thermal_zones
    assert (zone.name, zone.celsius) == ("cpu-thermal", 48.85)
    assert (system.memory_total_mib, system.memory_available_mib) == (8000.0, 4000.0)
    assert system.load_1m == 0.52
    assert system.kernel == "6.6.31-v8"
    assert system.virtualised is None  # silence on Arm says nothing


def test_a_system_that_tells_nothing(tmp_path: Path) -> None:
    system = read_system(tmp_path)
    assert system.cpu is None
    assert system.cores == ()
    assert system.thermal_zones == ()
    assert system.load_1m is None
    assert system.virtualised is None


FILES = (
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/loadavg",
    "proc/device-tree/model",
    "sys/class/thermal/thermal_zone0/temp",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq",
)
STRANGE = st.one_of(
    st.binary(max_size=80),
    st.sampled_from(
        [b"processor: 99999999999", b"MemTotal: 9e999 kB", "processor\t: ²\n".encode(), b"nan"]
    ),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from(FILES), STRANGE))
def test_no_text_is_an_error_and_what_comes_out_can_be_stored(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(files.get(name, b""))
    system = read_system(tmp_path)
    assert System.model_validate_json(system.model_dump_json()) == system


def test_this_system() -> None:
    system = read_system()
    assert system.python
    assert System.model_validate_json(system.model_dump_json()) == system


def test_the_fastest_cores_are_selected(tmp_path: Path) -> None:
    cores = allowed_cores()
    if len(cores) < 2:
        pytest.skip("needs two cores to choose from")
    big, little = cores[0], cores[-1]
    files = frequencies(big, 2_400_000) | frequencies(little, 1_800_000)
    root = written(tmp_path, files)
    assert select_cores("fastest", 1, root) == (big,)
    assert select_cores("fastest", 2, root)[0] == big


def test_among_equal_cores_the_last_is_selected(tmp_path: Path) -> None:
    assert select_cores("fastest", 1, tmp_path) == allowed_cores()[-1:]


def test_policies_that_name_cores_or_none() -> None:
    assert select_cores("none", 1) == ()
    assert select_cores((3, 5), 1) == (3, 5)


def test_a_core_that_does_not_exist_pins_nothing() -> None:
    before = allowed_cores()
    with pinned((4000,)) as held:
        assert held == ()
    assert allowed_cores() == before


def test_an_error_inside_frees_the_thread() -> None:
    before = allowed_cores()
    with pytest.raises(RuntimeError), pinned(before[:1]):
        raise RuntimeError
    assert allowed_cores() == before
