"""One export serves all paths: each graph computes what the extracted subnetwork computes."""

from __future__ import annotations

import random
from pathlib import Path as FilePath

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from tipsc.elastic import (
    ElasticBatchNorm2d,
    ElasticConv2d,
    ElasticLinear,
    Statistics,
    Supernet,
    extract,
    family,
    trace,
)
from tipsc.errors import LoweringError
from tipsc.lower import LOCATION, Lowered, compare, lower
from tipsc.lower.plan import Planner
from tipsc.lower.surgery import _check_weights_read
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.signature import Signature, TensorSpec
from tipsc.tasks import Classification

STAGES = (
    {"channels": 8, "depths": (1, 2)},
    {"channels": 12, "depths": (1, 2, 3), "kernels": (3, 5), "stride": 2},
)
FAMILIES = {
    "mobilenet": {
        "classes": 5,
        "input_shape": (1, 12, 12),
        "stem": 8,
        "stages": STAGES,
        "head": 16,
    },
    "transformer": {"classes": 5, "input_shape": (2, 8, 8), "patch": 4, "width": 24},
    "transformer-tokens": {"classes": 5, "vocabulary": 11, "length": 7, "width": 24},
    "temporal": {"classes": 5, "input_shape": (3, 32), "channels": (8, 12)},
}


def inputs_for(supernet: Supernet, count: int) -> Tensor:
    """Random signals or tokens."""
    shape = (count, *supernet.inputs[0].shape[1:])
    tokens = supernet.inputs[0].dtype == "int64"
    return torch.randint(0, 11, shape) if tokens else torch.randn(shape)


def make(name: str) -> Supernet:
    """A supernet whose running statistics are not the initial ones."""
    torch.manual_seed(0)
    supernet = family(name, **FAMILIES[name])
    generator = random.Random(0)
    for _ in range(3):
        supernet.train()(inputs_for(supernet, 8), supernet.space.sample(generator))
    return supernet.eval()


def own_statistics(
    supernet: Supernet, path: Path, *, scale: bool = False, ratios: bool = False
) -> Statistics:
    """Made-up statistics of the right shapes, different for each path."""
    generator = torch.Generator().manual_seed(int(path.id, 16))
    mean, variance, ratio = {}, {}, {}
    for step in trace(supernet, path).steps:
        layer = supernet.get_submodule(step.module) if step.module else None
        if hasattr(layer, "running_mean"):
            size = layer.part("running_mean", path).shape
            mean[step.module] = torch.randn(size, generator=generator) * 0.3
            if scale:
                variance[step.module] = torch.rand(size, generator=generator) + 0.5
            if ratios:
                ratio[step.module] = float(torch.rand((), generator=generator) * 1.5 + 0.25)
    return Statistics(path.id, mean, variance, ratio)


def session(lowered: Lowered, path_id: str, folder: FilePath) -> onnxruntime.InferenceSession:
    (folder / LOCATION).write_bytes(lowered.weights)
    file = folder / f"{path_id}.onnx"
    file.write_bytes(lowered.graphs[path_id])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(file, options)


def largest_difference(
    lowered: Lowered, supernet: Supernet, path: Path, statistics: Statistics | None, tmp: FilePath
) -> float:
    run = session(lowered, path.id, tmp)
    inputs, targets = inputs_for(supernet, 4), torch.zeros(4, dtype=torch.int64)
    module = extract(supernet, path, statistics)
    found = compare(
        lambda feeds: run.run(None, {run.get_inputs()[0].name: feeds[0]}),
        module,
        inputs,
        targets,
        supernet.signature,
        Classification(),
    )
    return found.largest


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("own", [{}, {"ratios": True}, {"scale": True}], ids=repr)
def test_each_path_equals_its_extraction(
    name: str, own: dict[str, bool], tmp_path: FilePath
) -> None:
    supernet = make(name)
    generator = random.Random(1)
    paths = [supernet.space.largest, supernet.space.smallest]
    paths += [supernet.space.sample_options(generator) for _ in range(10)]
    statistics = {p.id: own_statistics(supernet, p, **own) for p in paths}
    lowered = lower(supernet, paths, statistics)
    for path in paths:
        difference = largest_difference(lowered, supernet, path, statistics[path.id], tmp_path)
        assert difference < 1e-5


@pytest.mark.parametrize("name", FAMILIES)
def test_graphs_are_valid_onnx_without_batch_norms(name: str, tmp_path: FilePath) -> None:
    supernet = make(name)
    lowered = lower(supernet, [supernet.space.smallest, supernet.space.largest])
    (tmp_path / LOCATION).write_bytes(lowered.weights)
    for path_id, graph in lowered.graphs.items():
        (tmp_path / path_id).write_bytes(graph)
        onnx.checker.check_model(str(tmp_path / path_id), full_check=True)
        operations = {node.op_type for node in onnx.load_from_string(graph).graph.node}
        assert "BatchNormalization" not in operations
        assert "Constant" not in operations


def test_a_width_costs_no_second_copy_of_the_weights() -> None:
    supernet = make("mobilenet")
    generator = random.Random(2)
    paths = [supernet.space.largest, *(supernet.space.sample_options(generator) for _ in range(20))]
    one = lower(supernet, paths[:1])
    many = lower(supernet, paths)
    parameters = sum(p.numel() for p in supernet.parameters())
    assert len(one.weights) <= 4 * parameters * 1.05
    biases = sum(size.private for size in many.sizes.values())
    assert len(many.weights) <= len(one.weights) * 1.35 + biases  # the net is tiny, biases are not


def test_own_scale_makes_weights_private() -> None:
    supernet = make("mobilenet")
    paths = [supernet.space.smallest, supernet.space.largest]
    shared = lower(supernet, paths, {p.id: own_statistics(supernet, p) for p in paths})
    small = paths[0].id
    private = lower(
        supernet,
        paths,
        {
            small: own_statistics(supernet, paths[0], scale=True),
            paths[1].id: own_statistics(supernet, paths[1]),
        },
    )
    assert private.sizes[small].private > 2 * shared.sizes[small].private
    assert private.sizes[small].shared < shared.sizes[small].shared


def test_lowering_is_deterministic() -> None:
    supernet = make("transformer")
    paths = [supernet.space.smallest, supernet.space.largest]
    first, second = lower(supernet, paths), lower(supernet, paths)
    assert first.weights == second.weights
    assert first.graphs == second.graphs


def test_the_supernet_keeps_its_mode() -> None:
    supernet = make("temporal").train()
    lower(supernet, [supernet.space.smallest])
    assert supernet.training


GIVEN = TensorSpec("input", "float32", (1, 3), "NC")


class PreActivation(Supernet):
    """Norms that cannot be folded, a stock convolution with a bias, and a split."""

    def __init__(self) -> None:
        self.width = Choice("width", (4, 8))
        given = TensorSpec("input", "float32", (1, 3, 6, 6), "NCHW")
        super().__init__(SearchSpace((self.width,)), [given])
        self.entry = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = ElasticBatchNorm2d(8)
        self.widen = ElasticConv2d(8, self.width, 3, bias=True)
        self.narrow = ElasticConv2d(self.width, 8, 1)
        self.out = ElasticLinear(4, 5)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        x = self.entry(x)
        y = self.narrow(torch.relu(self.widen(torch.relu(self.norm(x, path)), path)), path)
        left, right = (x + y).mean((2, 3)).chunk(2, dim=1)
        return self.out(left * torch.sigmoid(right), path)


def test_a_hand_written_supernet_with_norms_that_do_not_fold(tmp_path: FilePath) -> None:
    torch.manual_seed(0)
    supernet = PreActivation()
    supernet.train()(torch.randn(16, 3, 6, 6), supernet.space.largest)
    supernet.eval()
    paths = list(supernet.space.enumerate())
    lowered = lower(supernet, paths)
    for path in paths:
        assert largest_difference(lowered, supernet, path, None, tmp_path) < 1e-5


class OnlyWhenSmall(Supernet):
    """A step that the largest path does not have."""

    def __init__(self) -> None:
        super().__init__(SearchSpace((Choice("width", (4, 8)),)), [GIVEN])
        self.one = nn.Linear(3, 5)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        y = self.one(x)
        return torch.tanh(y) if path["width"] == 4 else y


def test_a_step_that_no_exported_path_has_is_named() -> None:
    supernet = OnlyWhenSmall()
    with pytest.raises(LoweringError, match=r"tanh.*on none of the paths that are exported"):
        lower(supernet, list(supernet.space.enumerate()))


class Halves(nn.Module):
    """Its inner shape is that of the path."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], 2, x.shape[1] // 2).relu().flatten(1)


class ShapesWithin(Supernet):
    def __init__(self) -> None:
        super().__init__(SearchSpace((Choice("width", (4, 8)),)), [GIVEN])
        width = self.space.choices[0]
        self.first, self.last = ElasticLinear(3, width), ElasticLinear(width, 5)
        self.halves = Halves()

    def forward(self, x: Tensor, path: Path) -> Tensor:
        return self.last(self.halves(self.first(x, path)), path)


def test_an_inner_shape_that_depends_on_the_path_is_right(tmp_path: FilePath) -> None:
    supernet = ShapesWithin()
    paths = list(supernet.space.enumerate())
    lowered = lower(supernet, paths)
    for path in paths:
        assert largest_difference(lowered, supernet, path, None, tmp_path) < 1e-5


class JoinsMore(Supernet):
    """An operation with two inputs on one path, and three on the other."""

    def __init__(self) -> None:
        super().__init__(SearchSpace((Choice("width", (4, 8)),)), [GIVEN])
        self.one = nn.Linear(3, 5)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        y = self.one(x)
        return torch.cat([y, y] if path["width"] == 4 else [y, y, y], 1)


def test_an_operation_with_another_number_of_inputs_is_named() -> None:
    supernet = JoinsMore()
    with pytest.raises(LoweringError, match=r"cat.*another number of inputs.*expected 3, got 2"):
        lower(supernet, list(supernet.space.enumerate()))


def test_a_weight_that_no_node_reads_is_named() -> None:
    """It would be a path that computes something else."""
    first = Planner(make("temporal")).plan(make("temporal").space.largest).operations[0]
    assert first.weights
    with pytest.raises(LoweringError, match=r"its .* has no place in what was exported"):
        _check_weights_read([onnx.helper.make_node("Relu", ["input"], ["output"])], first)


class DependsOnValues(Supernet):
    def __init__(self) -> None:
        super().__init__(SearchSpace((Choice("width", (4, 8)),)), [GIVEN])
        self.one = nn.Linear(3, 5)

    def forward(self, x: Tensor, path: Path) -> Tensor:
        return self.one(x) if x.sum() > 0 else x


def test_control_flow_on_values_is_refused_with_a_fix() -> None:
    with pytest.raises(LoweringError, match="depend on the path only"):
        lower(DependsOnValues(), [DependsOnValues().space.largest])


def test_nothing_to_lower_is_an_error() -> None:
    with pytest.raises(LoweringError, match="no path"):
        lower(make("temporal"), [])


def test_a_wrong_output_is_seen() -> None:
    module = nn.Linear(3, 2)
    signature = Signature.plain(
        [TensorSpec("x", "float32", (1, 3), "N-")], [TensorSpec("y", "float32", (1, 2), "N-")]
    )
    wrong = compare(
        lambda feeds: [np.full((1, 2), np.nan)],
        module,
        torch.randn(2, 3),
        torch.zeros(2),
        signature,
        Classification(),
    )
    with pytest.raises(Exception, match="something else than torch"):
        wrong.check("path 1")
