"""The tutorial's application: an engine with three detectors, and boxes at three budgets."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper
from synthetic_engine import Net

from tipsc.engine import write_engine
from tipsc.signature import Signature, TensorSpec
from tipsc.tasks.detection import decoded
from tipsc.tree import TENSOR, Tree

ROOT = Path(__file__).parents[2]
APP = ROOT / "examples" / "detect_garments" / "app.py"
IDS = ["00000000", "11111111", "22222222"]
SIDE, PLACES = 16, 3


@pytest.fixture(scope="module")
def app() -> dict[str, Any]:
    return runpy.run_path(str(APP))


def detector(boxes: int) -> bytes:
    """A graph that finds so many boxes whatever it sees, and each of them twice."""
    scores = np.full((1, 2 * PLACES, 2), -9, np.float32)
    scores[0, : 2 * boxes, 1] = 3
    corners = np.repeat(np.float32([[0, 0, 5, 4], [6, 6, 9, 9], [11, 2, 40, 8]]), 2, 0)[None]
    constants = {"all_scores": scores, "all_boxes": corners}
    nodes = [
        helper.make_node("Mul", ["image", "nothing"], ["none"]),
        helper.make_node("ReduceSum", ["none"], ["zero"], keepdims=0),
        helper.make_node("Add", ["all_scores", "zero"], ["scores"]),
        helper.make_node("Add", ["all_boxes", "zero"], ["boxes"]),
    ]
    constants["nothing"] = np.zeros((), np.float32)
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", 1, [1, 1, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("scores", 1, list(scores.shape)),
            helper.make_tensor_value_info("boxes", 1, list(corners.shape)),
        ],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return bytes(model.SerializeToString())


def engine_in(folder: Path, net: Net) -> Path:
    """The costlier a path, the more boxes it finds."""
    manifest, pair = net.manifest(IDS), Tree("dict", ("scores", "boxes"), (TENSOR, TENSOR))
    signature = Signature(
        (TensorSpec("image", "float32", (1, 1, SIDE, SIDE), "NCHW"),),
        (
            TensorSpec("scores", "float32", (1, 2 * PLACES, 2), "N--"),
            TensorSpec("boxes", "float32", (1, 2 * PLACES, 4), "N--"),
        ),
        TENSOR,
        pair,
    )
    vars(manifest).update(signature=signature)
    file = folder / "boxes.tipsc"
    write_engine(file, manifest, b"", {name: detector(1 + i) for i, name in enumerate(IDS)})
    return file


def test_it_draws_the_boxes_of_three_paths_side_by_side(
    app: dict[str, Any], net: Net, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ramp = np.linspace(0, 0.5, SIDE * SIDE, dtype=np.float32).reshape(1, 1, SIDE, SIDE)
    np.save(tmp_path / "image.npy", ramp)
    app["main"](engine_in(tmp_path, net), tmp_path / "image.npy", tmp_path / "boxes.pgm")
    said = capsys.readouterr().out.splitlines()
    assert [line.split(": ", 1)[1] for line in said] == [
        f"path {name}, boxes: {count}" for count, name in enumerate(IDS, 1)
    ]
    header, size, rest = (tmp_path / "boxes.pgm").read_bytes().split(b" ", 3)[0:3]
    assert (header, size, rest) == (b"P5", b"%d" % (3 * SIDE), b"%d" % SIDE)
    pixels = np.frombuffer((tmp_path / "boxes.pgm").read_bytes()[-3 * SIDE * SIDE :], np.uint8)
    sheets = np.split(pixels.reshape(SIDE, 3 * SIDE), 3, 1)
    for count, sheet in enumerate(sheets, 1):
        assert (sheet[0, :6] == 255).all() and (sheet[:5, 5] == 255).all()  # the first box
        assert (sheet[9, 6:10] == 255).all() == (count > 1)
        assert (sheet[2, 11:] == 255).all() == (count > 2)  # what is outside is cut off
        assert sheet[12, 3] < 255


def test_it_keeps_the_boxes_that_the_task_is_judged_by(app: dict[str, Any]) -> None:
    chance = np.random.default_rng(0)
    corners = chance.uniform(0, 40, (1, 60, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + chance.uniform(5, 25, (1, 60, 2))], 2)
    scores = chance.normal(0, 2, (1, 60, 3)).astype(np.float32)
    ((expected, _, _),) = decoded((torch.tensor(scores), torch.tensor(boxes)), 0.4, 0.6)
    found = app["kept"](scores[0], boxes[0])
    assert 5 < len(found) < 60
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)


def test_the_tutorial_shows_it() -> None:
    assert APP.read_text() in (ROOT / "docs" / "tutorials" / "detector.md").read_text()
