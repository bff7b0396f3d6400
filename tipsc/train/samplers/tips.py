"""Published TIPS: paths with a high topological path score are drawn more often.

The largest and smallest path are not added: the paper's recipe has both
(``with_largest``, ``with_smallest`` of the configuration).
"""

from __future__ import annotations

import random

from tipsc.dtmc.tips import Tips, tips_sampler
from tipsc.elastic import CostModel, Supernet
from tipsc.train.chance import seed_of


def make(supernet: Supernet, seed: int, temperature: float = 1.0) -> Tips:
    """A higher score is drawn more often.

    Args:
        temperature: in standard deviations of the score, above 0; the higher the more uniform.
    """
    model = CostModel(supernet)
    generator = random.Random(seed_of("tips", seed))
    return tips_sampler(
        supernet.space, lambda path: model.trace(path).steps, generator, temperature=temperature
    )
