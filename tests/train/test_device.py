"""Steps on another device and in another precision: none of them asks the device for a value."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from digits import config, load, make
from torch import Tensor, nn

from tipsc.batch import Batch
from tipsc.elastic import Supernet, anchor_norm, family, freeze_scales
from tipsc.errors import ConfigError, TrainingError
from tipsc.tasks import Classification
from tipsc.train import History, TrainConfig, train
from tipsc.train.ahead import fetched
from tipsc.train.device import device_of
from tipsc.train.later import Later
from tipsc.train.passes import train_paths
from tipsc.train.precision import PRECISIONS, Precision

META = torch.device("meta")
TASK = Classification(tuple("0123456789"))


def anchored(supernet: Supernet) -> None:
    for layer in supernet.modules():
        if hasattr(layer, "anchored"):
            mean = layer.get_buffer("running_mean")
            anchor_norm(layer, mean + 0.1, torch.ones_like(mean), 20.0)


def untouched(supernet: Supernet) -> None:
    pass


def trained_once(
    supernet: Supernet, batch: Batch, precision: Precision, accumulate: int = 1
) -> list[Tensor]:
    """The gradients of two paths of which the largest teaches the other."""
    supernet.train()
    paths = [supernet.space.largest, supernet.space.smallest]
    train_paths(
        supernet, batch, paths, TASK, distill=True, label_smoothing=0.1, precision=precision,
        accumulate=accumulate,
    )  # fmt: skip
    return [p.grad for p in supernet.parameters() if p.grad is not None]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("change", [untouched, freeze_scales, anchored])
def test_a_step_asks_the_device_for_no_value(
    change: Callable[[nn.Module], None], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where values would be, there are none: whoever asks for one fails."""
    monkeypatch.setattr(  # torch knows no shapes of it
        torch, "batch_norm_update_stats", lambda x, *_: (x.new_empty(x.shape[1]),) * 2
    )
    supernet = make()
    change(supernet)
    supernet.to(META)
    batch = load().train.take(range(8)).on(META)
    found = Precision(precision, torch.device("cpu"))
    if precision == "fp16":  # its factor has a value, on the device of the scaler
        found._scaler = None
    gradients = trained_once(supernet, batch, found)
    assert gradients and all(gradient.is_meta for gradient in gradients)


@pytest.mark.parametrize("change", [untouched, freeze_scales, anchored])
@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_gradients_in_16_bits_are_those_of_32(
    change: Callable[[nn.Module], None], name: str
) -> None:
    batch, found = load().train.take(range(64)), {}
    for precision in ("fp32", name):
        supernet = make()
        change(supernet)
        torch.manual_seed(0)  # of the dropout
        gradients = trained_once(supernet, batch, Precision(precision, torch.device("cpu")))
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        assert flat.dtype == torch.float32
        found[precision] = flat / flat.norm()  # those of fp16 are scaled
    # Products have 8 or 11 bits; over many of them that is some per cent of the whole gradient.
    assert 0.9 < float(found["fp32"] @ found[name]) < 0.99999999


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_training_in_16_bits_learns_and_resumes_to_the_same_bits(
    precision: str, tmp_path: Path
) -> None:
    settings = config(precision=precision, epochs=3)

    class Stop(Exception):
        pass

    def stop(done: int, total: int, fields: Mapping[str, float]) -> None:
        if done == 20:
            raise Stop

    whole, stopped = make(), make()
    history = train(whole, load(), settings, folder=tmp_path / "whole")
    with pytest.raises(Stop):
        train(stopped, load(), settings, folder=tmp_path / "stopped", progress=stop)
    stopped = make()
    train(stopped, load(), settings, folder=tmp_path / "stopped")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, stopped.state_dict()[name]), name
    assert history.losses[-1] < 0.75 * history.losses[0]  # 0.67 of it


def test_a_checkpoint_of_another_precision_is_refused(tmp_path: Path) -> None:
    train(make(), load(), config(epochs=1), folder=tmp_path)
    with pytest.raises(TrainingError, match=r"config precision differs.*expected bf16, got fp32"):
        train(make(), load(), config(epochs=1, precision="bf16"), folder=tmp_path)


def test_a_batch_in_parts_gives_the_gradients_of_the_whole() -> None:
    """Norms over a batch would see the parts: this net has none."""
    batch, found = load().train.take(range(30)), []
    for parts in (1, 4):
        torch.manual_seed(0)
        supernet = family("transformer", classes=10, input_shape=[1, 8, 8], patch=4)
        found.append(trained_once(supernet, batch, Precision("fp32", META), parts))
    for whole, parted in zip(*found, strict=True):
        torch.testing.assert_close(whole, parted, rtol=1e-4, atol=1e-6)  # sums in another order


def test_a_gradient_is_clipped_to_the_norm(tmp_path: Path) -> None:
    """One step of plain descent goes as far as the learning rate times the norm."""
    parameter = nn.Parameter(torch.zeros(4))
    parameter.grad = torch.tensor([3.0, 0.0, 4.0, 0.0])
    optimizer = torch.optim.SGD([parameter], 1.0)
    Precision("fp32", torch.device("cpu")).step(optimizer, [parameter], 0.5)
    torch.testing.assert_close(parameter.detach(), torch.tensor([-0.3, 0.0, -0.4, 0.0]))


def test_clipping_is_part_of_a_training(tmp_path: Path) -> None:
    nets = [make(), make()]
    for place, (net, limit) in enumerate(zip(nets, (None, 0.01), strict=True)):
        train(net, load(), config(epochs=1, clip_norm=limit), folder=tmp_path / str(place))
    one, other = (net.state_dict()["classifier.weight"] for net in nets)
    assert not torch.equal(one, other)


def test_numbers_are_read_later_and_in_order() -> None:
    later, read = Later(2), list[float]()
    for number in range(5):
        later.read([torch.tensor(float(number))], read.extend)
        assert len(read) == max(0, number - 1)
    later.read_all()
    assert read == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_losses_that_are_read_later_make_the_same_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, with checkpoints in between; a sampler that learns is told at once."""
    found: list[tuple[dict[str, Tensor], History]] = []
    for steps in (0, 8):
        monkeypatch.setattr("tipsc.train.step.Later", lambda _, steps=steps: Later(steps))
        net, folder = make(), tmp_path / str(steps)
        history = train(net, load(), config(epochs=1, checkpoint_seconds=0.05), folder=folder)
        found.append((net.state_dict(), history))
    (one, first), (other, second) = found
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert first.losses == second.losses
    assert [record.step for record in second] == list(range(18))


def test_a_loss_that_is_not_finite_ends_it_before_the_next_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tipsc.train.step.Later", lambda _: Later(8))
    net = make()
    with torch.no_grad():
        net.classifier.weight.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"the loss is nan.*"):
        train(net, load(), config(epochs=1, checkpoint_seconds=0.0), folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_items_are_fetched_ahead_in_order_by_another_thread() -> None:
    taken, threads = [], set()

    def items() -> object:
        for number in range(6):
            taken.append(number)
            threads.add(threading.current_thread())
            yield number

    coming = fetched(items(), 2)  # type: ignore[type-var]
    assert [next(coming) for _ in range(3)] == [0, 1, 2]
    assert list(coming) == [3, 4, 5] and taken == list(range(6))
    assert threading.current_thread() not in threads and len(threads) == 1


def test_what_fails_in_the_other_thread_fails_here() -> None:
    def items() -> object:
        yield 1
        raise OSError("no such file")

    coming = fetched(items(), 2)  # type: ignore[type-var]
    assert next(coming) == 1
    with pytest.raises(OSError, match="no such file"):
        next(coming)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one here")
def test_a_device_that_is_not_there_is_said(tmp_path: Path) -> None:
    assert device_of("auto") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"train.device: torch finds no cuda device here.*auto"):
        train(make(), load(), replace(config(), device="cuda"), folder=tmp_path)


def test_words_that_are_no_device_or_precision_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"train.device: 'gpu' is not known"):
        TrainConfig(device="gpu")
    with pytest.raises(ConfigError, match=r"train.precision: 'fp8' is not known.*bf16"):
        TrainConfig(precision="fp8")
