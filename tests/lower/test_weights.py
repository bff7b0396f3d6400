"""The weight store: each tensor once, at a place that is its own."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tipsc.elastic import family
from tipsc.lower import ALIGNMENT, WeightStore, lower

FEW = np.arange(5, dtype=np.int64)
VALUES = (
    np.arange(12, dtype=np.float32).reshape(3, 4),
    np.arange(12, dtype=np.float32).reshape(3, 4).T,
    np.float32(7.0).reshape(()),
    np.zeros((0, 4), np.float32),
    np.array([True, False]),
    FEW,
)


@pytest.mark.parametrize("begun", [b"", b"begun"])
def test_what_is_stored_is_read_where_it_lies(begun: bytes) -> None:
    store = WeightStore(begun)
    places = [store.add(value) for value in VALUES]
    content = store.to_bytes()
    assert content.startswith(begun)
    for value, place in zip(VALUES, places, strict=True):
        expected = value.tobytes()
        assert place.offset % ALIGNMENT == 0
        assert content[place.offset : place.offset + place.length] == expected
        assert store.read(place.offset, place.length) == expected
    assert store.read(1, 3) == (begun[1:4] or content[1:4])


def test_equal_tensors_are_stored_once() -> None:
    store = WeightStore()
    assert store.add(FEW) == store.add(FEW.copy()) == store.add_bytes(FEW.tobytes())
    assert len(store.to_bytes()) == FEW.nbytes


def test_a_tensor_is_not_copied_before_the_store_is_written() -> None:
    store, value = WeightStore(), np.zeros(4, np.float32)
    place = store.add(value)
    value[:] = 3.0
    assert store.read(place.offset, place.length) == value.tobytes()


def test_weights_are_not_in_what_is_exported(monkeypatch: pytest.MonkeyPatch) -> None:
    supernet = family("mobilenet", classes=9, input_shape=[1, 8, 8], stem=8, head=2000,
                      stages=[{"channels": 8, "depths": [1], "expansions": [1, 2]}])  # fmt: skip
    infer, exported = onnx.shape_inference.infer_shapes, []

    def inferred(model: onnx.ModelProto) -> onnx.ModelProto:
        exported.append(model.ByteSize())
        return infer(model)

    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", inferred)
    lowered = lower(supernet, [supernet.space.largest])
    assert len(lowered.weights) > 100_000 > 2 * exported[0]
