"""Mutated inputs end in nothing, or in a TipscError."""

from __future__ import annotations

import fuzz_runner
import pytest

EXECUTIONS = 2500


@pytest.mark.parametrize("kind", ["engine"])
def test_nothing_but_named_errors(kind: str) -> None:
    outcome = fuzz_runner.fuzz(kind, range(EXECUTIONS))
    assert not outcome.failures, "\n".join(map(str, outcome.failures))
    assert outcome.executions == EXECUTIONS
    assert outcome.ends["EngineDamagedError"] > EXECUTIONS // 2  # the mutations are some
