"""What a step runs in each phase, and what it counts; every sampler resumes to the same bits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path as FilePath

import pytest
import torch
from digits import config, load, make
from torch import nn
from torch.nn import functional

from tipsc.elastic import CostModel, Supernet
from tipsc.errors import ConfigError, TrainingError
from tipsc.paths import Path
from tipsc.tasks import Classification
from tipsc.train import (
    SAMPLERS,
    History,
    Learning,
    Phase,
    TrainConfig,
    Utility,
    adaptive,
    sampler,
    train,
)

STEPS = 18  # of one epoch
# Short rounds, so that selections by the Gaussian process and foldings fall into them.
OPTIONS: Mapping[str, dict[str, object]] = {
    "joslim": {"interval": 2, "prior": 6},
    "folded": {"eta": 1.0, "every": 5, "interactions": True},
}


def one_epoch(**changes: object) -> TrainConfig:
    return config(**{"epochs": 1, "frozen_epochs": 0, "checkpoint_seconds": 60.0, **changes})


def watched(supernet: Supernet) -> list[tuple[Path, bool]]:
    """Fills with what the supernet, and no copy of it, runs: the path, and whether it learns."""
    ran: list[tuple[Path, bool]] = []

    def watch(module: nn.Module, arguments: tuple[torch.Tensor, Path]) -> None:
        if module is supernet and len(arguments[0]) == 64:
            ran.append((arguments[1], torch.is_grad_enabled()))

    supernet.register_forward_pre_hook(watch)
    return ran


def run(folder: FilePath, settings: TrainConfig) -> tuple[list[tuple[Path, bool]], History]:
    supernet = make()
    ran = watched(supernet)
    return ran, train(supernet, load(), settings, folder=folder)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("name", ["uniform", "budget-uniform", "folded", "tips", "degree"])
def test_without_a_teacher_a_step_runs_its_paths_and_no_more(
    tmp_path: FilePath, name: str, count: int
) -> None:
    settings = one_epoch(sampler=name, paths_per_step=count, distill=False)
    ran, history = run(tmp_path, settings)
    assert len(ran) == STEPS * count
    assert all(learns for _, learns in ran)
    largest = make().space.largest
    assert sum(path == largest for path, _ in ran) < STEPS * count / 2
    assert all(record.trial_macs == record.trial_seconds == 0 for record in history)


def test_the_ends_can_always_run_without_distillation(tmp_path: FilePath) -> None:
    settings = one_epoch(
        sampler="uniform", paths_per_step=1, distill=False, with_largest=True, with_smallest=True
    )
    ran, history = run(tmp_path, settings)
    space = make().space
    steps = [path for path, _ in ran]
    assert steps.count(space.largest) == steps.count(space.smallest) == STEPS
    assert steps[:2] == [space.largest, space.smallest]
    assert all(math.isfinite(r.largest) and math.isfinite(r.smallest) for r in history)
    # Both learn the labels: before anything is learned the two losses are alike, near log 10.
    assert history.steps[0].smallest == pytest.approx(math.log(10), abs=0.5)


def test_phases_follow_each_other(tmp_path: FilePath) -> None:
    settings = one_epoch(
        sampler="budget-uniform",
        paths_per_step=1,
        distill=False,
        phases=(
            Phase(share=0.5),
            Phase(share=0.5, sampler="uniform", paths_per_step=2, distill=True, with_smallest=True),
        ),
    )
    ran, history = run(tmp_path, settings)
    space = make().space
    paths = [path for path, _ in ran]
    assert len(paths) > 9 + 9 * 2
    late = paths[9:]
    assert late.count(space.largest) == late.count(space.smallest) == 9
    assert all(math.isfinite(record.largest) for record in history.steps[9:])
    assert sum(math.isfinite(record.largest) for record in history.steps[:9]) < 9


def test_history_counts_the_macs_of_what_ran_and_of_what_was_tried(tmp_path: FilePath) -> None:
    ran, history = run(tmp_path, one_epoch(sampler="attentive", paths_per_step=2, distill=False))
    model = CostModel(make())
    for learns, counted in (
        (True, [record.macs for record in history]),
        (False, [record.trial_macs for record in history]),
    ):
        expected = sum(model.of(path).macs for path, learned in ran if learned == learns)
        assert math.fsum(counted) == expected > 0
    assert history.macs == math.fsum(3 * r.macs + r.trial_macs for r in history)
    tried = [record for record in history if record.trial_macs]
    assert all(0 < record.trial_seconds <= record.overhead_seconds for record in tried)


def test_an_adaptive_sampler_sees_every_loss_against_the_labels(tmp_path: FilePath) -> None:
    class Watching:
        def __init__(self) -> None:
            self.seen: list[tuple[int, list[tuple[Path, float]]]] = []

        def draw_with(self, generator, count, probe):  # type: ignore[no-untyped-def]
            self.tried = probe(space.smallest)
            return [space.smallest] * count

        def observe(self, step, losses):  # type: ignore[no-untyped-def]
            self.seen.append((step, list(losses)))

        def state(self) -> dict[str, torch.Tensor]:
            return {}

        def load_state(self, state: Mapping[str, torch.Tensor]) -> None: ...

    supernet, watching = make(), Watching()
    space = supernet.space
    settings = one_epoch(
        paths_per_step=1,
        label_smoothing=0.2,
        phases=(Phase(share=0.5), Phase(share=0.5, sampler="uniform", distill=False)),
    )
    history = train(supernet, load(), settings, watching, folder=tmp_path)
    assert [step for step, _ in watching.seen] == list(range(STEPS))  # also where uniform drew
    for (_, losses), record in zip(watching.seen[:9], history, strict=False):
        assert [path for path, _ in losses] == [space.largest, space.smallest]
        assert losses[1][1] != record.smallest  # which is against the teacher
    # The last trial saw the same weights and batch; only dropout differs.
    assert watching.tried == pytest.approx(watching.seen[8][1][1][1], rel=0.15)


def test_a_trial_drops_nothing_out_and_leaves_no_gradient() -> None:
    from tipsc.train.passes import Trial

    supernet = make().train()
    inputs, targets = batch = load().train.take(range(64))
    trial = Trial(supernet, batch, Classification())
    first, second = trial(supernet.space.largest), trial(supernet.space.largest)
    assert first == second
    assert supernet.dropout.training
    assert all(parameter.grad is None for parameter in supernet.parameters())
    expected = make().train()
    expected.dropout.eval()
    with torch.no_grad():
        loss = functional.cross_entropy(expected(inputs, expected.space.largest), targets)
    assert first == pytest.approx(float(loss), rel=1e-5)


def same_bits(first: Supernet, second: Supernet) -> bool:
    theirs = second.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_every_sampler_trains_and_resumes_to_the_same_bits(tmp_path: FilePath, name: str) -> None:
    """Interrupted twice, once between checkpoints."""

    def interrupt_at(stop: int):  # type: ignore[no-untyped-def]
        def progress(done: int, total: int, fields: Mapping[str, float]) -> None:
            if done == stop:
                raise KeyboardInterrupt

        return progress

    settings = config(
        epochs=2,
        frozen_epochs=0,
        sampler=name,
        sampler_options=dict(OPTIONS.get(name, {})),
        paths_per_step=2,
        distill=False,
        phases=(Phase(share=0.6), Phase(share=0.4, distill=True, paths_per_step=1)),
    )
    whole = make()
    expected = train(whole, load(), settings, folder=tmp_path / "whole")
    assert sum(expected.losses[-4:]) < sum(expected.losses[:4])
    for stop in (7, 23):
        with pytest.raises(KeyboardInterrupt):
            train(make(), load(), settings, folder=tmp_path / "cut", progress=interrupt_at(stop))
    resumed = make()
    history = train(resumed, load(), settings, folder=tmp_path / "cut")
    assert history.losses == expected.losses
    assert [r.macs for r in history] == [r.macs for r in expected]
    assert same_bits(resumed, whole)


def test_a_utility_is_learned_beside_any_sampler_and_resumes(tmp_path: FilePath) -> None:
    def interrupt(done: int, total: int, fields: Mapping[str, float]) -> None:
        if done == 20:
            raise KeyboardInterrupt

    def learning(supernet: Supernet, name: str) -> Learning:
        named = sampler(name, supernet, 0, OPTIONS.get(name, {}))
        return Learning(adaptive(named), Utility(supernet.space))

    for name in ("uniform", "joslim"):
        settings = config(epochs=2, frozen_epochs=0, paths_per_step=1)
        whole, plain, cut = make(), make(), make()
        one, other = learning(whole, name), learning(cut, name)
        expected = train(whole, load(), settings, one, folder=tmp_path / f"{name} whole")
        with pytest.raises(KeyboardInterrupt):
            first = make()
            folder = tmp_path / f"{name} cut"
            train(first, load(), settings, learning(first, name), folder=folder, progress=interrupt)
        train(cut, load(), settings, other, folder=tmp_path / f"{name} cut")
        assert same_bits(cut, whole)
        for mine, theirs in zip(
            other.utility.effects().mean, one.utility.effects().mean, strict=True
        ):
            assert (mine == theirs).all()
        assert any(abs(row).max() > 0 for row in one.utility.effects().mean)
        drawn = sampler(name, plain, 0, OPTIONS.get(name, {}))
        alone = train(plain, load(), settings, drawn, folder=tmp_path / f"{name} alone")
        assert alone.losses == expected.losses  # learning changes nothing


def test_a_checkpoint_of_another_sampler_is_refused(tmp_path: FilePath) -> None:
    train(make(), load(), one_epoch(sampler="joslim"), folder=tmp_path)
    with pytest.raises(TrainingError, match="config sampler differs"):
        train(make(), load(), one_epoch(sampler="uniform"), folder=tmp_path)
    with pytest.raises(TrainingError, match="its samplers differ"):  # given, not named
        from tipsc.dtmc.samplers import Uniform

        supernet = make()
        settings = one_epoch(sampler="joslim")
        train(supernet, load(), settings, Uniform(supernet.space), folder=tmp_path)


@pytest.mark.parametrize(
    ("phases", "message"),
    [
        ((Phase(share=0.5),), "not a whole"),
        ((Phase(share=1.5), Phase(share=-0.5)), "not a whole"),
        ((Phase(share=1.0, paths_per_step=0),), "paths_per_step"),
        ((Phase(share=1.0, sampler="unifrom"),), r"phases.0.sampler: .*is not known.*uniform"),
    ],
)
def test_phases_out_of_range_are_refused(phases: tuple[Phase, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config(phases=phases)


def test_a_sampler_is_shared_by_phases_of_equal_options_only() -> None:
    settings = config(
        sampler="joslim",
        sampler_options={"interval": 5},
        phases=(
            Phase(share=0.25),
            Phase(share=0.25, sampler="uniform"),
            Phase(share=0.25, paths_per_step=1),
            Phase(share=0.25, sampler_options={"interval": 6}),
        ),
    )
    recipes = [recipe for _, recipe in settings.recipes(100)]
    assert [first for first, _ in settings.recipes(100)] == [0, 25, 50, 75]
    assert recipes[0].key == recipes[2].key
    assert len({recipe.key for recipe in recipes}) == 3
    assert recipes[1].sampler_options == {}
