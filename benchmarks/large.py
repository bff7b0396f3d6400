"""How far a conversion goes: ``python benchmarks/large.py check`` and ``large.py memory``.

``check`` lets ``tipsc check`` look at a ResNet-50 with its random weights, 224x224, in a process of
its own, and prints the CPU time of it. ``memory`` converts and lowers a stack of residual linear
layers (by default of 2.25 GiB, more than one protobuf message can hold) and prints the most memory
that each of the two takes. Both with one thread.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch and numpy start their threads

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path as File
from typing import TypeVar

import torch
from convert import MB, forget_peak, held
from torch import Tensor, nn

from tipsc.convert import convert
from tipsc.lower import lower

HERE = File(__file__).resolve().parent
CONFIG = 'name: resnet50\nmodel: {callable: "model.py:load"}\ndata: {callable: "data.py:load"}\n'
MODEL = f"""
import sys

import torch

sys.path.insert(0, {str(HERE)!r})
from real_size import resnet50


def load():
    torch.manual_seed(0)
    return resnet50().eval()
"""
DATA = """
import torch

from tipsc.train import Data, Split


def load():
    x, y = torch.randn(48, 3, 224, 224), torch.arange(48)
    parts = (slice(0, 24), slice(24, 36), slice(36, 48))
    return Data(*(Split(x[p], y[p]) for p in parts), tuple(map(str, range(1000))))
"""

T = TypeVar("T")


class Block(nn.Module):
    """Two linear layers beside a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(torch.relu(self.up(x)))


def check(target: str) -> None:
    """CPU time of ``tipsc check`` of a ResNet-50, with all that it starts."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (("tipsc.yaml", CONFIG), ("model.py", MODEL), ("data.py", DATA)):
            (File(folder) / name).write_text(text)
        begin = time.perf_counter()
        command = [sys.executable, "-m", "tipsc", "check", folder, "--target", target]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, wall = used.ru_utime + used.ru_stime, time.perf_counter() - begin
    print(f"tipsc check of a ResNet-50: {cpu:.1f} s of CPU time, {wall:.1f} s on the clock")


def memory(blocks: int, width: int) -> None:
    """Most memory of a conversion and of lowering the largest and the smallest path."""
    model = nn.Sequential(*(Block(width) for _ in range(blocks)), nn.Linear(width, 10)).eval()
    size = sum(p.numel() * p.element_size() for p in model.parameters()) / MB
    print(f"model: {size:.0f} MiB")
    supernet = _measured("convert", size, lambda: convert(model, torch.randn(2, width)))
    ends = [supernet.space.largest, supernet.space.smallest]
    found = _measured("lower", size, lambda: lower(supernet, ends))
    print(f"weights of the engine: {len(found.weights) / MB:.0f} MiB")


def _measured(name: str, size: float, do: Callable[[], T]) -> T:
    before, cpu = held("VmRSS"), time.process_time()
    forget_peak()
    found = do()
    peak, cpu = held("VmHWM"), time.process_time() - cpu
    print(
        f"{name}: {cpu:.1f} s of CPU time, at most {peak:.0f} MiB, "
        f"{(peak - before) / size:.2f} x the model beyond the {before:.0f} MiB before"
    )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="CPU time of tipsc check of a ResNet-50")
    checking.add_argument("--target", default="host", help="what is compiled for (default: host)")
    taking = commands.add_parser("memory", help="memory of a large model")
    taking.add_argument("--blocks", type=int, default=18, help="of two linear layers (default: 18)")
    taking.add_argument("--width", type=int, default=4096, help="of a layer (default: 4096)")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.command == "check":
        check(given.target)
    else:
        memory(given.blocks, given.width)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
