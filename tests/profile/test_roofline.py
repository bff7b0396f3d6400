"""Estimates from published figures: the sum that they state, for any supernet."""

from __future__ import annotations

import random
import sys
from pathlib import Path as FilePath

import pytest

from tipsc.elastic import CostModel, Supernet, family
from tipsc.paths import Path
from tipsc.profile.roofline import estimated_ms, kernel_ms, traffic_ms
from tipsc.project.target import Roofline, load_target

sys.path.insert(0, str(FilePath(__file__).parent.parent / "elastic"))
from supernets import ALL, make

SOURCES = {"tflops": "made up", "memory_gb_s": "made up", "launch_us": "made up"}


def figures(tflops: float, memory_gb_s: float, launch_us: float) -> Roofline:
    return Roofline.model_validate(
        {
            "device": "a made-up one",
            "tflops": {"fp32": tflops, "fp16": 2 * tflops, "int8": 4 * tflops},
            "memory_gb_s": memory_gb_s,
            "launch_us": launch_us,
            "sources": SOURCES,
        }
    )


def estimate(supernet: Supernet, path: Path, roofline: Roofline, precision: str = "fp32") -> float:
    return estimated_ms(supernet, roofline, precision).of(path)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    stages = [{"channels": 8, "depths": [1, 2], "expansions": [1, 2, 4]}]
    return family("mobilenet", classes=4, input_shape=[1, 8, 8], stem=8, stages=stages, head=8)


@pytest.mark.parametrize("name", ALL)
def test_all_supernets_have_an_estimate(name: str) -> None:
    """Beyond what is compared while the sums are found: no less than the work of all MACs."""
    supernet, roofline = make(name), load_target("jetson").roofline
    assert roofline is not None
    found, model = estimated_ms(supernet, roofline), CostModel(supernet)
    generator = random.Random(1)
    for _ in range(5):
        path = supernet.space.sample(generator)
        cost = model.of(path)
        launched = len(cost.steps) * roofline.launch_us / 1e3
        assert found.of(path) >= 2 * cost.macs / (roofline.tflops.fp32 * 1e9) + launched


def test_with_slow_arithmetic_macs_are_all(supernet: Supernet) -> None:
    roofline, space = figures(1e-9, 1e9, 0.0), supernet.space
    for path in (space.smallest, space.largest):
        macs = CostModel(supernet).of(path).macs
        assert estimate(supernet, path, roofline) == pytest.approx(2 * macs, rel=1e-6)


def test_with_costly_launches_only_kernels_count(supernet: Supernet) -> None:
    """Norms, activations and additions are in the kernels of what they read; the pooling is one."""
    roofline, space = figures(1e9, 1e9, 1e3), supernet.space
    for path in (space.smallest, space.largest):
        kernels = len(CostModel(supernet).of(path).steps) + 1
        assert estimate(supernet, path, roofline) == pytest.approx(kernels, rel=1e-6)


def test_with_slow_memory_values_are_all_and_take_less_in_half_the_bytes(
    supernet: Supernet,
) -> None:
    roofline, path = figures(1e9, 1e-3, 0.0), supernet.space.smallest
    whole = estimate(supernet, path, roofline)
    assert estimate(supernet, path, roofline, "fp16") == pytest.approx(whole / 2)
    assert estimate(supernet, path, roofline, "int8") == pytest.approx(whole / 4)


def test_a_block_more_costs_what_it_reads_and_writes(supernet: Supernet) -> None:
    """8 channels, 32 inside, on 4 x 4: three convolutions, and the reading of what is added."""
    roofline, largest = figures(1e9, 1e-3, 0.0), supernet.space.largest
    (depth,) = (name for name in largest.options if name.endswith("depth"))
    without = supernet.space.path({**largest.options, depth: 1})
    outside, inside = 8 * 16, 32 * 16
    expand, project = outside + inside + 8 * 32, inside + outside + 8 * 32
    depthwise = 2 * inside + 32 * 9
    expected = traffic_ms(roofline, "fp32", expand + depthwise + project + outside)
    found = estimate(supernet, largest, roofline) - estimate(supernet, without, roofline)
    assert found == pytest.approx(expected, rel=1e-6)


def test_a_kernel_takes_the_longer_of_both() -> None:
    roofline = figures(1.0, 1.0, 2.0)
    assert kernel_ms(roofline, "fp32", macs=5e8, values=0) == pytest.approx(1.0 + 0.002)
    assert kernel_ms(roofline, "fp32", macs=5e8, values=1e6) == pytest.approx(4.0 + 0.002)
    assert kernel_ms(roofline, "fp16", macs=5e8, values=1e5) == pytest.approx(0.5 + 0.002)
