"""What a device may send: 10,000 wrong answers, each of which ends in an error with a name."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from tipsc.device import agent
from tipsc.device.client import Answer, Connection
from tipsc.device.link import parse_link
from tipsc.errors import DeviceLinkError, DeviceProtocolError, TipscError

CASES = 10_000
#: the answers to a whole job, with their binary parts
GOOD: list[tuple[dict[str, Any], bytes]] = [
    ({"ok": True, "has": True}, b""),
    ({"event": "progress", "value": [0.5, 1.0]}, b""),
    ({"event": "file", "name": "a.npy"}, b"abc"),
    ({"event": "more", "name": "a.npy"}, b"def"),
    ({"ok": True, "result": {"cores": [0]}}, b""),
]
FAILED: list[tuple[dict[str, Any], bytes]] = [
    ({"ok": True, "has": True}, b""),
    ({"error": "failed", "kind": "UsageError", "message": "m",
      "facts": {"what": "w", "where": None, "expected": "e", "got": "g", "fix": "f"}}, b""),
]  # fmt: skip
ODD = (None, True, -1, 1e308, "", "UsageError", "x" * 300, [], [None], {}, {"ok": True})


def frame(message: Any, binary: bytes) -> bytes:
    text = json.dumps(message).encode()
    return agent.HEADER.pack(agent.MAGIC, len(text), len(binary)) + text + binary


def flipped(generator: random.Random, stream: bytearray) -> bytes:
    for _ in range(generator.randint(1, 3)):
        stream[generator.randrange(len(stream))] = generator.randrange(256)
    return bytes(stream)


def cut(generator: random.Random, stream: bytearray) -> bytes:
    return bytes(stream[: generator.randrange(len(stream))])


def garbage(generator: random.Random, stream: bytearray) -> bytes:
    return generator.randbytes(generator.randrange(200))


def spliced(generator: random.Random, stream: bytearray) -> bytes:
    place = generator.randrange(len(stream))
    return bytes(stream[:place]) + generator.randbytes(8) + bytes(stream[place:])


BYTES: list[Callable[[random.Random, bytearray], bytes]] = [flipped, cut, garbage, spliced]


def odd_fields(generator: random.Random, messages: list[tuple[dict[str, Any], bytes]]) -> bytes:
    """Sound frames, but a field is missing or of another kind, or a message stands elsewhere."""
    changed = [(dict(message), binary) for message, binary in messages]
    for _ in range(generator.randint(1, 2)):
        message, _ = generator.choice(changed)
        key = generator.choice([*message, "event", "error", "ok"])
        if generator.random() < 0.3:
            message.pop(key, None)
        else:
            message[key] = generator.choice(ODD)
    if generator.random() < 0.3:
        generator.shuffle(changed)
    return b"".join(frame(*part) for part in changed)


def receive(stream: bytes) -> Answer:
    """What a job gives when the device answers with these bytes and then goes away."""
    back, there = os.pipe()
    os.write(there, stream)
    os.close(there)
    with (
        open(os.devnull, "wb") as sink,  # noqa: PTH123 - unbuffered ends of a link
        os.fdopen(back, "rb", buffering=0) as source,
        tempfile.TemporaryFile() as log,
    ):
        process: Any = SimpleNamespace(stdin=sink, stdout=source, wait=lambda timeout: 0)
        connection = Connection(parse_link("local"), process, log)
        return connection.run("describe", {}, progress=lambda share, left_s: None)


def test_sound_answers_are_taken() -> None:
    answer = receive(b"".join(frame(*part) for part in GOOD))
    assert answer.files == {"a.npy": b"abcdef"}
    assert answer.result == {"cores": [0]}


def test_wrong_answers_are_named_errors() -> None:
    generator, named = random.Random(0), 0
    for case in range(CASES):
        messages = FAILED if case % 4 == 0 else GOOD
        if case % 2:
            stream = odd_fields(generator, messages)
        else:
            whole = bytearray(b"".join(frame(*part) for part in messages))
            stream = generator.choice(BYTES)(generator, whole)
        try:
            receive(stream)
        except (DeviceLinkError, DeviceProtocolError):
            named += 1
        except TipscError:
            pass  # an error that the device reports as such
    assert named > CASES // 3
