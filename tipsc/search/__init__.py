"""Which paths to look at, how closely, and which K of them to ship.

=====================  ==========================================================================
:func:`search`         proposes candidates from the cost-folded chain, evaluates few of them in full
:func:`choose`         the K of them whose staircase of quality over latency has the largest area
:func:`for_budgets`    one path for each budget, before their training
:class:`Limit`         what a path may cost at most: latency, bytes, memory, energy
:class:`Surrogate`     merit of every path, estimated from those that were evaluated
=====================  ==========================================================================
"""

from tipsc.search.before import for_budgets
from tipsc.search.choose import (
    Rated,
    Selection,
    area,
    choose,
    dominates,
    pareto_front,
    selections_of,
)
from tipsc.search.halving import (
    Evaluate,
    Finalist,
    Found,
    Rung,
    rungs,
    search,
    spaced_budgets,
)
from tipsc.search.limits import Limit, refusal, within
from tipsc.search.surrogate import Surrogate

__all__ = [
    "Rated",
    "Evaluate",
    "Finalist",
    "Found",
    "Limit",
    "Rung",
    "Selection",
    "Surrogate",
    "area",
    "choose",
    "dominates",
    "for_budgets",
    "pareto_front",
    "refusal",
    "rungs",
    "search",
    "selections_of",
    "spaced_budgets",
    "within",
]
