"""What training, evaluation and verification ask a task for. A task knows no backend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from tipsc.batch import Tensors
from tipsc.quality import Quality


class Tally(Protocol):
    """Judges outputs batch by batch."""

    def add(self, outputs: Any, targets: Tensors) -> None:
        """Counts a batch in; both on one device."""

    @property
    def quality(self) -> Quality:
        """Of all outputs so far, at least one."""


class Task(Protocol):
    """What a model is trained for and judged by.

    Outputs are what the model gives for a batch: a tensor, or a tree of tensors. Targets are trees
    of tensors (N, ...), as the data have them.
    """

    @property
    def name(self) -> str:
        """Of the task; what is trained and built depends on it."""

    @property
    def measure(self) -> str:
        """The name of its quality."""

    @property
    def labelled(self) -> bool:
        """Whether targets are known; else the original model's answers stand in for them."""

    @property
    def scale_free(self) -> bool:
        """Whether what outputs say stays the same when all of them grow by a factor."""

    @property
    def sized_by(self) -> str:
        """The argument of tipsc's families that makes a model's outputs fit."""

    def loss(self, outputs: Any, targets: Tensors, *, smoothing: float = 0.0) -> Tensor:
        """The mean over a batch, a scalar with a gradient.

        Args:
            smoothing: how little the targets are trusted, from 0 to 1.
        """

    def imitate(self, student: Any, teacher: Any) -> Tensor:
        """The loss of outputs against a teacher's, which get no gradient."""

    def score(self) -> Tally:
        """A judge that has seen nothing yet."""

    def agree(self, outputs: Any, original: Any) -> float:
        """The share, 0..1, of examples on which both say the same."""

    def quality(self, value: float) -> Quality:
        """A value of its measure.

        Raises:
            DataError: it cannot be one.
        """

    def chance(self, targets: Tensors) -> Quality | None:
        """Of the best that can be said without looking at an example; None: unknown."""

    def check(self, targets: Tensors, examples: int, where: str) -> None:
        """Refuses targets that it cannot judge by.

        Args:
            examples: how many inputs there are.
            where: the part of the data.

        Raises:
            DataError: names the first example that is wrong.
        """

    def lacking(self, parts: Mapping[str, Tensors]) -> list[str]:
        """Sentences on what the targets of a part of the data do not have; none if all is there.

        Args:
            parts: targets that :meth:`check` lets pass, by the part's name.
        """

    def check_outputs(self, outputs: Any, where: str = "", fix: str = "") -> None:
        """Refuses a model whose outputs (N, ...) do not fit the targets.

        Args:
            fix: what to correct in the model.

        Raises:
            DataError: what was expected and found.
        """

    def answered(
        self, outputs: Mapping[str, Sequence[object]]
    ) -> tuple[Task, Mapping[str, Tensors]]:
        """The task of answering as the original does, and its answers as targets.

        Args:
            outputs: what the original gives, batch by batch, for each part of the data.

        Raises:
            DataError: these are no answers that a path could be judged by.
        """
