"""Many threads over one engine compute what one thread computes, bit for bit."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tipsc.errors import UsageError
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


CLOSE = """
import sys, threading, time
import numpy as np
from tipsc.errors import UsageError
from tipsc.runtime import Engine

def loop(runner, x, path, ends):
    while True:
        try:
            runner.run(x, path=path)
        except UsageError as error:
            ends.append(str(error))
            return

for turn in range(25):
    ends, threads = [], []
    with Engine.open(sys.argv[1]) as engine:
        spec = engine.manifest.signature.inputs[0]
        x = np.ones(spec.shape, spec.dtype)
        for number in range(4):
            runner = engine.context() if number % 2 else engine
            threads.append(threading.Thread(target=loop, args=(runner, x, engine.paths[-1], ends)))
        [thread.start() for thread in threads]
        time.sleep(0.005)
    [thread.join() for thread in threads]
    assert len(ends) == 4 and all("the engine is closed" in end for end in ends), ends
    engine.close()
"""


@pytest.mark.parametrize("hogs", [0, 3])
def test_an_engine_closed_while_threads_run_waits_for_them(engine_file, hogs):
    spin = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(hogs)]
    try:
        command = [sys.executable, "-c", CLOSE, str(engine_file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    finally:
        for process in spin:
            process.kill()
            process.wait()
    assert done.returncode == 0, done.stderr


class Slow:
    """Waits until it is let go, and fails if it was closed meanwhile."""

    def __init__(self) -> None:
        self.began, self.go, self.closed = threading.Event(), threading.Event(), False

    def run(self, feeds):
        self.began.set()
        assert self.go.wait(20) and not self.closed
        return [feeds[0]]

    def close(self) -> None:
        self.closed = True


def test_close_waits_for_any_backend_s_call(engine_file, image):
    with Engine.open(engine_file) as real:
        manifest, path = real.manifest, real.paths[0]
    slow = Slow()
    engine = Engine(manifest, {path.id: slow})
    results = []
    caller = threading.Thread(target=lambda: results.append(engine.run(image, path=path)))
    caller.start()
    assert slow.began.wait(20)
    closer = threading.Thread(target=engine.close)
    closer.start()
    closer.join(0.2)
    assert closer.is_alive() and not slow.closed
    with pytest.raises(UsageError, match="closed"):
        engine.context().run(image, path=path)
    slow.go.set()
    closer.join(20)
    caller.join(20)
    assert slow.closed and len(results) == 1


def test_close_within_a_call_is_refused_rather_than_waiting_for_itself(engine_file, image):
    with Engine.open(engine_file) as real:
        manifest, path = real.manifest, real.paths[0]

    class Closes:
        def run(self, feeds):
            engine.close()

        def close(self):
            pass

    engine = Engine(manifest, {path.id: Closes()})
    with pytest.raises(UsageError, match="from within one of its calls"):
        engine.run(image, path=path)
    engine.close()


@pytest.mark.parametrize("wrong", [None, 3, ["a"], object()])
def test_what_is_no_path_is_said_to_be_none(engine_file, image, wrong):
    with Engine.open(engine_file) as engine, pytest.raises(UsageError, match="this is no path"):
        engine.run(image, path=wrong)
