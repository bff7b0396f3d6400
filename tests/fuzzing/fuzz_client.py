"""The client against a hostile device: each execution is one answer to one request, mutated."""

from __future__ import annotations

import io
import json
import os
import pathlib
import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from fuzz_mutations import Frame, frame, mutated, odd_number, odd_value, places

from tipsc.device.client import Answer, Connection
from tipsc.device.expected import (
    FACTS,
    PROBED,
    SAMPLES,
    SENSORS,
    Answered,
    Expected,
    benched,
    computed,
    costed,
    described,
    measured,
    paused,
    planned,
    read_answers,
)
from tipsc.device.info import lines_of
from tipsc.device.link import parse_link
from tipsc.device.measuring import samples_of
from tipsc.measure.facts import read_facts
from tipsc.measure.pauses import ROUNDS
from tipsc.profile import System
from tipsc.signature import TensorSpec

PATHS, MEASURED = ["p1", "p2"], 4
OUTPUT = TensorSpec("y", "float32", (1, 3), "N-")
EXAMPLES = 2
ANSWERED = Answered([OUTPUT], EXAMPLES)
TIMES = {path: [[1000, 1100], [1200], [900], [1000]] for path in PATHS}
TIMED = {"cores": [0], "held": [0], "seconds": 0.5, "disturbance": {"spread": 1.1, "visits": 4}}
MS = dict.fromkeys(PATHS, 1.5)
QUANTILES = {"p10_ms": 1.0, "p50_ms": 1.1, "p95_ms": 1.2, "p99_ms": 1.3}
ENERGY = {"millijoules": 1.0, "milliwatts": 2000.0, "idle_milliwatts": 900.0, "runs": 7}
BENCH = {
    **TIMED,
    "memory_mib": {"before": 1.0, "after": 2.5, "gpu": None},
    "every": {path: [1.0] * ROUNDS for path in PATHS},
    "switches": dict.fromkeys(PATHS, MS),
    "energy": dict.fromkeys(PATHS, ENERGY),
    "device_ms": dict.fromkeys(PATHS, QUANTILES),
    "extras_noise": "",
    "windows": [{"seconds": 1.5, "p10_ms": MS, "p50_ms": MS, "celsius": {"cpu": 40.0}}] * 2,
}
CHECK = {"module": "trt", "version": "10", "plan_bytes": 3, "seconds": 0.1, "problem": ""}
PLANS = {
    "module": "trt",
    "version": "10",
    "compute_capability": "8.7",
    "stripped": False,
    "checks": [{"path_id": path, **CHECK} for path in PATHS],
    "trials": [{"paths": PATHS, "kept": True, "plan_bytes": 3, "alone_bytes": 6,
                "slowdowns": {"p1": 1.01}, "problem": "", "noise": ""}],
}  # fmt: skip
RAILS = {"rails_mw": {"in": 5000.0}, "input_mw": 5000.0, "celsius": {"cpu": 40.0}}
TRT = {"module": "trt", "version": "10", "capabilities": {"refit": True}, "choices": {"a": "b"}}
FAILURE = {
    "error": "failed", "kind": "UsageError", "message": "m",
    "facts": {"what": "w", "where": None, "expected": "e", "got": "g", "fix": "f"},
}  # fmt: skip
GREETING = {
    "architecture": "aarch64", "cores": 4, "memory_mib": 3900, "python": "3.8.10",
    "backends": {"numpy": "2.0"}, "l4t": None, "jetpack": None, "power_mode": None, "sm": None,
    "clocks_mhz": [1500.0, None], "governor": "ondemand", "thermal_zones_mc": ["40000", None],
}  # fmt: skip
HAS: Frame = ({"ok": True, "has": True}, b"")
PROGRESS: Frame = ({"event": "progress", "value": [0.5, 1.0]}, b"")


@dataclass(frozen=True)
class Case:
    """A job: what it may send, what a sound device sends, and what is then done with it."""

    expected: Expected
    result: Any
    files: tuple[tuple[str, bytes], ...] = ()
    use: Callable[[Connection, Answer], None] = lambda connection, answer: None

    def frames(self, generator: random.Random) -> list[Frame]:
        frames: list[Frame] = [HAS, PROGRESS]
        for name, content in self.files:
            if generator.random() < 0.3:
                content = inside(generator, content)
            half = len(content) // 2
            frames += [({"event": "file", "name": name}, content[:half]),
                       ({"event": "more", "name": name}, content[half:])]  # fmt: skip
        return [*frames, ({"ok": True, "result": self.result}, b"")]


def inside(generator: random.Random, content: bytes) -> bytes:
    """A file that is still one, with something else in it."""
    if content.startswith(b"{"):
        text = json.dumps(odd_value(generator, json.loads(content))).encode()
        return odd_number(generator, text) if generator.random() < 0.3 else text
    head = bytearray(content)
    place = generator.randrange(min(len(head), 100))
    head[place : place + 1] = generator.choice((b"9", b"99999999", b"", b"O", b"(", b"\0"))
    return bytes(head)


def array() -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.ones((EXAMPLES, *OUTPUT.shape), np.float32))
    return stream.getvalue()


def use_samples(connection: Connection, answer: Answer) -> None:
    samples = samples_of(connection, answer, PATHS, MEASURED)
    assert set(samples.batches) == set(PATHS)
    assert all(time > 0 for of in samples.batches.values() for batch in of for time in batch)
    assert all(latency.p10_ms > 0 for latency in samples.summarise().latencies.values())


def use_rows(connection: Connection, answer: Answer) -> None:
    with connection.checked():
        for path in PATHS:
            (found,) = read_answers(answer.files, path, ANSWERED)
            assert found.shape == (EXAMPLES, *OUTPUT.shape)


def use_facts(connection: Connection, answer: Answer) -> None:
    System.model_validate_json(json.dumps(answer.result))
    "\n".join(lines_of({**connection.capabilities, **answer.result})).encode()


def cases() -> list[Case]:
    array_files = tuple((f"{path}.0.npy", array()) for path in PATHS)
    samples = ((SAMPLES, json.dumps(TIMES).encode()),)
    plans = (("p1+p2.plan", b"abcdef"),)
    pauses = {"ms": {path: [1.0] * ROUNDS for path in PATHS}}
    cuda = {"compute_capability": "8.7", "free_mib": 9.0, "unchanged": True, "copies_ms": 0.5}
    return [
        Case(FACTS, read_facts(), use=use_facts),
        Case(SENSORS, RAILS),
        Case(PROBED, cuda),
        Case(PROBED, TRT),
        Case(described("litert"), {"versions": {"litert": "1.2"}}),
        Case(measured(PATHS, MEASURED), TIMED, samples, use_samples),
        Case(benched(PATHS, MEASURED), BENCH, samples, use_samples),
        Case(paused(PATHS), pauses),
        Case(costed(PATHS), {"mj": {"p1": 2.5}}),
        Case(computed(dict.fromkeys(PATHS, ANSWERED)), None, array_files, use_rows),
        Case(planned(PATHS, [PATHS], 1000), PLANS, plans),
        Case(Expected(), "done"),
    ]


class Device:
    """The ends of a link whose device says what it is told to, and then goes away."""

    def __init__(self) -> None:
        self.said, self.log = os.memfd_create("said"), os.memfd_create("log")
        self.sink = os.open(os.devnull, os.O_WRONLY)
        self.link = parse_link("ssh://a")

    def connection(self, stream: bytes, log: bytes) -> Connection:
        for place, content in ((self.said, stream), (self.log, log)):
            os.ftruncate(place, 0)
            os.pwrite(place, content, 0)
            os.lseek(place, 0, os.SEEK_SET)
        ends = {
            name: SimpleNamespace(fileno=lambda place=place: place)
            for name, place in (("stdin", self.sink), ("stdout", self.said), ("stderr", self.log))
        }
        process: Any = SimpleNamespace(poll=lambda: 0, **ends)
        return Connection(self.link, process)


def make_executor(folder: pathlib.Path) -> Callable[[random.Random], None]:
    """One mutated answer and what is done with it.

    What is accepted is as it was asked for: otherwise an AssertionError.

    Args:
        folder: is not used: nothing that comes from a device is written.
    """
    device, known = Device(), cases()

    def execute(generator: random.Random) -> None:
        kind = generator.random()
        log = generator.randbytes(generator.randrange(60)) if kind < 0.1 else b""
        if kind < 0.05:
            greeting = frame({"ok": True, "version": 2, "capabilities": GREETING})
            stream = b"have\n" + mutated(generator, [(json.loads(greeting[12:]), b"")])
            device.connection(stream, log).start(b"", None)
            return
        if kind < 0.1:
            left: list[Frame] = [({"ok": True, "left": ["a", "b"]}, b"")]
            found = device.connection(mutated(generator, left), log).clean()
            assert all(isinstance(name, str) for name in found)
            return
        case = generator.choice(known)
        frames = [HAS, (FAILURE, b"")] if kind < 0.2 else case.frames(generator)
        connection = device.connection(mutated(generator, frames), log)
        answer = connection.run("job", {}, {}, case.expected, progress=sane)
        assert set(answer.files) <= set(case.expected.files)
        assert all(len(answer.files[name]) <= most for name, most in case.expected.files.items()
                   if name in answer.files)  # fmt: skip
        for container, key in places([answer.result]):
            value = container[key]
            assert not isinstance(value, float) or value - value == 0.0
        case.use(connection, answer)

    return execute


def sane(share: float, left_s: float) -> None:
    assert share >= 0 and left_s >= 0
