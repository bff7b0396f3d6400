"""One model of ``benchmarks/zoo.py``, converted, compared and lowered in this process."""

from __future__ import annotations

import copy
import random
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path as File
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

ROOT = File(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "elastic"))

from comparing import executed_macs  # noqa: E402
from convert import MB, forget_peak, held  # noqa: E402
from zoo_models import import_packages, make  # noqa: E402
from zoo_rows import Row  # noqa: E402

from tipsc.convert import convert  # noqa: E402
from tipsc.convert.capture import outputs_of  # noqa: E402
from tipsc.convert.check import difference  # noqa: E402
from tipsc.elastic import CostModel, Supernet, extract  # noqa: E402
from tipsc.errors import TipscError  # noqa: E402
from tipsc.lower import LOCATION, lower  # noqa: E402
from tipsc.paths import Path  # noqa: E402

SAME, SAME_IN_DOUBLE, SAME_LOWERED = 1e-5, 1e-9, 1e-4
ROUNDING = 10  # a graph may be this many times as far off as float32 itself is in torch
PATHS = 2


def warm_up() -> None:
    """What is loaded or made for the first model of a process."""
    torch.set_num_threads(1)
    import_packages()
    x = torch.randn(2, 4)
    supernet = convert(nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2)), x)
    lower(supernet, [supernet.space.largest])


def examine(name: str) -> Row:
    """Converts a model of the zoo, in a process that does nothing else."""
    torch.set_grad_enabled(False)
    try:
        model, inputs = make(name)
        size = sum(t.numel() * t.element_size() for t in (*model.parameters(), *model.buffers()))
        before = held("VmRSS")
        forget_peak()
        call(model, inputs)
    except Exception as error:
        return Row(name, "not made", said=f"{type(error).__name__}: {error}"[:300])
    forward = held("VmHWM") - before
    before = held("VmRSS")
    forget_peak()
    cpu = time.process_time()
    try:
        with torch.enable_grad():
            supernet = convert(model, inputs)
    except TipscError as error:
        taken = time.process_time() - cpu
        return Row(name, "refused", cpu_s=round(taken, 2), said=_placeless(error))
    except Exception as error:
        return Row(name, "failed", said=f"{type(error).__name__}: {error}"[:300])
    cpu, peak = time.process_time() - cpu, held("VmHWM") - before
    measured = {
        "choices": len(supernet.space.choices),
        "cpu_s": round(cpu, 2),
        "model_mb": round(size / MB, 2),
        "forward_mb": round(forward, 1),
        "peak_mb": round(peak, 1),
    }
    try:
        return Row(name, **_compared(model, supernet, inputs), **measured)
    except TipscError as error:
        return Row(name, "refused", **measured, said=f"after conversion: {_placeless(error)}")
    except Exception as error:
        said = f"after conversion: {type(error).__name__}: {error}"[:300]
        return Row(name, "failed", **measured, said=said)


def _placeless(error: TipscError) -> str:
    """What it says, with files named as they are in their packages."""
    return re.sub(r"/\S*/site-packages/", "", str(error))


def _compared(model: nn.Module, supernet: Supernet, inputs: Any) -> dict[str, Any]:
    space, generator = supernet.space, random.Random(5)
    tensors = flat(inputs)
    other = [_unlike(x) for x in tensors]
    doubles = copy.deepcopy(supernet).double()
    largest = difference(supernet(*other, space.largest), call(model, filled(inputs, other)))
    if not largest <= SAME:
        exact = call(copy.deepcopy(model).double(), filled(inputs, list(map(doubled, other))))
        largest = difference(doubles(*map(doubled, other), space.largest), exact) / SAME_IN_DOUBLE
        largest *= SAME  # on one scale
    paths = [space.smallest, *(space.sample_options(generator) for _ in range(PATHS - 1))]
    costs = CostModel(supernet)
    one = [x[:1] for x in other]
    extraction, macs_wrong = 0.0, 0
    full = costs.of(space.largest).macs - executed_macs(supernet, space.largest, *one)
    for path in paths:
        gap = difference(supernet(*other, path), extract(supernet, path)(*other))
        if not gap <= SAME:
            wide = list(map(doubled, other))
            gap = difference(doubles(*wide, path), extract(supernet, path).double()(*wide))
            gap *= SAME / SAME_IN_DOUBLE
        extraction = max(extraction, gap)
        macs_wrong += costs.of(path).macs - executed_macs(supernet, path, *one) != full
    lowered, allowed = _lowered(supernet, [space.largest, space.smallest], one)
    wrong = [
        what
        for what, bad in (
            ("the largest path", not largest <= SAME),
            ("extraction", not extraction <= SAME),
            ("the graphs", not lowered <= allowed),
            ("MACs", macs_wrong > 0),
        )
        if bad
    ]
    return {
        "status": "wrong" if wrong else "right",
        "smallest": round(costs.of(space.smallest).macs / costs.of(space.largest).macs, 3),
        "largest": float(f"{largest:.2g}"),
        "extraction": float(f"{extraction:.2g}"),
        "lowered": float(f"{lowered:.2g}"),
        "macs_wrong": macs_wrong,
        "said": ", ".join(wrong),
    }


def _lowered(
    supernet: Supernet, paths: Sequence[Path], one: Sequence[Tensor]
) -> tuple[float, float]:
    """Largest difference of a graph in ONNX Runtime from torch, and what rounding explains."""
    found = lower(supernet, list(dict.fromkeys(paths)))
    worst, rounding = 0.0, 0.0
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory() as folder:
        (File(folder) / LOCATION).write_bytes(found.weights)
        for path in dict.fromkeys(paths):
            file = File(folder) / "path.onnx"
            file.write_bytes(found.graphs[path.id])
            session = onnxruntime.InferenceSession(file, options)
            feeds = {s.name: x.numpy() for s, x in zip(session.get_inputs(), one, strict=True)}
            got = [torch.from_numpy(np.asarray(y)) for y in session.run(None, feeds)]
            expected = flat_outputs(extract(supernet, path)(*one))
            exact = flat_outputs(extract(supernet, path).double()(*map(doubled, one)))
            worst = max(worst, difference(got, expected))
            rounding = max(rounding, difference([y.float() for y in exact], expected))
    return worst, max(SAME_LOWERED, ROUNDING * rounding)


def call(model: nn.Module, inputs: Any) -> Any:
    return model(**inputs) if isinstance(inputs, dict) else model(inputs)


def flat(inputs: Any) -> list[Tensor]:
    return list(inputs.values()) if isinstance(inputs, dict) else [inputs]


def filled(inputs: Any, tensors: Sequence[Tensor]) -> Any:
    return dict(zip(inputs, tensors, strict=True)) if isinstance(inputs, dict) else tensors[0]


def flat_outputs(outputs: Any) -> list[Tensor]:
    return outputs_of(outputs)[1]


def doubled(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x


def _unlike(x: Tensor) -> Tensor:
    """Other values of the same kind; masks and other whole numbers in another order."""
    return torch.randn_like(x) if x.is_floating_point() else x.flip(0)
