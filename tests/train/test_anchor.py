"""A trained model keeps its own statistics on data that are not like its training data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from digits import config, load, make
from torch import Tensor

from tipsc.elastic import Supernet, extract, freeze_scales
from tipsc.errors import DataError, TrainingError
from tipsc.train import anchor, calibrate, quality_of, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    supernet = make()
    folder: Path = tmp_path_factory.mktemp("anchor")
    train(supernet, load(), config(frozen_epochs=0, epochs=6), folder=folder)
    supernet.train()
    with torch.no_grad():  # running statistics of the largest path, as a plain model has them
        for inputs in load().train.inputs.split(60):
            supernet(inputs, supernet.space.largest)
    return supernet.state_dict()


def model(trained: dict[str, Tensor]) -> Supernet:
    supernet = make()
    supernet.load_state_dict(trained)
    return supernet.eval()


def ones() -> Tensor:
    """Only the digit 1: far from the data that the model was trained on."""
    split = load().train
    return split.inputs[split.targets == 1]


def right(supernet: Supernet, batches: list[Tensor]) -> float:
    """Of the largest path, calibrated."""
    path = supernet.space.largest
    statistics = calibrate(supernet, path, batches, own_scale=True)
    return quality_of(extract(supernet, path, statistics), load().test, load().task).value


def test_odd_calibration_data_ruin_a_trained_model_unless_it_is_anchored(
    trained: dict[str, Tensor],
) -> None:
    supernet, batches = model(trained), [ones()]
    module = extract(supernet, supernet.space.largest)
    before = quality_of(module, load().test, load().task).value
    assert before > 0.8
    assert right(supernet, batches) < before - 0.1
    anchor(supernet, batches)
    assert right(supernet, batches) > before - 0.02


def test_on_the_same_batch_the_largest_path_is_the_original(trained: dict[str, Tensor]) -> None:
    supernet, inputs = model(trained), load().train.inputs[:256] * 1.5 + 0.5
    original = extract(supernet, supernet.space.largest)
    anchor(supernet, [inputs])
    path = supernet.space.largest
    found = extract(supernet, path, calibrate(supernet, path, [inputs], own_scale=True))
    with torch.inference_mode():  # not the same bits: n - 1 in the variance that is kept
        torch.testing.assert_close(found(inputs), original(inputs), atol=0.02, rtol=0.02)


@pytest.mark.parametrize("frozen", [False, True])
def test_an_anchored_norm_in_training_is_what_its_definition_says(
    trained: dict[str, Tensor], frozen: bool
) -> None:
    supernet = model(trained)
    anchor(supernet, [ones()])
    if frozen:
        freeze_scales(supernet)
    norm = supernet.get_submodule("head_norm").train()
    assert norm.mean_shift.abs().max() > 0.01
    shared = norm.running_var.clone()
    x = torch.randn(32, len(norm.weight), 2, 2) * 2 + 1
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    mean = mean + norm.mean_shift
    corrected = (norm.variance_factor * variance + norm.variance_offset).clamp_min(0) + norm.eps
    ratio = (corrected / (shared + norm.eps)).log().mean().exp()
    scale = (shared + norm.eps) * ratio if frozen else corrected
    unbiased = norm.variance_factor * variance * (128 / 127) + norm.variance_offset
    kept = shared if frozen else 0.9 * shared + 0.1 * unbiased.clamp_min(0)

    def channels(values: Tensor) -> Tensor:
        return values.view(1, -1, 1, 1)

    expected = channels(norm.weight) * (x - channels(mean)) / channels(scale).sqrt()
    running = 0.9 * norm.running_mean + 0.1 * mean
    output = norm(x, supernet.space.largest)
    torch.testing.assert_close(output, expected + channels(norm.bias), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(norm.running_mean, running)
    torch.testing.assert_close(norm.running_var, kept)
    output.square().sum().backward()
    assert norm.weight.grad is not None
    assert norm.weight.grad.isfinite().all()


def test_the_anchor_is_saved_with_the_weights(trained: dict[str, Tensor]) -> None:
    supernet = model(trained)
    anchor(supernet, [ones()])
    other = make()
    other.load_state_dict(supernet.state_dict())
    path, batches = supernet.space.smallest, [load().train.inputs[:64]]
    ours, theirs = calibrate(supernet, path, batches), calibrate(other, path, batches)
    for name, mean in ours.mean.items():
        torch.testing.assert_close(theirs.mean[name], mean, rtol=0, atol=0)


def test_a_channel_that_is_silent_on_the_data_keeps_its_scale(trained: dict[str, Tensor]) -> None:
    """By a factor its least variation on a path would be multiplied by thousands."""
    supernet = model(trained)
    with torch.no_grad():
        supernet.get_submodule("stem").weight[0] = 0
    norm, path = supernet.get_submodule("stem_norm"), supernet.space.largest
    norm.running_var[0], norm.running_mean[0] = 0.5, 0.3
    original, inputs = extract(supernet, path), ones()
    anchor(supernet, [inputs])
    assert norm.variance_factor[0] == 1
    assert norm.variance_factor[1:].max() > 1
    statistics = calibrate(supernet, path, [inputs], own_scale=True)
    assert statistics.variance["stem_norm"][0] == pytest.approx(0.5)
    assert statistics.mean["stem_norm"][0] == pytest.approx(0.3)
    with torch.inference_mode():
        found = extract(supernet, path, statistics)(inputs)
        torch.testing.assert_close(found, original(inputs), atol=0.02, rtol=0.02)


def test_a_second_anchor_is_refused(trained: dict[str, Tensor]) -> None:
    supernet = model(trained)
    anchor(supernet, [ones()])
    with pytest.raises(TrainingError, match="anchored already"):
        anchor(supernet, [ones()])


def test_no_batches_is_said(trained: dict[str, Tensor]) -> None:
    with pytest.raises(DataError, match="at least one batch"):
        anchor(model(trained), [])
