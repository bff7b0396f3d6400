"""Files and folders that are either whole or not there, also after a power cut."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from tipsc.system_errors import naming


def write_atomically(file: Path, chunks: Iterable[bytes | bytearray | memoryview]) -> None:
    """Write `chunks` under a temporary name beside `file`, fsync, rename.

    Raises:
        OSError: nothing is left behind, and `file` is as it was. It names `file`.
    """
    temporary = file.with_name(f".{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            write_through(temporary, chunks)
            temporary.replace(file)
        except OSError as error:  # of the name that was given, not of the temporary one
            missing = isinstance(error, FileNotFoundError)
            said = "there is no such folder" if missing else error.strerror or str(error)
            raise OSError(error.errno, said, str(file)) from error
        sync_folder(file.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_through(file: Path, chunks: Iterable[bytes | bytearray | memoryview]) -> None:
    """Write `chunks` and fsync."""
    with naming(file), file.open("wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Make names in `folder` durable, where the system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # folders cannot be opened on Windows
        return
    try:
        os.fsync(descriptor)
    except OSError:  # nor synced on some network file systems
        pass
    finally:
        os.close(descriptor)
