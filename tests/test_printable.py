"""What is printed can do nothing to a terminal, and says what it said."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tipsc.errors import TipscError, listed, near
from tipsc.printable import cut, on_one_line, printable, printable_json
from tipsc.report.html import shape, tag

ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.text(
    st.sampled_from("a\n\x1b\x9b\x07\r\t\x7f\u202e\u2066\u2028\ud800<>&'\"\\[]m")
)


@given(ANY_TEXT)
def test_no_control_character_but_newline_is_left(text: str) -> None:
    found = printable(text)
    kinds = {unicodedata.category(letter) for letter in found.replace("\n", "")}
    assert not kinds & {"Cc", "Cs", "Zl", "Zp"}
    assert not set(found) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
    found.encode()


@given(ANY_TEXT)
def test_printing_twice_changes_nothing_more(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@given(st.text().filter(str.isprintable))
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text == json.loads(printable_json(json.dumps(text)))


@given(ANY_TEXT)
def test_json_holds_the_same_data_and_no_control_character(text: str) -> None:
    document = printable_json(json.dumps({"name": text}, ensure_ascii=False))
    assert json.loads(document) == {"name": text}
    assert printable(document) == document


@given(ANY_TEXT, st.integers(1, 50))
def test_what_is_cut_says_so(text: str, limit: int) -> None:
    found = cut(text, limit)
    assert len(found) <= limit and (found == text or found.endswith("…"))
    assert "\n" not in on_one_line(text)


def test_escapes_are_seen() -> None:
    assert printable("a\x1b[31mb\x9bc\u202ed\ud800") == "a\\x1b[31mb\\x9bc\\u202ed\\ud800"


@given(ANY_TEXT)
def test_an_error_prints_nothing_that_is_obeyed_and_keeps_the_data(text: str) -> None:
    error = TipscError(text, where=text, got=text, fix=text)
    assert printable(str(error)) == str(error)
    assert error.got == text


@given(ANY_TEXT)
def test_a_page_holds_no_markup_of_the_data(text: str) -> None:
    page = tag("p", text, title=text) + shape("rect", text, id=text)
    assert page.count("<") == 6 and page.count('"') == 4
    page.encode()


@pytest.mark.parametrize("count", [3, 12, 13, 5000])
def test_a_list_that_is_cut_says_how_many_are_missing(count: int) -> None:
    names = [f"n{i}" for i in range(count)]
    assert (f"({count - 12} more)" in listed(names)) == (count > 12)
    clause = near("zzzz", names)
    assert clause.startswith("known: n0") and ("…" in clause) == (count > 12)


def test_more_near_names_than_are_shown() -> None:
    assert near("path1", ["path2", "path3", "path4", "path5"]).endswith(", …?")
    assert near("path1", ["path2", "zz"]) == "did you mean path2?"
