"""Engines in Kotlin, through JNI: outputs, the governor and errors are those of Python and C."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from engines import with_batches
from kotlin_program import Program, build_program, outputs_in_python
from library import runtime_of_package
from synthetic_engine import Net
from test_signed import write_key

from tipsc.engine import read_engine, write_engine
from tipsc.engine.delta import write_delta
from tipsc.engine.signed import sign_engine
from tipsc.runtime import Engine


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    return build_program(tmp_path_factory.mktemp("kotlin"))


@pytest.fixture
def runtime() -> str:
    return runtime_of_package()


def test_outputs_of_every_path_are_pythons(
    program: Program, engine_file: Path, runtime: str, graphs: dict[str, bytes],
    image: np.ndarray, tmp_path: Path,
) -> None:  # fmt: skip
    inputs = {name: [image] for name in graphs}
    found = program.outputs("outputs", engine_file, runtime, "", tmp_path, inputs)
    assert found == outputs_in_python(engine_file, inputs)
    assert len({outputs[0] for outputs in found.values()}) == len(graphs)


def test_several_inputs_and_outputs_types_and_batches(
    program: Program, runtime: str, tmp_path: Path
) -> None:
    file = with_batches(tmp_path / "batches.tipsc")
    rng = np.random.default_rng(2)
    inputs = {
        name: [rng.standard_normal((batch, 8), np.float32), np.arange(batch, dtype=np.int64)]
        for name, batch in (("path", 1), ("pathx4", 4))
    }
    found = program.outputs("outputs", file, runtime, "", tmp_path, inputs)
    assert found == outputs_in_python(file, inputs)
    assert [len(outputs) for outputs in found.values()] == [3, 3]


def test_the_engine_describes_itself_as_in_python(
    program: Program, engine_file: Path, runtime: str
) -> None:
    lines = program("describe", engine_file, runtime)
    with Engine.open(engine_file) as known:
        manifest = known.manifest
        start = f"[{manifest.name}, {manifest.target}, {manifest.backend}, onnx, "
        assert lines[0].startswith(start)
        assert len(lines) == 1 + 4 * len(known.paths)
        for path, about, counts, x, y in zip(
            known.paths, lines[1::4], lines[2::4], lines[3::4], lines[4::4], strict=True
        ):
            assert path.latency and path.quality
            latency = (path.latency.p10_ms, path.latency.p50_ms, path.latency.p95_ms)
            quality = f"accuracy {path.quality.value} share true"
            times = ", ".join(map(str, latency))
            assert about == f"[{path.id}, 1, {quality}, {times}, NaN, NaN]"
            assert counts.startswith(f"[{path.macs}, ")
            assert counts.endswith(f", {path.private_bytes}]")
            assert x == "[image, FLOAT32, [1, 3, 16, 16], NCHW, 3072]"
            assert "FLOAT32, [1, 10]" in y


def test_the_governor_runs_picks_learns_and_explains(
    program: Program, engine_file: Path, runtime: str
) -> None:
    """What is not printed is checked in Kotlin."""
    first, refused, *none, fallback, picked = program("governor", engine_file, runtime)
    assert all("no path of this engine has a measured energy" in line for line in none)
    assert [line.split(":")[0] for line in none] == ["USAGE", "USAGE"]
    with Engine.open(engine_file) as known:
        best = known.pick(budget_ms=10_000)
    assert (first, picked, fallback) == (best.id, best.id, "TOO_LATE")
    assert refused.startswith("BUDGET: no path fits a budget of 1e-06 ms")


def test_the_governor_keeps_an_energy_and_a_power(
    program: Program, engine_file: Path, runtime: str, tmp_path: Path
) -> None:
    known = read_engine(engine_file)
    paths = tuple(replace(p, energy_mj=2.0 * p.latency.p50_ms) for p in known.manifest.paths)
    graphs = {path.id: known.graph(path.id) for path in paths}
    file = tmp_path / "costed.tipsc"
    write_engine(file, replace(known.manifest, paths=paths), known.weights, graphs)
    cap, power, refused, lax = program("energy", file, runtime)
    assert cap == f"ENERGY {paths[1].id} Infinity 4.5 4.0"
    first, last = power.split(" ")
    assert (first, last) == (paths[-1].id, paths[0].id)
    assert refused.startswith("BUDGET: no path takes 1 mJ or less: the thriftiest, 00000000, takes")
    assert lax == "TOO_COSTLY nothing is as thrifty: the thriftiest path"


def test_errors_have_a_code_a_text_and_a_fix(
    program: Program, engine_file: Path, runtime: str
) -> None:
    lines = program("errors", engine_file, runtime)
    expected = [
        "USAGE: /nowhere/ä😀.tipsc: cannot be opened: No such file or directory | ",
        "DEVICE: ONNX Runtime cannot be loaded: /nowhere/libonnxruntime.so: ",
        "USAGE: the engine is in no direct buffer | use ByteBuffer.allocateDirect",
        "DAMAGED: ",
        "USAGE: a text with a zero character in it: a?b",
        "USAGE: threads is negative (-1) | give 0 for the default",
        "USAGE: output 0 is no direct buffer | use Tensor.allocate",
        "USAGE: wrong number of outputs (expected 1, got 0) | give one buffer for each tensor",
        "USAGE: an output is a read-only buffer | use Tensor.allocate",
        "USAGE: input image does not fit (expected 3072 bytes, got 8) | ",
        "PATH: the engine has no path none | its paths are 00000000, ",
        "BUDGET: ",
        "USAGE: this is no rate (expected calls a second above 0, got NaN)",
        "PATH: path 00000000 is of another engine | find it here",
        "USAGE: there is no governor, or no context of its engine",
        "CLOSED: the engine is closed | open it again",
        "CLOSED: the engine is closed | make another one",
        "CLOSED: the engine is closed | make another one",
        "CLOSED: the context is closed | make another one",
        "CLOSED: the governor is closed | make another one",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)


def test_an_engine_in_memory_by_one_of_its_paths(
    program: Program, engine_file: Path, runtime: str, tmp_path: Path
) -> None:
    lines = program("memory", engine_file, runtime, tmp_path / "cache", "00000002")
    assert lines == ["[00000002]"]


def test_a_call_allocates_nothing_on_the_heap(
    program: Program, engine_file: Path, runtime: str
) -> None:
    """In 1000 calls: no object has less than 16 bytes; the JVM itself may take less, once."""
    plain, governed = map(int, program("allocation", engine_file, runtime))
    assert plain < 16 * 1000 and governed < 16 * 1000


def test_what_is_closed_under_running_threads_ends_them_with_an_error(
    program: Program, engine_file: Path, runtime: str
) -> None:
    program("closing", engine_file, runtime)


def test_a_log_is_written_and_what_it_throws_arrives(
    program: Program, engine_file: Path, runtime: str
) -> None:
    """There is no folder that only this user can write: the library warns of that."""
    engine_file.chmod(0o666)
    warning, thrown = program("log", engine_file, runtime, XDG_CACHE_HOME="/dev/null/none")
    assert warning.startswith("true there is no folder for the finalised engine")
    assert thrown == "thrown"


def test_only_a_signed_engine_is_opened(
    program: Program, engine_file: Path, tmp_path: Path
) -> None:
    public = sign_engine(engine_file, write_key(tmp_path, "key", Ed25519PrivateKey.generate()))
    for keys, says in (
        ([public.hex()], "nothing:"),
        ([bytes(32).hex(), public.hex()], "nothing:"),
        ([bytes(32).hex()], "SIGNATURE: "),
        (["none"], "USAGE: options.keys: there are no keys"),
        (["00"], "USAGE: a key is not 32 bytes"),
    ):
        (line,) = program("signed", engine_file, "", "", " ".join(keys))
        assert line.startswith(says)


def test_on_android_the_finalised_form_is_in_the_applications_cache(
    program: Program, engine_file: Path, runtime: str, tmp_path: Path
) -> None:
    """And made again for another engine of the name, as after an update."""
    cache, new = tmp_path / "application", engine_file.with_name(f"{engine_file.name}.new")
    cache.mkdir()
    with_batches(new)
    first, second, changed = program("android", engine_file, runtime, "", cache)
    assert first == second and first.startswith(f"tipsc-{engine_file.name}-")
    assert changed == "true" and not engine_file.with_name(f"{engine_file.name}-cache").exists()


def test_an_update_is_applied(
    program: Program, engine_file: Path, net: Net, graphs: dict[str, bytes], tmp_path: Path
) -> None:
    new, delta = tmp_path / "new.tipsc", tmp_path / "new.delta"
    some = dict(list(graphs.items())[1:])
    write_engine(new, net.manifest(list(some)), net.store.blob, some)
    write_delta(engine_file, new, delta)
    (done,) = program("apply", engine_file, "", "", delta)
    assert done.startswith("nothing:")
    assert (tmp_path / "new.made").read_bytes() == new.read_bytes()
    (refused,) = program("apply", delta, "", "", delta)
    assert refused.startswith("USAGE: ") and "the delta is for another file" in refused


def test_the_activity_of_android_runs_frames_in_time(
    program: Program, engine_file: Path, runtime: str, tmp_path: Path
) -> None:
    """Over stubs of Android: it installs the engine, finalises it in its cache, runs and shows."""
    folders = {name: tmp_path / name for name in ("assets", "files", "cache", "libraries")}
    for folder in folders.values():
        folder.mkdir()
    engine_file.rename(folders["assets"] / "engine.tipsc")
    (folders["libraries"] / "libonnxruntime.so").symlink_to(runtime)
    properties = {f"activity.{name}": folder for name, folder in folders.items()}
    lines = program.run(
        "tipsc.camera.Phone", ["6000"], properties, LD_LIBRARY_PATH=str(folders["libraries"])
    )
    assert "log 4 tipsc: synthetic for host: 4 paths" in lines
    shown = [line for line in lines if line.startswith("screen: ")]
    assert shown and " frames, " in shown[0] and "; slowdown " in shown[0]
    (finalised,) = folders["cache"].glob("tipsc-engine.tipsc-*")
    assert finalised.is_dir() and [file.name for file in folders["files"].iterdir()] == [
        "engine.tipsc"
    ]


def test_the_activity_says_what_is_wrong(program: Program, runtime: str, tmp_path: Path) -> None:
    (tmp_path / "engine.tipsc").write_bytes(b"no engine" * 1000)
    properties = {f"activity.{name}": tmp_path for name in ("assets", "files", "cache")}
    lines = program.run("tipsc.camera.Phone", ["1000"], properties)
    (shown,) = (line for line in lines if line.startswith("screen: "))
    assert shown.startswith("screen: The engine is damaged: install it again. ")
