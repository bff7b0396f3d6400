"""Batches that are on the device before a step asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from tipsc.batch import Batch, flat, mapped

AHEAD = 2
"""Batches that wait on a GPU."""

_Item = TypeVar("_Item")


def on_time(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches on the device.

    For a GPU another thread fetches them, in order, and copies them from pinned memory while the
    GPU computes: neither the host nor the steps wait for a copy.
    """
    if device.type != "cuda":
        for inputs, targets in batches:
            yield Batch(inputs, targets).on(device)
        return
    stream, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)

    def copied() -> Iterator[tuple[Batch, torch.cuda.Event]]:
        for found in batches:
            with torch.cuda.stream(stream):
                batch = Batch(*(mapped(Tensor.pin_memory, part) for part in found)).on(device)
                event = stream.record_event()
            yield batch, event

    for batch, event in fetched(copied(), AHEAD):
        current.wait_event(event)
        for tensor in (*flat(batch.inputs), *flat(batch.targets)):
            tensor.record_stream(current)  # its memory is not used anew before it is read
        yield batch


def fetched(items: Iterator[_Item], ahead: int) -> Iterator[_Item]:
    """The same items, of which another thread fetches so many before they are asked for."""

    def take() -> list[_Item]:
        return [item for item in (next(items, None),) if item is not None]

    with ThreadPoolExecutor(1, "batches") as thread:
        coming: deque[Future[list[_Item]]] = deque()
        try:
            coming.extend(thread.submit(take) for _ in range(ahead))
            while found := coming.popleft().result():
                coming.append(thread.submit(take))
                yield found[0]
        finally:
            thread.shutdown(cancel_futures=True)
