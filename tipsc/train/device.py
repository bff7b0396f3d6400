"""Where a training computes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from tipsc.errors import ConfigError

DEVICES = ("auto", "cpu", "cuda", "mps")


def device_of(name: str) -> torch.device:
    """The device that a configuration names; of several GPUs the one of this process.

    Args:
        name: of :data:`DEVICES`; "auto" is the GPU that CUDA has, or else the CPU.

    Raises:
        ConfigError: there is no such device here.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = "cuda" if there["cuda"] else "cpu"
    if not there.get(name, True):
        raise ConfigError(
            f"torch finds no {name} device here",
            where="train.device",
            expected=f"one of {', '.join(['auto', 'cpu', *(n for n in there if there[n])])}",
            got=name,
            fix="set train.device: auto, or install a torch that is built for the device",
        )
    if name == "cuda":  # torchrun counts the processes of a machine
        rank = os.environ.get("LOCAL_RANK", "0")
        return torch.device(name, int(rank) % torch.cuda.device_count() if rank.isdigit() else 0)
    return torch.device(name)


@contextmanager
def on_device(device: torch.device, *models: nn.Module) -> Iterator[None]:
    """Inside, the models are on the device; afterwards each is where it was."""
    before = [next((p.device for p in model.parameters()), device) for model in models]
    try:
        for model in models:
            model.to(device)
        yield
    finally:
        for model, place in zip(models, before, strict=True):
            model.to(place)


def seed(device: torch.device, number: int) -> None:
    """Seeds what drops out and adds noise on a device, and on the CPU."""
    # torch.manual_seed looks for accelerators each time, which takes longer than all else here.
    torch.default_generator.manual_seed(number)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(number)
    elif device.type == "mps":
        torch.mps.manual_seed(number)


@contextmanager
def chance_kept(device: torch.device) -> Iterator[None]:
    """Inside, generators may be seeded: afterwards they go on as they were."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@contextmanager
def using_threads(count: int | None) -> Iterator[None]:
    """Inside, torch has so many threads; None: as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
