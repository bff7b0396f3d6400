"""The tables and numbers of docs/engine-format.md are those of the code."""

from __future__ import annotations

import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType

import format_graphs
import format_reader
import onnx
import pytest
from format_graphs import TEXT

from tipsc.engine import (
    Latency,
    Manifest,
    PathEntry,
    allowed,
    strict,
    tflite_schema,
    tflite_shapes,
)
from tipsc.engine import flatbuffer as engine_flatbuffer
from tipsc.engine import format as engine_format
from tipsc.signature import LETTERS, Signature, TensorSpec
from tipsc.tree import MOST_DEEP, Tree


def block(name: str) -> str:
    return TEXT.split(f"<!-- {name} -->\n")[1].split("<!-- end -->")[0]


def test_the_fields_of_graphs_are_those_that_tipsc_allows() -> None:
    wires = {"v": 0, "d": 1, "b": 2, "f": 5}

    def compare(kind: allowed.Message) -> None:
        listed = format_graphs.FIELDS[kind.name]
        assert {n: {wires[w] for w in f[1]} for n, f in listed.items()} == {
            n: set(found) for n, found in kind.wires.items()
        }
        assert {n: f[2] for n, f in listed.items() if f[2]} == {
            n: inner.name for n, inner in kind.inner.items()
        }
        for inner in kind.inner.values():
            compare(inner)

    compare(allowed._MODEL)
    inner = {
        "TypeProto.Tensor": onnx.TypeProto.Tensor,
        "Dimension": onnx.TensorShapeProto.Dimension,
    }
    for name, listed in format_graphs.FIELDS.items():
        known = inner.get(name) or getattr(onnx, name)
        numbers = {f.number: f.name for f in known.DESCRIPTOR.fields}
        assert {n: f[0] for n, f in listed.items()} == {n: numbers[n] for n in listed}


def test_the_operators_whose_constants_cannot_grow() -> None:
    row = next(line for line in TEXT.splitlines() if line.startswith("| `Cast`"))
    assert set(re.findall(r"`(\w+)`", row)) == allowed.NO_LARGER


def test_the_tables_and_operators_of_a_tflite() -> None:
    text = block("tflite tables").replace("\n    ", " ").strip("`\n").removeprefix("text\n")
    found, numbers = {}, {}
    for line in text.splitlines():
        head, *words = line.split()
        if head.isdigit():
            numbers[int(head)] = words[0]
            head, *words = words
        found[head] = engine_flatbuffer.table(" ".join(words))
    assert found == tflite_schema.SCHEMA.tables
    assert numbers == tflite_schema.SCHEMA.unions["BuiltinOptions"]
    operators = {}
    for line in block("tflite operators").strip("`\n").removeprefix("text\n").splitlines():
        number, name, options, rule, inputs = line.split()
        least, _, most = inputs.partition("-")
        operators[int(number)] = tflite_schema.Kind(
            name, options, rule, (int(least), int(most or least))
        )
    assert operators == tflite_schema.OPERATORS
    assert set(re.findall(r"^\| `(\w+)`", block("tflite rules"), re.M)) == set(tflite_shapes._RULES)


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("## Header", engine_format.Header),
        ("## Manifest", Manifest),
        ("A signature, an object:", Signature),
        ("A tensor, an object:", TensorSpec),
        ("A tree, an object:", Tree),
        ("A path, an object;", PathEntry),
    ],
)
def test_every_key_has_its_row(heading: str, kind: type) -> None:
    table = TEXT.split(heading)[1].split("\n\n|")[1].split("\n\n")[0]
    rows = [line.strip("|").split("|")[0] for line in table.splitlines()]
    assert {key for row in rows for key in re.findall(r"`(\w+)`", row)} == {
        field.name for field in fields(kind)
    }


def test_the_keys_of_a_latency_and_the_numbers_of_the_page() -> None:
    text = " ".join(TEXT.split())
    assert all(f"`{field.name}`" in text for field in fields(Latency))
    assert f"**format version {engine_format.VERSION}**" in text
    assert f"at most {engine_format.MAX_HEADER:,}" in text
    assert f"at most {strict.MOST_LEVELS} levels" in text
    assert f"at most {MOST_DEEP} containers" in text
    assert all(f"`{letter}` " in text for letter in LETTERS)
    assert f"| manifest | {engine_format.MAX_MANIFEST >> 20} MiB |" in text
    assert f"| all graphs, unpacked | {engine_format.MAX_GRAPHS >> 20} MiB |" in text
    assert f"at most {engine_flatbuffer.MAX_TABLES:,} tables" in text
    assert f"multiple of {engine_format.PAGE} " in text


def test_every_link_within_the_page_leads_somewhere() -> None:
    headings = {h.lower().replace(" ", "-") for h in re.findall(r"^#+ (.*)$", TEXT, re.M)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= headings


@pytest.mark.parametrize("module", [format_reader, format_graphs])
def test_the_reader_knows_nothing_of_tipsc(module: ModuleType) -> None:
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    imports = re.findall(r"^\s*(?:import|from) (\w+)", source, re.M)
    assert set(imports) <= {*sys.stdlib_module_names, "format_graphs"}
