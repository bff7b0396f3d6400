"""What paths learn: labels and the original's answers, in the share that the key says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tipsc.batch import Batch
from tipsc.convert import ConvertedSupernet, convert
from tipsc.elastic import family
from tipsc.errors import ConfigError
from tipsc.project.config import Config
from tipsc.project.lessons import Lessons, lessons_of, teacher_of
from tipsc.project.loading import Model
from tipsc.tasks import Classification
from tipsc.train import Data, Phase, Split, TrainConfig, Unlabelled
from tipsc.train.passes import train_paths

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))


def original() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()


def moved() -> ConvertedSupernet:
    """Of the original, with other weights: it would answer as the original does."""
    supernet = convert(original(), X[:2])
    with torch.no_grad():
        for parameter in supernet.parameters():
            parameter.mul_(0.9)
    return supernet


def gradient(
    labels: torch.Tensor, teacher: nn.Module | None, **settings: Any
) -> tuple[float, torch.Tensor]:
    """The loss that the largest path is trained by, and what reaches the weights."""
    supernet = moved()
    settings = {"distill": False, "label_smoothing": 0.0, "original": teacher, **settings}
    (loss,) = train_paths(
        supernet, Batch(X, labels), [supernet.space.largest], Classification(), **settings
    )
    grads = [p.grad.flatten() for p in supernet.parameters() if p.grad is not None]
    return loss.trained.item(), torch.cat(grads)


LABELS = X[:, :4].argmax(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_the_loss_is_the_mix_that_the_share_says(share: float, smoothing: float) -> None:
    teacher = original()
    answers = teacher(X).softmax(-1).detach()
    supernet = moved()
    outputs = supernet(X, supernet.space.largest).detach()
    soft = F.cross_entropy(outputs, answers).item()
    hard = F.cross_entropy(outputs, LABELS, label_smoothing=smoothing).item()
    loss, _ = gradient(LABELS, teacher, teacher_share=share, label_smoothing=smoothing)
    assert loss == pytest.approx(share * soft + (1 - share) * hard, rel=1e-5)  # float32


def test_what_is_learned_reaches_the_weights_and_what_is_not_does_not() -> None:
    teacher, others = original(), (LABELS + 1) % 4
    mixed = [gradient(labels, teacher, teacher_share=0.5)[1] for labels in (LABELS, others)]
    assert not torch.allclose(*mixed)
    taught = [gradient(labels, teacher, teacher_share=1.0)[1] for labels in (LABELS, others)]
    assert torch.equal(*taught)
    alone, without = (gradient(LABELS, of, teacher_share=0.0)[1] for of in (teacher, None))
    assert torch.equal(alone, without)


def model_of(*, plain: bool = True, labelled: bool = True) -> Model:
    split = Split(X, LABELS)
    data = Data(split, split, split, Classification(tuple("abcd")))
    if not plain:
        return Model(family("temporal", classes=4, input_shape=(3, 16)), None, data)
    teacher = original()
    if not labelled:
        data = Unlabelled(X, X, X).answered_by(teacher)
    return Model(convert(teacher, X[:2]), teacher, data)


def share_of(model: Model, **given: Any) -> float | None:
    return teacher_of(TrainConfig(epochs=4, frozen_epochs=0, **given), set(given), model)


def test_the_share_of_the_teacher() -> None:
    default = TrainConfig(epochs=4).teacher_share
    assert share_of(model_of()) == default
    assert share_of(model_of(), teacher_share=0.2, label_smoothing=0.1) == 0.2
    assert share_of(model_of(labelled=False)) == 1.0  # there is nothing else to learn
    assert share_of(model_of(labelled=False), teacher_share=1.0) == 1.0
    assert share_of(model_of(plain=False), distill=True, label_smoothing=0.1) is None


PHASES = (Phase(share=1.0, distill=True),)


@pytest.mark.parametrize(
    ("model", "given", "says"),
    [
        ({"plain": False}, {"teacher_share": 0.5}, "teacher_share: there is no original"),
        ({}, {"distill": True}, r"train\.distill: the original teaches all paths already"),
        ({}, {"phases": PHASES}, r"train\.phases\.0\.distill: the original teaches"),
        ({"labelled": False}, {"teacher_share": 0.5}, "without labels.*expected 1.*got 0.5"),
        ({"labelled": False}, {"label_smoothing": 0.1}, "no effect where no labels are learned"),
        (
            {},
            {"label_smoothing": 0.1, "teacher_share": 1.0},
            "no effect.*lower train.teacher_share",
        ),
    ],
)
def test_a_key_without_effect_is_refused(
    model: dict[str, bool], given: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        share_of(model_of(**model), **given)


def lessons(plain: bool = True, **train: Any) -> Lessons:
    settings = {"epochs": 4, "frozen_epochs": 2, **train}
    document = {
        "name": "m", "model": {"callable": "m.py:load"}, "data": {"callable": "d.py:load"},
        "train": settings,
    }  # fmt: skip
    return lessons_of(Config.model_validate(document), model_of(plain=plain))


def parts(found: Lessons) -> list[tuple[int, int] | None]:
    """Epochs, and frozen ones, in the whole space and of the paths that ship."""
    return [
        None if part is None else (part.epochs, part.frozen_epochs)
        for part in (found.wide, found.narrow)
    ]


def test_of_a_trained_model_only_the_paths_that_ship_are_trained() -> None:
    assert parts(lessons()) == [None, (4, 2)]
    assert parts(lessons(plain=False)) == [(2, 0), (2, 2)]  # from scratch half of it


def test_how_long_is_trained_where_nobody_says() -> None:
    def epochs(plain: bool, **train: Any) -> int:
        document = {
            "name": "m", "model": {"callable": "m.py:load"}, "data": {"callable": "d.py:load"},
            "train": train,
        }  # fmt: skip
        return lessons_of(Config.model_validate(document), model_of(plain=plain)).epochs

    assert epochs(plain=True) == 24  # only paths that ship, whose steps cost less
    assert epochs(plain=True, narrow=0.5) == epochs(plain=False) == 12
    assert epochs(plain=True, epochs=3) == 3


@pytest.mark.parametrize(
    ("narrow", "expected"),
    [
        (0.0, [(4, 2), None]),
        (0.1, [(3, 0), (1, 1)]),  # a little is an epoch, whose scales are shared
        (0.5, [(2, 0), (2, 2)]),
        (0.75, [(1, 0), (3, 2)]),
        (1.0, [None, (4, 2)]),
    ],
)
def test_narrow_is_the_share_of_the_last_epochs(
    narrow: float, expected: list[tuple[int, int] | None]
) -> None:
    for plain in (True, False):
        found = lessons(plain, narrow=narrow)
        assert parts(found) == expected
        assert found.epochs == 4


def test_a_rate_is_found_where_only_the_paths_that_ship_are_trained() -> None:
    found = lessons(find_rate=True)
    assert found.wide is None
    assert found.narrow is not None
    assert found.narrow.find_rate
    for given, looked_for in (
        ({}, True),
        ({"learning_rate": 0.01}, False),
        ({"find_rate": False}, False),
        ({"learning_rate": 0.01, "find_rate": True}, True),
    ):
        (narrow,) = (part.find_rate for part in [lessons(**given).narrow] if part is not None)
        assert narrow is looked_for
    for narrow in (0.0, 0.5):
        with pytest.raises(ConfigError, match="find_rate: the rate can be found only where"):
            lessons(find_rate=True, narrow=narrow)


def test_a_single_epoch_is_not_divided() -> None:
    for narrow, expected in ((0.0, [(1, 1), None]), (0.9, [(1, 1), None]), (1.0, [None, (1, 1)])):
        assert parts(lessons(epochs=1, frozen_epochs=1, narrow=narrow)) == expected


def test_both_parts_are_one_cycle_of_the_learning_rate() -> None:
    found = lessons(narrow=0.25, epochs=8)
    assert found.wide is not None and found.narrow is not None
    rates = [found.wide.rate(step, 600) for step in range(600)]
    rates += [found.narrow.rate(step, 200) for step in range(200)]
    whole = lessons(narrow=0.0, epochs=8).wide
    assert whole is not None
    assert rates == pytest.approx([whole.rate(step, 800) for step in range(800)])


def test_both_parts_learn_the_same_from_other_orders_of_the_examples() -> None:
    found = lessons(narrow=0.5, sampler="uniform", label_smoothing=0.1)
    assert found.wide is not None and found.narrow is not None
    assert found.wide.sampler == "uniform"
    assert found.wide.teacher_share == found.narrow.teacher_share == 0.25
    assert found.wide.label_smoothing == found.narrow.label_smoothing == 0.1
    assert found.wide.seed != found.narrow.seed


@pytest.mark.parametrize(
    "given",
    [{"sampler": "uniform"}, {"sampler_options": {"eta": 0.5}}, {"phases": ({"share": 1.0},)}],
)
def test_what_draws_from_the_whole_space_is_refused_where_nothing_is(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"train\.{next(iter(given))}.*narrow: 0.5"):
        lessons(**given)
    assert parts(lessons(narrow=0.5, **given)) == [(2, 0), (2, 2)]


@pytest.mark.parametrize("given", [{}, {"frozen_epochs": 1}])
def test_a_trained_model_that_is_no_classifier_shares_scales_from_the_first_epoch(
    given: dict[str, int],
) -> None:
    from tipsc.tasks.regression import Regression

    split = Split(X, torch.randn(len(X), 4))
    data = Data(split, split, split, Regression())
    document = {
        "name": "m", "model": {"callable": "m.py:load"}, "data": {"callable": "d.py:load"},
        "train": {"epochs": 5, **given},
    }  # fmt: skip
    lessons = lessons_of(Config.model_validate(document), Model(moved(), original(), data))
    assert lessons.narrow is not None
    assert lessons.narrow.frozen_epochs == given.get("frozen_epochs", 5)


def test_without_epochs_nothing_is_trained_and_what_needs_a_training_says_so() -> None:
    def lessons(**sections: Any) -> Lessons:
        config = Config.model_validate(
            {
                "name": "m",
                "model": {"callable": "m.py:f"},
                "data": {"callable": "d.py:f"},
                **sections,
            }
        )
        split = Split(X, LABELS)
        model = Model(moved(), original(), Data(split, split, split, Classification(tuple("abcd"))))
        return lessons_of(config, model)

    found = lessons(train={"epochs": 0})
    assert found == Lessons(None, None) and found.epochs == 0
    with pytest.raises(ConfigError, match=r"train\.epochs"):
        _ = found.last
    with pytest.raises(ConfigError, match=r"build\.share_loss"):
        lessons(train={"epochs": 0}, build={"share_loss": 0.01})
    assert lessons(train={"epochs": 3}).last.epochs == 3
