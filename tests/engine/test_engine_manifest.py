"""The manifest: what goes in comes out, and what is not valid is named."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_signatures import signatures

from tipsc.engine import Latency, Manifest, PathEntry
from tipsc.engine.strict import dumps, loads
from tipsc.errors import EngineDamagedError
from tipsc.quality import Quality
from tipsc.signature import Signature, TensorSpec
from tipsc.tree import TENSOR, Tree

times = st.floats(1e-6, 1e6)
counts = st.integers(0, 2**53)
names = st.text(min_size=1, max_size=12)

entries = st.builds(
    PathEntry,
    id=st.from_regex(r"[a-f0-9]{8}", fullmatch=True),
    options=st.dictionaries(names, st.integers(-(2**31), 2**31), max_size=3),
    quality=st.none() | st.builds(Quality, st.just("accuracy"), st.floats(0, 1), st.just("share")),
    latency=st.none() | st.builds(Latency, p10_ms=times, p50_ms=times, p95_ms=times),
    macs=counts,
    parameters=counts,
    shared_bytes=counts,
    private_bytes=counts,
    energy_mj=st.none() | times,
)
manifests = st.builds(
    Manifest,
    name=names,
    target=names,
    backend=names,
    signature=signatures(),
    paths=st.lists(entries, min_size=1, max_size=5, unique_by=lambda e: e.id).map(tuple),
    space=st.just([{"name": "w", "options": [1, 2], "gate": None, "gate_from": 0}]),
    provenance=st.dictionaries(names, names, max_size=3),
    noise=st.just("") | names,
)


@given(manifests)
def test_round_trip_through_bytes(manifest):
    assert Manifest.from_json(loads(dumps(manifest.to_json()), "m")) == manifest


def test_an_energy_that_nobody_measured_is_no_key():
    """So readers that do not know it read such an engine."""
    paths = plain()["paths"]
    assert list(paths[0])[-1] == "batch"
    known = {**plain(), "paths": [{**paths[0], "energy_mj": None}]}
    assert Manifest.from_json(known) == Manifest.from_json(plain())


@given(manifests)
def test_paths_stand_fastest_first(manifest):
    measured = [p.latency.p50_ms for p in manifest.paths if p.latency]
    assert measured == sorted(measured)
    assert all(p.latency is None for p in manifest.paths[len(measured) :])


def leaves(value, route=()):
    yield route
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items:
        if isinstance(child, (dict, list)):
            yield from leaves(child, (*route, key))
        else:
            yield (*route, key)


OTHER = {"name": "error", "value": 3, "unit": "mm", "better": "lower"}


def plain() -> dict:
    entry = PathEntry(
        "ab", {"w": 1}, Quality("accuracy", 0.5, "share"), Latency(1, 2, 3), 1, 1, 1, 1
    )
    spec = TensorSpec("x", "float32", (1, 2), "N-")
    signature = Signature((spec,), (spec,), Tree("tuple", (), (TENSOR,)), TENSOR)
    space = [{"name": "w", "options": [1, 2], "gate": None, "gate_from": 0}]
    return Manifest("n", "t", "b", signature, (entry,), space, {"k": "v"}).to_json()


@pytest.mark.parametrize("route", list(leaves(plain())), ids=str)
def test_an_unusable_value_anywhere_is_refused(route):
    value = copy.deepcopy(plain())
    holder = {"root": value}
    for key in ("root", *route)[:-1]:
        holder = holder[key]
    holder[("root", *route)[-1]] = {"unexpected": [None]}
    with pytest.raises(EngineDamagedError):
        Manifest.from_json(holder["root"] if not route else value)


def tensor(manifest: dict) -> dict:
    return manifest["signature"]["inputs"][0]


def deep(levels: int) -> dict:
    tree = {"kind": "tensor"}
    for _ in range(levels):
        tree = {"kind": "list", "parts": [tree]}
    return tree


def test_more_levels_than_a_tree_may_have_are_no_json_of_ours():
    loads(dumps([[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]), "m")
    with pytest.raises(EngineDamagedError, match="nested more than 16 levels"):
        loads(dumps([[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]), "m")
    value = plain()
    value["signature"]["takes"] = deep(6)
    assert Manifest.from_json(loads(dumps(value), "m")).to_json()["signature"]["takes"]


@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (lambda m: m.update(colour=1), "colour"),
        (lambda m: m.pop("target"), "target"),
        (lambda m: m.update(name=3), "manifest.name"),
        (lambda m: m.update(paths=[]), "manifest.paths"),
        (lambda m: m["paths"].append(m["paths"][0]), "manifest.paths"),
        (lambda m: m["paths"][0].update(macs=True), "manifest.paths[0].macs"),
        (lambda m: m["paths"][0].update(macs=-1), "manifest.paths[0].macs"),
        (lambda m: m["paths"][0].update(quality=0.5), "manifest.paths[0].quality"),
        (lambda m: m["paths"][0]["quality"].update(value=1.5), "manifest.paths[0].quality.value"),
        (lambda m: m["paths"][0]["quality"].update(better="up"), "manifest.paths[0].quality"),
        (
            lambda m: m["paths"].append(m["paths"][0] | {"id": "b", "quality": OTHER}),
            "manifest.paths",
        ),
        (lambda m: m["paths"][0].update(id="../../etc/passwd"), "manifest.paths[0].id"),
        (lambda m: m["paths"][0].update(id=""), "manifest.paths[0].id"),
        (lambda m: m["paths"][0]["latency"].update(p95_ms=0), "manifest.paths[0].latency.p95_ms"),
        (lambda m: m["paths"][0]["options"].update(w=1.5), "manifest.paths[0].options.w"),
        (lambda m: tensor(m).update(shape=[1, 0]), "manifest.signature.inputs[0].shape"),
        (lambda m: tensor(m).update(dtype="complex"), "manifest.signature.inputs[0].dtype"),
        (lambda m: tensor(m).update(layout="NN"), "manifest.signature.inputs[0].layout"),
        (lambda m: m["signature"].update(inputs=[]), "manifest.signature.inputs"),
        (lambda m: m["signature"]["outputs"].append(tensor(m)), "manifest.signature.outputs"),
        (lambda m: m["signature"]["takes"].update(kind="set"), "manifest.signature.takes.kind"),
        (lambda m: m["signature"]["takes"].update(parts=[]), "manifest.signature.inputs"),
        (lambda m: m["signature"].update(takes=deep(7)), "manifest.signature.takes"),
        (lambda m: m.update(space=[{"name": "w"}]), "manifest.space"),
        (lambda m: m.update(space=[3]), "manifest.space"),
    ],
)
def test_the_error_names_the_field(edit, named):
    value = plain()
    edit(value)
    with pytest.raises(EngineDamagedError) as caught:
        Manifest.from_json(value)
    assert named in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"[" * 100_000]
)
def test_json_that_is_not_strict_is_refused(text):
    with pytest.raises(EngineDamagedError):
        loads(text, "m")


def test_the_manifest_is_ordinary_json():
    assert json.loads(dumps(plain())) == plain()


@given(manifests)
def test_an_engine_that_was_written_before_noise_was_told_says_none(manifest):
    document = loads(dumps(manifest.to_json()), "m")
    del document["noise"]
    assert Manifest.from_json(document).noise == ""
