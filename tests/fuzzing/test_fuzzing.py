"""Mutated inputs end in nothing, or in a TipscError. A million of them: ``benchmarks/fuzz.py``."""

from __future__ import annotations

import importlib.util

import fuzz_runner
import pytest

#: kind -> executions, and the share of them that at least is refused, and taken: both are reached
EXECUTIONS = {
    "tflite": (4500, 0.7, 0.05),
    "engine": (2000, 0.5, 0.03),
    "agent": (1500, 0.0, 1.0),  # it answers whatever comes, or goes away
    "client": (2000, 0.3, 0.1),
}
needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="ai-edge-litert is not installed"
)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=needs_litert if k == "tflite" else ()) for k in EXECUTIONS]
)
def test_nothing_but_named_errors(kind: str) -> None:
    executions, refused, taken = EXECUTIONS[kind]
    outcome = fuzz_runner.fuzz(kind, range(executions))
    assert not outcome.failures, "\n".join(map(str, outcome.failures))
    assert outcome.executions == executions
    assert outcome.ends[fuzz_runner.TAKEN] >= taken * executions
    assert executions - outcome.ends[fuzz_runner.TAKEN] >= refused * executions


def test_ten_thousand_are_run() -> None:
    assert sum(executions for executions, *_ in EXECUTIONS.values()) == 10_000
    assert set(EXECUTIONS) == set(fuzz_runner.KINDS)
