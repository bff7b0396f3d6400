"""tipsc run: an engine, once."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np

from tipsc.cli.engines import threads_of
from tipsc.cli.input_file import load_inputs
from tipsc.cli.options import (
    ANY_PATH,
    OUTPUT_FILE,
    SEED,
    Number,
    engine_argument,
    threads_option,
)
from tipsc.cli.output import Output, verb, wrapped
from tipsc.engine import Manifest, PathEntry, read_engine
from tipsc.engine.atomic import write_atomically
from tipsc.errors import PathError, UsageError, near
from tipsc.report.format import significant
from tipsc.report.metric import metric_of
from tipsc.report.notes import called
from tipsc.runtime import Engine
from tipsc.runtime.pick import merit, of_batch
from tipsc.signature import Signature, TensorSpec, batch_of

TIMED_CALLS = 20


@verb
@engine_argument
@click.option(
    "--input", "input_file", type=ANY_PATH, metavar="FILE", help="The input: a .npy or .npz file."
)
@click.option("--random", "seed", type=SEED, metavar="SEED", help="A random input instead.")
@click.option("--path", "path_id", metavar="PATH", help="The path to run, by id or name.")
@click.option(
    "--budget-ms",
    type=Number(min=0, min_open=True),
    metavar="MS",
    help="Time for a call.",
)
@click.option(
    "--output",
    "output_file",
    type=OUTPUT_FILE,
    metavar="FILE",
    help="Write the output here, as .npy.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    metavar="N",
    help="Highest outputs shown.",
)
@threads_option
def command(
    output: Output,
    engine: Path,
    input_file: Path | None,
    seed: int | None,
    path_id: str | None,
    budget_ms: float | None,
    output_file: Path | None,
    top: int,
    threads: int | None,
) -> None:
    """Run ENGINE on one input, on a path or within a time budget.

    With neither --path nor --budget-ms the best path runs. The batch axis of the input
    may be left out.
    """
    if (input_file is None) == (seed is None):
        raise UsageError(
            "there is no input" if seed is None else "there are two inputs",
            fix="give either --input FILE.npy or --random SEED",
        )
    if path_id is not None and budget_ms is not None:
        raise UsageError("a path and a budget exclude each other", fix="give one of them")
    found = read_engine(engine)
    manifest = found.manifest
    specs, feeds = manifest.signature.inputs, None
    if input_file is not None:
        feeds = load_inputs(input_file, specs, manifest.batches)
    with Engine.of(found, threads=threads_of(manifest, threads)) as opened:
        batch = None if feeds is None else _examples_of(feeds, specs)
        path = _path(opened, path_id, budget_ms, batch)
        feeds = _random(manifest.signature_of(path), seed or 0) if feeds is None else feeds
        result = opened.run(feeds, path=path.id)
        times = [_milliseconds(opened, feeds, path) for _ in range(TIMED_CALLS)]
    results = manifest.signature.gives.flat(result, "output")
    if output_file is not None:
        _save(output_file, manifest, results)
    p50_ms = statistics.median(times)
    best = _top(results[0], top)
    document = {
        "path": path.id,
        "options": dict(path.options),
        "latency": {"p50_ms": p50_ms, "calls": TIMED_CALLS},
        "recorded_p50_ms": path.latency.p50_ms if path.latency else None,
        "top": [{"index": index, "value": value} for index, value in best],
        "output": str(output_file) if output_file else None,
    }
    if budget_ms is not None and manifest.noise:
        for line in wrapped([f"warning of the recorded latencies: {manifest.noise}"]):
            output.note(line)
    metric = metric_of(path.quality)
    quality = (
        f", {metric.name} {metric.figure(path.quality)} {metric.sign}".rstrip()
        if path.quality is not None
        else ""
    )
    recorded = f" (recorded: {significant(path.latency.p50_ms)} ms)" if path.latency else ""
    output.result(
        document,
        f"path     {called(path.id, manifest.names)}{quality}",
        f"latency  {significant(p50_ms)} ms, median of {TIMED_CALLS} calls{recorded}",
        *(
            f"{'output' if place == 0 else '':8} [{index}] {value:.5g}"
            for place, (index, value) in enumerate(best)
        ),
        *([f"written  {output_file}"] if output_file else []),
    )


def _examples_of(feeds: Sequence[np.ndarray], specs: Sequence[TensorSpec]) -> int:
    shaped = [replace(s, shape=x.shape) for x, s in zip(feeds, specs, strict=True)]
    return batch_of(shaped)


def _path(
    engine: Engine, path_id: str | None, budget_ms: float | None, batch: int | None
) -> PathEntry:
    """The path that was asked for, by id, name or budget; else the best, the faster of two.

    Args:
        batch: examples of the call; None: as few as any path takes.
    """
    if budget_ms is not None:
        return engine.pick(budget_ms=budget_ms, batch=batch)
    if path_id is None:
        return max(of_batch(engine.paths, batch), key=merit)
    by_id, names = {path.id: path for path in engine.paths}, engine.manifest.names
    found = by_id.get(engine.manifest.id_of(path_id))
    if found is None:
        known = [*by_id, *names.values()]
        raise PathError(f"the engine has no path {path_id!r}", fix=near(path_id, known))
    return found


def _random(signature: Signature, seed: int) -> tuple[np.ndarray, ...]:
    """Normal numbers where the engine takes floats, else zeros and ones."""
    generator = np.random.default_rng(seed)
    return tuple(
        generator.standard_normal(spec.shape).astype(spec.dtype)
        if np.dtype(spec.dtype).kind == "f"
        else generator.integers(0, 2, spec.shape).astype(spec.dtype)
        for spec in signature.inputs
    )


def _milliseconds(engine: Engine, feeds: tuple[np.ndarray, ...], path: PathEntry) -> float:
    start = time.perf_counter()
    engine.run(feeds, path=path.id)
    return (time.perf_counter() - start) * 1e3


def _top(result: np.ndarray, count: int) -> list[tuple[int, float]]:
    values = result.reshape(-1)
    order = np.argsort(values)[::-1][:count]
    return [(int(index), float(values[index])) for index in order]


def _save(file: Path, manifest: Manifest, results: Sequence[Any]) -> None:
    content = io.BytesIO()  # np.save by name would add an ending of its own
    if len(results) == 1:
        np.save(content, results[0])
    else:
        names = (spec.name for spec in manifest.signature.outputs)
        np.savez(content, **dict(zip(names, results, strict=True)))
    write_atomically(file, [content.getbuffer()])
