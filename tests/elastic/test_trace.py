"""Labels, and the counts that are read from the trace."""

from __future__ import annotations

import random

import pytest
import torch
from supernets import ALL, make

from tipsc.elastic import CostModel, extract, family, trace
from tipsc.elastic.extract import extract_traced


@pytest.mark.parametrize("name", ALL)
def test_labels_are_unique_and_stable_across_paths(name: str) -> None:
    supernet = make(name)
    generator = random.Random(2)
    full = {step.label: step for step in trace(supernet, supernet.space.largest).steps}
    for _ in range(30):
        steps = trace(supernet, supernet.space.sample(generator)).steps
        labels = [step.label for step in steps]
        assert len(labels) == len(set(labels))
        for step in steps:
            # The largest path has every step, and the label means the same there.
            assert (full[step.label].module, full[step.label].operation) == (
                step.module,
                step.operation,
            )


@pytest.mark.parametrize("name", ALL)
def test_skeleton_traces_like_the_supernet(name: str) -> None:
    supernet = make(name)
    path = supernet.space.sample(random.Random(3))
    assert CostModel(supernet).trace(path).steps == trace(supernet, path).steps


@pytest.mark.parametrize("name", ALL)
def test_counted_parameters_are_those_of_the_extracted_module(name: str) -> None:
    supernet = make(name)
    costs = CostModel(supernet)
    generator = random.Random(4)
    for _ in range(20):
        path = supernet.space.sample(generator)
        module = extract(supernet, path)
        assert costs.of(path).parameters == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", ALL)
def test_counted_macs_are_those_that_torch_counts(name: str) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    supernet = make(name)
    costs = CostModel(supernet)
    generator = random.Random(5)
    for _ in range(10):
        path = supernet.space.sample(generator)
        module = extract(supernet, path)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(*supernet.examples())
        assert costs.of(path).macs == counter.get_total_flops() // 2


def test_mobilenet_v2_has_the_published_size() -> None:
    """300 M multiply-adds and 3.4 M parameters in arXiv 1801.04381; these are torchvision's."""
    supernet = family("mobilenet-v2")
    cost = CostModel(supernet).of(supernet.space.largest)
    assert (cost.macs, cost.parameters) == (300_774_272, 3_504_872)


def test_a_trace_that_was_extracted_can_be_extracted_again() -> None:
    supernet = make("mobilenet")
    costs, x = CostModel(supernet), supernet.examples()
    traced = costs.trace(supernet.space.smallest)
    first, second = (extract_traced(supernet, traced) for _ in range(2))
    assert [label for _, label in traced.nodes()] == [step.label for step in traced.steps]
    assert torch.equal(first(*x), second(*x))
    assert not any(node.meta for node in first.graph.nodes)


def test_only_the_latest_traces_are_kept() -> None:
    supernet = make("mobilenet")
    costs, generator = CostModel(supernet), random.Random(6)
    paths = {supernet.space.sample(generator) for _ in range(100)}
    assert len(paths) > 32
    for path in paths:
        assert costs.trace(path) is costs.trace(path)
        assert costs.trace(path).path == path
    assert len(costs._traces) == 32
