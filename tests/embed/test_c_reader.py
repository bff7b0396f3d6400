"""The reader in C takes what the readers in Python take, and refuses what they refuse."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import format_reader
import fuzz_engine
import pytest
from building import run
from engines import with_batches
from format_faults import FAULTS, FAULTS_OF_PLANS, as_tflite
from format_graphs import Refused
from library import ONLY_READ, CError, Engine, Library
from test_format_document import read_all


@pytest.fixture
def data(engine_file: Path) -> bytes:
    return engine_file.read_bytes()


def same(found: Engine, data: bytes) -> None:
    """What C makes of it is what the reader of the page makes of it."""
    known = format_reader.read(data)
    info = found.info()
    assert info.hash.decode() == known.content_hash
    assert info.form.decode() == ("tflite" if known.form == "tflite" else "onnx")
    for name in ("name", "target", "backend", "noise"):
        # A text with a zero byte is a shorter one in C.
        assert getattr(info, name).decode() == known.manifest[name].split("\0")[0]
    paths = known.manifest["paths"]
    assert found.ids() == [path["id"] for path in paths]
    for place, path in enumerate(paths):
        about = found.path(place)
        assert (about.macs, about.parameters, about.shared_bytes, about.private_bytes) == tuple(
            path[name] for name in ("macs", "parameters", "shared_bytes", "private_bytes")
        )
        assert about.batch == path["batch"]
        latency = path["latency"] or dict.fromkeys(("p10_ms", "p50_ms", "p95_ms", "pause_ms"))
        for name, value in latency.items():
            number = getattr(about, name)
            assert number == value if value is not None else number != number
        if path["quality"]:
            assert about.quality == path["quality"]["value"]
            assert about.quality_higher == (path["quality"]["better"] == "higher")
    for kind in ("input", "output"):
        for index, tensor in enumerate(known.manifest["signature"][f"{kind}s"]):
            about = found.tensor(kind, 0, index)
            assert about.name.decode() == tensor["name"].split("\0")[0]
            assert about.layout.decode() == tensor["layout"]


def agree(library: Library, data: bytes) -> bool:
    """Whether both take it; raises if they do not agree."""
    try:
        read_all(data)
    except Refused as error:
        with pytest.raises(CError) as caught:
            library.open(data, flags=ONLY_READ).close()
        assert caught.value.code in ("damaged", "version"), (str(error), caught.value)
        return False
    try:
        found = library.open(data, flags=ONLY_READ)
    except CError as error:
        # The page leaves it to a reader whether it takes integers of more than 64 bits.
        assert "an integer of 64 bits" in error.text and beyond_64_bits(format_reader.read(data))
        return False
    with found:
        same(found, data)
    return True


def beyond_64_bits(value: object) -> bool:
    if isinstance(value, format_reader.Read):
        return beyond_64_bits(value.manifest)
    if isinstance(value, (dict, list)):
        return any(map(beyond_64_bits, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(1 << 63) <= value < 1 << 63


def test_engines_are_read_alike(
    library: Library, data: bytes, finished: bytes, tmp_path: Path
) -> None:
    assert agree(library, data) and agree(library, finished)
    assert agree(library, as_tflite(b"1234TFL3")(data))
    assert agree(library, with_batches(tmp_path / "batches.tipsc").read_bytes())


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused(library: Library, data: bytes, fault: str) -> None:
    assert not agree(library, FAULTS[fault][0](data))


@pytest.mark.parametrize("fault", FAULTS_OF_PLANS)
def test_faults_of_plans_are_refused(library: Library, finished: bytes, fault: str) -> None:
    assert not agree(library, FAULTS_OF_PLANS[fault][0](finished))


def test_mutated_files_are_taken_or_refused_by_both(library: Library, data: bytes) -> None:
    taken = sum(
        agree(library, fuzz_engine.mutated(random.Random(seed), data)) for seed in range(400)
    )
    assert 10 < taken < 390  # bytes that mean nothing: names, other weights


def test_sha256_is_hashlibs_with_and_without_instructions_for_it(programs: Path) -> None:
    data = bytes((i * 31 + 7) % 256 for i in range(300))
    outer = hashlib.sha256()
    for length in range(301):
        outer.update(hashlib.sha256(data[:length]).digest())
    lines = run([str(programs / "sha256")]).splitlines()
    assert [line.split()[0] for line in lines] == [outer.hexdigest()] * 2


def test_another_version_is_no_damage(library: Library, data: bytes) -> None:
    with pytest.raises(CError, match=r"expected 3, got 2") as caught:
        library.open(data[:8] + b"\2\0\0\0" + data[12:], flags=ONLY_READ)
    assert caught.value.code == "version"


def test_what_is_no_whole_engine_is_refused(library: Library, engine_file: Path) -> None:
    engine_file.write_bytes(engine_file.read_bytes()[:-1])
    with pytest.raises(CError, match="ends within a section"):
        library.open(engine_file, flags=ONLY_READ)
    pipe = engine_file.with_name("pipe")
    os.mkfifo(pipe)
    with pytest.raises(CError, match="no regular file"):
        library.open(pipe, flags=ONLY_READ)
