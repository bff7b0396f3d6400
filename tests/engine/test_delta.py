"""Deltas between engine files: exact, small, refused on the wrong base, whole after any kill."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_engine import tiny_net

from tipsc.engine import write_engine
from tipsc.engine.delta import CELL, apply_delta, make_delta, read_delta, write_delta
from tipsc.errors import EngineDamagedError, UsageError

CELLS = st.lists(st.sampled_from([b"a", b"b", b"c", b"\0"]), min_size=1, max_size=40).map(
    lambda letters: b"".join(letter * CELL for letter in letters)
)


@given(base=CELLS, target=CELLS, ends=st.tuples(st.binary(max_size=70), st.binary(max_size=70)))
@settings(max_examples=150, deadline=None)
def test_any_file_is_made_from_any_other(
    tmp_path_factory: pytest.TempPathFactory, base: bytes, target: bytes, ends: tuple[bytes, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("delta")
    old, new, made = folder / "old", folder / "new", folder / "made"
    old.write_bytes(base + ends[0])
    new.write_bytes(target + ends[1])
    write_delta(old, new, folder / "delta")
    apply_delta(old, folder / "delta", made)
    assert made.read_bytes() == new.read_bytes()


def test_what_moved_is_copied(tmp_path: Path) -> None:
    chance = random.Random(0)
    parts = [chance.randbytes(100 * CELL) for _ in range(4)]
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"".join(parts) + b"end")
    new.write_bytes(b"".join([parts[2], chance.randbytes(5 * CELL), parts[0], parts[3]]))
    found = make_delta(old, new)
    assert len(found.carried) <= 6 * CELL
    assert len(found.pieces) <= 5


def engines(folder: Path) -> tuple[Path, Path]:
    """Two engines that differ in the last 64 weights of the store."""
    net = tiny_net()
    graphs = net.paths(3)
    blob = bytes(net.store.blob)
    old, new = folder / "old.tipsc", folder / "new.tipsc"
    write_engine(old, net.manifest(list(graphs)), blob, graphs)
    changed = blob[:-256] + random.Random(1).randbytes(256)
    write_engine(new, net.manifest(list(graphs)), changed, graphs)
    return old, new


def test_a_changed_head_is_a_small_delta(tmp_path: Path) -> None:
    old, new = engines(tmp_path)
    write_delta(old, new, tmp_path / "delta")
    assert (tmp_path / "delta").stat().st_size < 1500  # header with its hashes, 256 weights
    apply_delta(old, tmp_path / "delta", old)  # in its own place
    assert old.read_bytes() == new.read_bytes()


def test_the_wrong_base_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    old, new = engines(tmp_path)
    write_delta(old, new, tmp_path / "delta")
    other, made = tmp_path / "other", tmp_path / "made"
    other.write_bytes(old.read_bytes()[:-1] + b"?")
    with pytest.raises(UsageError, match="the delta is for another file"):
        apply_delta(other, tmp_path / "delta", made)
    with pytest.raises(UsageError, match="has been applied to this file already"):
        apply_delta(new, tmp_path / "delta", made)
    assert not made.exists()


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_delta_is_refused(tmp_path: Path, seed: int) -> None:
    old, new = engines(tmp_path)
    write_delta(old, new, tmp_path / "delta")
    raw, chance = bytearray((tmp_path / "delta").read_bytes()), random.Random(seed)
    if seed % 4 == 0:
        del raw[chance.randrange(len(raw)) :]
    else:
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    (tmp_path / "delta").write_bytes(raw)
    with pytest.raises((UsageError, EngineDamagedError)):
        apply_delta(old, tmp_path / "delta", tmp_path / "made")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["delta", "new.tipsc", "old.tipsc"]


@pytest.mark.parametrize(
    ("pieces", "how"),
    [
        ([(1 << 63, 64)], "outside"),
        ([(0, 1 << 63)], "outside"),
        ([((1 << 64) - 2, 64)], "outside"),
        ([(0, 64)], "no whole file"),
        ([], "no whole file"),
    ],
)
def test_pieces_that_lie_are_refused(
    tmp_path: Path, pieces: list[tuple[int, int]], how: str
) -> None:
    """By who writes the hash himself."""
    import dataclasses

    import numpy as np

    old, new = engines(tmp_path)
    found = make_delta(old, new)
    lying = dataclasses.replace(
        found, pieces=np.array(pieces, np.uint64).reshape(-1, 2), carried=b""
    )
    (tmp_path / "delta").write_bytes(lying.to_bytes())
    with pytest.raises(EngineDamagedError, match=how):
        read_delta(tmp_path / "delta")


def test_killed_at_any_moment_the_engine_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    chance = random.Random(2)
    old, new = tmp_path / "old", tmp_path / "new"
    content = chance.randbytes(24 << 20)
    old.write_bytes(content)
    new.write_bytes(content[: 12 << 20] + chance.randbytes(4096) + content[12 << 20 :])
    write_delta(old, new, tmp_path / "delta")
    before, after = (hashlib.sha256(f.read_bytes()).hexdigest() for f in (old, new))
    program = (
        "import sys; from pathlib import Path; from tipsc.engine.delta import apply_delta\n"
        "print('begins', flush=True); apply_delta(*map(Path, sys.argv[1:]))"
    )
    seen = set()
    for _ in range(12):
        place = tmp_path / "place"
        place.write_bytes(content)
        command = [sys.executable, "-c", program, place, tmp_path / "delta", place]
        running = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE)
        assert running.stdout is not None
        running.stdout.readline()
        time.sleep(chance.uniform(0, 0.15))
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        seen.add(hashlib.sha256(place.read_bytes()).hexdigest())
        for left in tmp_path.glob(".place*"):
            left.unlink()
    assert seen <= {before, after}
