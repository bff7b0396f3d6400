"""Several tensors through LiteRT: names that sort into their order, layouts, constants, int8."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from tiny_paths import silent
from torch import Tensor, nn

from tipsc.backends.litert import in_order
from tipsc.backends.litert_interpreter import InterpreterProgram
from tipsc.batch import arrays, flat
from tipsc.compile import Job, compile_candidates
from tipsc.convert import convert
from tipsc.elastic import extract
from tipsc.pipeline.manifest import make_manifest
from tipsc.project.target import load_target
from tipsc.runtime import Engine
from tipsc.search.candidates import Candidate
from tipsc.train import calibrate

# Bounded: the quantizer takes a running mean of ranges, which cuts off what is rarely large.
IMAGE, TOKENS = 2 * torch.rand(64, 3, 8, 8) - 1, torch.randint(0, 9, (64, 5))
MASK, SERIES = torch.rand(64, 5) < 0.7, 2 * torch.rand(64, 2, 12) - 1


class Finder(nn.Module):
    """Boxes around constant places, and two things that stand in a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.Conv2d(16, 12, 3, 2, 1), nn.ReLU(),
        )  # fmt: skip
        self.low, self.gate = nn.Conv2d(12, 2, 1), nn.Conv2d(12, 2, 1)
        self.register_buffer("centre", torch.randn(2, 4, 4) * 5)
        self.register_buffer("focal", torch.rand(2, 4, 4) + 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        seen = self.body(image)
        near = self.gate(seen).sigmoid()
        far = self.focal / (near + 0.5)
        return {"z": self.centre - self.low(seen), "a": 1.0 - near, "far": far}


class Reader(nn.Module):
    """A picture, a series, tokens and their mask: each in a layout of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.see, self.hear = nn.Conv2d(3, 16, 3, padding=1), nn.Conv1d(2, 16, 3, padding=1)
        self.read, self.mix, self.out = nn.Embedding(9, 16), nn.Linear(16, 24), nn.Linear(24, 3)
        nn.init.uniform_(self.read.weight, -0.5, 0.5)

    def forward(self, image: Tensor, series: Tensor, tokens: Tensor, mask: Tensor) -> Any:
        seen = self.see(image).relu().mean((2, 3)) + self.hear(series).relu().mean(2)
        weight = mask[:, :, None].float()
        told = (self.read(tokens) * weight).sum(1)
        mixed = self.mix(seen + told).relu()
        return self.out(mixed), mixed.mean(1, keepdim=True)


class Attentive(nn.Module):
    """What tokens say that are there: the mask is added as minus infinity before a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.read, self.out = nn.Embedding(9, 16), nn.Linear(16, 3)
        self.block = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        seen = self.block(3 * self.read(tokens), src_key_padding_mask=~mask)
        weight = mask[:, :, None].float()
        return self.out((seen * weight).sum(1) / weight.sum(1))


THERE = torch.arange(5) < torch.randint(1, 6, (64, 1))
CASES = {
    "boxes": (Finder, (IMAGE,)),
    "readers": (Reader, (IMAGE, SERIES, TOKENS, MASK)),
    "masked": (Attentive, (TOKENS, THERE)),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Any, list[Candidate], Any]:
    make, inputs = CASES[request.param]
    torch.manual_seed(0)
    supernet = convert(make().eval(), inputs, widths=(0.5, 1.0))
    paths = (supernet.space.largest, supernet.space.smallest)
    shared, mine = (calibrate(supernet, path, [inputs]) for path in paths)
    # The second path has all of its parameters for itself.
    own = dict(extract(supernet, paths[1], mine).named_parameters())
    mine = replace(mine, own={name: 1.2 * value.detach() for name, value in own.items()})
    found = [Candidate(p, None, 0, 0, s) for p, s in zip(paths, (shared, mine), strict=True)]
    return supernet, found, inputs


def written(case: Any, folder: Path, precision: str) -> Path:
    supernet, candidates, inputs = case
    target = load_target("mobile-cpu").model_copy(update={"precision": precision})
    compiled = compile_candidates(Job(target, supernet, candidates, inputs, None, silent))
    file = folder / "net.tipsc"
    compiled.write(file, make_manifest("net", target, supernet, candidates, compiled, {}))
    return file


def apart(got: Any, expected: Any) -> float:
    pairs = zip(flat(expected), got, strict=True)
    return max(float(_rms(a.numpy() - b) / _rms(a.numpy())) for a, b in pairs)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-5), ("int8", 0.2)])
def test_each_output_is_what_torch_gives(
    case: Any, precision: str, tolerance: float, tmp_path: Path
) -> None:
    supernet, candidates, inputs = case
    file = written(case, tmp_path, precision)
    with Engine.open(file) as engine:
        gives = engine.manifest.signature.gives
        for candidate in candidates:
            module = extract(supernet, candidate.path, candidate.statistics)
            with torch.no_grad():
                expected = module(*(tensor[:16] for tensor in inputs))
            rows = []
            for i in range(16):
                example = tuple(tensor[i : i + 1] for tensor in inputs)
                rows.append(gives.flat(engine.run(arrays(example), path=candidate.path.id), "it"))
            assert apart([np.concatenate(same) for same in zip(*rows, strict=True)], expected) < (
                tolerance
            )


def test_stock_runtimes_find_the_tensors_by_names_in_order(case: Any, tmp_path: Path) -> None:
    from tipsc.engine import read_engine

    supernet, candidates, inputs = case
    engine = read_engine(written(case, tmp_path, "fp32"))
    file = tmp_path / "net.tflite"
    file.write_bytes(engine.weights)
    path = candidates[0].path
    runner = Interpreter(str(file)).get_signature_runner(path.id)
    for details, specs, alone in (
        (runner.get_input_details(), engine.manifest.signature.inputs, "input"),
        (runner.get_output_details(), engine.manifest.signature.outputs, "output"),
    ):
        names = [f"{i:02}.{spec.name}" for i, spec in enumerate(specs)]
        assert sorted(details) == (names if len(specs) > 1 else [alone])
    example = tuple(tensor[:1] for tensor in inputs)
    given = [
        in_order(array, spec.channels_last)
        for array, spec in zip(arrays(example), supernet.inputs, strict=True)
    ]
    with torch.no_grad():
        expected = extract(supernet, path, candidates[0].statistics)(*example)
    assert apart(InterpreterProgram(file, 1).runner(path.id)(given), expected) < 1e-5
