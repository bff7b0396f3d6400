"""Numbers of a step that are read some steps later.

A GPU works on what the host has asked it for. Who reads a number of the current step waits until
all of that is done, and the GPU then waits for the host: a loss that nobody needs at once is copied
behind the step, and read when it is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

STEPS = 8
"""How many steps later, on a GPU."""

Reader = Callable[[Sequence[float]], None]


@dataclass(frozen=True)
class _Coming:
    numbers: Tensor
    event: torch.cuda.Event | None
    reader: Reader


class Later:
    """Numbers on a device, and who reads them.

    Args:
        steps: that numbers are left alone; 0 to read them at once.
    """

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._coming: deque[_Coming] = deque()

    def read(self, numbers: Sequence[Tensor], reader: Reader) -> None:
        """Has scalars read, in the order in which this is called."""
        stacked, event = torch.stack([number.detach() for number in numbers]), None
        if stacked.device.type == "cuda":
            there = torch.empty(stacked.shape, dtype=stacked.dtype, pin_memory=True)
            stacked = there.copy_(stacked, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
        self._coming.append(_Coming(stacked, event, reader))
        while len(self._coming) > self._steps:
            self._read_next()

    def read_all(self) -> None:
        """Has all read that are left."""
        while self._coming:
            self._read_next()

    def _read_next(self) -> None:
        coming = self._coming.popleft()
        if coming.event is not None and not coming.event.query():
            coming.event.synchronize()
        coming.reader(coming.numbers.tolist())
