"""A manifest that says something else than its graphs do is refused, and so are huge numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from synthetic_engine import Net

from tipsc.engine import read_engine, write_engine
from tipsc.engine.strict import loads
from tipsc.errors import EngineDamagedError
from tipsc.signature import TensorSpec


@pytest.mark.parametrize("which", ["inputs", "outputs"])
@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"dtype": "float16"},
        {"shape": (1, 7), "layout": "N-"},
    ],
)
def test_a_manifest_of_another_graph(
    net: Net, graphs: dict[str, bytes], tmp_path: Path, which: str, change: dict[str, Any]
) -> None:
    manifest = net.manifest(list(graphs))
    (spec,) = getattr(manifest.signature, which)
    changed: tuple[TensorSpec, ...] = (dataclasses.replace(spec, **change),)
    signature = dataclasses.replace(manifest.signature, **{which: changed})
    manifest = dataclasses.replace(manifest, signature=signature)
    file = tmp_path / "engine.tipsc"
    write_engine(file, manifest, net.store.blob, graphs)
    with pytest.raises(EngineDamagedError, match=f"manifest's {which} are not the graph's"):
        read_engine(file).graph(next(iter(graphs)))


@pytest.mark.parametrize("digits", [21, 400, 5000])
def test_an_integer_of_too_many_digits(digits: int) -> None:
    with pytest.raises(EngineDamagedError, match=f"an integer of {digits} digits"):
        loads(b'{"macs": ' + b"9" * digits + b"}", "manifest")


def test_integers_of_64_bits_are_read() -> None:
    assert loads(b"[-9223372036854775808, 18446744073709551615]", "manifest") == [
        -(2**63),
        2**64 - 1,
    ]
