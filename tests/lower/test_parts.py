"""A path may have parameters of its own: it computes with them, and they are all that it costs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as FilePath

import numpy as np
import pytest
import torch
from test_surgery import (
    FAMILIES,
    PreActivation,
    inputs_for,
    largest_difference,
    make,
    own_statistics,
    session,
)

from tipsc.elastic import Statistics, Supernet, extract
from tipsc.errors import PathError
from tipsc.lower import PathBytes, lower
from tipsc.lower.half import to_half
from tipsc.lower.int8 import to_int8
from tipsc.lower.parts import Part, Parts, parts_of
from tipsc.paths import Path

INLINE = 64  # bytes; smaller tensors stand in the graph and not in the store


def with_own(
    supernet: Supernet, statistics: Statistics, path: Path, parts: Sequence[Part]
) -> Statistics:
    """Random values for these parts."""
    generator = torch.Generator().manual_seed(7)
    module = dict(extract(supernet, path).named_parameters())
    names = [name for part in parts for name in part.names]
    own = {n: module[n].detach() * 0.8 + 0.1 * torch.randn(module[n].shape, generator=generator)
           for n in names}  # fmt: skip
    return replace(statistics, own=own)


def all_parts(parts: Parts) -> list[Part]:
    """Those in which something is."""
    return [p for p in (parts.biases, parts.scales, parts.head, *parts.layers) if p.names]


def three_paths(supernet: Supernet) -> list[Path]:
    space = supernet.space
    return [space.smallest, space.largest, space.sample_options(random.Random(3))]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("seed", range(2))
def test_a_path_computes_with_what_is_its_own_and_costs_that_and_no_more(
    name: str, seed: int, tmp_path: FilePath
) -> None:
    supernet, chance = make(name), random.Random(seed)
    paths = three_paths(supernet)
    small = paths[0]  # whose weights others all share
    statistics = {p.id: own_statistics(supernet, p) for p in paths}
    parts = all_parts(parts_of(supernet, small))
    chosen = chance.sample(parts, chance.randint(1, len(parts)))
    owned = with_own(supernet, statistics[small.id], small, chosen)
    before = lower(supernet, paths, statistics)
    after = lower(supernet, paths, {**statistics, small.id: owned})

    assert largest_difference(after, supernet, small, owned, tmp_path) < 1e-5
    assert largest_difference(after, supernet, small, statistics[small.id], tmp_path) > 1e-3
    for other in paths[1:]:
        assert largest_difference(after, supernet, other, statistics[other.id], tmp_path) < 1e-5

    values = 4 * sum(part.values for part in chosen)
    grown = after.sizes[small.id].private - before.sizes[small.id].private
    vectors = [v for v in owned.own.values() if v.dim() == 1 and 4 * v.numel() <= INLINE]
    in_graph = 4 * sum(v.numel() for v in vectors)
    assert values - in_graph <= grown <= values
    assert values - in_graph <= len(after.weights) - len(before.weights)
    for other in paths[1:]:
        assert in_all(after.sizes[other.id]) == in_all(before.sizes[other.id])


def in_all(size: PathBytes) -> int:
    return size.shared + size.private


@pytest.mark.parametrize("name", FAMILIES)
def test_the_parts_are_all_that_a_path_computes_with(name: str) -> None:
    supernet = make(name)
    for path in three_paths(supernet):
        names = [n for part in all_parts(parts_of(supernet, path)) for n in part.names]
        assert len(names) == len(set(names))
        module = extract(supernet, path)
        assert set(names) == {key for key, _ in module.named_parameters()}


def test_parts_of_a_net_whose_norms_do_not_fold(tmp_path: FilePath) -> None:
    torch.manual_seed(0)
    supernet = PreActivation()
    supernet.train()(torch.randn(16, 3, 6, 6), supernet.space.largest)
    path = supernet.eval().space.smallest
    parts = parts_of(supernet, path)
    assert parts.head == Part("head", ("out.weight",), 20)
    assert parts.scales == Part("norm scale", ("norm.weight",), 8)
    assert parts.biases.values == 8 + 8 + 4 + 5  # entry, norm, widen, out; narrow has none
    for part in all_parts(parts):
        statistics = with_own(supernet, Statistics(path.id), path, [part])
        lowered = lower(supernet, [path, supernet.space.largest], {path.id: statistics})
        assert largest_difference(lowered, supernet, path, statistics, tmp_path) < 1e-5


def test_what_is_not_trained_is_in_no_part() -> None:
    supernet = make("temporal")
    part = parts_of(supernet, supernet.space.smallest).layers[0]
    for name in part.names:
        supernet.get_parameter(name).requires_grad_(False)
    assert part.label not in {p.label for p in parts_of(supernet, supernet.space.smallest).layers}


def test_parameters_that_a_path_cannot_have_are_refused() -> None:
    supernet = make("temporal")
    path = supernet.space.smallest
    name = parts_of(supernet, path).head.names[0]
    with pytest.raises(PathError, match=rf"{name}: .* another size.*got \(1,\)"):
        extract(supernet, path, Statistics(path.id, own={name: torch.ones(1)}))
    with pytest.raises(PathError, match=r"no such parameter.*got nowhere\.weight"):
        extract(supernet, path, Statistics(path.id, own={"nowhere.weight": torch.ones(1)}))


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_what_is_private_is_in_the_precision_of_all(precision: str, tmp_path: FilePath) -> None:
    supernet = make("temporal")
    path, *others = three_paths(supernet)
    statistics = {p.id: own_statistics(supernet, p) for p in (path, *others)}
    owned = with_own(supernet, statistics[path.id], path, all_parts(parts_of(supernet, path)))
    torch.manual_seed(0)
    images = inputs_for(supernet, 64)

    lowered = lower(supernet, [path, *others], {**statistics, path.id: owned})
    after = to_half(lowered) if precision == "fp16" else to_int8(lowered, (images.numpy(),))
    run, module = session(after, path.id, tmp_path), extract(supernet, path, owned)
    name = run.get_inputs()[0].name
    expected = module(images).detach().numpy()
    got = np.concatenate([run.run(None, {name: x[None].numpy()})[0] for x in images])
    rounding = {"fp16": 0.01, "int8": 0.15}[precision]  # over all layers
    assert np.abs(got - expected).max() < rounding * np.abs(expected).max()
    weights = sum(part.values for part in all_parts(parts_of(supernet, path)))
    size, in_graph = {"fp16": 2, "int8": 1}[precision], 5  # the head's biases; biases of norms too
    assert after.sizes[path.id] == PathBytes(0, size * (weights - in_graph))
