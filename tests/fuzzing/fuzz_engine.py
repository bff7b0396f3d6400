"""Engine files with something wrong in them and all hashes right: the payload is reached."""

from __future__ import annotations

import hashlib
import json
import pathlib
import random
import struct
import sys
import zlib
from collections.abc import Callable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "engine"))

import numpy as np
from synthetic_engine import tiny_net

from tipsc.engine import read_engine, write_engine
from tipsc.engine.format import MAGIC, PREFIX, VERSION, next_page
from tipsc.runtime import Engine

#: what a field may be instead
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 1, 0.5, 1e308, 2**31, 2**63, 10**400, "", "x" * 5000, "\x1b[2J", "../x",
    "a\0b", [], [None], [[]], {}, {"": 1}, [1] * 3000,
)  # fmt: skip
#: share of the executions that also open and run what was taken
RUNS = 0.02


def odd_value(generator: random.Random, value: Any) -> Any:
    """A copy of a JSON value of which one part is something else, or gone, or there twice."""
    changed = json.loads(json.dumps(value))
    found, waiting = [], [changed]
    while waiting:
        part = waiting.pop()
        for key in list(part) if isinstance(part, dict) else range(len(part)):
            found.append((part, key))
            if isinstance(part[key], dict | list):
                waiting.append(part[key])
    container, key = generator.choice(found)
    how = generator.random()
    if how < 0.2:
        del container[key]
    elif how < 0.3 and isinstance(container, list):
        container.append(container[key])
    elif how < 0.5 and type(container[key]) is int:
        container[key] += generator.choice((-1, 1, 64, 4096, 1 << 31))
    else:
        container[key] = generator.choice(ODD)
    return changed


def flipped(generator: random.Random, content: bytes) -> bytes:
    """Some bytes are others, more or fewer."""
    changed = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        place = generator.randrange(len(changed) + 1)
        how = generator.random()
        if how < 0.6 and place < len(changed):
            changed[place] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
        elif how < 0.8:
            changed[place : place + generator.randrange(9)] = b""
        else:
            changed[place:place] = generator.randbytes(generator.randrange(9))
    return bytes(changed)


def file_of(header: dict[str, Any], contents: dict[str, bytes]) -> bytes:
    """A file whose places, lengths and hashes are right for its contents."""
    for section in header["sections"]:
        content = contents[section["name"]]
        section["length"], section["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    for _ in range(4):  # places depend on the header's length, which depends on them
        text = json.dumps(header).encode()
        position = PREFIX.size + len(text)
        for section in header["sections"]:
            section["offset"] = next_page(position)
            position = section["offset"] + section["length"]
    return placed(json.dumps(header).encode(), header, contents)


def placed(text: bytes, header: dict[str, Any], contents: dict[str, bytes]) -> bytes:
    data = bytearray(PREFIX.pack(MAGIC, VERSION, len(text), hashlib.sha256(text).digest()) + text)
    for section in header["sections"]:
        data += bytes(max(0, section["offset"] - len(data))) + contents[section["name"]]
    return bytes(data)


def parts_of(data: bytes) -> tuple[dict[str, Any], dict[str, bytes]]:
    length = PREFIX.unpack_from(data)[2]
    header = json.loads(data[PREFIX.size : PREFIX.size + length])
    contents = {
        s["name"]: data[s["offset"] : s["offset"] + s["length"]] for s in header["sections"]
    }
    return header, contents


def mutated(generator: random.Random, data: bytes) -> bytes:
    """One thing in prefix, header, manifest, graphs (or their stream) or model is another."""
    header, contents = parts_of(data)
    how = generator.random()
    if how < 0.05:
        return flipped(generator, data[:200]) + data[200:]
    if how < 0.1:
        return data[: generator.randrange(len(data))]
    if how < 0.3:
        text = json.dumps(odd_value(generator, header)).encode()
        if generator.random() < 0.1:
            text = flipped(generator, text)
        return placed(text, header, contents)
    if how < 0.55:
        manifest = odd_value(generator, json.loads(contents["manifest"]))
        contents["manifest"] = json.dumps(manifest).encode()
    elif how < 0.6:
        contents["manifest"] = flipped(generator, contents["manifest"])
    elif "model" in contents:
        contents["model"] = flipped(generator, contents["model"])
    elif how < 0.65:
        contents["graphs"] = flipped(generator, contents["graphs"])
    else:
        graphs = zlib.decompress(contents["graphs"])
        entry = generator.choice(header["graphs"])
        start = sum(g["length"] for g in header["graphs"][: header["graphs"].index(entry)])
        graph = flipped(generator, graphs[start : start + entry["length"]])
        if generator.random() < 0.1:
            graph = graph[:-4] + struct.pack("<I", generator.getrandbits(32))
        contents["graphs"] = zlib.compress(
            graphs[:start] + graph + graphs[start + entry["length"] :], 1
        )
        entry["length"] = len(graph)
    return file_of(header, contents)


def make_executor(folder: pathlib.Path) -> Callable[[random.Random], None]:
    """Writes a mutated engine, reads it and all its graphs, and sometimes opens and runs it."""
    net = tiny_net()
    graphs = net.paths(3)
    file = folder / "engine.tipsc"
    write_engine(file, net.manifest(list(graphs)), net.store.blob, graphs)
    data = file.read_bytes()

    def execute(generator: random.Random) -> None:
        file.unlink(missing_ok=True)  # not over what is mapped
        file.write_bytes(mutated(generator, data))
        engine = read_engine(file)
        for path in engine.manifest.paths:
            engine.graph(path.id)
        if generator.random() < RUNS:
            run(file, folder / "cache")

    return execute


def run(file: pathlib.Path, cache: pathlib.Path) -> None:
    with Engine.open(file, cache_dir=cache) as engine:
        (spec,) = engine.manifest.signature.inputs
        engine.run(np.zeros(spec.shape, spec.dtype), path=engine.manifest.paths[0].id)
