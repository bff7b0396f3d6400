"""Classification: what its loss, its score and its checks say, held against plain formulas."""

from __future__ import annotations

import pytest
import torch

from tipsc.errors import DataError
from tipsc.quality import Quality
from tipsc.tasks import Classification, Task

TASK: Task = Classification(("a", "b", "c"))
OUTPUTS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 3.0, 1.0], [1.0, 0.0, 0.5], [0.0, 0.0, 2.0]])
TARGETS = torch.tensor([0, 1, 2, 2])


def log_shares(outputs: torch.Tensor) -> torch.Tensor:
    return outputs - outputs.exp().sum(1, keepdim=True).log()


def test_the_loss_is_the_mean_surprise_and_smoothing_spreads_the_target() -> None:
    logs = log_shares(OUTPUTS)
    hard = -logs[torch.arange(4), TARGETS].mean()
    torch.testing.assert_close(TASK.loss(OUTPUTS, TARGETS), hard)
    smooth = 0.7 * hard - 0.3 * logs.mean()
    torch.testing.assert_close(TASK.loss(OUTPUTS, TARGETS, smoothing=0.3), smooth)


def test_imitation_is_best_at_the_teacher_and_moves_the_student_alone() -> None:
    teacher = OUTPUTS.clone().requires_grad_()
    student = (OUTPUTS + 5.0).requires_grad_()  # the same shares
    TASK.imitate(student, teacher).backward()
    assert teacher.grad is None
    torch.testing.assert_close(student.grad, torch.zeros(4, 3), rtol=0, atol=1e-6)  # float32
    assert TASK.imitate(OUTPUTS.flip(1), OUTPUTS) > TASK.imitate(OUTPUTS, OUTPUTS)


def test_a_score_accumulates_over_batches_of_any_size() -> None:
    tally = TASK.score()
    for rows in (slice(0, 1), slice(1, 4)):
        tally.add(OUTPUTS[rows], TARGETS[rows])
    assert tally.quality == Quality("accuracy", 0.75, "share", "higher")


def test_agreement_asks_for_the_same_answer_and_not_for_the_right_one() -> None:
    assert TASK.agree(OUTPUTS * 3, OUTPUTS) == 1.0
    assert TASK.agree(OUTPUTS.flip(1), OUTPUTS) == 0.25


def test_chance_names_the_commonest_class() -> None:
    assert TASK.chance(TARGETS) == Quality("accuracy", 0.5, "share")


def test_classes_without_an_example_are_named_where_labels_are_known() -> None:
    parts = {"train": TARGETS, "validation": torch.tensor([2, 2])}
    assert TASK.lacking(parts) == ["2 of 3 classes have no validation example: a, b"]
    assert Classification(("a", "b", "c"), labelled=False).lacking(parts) == []


def test_outputs_of_another_number_are_refused_with_what_to_correct() -> None:
    TASK.check_outputs(OUTPUTS)
    with pytest.raises(DataError, match=r"here: .*3 outputs.*got 4 .*classes or the last layer"):
        TASK.check_outputs(torch.zeros(1, 4), "here", "the last layer")


def test_answers_become_targets_and_the_quality_is_agreement() -> None:
    task, targets = Classification().answered({"train": [OUTPUTS[:3], OUTPUTS[3:]]})
    assert task == Classification(("0", "1", "2"), labelled=False)
    assert targets["train"].tolist() == [0, 1, 0, 2]
    assert task.measure == "agreement"
    assert task.chance(targets["train"]).name == "agreement"


def test_classes_are_a_sequence_of_names() -> None:
    with pytest.raises(DataError, match=r"names of the classes.*got str"):
        Classification("abc")  # type: ignore[arg-type]


def test_targets_without_a_class_are_refused_with_what_to_do() -> None:
    ten = torch.arange(30) % 10
    nine = Classification(tuple("abcdefghi"))
    said = r"train, example 9: a target has no class \(expected 0 to 8, .*got 0 to 9\); name all 10"
    with pytest.raises(DataError, match=said):
        nine.check(ten, 30, "train")
    with pytest.raises(
        DataError, match=r"begin with 1 \(expected 0 to 9, .*got 1 to 10\); subtract"
    ):
        Classification(tuple("abcdefghij")).check(ten + 1, 30, "test")


def test_a_target_that_nobody_looked_at_before_is_no_crash_and_no_wrong_answer() -> None:
    for judge in (TASK.loss, TASK.score().add):
        with pytest.raises(DataError, match=r"begin with 1 \(expected 0 to 2, for 3 classes"):
            judge(OUTPUTS, TARGETS + 1)
