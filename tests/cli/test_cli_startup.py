"""The command starts fast: a verb imports what it needs and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from tipsc.cli.app import VERBS
from tipsc.runtime import CallLog, Engine, Governor

MODULES = """
import json, sys
from tipsc.cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(json.dumps({"code": end.code, "modules": sorted(sys.modules)}))
"""
COMPILER = {"torch", "onnx", "onnx_ir", "onnxscript", "scipy", "matplotlib"}


def modules_of(*arguments: object) -> set[str]:
    command = [sys.executable, "-c", MODULES, *map(str, arguments)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    result = json.loads(printed.splitlines()[-1])
    assert result["code"] == 0, printed
    return set(result["modules"])


def test_the_overview_imports_no_verb_and_not_even_numpy():
    loaded = modules_of("--help")
    verbs = {module for module, _ in VERBS.values()}
    assert loaded.isdisjoint(COMPILER | {"numpy", "onnxruntime", "pydantic", "rich"} | verbs)


def test_verbs_about_engines_import_nothing_of_the_compiler(built_engine, tmp_path):
    calls = tmp_path / "calls.jsonl"
    with CallLog(calls) as log, Engine.open(built_engine) as engine:
        spec = engine.manifest.signature.inputs[0]
        Governor(engine, on_call=log).run(np.zeros(spec.shape, spec.dtype), budget_ms=10_000)
    verbs = {
        "run": (built_engine, "--random", 0),
        "bench": (built_engine, "--rounds", 4, "--quiet"),
        "inspect": (built_engine,),
        "unpack": (built_engine, tmp_path / "unpacked"),
        "delta": (built_engine, built_engine, "-o", tmp_path / "delta"),
        "apply": (built_engine, tmp_path / "delta", "-o", tmp_path / "new"),
        "trace": (calls, "--html", tmp_path / "page.html"),
        "embed": (built_engine, "--lang", "python", "-o", tmp_path / "app"),
        "targets": (),
    }
    for verb, arguments in verbs.items():
        assert modules_of(verb, *arguments).isdisjoint(COMPILER), verb


def test_inspect_does_not_load_the_backend(built_engine):
    assert "onnxruntime" not in modules_of("inspect", built_engine)


@pytest.mark.parametrize("verb", [v for v in VERBS if v != "doctor"])
def test_the_help_of_a_verb_imports_nothing_of_the_compiler(verb):
    assert modules_of(verb, "--help").isdisjoint(COMPILER)


def test_the_doctor_finds_packages_without_importing_them():
    assert modules_of("doctor").isdisjoint(COMPILER)
