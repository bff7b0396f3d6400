"""What happened in training, step by step."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tipsc.errors import TrainingError


@dataclass(frozen=True)
class StepRecord:
    """One step.

    Attributes:
        step: from 0.
        loss: mean over the paths of the step and over all processes.
        largest, smallest: loss of that path, NaN where it was not drawn.
        learning_rate: of this step.
        seconds: the whole step.
        overhead_seconds: of it, drawing paths and keeping books, trials included.
        trial_seconds: of that, forward passes that only tried paths (adaptive samplers).
        macs: multiply-accumulates of one forward pass of all paths that were trained, for one
            example; forward and backward together take about three times as many.
        trial_macs: likewise of the paths that were only tried: forward passes alone.
    """

    step: int
    loss: float
    largest: float
    smallest: float
    learning_rate: float
    seconds: float
    overhead_seconds: float
    trial_seconds: float
    macs: float
    trial_macs: float


@dataclass
class History:
    """The steps so far. It grows while training goes on."""

    steps: list[StepRecord] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[StepRecord]:
        return iter(self.steps)

    @property
    def losses(self) -> list[float]:
        return [record.loss for record in self.steps]

    @property
    def seconds(self) -> float:
        """Time spent in steps, over all runs that this training was resumed in."""
        return math.fsum(record.seconds for record in self.steps)

    @property
    def peak(self) -> float | None:
        """The highest learning rate; None without steps."""
        return max((record.learning_rate for record in self.steps), default=None)

    @property
    def overhead(self) -> float:
        """Share of the time that went into drawing paths and keeping books."""
        spent = math.fsum(record.overhead_seconds for record in self.steps)
        return spent / self.seconds if self.steps else 0.0

    @property
    def macs(self) -> float:
        """Compute so far, in multiply-accumulates for one example of each step's batch.

        A backward pass counts as two forward passes: three times ``macs`` plus ``trial_macs``.
        """
        return math.fsum(3 * record.macs + record.trial_macs for record in self.steps)

    def to_tensor(self) -> Tensor:
        """(steps, 10) float64: a checkpoint holds tensors, not objects."""
        rows = [astuple(record) for record in self.steps]
        return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1)

    @classmethod
    def from_tensor(cls, rows: Tensor) -> History:
        """The inverse of :meth:`to_tensor`."""
        return cls([StepRecord(int(row[0]), *row[1:]) for row in rows.tolist()])

    @classmethod
    def joined(cls, parts: Iterable[History]) -> History:
        """One training after the other, numbered through."""
        steps = [record for part in parts for record in part]
        return cls([replace(record, step=number) for number, record in enumerate(steps)])

    def to_lines(self) -> str:
        """JSON lines, an object a step; a missing loss is null."""
        return "".join(
            json.dumps({k: None if v != v else v for k, v in asdict(record).items()}) + "\n"
            for record in self.steps
        )

    @classmethod
    def read(cls, file: Path) -> History:
        """From a file of JSON lines.

        Raises:
            TrainingError: it is not such a file.
        """
        records = []
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    fields: dict[str, Any] = {
                        k: math.nan if v is None else v for k, v in json.loads(line).items()
                    }
                    records.append(StepRecord(**fields))
                except (ValueError, TypeError, AttributeError) as error:
                    raise TrainingError(
                        "this line is no step of a training", where=f"{file}:{number}"
                    ) from error
        return cls(records)
