"""MACs and other totals of a supernet as sums of factors: exact, or refused."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_spaces import spaces
from supernets import ALL, make

from tipsc.elastic import CostModel, factors, family
from tipsc.elastic.factors import TOTALS, additive_parts, additive_totals
from tipsc.errors import LoweringError
from tipsc.paths import Choice, Path, SearchSpace


@pytest.mark.parametrize("name", ALL)
def test_sums_are_what_tracing_counts(name: str) -> None:
    supernet = make(name)
    totals, model = additive_totals(supernet), CostModel(supernet)
    generator = random.Random(1)  # not the one that the sums were checked with
    for _ in range(15):
        path = supernet.space.sample(generator)
        cost, steps = model.of(path), model.trace(path).steps
        assert totals["macs"].of(path) == cost.macs
        assert totals["dense_macs"].of(path) + totals["depthwise_macs"].of(path) == cost.macs
        assert totals["parameters"].of(path) == cost.parameters
        assert totals["launches"].of(path) == len(cost.steps)
        additions = sum(step.operation in ("add", "iadd") for step in steps)
        assert totals["live_additions"].of(path) == additions
    assert tuple(totals) == TOTALS


def test_scopes_are_as_small_as_the_network_allows() -> None:
    totals = additive_totals(make("mobilenet"))
    scopes = totals["macs"].scopes
    assert ("stage1.block0.width", "stage1.block0.kernel") in scopes
    assert not any(len(scope) > 2 for scope in scopes)
    blocks = [{name.rpartition(".")[0] for name in scope} for scope in scopes]
    assert all(len(names) == 1 for names in blocks)  # the residual stream separates the blocks


def test_few_paths_are_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    supernet = family("transformer", classes=5, input_shape=(2, 8, 8), patch=4, width=24)
    traced: list[Path] = []
    count = CostModel.by_step
    monkeypatch.setattr(
        CostModel, "by_step", lambda model, path: traced.append(path) or count(model, path)
    )
    additive_totals(supernet)
    options = sum(len(choice.options) for choice in supernet.space.choices)
    assert len(traced) < 3 * options + 40


@settings(deadline=None)
@given(spaces(), st.integers(0, 2**32))
def test_any_function_of_few_choices_is_found(space: SearchSpace, seed: int) -> None:
    """Parts that live on where a choice is inactive, that depend on gates, or on both."""
    generator = random.Random(seed)
    scopes = [
        generator.sample(space.choices, min(len(space.choices), generator.randrange(4)))
        for _ in range(4)
    ]

    def measure(path: Path) -> dict[tuple[str, str], float]:
        parts: dict[tuple[str, str], float] = {}
        for number, scope in enumerate(scopes):
            needs_all = number % 2 == 0
            if needs_all and not all(space.is_active(c.name, path.options) for c in scope):
                continue
            values = [path[c.name] for c in scope]
            parts["cost", f"step{number}"] = random.Random(f"{seed} {number} {values}").randrange(9)
        return parts

    cost = additive_parts(space, measure, ["cost"])["cost"]
    for path in space.enumerate():
        assert cost.of(path) == sum(measure(path).values())


def test_a_cost_that_couples_everything_is_refused() -> None:
    space = SearchSpace(tuple(Choice(f"w{i}", tuple(range(1, 5))) for i in range(8)))

    def measure(path: Path) -> dict[tuple[str, str], float]:
        return {("cost", "all"): float(sum(path.values) ** 2)}

    with pytest.raises(LoweringError, match="depends on too many choices"):
        additive_parts(space, measure, ["cost"])


def needle(path: Path) -> dict[tuple[str, str], float]:
    """A cost that no single change from a common path gives away."""
    return {("cost", "needle"): float(path["a"] == path["b"] == path["c"] == 1)}


def test_a_scope_that_proves_too_small_is_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    space = SearchSpace(tuple(Choice(name, (1, 2, 3)) for name in "abc"))
    cost = additive_parts(space, needle, ["cost"])["cost"]
    assert all(cost.of(path) == needle(path)["cost", "needle"] for path in space.enumerate())
    monkeypatch.setattr(factors, "ROUNDS", 1)
    with pytest.raises(LoweringError, match="not the sum of small tables"):
        additive_parts(space, needle, ["cost"])
