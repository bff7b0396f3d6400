"""Signatures in C: the same files as in tests/engine/test_signed.py, with the same end."""

from __future__ import annotations

import ctypes.util
import shutil
from pathlib import Path

import pytest
from library import ONLY_READ, CError, Library
from test_signed import FAULTS, engine, key, other, written

from tipsc.engine import read_engine
from tipsc.engine.signed import check_signed, sign_engine, signature_file
from tipsc.errors import EngineSignatureError

__all__ = ["engine", "key", "other"]  # fixtures
KEY = bytes(range(32))
needs_sodium = pytest.mark.skipif(
    ctypes.util.find_library("sodium") is None, reason="no libsodium is installed"
)


@needs_sodium
def test_a_signed_engine_is_opened_by_any_of_its_keys(
    library: Library, engine: Path, key: Path, other: Path
) -> None:
    public = sign_engine(engine, key)
    library.open(engine, keys=[public]).close()
    library.open(engine, keys=[KEY, public, KEY], flags=ONLY_READ).close()
    library.open(engine, flags=ONLY_READ).close()  # nobody needs to ask
    of_key = signature_file(engine).read_bytes()
    by_other = sign_engine(engine, other)
    signature_file(engine).write_bytes(of_key + signature_file(engine).read_bytes())
    for trusted in (public, by_other):
        library.open(engine, keys=[trusted], flags=ONLY_READ).close()


@needs_sodium
def test_an_update_has_the_signatures_of_both_engines(
    library: Library, engine: Path, key: Path, tmp_path: Path
) -> None:
    public = sign_engine(engine, key)
    new = written(tmp_path / "new.tipsc", 1)
    sign_engine(new, key, tmp_path / "new.sig")
    old = signature_file(engine).read_bytes()
    signature_file(engine).write_bytes(old + (tmp_path / "new.sig").read_bytes())
    library.open(engine, keys=[public], flags=ONLY_READ).close()
    shutil.copy(new, engine)
    library.open(engine, keys=[public], flags=ONLY_READ).close()


@needs_sodium
@pytest.mark.parametrize("name", FAULTS)
def test_what_python_refuses_is_refused(
    library: Library, engine: Path, key: Path, other: Path, name: str
) -> None:
    fault, says = FAULTS[name]
    public = sign_engine(engine, key)
    fault(engine, key, other)
    with pytest.raises(EngineSignatureError, match=says):
        check_signed(read_engine(engine), public)
    with pytest.raises(CError, match=says) as caught:
        library.open(engine, keys=[public], flags=ONLY_READ)
    assert caught.value.code == "signature" and caught.value.fix


@needs_sodium
@pytest.mark.parametrize("bit", range(0, 64 * 8, 7))
def test_each_bit_of_a_signature_counts(
    library: Library, engine: Path, key: Path, bit: int
) -> None:
    public = sign_engine(engine, key)
    raw = bytearray(signature_file(engine).read_bytes())
    raw[48 + bit // 8] ^= 1 << bit % 8
    signature_file(engine).write_bytes(raw)
    with pytest.raises(CError, match="not signed by"):
        library.open(engine, keys=[public], flags=ONLY_READ)


@needs_sodium
def test_a_damaged_engine_is_damaged_whoever_signed_it(
    library: Library, engine: Path, key: Path
) -> None:
    public = sign_engine(engine, key)
    raw = bytearray(engine.read_bytes())
    raw[-1] ^= 1
    engine.write_bytes(raw)
    with pytest.raises(CError, match="SHA-256 differs") as caught:
        library.open(engine, keys=[public], flags=ONLY_READ)
    assert caught.value.code == "damaged"


def test_what_cannot_be_checked_is_not_opened(library: Library, engine: Path, key: Path) -> None:
    public = sign_engine(engine, key)
    for given, says in (
        ({"keys": []}, "there are no keys"),
        (
            {"keys": [public], "sodium": "/nowhere/libsodium.so"},
            "libsodium, which cannot be loaded",
        ),
        ({"keys": [public], "sodium": "libm.so.6"}, "libm.so.6: this is no libsodium"),
    ):
        with pytest.raises(CError, match=says) as caught:
            library.open(engine, flags=ONLY_READ, **given)
        assert caught.value.code == "usage"
    with pytest.raises(CError, match="engine in memory has no file of signatures"):
        library.open(engine.read_bytes(), flags=ONLY_READ, keys=[public])
    signature_file(engine).unlink()
    signature_file(engine).mkdir()
    if ctypes.util.find_library("sodium"):
        with pytest.raises(CError, match="no regular file") as caught:
            library.open(engine, flags=ONLY_READ, keys=[public])
        assert caught.value.code == "usage"
