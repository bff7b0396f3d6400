"""The inside of a .tflite, checked in C as it is in Python: by the same files."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import make_tflite_tables
import pytest
from fuzz_tflite import FILES, manifest_of
from library import ONLY_READ, CError, Library
from plain_tflite import two_widths
from readers import agree, mutated_tflite
from test_tflite_check import HOSTILE, changed, int8, scaled, shared

from tipsc.compile.tflite.merge import merge
from tipsc.engine import Manifest, write_tflite_engine

SEEDS = sorted(FILES.glob("*.tflite"))


@pytest.fixture(scope="module")
def sound() -> bytes:
    return merge(two_widths()).model


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "e.tipsc"


def engine(file: Path, model: bytes, manifest: Manifest) -> bytes:
    write_tflite_engine(file, manifest, model)
    return file.read_bytes()


def test_the_tables_are_pythons() -> None:
    assert make_tflite_tables.FILE.read_text() == make_tflite_tables.header()


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.stem)
def test_what_the_converter_writes_is_taken(library: Library, file: Path, seed: Path) -> None:
    model = seed.read_bytes()
    assert agree(library, engine(file, model, manifest_of(model)))


@pytest.mark.parametrize("name", HOSTILE)
def test_what_tipsc_does_not_write_is_refused(
    library: Library, file: Path, sound: bytes, name: str
) -> None:
    manifest = manifest_of(sound)
    assert agree(library, engine(file, changed(sound, lambda model: None), manifest))
    assert not agree(library, engine(file, changed(sound, HOSTILE[name][0]), manifest))


@pytest.mark.parametrize("part", ["inputs", "outputs"])
@pytest.mark.parametrize(
    "wrong", [{"dtype": "float64"}, {"shape": (1, 4, 8, 4)}, {"dtype": "int32"}]
)
def test_a_manifest_that_says_otherwise_is_refused(
    library: Library, file: Path, sound: bytes, part: str, wrong: dict[str, Any]
) -> None:
    manifest = manifest_of(sound)
    (spec,) = getattr(manifest.signature, part)
    signature = replace(manifest.signature, **{part: (replace(spec, **wrong),)})
    assert not agree(library, engine(file, sound, replace(manifest, signature=signature)))


def test_a_path_without_a_signature_and_one_more_are_told_apart(
    library: Library, file: Path, sound: bytes
) -> None:
    """A signature that is no path's is taken, as long as it is like one."""
    manifest = manifest_of(sound)
    first, second = manifest.paths
    assert agree(library, engine(file, sound, replace(manifest, paths=(first,))))
    other = replace(second, id="other")
    assert not agree(library, engine(file, sound, replace(manifest, paths=(first, other))))


def test_scales_that_end_the_process_are_refused(library: Library, file: Path) -> None:
    model, add = int8(), 0
    for scale, taken in ((1e38, False), (1e-9, False), (1e5, False), (0.03, True)):
        data = engine(file, changed(model, scaled(add, scale)), manifest_of(model))
        assert agree(library, data) == taken


def test_tables_that_are_shared_cannot_stand_for_much_work(
    library: Library, file: Path, sound: bytes
) -> None:
    data = engine(file, shared(1 << 11, 1 << 11), manifest_of(sound))
    with pytest.raises(CError, match="more parts than any model has"):
        library.open(data, flags=ONLY_READ)


def test_mutated_files_are_taken_or_refused_by_both(library: Library, file: Path) -> None:
    """Many more are in benchmarks/embed.py."""
    engines = [engine(file, seed.read_bytes(), manifest_of(seed.read_bytes())) for seed in SEEDS]
    taken = 0
    for seed in range(250):
        generator = random.Random(seed)
        taken += agree(library, mutated_tflite(generator, generator.choice(engines)))
    assert 10 < taken < 120
