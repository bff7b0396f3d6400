"""The bytes of an engine: of a file, which another process may be changing, or in memory.

A file is checked by reading it. A map would do, but when the file is cut short behind it, looking
at what is gone ends the process (SIGBUS); a read then is merely short.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from tipsc.errors import EngineDamagedError, UsageError, near
from tipsc.files import open_regular

_CHUNK = 1 << 18


class Source(Protocol):
    """Bytes that can be read, hashed and, what is large, looked at in place."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes, or those up to the end."""

    def sha256(self, offset: int, length: int) -> str:
        """In hexadecimal, of `length` bytes."""

    def view(self, offset: int, length: int) -> memoryview:
        """`length` bytes, read-only and not copied."""

    def parts(self, offset: int, length: int) -> Iterator[bytes]:
        """`length` bytes, read part by part."""

    def check_unchanged(self) -> None:
        """Raises EngineDamagedError if somebody wrote to it since it was opened."""


class MemorySource:
    """See :class:`Source`."""

    def __init__(self, buffer: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(buffer).cast("B")
        self.size = len(self._view)

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self._view[offset : offset + length])

    def sha256(self, offset: int, length: int) -> str:
        return hashlib.sha256(self._view[offset : offset + length]).hexdigest()

    def view(self, offset: int, length: int) -> memoryview:
        return self._view[offset : offset + length].toreadonly()

    def parts(self, offset: int, length: int) -> Iterator[bytes]:
        yield self.read(offset, length)

    def check_unchanged(self) -> None:
        pass


class FileSource:
    """See :class:`Source`. Keeps the file open: one that is renamed over it changes nothing here.

    Raises:
        UsageError: there is no such file, it may not be read, or it is a folder, pipe or device.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._stream: BinaryIO = open_regular(file)
        except OSError as error:
            others = [other.name for other in file.parent.glob("*.tipsc")]
            missing = isinstance(error, FileNotFoundError) and others
            raise UsageError(
                f"cannot open the engine: {error.strerror or error}",
                where=str(file),
                fix=near(file.name, others) if missing else None,
            ) from error
        self._as_opened = self._state()
        self.size = self._as_opened[0]
        self._mapped: memoryview | None = None

    def __del__(self) -> None:
        if hasattr(self, "_stream"):  # it was opened
            self._stream.close()

    def read(self, offset: int, length: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(length)

    def sha256(self, offset: int, length: int) -> str:
        digest = hashlib.sha256()
        for part in self.parts(offset, length):
            digest.update(part)
        return digest.hexdigest()

    def parts(self, offset: int, length: int) -> Iterator[bytes]:
        end = offset + length
        while offset < end:
            part = self.read(offset, min(end - offset, _CHUNK))
            if not part:
                raise self._changed("it has become shorter")
            yield part
            offset += len(part)

    def view(self, offset: int, length: int) -> memoryview:
        if self._mapped is None:
            try:
                mapped = mmap.mmap(self._stream.fileno(), self.size, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:  # Python's own: longer than the file is by now
                raise self._changed(str(error)) from error
            self._mapped = memoryview(mapped)
        self.check_unchanged()
        return self._mapped[offset : offset + length]

    def check_unchanged(self) -> None:
        if self._state() != self._as_opened:
            raise self._changed("another size or time of writing than when it was opened")

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self._stream.fileno())
        return found.st_size, found.st_mtime_ns

    def _changed(self, how: str) -> EngineDamagedError:
        return EngineDamagedError(
            "the file was written to while it was open",
            where=str(self._file),
            got=how,
            fix="open it again; to replace an engine rename the new file over it (mv, not cp)",
        )
