"""The scores in words: what the chain prefers where, and what that says beyond degree."""

from __future__ import annotations

from tipsc.scoring.data import Agreement, ChoiceScore, OptionShares, Scores

CLOSE = 0.01
"""Choices that differ by less are not worth a sentence."""

LIMITS = (
    "Published TAS is degree and nothing more, and TPS is close to size; neither has seen weights, "
    "data or the device. Cost-folded TAS of a feature map is how often a drawn path computes it: "
    "it has seen costs, and still neither weights nor data (docs/chain.md, docs/cli.md)."
)

LIMITS_IN_SHORT = (
    "Published TAS is degree and nothing more, TPS is close to size; costs are all that is new "
    "here: nothing has seen weights or data yet (docs/chain.md)."
)


def differences(scores: Scores, most: int = 4) -> list[str]:
    """What changes between the devices, or from price 0 to the only device; largest first."""
    sentences = [_preference(choice) for choice in scores.choices if choice.difference >= CLOSE]
    if not sentences:
        return ["The choices are decided alike: no share of an option differs by a point."]
    kinds = ", ".join(f"{kind} {mean:.2f}" for kind, mean in scores.kinds.items())
    return [*sentences[:most], f"Mean difference by kind of choice (0 to 1): {kinds}."]


def beyond_degree(scores: Scores) -> str:
    """What is left of cost-folded TAS once degree is known."""
    parts = [f"{d.name} {_left(d.degree)}" for d in scores.devices]
    moved = [f"{d.name} {_left(d.unpriced)}" for d in scores.devices]
    return (
        f"Share of the variance that degree does not explain: published TAS 0 %, by the theorem; "
        f"cost-folded at price 0 {_left(scores.unpriced)}; {', '.join(parts)}. "
        f"That the chain at price 0 does not explain, which is what the costs add: "
        f"{', '.join(moved)}."
    )


def _left(agreement: Agreement) -> str:
    value = 1.0 - agreement.pearson**2
    return "unknown" if value != value else f"{100 * max(value, 0.0):.1f} %"


def _preference(choice: ChoiceScore) -> str:
    (name, first), *others = choice.devices.items()
    other, second = (others[0][0], others[0][1]) if others else ("price 0", choice.unpriced)
    if first.favourite != second.favourite and others:
        return (
            f"{choice.name}: {name} prefers {first.favourite} ({_percent(first, first.favourite)}),"
            f" {other} {second.favourite} ({_percent(second, second.favourite)})."
        )
    most = max(first.shares, key=lambda option: abs(first.shares[option] - second.shares[option]))
    more = "more" if first.shares[most] > second.shares[most] else "less"
    return (
        f"{choice.name}: {name} takes {most} {more} often ({_percent(first, most)}) "
        f"than {other} ({_percent(second, most)})."
    )


def _percent(shares: OptionShares, option: int) -> str:
    return f"{100 * shares.shares[option]:.0f} %"
