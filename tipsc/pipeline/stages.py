"""Stages of a build: each is done once for the same inputs, and a killed build resumes.

A stage works in a folder of its own, named by a key over everything that it depends on. When it
is done it leaves a manifest with the hashes of its files; without a sound manifest the stage is
not done. Nothing is trusted because it merely lies there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tipsc.engine.atomic import write_atomically
from tipsc.errors import UsageError
from tipsc.system_errors import naming

MANIFEST = "stage.json"
KEY_DIGITS = 12
#: of a stage's inputs: what it is for, of each of several targets
TOGETHER = "paths_together"


@dataclass(frozen=True)
class StageDone:
    """A stage that is done.

    Attributes:
        name: of the stage.
        key: over its inputs.
        folder: with its files.
        seconds: that it took when it was done.
        cached: whether it had been done before.
    """

    name: str
    key: str
    folder: Path
    seconds: float
    cached: bool


def key_of(inputs: Mapping[str, object]) -> str:
    """A short key over JSON-able inputs: equal inputs, equal key."""
    text = json.dumps(inputs, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def trained_for(folder: Path) -> int:
    """How many targets a stage is for: several of a training that they have in common."""
    try:
        inputs = json.loads((folder / MANIFEST).read_text())["inputs"]
        return len(inputs[TOGETHER])
    except (OSError, ValueError, KeyError, TypeError):
        return 1


class Stages:
    """The stages below one folder. One build at a time: use it inside :func:`only_one_build`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.done: list[StageDone] = []

    def run(
        self,
        name: str,
        inputs: Mapping[str, object],
        work: Callable[[Path], None],
        *,
        resumable: bool = False,
        good: Callable[[Path], bool] = lambda folder: True,
    ) -> StageDone:
        """Does a stage unless it has been done for these inputs.

        Args:
            name: of the stage.
            inputs: everything that the result depends on, JSON-able.
            work: writes the stage's files into the folder that it is given.
            resumable: `work` can go on from what an earlier, killed run left in the folder;
                otherwise it finds the folder empty.
            good: of a stage that was done, whether it is good enough; it is done again if not.
        """
        key = key_of({"stage": name, **inputs})
        folder = self._folder / f"{name}-{key}"
        found = _sound(folder, key)
        if found is None or not good(folder):
            if not resumable:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            start = time.perf_counter()
            with naming(folder):
                work(folder)
                seconds = time.perf_counter() - start
                self._finish(folder, name, key, seconds, inputs)
            stage = StageDone(name, key, folder, seconds, cached=False)
        else:
            stage = StageDone(name, key, folder, found, cached=True)
        self.done.append(stage)
        return stage

    def kept(self, name: str, key: str) -> Path | None:
        """The folder of a stage by its key, if it is done and sound; None if it is not."""
        folder = self._folder / f"{name}-{key}"
        is_key = re.fullmatch(r"[0-9a-f]+", key) is not None
        return folder if is_key and _sound(folder, key) is not None else None

    @staticmethod
    def _finish(
        folder: Path, name: str, key: str, seconds: float, inputs: Mapping[str, object]
    ) -> None:
        manifest = {
            "stage": name,
            "key": key,
            "seconds": round(seconds, 3),
            "inputs": inputs,
            "files": {
                str(file.relative_to(folder)): _sha256(file)
                for file in sorted(folder.rglob("*"))
                if file.is_file() and file.name != MANIFEST
            },
        }
        text = json.dumps(manifest, indent=1, default=str)
        write_atomically(folder / MANIFEST, [text.encode()])


def _sound(folder: Path, key: str) -> float | None:
    """The seconds of a finished stage; None if it is not done or its files have changed."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["key"] != key:
            return None
        for name, digest in manifest["files"].items():
            if _sha256(folder / name) != digest:
                return None
        return float(manifest["seconds"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def only_one_build(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which ends with the process even if it is killed.

    Raises:
        UsageError: another build is at work in this folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(
                "another build is at work here",
                where=str(folder),
                fix="wait for it, or give the build another name",
            ) from None
        yield
