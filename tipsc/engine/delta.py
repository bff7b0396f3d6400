"""What must be sent to turn one engine file into another, and turning it.

A delta (docs/engine-format.md) is a list of pieces of the new file, each copied from the old one or
carried along, compressed. It knows the hashes of both files: applied to another base it is refused,
and what was made is compared before it gets its name.

Pieces are found in cells of 64 bytes: sections and weights are aligned to that, so that what was
only moved is found where it went.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tipsc.engine.atomic import write_atomically
from tipsc.errors import EngineDamagedError, UsageError
from tipsc.files import open_regular

MAGIC, VERSION = b"TIPSCDEL", 1
#: magic, version, number of pieces, length and SHA-256 of the base, of the target, length of what
#: is carried along
HEADER = struct.Struct("<8sIIQ32sQ32sQ")
PIECE = struct.Struct("<QQ")  # where in the base, or CARRIED; how many bytes
CARRIED = (1 << 64) - 1
CELL = 64
MOST_PIECES = 1 << 24
MOST_BYTES = 1 << 32  # of a delta, and of what it carries along
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Delta:
    """What stands in a delta file.

    Attributes:
        base_length, target_length: in bytes.
        base_sha256, target_sha256: of the whole files.
        pieces: (count, 2) uint64: where in the base or :data:`CARRIED`, and how many bytes.
        carried: what the base does not have, in the order of the target.
    """

    base_length: int
    base_sha256: bytes
    target_length: int
    target_sha256: bytes
    pieces: NDArray[np.uint64]
    carried: bytes

    def to_bytes(self) -> bytes:
        """As the file has it."""
        head = HEADER.pack(
            MAGIC, VERSION, len(self.pieces), self.base_length, self.base_sha256,
            self.target_length, self.target_sha256, len(self.carried),
        )  # fmt: skip
        body = zlib.compress(self.pieces.astype("<u8").tobytes() + self.carried, 9)
        return head + hashlib.sha256(head + body).digest() + body


def make_delta(old: Path, new: Path) -> Delta:
    """What turns the file `old` into the file `new`.

    Raises:
        UsageError: one of them cannot be read.
    """
    with _mapped(old) as base, _mapped(new) as target:
        places = _places(_cells(base), _cells(target))
        pieces: list[tuple[int, int]] = []
        carried = bytearray()
        for start, stop in _runs(places):
            place = int(places[start])
            begin, end = start * CELL, min(stop * CELL, len(target))
            if place < 0:
                carried += target[begin:end]
                pieces.append((CARRIED, end - begin))
            else:
                pieces.append((place * CELL, end - begin))
        return Delta(
            len(base), hashlib.sha256(base).digest(), len(target), hashlib.sha256(target).digest(),
            np.array(pieces, np.uint64).reshape(-1, 2), bytes(carried),
        )  # fmt: skip


def write_delta(old: Path, new: Path, file: Path) -> Delta:
    """Writes what turns `old` into `new`, whole or not at all."""
    found = make_delta(old, new)
    write_atomically(file, [found.to_bytes()])
    return found


def read_delta(file: Path) -> Delta:
    """The delta in a file, every bound of it checked.

    Raises:
        UsageError: it cannot be read, or is no delta of this version.
        EngineDamagedError: it is damaged.
    """
    raw = _whole(file)
    if len(raw) < HEADER.size + 32 or raw[:8] != MAGIC:
        raise UsageError(
            "this is no delta of an engine", where=str(file), fix="make it with tipsc delta"
        )
    head = raw[: HEADER.size]
    _, version, count, base, base_hash, target, target_hash, length = HEADER.unpack(head)
    if version != VERSION:
        raise UsageError(
            "the delta is of another version", where=str(file), expected=VERSION, got=version,
            fix="make it with this tipsc",
        )  # fmt: skip
    body = raw[HEADER.size + 32 :]
    if hashlib.sha256(head + body).digest() != raw[HEADER.size : HEADER.size + 32]:
        raise _damaged(file, "its hash is another")
    if count > MOST_PIECES or length > min(target, MOST_BYTES):
        raise _damaged(file, "it says that it holds more than it can")
    unpacker, wanted = zlib.decompressobj(), count * PIECE.size + length
    try:
        content = unpacker.decompress(body, wanted + 1)
    except zlib.error as error:
        raise _damaged(file, "it cannot be unpacked") from error
    if len(content) != wanted or not unpacker.eof or unpacker.unused_data:
        raise _damaged(file, "what it holds has another length than it says")
    pieces = np.frombuffer(content, "<u8", 2 * count).reshape(count, 2)
    found = Delta(base, base_hash, target, target_hash, pieces, content[count * PIECE.size :])
    _check(found, file)
    return found


def apply_delta(old: Path, delta: Path, new: Path) -> None:
    """Writes the new file from the old one; `new` may be `old`.

    The new file gets its name when its hash was compared; until then the old one is as it was, and
    whoever is interrupted begins again.

    Raises:
        UsageError: the delta is for another file, or one of them cannot be read.
        EngineDamagedError: the delta is damaged.
    """
    with _mapped(old) as base:
        found = read_delta(delta)
        is_now = hashlib.sha256(base).digest()
        if (len(base), is_now) != (found.base_length, found.base_sha256):
            already = is_now == found.target_sha256
            raise UsageError(
                "the delta has been applied to this file already"
                if already
                else "the delta is for another file",
                where=str(old),
                expected=f"SHA-256 {found.base_sha256.hex()[:16]}...",
                got=f"{is_now.hex()[:16]}...",
                fix="nothing is left to do"
                if already
                else "apply it to the engine it was made from",
            )
        write_atomically(new, _checked(found, base, delta))


def _checked(found: Delta, base: mmap.mmap, delta: Path) -> Iterator[bytes]:
    """The chunks of the new file; the last one comes when all hashes to what it should."""
    digest = hashlib.sha256()
    held = b""
    for chunk in _chunks(found, base):
        yield held
        digest.update(chunk)
        held = chunk
    if digest.digest() != found.target_sha256:
        raise _damaged(delta, "what it makes is not what it was made for")
    yield held


def _chunks(found: Delta, base: mmap.mmap) -> Iterator[bytes]:
    position = 0
    for place, length in found.pieces.tolist():
        source: bytes | mmap.mmap = base
        if place == CARRIED:
            source, place = found.carried, position
            position += length
        for start in range(place, place + length, _CHUNK):
            yield source[start : min(start + _CHUNK, place + length)]


def _check(found: Delta, file: Path) -> None:
    """That each piece lies within what it is taken from, and that together they are the target."""
    place, length = found.pieces[:, 0], found.pieces[:, 1]
    is_carried = place == np.uint64(CARRIED)
    most = np.uint64(max(found.base_length, found.target_length))
    if (length > most).any() or (place[~is_carried] > np.uint64(found.base_length)).any():
        raise _damaged(file, "a piece lies outside of the file that it is copied from")
    # No sum can overflow from here on: a length has at most 40 bits, and there are 2^24 pieces.
    if found.base_length >= 1 << 39 or found.target_length >= 1 << 39:
        raise _damaged(file, "it says that it is for a file of more than 512 GiB")
    ends = place[~is_carried] + length[~is_carried]
    if (ends > np.uint64(found.base_length)).any():
        raise _damaged(file, "a piece lies outside of the file that it is copied from")
    if int(length.sum()) != found.target_length or int(length[is_carried].sum()) != len(
        found.carried
    ):
        raise _damaged(file, "its pieces make no whole file")


def _cells(content: mmap.mmap) -> NDArray[np.uint64]:
    """(cells, 8): the file in cells, the last one filled with zeros."""
    count = -(-len(content) // CELL)
    padded = np.zeros(count * CELL, np.uint8)
    padded[: len(content)] = np.frombuffer(content, np.uint8)
    return padded.view(np.uint64).reshape(count, CELL // 8)


def _places(base: NDArray[np.uint64], target: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each cell of the target an equal one of the base, the same one if it is; -1 for none.

    The last, shorter cell of the base stands for none: what would be copied is not all there.
    """
    whole = max(0, len(base) - 1)
    places = np.full(len(target), -1, np.int64)
    both = min(whole, len(target))
    same = (base[:both] == target[:both]).all(1)
    places[:both][same] = np.arange(both)[same]
    missing = np.flatnonzero(places < 0)
    if not whole or not len(missing):
        return places
    hashes = _hashes(base[:whole])
    order = np.argsort(hashes, kind="stable")
    wanted = _hashes(target[missing])
    found = np.minimum(np.searchsorted(hashes[order], wanted), whole - 1)
    candidates = order[found]
    equal = (base[candidates] == target[missing]).all(1)
    places[missing[equal]] = candidates[equal]
    return places


def _hashes(cells: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """64 bits of each cell; equal cells have equal ones."""
    odd = np.random.default_rng(0).integers(0, 1 << 63, CELL // 8, np.uint64) * np.uint64(2) + 1
    mixed = cells ^ (cells >> np.uint64(29))
    found: NDArray[np.uint64] = (mixed * odd).sum(1, dtype=np.uint64)
    return found ^ (found >> np.uint64(32))


def _runs(places: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of cells that lie one behind the other in the base, or are all missing in it."""
    if not len(places):
        return
    steps = np.diff(places)
    goes_on = (steps == 1) & (places[:-1] >= 0) | (steps == 0) & (places[:-1] < 0)
    starts = [0, *(np.flatnonzero(~goes_on) + 1).tolist()]
    yield from zip(starts, [*starts[1:], len(places)], strict=True)


class _mapped:
    """A regular file, mapped for reading."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stream: BinaryIO | None = None

    def __enter__(self) -> mmap.mmap:
        try:
            self._stream = open_regular(self._file)
            return mmap.mmap(self._stream.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # of an empty file nothing can be mapped
            self.__exit__()
            said = getattr(error, "strerror", None) or "it is empty"
            raise UsageError(f"cannot read the engine: {said}", where=str(self._file)) from error

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()


def _whole(file: Path) -> bytes:
    try:
        with open_regular(file) as stream:
            return stream.read(min(os.fstat(stream.fileno()).st_size, MOST_BYTES))
    except OSError as error:
        raise UsageError(
            f"cannot read the delta: {error.strerror or error}", where=str(file)
        ) from error


def _damaged(file: Path, how: str) -> EngineDamagedError:
    return EngineDamagedError(
        f"the delta is damaged: {how}", where=str(file), fix="transfer it again"
    )
