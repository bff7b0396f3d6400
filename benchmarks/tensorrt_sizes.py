"""Bytes of engines for TensorRT: one plan for several depths, and parts stored by themselves.

    python benchmarks/tensorrt_sizes.py [--json FILE]

Plans are built by TensorRT for RTX, which needs no GPU and has none here: sizes only. Latency is
for ``tipsc finish`` to settle on the device. Weights are random.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from depth_engines import MODELS, depths, drawn, lower_plain, make_supernet, write_unbuilt

from tipsc.backends.tensorrt.examine import check_engine
from tipsc.backends.tensorrt.merge import depth_groups
from tipsc.elastic import Supernet
from tipsc.engine.plan import plan_name
from tipsc.lower import lower
from tipsc.lower.plain import in_older_opset, with_plain_weights

PATHS = 8


def growth(supernet: Supernet) -> float:
    """Weights of 8 random paths as TensorRT reads them, over the same in portable graphs."""
    portable = lower(supernet, drawn(supernet, PATHS))
    plain = with_plain_weights(in_older_opset(portable))
    return round(len(plain.weights) / len(portable.weights), 2)


def measure(name: str, folder: Path) -> dict[str, object]:
    supernet = make_supernet(name)
    paths = depths(supernet)
    lowered = lower_plain(supernet, paths)
    file = folder / "depths.tipsc"
    write_unbuilt(file, supernet, paths, lowered, "fp32")
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
