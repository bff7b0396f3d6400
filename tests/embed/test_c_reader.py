"""The reader in C takes what the readers in Python take, and refuses what they refuse."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import fuzz_engine
import pytest
from building import run
from engines import with_batches
from format_faults import FAULTS, FAULTS_OF_PLANS, in_manifest, path
from library import ONLY_READ, CError, Library
from readers import agree


@pytest.fixture
def data(engine_file: Path) -> bytes:
    return engine_file.read_bytes()


def test_engines_are_read_alike(
    library: Library, data: bytes, finished: bytes, tmp_path: Path
) -> None:
    assert agree(library, data) and agree(library, finished)
    assert agree(library, with_batches(tmp_path / "batches.tipsc").read_bytes())
    for energy_mj in (2, 0.5, None):
        assert agree(library, in_manifest(path(energy_mj=energy_mj))(data))


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
