"""The table of gates that ``benchmarks/mutations.py`` breaks names what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
TABLE = yaml.safe_load((ROOT / "benchmarks" / "mutations.yaml").read_text())


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry["file"])
def test_a_gate_stands_once_in_its_file_and_its_tests_are_there(entry: dict) -> None:
    source = (ROOT / "tipsc" / entry["file"]).read_text()
    assert {gate["before"]: source.count(gate["before"]) for gate in entry["gates"]} == {
        gate["before"]: 1 for gate in entry["gates"]
    }
    for word in entry["tests"].split():
        if word.startswith("tests/"):
            assert (ROOT / word).exists()
