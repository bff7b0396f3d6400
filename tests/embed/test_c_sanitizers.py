"""libtipsc under sanitizers: many threads, the governor's vectors, a short run of fuzzers."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from building import EMBED, built, missing_tools, run
from library import runtime_of_package

VECTORS = Path(__file__).parents[1] / "runtime" / "governor_vectors.json"


def with_sanitizer(name: str, folder: Path, *options: str) -> Path:
    """embed/ built with a sanitizer, or skipped where the compiler has none."""
    missing = missing_tools("cmake", "cc")
    if missing:
        pytest.skip(f"no {missing}: libtipsc is not built")
    (folder / "probe.c").write_text("int main(void) { return 0; }")
    probe = ["cc", f"-fsanitize={name}", str(folder / "probe.c"), "-o", str(folder / "probe")]
    if subprocess.run(probe, capture_output=True).returncode:
        pytest.skip(f"the compiler has no -fsanitize={name}")
    options = ("-DTIPSC_TESTS=ON", "-DTIPSC_SHARED=OFF", f"-DTIPSC_SANITIZE={name}", *options)
    return built(folder / "build", *options)


@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_threads_under_a_sanitizer(sanitizer: str, engine_file: Path, tmp_path: Path) -> None:
    build = with_sanitizer(sanitizer, tmp_path)
    run([str(build / "vectors"), str(VECTORS)])
    command = [str(build / "soak"), str(engine_file), runtime_of_package(), "4", "3"]
    found = json.loads(run(command))
    assert found["calls"] > 10 and found["engines_opened"] > 0


def test_sixteen_threads_get_right_outputs_and_leave_nothing(
    programs: Path, engine_file: Path
) -> None:
    """Ten minutes of it are in benchmarks/embed_soak.py."""
    command = [str(programs / "soak"), str(engine_file), runtime_of_package(), "16", "5"]
    found = json.loads(run(command))
    assert found["calls"] > 100 and found["engines_opened"] > 0
    assert found["resident_at_end"] < 1.1 * found["resident_after_warm_up"]


@pytest.fixture(scope="module")
def fuzzers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    missing = missing_tools("cmake", "clang")
    if missing:
        pytest.skip(f"no {missing}: the fuzzers are not built")
    options = ("-DCMAKE_C_COMPILER=clang", "-DTIPSC_FUZZ=ON", "-DTIPSC_SHARED=OFF")
    return built(tmp_path_factory.mktemp("fuzzers"), *options, "-DTIPSC_STATIC=OFF")


@pytest.mark.parametrize("target", ["read", "graph", "tflite", "apply"])
def test_a_short_run_of_the_fuzzer_finds_nothing(
    fuzzers: Path, target: str, tmp_path: Path
) -> None:
    (tmp_path / "found").mkdir()
    corpus = [str(EMBED / "fuzz" / "corpus" / target)]
    if target == "tflite":
        corpus.append(str(Path(__file__).parents[1] / "fuzzing" / "tflite"))
    command = [str(fuzzers / f"fuzz_{target}"), "-runs=3000", "-max_len=26000", "-seed=1"]
    done = subprocess.run(
        [*command, str(tmp_path / "found"), *corpus],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    # Some children of the seeds are whole, and reach more code.
    covered = [int(found) for found in re.findall(r"cov: (\d+)", done.stderr)]
    assert covered[-1] > covered[0] > 50
