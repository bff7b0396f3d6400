"""Batches that are on the device before a step asks for them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeAlias

import torch
from torch import Tensor

from tipsc.batch import Batch, flat, mapped

AHEAD = 2
"""Batches that wait on a GPU."""

_Copied: TypeAlias = tuple[Batch, torch.cuda.Event]


def on_time(batches: Iterable[Batch], device: torch.device) -> Iterator[Batch]:
    """The same batches on the device.

    For a GPU another thread fetches them, in order, and copies them from pinned memory while the
    GPU computes: neither the host nor the steps wait for a copy.
    """
    if device.type != "cuda":
        for inputs, targets in batches:
            yield Batch(inputs, targets).on(device)
        return
    source, stream = iter(batches), torch.cuda.Stream(device)

    def fetch() -> _Copied | None:
        found = next(source, None)
        if found is None:
            return None
        with torch.cuda.stream(stream):
            pinned = Batch(*(mapped(_pinned, part) for part in found))
            there = pinned.on(device)
            return there, stream.record_event()

    with ThreadPoolExecutor(1, "batches") as thread:
        coming: deque[Future[_Copied | None]] = deque()
        try:
            coming.extend(thread.submit(fetch) for _ in range(AHEAD))
            while (copied := coming.popleft().result()) is not None:
                coming.append(thread.submit(fetch))
                batch, event = copied
                current = torch.cuda.current_stream(device)
                current.wait_event(event)
                for tensor in (*flat(batch.inputs), *flat(batch.targets)):
                    tensor.record_stream(current)  # its memory is not used anew before it is read
                yield batch
        finally:
            thread.shutdown(wait=True, cancel_futures=True)


def _pinned(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_cuda else tensor.pin_memory()
