"""Examples without labels, for a model that is trained already: its own answers are the targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tipsc.batch import Tensors, ask, mapped, placed, split
from tipsc.elastic.looking import looking
from tipsc.tasks import Classification, Task
from tipsc.train.data import SPLITS, Augment, Data, Split, check_inputs

_BATCH = 64


@dataclass(frozen=True)
class Unlabelled:
    """Inputs alone, a tensor or a tree; all other words are those of :class:`tipsc.train.Data`.

    Only how often a path agrees with the original model is known from them. What is made of them
    says so everywhere.

    Attributes:
        task: of the original; a classification if it is None here and in the configuration. Names
            of classes that it lacks are those of the model's outputs.
    """

    train: Tensors
    validation: Tensors
    test: Tensors
    task: Task | None = None
    augment: Augment | None = None

    def __post_init__(self) -> None:
        for name in SPLITS:
            check_inputs(getattr(self, name), name)

    def answered_by(self, model: nn.Module) -> Data:
        """With the model's answers as targets.

        Args:
            model: it is run in eval mode, on the device that it is on; the answers are on the CPU.

        Raises:
            DataError: the task cannot judge by its answers.
        """
        outputs = {name: _outputs(model, getattr(self, name)) for name in SPLITS}
        task, targets = (self.task or Classification()).answered(outputs)
        train, validation, test = (Split(getattr(self, name), targets[name]) for name in SPLITS)
        return Data(train, validation, test, task, self.augment)


def _outputs(model: nn.Module, inputs: Tensors) -> list[object]:
    """Of each batch."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    with looking(model), torch.inference_mode():
        return [
            mapped(Tensor.cpu, ask(model, placed(batch, device))) for batch in split(inputs, _BATCH)
        ]
