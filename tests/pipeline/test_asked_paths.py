"""Paths that a configuration names itself."""

from __future__ import annotations

import pytest

from tipsc.errors import ConfigError
from tipsc.paths import Choice, SearchSpace
from tipsc.pipeline.asked_paths import path_of

SPACE = SearchSpace((Choice("width", (8, 16)), Choice("depth", (1, 2))))


def test_a_path_is_named_by_id_by_options_or_as_an_end() -> None:
    for path in SPACE.enumerate():
        assert path_of(SPACE, path.id) == path == path_of(SPACE, dict(path.items))
    assert path_of(SPACE, "largest") == SPACE.largest
    assert path_of(SPACE, "smallest") == SPACE.smallest


@pytest.mark.parametrize("wish", ["0" * 8, {"width": 9, "depth": 1}, {"breadth": 8}])
def test_what_is_no_path_is_refused(wish: str | dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"build\.ship"):
        path_of(SPACE, wish)


def test_in_a_space_that_is_too_large_an_id_is_not_looked_for() -> None:
    large = SearchSpace(tuple(Choice(f"c{i}", (1, 2, 3, 4)) for i in range(12)))
    with pytest.raises(ConfigError, match="give its options"):
        path_of(large, large.smallest.id)
