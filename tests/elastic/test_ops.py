"""What an operation is stands in its records, and nowhere else."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import tipsc
from tipsc.convert.ops import OPS, Role

ROOMS = [Path(tipsc.__file__).parent / room for room in ("convert", "elastic")]
FILES = [
    file
    for room in ROOMS
    for file in sorted(room.glob("*.py"))
    if file.name not in ("__init__.py", "operations.py")
]
WORDS = {"add"}  # of our own, too: a mask that is added


def operations_named(tree: ast.AST) -> Iterator[str]:
    """Operations in tables, and in comparisons with one name or several."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Set | ast.List | ast.Tuple):
            values = node.elts
        elif isinstance(node, ast.Dict):
            values = [key for key in node.keys if key is not None]
        elif isinstance(node, ast.Compare):
            values = [node.left, *node.comparators]
        else:
            continue
        for value in values:
            if isinstance(value, ast.Constant) and value.value in OPS:
                yield f"{value.value}, line {value.lineno}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.name}")
def test_no_other_file_has_a_table_of_operations(file: Path) -> None:
    found = list(operations_named(ast.parse(file.read_text())))
    assert [name for name in found if name.partition(",")[0] not in WORDS] == []


def test_the_search_for_tables_finds_them() -> None:
    source = 'A = {"relu"}\nB = ("mean", 1)\nC = {"bmm": 1}\nx == "cat" or x in ["pad"]'
    assert [n.partition(",")[0] for n in operations_named(ast.parse(source))] == [
        *("relu", "mean", "bmm", "cat", "pad"),
    ]


@pytest.mark.parametrize("name", OPS)
def test_a_record_is_of_an_operation_and_says_something(name: str) -> None:
    op = OPS[name]
    assert name == "getitem" or hasattr(torch.ops.aten, name)
    assert op.axes or op.rewrite or op.may_view or op.role is not Role.OTHER or op.follows(None)  # type: ignore[arg-type]
    assert op.is_layer is None or op.build is not None
