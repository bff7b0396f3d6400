"""A converted model in the hands of its user: own loop, checkpoints, autocast, DDP, compile."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from architectures import convolutional as conv
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from tipsc.convert import ConvertedSupernet, convert
from tipsc.elastic import extract


@pytest.fixture(scope="module")
def supernet() -> ConvertedSupernet:
    torch.manual_seed(0)
    return convert(conv.mobilenet_v2().eval(), torch.randn(2, 3, 16, 16))


def test_three_lines_of_ones_own_loop_train_every_path() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    labels = torch.tensor(digits.target)
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(32 * 16, 10),
    )  # fmt: skip
    supernet = convert(model, images[:2]).train()
    optimizer, generator = torch.optim.Adam(supernet.parameters(), 2e-3), random.Random(0)
    for start in range(0, 4 * 1280, 64):
        x, y = images[start % 1280 :][:64], labels[start % 1280 :][:64]
        path = supernet.space.sample(generator)
        F.cross_entropy(supernet(x, path), y).backward()
        optimizer.step(), optimizer.zero_grad()
    with torch.no_grad():
        for path in (supernet.space.smallest, supernet.space.largest):
            right = (
                (supernet.eval()(images[1400:], path).argmax(-1) == labels[1400:]).float().mean()
            )
            assert right > 0.6  # untrained: 0.1


def test_weights_go_through_a_file_that_holds_tensors_only(
    supernet: ConvertedSupernet, tmp_path: Path
) -> None:
    torch.save(supernet.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(1)
    other = convert(conv.mobilenet_v2().eval(), torch.randn(2, 3, 16, 16))
    x, path = torch.randn(2, 3, 16, 16), supernet.space.smallest
    with torch.no_grad():
        assert not torch.equal(other(x, path), supernet(x, path))
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        assert torch.equal(other.eval()(x, path), supernet.eval()(x, path))


def test_autocast(supernet: ConvertedSupernet) -> None:
    x = torch.randn(2, 3, 16, 16)
    path = supernet.space.smallest
    with torch.no_grad():
        expected = supernet(x, path)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            got = supernet(x, path)
    assert got.dtype == torch.bfloat16
    assert (got - expected).abs().max() < 0.05 * expected.abs().max()  # 8 bits of mantissa


def test_distributed_data_parallel(supernet: ConvertedSupernet, tmp_path: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(supernet, find_unused_parameters=True)
        wrapped(torch.randn(4, 3, 16, 16), supernet.space.smallest).sum().backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in supernet.parameters())
    finally:
        dist.destroy_process_group()
        supernet.zero_grad()


def test_an_extracted_path_can_be_compiled(supernet: ConvertedSupernet) -> None:
    """Captured by torch.compile as one graph; the code generator behind it is torch's affair."""
    plain = extract(supernet.eval(), supernet.space.smallest).eval()
    compiled = torch.compile(plain, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.allclose(compiled(x), plain(x), atol=1e-6)
