"""Whether two nets compute the same, by other means than the product's own."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath

import numpy as np
import onnxruntime
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tipsc.elastic import ElasticLayer, Supernet, extract
from tipsc.lower import LOCATION, lower
from tipsc.paths import Path


def apart(got: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest value."""
    return ((got - expected).abs().max() / expected.abs().max().clamp_min(1e-12)).item()


def exported(
    supernet: Supernet, paths: Sequence[Path], x: Tensor, folder: FilePath
) -> Iterator[tuple[Path, Tensor]]:
    """What the graph of each path puts out for one example, all graphs from one export."""
    lowered = lower(supernet, paths)
    (folder / LOCATION).write_bytes(lowered.weights)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    for path in paths:
        (folder / "path.onnx").write_bytes(lowered.graphs[path.id])
        session = onnxruntime.InferenceSession(folder / "path.onnx", options)
        output = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
        yield path, torch.from_numpy(np.asarray(output))


def masked(supernet: Supernet, path: Path) -> Supernet:
    """A copy in which every weight that `path` does not use is zero."""
    copied = copy.deepcopy(supernet)
    with torch.no_grad():
        for layer in copied.modules():
            for name, cut in layer.cuts(path).items() if isinstance(layer, ElasticLayer) else ():
                value = getattr(layer, name)
                if name.startswith("running"):
                    continue
                places = [
                    [i for r in (part if isinstance(part, tuple) else (part,))
                     for i in range(*r.indices(size))]
                    for part, size in zip(cut, value.shape, strict=False)
                ]  # fmt: skip
                kept = torch.zeros_like(value)
                kept[np.ix_(*places)] = 1
                value.mul_(kept)
    return copied


def executed_macs(supernet: Supernet, path: Path, *inputs: Tensor) -> int:
    """Multiply-accumulates of the extracted path, counted by torch while it runs.

    What is done inside of one call of another library could not be counted: recurrent layers.
    """
    module = extract(supernet, path).requires_grad_(False)
    own = torch.backends.mkldnn.flags(enabled=False)  # type: ignore[no-untyped-call]
    with own, torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*inputs)
    return counter.get_total_flops() // 2
