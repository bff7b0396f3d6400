"""Examples without labels, for a model that is trained already: its own answers are the targets."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tipsc.elastic.looking import looking
from tipsc.errors import DataError
from tipsc.train.data import Augment, Data, Split, check_examples, check_tensor, placed

FEWEST_CLASSES = 2
FEWEST_TO_JUDGE = 8  # examples: fewer may all be of one class by chance
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
    with looking(model), torch.inference_mode():
        found = [model(placed(batch, device)) for batch in inputs.split(_BATCH)]
    first = found[0]
    if not isinstance(first, Tensor) or first.dim() != 2 or first.shape[1] < FEWEST_CLASSES:
        raise DataError(
            "the original model is no classifier: its answers cannot stand in for labels",
            where=f"data.{name}",
            expected=f"outputs of shape (N, classes), with at least {FEWEST_CLASSES} classes",
            got=tuple(first.shape) if isinstance(first, Tensor) else type(first).__name__,
            fix="tipsc builds classifiers; a model that gives anything else cannot be judged yet",
        )
    answers = torch.cat(found).clone().cpu()
    if not bool(torch.isfinite(answers).all()):
        raise DataError(
            "the original model answers with NaN or infinity",
            where=f"data.{name}, example {int((~torch.isfinite(answers)).any(1).nonzero()[0])}",
            fix="see that its weights are loaded, and that inputs are those it was trained with",
        )
    chosen = answers.argmax(-1)
    if len(answers) >= FEWEST_TO_JUDGE and bool((chosen == chosen[0]).all()):
        raise DataError(
            "the original model gives all examples the same class: any path would agree with it",
            where=f"data.{name}",
            expected="answers of at least two classes",
            got=f"class {int(chosen[0])} for all {len(answers)} examples",
            fix="give examples of several classes; a model whose outputs are no classes (a "
            "regression) cannot be judged yet",
        )
    return answers
