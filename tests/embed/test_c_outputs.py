"""A C program gets from every path of an engine what Python gets, to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from engines import with_batches
from library import CError, Library
from synthetic_engine import Net

from tipsc.backends.cache import RECORD
from tipsc.engine import write_engine
from tipsc.runtime import Engine


def test_outputs_of_every_path_are_pythons(
    library: Library, engine_file: Path, image: np.ndarray
) -> None:
    with library.open(engine_file) as found, Engine.open(engine_file) as known:
        assert found.ids() == [path.id for path in known.paths]
        for path in known.paths:
            (output,) = found.run([image], path.id)
            assert np.array_equal(output, known.run(image, path=path))


def test_the_engine_describes_itself_as_in_python(library: Library, engine_file: Path) -> None:
    with library.open(engine_file) as found, Engine.open(engine_file) as known:
        info, manifest = found.info(), known.manifest
        assert (info.name.decode(), info.target.decode(), info.backend.decode()) == (
            manifest.name, manifest.target, manifest.backend,
        )  # fmt: skip
        for place, entry in enumerate(known.paths):
            path = found.path(place)
            assert entry.latency and entry.quality
            assert (path.p10_ms, path.p50_ms, path.p95_ms) == (
                entry.latency.p10_ms, entry.latency.p50_ms, entry.latency.p95_ms,
            )  # fmt: skip
            assert np.isnan(path.pause_ms) and path.quality == entry.quality.value
            assert path.quality_name == b"accuracy" and path.batch == 1
            assert (path.macs, path.private_bytes) == (entry.macs, entry.private_bytes)
        about = found.tensor("input", 0, 0)
        assert (about.name, about.layout) == (b"image", b"NCHW")
        assert about.shape[: about.rank] == [1, 3, 16, 16]


def finalised(folder: Path) -> dict[str, object]:
    """The files of a cache; of graphs what does not depend on the order of writing."""
    (cache,) = (file for file in folder.iterdir() if not file.name.startswith("."))
    found: dict[str, object] = {file.name: file.read_bytes() for file in cache.iterdir()}
    record = json.loads(found[RECORD])  # type: ignore[arg-type]
    found[RECORD] = record["key"], sorted(record["files"])
    for name in record["files"]:
        if name.endswith(".onnx"):
            graph = onnx.load_from_string(found[name]).graph
            found[name] = (
                len(found[name]),
                sorted(node.op_type for node in graph.node),
                sorted(tensor.SerializeToString() for tensor in graph.initializer),
            )
    return found


def test_the_finalised_engine_is_pythons(
    library: Library, engine_file: Path, tmp_path: Path
) -> None:
    folder = engine_file.with_name(f"{engine_file.name}-cache")
    library.open(engine_file).close()
    from_c = finalised(folder)
    folder.rename(tmp_path / "of C")
    Engine.open(engine_file).close()
    assert finalised(folder) == from_c
    assert len(from_c) == 4 + 3  # a graph for each path, weights, constants and the record


@pytest.mark.parametrize("first", ["C", "Python"])
def test_both_use_one_cache(library: Library, engine_file: Path, first: str) -> None:
    order: list[Callable[[], object]] = [
        lambda: library.open(engine_file).close(),
        lambda: Engine.open(engine_file).close(),
    ]
    if first == "Python":
        order.reverse()
    folder = engine_file.with_name(f"{engine_file.name}-cache")
    order[0]()
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}
    order[1]()
    assert before == {file: file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file()}


def test_a_changed_cache_is_made_again(
    library: Library, engine_file: Path, image: np.ndarray
) -> None:
    with library.open(engine_file) as engine:
        (first,) = engine.run([image], 0)
    (weights,) = engine_file.with_name(f"{engine_file.name}-cache").glob("*/weights.bin")
    content = bytearray(weights.read_bytes())
    content[100] ^= 64
    weights.write_bytes(content)
    with library.open(engine_file) as engine:
        (again,) = engine.run([image], 0)
    assert np.array_equal(first, again) and weights.read_bytes() != content


def test_an_engine_in_memory_gives_the_same(
    library: Library, engine_file: Path, image: np.ndarray, tmp_path: Path
) -> None:
    with (
        library.open(engine_file) as of_file,
        library.open(engine_file.read_bytes(), cache_dir=tmp_path / "cache") as in_memory,
    ):
        for place in range(of_file.info().path_count):
            assert np.array_equal(of_file.run([image], place), in_memory.run([image], place))


def test_other_addresses_are_read_and_written(
    library: Library, engine_file: Path, image: np.ndarray
) -> None:
    with library.open(engine_file) as engine, Engine.open(engine_file) as known:
        for scale in (1, 2, 3):
            other = image * np.float32(scale)
            (output,) = engine.run([other], 2)
            assert np.array_equal(output, known.run(other, path=known.paths[2]))


def test_several_inputs_and_outputs_types_and_batches(library: Library, tmp_path: Path) -> None:
    file = with_batches(tmp_path / "batches.tipsc")
    with library.open(file) as found, Engine.open(file) as known:
        assert {found.path(i).batch for i in range(found.info().path_count)} == {1, 4}
        for path in known.paths:
            x = np.random.default_rng(path.batch).standard_normal((path.batch, 8), np.float32)
            n = np.arange(path.batch, dtype=np.int64)
            outputs = found.run([x, n], path.id)
            assert [output.dtype for output in outputs] == [np.float32, np.bool_, np.float32]
            for output, expected in zip(outputs, known.run((x, n), path=path), strict=True):
                assert np.array_equal(output, expected)


def test_only_some_paths_are_opened(library: Library, engine_file: Path, image: np.ndarray) -> None:
    with library.open(engine_file, paths=["00000002", "00000001"]) as engine:
        assert engine.ids() == ["00000001", "00000002"]
        with pytest.raises(CError, match="has no path 00000003"):
            engine.run([image], "00000003")


def test_what_is_wrong_is_said(library: Library, engine_file: Path, image: np.ndarray) -> None:
    with library.open(engine_file) as engine:
        with pytest.raises(CError, match=r"image does not fit \(expected 3072 bytes, got 6144\)"):
            engine.run([image.astype(np.float64)], 0)
        with pytest.raises(CError, match=r"wrong number of inputs \(expected 1, got 2\)"):
            engine.run([image, image], 0)
        with pytest.raises(CError, match="no usable address"):
            unaligned = np.frombuffer(b"." + image.tobytes(), np.uint8)[1:]
            engine.run([unaligned], 0)
        with pytest.raises(CError, match="has no path 4"):
            library("run", engine.context, 4, None, 0, None, 0)
    with pytest.raises(CError, match="cannot be loaded") as caught:
        library.open(engine_file, runtime="/nowhere/libonnxruntime.so")
    assert caught.value.code == "device" and "options.runtime" in caught.value.fix
    with pytest.raises(CError, match="cannot be opened: No such file"):
        library.open(engine_file.with_name("missing.tipsc"))
    with pytest.raises(CError, match="only read"), library.open(engine_file, flags=1) as engine:
        engine.run([image], 0)


def test_limits_are_kept(library: Library, engine_file: Path) -> None:
    size = engine_file.stat().st_size
    library.open(engine_file, file_bytes=size, flags=1).close()
    for limit, most in (("file_bytes", size - 1), ("manifest_bytes", 100), ("graph_bytes", 1000),
                        ("tensor_bytes", 1000)):  # fmt: skip
        with pytest.raises(CError, match="more bytes than allowed") as caught:
            library.open(engine_file, flags=1, **{limit: most})
        assert caught.value.code == "damaged"


def test_a_cache_that_others_can_write_is_refused(
    library: Library, engine_file: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "open to all"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(CError, match="others can write it"):
        library.open(engine_file, cache_dir=folder)


def test_a_cache_for_another_engine_is_refused(
    library: Library, engine_file: Path, net: Net, graphs: dict[str, bytes], tmp_path: Path
) -> None:
    library.open(engine_file, cache_dir=tmp_path / "cache").close()
    other = tmp_path / "other.tipsc"
    write_engine(other, net.manifest(list(graphs)[:1]), net.store.blob, dict([*graphs.items()][:1]))
    with pytest.raises(CError, match="finalised for another engine"):
        library.open(other, cache_dir=tmp_path / "cache")
