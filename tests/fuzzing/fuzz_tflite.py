"""Engines' .tflite files with something wrong in them: what is not refused is opened and run.

The files are those of :mod:`make_tflite`. Numbers of the flatbuffer are changed where the schema
has them (indices, shapes, strides, offsets, lengths), bytes wherever.
"""

from __future__ import annotations

import functools
import pathlib
import random
import struct
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from tipsc.backends import litert
from tipsc.engine import Manifest, PathEntry
from tipsc.engine.flatbuffer import Row, parse
from tipsc.engine.format import TFLITE_IDENTIFIER
from tipsc.engine.tflite_check import check_tflite
from tipsc.engine.tflite_schema import SCHEMA, TYPES
from tipsc.paths import Choice, SearchSpace
from tipsc.signature import Signature, TensorSpec

FILES = pathlib.Path(__file__).resolve().parent / "tflite"
#: where a number is, and its format for struct
Place = tuple[int, str]
_FLOATS = (0.0, -1.0, 1e-38, 1e38, float("inf"), float("nan"))


class Walk:
    """Where the numbers of a sound flatbuffer are."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.places: list[Place] = []
        self._done: set[int] = set()
        self._follow(0, lambda at: self._table(at, "Model"))

    def _follow(self, at: int, then: Callable[[int], None]) -> None:
        self.places.append((at, "I"))
        target = at + struct.unpack_from("<I", self.data, at)[0]
        if target not in self._done:
            self._done.add(target)
            then(target)

    def _table(self, at: int, name: str) -> None:
        vtable = at - struct.unpack_from("<i", self.data, at)[0]
        self.places += [(at, "i"), (vtable, "H"), (vtable + 2, "H")]
        count = (struct.unpack_from("<H", self.data, vtable)[0] - 4) // 2
        entries = struct.unpack_from(f"<{count}H", self.data, vtable + 4)
        row: dict[str, Any] = {}
        for slot, (field, entry) in enumerate(zip(SCHEMA.tables[name], entries, strict=False)):
            self.places.append((vtable + 4 + 2 * slot, "H"))
            if field is None or not entry:
                continue
            here = at + entry
            if field.kind == "number":
                row[field.name] = struct.unpack_from(f"<{field.code}", self.data, here)[0]
                self.places += [(here, field.code)] * 3  # they matter more than offsets
            elif field.kind == "table":
                self._follow(here, lambda to, inner=field.inner: self._table(to, inner))
            elif field.kind == "union":
                inner = SCHEMA.unions[field.inner][row["builtin_options_type"]]
                self._follow(here, lambda to, inner=inner: self._table(to, inner))
            else:
                self._follow(here, lambda to, field=field: self._vector(to, field))

    def _vector(self, at: int, field: Any) -> None:
        self.places.append((at, "I"))
        (count,) = struct.unpack_from("<I", self.data, at)
        if field.kind == "numbers":
            width = struct.calcsize(field.code)
            self.places += [(at + 4 + width * i, field.code) for i in range(count)] * 3
        elif field.kind == "bytes":  # constants of shapes and axes
            self.places += [(at + 4 + i, "i") for i in range(0, count - 3, 4)] * 3
        elif field.kind == "tables":
            for i in range(count):
                self._follow(at + 4 + 4 * i, lambda to: self._table(to, field.inner))


@functools.cache
def places_of(data: bytes) -> list[Place]:
    """Where the numbers of a sound .tflite are."""
    return Walk(data).places


def other_number(generator: random.Random, code: str, value: Any, others: list[Any]) -> bytes:
    if code == "f":
        return struct.pack("<f", generator.choice((*_FLOATS, value * 2, -value)))
    low, high = (-1, 1) if code.islower() else (0, 2)
    bits = 8 * struct.calcsize(code)
    least, most = (low << (bits - 1), (high << (bits - 1)) - 1)
    if code == "B" and generator.random() < 0.3:
        least, most = 0, 1
    choices = (value - 1, value + 1, -value, value * 2, 0, 1, 2, 3, -1, least, most, most // 2,
               1 << 20, generator.choice(others), generator.randint(0, 160))  # fmt: skip
    return struct.pack(f"<{code}", min(max(generator.choice(choices), least), most))


def mutated(generator: random.Random, data: bytes, places: list[Place]) -> bytes:
    """Some numbers are others; or bytes are others, more, or fewer."""
    changed = bytearray(data)
    if generator.random() < 0.85:
        for _ in range(generator.choice((1, 1, 1, 2, 3))):
            at, code = generator.choice(places)
            alike = [other for other in generator.choices(places, k=8) if other[1] == code]
            values = [struct.unpack_from(f"<{code}", data, other[0])[0] for other in alike]
            (value,) = struct.unpack_from(f"<{code}", data, at)
            number = other_number(generator, code, value, values or [value])
            changed[at : at + len(number)] = number
        return bytes(changed)
    for _ in range(generator.randint(1, 4)):
        place, how = generator.randrange(len(changed)), generator.random()
        if how < 0.8:
            changed[place] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
        elif how < 0.9:
            changed[place : place + 4] = b""
        else:
            del changed[max(place, 8) :]
    return bytes(changed)


def manifest_of(model: bytes) -> Manifest:
    """One that is right for a sound .tflite."""
    parsed = parse(memoryview(model), SCHEMA, "Model", TFLITE_IDENTIFIER, "a seed")
    graph: Row = parsed["subgraphs"][0]

    def spec(name: str, index: int) -> TensorSpec:
        tensor = graph["tensors"][index]
        shape = tuple(tensor["shape"])
        layout = "N" + "-" * (len(shape) - 1)
        if name == "input" and len(shape) in (3, 4):
            shape = (shape[0], shape[-1], *shape[1:-1])
            layout = {3: "NCL", 4: "NCHW"}[len(shape)]
        return TensorSpec(name, TYPES[tensor["type"]], shape, layout[: len(shape)])

    names = [signature["signature_key"] for signature in parsed["signature_defs"]]
    options = tuple(range(1, len(names) + 2))
    entries = tuple(
        PathEntry(name, {"width": width}, None, None, 0, 0, 0, 0)
        for width, name in enumerate(names, 1)
    )
    return Manifest(
        name="fuzzed", target="mobile-cpu", backend="litert",
        signature=Signature.plain(
            [spec("input", graph["inputs"][0])], [spec("output", graph["outputs"][0])]
        ),
        paths=entries, space=list(SearchSpace((Choice("width", options),)).to_json()),
    )  # fmt: skip


def make_executor(folder: pathlib.Path) -> Callable[[random.Random], None]:
    """Checks a mutated .tflite as an engine's is, and runs each path of what is taken."""
    seeds = []
    for file in sorted(FILES.glob("*.tflite")):
        data = file.read_bytes()
        seeds.append((data, places_of(data), manifest_of(data)))
    model = folder / "model.tflite"

    def execute(generator: random.Random) -> None:
        data, places, manifest = generator.choice(seeds)
        changed = mutated(generator, data, places)
        check_tflite(memoryview(changed), manifest, "fuzzed")
        model.unlink(missing_ok=True)  # not over what is mapped
        model.write_bytes(litert.plain(changed))
        program = litert.open_model(model, weight_cache=litert.IN_MEMORY)
        spec = manifest.signature.inputs[0]
        noise = np.random.default_rng(generator.randrange(1 << 30))
        x = noise.integers(0, 9, spec.shape) if spec.dtype[0] == "i" else noise.normal(
            size=spec.shape)  # fmt: skip
        for path in manifest.paths:
            executor = litert.SignatureExecutor(
                program, path.id, [spec.channels_last], threading.Lock(), "fuzzed"
            )
            executor.run([x.astype(spec.dtype)])
            executor.close()

    return execute
