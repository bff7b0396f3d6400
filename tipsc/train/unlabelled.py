"""Examples without labels, for a model that is trained already: its own answers are the targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tipsc.errors import DataError
from tipsc.train.data import Augment, Data, Split, check_examples, check_tensor, placed

_BATCH = 64


@dataclass(frozen=True)
class Unlabelled:
    """Inputs (N, *shape) alone; all other words are those of :class:`tipsc.train.Data`.

    No accuracy can be told from them, only how often a path agrees with the original model. What
    is made of them says so everywhere.

    Attributes:
        classes: names of the model's outputs; their numbers if not given.
    """

    train: Tensor
    validation: Tensor
    test: Tensor
    classes: tuple[str, ...] = ()
    augment: Augment | None = None

    def __post_init__(self) -> None:
        for name in _SPLITS:
            check_tensor(getattr(self, name), name)

    def answered_by(self, model: nn.Module) -> Data:
        """With the model's answers (its largest outputs) as targets.

        Args:
            model: gives (N, classes); it is run in eval mode, on the device that it is on.

        Raises:
            DataError: it gives something else, or another number of outputs than `classes` names.
        """
        answers = {name: _answers(model, getattr(self, name), name) for name in _SPLITS}
        outputs = next(iter(answers.values())).shape[1]
        if self.classes and len(self.classes) != outputs:
            raise DataError(
                "the classes are not as many as the model's outputs",
                where="data.classes",
                expected=outputs,
                got=len(self.classes),
                fix="name all of them, or none",
            )
        train, validation, test = (
            Split(getattr(self, name), answers[name].argmax(-1)) for name in _SPLITS
        )
        classes = self.classes or tuple(map(str, range(outputs)))
        return Data(train, validation, test, classes, self.augment, metric="agreement")


_SPLITS = ("train", "validation", "test")


def _answers(model: nn.Module, inputs: Tensor, name: str) -> Tensor:
    check_examples(inputs)
    device = next((p.device for p in model.parameters()), inputs.device)
    mode = model.training
    model.eval()
    try:
        with torch.inference_mode():
            found = [model(placed(batch, device)).cpu() for batch in inputs.split(_BATCH)]
    finally:
        model.train(mode)
    if not isinstance(found[0], Tensor) or found[0].dim() != 2:
        raise DataError(
            "the original model is no classifier: its answers cannot stand in for labels",
            expected="outputs of shape (N, classes)",
            got=tuple(found[0].shape) if isinstance(found[0], Tensor) else type(found[0]).__name__,
            fix="give labelled data",
        )
    return torch.cat(found).clone()
