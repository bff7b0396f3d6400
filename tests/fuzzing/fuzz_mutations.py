"""Mutations of JSON values, of their text, and of streams of frames."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from tipsc.device import agent

#: a message and its binary part
Frame = tuple[Any, bytes]

#: what a field may be instead
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 0.5, -0.0, 1e-320, 1e308, -1e308, 2**63, -(2**70), 10**23, "",
    "UsageError", "x" * 300, "x" * 5000, "\ud800", "\x1b[2J", "../../x", "/etc/passwd", "a\0b",
    [], [None], [[]], {}, {"ok": True}, {"": 1}, [1] * 5000, [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]],
    {str(place): place for place in range(5000)},
)  # fmt: skip
#: what a number of the text may be instead; JSON has no such numbers, its readers do
NUMBERS = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"9" * 5000, b"-0", b"0", b"-7")


def odd(generator: random.Random) -> Any:
    return copy.deepcopy(generator.choice(ODD))


def frame(message: Any, binary: bytes = b"") -> bytes:
    return framed(json.dumps(message).encode(), binary)


def framed(text: bytes, binary: bytes = b"") -> bytes:
    return agent.HEADER.pack(agent.MAGIC, len(text), len(binary)) + text + binary


def places(value: Any) -> list[tuple[Any, Any]]:
    """All (container, key) below a value."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        part = waiting.pop()
        keys = part if isinstance(part, dict) else range(len(part))
        for key in list(keys):
            found.append((part, key))
            if isinstance(part[key], dict | list):
                waiting.append(part[key])
    return found


def odd_value(generator: random.Random, value: Any) -> Any:
    """A copy of a JSON value of which one or two parts are something else, or not there."""
    changed = json.loads(json.dumps(value))
    for _ in range(generator.randint(1, 2)):
        found = places(changed)
        if not found:
            return odd(generator)
        container, key = generator.choice(found)
        how = generator.random()
        if how < 0.2:
            del container[key]
        elif how < 0.3 and isinstance(container, dict):
            container[str(odd(generator))] = container.pop(key)
        elif how < 0.4 and isinstance(container, list):
            container.append(container[key])
        else:
            container[key] = odd(generator)
    return changed


def odd_number(generator: random.Random, text: bytes) -> bytes:
    """JSON text with one number that JSON does not have, or that cannot be."""
    digits = [place for place in range(len(text)) if text[place : place + 1].isdigit()]
    if not digits:
        return text
    begin = end = generator.choice(digits)
    while end < len(text) and text[end : end + 1].isdigit():
        end += 1
    return text[:begin] + generator.choice(NUMBERS) + text[end:]


def flipped(generator: random.Random, stream: bytes) -> bytes:
    changed = bytearray(stream)
    for _ in range(generator.randint(1, 3)):
        changed[generator.randrange(len(changed))] = generator.randrange(256)
    return bytes(changed)


def cut(generator: random.Random, stream: bytes) -> bytes:
    return stream[: generator.randrange(len(stream))]


def garbage(generator: random.Random, stream: bytes) -> bytes:
    return generator.randbytes(generator.randrange(200))


def spliced(generator: random.Random, stream: bytes) -> bytes:
    place = generator.randrange(len(stream))
    return stream[:place] + generator.randbytes(8) + stream[place:]


BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (flipped, cut, garbage, spliced)


def mutated(generator: random.Random, frames: list[Frame]) -> bytes:
    """A stream of these frames with something wrong in it: in a value, a number, or its bytes."""
    how = generator.random()
    changed = list(frames)
    place = generator.randrange(len(changed))
    message, binary = changed[place]
    if how < 0.05:
        return b"".join(frame(*part) for part in changed)
    if how < 0.45:
        changed[place] = (odd_value(generator, message), binary)
    elif how < 0.55:
        parts = [frame(*part) for part in changed]
        parts[place] = framed(odd_number(generator, json.dumps(message).encode()), binary)
        return b"".join(parts)
    elif how < 0.65 and binary:
        changed[place] = (message, generator.choice(BYTES)(generator, binary))
    elif how < 0.75:
        changed.insert(place, changed[generator.randrange(len(changed))])
    elif how < 0.8:
        generator.shuffle(changed)
    elif how < 0.85:
        del changed[place]
    else:
        stream = b"".join(frame(*part) for part in changed)
        return generator.choice(BYTES)(generator, stream)
    return b"".join(frame(*part) for part in changed)
