"""The runtime as one archive that a device puts on its path: pure Python, the same bytes always."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

#: files and folders of the package that a device needs; nothing of the compiler
PARTS = (
    "__init__.py",
    "errors.py",
    "extras.py",
    "files.py",
    "filled.py",
    "paths.py",
    "printable.py",
    "quality.py",
    "signature.py",
    "system_errors.py",
    "tree.py",
    "measure",
    "engine",
    "runtime",
    "backends",
    "device",
)


@cache
def runtime_archive() -> bytes:
    """A zip file of :data:`PARTS`."""
    package = Path(__file__).resolve().parents[1]
    files: list[Path] = []
    for part in PARTS:
        place = package / part
        files += sorted(place.rglob("*.py")) if place.is_dir() else [place]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for file in files:
            name = f"tipsc/{file.relative_to(package).as_posix()}"
            archive.writestr(zipfile.ZipInfo(name), file.read_bytes())  # dated 1980: reproducible
    return stream.getvalue()
