"""Choices, spaces and paths: laws that hold for every space."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tipsc.errors import PathError
from tipsc.paths import Choice, Path, SearchSpace


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Small spaces with gates, also gates of gates."""
    choices: list[Choice] = []
    for index in range(draw(st.integers(1, 5))):
        options = draw(st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True))
        gate = draw(st.sampled_from([None, *choices]))
        gate_from = draw(st.sampled_from(gate.options)) if gate else 0
        name = gate.name if gate else None
        choices.append(Choice(f"c{index}", tuple(sorted(options)), name, gate_from))
    return SearchSpace(tuple(choices))


@given(spaces())
def test_enumeration_gives_each_path_once_and_as_many_as_size_says(space: SearchSpace) -> None:
    paths = list(space.enumerate())
    assert len(paths) == len(set(paths)) == space.size
    assert len({path.id for path in paths}) == space.size


@given(spaces())
def test_numbers_and_paths_correspond(space: SearchSpace) -> None:
    assert {space.path_at(i) for i in range(space.size)} == set(space.enumerate())


@given(spaces(), st.integers(0, 2**32))
def test_text_and_json_come_back(space: SearchSpace, seed: int) -> None:
    path = space.sample(random.Random(seed))
    assert space.parse(str(path)) == path
    assert path in space
    assert SearchSpace.from_json(space.to_json()) == space


@given(spaces(), st.integers(0, 2**32))
def test_what_an_inactive_choice_is_set_to_does_not_matter(space: SearchSpace, seed: int) -> None:
    generator = random.Random(seed)
    path = space.sample_options(generator)
    changed = {
        c.name: path[c.name]
        if space.is_active(c.name, path.options)
        else generator.choice(c.options)
        for c in space.choices
    }
    assert space.path(changed) == path
    assert space.path(changed).id == path.id


@given(spaces())
def test_the_extremes_bound_every_path(space: SearchSpace) -> None:
    for path in space.enumerate():
        for choice in space.choices:
            assert space.smallest[choice.name] <= path[choice.name]
            assert path[choice.name] <= choice.largest


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32))
def test_sampling_is_uniform_over_paths_with_gates(seed: int) -> None:
    space = SearchSpace((Choice("depth", (1, 2)), Choice("width", (4, 8, 16), "depth", 2)))
    generator = random.Random(seed)
    counts = Counter(space.sample(generator) for _ in range(4000))
    # Four paths; five standard deviations of a binomial count, so that chance alone never fails.
    assert len(counts) == space.size == 4
    assert all(abs(count - 1000) < 5 * (4000 * 0.25 * 0.75) ** 0.5 for count in counts.values())


def test_an_id_depends_on_nothing_but_the_options() -> None:
    space = SearchSpace((Choice("width", (4, 8)),))
    assert space.smallest.id == SearchSpace((Choice("width", (4, 16)),)).smallest.id == "5ebdaa8a"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choice("a b", (1,)), "not usable"),
        (lambda: Choice("a", ()), "no options"),
        (lambda: Choice("a", (2, 1)), "do not increase"),
        (lambda: SearchSpace((Choice("a", (1,)), Choice("a", (2,)))), "two choices"),
        (lambda: SearchSpace((Choice("a", (1,), "depth", 1),)), "not an earlier choice"),
        (lambda: SearchSpace((Choice("d", (1,)), Choice("a", (1,), "d", 2))), "never be active"),
    ],
)
def test_a_wrong_space_is_refused(make: object, message: str) -> None:
    with pytest.raises(PathError, match=message):
        make()  # type: ignore[operator]


def test_errors_name_what_is_near() -> None:
    space = SearchSpace((Choice("stage0.width", (4, 8)),))
    with pytest.raises(PathError, match=r"did you mean stage0\.width"):
        space.path({"stage0.widht": 4})
    with pytest.raises(PathError, match=r"one of \[4, 8\]"):
        space.path({"stage0.width": 5})
    with pytest.raises(PathError, match="cannot read"):
        space.parse("stage0.width=wide")


def test_a_path_cannot_be_changed() -> None:
    path: Path = SearchSpace((Choice("a", (1, 2)),)).smallest
    with pytest.raises(AttributeError):
        path.items = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        path.options["a"] = 2  # type: ignore[index]


def test_smallest_with_opens_gates_as_little_as_needed() -> None:
    space = SearchSpace(
        (
            Choice("depth", (1, 2, 3)),
            Choice("width", (8, 16), "depth", 2),
            Choice("kernel", (3, 5), "width", 16),
            Choice("other", (1, 2)),
        )
    )
    assert space.smallest_with({}) == space.smallest
    assert space.smallest_with({"kernel": 5}).values == (2, 16, 5, 1)
    assert space.smallest_with({"width": 8}).values == (2, 8, 3, 1)
    assert space.smallest_with({"depth": 3, "width": 16}).values == (3, 16, 3, 1)
    assert space.smallest_with({"depth": 1, "width": 16}) == space.smallest  # it is off there
    with pytest.raises(PathError):
        space.smallest_with({"width": 9})
