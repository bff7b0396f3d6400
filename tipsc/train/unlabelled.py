"""Examples without labels, for a model that is trained already: its own answers are the targets."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tipsc.elastic.looking import looking
from tipsc.tasks import Classification, Task
from tipsc.train.data import Augment, Data, Split, check_examples, check_tensor, placed

_BATCH = 64


@dataclass(frozen=True)
class Unlabelled:
    """Inputs (N, *shape) alone; all other words are those of :class:`tipsc.train.Data`.

    Only how often a path agrees with the original model is known from them. What is made of them
    says so everywhere.

    Attributes:
        task: of the original. Names that it lacks are those of the model's outputs.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    task: Task = field(default_factory=Classification)
    augment: Augment | None = None

    def __post_init__(self) -> None:
        for name in _SPLITS:
            check_tensor(getattr(self, name), name)

    def answered_by(self, model: nn.Module) -> Data:
        """With the model's answers as targets.

        Args:
            model: it is run in eval mode, on the device that it is on.

        Raises:
            DataError: the task cannot judge by its answers.
        """
        outputs = {name: _outputs(model, getattr(self, name)) for name in _SPLITS}
        task, targets = self.task.answered(outputs)
        train, validation, test = (Split(getattr(self, name), targets[name]) for name in _SPLITS)
        return Data(train, validation, test, task, self.augment)


_SPLITS = ("train", "validation", "test")


def _outputs(model: nn.Module, inputs: Tensor) -> list[object]:
    """Of each batch."""
    check_examples(inputs)
    device = next((p.device for p in model.parameters()), inputs.device)
    with looking(model), torch.inference_mode():
        return [model(placed(batch, device)) for batch in inputs.split(_BATCH)]
