"""The phases of a training: which sampler draws how many paths, and which paths always run."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from tipsc.dtmc.samplers import Sampler
from tipsc.elastic import Supernet
from tipsc.errors import TrainingError
from tipsc.paths import Path, SearchSpace
from tipsc.train.samplers import Adaptive, Losses, Probe, adaptive
from tipsc.train.samplers import sampler as named_sampler
from tipsc.train.samplers.interface import Constant


@dataclass(frozen=True, kw_only=True)
class Phase:
    """A share of the training's steps; None means as in :class:`TrainConfig`, which explains.

    Attributes:
        share: of all steps; the shares of all phases add up to 1.
        sampler: as for the whole training.
        sampler_options: as for the whole training, if the sampler is the same; else none.
        paths_per_step, distill, with_largest, with_smallest: as for the whole training.
    """

    share: float
    sampler: str | None = None
    sampler_options: dict[str, Any] | None = None
    paths_per_step: int | None = None
    distill: bool | None = None
    with_largest: bool | None = None
    with_smallest: bool | None = None


@dataclass(frozen=True)
class Recipe:
    """What the steps of a phase do; see :class:`TrainConfig`."""

    paths_per_step: int
    distill: bool
    with_largest: bool
    with_smallest: bool
    sampler: str
    sampler_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Equal for phases that share a sampler, and what it has learned."""
        return f"{self.sampler} {sorted(self.sampler_options.items())}"

    def all_paths(self, space: SearchSpace, drawn: list[Path]) -> list[Path]:
        """The paths of a step, those that always run first; the teacher before all others."""
        always = [space.largest] if self.with_largest or self.distill else []
        if self.with_smallest and space.smallest not in always:
            always.append(space.smallest)
        return always + [path for path in drawn if path not in always]


class PhasePlan:
    """The recipe of each step, and the samplers of the whole training.

    Every sampler sees the losses of every step, so that one which draws late has learned early.

    Args:
        recipes: first step and recipe of each phase, in order.
        given: a sampler that stands in for the one that the training's settings name.
        default: the key of that one.
    """

    def __init__(
        self,
        recipes: list[tuple[int, Recipe]],
        supernet: Supernet,
        seed: int,
        given: Sampler | Adaptive | None = None,
        default: str = "",
    ) -> None:
        self._recipes, self._space = recipes, supernet.space
        self._samplers: dict[str, Adaptive] = {}
        for _, recipe in recipes:
            if recipe.key in self._samplers:
                continue
            if given is not None and recipe.key == default:
                self._samplers[recipe.key] = adaptive(given)
            else:
                named = named_sampler(recipe.sampler, supernet, seed, recipe.sampler_options)
                self._samplers[recipe.key] = adaptive(named)

    @property
    def learns(self) -> bool:
        """Whether the losses of a step decide what is drawn next."""
        return any(not isinstance(sampler, Constant) for sampler in self._samplers.values())

    def recipe(self, step: int) -> Recipe:
        """The recipe of a step."""
        return next(recipe for first, recipe in reversed(self._recipes) if step >= first)

    def draw(self, step: int, generator: random.Random, probe: Probe) -> list[Path]:
        """All paths that a step runs."""
        recipe = self.recipe(step)
        sampler = self._samplers[recipe.key]
        drawn = sampler.draw_with(generator, recipe.paths_per_step, probe)
        return recipe.all_paths(self._space, drawn)

    def observe(self, step: int, losses: Losses) -> None:
        for sampler in self._samplers.values():
            sampler.observe(step, losses)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """Of each sampler that has one."""
        states = {key: dict(sampler.state()) for key, sampler in self._samplers.items()}
        return {key: state for key, state in states.items() if state}

    def load_state(self, states: Mapping[str, Mapping[str, Tensor]], where: str) -> None:
        """The inverse of :meth:`state`.

        Raises:
            TrainingError: the states are of other samplers.
        """
        ours = self.state()
        if {k: set(v) for k, v in ours.items()} != {k: set(v) for k, v in states.items()}:
            raise TrainingError(
                "this checkpoint belongs to another training: its samplers differ",
                where=where,
                expected=sorted(ours) or "none with a state",
                got=sorted(states) or "none with a state",
                fix="train in another folder, or delete this checkpoint",
            )
        for key, state in states.items():
            self._samplers[key].load_state(state)
