"""Many threads over one engine compute what one thread computes, bit for bit."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tipsc.runtime import Engine

THREADS, CALLS = 8, 20_000


@pytest.mark.parametrize("own_context", [True, False])
def test_random_paths_in_8_threads(engine_file, image, own_context):
    images = [image * scale for scale in (0.5, 1.0, 2.0)]
    with Engine.open(engine_file) as engine:
        expected = {
            (path.id, i): engine.run(x, path=path).tobytes()
            for path in engine.paths
            for i, x in enumerate(images)
        }

        def work(seed: int) -> int:
            generator = random.Random(seed)
            runner = engine.context() if own_context else engine
            same = 0
            for _ in range(CALLS // THREADS):
                path, i = generator.choice(engine.paths), generator.randrange(len(images))
                output: np.ndarray = runner.run(images[i], path=path)
                same += output.tobytes() == expected[path.id, i]
            return same

        assert len(set(expected.values())) == len(expected)
        with ThreadPoolExecutor(THREADS) as pool:
            assert sum(pool.map(work, range(THREADS))) == CALLS
