"""What an example's engines say of themselves, and its original: the table of its README.

    python benchmarks/examples.py detect_garments

Of each target that `tipsc build examples/NAME --target TARGET` was run for. Latencies are shares of
the slowest path's: calls of all paths take turns, so that ratios stay right on a busy machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from tipsc.engine import Manifest, PathEntry, read_engine
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.original import Original
from tipsc.report.format import MISSING, byte_size, count
from tipsc.report.metric import metric_of

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TARGETS = ("host", "mobile-cpu", "mobile-cpu-int8", "jetson")


def table(manifests: Sequence[Manifest], original: Original | None) -> list[str]:
    """Lines of Markdown: a row for each path of each engine, then one for the original.

    Args:
        manifests: of engines of one model, at least one.
        original: None where it is what the paths are judged by.
    """
    metric = metric_of(manifests[0].paths[0].quality)
    headings = ("target", "path", metric.heading, "p50", "MACs", "parameters", "own weights")
    lines = [_row(headings), _row(["---"] * len(headings))]
    for manifest in manifests:
        for path in manifest.paths:
            size = (count(path.macs), count(path.parameters), byte_size(path.private_bytes))
            figures = (metric.figure(path.quality), _share(path, manifest), *size)
            lines.append(_row((manifest.target, path.id, *figures)))
    if original is not None:
        parameters = count(original.parameters)
        lines.append(
            _row(("original", "", metric.figure(original.quality), "", "", parameters, ""))
        )
    return lines


def _share(path: PathEntry, manifest: Manifest) -> str:
    """Of the slowest path's latency."""
    times = [other.latency.p50_ms for other in manifest.paths if other.latency is not None]
    return f"{path.latency.p50_ms / max(times):.2f}" if path.latency is not None else MISSING


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def built(name: str) -> Iterator[Manifest]:
    """Of the engines of an example that are there."""
    for target in TARGETS:
        file = EXAMPLES / name / f"{name}-{target}.tipsc"
        if file.is_file():
            yield read_engine(file).manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "example", choices=sorted(p.parent.name for p in EXAMPLES.glob("*/tipsc.yaml"))
    )
    name = parser.parse_args().example
    manifests = list(built(name))
    if not manifests:
        parser.error(f"no engine is there: tipsc build examples/{name} --target {TARGETS[0]}")
    original = Pipeline(EXAMPLES / name, manifests[0].target).original()
    print("\n".join(table(manifests, original)))


if __name__ == "__main__":
    main()
