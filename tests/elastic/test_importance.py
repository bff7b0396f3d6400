"""Which units a conversion keeps longest, on a net that was trained on real digits."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tipsc.convert import ConvertedSupernet, convert, norms, taylor

Digits = tuple[Tensor, Tensor]
SHARE = 0.5


@pytest.fixture(scope="module")
def digits() -> Digits:
    from sklearn.datasets import load_digits

    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32)[:, None] / 8 - 1, torch.tensor(
        data.target
    )


@pytest.fixture(scope="module")
def trained(digits: Digits) -> nn.Module:
    images, labels = digits
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10),
        )  # fmt: skip
        optimizer = torch.optim.AdamW(model.parameters(), 2e-3, weight_decay=0.05)
        for start in range(0, 6 * 1280, 64):
            x, y = images[start % 1280 :][:64], labels[start % 1280 :][:64]
            F.cross_entropy(model(x), y).backward()
            optimizer.step(), optimizer.zero_grad()
    return model.eval()


def by_taylor(digits: Digits) -> Callable[[nn.Module], Mapping[str, Tensor]]:
    images, labels = digits
    batches = [(images[i : i + 64], labels[i : i + 64]) for i in range(0, 256, 64)]
    return taylor(batches, F.cross_entropy)


def at_random(seed: int) -> Callable[[nn.Module], Mapping[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return lambda model: {
        name: torch.rand(value.shape, generator=generator)
        for name, value in model.named_parameters()
    }


def judged(supernet: ConvertedSupernet, digits: Digits) -> tuple[float, float]:
    """Loss and accuracy of the smallest path, without any training, on digits never seen."""
    images, labels = (values[1280:] for values in digits)
    with torch.no_grad():
        outputs = supernet(images, supernet.space.smallest)
    right = (outputs.argmax(-1) == labels).float().mean().item()
    return F.cross_entropy(outputs, labels).item(), right


def test_units_are_permuted_exactly(trained: nn.Module, digits: Digits) -> None:
    supernet = convert(trained, digits[0][:2], widths=[SHARE], importance=by_taylor(digits))
    with torch.no_grad():
        expected = trained(digits[0])
        got = supernet(digits[0], supernet.space.largest)
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()
    first = trained.get_parameter("0.weight")
    permuted = supernet.get_parameter("0.weight")
    order = [int((first == row).flatten(1).all(1).nonzero()) for row in permuted]
    assert sorted(order) == list(range(32)) != order


def test_what_taylor_keeps_is_worth_more_than_what_chance_keeps(
    trained: nn.Module, digits: Digits
) -> None:
    def smallest(importance: Callable[[nn.Module], Mapping[str, Tensor]]) -> tuple[float, float]:
        return judged(
            convert(trained, digits[0][:2], widths=[SHARE], importance=importance), digits
        )

    loss, accuracy = smallest(by_taylor(digits))
    chance = [smallest(at_random(seed)) for seed in range(3)]
    assert loss < min(other for other, _ in chance)
    assert accuracy > max(other for _, other in chance)


def test_a_frozen_layer_has_importance_and_stays_frozen(trained: nn.Module, digits: Digits) -> None:
    free = by_taylor(digits)(trained)
    trained.requires_grad_(False)
    try:
        frozen = by_taylor(digits)(trained)
        assert not any(p.requires_grad for p in trained.parameters())
    finally:
        trained.requires_grad_()
    assert all(torch.equal(frozen[name], value) for name, value in free.items())


def test_norms_are_shares_of_their_tensors(trained: nn.Module) -> None:
    found = norms(trained)
    assert set(found) == {name for name, _ in trained.named_parameters()}
    assert all(abs(value.sum().item() - 1) < 1e-5 for value in found.values())
