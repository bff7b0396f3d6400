"""AttentiveNAS (CVPR 2021, arXiv 2011.09011): of k paths of about equal cost, the best or worst.

The paper's: the target cost is drawn as uniform paths cost, k candidates near it are drawn, and
the one with the lowest (best-up) or highest (worst-up) loss on the mini-batch is trained. It takes
k = 3, adds the largest and the smallest path and distils from the largest; here those are settings
of the training. Ours: candidates come from :class:`BudgetUniform`'s proposals, where the paper
estimates a distribution of each choice given the cost.

Each drawn path costs k forward passes, which the history counts as trials.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from tipsc.elastic import Supernet
from tipsc.errors import ConfigError
from tipsc.paths import Path
from tipsc.train.macs import mac_counter
from tipsc.train.samplers.budget_uniform import BudgetUniform
from tipsc.train.samplers.interface import Losses, Probe

Pick = Literal["best", "worst"]


@dataclass(frozen=True)
class Attentive:
    """An adaptive sampler without a state: it asks the mini-batch, and remembers nothing.

    Args:
        near: draws paths of a given cost.
        pick: "best" for best-up, "worst" for worst-up.
        candidates: k of the paper, at least 1.
    """

    near: BudgetUniform
    pick: Pick = "best"
    candidates: int = 3

    def __post_init__(self) -> None:
        if self.pick not in ("best", "worst") or self.candidates < 1:
            raise ConfigError(
                "these are no options of attentive sampling",
                expected='pick "best" or "worst", candidates at least 1',
                got=f"{self.pick}, {self.candidates}",
            )

    def draw_with(self, generator: random.Random, count: int, probe: Probe) -> list[Path]:
        return [self._draw_one(generator, probe) for _ in range(count)]

    def _draw_one(self, generator: random.Random, probe: Probe) -> Path:
        target = self.near.position(self.near.space.sample_options(generator))
        drawn = [self.near.near(generator, target) for _ in range(self.candidates)]
        distinct = list(dict.fromkeys(drawn))
        if len(distinct) == 1:
            return distinct[0]
        losses = {path: probe(path) for path in distinct}
        choose = min if self.pick == "best" else max
        return choose(distinct, key=losses.__getitem__)

    def observe(self, step: int, losses: Losses) -> None:
        pass

    def state(self) -> Mapping[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        pass


def make(supernet: Supernet, seed: int, pick: Pick = "best", candidates: int = 3) -> Attentive:
    """Costs are MACs.

    Args:
        pick: "best" or "worst" of the candidates by their loss.
        candidates: paths of like cost that are compared for each that is trained.
    """
    near = BudgetUniform(supernet.space, mac_counter(supernet))
    return Attentive(near, pick, candidates)
