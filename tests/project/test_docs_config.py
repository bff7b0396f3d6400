"""docs/config.md tells every key as the models have it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from tipsc.convert.convert import WIDTHS
from tipsc.project.config import Config
from tipsc.project.keys import MARK, SECTIONS, KeySection, keys_of, tables, written
from tipsc.project.target import Target

DOCUMENT = Path(__file__).parents[2] / "docs" / "config.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_models() -> None:
    assert written(TEXT) == TEXT, "run: python -m tipsc.project.keys docs/config.md"


def test_every_table_with_a_key_is_in_the_document() -> None:
    assert set(MARK.findall(TEXT)) == {name for name, keys in tables().items() if keys}


def test_a_key_that_is_missing_or_has_another_default_is_noticed() -> None:
    row = "| `paths` | whole number | `8` |"
    assert row in TEXT
    assert written(TEXT.replace(row, row.replace("8", "9"))) == TEXT
    without = re.sub(r"\| `tolerance`.*\n", "", TEXT)
    assert without != TEXT and written(without) == TEXT


@pytest.mark.parametrize("name", tables())
def test_every_key_is_explained_in_a_line(name: str) -> None:
    for key in tables()[name]:
        assert key.text and "\n" not in key.text, f"{name}.{key.name} has no explanation"


@pytest.mark.parametrize("section", SECTIONS.values(), ids=SECTIONS)
def test_a_row_has_the_model_s_default(section: KeySection) -> None:
    assert [key.name for key in keys_of(section)] == list(section.model.model_fields)
    for key, field in zip(keys_of(section), section.model.model_fields.values(), strict=True):
        assert (key.default == "required") == field.is_required()


def test_null_widths_are_those_of_a_conversion() -> None:
    *some, last = (f"{width:g}" for width in WIDTHS)
    assert f"Null for {', '.join(some)} and {last}" in TEXT


def test_no_section_of_the_models_is_left_out() -> None:
    """A section that is added to a model has to be added to the document."""
    known = {section.model for section in SECTIONS.values()}
    assert known >= _models(Config) | _models(Target)


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    found, todo = {model}, [field.annotation for field in model.model_fields.values()]
    while todo:
        kind = todo.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found:
            found |= _models(kind)
        todo += getattr(kind, "__args__", ())
    return found
