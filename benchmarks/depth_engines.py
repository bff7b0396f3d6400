"""Unbuilt engines of real size for TensorRT, whose paths differ in depth: weights are random."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path as File

import torch
from mobilenet_v2 import MobileNetV2
from real_size import ViTSmall, resnet50
from torch import nn

from tipsc.convert import convert
from tipsc.elastic import Supernet
from tipsc.engine import Manifest, PathEntry, write_engine
from tipsc.lower import Lowered, lower
from tipsc.lower.plain import in_older_opset, with_plain_weights
from tipsc.paths import Path as Subnetwork
from tipsc.train import calibrate

MODELS: dict[str, Callable[[], nn.Module]] = {
    "MobileNetV2": MobileNetV2,
    "ResNet-50": resnet50,
    "ViT-S/16": ViTSmall,
}
IMAGE = (3, 224, 224)


def make_supernet(name: str) -> Supernet:
    torch.manual_seed(0)
    return convert(MODELS[name]().eval(), torch.randn(1, *IMAGE))


def depths(supernet: Supernet) -> list[Subnetwork]:
    """The largest path, and the same widths at the least depth of one stage and of all."""
    space = supernet.space
    stages = [row.name for row in supernet.report.elastic if row.kind == "depth"]

    def with_least(names: list[str]) -> Subnetwork:
        options = {**space.largest.options, **{name: space[name].smallest for name in names}}
        return space.path({n: o for n, o in options.items() if space.is_active(n, options)})

    return list(
        {p.id: p for p in (space.largest, with_least(stages[-1:]), with_least(stages))}.values()
    )


def drawn(supernet: Supernet, count: int) -> list[Subnetwork]:
    """The largest path, the smallest, and others at random: `count` at most."""
    generator, space = random.Random(0), supernet.space
    others = [space.sample_options(generator) for _ in range(count - 2)]
    return list({p.id: p for p in (space.largest, space.smallest, *others)}.values())


def lower_plain(supernet: Supernet, paths: Sequence[Subnetwork]) -> Lowered:
    """Graphs in fp32 as the oldest of TensorRT's parsers reads them."""
    statistics = {path.id: calibrate(supernet, path, [torch.randn(4, *IMAGE)]) for path in paths}
    return with_plain_weights(in_older_opset(lower(supernet, paths, statistics)))


def write_unbuilt(
    file: File, supernet: Supernet, paths: Sequence[Subnetwork], lowered: Lowered, precision: str
) -> None:
    entries = tuple(PathEntry(path.id, path.options, None, None, 0, 0, 0, 0) for path in paths)
    manifest = Manifest(
        file.stem, "jetson", "tensorrt",
        lowered.signature,
        entries, supernet.space.to_json(), recipe={"precision": precision},
    )  # fmt: skip
    write_engine(file, manifest, lowered.weights, lowered.graphs)
