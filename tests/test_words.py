"""Words that belong to one room: only tasks know what a class is and how it is judged, and their
pictures how it looks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import tipsc

ROOT = Path(tipsc.__file__).parent

#: a pattern, and the places under tipsc/ where it may stand
WORDS: Mapping[str, tuple[str, ...]] = {
    r"cross_entropy|argmax|softmax\(-1\)": (
        "tasks/",
        "report/pictures/",
        "from_onnx/operators.py",  # an operator of that name
    ),
    r"[Aa]ccurac": ("tasks/", "report/metric.py"),
}


def places_of(pattern: str) -> set[str]:
    """Files of the package, templates among them, that have it."""
    templates = (file for kind in ("txt", "yaml") for file in ROOT.rglob(f"templates/**/*.{kind}"))
    files = [*ROOT.rglob("*.py"), *templates]
    return {
        file.relative_to(ROOT).as_posix() for file in files if re.search(pattern, file.read_text())
    }


@pytest.mark.parametrize("pattern", WORDS)
def test_a_word_stands_where_it_belongs_and_nowhere_else(pattern: str) -> None:
    found = places_of(pattern)
    assert {place for place in found if not place.startswith(WORDS[pattern])} == set()
    assert found  # a pattern that nothing has would hold nothing


def test_tasks_know_no_backend() -> None:
    for file in (ROOT / "tasks").glob("*.py"):
        rooms = set(re.findall(r"^\s*(?:from|import) tipsc\.(\w+)", file.read_text(), re.M))
        assert rooms <= {"tasks", "batch", "tree", "quality", "errors"}, file.name
