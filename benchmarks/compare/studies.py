"""The studies: a data set, a supernet, and how much compute a training gets."""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path as FilePath
from types import ModuleType
from typing import Any

import torch

from tipsc.elastic import Supernet, family
from tipsc.paths import Path
from tipsc.train import Data, Split
from tipsc.train.macs import mac_counter

ROOT = FilePath(__file__).resolve().parents[2]
_POOL = 3000


@dataclass(frozen=True, eq=False)
class Study:
    """A comparison.

    Attributes:
        name: of the study; its results carry it.
        data: loads train, validation and test.
        model: family and arguments of the supernet.
        seconds: training compute: single-thread seconds of forward, backward and update.
        batch_size: of a step.
        validation, test, calibration: how many examples are used for each.
        candidates: paths that the evaluation may choose from.
    """

    name: str
    data: Callable[[], Data]
    model: tuple[str, Mapping[str, Any]]
    seconds: float
    batch_size: int = 32
    validation: int = 1000
    test: int = 2000
    calibration: int = 512
    candidates: int = 24

    def supernet(self, seed: int) -> Supernet:
        """With initial weights that depend on `seed` alone."""
        torch.manual_seed(seed)
        name, arguments = self.model
        return family(name, **arguments)


def fashion(*, full: bool = False) -> Data:
    """The shipped part, or all images, which Debian's package dataset-fashion-mnist installs."""
    return _example("fashion_mnist").load(full=full)


def watch() -> Data:
    return _example("watch_motion").load()


def cifar10() -> Data:
    from compare.cifar import load

    return load()


def words() -> Data:
    return _example("words").load()


# About 400 k to 3 M multiply-accumulates: small, so that short trainings already learn.
_NARROW = {
    "stem": 12,
    "stages": [
        {"channels": 12, "depths": [1, 2], "expansions": [1, 3, 6]},
        {"channels": 24, "depths": [1, 2, 3], "expansions": [1, 3, 6], "stride": 2},
        {"channels": 48, "depths": [1, 2, 3], "expansions": [1, 3, 6], "stride": 2},
    ],
    "head": 96,
}
# Kernels and uneven widths: paths of equal cost differ in more than size.
_RICH = {
    "stem": 12,
    "stages": [
        {"channels": 12, "depths": [1, 2], "expansions": [1, 2, 6], "kernels": [3, 5, 7]},
        {
            "channels": 24,
            "depths": [1, 2, 3],
            "expansions": [1, 2, 6],
            "kernels": [3, 5, 7],
            "stride": 2,
        },
        {
            "channels": 48,
            "depths": [1, 2, 3],
            "expansions": [1, 2, 6],
            "kernels": [3, 5, 7],
            "stride": 2,
        },
    ],
    "head": 96,
}
_GREY = {"classes": 10, "input_shape": (1, 28, 28)}
_COLOUR = {"classes": 10, "input_shape": (3, 32, 32)}
_SERIES = {"classes": 7, "input_shape": (6, 128), "channels": [16, 24]}
_LETTERS = {
    "classes": 8,
    "vocabulary": 27,
    "length": 16,
    "width": 48,
    "head_size": 12,
    "heads": (1, 2, 4),
    "ffn": (24, 96, 192),
    "depths": (1, 2, 4),
}

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        Study("fashion-short", fashion, ("mobilenet", _GREY | _NARROW), 20.0),
        Study("fashion-long", fashion, ("mobilenet", _GREY | _NARROW), 200.0),
        Study("fashion-rich", fashion, ("mobilenet", _GREY | _RICH), 20.0),
        Study("cifar10", cifar10, ("mobilenet", _COLOUR | _NARROW), 40.0),
        Study("watch", watch, ("temporal", _SERIES), 10.0),
        Study("words", words, ("transformer-tokens", _LETTERS), 30.0),
    )
}


@cache
def candidates(study: Study, seed: int = 12345) -> list[Path]:
    """Paths that no sampler has a say in: the extremes, and others spread over cost.

    Half of them lie nearest to linearly spaced MACs, half to log-spaced ones, in a pool whose
    paths have random tilts towards small or large options in each choice.
    """
    generator = random.Random(seed)
    supernet = study.supernet(0)
    space, macs = supernet.space, mac_counter(supernet)
    pool: dict[Path, float] = {}
    while len(pool) < min(_POOL // 10, space.size):
        tilt = generator.uniform(0, 1)
        options = {
            c.name: c.options[
                min(int(generator.betavariate(1 + 3 * tilt, 4 - 3 * tilt) * len(c.options)),
                    len(c.options) - 1)
            ]
            for c in space.choices
        }  # fmt: skip
        path = space.path(options)
        if path not in pool:
            pool[path] = macs(path)
    chosen = [space.smallest, space.largest]
    low, high = (macs(path) for path in chosen)
    half = (study.candidates - 2) // 2
    steps = [i / (half + 1) for i in range(1, half + 1)]
    aims = [low + (high - low) * s for s in steps] + [low * (high / low) ** s for s in steps]
    for aim in aims:
        left = [path for path in pool if path not in chosen]
        chosen.append(min(left, key=lambda path: (abs(pool[path] - aim), path.id)))
    return chosen


def first(split: Split, count: int) -> Split:
    """The first examples of a split; its order is random already."""
    return Split(split.inputs[:count], split.targets[:count])


def _example(name: str) -> ModuleType:
    file = ROOT / "examples" / name / "data.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
