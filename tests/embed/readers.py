"""Readers of engine files, in Python and in C, held against each other."""

from __future__ import annotations

import random

import format_reader
import fuzz_engine
import fuzz_tflite
import pytest
from format_graphs import Refused
from library import ONLY_READ, CError, Engine, Library
from test_format_document import read_all

from tipsc.engine import parse_engine
from tipsc.engine.tflite_check import check_tflite
from tipsc.errors import EngineDamagedError


def same(found: Engine, data: bytes) -> None:
    """What C makes of it is what the reader of the page makes of it."""
    known = format_reader.read(data)
    info = found.info()
    assert info.hash.decode() == known.content_hash
    assert info.form.decode() == ("tflite" if known.form == "tflite" else "onnx")
    for name in ("name", "target", "backend", "noise"):
        # A text with a zero byte is a shorter one in C.
        assert getattr(info, name).decode() == known.manifest[name].split("\0")[0]
    paths = known.manifest["paths"]
    assert found.ids() == [path["id"] for path in paths]
    for place, path in enumerate(paths):
        about = found.path(place)
        assert (about.macs, about.parameters, about.shared_bytes, about.private_bytes) == tuple(
            path[name] for name in ("macs", "parameters", "shared_bytes", "private_bytes")
        )
        assert about.batch == path["batch"]
        latency = path["latency"] or dict.fromkeys(("p10_ms", "p50_ms", "p95_ms", "pause_ms"))
        for name, value in {**latency, "energy_mj": path["energy_mj"]}.items():
            number = getattr(about, name)
            assert number == value if value is not None else number != number
        if path["quality"]:
            assert about.quality == path["quality"]["value"]
            assert about.quality_higher == (path["quality"]["better"] == "higher")
    for kind in ("input", "output"):
        for index, tensor in enumerate(known.manifest["signature"][f"{kind}s"]):
            about = found.tensor(kind, 0, index)
            assert about.name.decode() == tensor["name"].split("\0")[0]
            assert about.layout.decode() == tensor["layout"]


def agree(library: Library, data: bytes) -> bool:
    """Whether both take it; raises if they do not agree."""
    try:
        read_all(data)
        inside_is_sound(data)
    except (Refused, EngineDamagedError) as error:
        with pytest.raises(CError) as caught:
            library.open(data, flags=ONLY_READ).close()
        assert caught.value.code in ("damaged", "version"), (str(error), caught.value)
        return False
    try:
        found = library.open(data, flags=ONLY_READ)
    except CError as error:
        # The page leaves it to a reader whether it takes integers of more than 64 bits.
        assert "an integer of 64 bits" in error.text and beyond_64_bits(format_reader.read(data))
        return False
    with found:
        same(found, data)
    return True


def inside_is_sound(data: bytes) -> None:
    """What the reader of the page leaves to tipsc's own: raises for what is in a .tflite."""
    engine = parse_engine(data)
    if engine.form == "tflite":
        check_tflite(engine.weights, engine.manifest, "engine")


def beyond_64_bits(value: object) -> bool:
    if isinstance(value, format_reader.Read):
        return beyond_64_bits(value.manifest)
    if isinstance(value, (dict, list)):
        return any(map(beyond_64_bits, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and not -(1 << 63) <= value < 1 << 63


def mutated_tflite(generator: random.Random, data: bytes) -> bytes:
    """An engine of LiteRT with something wrong in its .tflite, or in what is around it."""
    if generator.random() < 0.3:
        return fuzz_engine.mutated(generator, data)
    header, contents = fuzz_engine.parts_of(data)
    model = contents["model"]
    contents["model"] = fuzz_tflite.mutated(generator, model, fuzz_tflite.places_of(model))
    return fuzz_engine.file_of(header, contents)
