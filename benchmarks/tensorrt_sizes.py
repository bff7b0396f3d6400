"""Bytes of engines for TensorRT: one plan for several depths, and parts stored by themselves.

    python benchmarks/tensorrt_sizes.py [--json FILE]

Plans are built by TensorRT for RTX, which needs no GPU and has none here: sizes only. Latency is
for ``tipsc finish`` to settle on the device. Weights are random.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path

import torch
from mobilenet_v2 import MobileNetV2
from real_size import ViTSmall, resnet50

from tipsc.backends.tensorrt.examine import check_engine
from tipsc.backends.tensorrt.merge import depth_groups
from tipsc.convert import convert
from tipsc.elastic import Supernet
from tipsc.engine import Manifest, PathEntry, write_engine
from tipsc.engine.plan import plan_name
from tipsc.lower import lower
from tipsc.lower.plain import in_older_opset, with_plain_weights
from tipsc.paths import Path as Subnetwork
from tipsc.train import calibrate

MODELS = {"MobileNetV2": MobileNetV2, "ResNet-50": resnet50, "ViT-S/16": ViTSmall}
PATHS = 8


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


def growth(supernet: Supernet) -> float:
    """Weights of 8 random paths as TensorRT reads them, over the same in portable graphs."""
    generator = random.Random(0)
    drawn = [supernet.space.sample_options(generator) for _ in range(PATHS - 2)]
    paths = {p.id: p for p in (supernet.space.largest, supernet.space.smallest, *drawn)}
    portable = lower(supernet, list(paths.values()))
    plain = with_plain_weights(in_older_opset(portable))
    return round(len(plain.weights) / len(portable.weights), 2)


def measure(name: str, folder: Path) -> dict[str, object]:
    torch.manual_seed(0)
    example = torch.randn(1, 3, 224, 224)
    supernet = convert(MODELS[name]().eval(), example)
    paths = depths(supernet)
    statistics = {
        path.id: calibrate(supernet, path, [torch.randn(4, 3, 224, 224)]) for path in paths
    }
    lowered = with_plain_weights(in_older_opset(lower(supernet, paths, statistics)))
    entries = tuple(PathEntry(path.id, path.options, None, None, 0, 0, 0, 0) for path in paths)
    manifest = Manifest(
        "depths", "jetson", "tensorrt",
        lowered.signature,
        entries, supernet.space.to_json(), recipe={"precision": "fp32"},
    )  # fmt: skip
    file = folder / "depths.tipsc"
    write_engine(file, manifest, lowered.weights, lowered.graphs)
    (group,) = depth_groups(lowered.graphs)
    *alone, shared = check_engine(file, [*group, plan_name(group)])
    problems = [check.problem for check in (*alone, shared) if check.problem]
    if problems:
        raise SystemExit("; ".join(problems))
    sizes = [check.plan_bytes for check in alone]
    return {
        "model": name,
        "stored_over_portable": growth(supernet),
        "module": f"{shared.module} {shared.version}",
        "paths": len(group),
        "alone_bytes": sizes,
        "shared_bytes": shared.plan_bytes,
        "shared_over_alone": round(shared.plan_bytes / sum(sizes), 3),
        "shared_over_largest": round(shared.plan_bytes / max(sizes), 3),
        "build_seconds_over_alone": round(
            shared.seconds / sum(check.seconds for check in alone), 2
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = [measure(name, Path(folder)) for name in MODELS]
    print(json.dumps(found, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
