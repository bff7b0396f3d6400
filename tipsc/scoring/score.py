"""Score a supernet by its topology, and by the costs of one or two devices."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tipsc import dtmc
from tipsc.elastic import CostModel, Supernet
from tipsc.elastic.factors import additive_totals
from tipsc.errors import BudgetError, DataError
from tipsc.factors import Additive
from tipsc.paths import Path, SearchSpace
from tipsc.scoring.data import (
    Agreement,
    ChoiceScore,
    DeviceScore,
    FeatureMapScore,
    OptionShares,
    PathScore,
    Scores,
    TopPaths,
)
from tipsc.scoring.presence import presence_of
from tipsc.scoring.top import top_paths

Floats = NDArray[np.float64]

MOST_DEVICES = 2


def score(
    supernet: Supernet,
    costs: Mapping[str, Additive],
    *,
    macs: Additive | None = None,
    utility: Additive | None = None,
    eta: float = 0.0,
    budget: float | None = None,
    share: float = 0.5,
    budgets: int = 3,
    top: int = 3,
    coupling: float = 1.0,
    subnetworks: int = 64,
    seed: int = 0,
) -> Scores:
    """TAS, cost-folded TAS, option marginals and top paths of a supernet. Nothing is trained.

    Args:
        costs: one or two devices: name to the cost of a path (:mod:`tipsc.pipeline.fold`).
        macs: of a path, if they were traced already.
        utility: of a path, learned; top paths are ranked by it, else by TPS.
        eta: weight of a unit of utility in the chain.
        budget: expected cost of a drawn path, in the unit of the costs, on each device.
        share: if there is no budget, where it lies from the cheapest (0) to the dearest path (1),
            by logarithm: 0.5 is the geometric middle. Where the cheapest costs nothing or less,
            evenly.
        budgets: for how many budgets top paths are looked for; evenly spaced shares.
        top: how many for each.
        coupling: lambda of the published chain.
        subnetworks: that TAS is accumulated over: the smallest, the largest and sampled ones.
        seed: of these.

    Raises:
        DataError: no device or too many, or a function of another search space.
        BudgetError: the budget is outside a device's range; it is named.
        LoweringError: the supernet cannot be traced.
    """
    if not 1 <= len(costs) <= MOST_DEVICES:
        raise DataError("score compares one or two devices", got=f"{len(costs)} devices")
    if not 0.0 <= share <= 1.0:
        raise DataError("a share of the range lies between 0 and 1", got=share)
    if subnetworks < 2 or budgets < 0 or top < 1:
        raise DataError("too few", expected="subnetworks >= 2, budgets >= 0 and top >= 1")
    space = supernet.space
    macs = additive_totals(supernet)["macs"] if macs is None else macs
    topology = _topology(supernet, coupling, subnetworks, seed)
    names, tas = topology.union.graph.nodes, topology.tas
    presence = presence_of(supernet, names, topology.paths)
    tps = presence.tps(dict(zip(names, tas.tolist(), strict=True)))
    value = tps if utility is None else utility
    graph = dtmc.graph_for(*costs.values(), value, *presence.indicators)

    unpriced = dtmc.FoldedChain.of(next(iter(costs.values())), graph=graph)
    chains = {
        name: _chain(name, cost, utility, eta, graph, budget, share) for name, cost in costs.items()
    }
    flat = _column(names, presence.tas(unpriced))
    folded = {name: _column(names, presence.tas(chain)) for name, chain in chains.items()}
    degree = dtmc.accumulated_degree(topology.union, coupling)
    pair = list(folded.values())

    def path_score(path: Path) -> PathScore:
        return PathScore(
            path,
            tps.of(path),
            round(macs.of(path)),
            {name: cost.of(path) for name, cost in costs.items()},
            None if utility is None else utility.of(path),
        )

    shares = [(place + 1) / (budgets + 1) for place in range(budgets)]
    return Scores(
        coupling=coupling,
        subnetworks=subnetworks,
        paths_in_space=space.size,
        feature_maps=_feature_maps(topology, degree, flat, folded),
        published=agreement(tas, degree),
        unpriced=agreement(flat, degree),
        devices=tuple(
            DeviceScore(
                name,
                chain.cost_range,
                chain.expected_cost,
                chain.mu,
                agreement(folded[name], degree),
                agreement(folded[name], flat),
            )
            for name, chain in chains.items()
        ),
        between=agreement(*pair) if len(pair) == 2 else None,
        choices=_choices(space, unpriced, chains),
        top=tuple(
            TopPaths(
                name,
                at,
                limit,
                tuple(map(path_score, top_paths(graph, costs[name], value, limit, top))),
            )
            for at in shares
            for name, chain in chains.items()
            for limit in [budget_at(chain.cost_range, at)]
        ),
        paths={name: path_score(path) for name, path in topology.stand_for_range().items()},
        eta=0.0 if utility is None else eta,
    )


def budget_at(cost_range: tuple[float, float], share: float) -> float:
    """The cost at a share of the range: by logarithm, or evenly if its low end is not positive."""
    low, high = cost_range
    if low <= 0.0:
        return low + share * (high - low)
    return min(max(low * (high / low) ** share, low), high)


def agreement(one: Floats, other: Floats) -> Agreement:
    """Of two scores over the same feature maps, shape (N,)."""
    from scipy.stats import rankdata

    return Agreement(_correlation(one, other), _correlation(rankdata(one), rankdata(other)))


def _correlation(one: Floats, other: Floats) -> float:
    if np.ptp(one) <= 1e-12 * np.abs(one).max() or np.ptp(other) <= 1e-12 * np.abs(other).max():
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


@dataclass(frozen=True, eq=False)
class _Topology:
    """What the published chain says."""

    union: dtmc.Supergraph
    paths: Sequence[Path]
    tas: Floats
    tps: Floats

    def stand_for_range(self) -> dict[str, Path]:
        """The smallest and the largest path, and sampled ones between, by TPS."""
        order = sorted(range(2, len(self.paths)), key=lambda index: self.tps[index])
        shown = {"smallest": 0}
        if order:
            shown["sampled, lowest"] = order[0]
            shown["sampled, middle"] = order[len(order) // 2]
            shown["sampled, highest"] = order[-1]
        shown["largest"] = 1
        return {name: self.paths[index] for name, index in shown.items()}


def _topology(supernet: Supernet, coupling: float, subnetworks: int, seed: int) -> _Topology:
    model, space, generator = CostModel(supernet), supernet.space, random.Random(seed)
    paths = [space.smallest, space.largest]
    paths += [space.sample_options(generator) for _ in range(subnetworks - 2)]
    union = dtmc.supergraph([model.trace(path).steps for path in paths])
    tas = dtmc.tas(union, coupling)
    return _Topology(union, paths, tas, dtmc.tps(union, tas))


def _chain(
    name: str,
    cost: Additive,
    utility: Additive | None,
    eta: float,
    graph: dtmc.ChoiceGraph,
    budget: float | None,
    share: float,
) -> dtmc.FoldedChain:
    chain = dtmc.FoldedChain.of(cost, utility, eta=eta, graph=graph)
    try:
        return chain.at_budget(budget_at(chain.cost_range, share) if budget is None else budget)
    except BudgetError as error:
        raise BudgetError(
            error.what, where=name, expected=error.expected, got=error.got, fix="or give a share"
        ) from error


def _column(names: Sequence[str], scores: Mapping[str, float]) -> Floats:
    return np.array([scores[name] for name in names])


def _ranks(scores: Floats) -> list[int]:
    """1 for the highest; what differs by rounding only is equal."""
    from scipy.stats import rankdata

    rounded = np.round(scores / max(float(np.abs(scores).max()), 1e-300), 9)
    return [int(rank) for rank in rankdata(-rounded, method="min")]


def _feature_maps(
    topology: _Topology, degree: Floats, flat: Floats, folded: Mapping[str, Floats]
) -> tuple[FeatureMapScore, ...]:
    graph = topology.union.graph
    importance = dtmc.operation_importance(graph, topology.tas)
    route = set(dtmc.heaviest_route(graph, topology.tas))
    copies = topology.union.present.sum(axis=0).tolist()
    tails: dict[int, list[str]] = {}
    by_map: dict[int, float] = {}
    for tail, head, operation in zip(
        graph.tail.tolist(), graph.head.tolist(), graph.operations, strict=True
    ):
        tails.setdefault(head, []).append(graph.nodes[tail])
        by_map[head] = importance[operation]
    ranks = _ranks(topology.tas)
    folded_ranks = {name: _ranks(values) for name, values in folded.items()}
    return tuple(
        FeatureMapScore(
            name=name,
            inputs=tuple(tails.get(index, ())),
            tas=float(topology.tas[index]),
            rank=ranks[index],
            degree=float(degree[index]),
            importance=by_map.get(index, 1.0),
            on_heaviest_route=index in route,
            subnetworks=int(copies[index]),
            unpriced=float(flat[index]),
            folded={device: float(values[index]) for device, values in folded.items()},
            folded_rank={device: values[index] for device, values in folded_ranks.items()},
        )
        for index, name in enumerate(graph.nodes)
    )


def _choices(
    space: SearchSpace, unpriced: dtmc.FoldedChain, chains: Mapping[str, dtmc.FoldedChain]
) -> tuple[ChoiceScore, ...]:
    flat = unpriced.option_marginals()
    marginals = {name: chain.option_marginals() for name, chain in chains.items()}
    found = []
    for choice in space.choices:
        devices = {name: _shares(shares[choice.name]) for name, shares in marginals.items()}
        reference = _shares(flat[choice.name])
        first, *rest = devices.values()
        difference = first.distance(rest[0] if rest else reference)
        found.append(ChoiceScore(choice.name, reference, devices, difference))
    return tuple(sorted(found, key=lambda choice: -choice.difference))


def _shares(marginals: Mapping[int, float]) -> OptionShares:
    active = sum(marginals.values())
    return OptionShares(
        active, {o: share / active if active > 0 else 0.0 for o, share in marginals.items()}
    )
