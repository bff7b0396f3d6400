"""Hours that were out of order: python score.py ENGINE.tipsc [BUDGET_MS] (numpy, no torch).

The anomaly score of an hour is how far its flow was from what the engine told an hour before.
"""

import sys

import numpy as np
from series import MIDDLE, WINDOW, series, usual, whole, windowed

from tipsc.runtime import Engine


def main(engine_file, budget_ms=None):
    hours, flow = series()
    with Engine.open(engine_file) as engine:
        slowest = max(path.latency.p95_ms for path in engine.paths)
        path = engine.pick(budget_ms=slowest if budget_ms is None else float(budget_ms))
        scores = {}
        for hour in range(WINDOW, len(flow)):
            if whole(hours, hour - WINDOW, WINDOW + 1):
                told = engine.run(windowed(flow[hour - WINDOW : hour])[None, None], path=path)
                scores[hour] = abs(float(flow[hour] - MIDDLE - told[0, 0]))
    out = [score for hour, score in scores.items() if not usual(flow[hour])]
    most, median = np.percentile([s for h, s in scores.items() if usual(flow[h])], [99, 50])
    print(f"path {path.id}: hours in order score {median:.2f} l/s (median), 99 % below {most:.2f}")
    print(f"{sum(s > most for s in out)} of {len(out)} hours out of order score more")
    for hour in sorted(scores, key=scores.get, reverse=True)[:5]:
        print(f"{hours[hour]}  flow {flow[hour]:6.1f} l/s  score {scores[hour]:5.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
