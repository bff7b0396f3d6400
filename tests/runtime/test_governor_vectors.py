"""The rule of the governor decides as governor_vectors.json says, in every language."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from make_governor_vectors import FILE, document

from tipsc.quality import Quality
from tipsc.runtime import Latency, Mode, PathEntry, Reason, account, allowances, estimate, rule
from tipsc.runtime.rule import Decision, Rule

CASES: list[dict[str, Any]] = json.loads(FILE.read_text())["cases"]


def rule_of(case: dict[str, Any]) -> Rule:
    paths = [
        PathEntry(
            path["id"],
            {},
            path["quality"] and Quality("quality", **path["quality"]),
            Latency(path["p10_ms"], path["p50_ms"], path["p95_ms"], path["pause_ms"]),
            path["macs"],
            0,
            0,
            0,
            energy_mj=path.get("energy_mj"),
        )
        for path in case["paths"]
    ]
    return Rule(paths, case["percentile"], case["hysteresis"])


def or_infinite(value: float | None) -> float:
    return math.inf if value is None else value


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-12)


def choose(rule: Rule, step: dict[str, Any]) -> Decision:
    gap, budget = or_infinite(step["gap_ms"]), or_infinite(step["budget_ms"])
    if step["op"] == "pinned":
        path = next(path for path in rule.paths if path.id == step["path"])
        return rule.pinned(gap, path, budget)
    if step["op"] == "energy":
        cap = or_infinite(step["budget_mj"])
        if step["watts"] is not None:
            assert rule.account is not None
            cap = min(cap, rule.account.cap_mj(or_infinite(step["since_ms"]), step["watts"]))
        return rule.by_energy(gap, budget, cap)
    return (rule.by_deadline if step["op"] == "deadline" else rule.by_throughput)(gap, budget)


def replay(case: dict[str, Any]) -> None:
    rule = rule_of(case)
    for step in case["steps"]:
        if step["op"] == "observe":
            rule.observe(step["path"], or_infinite(step["gap_ms"]), step["elapsed_ms"])
        elif step["op"] == "explain":
            chances = rule.estimate.chances(or_infinite(step["gap_ms"]), step["budget_ms"])
            front = rule.front
            if "cap_mj" in step:
                front = rule.front_of(rule.by_energy(0.0, step["budget_ms"], step["cap_mj"]))
            shares = {place.path.id: place.share(chances) for place in front}
            assert list(shares) == list(step["share"])
            assert shares == near(step["share"])
        else:
            decision = choose(rule, step)
            assert (decision.path.id, decision.reason) == (
                step["path"],
                Reason[step["reason"].upper()],
            )
            assert decision.predicted_ms == near(step["predicted_ms"])
            assert decision.budget_mj == near(or_infinite(step.get("cap_mj")))
            if step.get("refused"):
                if decision.reason is Reason.TOO_LATE:
                    rule.refused(decision)
            elif "elapsed_ms" in step:
                if step.get("watts") is not None:
                    assert rule.account is not None
                    assert decision.path.energy_mj is not None
                    rule.account.spend(
                        or_infinite(step["since_ms"]), step["watts"], decision.path.energy_mj
                    )
                rule.learn(decision, step["elapsed_ms"])
        assert rule.estimate.factor == near(step["slowdown"])
    end = case["end"]
    assert rule.estimate.constants == near(end["constants_ms"])
    assert rule.allowances.of_all == near(end["allowance"])
    assert rule.owed_ms == near(end["owed_ms"])
    assert (rule.account is None) == (end["left_mj"] is None)
    if rule.account is not None:
        assert rule.account.left_mj == near(end["left_mj"])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_the_rule_decides_as_the_vectors_say(case: dict[str, Any]) -> None:
    replay(case)


def test_the_file_is_what_the_script_makes() -> None:
    assert FILE.read_text() == document()


def test_every_reason_comes_in_every_mode_that_has_it() -> None:
    found = {
        (step["op"], step["reason"]) for case in CASES for step in case["steps"] if "reason" in step
    }
    choosing = {reason.name.lower() for reason in Reason} - {"pinned", "too_costly"}
    assert found == {
        *((Mode.ENERGY.value, reason) for reason in (*choosing, "too_costly")),
        (Mode.PINNED.value, "pinned"),
        *((Mode.DEADLINE.value, reason) for reason in choosing),
        *((Mode.THROUGHPUT.value, reason) for reason in choosing),
    }
    refused = {step["op"] for case in CASES for step in case["steps"] if step.get("refused")}
    assert refused == {"deadline", "throughput", "energy"}


#: each constant of the rule, and another value of it
OTHERS = [
    (estimate, "RATE", 0.4),
    (estimate, "FACTOR_SPREAD", 0.2),
    (estimate, "PAUSE_SPREAD", 0.6),
    (estimate, "GAPS_MS", (1.0, 10.0, 1000.0)),
    (estimate, "WINDOW", 90),
    (estimate, "PROFILED_CALLS", 40),
    (estimate, "RELAXED", 0.2),
    (estimate, "MIN_FACTOR", 0.3),
    (estimate, "MAX_FACTOR", 90.0),
    (account, "HELD", 12.0),
    (account, "SHARE", 0.25),
    (allowances, "AIM", 0.98),
    (rule, "ENOUGH", 0.95),
    (allowances, "OWED", -1.0),
    (allowances, "SAVED", 2.0),
    (rule, "HOPELESS", 0.3),
    (rule, "TRY_AFTER", 90),
    (rule, "TRY_AT_LAST", 150),
    (rule, "CATCH_UP", 4.0),
    (rule, "MOST_PERIODS", 4.0),
]


@pytest.mark.parametrize(("module", "name", "value"), OTHERS, ids=lambda v: str(v)[:24])
def test_a_rule_with_another_constant_is_noticed(
    module: Any, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, value)
    with pytest.raises(AssertionError):
        for case in CASES:
            replay(case)
