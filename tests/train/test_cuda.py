"""Training on a GPU: what it learns, that it waits for nothing, and that the rest finds its way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tipsc.convert import convert
from tipsc.elastic import Statistics, Supernet, extract, family
from tipsc.tasks import Classification
from tipsc.train import (
    Data,
    History,
    Split,
    TrainConfig,
    anchor,
    calibrate,
    evaluate,
    quality_of,
    train,
)
from tipsc.train.device import on_device
from tipsc.train.private import train_private

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
SETTINGS: dict[str, Any] = {
    "batch_size": 32, "epochs": 4, "frozen_epochs": 1, "learning_rate": 5e-3, "scale_images": 64,
    "device": "cuda", "checkpoint_seconds": 1e9,
}  # fmt: skip


class Plain(nn.Module):
    """To be converted: convolutions, norms and a skip."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 16, 3, padding=1), nn.BatchNorm2d(16),
        )  # fmt: skip
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(torch.relu(x + self.body(x)).mean((2, 3)))


def data() -> Data:
    """The class is which quarter of the image is bright."""
    chance = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        labels = torch.randint(4, (count,), generator=chance)
        images = torch.randn(count, 3, 16, 16, generator=chance)
        for i, label in enumerate(labels.tolist()):
            row, column = divmod(label, 2)
            images[i, label % 3, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 2.0
        return Split(images, labels)

    return Data(split(256), split(96), split(96), Classification(tuple("abcd")))


def mobile() -> Supernet:
    torch.manual_seed(0)
    stages = [
        {"channels": 8, "depths": [1, 2], "expansions": [1, 2, 4]},
        {"channels": 16, "depths": [1, 2], "expansions": [2, 4], "stride": 2},
    ]
    return family(
        "mobilenet", classes=4, input_shape=[3, 16, 16], stem=8, stem_stride=1, stages=stages,
        head=32, dropout=0.1,
    )  # fmt: skip


def transformer() -> Supernet:
    torch.manual_seed(0)
    return family("transformer", classes=4, input_shape=[3, 16, 16], patch=4)


def converted() -> Supernet:
    return convert(Plain().eval(), torch.zeros(1, 3, 16, 16))


NETS = [mobile, transformer, converted]


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_all_nets_learn_in_all_precisions_and_come_back(
    make: Any, precision: str, tmp_path: Path
) -> None:
    net = make()
    history = train(net, data(), TrainConfig(**SETTINGS, precision=precision), folder=tmp_path)
    assert len(history) == 32 and all(loss == loss for loss in history.losses)
    assert sum(history.losses[-4:]) < sum(history.losses[:4])
    assert all(value.device == CPU for value in net.state_dict().values())


@pytest.mark.parametrize("make", NETS)
def test_the_first_steps_are_those_of_the_cpu(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    found = []
    for device in ("cpu", "cuda"):
        net = make()
        for layer in net.modules():  # what drops out is another device's chance
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        settings = TrainConfig(**{**SETTINGS, "device": device, "frozen_epochs": 4})
        found.append(train(net, data(), settings, folder=tmp_path / device).losses[:4])
    assert found[1] == pytest.approx(found[0], rel=2e-2)  # each step doubles what rounding left


class Strict:
    """Forbids to wait for the GPU in the steps from the fifth on, but for the last."""

    def __call__(self, done: int, total: int, fields: Mapping[str, float]) -> None:
        inside = 5 <= done < total - 1
        torch.cuda.set_sync_debug_mode("error" if inside else "default")


@pytest.mark.parametrize("make", NETS)
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("frozen", [0, 4])
def test_no_step_waits_for_the_gpu(make: Any, precision: str, frozen: int, tmp_path: Path) -> None:
    net, original = make(), Plain().eval()
    settings = TrainConfig(
        **{**SETTINGS, "frozen_epochs": frozen}, precision=precision, clip_norm=1.0,
        paths_per_step=2, label_smoothing=0.1, accumulate=2,
    )  # fmt: skip
    try:
        train(net, data(), settings, folder=tmp_path, original=original, progress=Strict())
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("frozen", [0, 4])
def test_no_step_of_an_anchored_net_waits_for_the_gpu(frozen: int, tmp_path: Path) -> None:
    net, examples = converted(), data()
    with on_device(GPU, net):
        anchor(net, examples.calibration(64))
    try:
        settings = TrainConfig(**{**SETTINGS, "frozen_epochs": frozen})
        train(net, examples, settings, folder=tmp_path, progress=Strict())
    finally:
        torch.cuda.set_sync_debug_mode("default")


class Stopped(Exception):
    pass


def stop(done: int, total: int, fields: Mapping[str, float]) -> None:
    if done == 12:
        raise Stopped


@pytest.mark.parametrize(("first", "then"), [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda")])
def test_a_checkpoint_goes_from_one_device_to_the_other(
    first: str, then: str, tmp_path: Path
) -> None:
    settings = TrainConfig(**{**SETTINGS, "device": first, "checkpoint_seconds": 0.0})
    with pytest.raises(Stopped):
        train(mobile(), data(), settings, folder=tmp_path, progress=stop)
    before = History.read(tmp_path / "history.jsonl").losses
    history = train(mobile(), data(), replace(settings, device=then), folder=tmp_path)
    assert len(before) == 12 and history.losses[:12] == before and len(history) == 32
    whole = train(mobile(), data(), settings, folder=tmp_path / "whole")
    assert sum(history.losses[-8:]) == pytest.approx(sum(whole.losses[-8:]), rel=0.3)


@pytest.mark.parametrize("make", NETS)
def test_calibration_and_quality_are_those_of_the_cpu(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    net, examples = make(), data()
    train(net, examples, TrainConfig(**SETTINGS), folder=tmp_path)
    path = net.space.smallest
    own = [calibrate(net, path, examples.calibration(128), own_scale=True)]
    shared = [calibrate(net, path, examples.calibration(128))]
    qualities = [evaluate(net, [path], examples)[path.id].value]
    with on_device(GPU, net):
        own.append(calibrate(net, path, examples.calibration(128), own_scale=True))
        shared.append(calibrate(net, path, examples.calibration(128)))
        qualities.append(evaluate(net, [path], examples)[path.id].value)
    for one, other in (own, shared):
        for name, value in one.mean.items():
            assert other.mean[name].device == CPU
            torch.testing.assert_close(other.mean[name], value, rtol=1e-2, atol=2e-3)
        for name, value in one.variance.items():
            torch.testing.assert_close(other.variance[name], value, rtol=1e-2, atol=1e-4)
    assert abs(qualities[0] - qualities[1]) < 0.04  # three of 96


def test_what_is_trained_for_one_path_comes_back(tmp_path: Path) -> None:
    net, examples = mobile(), data()
    train(net, examples, TrainConfig(**SETTINGS), folder=tmp_path)
    path = net.space.smallest
    with on_device(GPU, net):
        shared = calibrate(net, path, examples.calibration(128))
        settings = TrainConfig(**SETTINGS, precision="bf16")
        names = ["classifier.weight", "classifier.bias"]
        private: Statistics = train_private(net, path, shared, names, examples, settings, 8)
        module = extract(net, path, private)
        assert quality_of(module, examples.validation, examples.judged_by).value > 0.4
    assert set(private.own) == set(names)
    assert all(value.device == CPU for value in (*private.own.values(), *private.mean.values()))
