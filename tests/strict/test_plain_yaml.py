"""YAML of people and of attackers: bounded time, plain values, and errors that name the line."""

from __future__ import annotations

import contextlib
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tipsc.errors import ConfigError
from tipsc.project.config import load_config
from tipsc.strict import plain_yaml

BASE = "name: m\nmodel: {callable: 'm.py:load'}\ndata: {callable: 'd.py:load'}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in pairwise("abcdefghijk")
)


def counted(text: str) -> int:
    loader = plain_yaml._PlainLoader(text.encode())
    with pytest.raises(plain_yaml.NotPlain):
        loader.get_single_data()
    return loader._values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (BOMB, "line 5: .*more than 20000 values"),
        ("a: &a [*a]\n", "line 1: .*alias .* of what it stands in"),
        ("&a\nname: *a\n", "line 2: .*alias"),
        ("[" * 60_000, "nested more than 32 deep"),
        ("a: &a {b: 1}\n<<: *a\n", "line 2: .*merge of mappings"),
        ("name: a\nname: b\n", "line 2: .*'name' stands twice"),
        (BASE + "seed: 010\n", "line 4: .*plain decimal digits"),
        (BASE + "seed: 0x10\n", "plain decimal digits"),
        (BASE + "seed: 0b11\n", "plain decimal digits"),
        (BASE + "seed: 1:30\n", "plain decimal digits"),
        (BASE + "seed: " + "9" * 5000, "more than 64 bits"),
        (BASE + f"seed: {2**63}\n", "more than 64 bits"),
        (BASE + "seed: 2026-01-01\n", 'seed: .*got "2026-01-01"'),
        (BASE + "train: {learning_rate: .nan}\n", "key train.learning_rate: .*finite"),
        (BASE + "train: {learning_rate: 1e999}\n", "key train.learning_rate: .*finite"),
        (BASE.replace("load'}", "load', arguments: {a: [.inf]}}"), "arguments.a.0: .*finite"),
        (BASE + "1: 2\n", "line 4: .*key that is no text"),
        (BASE + "---\n" + BASE, "a second document"),
        (BASE.replace("load'}", "load', arguments: {a: !!binary aGk=}}"), r"a tag \(!...\)"),
        (b"\xef\xbb\xbf" + (BASE + "x: 1\n").encode(), "key x: unknown key"),
        ((BASE + "x: 1\n").encode("utf-16"), "key x: unknown key"),
        (b"name: \xff\xfe\n", "bytes that are no text"),
        ("name:\n\tx: 1\n", "line 2: .*tab"),
    ],
)
def test_what_is_refused_is_named(tmp_path: Path, text: str | bytes, says: str) -> None:
    file = tmp_path / "tipsc.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError, match=says):
        load_config(file)


def test_aliases_count_as_what_they_stand_for() -> None:
    assert counted(BOMB) < 10 * plain_yaml.MAX_VALUES
    assert plain_yaml.load(b"a: &a [1, 2]\nb: *a\n") == {"a": [1, 2], "b": [1, 2]}


def test_a_mapping_is_compared_with_itself_once() -> None:
    class Key(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Key.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    class Loader(plain_yaml._PlainLoader):
        pass

    Loader.yaml_constructors = {
        **plain_yaml._PlainLoader.yaml_constructors,
        "tag:yaml.org,2002:str": lambda loader, node: Key(node.value),
    }
    text = "".join(f"k{i}: 1\n" for i in range(6000))
    assert len(yaml.load(text, Loader=Loader)) == 6000
    assert Key.compared < 6000  # 18 million where each is compared with all before it


def test_numbers_and_texts_are_what_they_look_like() -> None:
    text = b"[1e-3, 1.5, .5, 5., -3, 1_000, 0, 2026-01-01, true, ~, '010', 1E5]"
    assert plain_yaml.load(text) == [
        0.001, 1.5, 0.5, 5.0, -3, 1000, 0, "2026-01-01", True, None, "010", 1e5,
    ]  # fmt: skip


@given(st.text(st.sampled_from("a1&*:[]{}-? \n<0.e_!'\"|>#%@,\t"), max_size=60))
def test_any_text_is_read_or_refused_by_name(text: str) -> None:
    with contextlib.suppress(yaml.YAMLError):
        plain_yaml.load(text.encode())
