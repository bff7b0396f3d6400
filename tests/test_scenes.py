"""The scenes of the examples of garments: boxes and masks are those of the pixels."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

FILE = Path(__file__).parents[1] / "examples" / "detect_garments" / "scenes.py"
COUNT = 60


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return runpy.run_path(str(FILE))


@pytest.fixture(scope="module")
def scenes(made: dict[str, Any]) -> Any:
    return made["compose"]("test", COUNT, 0)


def test_a_garment_that_stands_alone_fills_its_box_to_the_edges(scenes: Any) -> None:
    alone = 0
    for boxes, labels, mask in zip(scenes.boxes, scenes.labels, scenes.masks, strict=True):
        if int((labels >= 0).sum()) == 1:
            x1, y1, x2, y2 = boxes[0].int().tolist()
            rows, columns = torch.nonzero(mask).unbind(1)
            assert (int(columns.min()), int(rows.min())) == (x1, y1)
            assert (int(columns.max()) + 1, int(rows.max()) + 1) == (x2, y2)
            assert set(mask.unique().tolist()) == {0, 1 + int(labels[0])}
            alone += 1
    assert alone > 5


def test_every_garment_is_seen_and_nothing_else(scenes: Any) -> None:
    for boxes, labels, mask in zip(scenes.boxes, scenes.labels, scenes.masks, strict=True):
        left = mask.clone()
        for (x1, y1, x2, y2), label in zip(boxes.int().tolist(), labels.tolist(), strict=True):
            if label >= 0:
                assert (mask[y1:y2, x1:x2] == 1 + label).float().mean() > 0.2
                left[y1:y2, x1:x2] = 0
        assert not left.any()


def test_the_same_seed_gives_the_same_scenes_and_another_one_others(
    made: dict[str, Any], scenes: Any
) -> None:
    again, other = (made["compose"]("test", 3, seed) for seed in (0, 1))
    assert torch.equal(again.images, scenes.images[:3])
    assert not torch.equal(again.images, other.images)


def test_parts_have_no_image_in_common(made: dict[str, Any]) -> None:
    parts = [made["_garments"](part)[0].flatten(1) for part in ("train", "validation", "test")]
    seen = [{row.numpy().tobytes() for row in part} for part in parts]
    assert len(seen[0]) > 4000
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])
