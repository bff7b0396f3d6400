"""Forecast: the section of a profile with what was predicted, and how far to trust it."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from tipsc.profile.predictor import Predictor
from tipsc.profile.record import Milliseconds, Record

FORECAST_VERSION = 1
Share = Annotated[float, Field(ge=0, le=1)]


class Shares(Record):
    """Of predictions: how many lie within 5 % and within 10 % of what was measured."""

    within_5_pct: Share
    within_10_pct: Share

    @classmethod
    def of(cls, errors: ArrayLike) -> Shares:
        """From relative errors (predicted / measured - 1)."""
        size = np.abs(np.asarray(errors, dtype=np.float64))
        return cls(
            within_5_pct=float((size <= 0.05).mean()), within_10_pct=float((size <= 0.1).mean())
        )


class Remeasured(Record):
    """A path that did not fit the others and was measured again; the profile holds `after_ms`.

    Attributes:
        before_ms, after_ms: p50 of both measurements.
    """

    id: str
    before_ms: Milliseconds
    after_ms: Milliseconds


class PredictedPath(Record):
    """A candidate that was not measured: predicted p50 and its interval, in milliseconds."""

    id: str
    options: dict[str, int]
    p50_ms: Milliseconds
    low_ms: Milliseconds
    high_ms: Milliseconds


class Forecast(Record):
    """What the predictor says of a profile.

    Attributes:
        version: of this section.
        leave_one_out: of the measured paths, each predicted from the others.
        constant: the same for the baseline that predicts the median of the others.
        coverage: what the intervals promise.
        remeasured: paths that were measured twice, because they did not fit.
        paths: the candidates that were not measured.
    """

    version: Literal[1] = 1
    leave_one_out: Shares
    constant: Shares
    coverage: Share
    remeasured: tuple[Remeasured, ...]
    paths: tuple[PredictedPath, ...]


def make_forecast(
    predictor: Predictor,
    measured: NDArray[np.float64],
    remeasured: tuple[Remeasured, ...],
    paths: tuple[PredictedPath, ...],
) -> Forecast:
    """The section of a predictor that was fitted to `measured` latencies, shape (n,)."""
    others = [np.median(np.delete(measured, i)) for i in range(len(measured))]
    return Forecast(
        leave_one_out=Shares.of(predictor.leave_one_out),
        constant=Shares.of(np.array(others) / measured - 1.0),
        coverage=predictor.coverage,
        remeasured=remeasured,
        paths=paths,
    )
