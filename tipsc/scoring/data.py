"""What scoring a supernet gives. Frozen, without torch: the command line and the page read it.

A *device* is a name with a cost function; its costs are in a unit of its own, milliseconds for a
profile, or MACs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tipsc.paths import Path

SAME = 1e-6  # probabilities that differ by less do so by rounding


@dataclass(frozen=True)
class FeatureMapScore:
    """A feature map of the supernet.

    Attributes:
        inputs: feature maps that its operations read.
        tas: published TAS.
        rank: by TAS, 1 is the highest; equal scores share the better rank.
        degree: accumulated degree, to which published TAS is proportional.
        importance: the best route through it over the best of all (1: on the heaviest).
        subnetworks: in how many of the sampled subnetworks it is.
        unpriced: cost-folded TAS at price 0: every option of a choice equally probable.
        folded: cost-folded TAS by device.
        folded_rank: by device.
    """

    name: str
    inputs: tuple[str, ...]
    tas: float
    rank: int
    degree: float
    importance: float
    on_heaviest_route: bool
    subnetworks: int
    unpriced: float
    folded: Mapping[str, float]
    folded_rank: Mapping[str, int]


@dataclass(frozen=True)
class Agreement:
    """Pearson's r and Spearman's rho of two scores over the feature maps; NaN if one is flat."""

    pearson: float
    spearman: float


@dataclass(frozen=True)
class DeviceScore:
    """The chain of one device.

    Attributes:
        cost_range: of the cheapest and the dearest path.
        budget: the expected cost that the price was solved for.
        mu: that price, per unit of cost.
        degree: agreement of cost-folded TAS with accumulated degree.
        unpriced: agreement of cost-folded TAS with that at price 0.
    """

    name: str
    cost_range: tuple[float, float]
    budget: float
    mu: float
    degree: Agreement
    unpriced: Agreement


@dataclass(frozen=True)
class OptionShares:
    """How a chain decides a choice.

    Attributes:
        active: probability that the choice has an effect.
        shares: option to its probability where the choice is active; all 0 if it never is.
    """

    active: float
    shares: Mapping[int, float]

    @property
    def favourite(self) -> int:
        """The most probable option."""
        return max(self.shares, key=lambda option: self.shares[option])

    def distance(self, other: OptionShares) -> float:
        """Total variation of the shares, times the smaller probability of being active."""
        apart = sum(abs(share - other.shares[option]) for option, share in self.shares.items())
        return min(self.active, other.active) * apart / 2.0


@dataclass(frozen=True)
class ChoiceScore:
    """A choice under each device.

    Attributes:
        unpriced: at price 0.
        difference: distance between the two devices, or of the only one from price 0.
    """

    name: str
    unpriced: OptionShares
    devices: Mapping[str, OptionShares]
    difference: float

    @property
    def kind(self) -> str:
        """The last part of the name, which blocks share: ``kernel``."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class PathScore:
    """A path.

    Attributes:
        tps: published TPS; close to size.
        macs: of one example.
        costs: by device.
        utility: learned; None where there is none.
    """

    path: Path
    tps: float
    macs: int
    costs: Mapping[str, float]
    utility: float | None = None

    @property
    def id(self) -> str:
        return self.path.id


@dataclass(frozen=True)
class TopPaths:
    """The most valuable paths found within a budget, best first; by TPS without a utility.

    Attributes:
        share: where the budget lies in the range of the costs, from 0 to 1.
        budget: in the device's unit.
    """

    device: str
    share: float
    budget: float
    paths: tuple[PathScore, ...]


@dataclass(frozen=True)
class Moved:
    """A feature map that costs move, and how many others come and go with it.

    Attributes:
        difference: of the probability that a drawn path computes it.
    """

    feature_map: FeatureMapScore
    alike: int
    difference: float


@dataclass(frozen=True)
class Scores:
    """Everything.

    Attributes:
        paths_in_space: how many distinct paths there are.
        feature_maps: in topological order.
        published: agreement of published TAS with degree, which is 1 by the theorem.
        unpriced: agreement of cost-folded TAS at price 0 with degree.
        devices: in the order in which they were given.
        between: agreement of the cost-folded TAS of two devices; None for another number.
        choices: by falling difference.
        top: by budget, then by device.
        paths: the smallest, the largest and sampled paths, by what they are.
        eta: weight of a unit of utility; 0 without one.
    """

    coupling: float
    subnetworks: int
    paths_in_space: int
    feature_maps: tuple[FeatureMapScore, ...]
    published: Agreement
    unpriced: Agreement
    devices: tuple[DeviceScore, ...]
    between: Agreement | None
    choices: tuple[ChoiceScore, ...]
    top: tuple[TopPaths, ...]
    paths: Mapping[str, PathScore]
    eta: float = 0.0

    @cached_property
    def by_tas(self) -> tuple[FeatureMapScore, ...]:
        """Feature maps by falling published TAS."""
        return tuple(sorted(self.feature_maps, key=lambda entry: -entry.tas))

    @cached_property
    def moved(self) -> tuple[Moved, ...]:
        """Feature maps by falling difference, between the devices or from price 0, of the
        probability that a path computes them; those that do not differ are left out."""
        found: dict[tuple[float, ...], list[FeatureMapScore]] = {}
        for entry in self.feature_maps:
            found.setdefault(tuple(round(p, 9) for p in self._visits(entry)), []).append(entry)
        moved = [
            Moved(alike[0], len(alike) - 1, difference)
            for visits, alike in found.items()
            if (difference := abs(visits[0] - visits[1])) > SAME
        ]
        return tuple(sorted(moved, key=lambda entry: -entry.difference))

    @cached_property
    def kinds(self) -> dict[str, float]:
        """Mean difference of the choices of each kind, largest first."""
        found: dict[str, list[float]] = {}
        for choice in self.choices:
            found.setdefault(choice.kind, []).append(choice.difference)
        means = {kind: sum(values) / len(values) for kind, values in found.items()}
        return dict(sorted(means.items(), key=lambda item: -item[1]))

    def overlap(self, share: float) -> tuple[int, int] | None:
        """How many of the top paths at this budget both devices have, and of how many."""
        lists = [{path.id for path in top.paths} for top in self.top if top.share == share]
        if len(lists) != 2:
            return None
        return len(lists[0] & lists[1]), min(map(len, lists))

    @property
    def shares(self) -> tuple[float, ...]:
        """The budgets of :attr:`top`, as shares of the range."""
        return tuple(dict.fromkeys(top.share for top in self.top))

    @cached_property
    def _highest(self) -> tuple[float, ...]:
        """Of each column of :func:`_columns`; that of the input, which every path computes."""
        columns = zip(*map(_columns, self.feature_maps), strict=True)
        return tuple(max(column) for column in columns)

    def _visits(self, entry: FeatureMapScore) -> tuple[float, ...]:
        pairs = zip(_columns(entry), self._highest, strict=True)
        return tuple(score / highest for score, highest in pairs)


def _columns(entry: FeatureMapScore) -> tuple[float, ...]:
    """What is compared: both devices, or the only one and price 0."""
    return (*entry.folded.values(), entry.unpriced)[:2]
