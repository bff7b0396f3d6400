"""Updates in C: what `tipsc delta` wrote is applied, and nothing that is damaged or cut short."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from pathlib import Path

import pytest
from library import CError, Library
from synthetic_engine import Net

from tipsc.engine import write_engine
from tipsc.engine.delta import HEADER, apply_delta, write_delta
from tipsc.errors import EngineDamagedError, UsageError


@pytest.fixture
def files(net: Net, graphs: dict[str, bytes], tmp_path: Path) -> tuple[Path, Path, Path]:
    """An engine, one with other weights and a path less, and the delta."""
    old, new, delta = (tmp_path / name for name in ("old.tipsc", "new.tipsc", "delta"))
    write_engine(old, net.manifest(list(graphs)), net.store.blob, graphs)
    some = dict(list(graphs.items())[1:])
    blob = bytearray(net.store.blob)
    for place in range(3000, 6000):
        blob[place] ^= place % 251
    write_engine(new, net.manifest(list(some)), blob, some)
    write_delta(old, new, delta)
    return old, new, delta


def rest_of(folder: Path, *known: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {file.name for file in known}


def test_the_new_file_is_made(library: Library, files: tuple[Path, Path, Path]) -> None:
    old, new, delta = files
    made = old.with_name("made.tipsc")
    library.apply(old, delta, made)
    assert made.read_bytes() == new.read_bytes()
    library.apply(old, delta, old)  # over the old one
    assert old.read_bytes() == new.read_bytes()
    with pytest.raises(CError, match="applied to this file already"):
        library.apply(old, delta, old)
    assert not rest_of(old.parent, *files, made)


def test_another_base_is_refused(library: Library, files: tuple[Path, Path, Path]) -> None:
    old, _, delta = files
    content = bytearray(old.read_bytes())
    content[-1] ^= 1
    old.write_bytes(content)
    with pytest.raises(CError, match="the delta is for another file") as caught:
        library.apply(old, delta, old)
    assert caught.value.code == "usage" and old.read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"TIPSCDEL", b"x" * 200])
def test_what_is_no_delta_is_refused(
    library: Library, files: tuple[Path, Path, Path], content: bytes
) -> None:
    old, _, delta = files
    delta.write_bytes(content)
    with pytest.raises(CError, match="no delta of an engine"):
        library.apply(old, delta, old)


def mutated(rng: random.Random, delta: bytes) -> bytes:
    """A delta with something else in it, whose own hash is right."""
    content = bytearray(delta)
    kind = rng.randrange(4)
    if kind == 0:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    elif kind == 1:  # a number of the header
        place = rng.choice((8, 12, 16, 56, 96))
        content[place : place + 4] = rng.randbytes(4)
    elif kind == 2:
        del content[rng.randrange(len(content)) :]
    else:
        content += rng.randbytes(rng.randrange(1, 20))
    if len(content) >= HEADER.size + 32:
        digest = hashlib.sha256(content[: HEADER.size] + content[HEADER.size + 32 :]).digest()
        content[HEADER.size : HEADER.size + 32] = digest
    return bytes(content)


def test_a_mutated_delta_is_taken_or_refused_as_in_python(
    library: Library, files: tuple[Path, Path, Path]
) -> None:
    old, _, delta = files
    whole, outcomes = delta.read_bytes(), set()
    for seed in range(300):
        delta.write_bytes(mutated(random.Random(seed), whole))
        expected, found = old.with_name("python"), old.with_name("c")
        try:
            apply_delta(old, delta, expected)
        except (UsageError, EngineDamagedError):
            outcomes.add("refused")
            with pytest.raises(CError) as caught:
                library.apply(old, delta, found)
            assert caught.value.code in ("usage", "damaged") and not found.exists()
        else:
            outcomes.add("taken")
            library.apply(old, delta, found)
            assert found.read_bytes() == expected.read_bytes()
            found.unlink()
    assert "refused" in outcomes


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_write_one_of_both_files_is_there(
    programs: Path, files: tuple[Path, Path, Path], after: bool
) -> None:
    old, new, delta = files
    before, wanted = old.read_bytes(), new.read_bytes()
    killed, found = 0, set()
    for call in range(1, 1000):
        old.write_bytes(before)
        environment = {**os.environ, "LD_PRELOAD": str(programs / "libkill_at.so"),
                       "KILL_AT": str(call), **({"KILL_AFTER": "1"} if after else {})}  # fmt: skip
        command = [str(programs / "apply"), str(old), str(delta), str(old)]
        ended = subprocess.run(command, env=environment, capture_output=True).returncode
        if ended == 0:
            break
        assert ended == -9
        killed += 1
        found.add(old.read_bytes())
        again = subprocess.run(command, capture_output=True, text=True)
        assert again.returncode == 0 or "applied to this file already" in again.stderr
        assert old.read_bytes() == wanted and not rest_of(old.parent, *files)
    assert killed > 10 and found == {before, wanted}  # either one is there, and nothing else


def test_a_second_call_at_the_same_time_is_refused(
    library: Library, files: tuple[Path, Path, Path]
) -> None:
    import fcntl

    old, _, delta = files
    with old.with_name(".made.tipsc.apply").open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(CError, match="another call writes it"):
            library.apply(old, delta, old.with_name("made.tipsc"))
    library.apply(old, delta, old.with_name("made.tipsc"))
