"""What a model takes and gives: named tensors that fit their trees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from random_signatures import signatures, specs

from tipsc.engine.strict import decode, dumps, encode, loads
from tipsc.errors import DataError
from tipsc.signature import Signature, TensorSpec
from tipsc.tree import TENSOR, Tree

IMAGE = TensorSpec("image", "float32", (1, 3, 8, 6), "NCHW")
SERIES = TensorSpec("series", "float32", (1, 20, 6), "NLC")
CTC = TensorSpec("letters", "float32", (20, 1, 30), "LN-")
SCALE = TensorSpec("scale", "int64", (), "")


@given(signatures())
def test_round_trip_through_json(signature: Signature) -> None:
    assert decode(Signature, loads(dumps(encode(signature)), "s"), "s") == signature


def test_the_batch_axis_is_where_the_layout_says() -> None:
    assert [spec.batch_axis for spec in (IMAGE, SERIES, CTC, SCALE)] == [0, 0, 1, None]
    assert IMAGE.with_batch(4).shape == (4, 3, 8, 6)
    assert CTC.with_batch(4).shape == (20, 4, 30)
    assert SCALE.with_batch(4) == SCALE


@pytest.mark.parametrize(
    ("layout", "axes"),
    [("NCHW", (0, 2, 3, 1)), ("NHWC", (0, 1, 2, 3)), ("NC", (0, 1)), ("NCL", (0, 2, 1)),
     ("NLC", (0, 1, 2)), ("N--", (0, 1, 2)), ("C", (0,)), ("NCDHW", (0, 2, 3, 4, 1))],
)  # fmt: skip
def test_channels_are_moved_behind_places(layout: str, axes: tuple[int, ...]) -> None:
    assert TensorSpec("x", "float32", (2,) * len(layout), layout).channels_last == axes


@given(specs())
def test_no_axis_gets_lost(spec: TensorSpec) -> None:
    assert sorted(spec.channels_last) == list(range(len(spec.shape)))
    assert "C" not in spec.layout or spec.layout[spec.channels_last[-1]] == "C"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": ""}, "has no name"),
        ({"dtype": "complex64"}, "unknown dtype"),
        ({"shape": (1, 0, 1, 1)}, "not a static shape"),
        ({"layout": "NCL"}, "not a letter for each of 4 axes"),
        ({"layout": "NCXW"}, "not a letter"),
        ({"layout": "NCHH"}, "not a letter"),
    ],
)
def test_a_tensor_that_makes_no_sense_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        TensorSpec(**{"name": "x", "dtype": "int8", "shape": (1,) * 4, "layout": "NCHW"} | change)


@pytest.mark.parametrize(
    ("inputs", "takes", "says"),
    [
        ((), Tree("tuple"), "is empty"),
        ((IMAGE, IMAGE), Tree("tuple", (), (TENSOR, TENSOR)), "a name is repeated"),
        ((IMAGE,), Tree("list", (), (TENSOR, TENSOR)), "not as many in the tree, which has 2"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    inputs: tuple[TensorSpec, ...], takes: Tree, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        Signature(inputs, (SERIES,), takes, TENSOR)
    with pytest.raises(DataError, match=says):
        Signature((SERIES,), inputs, TENSOR, takes)


def test_plain_tensors_stand_alone_or_in_a_tuple() -> None:
    found = Signature.plain([IMAGE], [SERIES, CTC])
    assert found.takes == TENSOR
    assert found.gives == Tree("tuple", (), (TENSOR, TENSOR))
