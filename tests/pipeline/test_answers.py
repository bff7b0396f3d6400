"""What paths say to test examples is kept with its form, and can be read without the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tipsc.batch import Batch
from tipsc.lower.verify import Outputs
from tipsc.pipeline import answers as kept
from tipsc.pipeline.answers import Answers, answers_of, load_answers, save_answers, telling
from tipsc.signature import Signature, TensorSpec
from tipsc.tree import TENSOR, Tree

PAIR = Tree("dict", ("scores", "time_first"), (TENSOR, TENSOR))
SIGNATURE = Signature(
    (TensorSpec("image", "float32", (1, 3), "N-"),),
    (
        TensorSpec("scores", "float32", (1, 4), "N-"),
        TensorSpec("time_first", "float32", (5, 1), "-N"),
    ),
    TENSOR,
    PAIR,
)


def outputs(value: float, examples: int = 10) -> Outputs:
    got = (
        np.full((examples, 4), value, np.float32),
        np.tile(np.arange(examples, dtype=np.float32), (5, 1)),
    )
    return Outputs(got, got, PAIR, examples)


def of_three(examples: int = 10) -> Answers:
    batch = Batch(torch.arange(3.0 * examples).reshape(-1, 3), {"labels": torch.arange(examples)})
    said = {path: outputs(value, examples) for value, path in enumerate("abcde")}
    merit = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.9, "e": 0.8}
    return answers_of(batch, said, merit, SIGNATURE)


@pytest.mark.parametrize(
    ("merits", "expected"),
    [
        ((0.1,), (0,)),
        ((0.1, 0.2), (0, 1)),
        ((0.1, 0.2, 0.3), (0, 1, 2)),
        ((0.1, 0.2, 0.9, 0.3), (0, 1, 2)),
        ((0.1, 0.2, 0.3, 0.3, 0.9, 0.1), (0, 2, 4)),
        ((0.9, 0.2, 0.3, 0.4, 0.5), (0, 2, 4)),
        ((-3.0, -2.0, -1.0), (0, 1, 2)),
    ],
)
def test_the_cheapest_the_best_and_one_between_are_shown(
    merits: tuple[float, ...], expected: tuple[int, ...]
) -> None:
    by_path = {str(place): merit for place, merit in enumerate(merits)}
    assert telling(by_path) == tuple(map(str, expected))


def test_they_come_back_as_they_were(tmp_path: Path) -> None:
    made = of_three()
    save_answers(tmp_path, made)
    found = load_answers(tmp_path)
    assert list(found.outputs) == ["a", "c", "d"]
    np.testing.assert_array_equal(found.inputs, made.inputs)
    np.testing.assert_array_equal(found.targets["labels"], np.arange(10))
    for value, path in ((0, "a"), (2, "c"), (3, "d")):
        np.testing.assert_array_equal(found.outputs[path]["scores"], np.full((10, 4), value))


def test_only_as_many_examples_as_have_room_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    each = 8 + 3 * (4 + 5) * 4  # a label, and two outputs of three paths
    monkeypatch.setattr(kept, "_ROOM", 4 * each)
    made = of_three()
    assert len(made.targets["labels"]) == len(made.inputs) == 4
    assert made.outputs["a"]["scores"].shape == (4, 4)
    assert made.outputs["a"]["time_first"].tolist() == 5 * [[0, 1, 2, 3]]  # the second axis


def test_one_example_is_kept_however_large_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "_ROOM", 1)
    assert len(of_three().targets["labels"]) == 1


def test_inputs_are_kept_of_a_few_examples_alone() -> None:
    made = of_three(200)
    assert len(made.targets["labels"]) == 200
    assert len(made.inputs) == 6
