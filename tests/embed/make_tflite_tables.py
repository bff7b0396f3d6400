"""Writes embed/src/tflite_tables.h, from the tables that Python's reader checks a .tflite by.

python tests/embed/make_tflite_tables.py
"""

from __future__ import annotations

import re
from pathlib import Path

from tipsc.engine import tflite_check, tflite_shapes
from tipsc.engine.flatbuffer import Field
from tipsc.engine.tflite_schema import _OPTIONS, _TABLES, OPERATORS, SCHEMA, TYPES

FILE = Path(__file__).parents[2] / "embed" / "src" / "tflite_tables.h"
_NUMBERS = {"b": "I8", "B": "U8", "i": "I32", "I": "U32", "f": "F32", "q": "I64", "Q": "U64"}


def upper(name: str) -> str:
    """``SubGraph`` and ``sub_graph`` become ``SUB_GRAPH``."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def fields(table: str) -> list[Field]:
    return [field for field in SCHEMA.tables[table] if field]


def slot(field: Field | None, named: bool) -> str:
    if field is None:
        return "{SLOT_NONE, 0, 0, 0, 0}"
    number = _NUMBERS.get(field.code, "0")
    inner = f"TABLE_{upper(field.inner)}" if field.kind in ("table", "tables") else "0"
    name = f"OPTION_{field.name.upper()}" if named else "0"
    return f"{{SLOT_{field.kind.upper()}, {number}, {inner}, {int(field.default)}, {name}}}"


def slots(table: str, named: bool) -> list[str]:
    if not SCHEMA.tables[table]:
        return []
    parts = ",\n    ".join(slot(field, named) for field in SCHEMA.tables[table])
    return [f"static const fb_slot {upper(table)}_SLOTS[] = {{\n    {parts},\n}};"]


def header() -> str:
    """The text of the file."""
    names = list(SCHEMA.tables)
    options = sorted({field.name for name in _OPTIONS for field in fields(name)})
    lines = [
        "/* The tables of .tflite files that engines use, as docs/engine-format.md lists them.",
        " * Written by tests/embed/make_tflite_tables.py; not to be changed by hand. */",
        "#ifndef TIPSC_TFLITE_TABLES_H",
        "#define TIPSC_TFLITE_TABLES_H",
        "",
        '#include "flatbuffer.h"',
        '#include "tipsc.h"',
        "",
        "enum {",
        *(f"    TABLE_{upper(name)}," for name in names),
        "    TABLE_COUNT",
        "};",
        "",
        "/* Slots of the tables that say what is in a model. */",
        "enum {",
        *(
            f"    {upper(name)}_{upper(field.name)} = {place},"
            for name in _TABLES
            for place, field in enumerate(SCHEMA.tables[name])
            if field
        ),
        "};",
        "",
        "/* Options of operators, whatever table they are in. */",
        "enum {",
        "    OPTION_NONE,",
        *(f"    OPTION_{name.upper()}," for name in options),
        "    OPTION_COUNT",
        "};",
        "",
        "enum {",
        *(f"    RULE_{name.upper()}," for name in tflite_shapes._RULES),
        "    RULE_COUNT",
        "};",
        "",
        "#define RULES(X) \\",
        " \\\n".join(f"    X({name.upper()}, {name})" for name in tflite_shapes._RULES),
        "",
        *(line for name in names for line in slots(name, name in _OPTIONS)),
        "",
        "static const fb_table TABLES[TABLE_COUNT] = {",
        *(
            f"    [TABLE_{upper(name)}] = "
            + (f"{{{upper(name)}_SLOTS, {len(table)}}}," if table else "{NULL, 0},")
            for name, table in SCHEMA.tables.items()
        ),
        "};",
        "",
        "/* By the number that says what the options of an operator are; 0: none. */",
        f"static const uint8_t UNION[{max(SCHEMA.unions['BuiltinOptions']) + 1}] = {{",
        *(
            f"    [{number}] = TABLE_{upper(name)},"
            for number, name in SCHEMA.unions["BuiltinOptions"].items()
        ),
        "};",
        "",
        "enum { NEEDS_OPTIONS = 1, OF_NUMBERS = 2, OF_BETA_1 = 4 };",
        "",
        "typedef struct tflite_operator {",
        "    uint8_t options, rule, flags; /* options: a table; 0: it has none */",
        "    uint16_t fewest, most;        /* inputs */",
        "    const char *name;",
        "} tflite_operator;",
        "",
        "/* By number; those without a name are none of engines. */",
        f"static const tflite_operator OPERATORS[{max(OPERATORS) + 1}] = {{",
    ]
    for number, kind in OPERATORS.items():
        table = "0" if kind.options == "-" else f"TABLE_{upper(kind.options)}"
        flags = [
            flag
            for flag, holds in (
                ("NEEDS_OPTIONS", tflite_check._needs_options(kind)),
                ("OF_NUMBERS", kind.name in tflite_check._OF_NUMBERS),
                ("OF_BETA_1", kind.name == "SOFTMAX"),
            )
            if holds
        ]
        few, most = kind.inputs
        lines.append(
            f"    [{number}] = {{{table}, RULE_{kind.rule.upper()}, {' | '.join(flags) or 0}, "
            f'{few}, {most}, "{kind.name}"}},'
        )
    lines += [
        "};",
        "",
        "/* A tipsc_dtype for each type of a tensor; 0: none of engines. */",
        f"static const uint8_t TYPES[{max(TYPES) + 1}] = {{",
        *(f"    [{number}] = TIPSC_{name.upper()}," for number, name in TYPES.items()),
        "};",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(header())
