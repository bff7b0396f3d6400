"""Every task: its score over batches, its losses' best place, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tipsc.batch import flat, mapped, rows
from tipsc.errors import ConfigError, DataError
from tipsc.tasks import TASKS
from tipsc.tasks.alike import Fidelity, distance, fidelity
from tipsc.tasks.boxes import kept, overlaps
from tipsc.tasks.detection import Detection, assigned
from tipsc.tasks.imitation import Imitation
from tipsc.tasks.keypoints import Keypoints, heatmaps, peaks
from tipsc.tasks.multilabel import MultiLabel
from tipsc.tasks.own import own_task
from tipsc.tasks.regression import Regression
from tipsc.tasks.segmentation import Segmentation
from tipsc.tasks.tokens import NextToken

N, CLASSES = 24, ("a", "b", "c")
G = torch.Generator().manual_seed(0)
BOXES = torch.tensor([[1.0, 1, 5, 5], [8, 8, 14, 12]]).repeat(N, 1, 1)
LABELS = torch.tensor([[0, 2], [1, -1]]).repeat(N // 2, 1)


def _logits(places: Tensor, classes: int) -> Tensor:
    """Sure of the right class: (N, ...) to (N, ..., classes)."""
    return 8.0 * torch.nn.functional.one_hot(places, classes).float() - 4.0


def _boxes_found() -> dict[str, Tensor]:
    scores = torch.full((N, 4, 3), -9.0)
    for i in range(N):
        for j, label in enumerate(LABELS[i].tolist()):
            if label >= 0:
                scores[i, j, label] = 5.0
    other = torch.tensor([[0.0, 9, 3, 15], [10, 0, 15, 4]]).repeat(N, 1, 1)
    return {"scores": scores, "boxes": torch.cat([BOXES, other], 1)}


PLACES = torch.randint(0, 3, (N, 6, 5), generator=G)
TOKENS = torch.randint(0, 7, (N, 9), generator=G)
THERE = torch.rand((N, 3), generator=G) < 0.5
NUMBERS = torch.randn((N, 2), generator=G)
POINTS = torch.cat([torch.rand((N, 2, 2), generator=G), torch.ones(N, 2, 1)], 2)
#: task, targets, and outputs that say just that
CASES: dict[str, tuple[Any, Any, Any]] = {
    "detection": (Detection(CLASSES), {"boxes": BOXES, "labels": LABELS}, _boxes_found()),
    "segmentation": (Segmentation(CLASSES), PLACES, _logits(PLACES, 3).movedim(-1, 1)),
    "multi-label": (MultiLabel(CLASSES), THERE, 8.0 * THERE.float() - 4.0),
    "one label": (MultiLabel(("a",)), THERE[:, :1], 8.0 * THERE[:, :1].float() - 4.0),
    "regression": (Regression(), NUMBERS, NUMBERS),
    "mae": (Regression("mae", unit="m"), NUMBERS, NUMBERS),
    "rmse": (Regression("rmse", learns="huber"), NUMBERS, NUMBERS),
    "keypoints": (
        Keypoints(("x", "y")), POINTS, 8 * heatmaps(POINTS, 20, 30, 0.05) - 4,
    ),
    "language-modelling": (NextToken(), TOKENS, 2 * _logits(TOKENS, 7)),
    "imitation": (Imitation(), {"y": NUMBERS, "z": POINTS}, {"y": NUMBERS, "z": POINTS}),
}  # fmt: skip
SCORES = {"classes": 2 * _logits(TOKENS, 7).movedim(-1, 1), "place": POINTS.flatten(1)}
CASES["distances"] = (
    Imitation({"classes": "kl", "place": "cosine"}), SCORES, SCORES,
)  # fmt: skip
NAMES = [name for name in CASES if name not in ("one label", "distances", "mae", "rmse")]


def noisy(value: Any, by: float) -> Any:
    chance = torch.Generator().manual_seed(1)
    return mapped(lambda t: t + by * torch.randn(t.shape, generator=chance), value)


def quality(task: Any, outputs: Any, targets: Any, *, size: int = N) -> Any:
    tally = task.score()
    for start in range(0, N, size):
        part = slice(start, start + size)
        tally.add(rows(outputs, part), rows(targets, part))
    return tally.quality


def test_the_table_has_every_task_that_is_tested() -> None:
    assert set(TASKS) == {*NAMES, "classification"}


@pytest.mark.parametrize("name", CASES)
def test_right_outputs_score_best_and_batches_do_not_matter(name: str) -> None:
    task, targets, right = CASES[name]
    task.check(targets, N, "test")
    task.check_outputs(right)
    best = quality(task, right, targets)
    worst = quality(task, noisy(right, 9.0), targets)
    assert best.above(worst) > 0.05
    assert best.measure == worst.measure
    if best.unit == "share":
        assert best.value > 0.99
    for size in (1, 5, 24):
        found = quality(task, noisy(right, 1.0), targets, size=size).value
        assert found == pytest.approx(quality(task, noisy(right, 1.0), targets).value, rel=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_losses_ask_the_device_for_no_value(name: str) -> None:
    """On the device meta there are none: whoever asks for one fails. A GPU would be waited for."""
    task, targets, right = CASES[name]
    there = [mapped(lambda tensor: tensor.to("meta"), tree) for tree in (right, targets)]
    outputs = mapped(lambda tensor: tensor.requires_grad_(), there[0])
    for loss in (task.loss(outputs, there[1]), task.imitate(outputs, there[0])):
        loss.backward()
    assert any(tensor.grad is not None for tensor in flat(outputs))


@pytest.mark.parametrize("name", CASES)
def test_losses_are_finite_lowest_where_outputs_are_right_and_reach_all_of_them(name: str) -> None:
    task, targets, right = CASES[name]
    for loss in (
        lambda outputs: task.loss(outputs, targets),
        lambda outputs: task.imitate(outputs, right),
    ):
        outputs = mapped(lambda t: t.clone().requires_grad_(), noisy(right, 2.0))
        value = loss(outputs)
        assert value.shape == () and torch.isfinite(value)
        assert float(loss(right)) < float(value)
        value.backward()
        assert all(bool((t.grad != 0).any()) for t in flat(outputs))


@pytest.mark.parametrize("name", CASES)
def test_outputs_agree_with_themselves_alone(name: str) -> None:
    task, _, right = CASES[name]
    assert task.agree(right, right) == pytest.approx(1.0)
    assert 0.0 <= task.agree(noisy(right, 9.0), right) < 0.95


@pytest.mark.parametrize("name", CASES)
def test_chance_is_worse_than_right_and_no_better_than_the_best_blind_answer(name: str) -> None:
    task, targets, right = CASES[name]
    chance = task.chance(targets)
    if chance is not None:
        assert quality(task, right, targets).above(chance) > 0
        assert chance.measure == quality(task, right, targets).measure


BAD: list[tuple[str, Callable[[], Any], str]] = [
    ("detection", lambda: BOXES, "no boxes.*fill up"),
    ("detection", lambda: {"boxes": BOXES, "labels": LABELS + 1}, "example 0: a box has no class"),
    ("detection", lambda: {"boxes": BOXES.flip(-1), "labels": LABELS}, "no area"),
    ("detection", lambda: {"boxes": BOXES, "labels": LABELS * 0 - 1}, "no example has a box"),
    ("segmentation", lambda: PLACES.float(), "no classes of places.*float32"),
    ("segmentation", lambda: PLACES + 1, "has no class.*got 3"),
    ("segmentation", lambda: PLACES * 0 + 255, "no place"),
    ("multi-label", lambda: THERE.long(), "do not fit.*int64.*bool"),
    ("multi-label", lambda: THERE[:, :2], r"\(24, 3\)"),
    ("regression", lambda: PLACES, "no numbers.*classification"),
    ("regression", lambda: NUMBERS / 0, "NaN or infinite"),
    ("keypoints", lambda: POINTS[..., :2], "x, y, seen"),
    ("keypoints", lambda: POINTS * 2, "outside of its image.*divide"),
    ("language-modelling", lambda: TOKENS.float(), "no tokens"),
    ("language-modelling", lambda: TOKENS * 0 - 100, "no token"),
]


@pytest.mark.parametrize(("name", "targets", "says"), BAD)
def test_targets_that_it_cannot_judge_by_are_refused(
    name: str, targets: Callable[[], Any], says: str
) -> None:
    with pytest.raises(DataError, match=f"test.*{says}"):
        CASES[name][0].check(targets(), N, "test")


@pytest.mark.parametrize("name", [n for n in NAMES if n != "imitation"])
@pytest.mark.parametrize("outputs", [torch.zeros(N, 17, 3, 3, 3, 3).long(), (), [torch.zeros(2)]])
def test_outputs_of_another_form_are_refused(name: str, outputs: Any) -> None:
    with pytest.raises(DataError, match=r"expected .*got"):
        CASES[name][0].check_outputs(outputs)


def test_an_image_without_a_box_teaches_that_there_is_none() -> None:
    task, _, right = CASES["detection"]
    none = {"boxes": BOXES, "labels": LABELS * 0 - 1}
    outputs = mapped(lambda t: t.clone().requires_grad_(), right)
    task.loss(outputs, none).backward()
    assert float(outputs["scores"].grad.max()) > 0  # down with what is said


def test_a_box_that_is_seen_where_there_is_none_costs_precision() -> None:
    """Half of the images have none: what is found in them counts against the others."""
    task, _, right = CASES["detection"]
    half = torch.arange(N)[:, None] % 4 < 2
    targets = {"boxes": BOXES, "labels": torch.where(half, -1, LABELS)}
    silent = {**right, "scores": torch.where(half[..., None], -9.0, right["scores"])}
    assert quality(task, silent, targets).value > 0.99
    assert 0.4 < quality(task, right, targets).value < 0.9


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=40)
def test_overlaps_are_symmetric_bounded_and_one_for_the_same_box(seed: int) -> None:
    chance = torch.Generator().manual_seed(seed)
    low = torch.rand((6, 2), generator=chance) * 10
    boxes = torch.cat([low, low + 0.5 + torch.rand((6, 2), generator=chance) * 5], 1)
    iou, wide = overlaps(boxes, boxes)
    torch.testing.assert_close(iou, iou.T)
    torch.testing.assert_close(iou.diagonal(), torch.ones(6))
    assert bool((wide <= iou + 1e-6).all()) and bool((wide >= -1).all())
    scores, labels = torch.rand(6, generator=chance), torch.arange(6) % 2
    left = kept(boxes, scores, labels, 0.3)
    assert scores[left].tolist() == sorted(scores[left].tolist(), reverse=True)
    same = (labels[left][:, None] == labels[left]) & ~torch.eye(len(left), dtype=torch.bool)
    assert not bool((same & (iou[left][:, left] > 0.3)).any())


def test_each_box_is_given_to_the_places_that_fit_it() -> None:
    _, targets, right = CASES["detection"]
    wanted, at, fits = assigned(right["scores"], right["boxes"], targets)
    assert fits[0].tolist()[:2] == pytest.approx([1.0, 1.0], abs=1e-4)
    assert at[0, :2].tolist() == [0, 1]
    assert wanted[0, 0].argmax() == 0 and wanted[0, 1].argmax() == 2
    assert float(wanted[1].sum(0)[2]) == 0  # its second box is none


def test_two_boxes_on_one_of_the_other_are_found_by_both_once() -> None:
    task = Detection(("a",))
    two = torch.tensor([[[0.0, 0, 10, 10], [0, 4, 10, 14]]])
    one = torch.tensor([[[0.0, 2, 10, 12], [90, 90, 91, 91]]])
    scores = torch.full((1, 2, 1), 5.0)
    sure = torch.tensor([[[5.0], [-9.0]]])
    assert task.agree({"scores": scores, "boxes": two}, {"scores": sure, "boxes": one}) == 0.5


def test_peaks_are_where_the_points_are() -> None:
    found = peaks(heatmaps(POINTS, 40, 60, 0.05))
    assert float((found - POINTS[..., :2]).abs().max()) <= 0.5 / 40 + 1e-6


@given(st.floats(0.01, 1000), st.integers(1, 8))
@settings(deadline=None, max_examples=25)
def test_no_output_drowns_another(scale: float, size: int) -> None:
    """A difference of a tenth of a deviation counts the same, whatever the output's size."""
    teacher = (NUMBERS, scale * NUMBERS)
    one = distance((NUMBERS + 0.1, teacher[1]), teacher)
    other = distance((NUMBERS, teacher[1] + 0.1 * scale), teacher)
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-7)
    tally = Fidelity()
    for start in range(0, N, size):
        part = slice(start, start + size)
        tally.add(rows((NUMBERS, teacher[1] + 0.3 * scale), part), rows(teacher, part))
    whole = fidelity((NUMBERS, teacher[1] + 0.3 * scale), teacher)
    assert tally.value == pytest.approx(whole, rel=1e-6)
    assert whole == pytest.approx(1 - 0.5 * 0.09 / float(NUMBERS.double().var(correction=0)), 1e-5)


class Mean:
    """A metric of the user's."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def update(self, outputs: Tensor, targets: Tensor) -> None:
        self.seen.append(float((outputs - targets).abs().mean()))

    def compute(self) -> float:
        return sum(self.seen) / len(self.seen)


class Least:
    better = "lower"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets).square().mean()

    def metric(self) -> Mean:
        return Mean()


def test_a_task_of_one_s_own_needs_a_loss_and_a_metric_and_no_more() -> None:
    task = own_task(Least(), "task.callable")
    assert (task.name, task.measure) == ("Least", "Mean")
    assert quality(task, NUMBERS + 0.5, NUMBERS).value == pytest.approx(0.5)
    assert task.quality(1.0).above(task.quality(2.0)) == 1.0
    assert float(task.imitate(NUMBERS, NUMBERS)) == 0.0
    assert task.agree(NUMBERS, NUMBERS) == 1.0


def test_a_metric_of_torchmetrics_says_itself_which_way_is_better() -> None:
    from torchmetrics.regression import MeanAbsoluteError

    class Own:
        measure, unit = "error", "m"

        def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return (outputs - targets).abs().mean()

        def metric(self) -> MeanAbsoluteError:
            return MeanAbsoluteError()

    task = own_task(Own(), "task.callable")
    assert str(quality(task, NUMBERS + 0.25, NUMBERS)) == "error 0.25 m"
    assert task.quality(1.0).better == "lower"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"loss": None}, r"no loss\(outputs, targets\)"),
        ({"metric": None}, r"no metric\(\)"),
        ({"metric": lambda self: 3}, r"no update\(\)"),
        ({"better": None}, "which way Mean is better"),
        ({"better": "up"}, "which way Mean is better.*got 'up'"),
    ],
)
def test_what_a_task_of_one_s_own_lacks_is_said(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=f"task.callable: .*{says}"):
        own_task(type("Changed", (Least,), change)(), "task.callable")


def test_a_metric_that_gives_nan_is_named() -> None:
    task = own_task(Least(), "task.callable")
    with pytest.raises(DataError, match="Least, Mean: the metric of the task gives nan"):
        quality(task, NUMBERS * float("nan"), NUMBERS)


def test_no_output_drowns_another_whatever_its_distance() -> None:
    chance = torch.Generator().manual_seed(2)
    teacher = {
        "number": 1e3 * torch.randn((256, 4), generator=chance) + 7e3,
        "vector": 1e-2 * torch.randn((256, 8), generator=chance),
        "classes": 3.0 * torch.randn((256, 5), generator=chance),
    }
    kinds = {"number": "huber", "vector": "cosine", "classes": "kl-last"}
    shares = teacher["classes"].softmax(-1).mean(0).log().expand(256, -1)
    always = mapped(lambda t: t.mean(0).expand_as(t), teacher) | {"classes": shares}
    for name, kind in kinds.items():
        one = distance({name: always[name]}, {name: teacher[name]}, {name: kind})
        assert float(one) == pytest.approx(0.425, rel=0.05)
    assert float(distance(teacher, teacher, kinds)) == pytest.approx(0.0, abs=1e-6)


def test_distances_are_of_outputs_that_are_there() -> None:
    with pytest.raises(DataError, match=r"no output of this name.*classes, place"):
        Imitation({"class": "kl"}).check_outputs(SCORES)
    with pytest.raises(DataError, match="kl needs an axis beside"):
        Imitation({"place": "kl"}).check_outputs({"place": torch.zeros(4)})
