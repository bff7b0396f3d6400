"""The tables of the examples' READMEs, as ``benchmarks/examples.py`` prints them."""

from __future__ import annotations

import runpy
from pathlib import Path

from tipsc.engine import Latency, Manifest, PathEntry
from tipsc.paths import Choice, SearchSpace
from tipsc.pipeline.original import Original
from tipsc.quality import Quality
from tipsc.signature import Signature, TensorSpec

FILE = Path(__file__).parents[2] / "benchmarks" / "examples.py"


def manifest(target: str, *times: float | None) -> Manifest:
    tensors = (TensorSpec("x", "float32", (1, 2), "N-"),)
    paths = tuple(
        PathEntry(
            f"path{number}",
            {"w": number},
            Quality("mIoU", 0.5 + 0.1 * number, "share"),
            None if time is None else Latency(time, time, time),
            (number + 1) * 10**6,
            (number + 1) * 10**3,
            0,
            5,
        )
        for number, time in enumerate(times)
    )
    space = SearchSpace((Choice("w", (0, 1)),)).to_json()
    return Manifest("m", target, "onnxruntime", Signature.plain(tensors, tensors), paths, space)


def test_each_engine_has_its_paths_and_the_original_stands_below_them() -> None:
    made = [manifest("host", 0.3, 0.4), manifest("jetson", None, None)]
    worth = Quality("mIoU", 0.65, "share")
    original = Original(worth, 10, 2000, worth, 10)
    table = runpy.run_path(str(FILE))["table"]
    assert table(made, original)[2:] == [
        "| host | path0 | 50.00 | 0.75 | 1.00 M | 1.00 k | 5 B |",
        "| host | path1 | 60.00 | 1.00 | 2.00 M | 2.00 k | 5 B |",
        "| jetson | path0 | 50.00 | – | 1.00 M | 1.00 k | 5 B |",
        "| jetson | path1 | 60.00 | – | 2.00 M | 2.00 k | 5 B |",
        "| original |  | 65.00 |  |  | 2.00 k |  |",
    ]
    assert table(made, original)[0].startswith("| target | path | mIoU % | p50 |")
    assert len(table(made, None)) == len(table(made, original)) - 1
