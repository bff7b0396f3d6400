"""Engines that compute something else than torch: each way to be wrong, and each is stopped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import GraphProto, TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from torch import nn

from tipsc.compile import Job, compile_candidates
from tipsc.convert import ConvertedSupernet, convert
from tipsc.engine import EngineFile
from tipsc.errors import VerificationError
from tipsc.lower import Difference, Lowered, run_both
from tipsc.lower.verify import Outputs, check_distinct
from tipsc.pipeline import verify as assemble
from tipsc.pipeline.manifest import make_manifest
from tipsc.pipeline.verify import verify_engine
from tipsc.project.target import Target, load_target
from tipsc.search.candidates import Candidate
from tipsc.signature import Signature, TensorSpec
from tipsc.tasks import Classification
from tipsc.train import Split, calibrate
from tipsc.tree import TENSOR

PRECISIONS = {"fp32": "host", "fp16": "jetson-fp16", "int8": "jetson-int8"}
EXAMPLES = 200
LOSS = 0.04  # of a net that learned for a moment; int8 moves a few of 200 examples


def silent(done: float, total: float, note: str = "") -> None:
    return None


@dataclass(frozen=True)
class Net:
    supernet: ConvertedSupernet
    candidates: Sequence[Candidate]
    test: Split
    compiled: dict[str, Lowered]

    def target(self, precision: str) -> Target:
        """Whose graphs are run by ONNX Runtime, as where the device is not at hand."""
        target = load_target(PRECISIONS[precision])
        return target.model_copy(update={"backend": "onnxruntime"})

    def verify(
        self,
        folder: Path,
        lowered: Lowered,
        precision: str = "fp32",
        *,
        loss: float = LOSS,
        verified: int | None = None,
    ) -> Mapping[str, Difference]:
        """Writes the engine and verifies it, or the first `verified` of its paths."""
        target, file = self.target(precision), folder / "net.tipsc"
        lowered.write(
            file, make_manifest("net", target, self.supernet, self.candidates, lowered, {})
        )
        return verify_engine(
            file,
            target,
            self.supernet,
            self.candidates[:verified],
            self.test,
            Classification(),
            EXAMPLES,
            1e-4,
            silent,
            loss,
        ).differences


class Model(nn.Module):
    """Of the digits; it has learned some of them."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.inner = nn.Sequential(
            nn.Conv2d(16, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU(),
            nn.Conv2d(48, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16),
        )  # fmt: skip
        self.head = nn.Linear(16 * 4, 10)
        optimizer = torch.optim.AdamW(self.parameters(), 0.01)
        for _ in range(4):
            for x, y in zip(images.split(64), labels.split(64), strict=True):
                optimizer.zero_grad()
                nn.functional.cross_entropy(self(x), y).backward()
                optimizer.step()
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = nn.functional.max_pool2d(x + self.inner(x), 4)
        return self.head(x.flatten(1))


@pytest.fixture(scope="module")
def net() -> Net:
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    labels = torch.tensor(digits.target, dtype=torch.int64)
    supernet = convert(
        Model(images[:1200], labels[:1200]), images[:2], widths=(0.5, 0.75, 1.0), depth=False
    )
    space = supernet.space
    middle = space.path({c.name: c.options[-2] for c in space.choices})
    candidates = [
        Candidate(path, None, 0, 0, calibrate(supernet, path, [images[:512]]))
        for path in (space.largest, middle, space.smallest)
    ]
    compiled = {}
    for precision, name in PRECISIONS.items():
        job = Job(load_target(name), supernet, candidates, images[:512], None, silent)
        lowered = compile_candidates(job)
        assert isinstance(lowered, Lowered)
        compiled[precision] = lowered
    return Net(supernet, candidates, Split(images[1200:], labels[1200:]), compiled)


Change = Callable[[GraphProto, bytes], None]
"""Of a path's graph, which is changed, given the weights that it reads."""


def changed(lowered: Lowered, path: str, change: Change) -> Lowered:
    """With another graph for one path; the weights and the other paths stay as they are."""
    model = onnx.load_from_string(lowered.graphs[path])
    change(model.graph, lowered.weights)
    graphs = {**lowered.graphs, path: model.SerializeToString(deterministic=True)}
    return replace(lowered, graphs=graphs)


def multiplied(factor: float, axes: range) -> Change:
    """The last float or int8 tensor of so many axes."""

    def change(graph: GraphProto, weights: bytes) -> None:
        kinds = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT8)
        tensor = [t for t in graph.initializer if t.data_type in kinds and len(t.dims) in axes][-1]
        kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if tensor.data_location == TensorProto.EXTERNAL:
            place = {entry.key: int(entry.value) for entry in tensor.external_data[1:]}
            count = int(np.prod(tensor.dims))
            values = np.frombuffer(weights, kind, count, place["offset"]).reshape(tensor.dims)
        else:
            values = numpy_helper.to_array(tensor)
        wrong = (values * np.float64(factor)).astype(kind)
        tensor.CopyFrom(numpy_helper.from_array(wrong, tensor.name))

    return change


def after(*operations: tuple[str, Sequence[object]]) -> Change:
    """Operations on the path's output; "x" is the input, "y" what came before."""

    def change(graph: GraphProto, _: bytes) -> None:
        before = "before:output"
        for node in graph.node:
            node.output[:] = [before if name == "output" else name for name in node.output]
            node.input[:] = [before if name == "output" else name for name in node.input]
        for index, (kind, operands) in enumerate(operations):
            last = index == len(operations) - 1
            names = []
            for place, operand in enumerate(operands):
                if isinstance(operand, str):
                    known = {"x": graph.input[0].name, "y": before}
                    names.append(known.get(operand, operand))
                    continue
                names.append(f"constant:{index}:{place}")
                graph.initializer.append(numpy_helper.from_array(np.asarray(operand), names[-1]))
            graph.node.append(helper.make_node(kind, names, ["output" if last else f"step{index}"]))

    return change


def only_some(value: float, sizes: np.ndarray, share: float) -> Change:
    """The outputs of those examples whose sum is among the largest are `value`."""
    limit = np.float32(np.sort(sizes)[-max(round(share * len(sizes)), 1)] - 1e-3)
    return after(
        ("ReduceSum", ["x", np.array([0, 1, 2, 3])]),
        ("Reshape", ["step0", np.array([1, 1])]),
        ("Greater", ["step1", limit]),
        ("Where", ["step2", np.full((1, 10), value, np.float32), "y"]),
    )


def swapped(lowered: Lowered, first: str, second: str) -> Lowered:
    graphs = dict(lowered.graphs)
    graphs[first], graphs[second] = graphs[second], graphs[first]
    return replace(lowered, graphs=graphs)


def ids(net: Net) -> list[str]:
    return [candidate.path.id for candidate in net.candidates]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_right_engine_passes(net: Net, precision: str, tmp_path: Path) -> None:
    found = net.verify(tmp_path, net.compiled[precision], precision)
    assert list(found) == ids(net)
    assert all(d.inputs == EXAMPLES and d.quality.value > 0.3 for d in found.values())
    if precision != "fp32":
        assert all(d.largest > 1e-4 for d in found.values())  # else it would not be rounded


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "wrong", ["weights", "bias", "scale", "one example", "NaN once", "infinity once"]
)
def test_a_wrong_path_is_refused(net: Net, wrong: str, place: int, tmp_path: Path) -> None:
    path = ids(net)[place]
    sizes = net.test.inputs[:EXAMPLES].sum((1, 2, 3)).numpy()
    change = {
        "weights": multiplied(1.01, range(2, 5)),
        "bias": multiplied(1.01, range(1, 2)),
        "scale": after(("Mul", ["y", np.float32(1.001)])),
        "one example": only_some(0.0, sizes, 0.0),
        "NaN once": only_some(np.nan, sizes, 0.0),
        "infinity once": only_some(np.inf, sizes, 0.0),
    }[wrong]
    engine = changed(net.compiled["fp32"], path, change)
    with pytest.raises(VerificationError, match=f"path {path} of .*something else than torch"):
        net.verify(tmp_path, engine)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
@pytest.mark.parametrize("wrong", ["weights", "twice", "half", "opposite", "NaN once", "some"])
def test_a_wrong_rounded_path_is_refused(
    net: Net, wrong: str, precision: str, tmp_path: Path
) -> None:
    path = ids(net)[1]
    sizes = net.test.inputs[:EXAMPLES].sum((1, 2, 3)).numpy()
    change = {
        "weights": multiplied(-1, range(2, 5)),
        "twice": after(("Mul", ["y", np.float32(2)])),  # names the same classes
        "half": after(("Mul", ["y", np.float32(0.45)])),
        "opposite": after(("Neg", ["y"])),
        "NaN once": only_some(np.nan, sizes, 0.0),
        "some": only_some(0.0, sizes, 0.1),  # of a hundred examples, ten
    }[wrong]
    engine = changed(net.compiled[precision], path, change)
    with pytest.raises(VerificationError, match=f"path {path} of .*(something else|accuracy)"):
        net.verify(tmp_path, engine, precision, loss=LOSS if wrong == "some" else 1.0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_paths_that_changed_places_are_refused(net: Net, precision: str, tmp_path: Path) -> None:
    """Also where the other path is about as accurate."""
    first, second, _ = ids(net)
    engine = swapped(net.compiled[precision], first, second)
    with pytest.raises(VerificationError, match=r"something else|what another path does"):
        net.verify(tmp_path, engine, precision, loss=1.0)


def test_lost_accuracy_is_allowed_up_to_the_key(net: Net, tmp_path: Path) -> None:
    """The highest class of a few examples is another: the outputs are nearly right."""
    path = ids(net)[0]
    push = np.zeros((1, 10), np.float32)
    push[0, 3] = 4.0
    engine = changed(net.compiled["int8"], path, after(("Add", ["y", push])))
    found = net.verify(tmp_path, engine, "int8", loss=1.0)[path]
    assert 0.02 < found.lost < 0.6
    net.verify(tmp_path, engine, "int8", loss=max(found.lost, LOSS) + 1e-9)
    with pytest.raises(VerificationError, match=f"path {path}.*too much accuracy"):
        net.verify(tmp_path, engine, "int8", loss=found.lost - 1e-3)


@pytest.mark.parametrize("verified", [1, 2])
def test_a_path_that_nobody_compared_is_refused(net: Net, verified: int, tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="other paths than were compiled"):
        net.verify(tmp_path, net.compiled["fp32"], verified=verified)


def test_the_backend_s_caches_are_checked_too(
    net: Net, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What they can get wrong is tested with LiteRT, which alone has a trap there."""

    def wrong(engine: EngineFile, inputs: list[np.ndarray], *, threads: int) -> None:
        paths, examples = len(engine.manifest.paths), len(inputs[0])
        raise VerificationError(f"cache of {paths}, {examples}, {threads}")

    monkeypatch.setattr(assemble, "check_caches", wrong)
    with pytest.raises(VerificationError, match="cache of 3, 16, 1"):
        net.verify(tmp_path, net.compiled["fp32"])


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3,), ()])
def test_outputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    signature = Signature.plain(
        [TensorSpec("x", "float32", (1, 3), "N-")], [TensorSpec("y", "float32", (1, 2), "N-")]
    )
    with pytest.raises(VerificationError, match=r"another shape.*expected \(1, 2\)"):
        run_both(lambda _: [np.zeros(shape)], nn.Linear(3, 2), torch.randn(2, 3), signature)


def test_like_paths_may_be_a_little_nearer_to_each_other_than_rounding() -> None:
    """Rounding moves outputs in any direction: only what is far nearer is another path."""
    own, other = np.zeros((8, 4)), np.full((8, 4), 1.0)

    def outputs(expected: np.ndarray, got: np.ndarray) -> Outputs:
        return Outputs((expected,), (got,), TENSOR, 8)

    check_distinct({"a": outputs(own, own + 0.6), "b": outputs(other, other)}, "net.tipsc")
    with pytest.raises(VerificationError, match=r"path a of net\.tipsc.*outputs of path b"):
        check_distinct({"a": outputs(own, own + 0.7), "b": outputs(other, other)}, "net.tipsc")
