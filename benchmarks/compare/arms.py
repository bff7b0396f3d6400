"""The arms: how each method trains, and the learning rates that are tried for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tipsc.train.phases import Phase

ONE: dict[str, Any] = {"paths_per_step": 1, "distill": False}
FOUR: dict[str, Any] = {
    "paths_per_step": 2,
    "with_largest": True,
    "with_smallest": True,
    "distill": True,
}


@dataclass(frozen=True)
class Arm:
    """A method.

    Attributes:
        name: as it stands in the results.
        settings: of :class:`tipsc.train.TrainConfig`.
        method: in words.
    """

    name: str
    settings: dict[str, Any]
    method: str


def _arm(name: str, method: str, recipe: dict[str, Any], **settings: Any) -> Arm:
    return Arm(name, recipe | settings, method)


ARMS: dict[str, Arm] = {
    arm.name: arm
    for arm in (
        _arm("uniform", "one uniform path a step", ONE, sampler="uniform"),
        _arm(
            "folded",
            "one path a step from the cost-folded chain, equal compute for each budget",
            ONE,
            sampler="folded",
        ),
        _arm(
            "folded-even",
            "the same with equal steps for each budget",
            ONE,
            sampler="folded",
            sampler_options={"thrift": 0.0},
        ),
        _arm(
            "budget-thrifty",
            "budget-uniform with equal compute along the range",
            ONE,
            sampler="budget-uniform",
            sampler_options={"spacing": "log", "thrift": 1.0},
        ),
        _arm(
            "folded-utility",
            "cost-folded with a learned utility, eta = 1",
            ONE,
            sampler="folded",
            sampler_options={"eta": 1.0},
        ),
        _arm(
            "folded-pairs",
            "the same, its utility also of pairs of choices",
            ONE,
            sampler="folded",
            sampler_options={"eta": 1.0, "interactions": True},
        ),
        _arm(
            "budget-uniform",
            "one path a step, its cost log-uniform",
            ONE,
            sampler="budget-uniform",
            sampler_options={"spacing": "log"},
        ),
        _arm(
            "sandwich",
            "US-Nets: largest, smallest, two uniform, distillation",
            FOUR,
            sampler="uniform",
        ),
        _arm(
            "joslim",
            "Joslim: largest, smallest, two optimised, distillation",
            FOUR,
            sampler="joslim",
        ),
        _arm(
            "attentive",
            "AttentiveNAS best-up: largest, smallest, two picked, distillation",
            FOUR,
            sampler="attentive",
        ),
        _arm("tips", "TIPS: largest, smallest, two by TPS, distillation", FOUR, sampler="tips"),
        _arm("tips-1", "one path a step by TPS", ONE, sampler="tips"),
        _arm("degree", "one path a step by degree alone", ONE, sampler="degree"),
        _arm("joslim-1", "one path a step, optimised as in Joslim", ONE, sampler="joslim"),
        _arm(
            "folded-then-sandwich",
            "cost-folded, one path a step for 80 %, then with the largest and distillation",
            ONE,
            sampler="folded",
            sampler_options={"thrift": 0.0},
            phases=(
                Phase(share=0.8),
                Phase(share=0.2, paths_per_step=2, with_largest=True, distill=True),
            ),
        ),
    )
}

LEARNING_RATES = (0.01, 0.02, 0.04)
