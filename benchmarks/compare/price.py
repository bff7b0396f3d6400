"""What a training step costs: measured single-thread seconds, path by path.

Comparing at equal compute needs a price that is the same in every run, however busy the machine is
at that moment. So forward plus backward of some paths is timed once, interleaved, with the least
time of many rounds; all other paths are priced by the latency predictor. A step pays for each path
that it trains, for each that it only tries, and for one update of the weights.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path as FilePath

import numpy as np
import torch
from torch.nn import functional as F

from compare.studies import Study, candidates
from tipsc.batch import placed
from tipsc.elastic import CostModel, Supernet
from tipsc.paths import Path
from tipsc.profile import fit
from tipsc.train.macs import mac_counter

ROUNDS = 12
EXTRA = 20  # random paths that are priced beside the evaluation's candidates


@dataclass
class Prices:
    """Seconds of one thread, for one batch of a study.

    Attributes:
        values, totals, seconds: of the timed paths: options, MACs, forward plus backward.
        forward_share: of a forward pass alone in forward plus backward.
        update: of the weights.
        error: leave-one-out, median relative error of the predictor.
    """

    values: list[list[int]]
    totals: list[float]
    seconds: list[float]
    forward_share: float
    update: float
    error: float = 0.0
    _known: dict[str, float] = field(default_factory=dict, repr=False)

    def attach(self, supernet: Supernet) -> Prices:
        """Ready to price paths of this supernet."""
        features = np.array(self.totals)[:, None]
        model = fit(np.array(self.values), np.array(self.seconds), features=features)
        self.error = float(np.median(np.abs(model.leave_one_out)))
        self._macs, self._model = mac_counter(supernet), model.additive()
        return self

    def of(self, path: Path) -> float:
        """Forward plus backward of `path`."""
        if path.id not in self._known:
            model = self._model
            own = (e.get(o, 0.0) for e, o in zip(model.effects, path.values, strict=True))
            price = model.constant + float(model.weights[0]) * self._macs(path) + sum(own)
            self._known[path.id] = price
        return self._known[path.id]


def prices(study: Study, file: FilePath) -> Prices:
    """From `file`, or measured and written there."""
    supernet = study.supernet(0)
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        found = asdict(_measure(study, supernet))
        found.pop("_known")
        file.write_text(json.dumps(found) + "\n")
    return Prices(**json.loads(file.read_text())).attach(supernet)


def _measure(study: Study, supernet: Supernet) -> Prices:
    torch.set_num_threads(1)
    data = study.data()
    inputs = placed(data.train.inputs[: study.batch_size], torch.device("cpu"))
    targets = data.train.targets[: study.batch_size]
    generator = random.Random(7)
    paths = candidates(study)
    paths += [supernet.space.sample_options(generator) for _ in range(EXTRA)]
    costs = CostModel(supernet)
    best = np.full(len(paths), np.inf)
    forward = np.full(len(paths), np.inf)
    supernet.train()
    for _ in range(ROUNDS):
        for i in generator.sample(range(len(paths)), len(paths)):
            begin = time.perf_counter()
            loss = F.cross_entropy(supernet(inputs, paths[i]), targets)
            middle = time.perf_counter()
            loss.backward()
            end = time.perf_counter()
            best[i], forward[i] = min(best[i], end - begin), min(forward[i], middle - begin)
    optimizer = torch.optim.AdamW(supernet.parameters(), 1e-9, fused=True)
    updates = []
    for _ in range(20):
        F.cross_entropy(supernet(inputs, supernet.space.largest), targets).backward()
        begin = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        updates.append(time.perf_counter() - begin)
    return Prices(
        values=[list(path.values) for path in paths],
        totals=[float(costs.of(path).macs) for path in paths],
        seconds=best.tolist(),
        forward_share=float((forward / best).mean()),
        update=float(np.median(updates)),
    )
