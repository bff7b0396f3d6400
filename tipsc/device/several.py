"""Several devices at once: each is measured by a thread of its own, all else takes turns.

While a device measures, this machine only waits; whatever computes here (calibrating, lowering,
fitting) is done by one thread at a time, because there is one model and few cores.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tipsc.device.client import Connection, connect
from tipsc.device.measuring import Arrays, Device, Remote, Run
from tipsc.profile import Protocol, Samples, System
from tipsc.progress import Progress
from tipsc.project.target import Target

Result = TypeVar("Result")


class TakingTurns:
    """A device whose calls let another thread have its turn while they wait."""

    def __init__(self, device: Device, turn: threading.Lock) -> None:
        self._device, self._turn = device, turn

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        self._turn.release()
        try:
            yield
        finally:
            self._turn.acquire()

    @property
    def essence(self) -> Mapping[str, object]:
        with self._waiting():
            return self._device.essence

    def system(self) -> System:
        with self._waiting():
            return self._device.system()

    def versions(self, name: str) -> Mapping[str, str]:
        with self._waiting():
            return self._device.versions(name)

    def measure(
        self,
        file: Path,
        target: Target,
        example: Arrays,
        seed: int,
        progress: Progress,
        only: Collection[str] | None,
    ) -> tuple[Protocol, Samples]:
        with self._waiting():
            return self._device.measure(file, target, example, seed, progress, only)

    def pauses(
        self, file: Path, target: Target, example: Arrays, seed: int
    ) -> Mapping[str, Sequence[float]]:
        with self._waiting():
            return self._device.pauses(file, target, example, seed)

    def energies(self, file: Path, target: Target, example: Arrays) -> Mapping[str, float]:
        with self._waiting():
            return self._device.energies(file, target, example)

    @contextmanager
    def opened(
        self, file: Path, target: Target, paths: Sequence[str], inputs: Arrays
    ) -> Iterator[Run]:
        with self._device.opened(file, target, paths, inputs) as run:
            yield run


def on_each(
    urls: Sequence[str], work: Callable[[str, Device], Result]
) -> dict[str, Result | BaseException]:
    """Does ``work(url, device)`` for several devices at once.

    Returns:
        By URL, what it gave or how it failed: one device's failure stops no other.
    """
    turn = threading.Lock()
    connections: list[Connection] = []

    def one(url: str) -> Result:
        with connect(url) as connection:
            connections.append(connection)
            device = TakingTurns(Remote(connection), turn)
            with turn:
                return work(url, device)

    found: dict[str, Result | BaseException] = {}
    with ThreadPoolExecutor(len(urls)) as pool:
        futures = {url: pool.submit(one, url) for url in urls}
        try:
            for url, future in futures.items():
                error = future.exception()
                found[url] = future.result() if error is None else error
        except BaseException:  # stopped: no thread waits for an answer that is of no use any more
            for connection in connections:
                connection.cut()
            raise
    return found


def label_of(url: str) -> str:
    """A device's URL as part of a file name: without options, in letters that all systems take."""
    return re.sub(r"[^A-Za-z0-9]+", "-", url.split("?")[0].split("://")[-1]).strip("-").lower()


def labels_of(urls: Sequence[str]) -> dict[str, str]:
    """A label for each URL, numbered where two would be the same."""
    labels: dict[str, str] = {}
    for url in urls:
        label, number = label_of(url), 2
        while label in labels.values():
            label, number = f"{label_of(url)}-{number}", number + 1
        labels[url] = label
    return labels
