"""What a path costs, as the sum of factors that the cost-folded chain carries.

A profile gives it through its predictor, whose additive part is exact in the chain; MACs stand in
where nothing was measured. The totals of a supernet are traced once
(:func:`~tipsc.elastic.factors.additive_totals`). Folding another profile after that is a fit to
about fifty numbers, so that a device that was measured again needs no new training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tipsc.elastic import Supernet
from tipsc.elastic.factors import additive_totals
from tipsc.errors import ProfileError
from tipsc.factors import Additive, Floats, linear_cost
from tipsc.paths import Choice, Path, SearchSpace
from tipsc.profile import Predictor, Profile, fit
from tipsc.profile.features import FEATURES

FEWEST = 3
"""Measured paths; from fewer nothing can be fitted."""

Totals = Mapping[str, Additive]


def cost_of_profile(
    supernet: Supernet, profile: Profile, *, totals: Totals | None = None
) -> Additive:
    """Predicted p50 of a path on the device of `profile`, in milliseconds.

    It equals what :func:`predictor_of_profile` predicts, but for the predictor's floor of a tenth
    of the median, which a sum cannot have.

    Args:
        totals: of this supernet, from :func:`additive_totals`; traced if not given.

    Raises:
        ProfileError: the profile is of another search space, or has too few measured paths.
        LoweringError: the supernet cannot be traced, or a total is no sum of small tables.
    """
    check_space(profile, supernet.space)
    totals = additive_totals(supernet) if totals is None else totals
    model = predictor_of_profile(profile, totals).additive()
    choices = supernet.space.choices
    return linear_cost(
        supernet.space,
        constant=model.constant,
        totals=[totals[name] for name in FEATURES],
        weights=model.weights.tolist(),
        effects={
            (choice.name, option): effect
            for choice, effects in zip(choices, model.effects, strict=True)
            for option, effect in effects.items()
            if option in choice.options  # choices that are counted together share more of them
        },
    )


def predictor_of_profile(profile: Profile, totals: Totals) -> Predictor:
    """The predictor fitted to the p50 of the paths that the profile measured.

    Raises:
        ProfileError: too few of them.
    """
    space = profile.search_space
    paths = [space.path(path.options) for path in profile.paths]
    if len(paths) < FEWEST:
        raise ProfileError(
            "this profile has too few measured paths to tell what an option costs",
            where=f"profile of {profile.target}",
            expected=f"at least {FEWEST}, better 50",
            got=len(paths),
            fix="measure more candidates with tipsc profile",
        )
    return fit(
        [path.values for path in paths],
        [path.latency.p50_ms for path in profile.paths],
        features=features_of(totals, paths),
    )


def features_of(totals: Totals, paths: Sequence[Path]) -> Floats:
    """(paths, features) the same as ``path_features``, without a trace of each path."""
    return np.stack([totals[name].of_many(paths) for name in FEATURES], axis=1)


def check_space(profile: Profile, space: SearchSpace, *, where: str | None = None) -> None:
    """Refuse a profile of another search space.

    Args:
        where: its file, for the message.

    Raises:
        ProfileError: it names the first choice that differs.
    """
    measured = profile.search_space.choices
    if measured == space.choices:
        return
    pairs = zip(space.choices, measured, strict=False)
    expected, got = next(
        ((_text(wanted), _text(found)) for wanted, found in pairs if wanted != found),
        (f"{len(space.choices)} choices", f"{len(measured)} choices"),
    )
    raise ProfileError(
        "this profile was measured for another search space",
        where=where or f"profile of {profile.target}",
        expected=expected,
        got=got,
        fix="give a profile of this model, or measure it with tipsc profile",
    )


def _text(choice: Choice) -> str:
    gate = "" if choice.gate is None else f" while {choice.gate} >= {choice.gate_from}"
    return f"choice {choice.name} of {list(choice.options)}{gate}"
