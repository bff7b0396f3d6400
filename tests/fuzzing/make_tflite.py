"""Writes the .tflite files whose mutations are fuzzed: what tipsc's converter makes of small nets.

    python tests/fuzzing/make_tflite.py

Together they have the operators that paths of the usual nets have. The files are committed, so
that the fuzz itself needs no torch.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "compile"))

import litert_torch
from tiny_paths import MOBILENET, TEMPORAL, candidates_of, compiled, net

from tipsc.compile.tflite.merge import merge

HERE = Path(__file__).resolve().parent / "tflite"
IMAGE, SERIES, ROW = torch.zeros(1, 8, 6, 6), torch.zeros(1, 6, 8), torch.zeros(1, 8)


class Function(nn.Module):
    def __init__(self, function: object) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)  # type: ignore[operator,no-any-return]


def layers(*parts: nn.Module) -> nn.Module:
    return nn.Sequential(*parts)


NETS: dict[str, tuple[nn.Module, torch.Tensor]] = {
    "convolutions": (
        layers(
            nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU6(),
            nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8), nn.Hardswish(),
            nn.Conv2d(8, 16, 3, groups=2, padding=1), nn.SiLU(), nn.MaxPool2d(2, 1),
            nn.AvgPool2d(2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
        ),
        IMAGE,
    ),
    "pads": (
        layers(nn.ReflectionPad2d(1), nn.ReplicationPad2d(1), nn.ConstantPad2d(1, 2.0)), IMAGE
    ),
    "sizes": (
        layers(nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bilinear"),
               nn.PixelShuffle(2), nn.PixelUnshuffle(2)),
        IMAGE,
    ),
    "activations": (
        layers(nn.GELU(), nn.ELU(), nn.LeakyReLU(), nn.PReLU(), nn.Tanh(), nn.Sigmoid(),
               nn.Softmax(1), nn.LogSoftmax(1)),
        ROW,
    ),
    "transformer": (
        nn.TransformerEncoderLayer(8, 2, 8, batch_first=True, activation="gelu"), SERIES
    ),
    "tokens": (
        layers(nn.Embedding(9, 8), nn.LayerNorm(8), nn.Linear(8, 4)),
        torch.zeros(1, 6, dtype=torch.int32),
    ),
    "reductions": (
        Function(
            lambda x: torch.cat(
                [x.sum(1, True), x.amax(1, True), x.amin(1, True), x.mean(1, True), x.prod(1, True),
                 x.cumsum(1), x.flip(1), x.pow(3), torch.where(x > 0, x, -x), x.clamp(-1, 1)], 1
            )
        ),
        ROW,
    ),
    "shapes": (
        Function(
            lambda x: torch.stack(
                [x.roll(1, 1), x.transpose(1, 2).reshape(1, 6, 8),
                 x.chunk(2, 2)[0].repeat(1, 1, 2), x[:, ::2].repeat_interleave(2, 1),
                 x.split([2, 6], 2)[1].sum(2, keepdim=True).expand(1, 6, 8),
                 x[:, torch.tensor([3, 1, 2, 0, 5, 4])]], 1
            )
        ),
        SERIES,
    ),
    "logic": (
        Function(lambda x: ((x > 0) & (x < 1) | ~(x == 2) | (x != 3)).float() + x.argmax(1)), ROW
    ),
    "volumes": (nn.Conv3d(1, 2, 3, padding=1), torch.zeros(1, 1, 4, 4, 4)),
}  # fmt: skip


def converted(module: nn.Module, x: torch.Tensor) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "one.tflite"
        litert_torch.convert(module.eval(), (x,)).export(str(file))
        return file.read_bytes()


def of_paths(name: str, precision: str, **arguments: object) -> bytes:
    """Two paths that share weights, as a build makes them."""
    supernet = net(name, **arguments)
    paths = [supernet.space.largest, supernet.space.sample(random.Random(1))]
    with tempfile.TemporaryDirectory() as cache:
        candidates = candidates_of(supernet, paths)
        return compiled(supernet, candidates, Path(cache), precision).model


def main() -> None:
    torch.manual_seed(0)
    HERE.mkdir(exist_ok=True)
    models = {name: merge({"p0": converted(module, x)}).model for name, (module, x) in NETS.items()}
    models["images"] = of_paths("mobilenet", "fp32", **MOBILENET)
    models["images-int8"] = of_paths("mobilenet", "int8", **MOBILENET)
    models["series"] = of_paths("temporal", "fp32", **TEMPORAL)
    for name, model in models.items():
        (HERE / f"{name}.tflite").write_bytes(model)
        print(f"{name:<16}{len(model):>8} bytes")


if __name__ == "__main__":
    main()
