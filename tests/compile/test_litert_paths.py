"""Paths compiled for LiteRT compute what torch computes, and share their weights."""

from __future__ import annotations

import io
import os
import pickle
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from conftest import Case
from plain_tflite import flatbuffer, two_widths
from tiny_paths import (
    candidates_of,
    compiled,
    inputs_of,
    silent,
    some_paths,
    target,
    write_engine_of,
)
from torch import Tensor, nn

from tipsc.compile import litert as compiler
from tipsc.compile.tflite import workers
from tipsc.compile.tflite.merge import merge
from tipsc.elastic import ElasticLinear, Supernet, extract
from tipsc.engine import read_engine, unpack
from tipsc.errors import LoweringError
from tipsc.lower.parts import parts_of
from tipsc.paths import Choice, SearchSpace
from tipsc.pipeline.verify import verify_engine
from tipsc.runtime import Engine
from tipsc.signature import TensorSpec
from tipsc.tasks import Classification
from tipsc.train import Split


def operators(model: bytes) -> Iterator[list[str]]:
    """Names of the operators of each signature."""
    parsed = schema.ModelT.InitFromPackedBuf(model, 0)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    for graph in parsed.subgraphs:
        yield [names[parsed.operatorCodes[op.opcodeIndex].builtinCode] for op in graph.operators]


@pytest.fixture(params=["images_case", "series_case"])
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.getfixturevalue(request.param)
    return found


def test_each_path_computes_what_torch_computes(case: Case) -> None:
    inputs = inputs_of(case.supernet, 5)
    with Engine.open(case.engine) as engine:
        for candidate in case.candidates:
            module = extract(case.supernet, candidate.path, candidate.statistics)
            with torch.no_grad():
                expected = module(inputs).numpy()
            got = np.concatenate(
                [engine.run(x[None].numpy(), path=candidate.path.id) for x in inputs]
            )
            assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_path_computes_with_what_is_its_own_and_costs_that(
    series_case: Case, tmp_path: Path
) -> None:
    supernet, inputs = series_case.supernet, inputs_of(series_case.supernet, 5)
    space = supernet.space
    paths = [space.smallest, space.largest, *some_paths(supernet, 3)]
    candidates = candidates_of(supernet, list(dict.fromkeys(paths)))
    before = compiled(supernet, candidates, series_case.cache)
    shared, *others = candidates
    parts = parts_of(supernet, shared.path)
    own = {
        name: value.detach() * 0.8 + 0.1 * torch.randn_like(value)
        for name, value in extract(supernet, shared.path).named_parameters()
        if name in {*parts.head.names, *parts.layers[-1].names, *parts.biases.names}
    }
    mine = replace(shared, statistics=replace(shared.statistics, own=own))
    after = compiled(supernet, [mine, *others], series_case.cache)
    engine = write_engine_of(tmp_path / "own.tipsc", supernet, [mine, *others], after)
    with Engine.open(engine) as opened:
        for candidate in (mine, *others):
            module = extract(supernet, candidate.path, candidate.statistics)
            with torch.no_grad():
                expected = module(inputs).numpy()
            got = np.concatenate(
                [opened.run(x[None].numpy(), path=candidate.path.id) for x in inputs]
            )
            assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()
    name = shared.path.id
    grown = after.sizes[name].private - before.sizes[name].private
    assert grown == 4 * (parts.layers[-1].values + parts.head.values)


def test_no_transposition_is_left(case: Case) -> None:
    found = list(operators(case.compiled.model))
    assert len(found) == len(case.candidates)
    for names in found:
        assert "CONV_2D" in names
        assert "TRANSPOSE" not in names


def test_verification_runs_every_path_with_and_without_caches(images_case: Case) -> None:
    inputs = inputs_of(images_case.supernet, 20)
    split = Split(inputs, torch.zeros(20, dtype=torch.int64))
    found = verify_engine(
        images_case.engine, target(), images_case.supernet, images_case.candidates, split,
        Classification(), 20,
        1e-4, silent,
    ).differences  # fmt: skip
    assert {c.path.id for c in images_case.candidates} == set(found)
    assert all(difference.largest < 1e-5 for difference in found.values())


def test_verification_knows_a_path_in_int8_from_the_others(
    images_case: Case, int8_engine: Path
) -> None:
    split = Split(inputs_of(images_case.supernet, 64), torch.zeros(64, dtype=torch.int64))
    case, into = images_case, target("int8")
    found = verify_engine(
        int8_engine,
        into,
        case.supernet,
        case.candidates,
        split,
        Classification(),
        64,
        1e-4,
        silent,
        0.2,
    ).differences
    # An untrained net's paths lie close together, and yet each is nearest to its own.
    assert all(0.001 < difference.typical < 0.1 for difference in found.values())


def test_in_int8_the_ends_alone_are_float32(int8_engine: Path) -> None:
    for names in operators(bytes(read_engine(int8_engine).weights)):
        counts = Counter(names)
        assert (counts["QUANTIZE"], counts["DEQUANTIZE"]) == (1, 1)


def test_int8_names_the_same_class(images_case: Case, int8_engine: Path) -> None:
    assert all("CONV_2D" in names for names in operators(bytes(read_engine(int8_engine).weights)))
    # Inputs that calibration has not seen.
    inputs = inputs_of(images_case.supernet, 160)[32:]
    with Engine.open(int8_engine) as engine:
        for candidate in images_case.candidates:
            module = extract(images_case.supernet, candidate.path, candidate.statistics)
            with torch.no_grad():
                expected = module(inputs).numpy()
            got = np.concatenate(
                [engine.run(x[None].numpy(), path=candidate.path.id) for x in inputs]
            )
            # An untrained net's classes lie close together; a trained one's agree by 99 %.
            assert (got.argmax(1) == expected.argmax(1)).mean() > 0.8
            assert np.abs(got - expected).max() < 0.2 * np.abs(expected).max()


def test_weights_are_quantised_by_channel_and_shared(int8_engine: Path) -> None:
    engine = read_engine(int8_engine)
    parsed = schema.ModelT.InitFromPackedBuf(bytes(engine.weights), 0)
    names = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
    for graph in parsed.subgraphs:
        for operator in graph.operators:
            if names[parsed.operatorCodes[operator.opcodeIndex].builtinCode] == "CONV_2D":
                weights = graph.tensors[operator.inputs[1]]
                assert weights.type == schema.TensorType.INT8
                assert len(weights.quantization.scale) == weights.shape[0]
    assert all(path.shared_bytes > 0 for path in engine.manifest.paths)


def test_paths_that_differ_in_biases_alone_share_all_weights(images_case: Case) -> None:
    (file, *_) = sorted(images_case.cache.glob("*[0-9a-f].tflite"))
    content = file.read_bytes()
    parsed = schema.ModelT.InitFromPackedBuf(content, 0)
    graph, biases = parsed.subgraphs[0], 0
    for operator in graph.operators:
        if len(operator.inputs) == 3 and graph.tensors[operator.inputs[2]].buffer:
            buffer = parsed.buffers[graph.tensors[operator.inputs[2]].buffer]
            buffer.data = (buffer.data.view(np.float32) + 1).view(np.uint8)
            biases += len(buffer.data) // 64 * 64 + 64
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(parsed.Pack(builder), b"TFL3")
    both = merge({"a": content, "b": bytes(builder.Output())})
    assert both.sizes["a"].shared == both.sizes["b"].shared
    assert both.sizes["b"].private <= biases
    weights = both.sizes["a"].shared
    graph_bytes = len(merge({"a": content}).model) - both.sizes["a"].shared
    assert len(both.model) < weights + 2 * (graph_bytes + biases)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("two graphs", "path wide: the converter wrote more than one graph"),
        ("two signatures", "path wide: the converter wrote more than one graph"),
        ("two outputs", "path wide: the converter gave a path other inputs or outputs"),
        ("two inputs", "path wide: the converter gave a path other inputs or outputs"),
        ("other shape", "paths differ in the shape of input or output"),
    ],
)
def test_what_is_no_path_is_not_merged(wrong: str, says: str) -> None:
    files = two_widths()
    model = schema.ModelT.InitFromPackedBuf(files["wide"], 0)
    graph, signature = model.subgraphs[0], model.signatureDefs[0]
    if wrong == "two graphs":
        model.subgraphs.append(graph)
    elif wrong == "two signatures":
        model.signatureDefs.append(signature)
    elif wrong == "two outputs":
        signature.outputs.append(signature.outputs[0])
    elif wrong == "two inputs":
        signature.inputs.append(signature.inputs[0])
    else:
        graph.tensors[graph.outputs[0]].shape = [1, 4, 4, 7]
    merge(files)
    with pytest.raises(LoweringError, match=says):
        merge({**files, "wide": flatbuffer(model)})


def test_unpacked_it_is_a_standard_file(images_case: Case, tmp_path: Path) -> None:
    files = unpack(images_case.engine, tmp_path / "out")
    assert [file.name for file in files] == ["model.tflite", "manifest.json"]
    interpreter = Interpreter(str(files[0]))
    x = inputs_of(images_case.supernet, 1)
    with Engine.open(images_case.engine) as engine:
        assert set(interpreter.get_signature_list()) == {path.id for path in engine.paths}
        for path in engine.paths:
            runner = interpreter.get_signature_runner(path.id)
            plain = runner(input=x.permute(0, 2, 3, 1).numpy())["output"]
            assert np.allclose(engine.run(x.numpy(), path=path), plain, rtol=1e-5, atol=1e-6)


def test_a_conversion_is_done_once(images_case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError("a worker was started")

    monkeypatch.setattr(compiler, "Worker", refuse)
    again = compiled(images_case.supernet, images_case.candidates, images_case.cache)
    assert again.model == images_case.compiled.model


class Strange(Supernet):
    """With two operations that TFLite does not have, and one layer that it has."""

    def __init__(self) -> None:
        given = TensorSpec("input", "float32", (1, 6), "NC")
        super().__init__(SearchSpace((Choice("width", (4, 8)),)), [given])
        width = self.space.choices[0]
        self.first = ElasticLinear(6, width)
        self.second = ElasticLinear(width, 3)
        self.shrink = nn.Softshrink()

    def forward(self, x: Tensor, path: object) -> Tensor:
        x = torch.special.i0e(self.first(x, path))  # type: ignore[arg-type]
        return torch.special.bessel_j1(self.second(x, path))  # type: ignore[arg-type]


def test_unknown_operations_are_listed_before_anything_is_converted(tmp_path: Path) -> None:
    supernet = Strange().eval()
    candidates = candidates_of(supernet, some_paths(supernet, 2))
    with pytest.raises(LoweringError) as caught:
        compiled(supernet, candidates, tmp_path)
    for name in ("special_i0e", "special_bessel_j1"):
        assert name in str(caught.value)
    assert "2 of the model's operations" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_operations_of_aten_reach_a_worker() -> None:
    """A converted model may call them by themselves, as EfficientNet-Lite0 does."""
    stream = io.BytesIO()
    workers._Pickler(stream).dump([torch.ops.aten.pad.default, nn.functional.pad])
    got = pickle.loads(stream.getvalue())
    assert got[0] is torch.ops.aten.pad.default
    assert got[1] is nn.functional.pad


def test_the_worker_leaves_nothing_running(images_case: Case) -> None:
    with compiler.Worker() as worker:
        with pytest.raises(LoweringError, match="KeyError"):
            worker.ask("no such task")
        pid = worker._process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
