"""Any sampler, and a utility that is learned from what it draws.

The draws stay the sampler's own. After the training ``utility`` has seen all of it, also what ran
before a resumption: it is part of the checkpoint.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from tipsc.paths import Path
from tipsc.train.samplers.interface import Adaptive, Losses, Probe
from tipsc.train.utility import Utility

_UTILITY = "utility."


@dataclass(frozen=True)
class Learning:
    """Draws like `sampler`; see :func:`tipsc.train.samplers.adaptive` for a plain one."""

    sampler: Adaptive
    utility: Utility

    def draw_with(self, generator: random.Random, count: int, probe: Probe) -> list[Path]:
        return self.sampler.draw_with(generator, count, probe)

    def observe(self, step: int, losses: Losses) -> None:
        self.sampler.observe(step, losses)
        self.utility.observe(losses)

    def state(self) -> Mapping[str, Tensor]:
        learned = {_UTILITY + name: value for name, value in self.utility.state().items()}
        return {**self.sampler.state(), **learned}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        own = {name: value for name, value in state.items() if not name.startswith(_UTILITY)}
        self.sampler.load_state(own)
        learned = set(state) - set(own)
        self.utility.load_state({name.removeprefix(_UTILITY): state[name] for name in learned})
