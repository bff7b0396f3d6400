"""tipsc's training loop against a bare loop of PyTorch: ``python benchmarks/train_speed.py``.

Both run the same forward code on the same paths with the same optimizer and autocast; the bare loop
draws no paths, keeps no books and finds its batches ready in pinned memory. They take turns within
one training, so that both see the same machine; on a CPU their time is what the process had of it,
which other work changes little. Written and printed are steps per second of both, their ratio, the
memory that they took, and on a GPU how often the host waited for it in a step.

It ends with 1 where a ratio is below the bar, 0.97 on a CPU and 0.95 on a GPU, or where a step of
tipsc's loop waits.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path as File
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(File(__file__).resolve().parents[1]))

from tipsc.batch import in_order
from tipsc.convert import convert
from tipsc.dtmc.samplers import Sampler
from tipsc.elastic import Supernet
from tipsc.elastic.families.mobilenet import mobilenet_v2
from tipsc.paths import Path
from tipsc.tasks import Classification
from tipsc.train import Data, Split, TrainConfig, train
from tipsc.train.chance import seed_of
from tipsc.train.device import device_of
from tipsc.train.optimizer import optimizer_of
from tipsc.train.precision import PRECISIONS
from tipsc.train.samplers import sampler as make_sampler

BARS = {"cpu": 0.97, "cuda": 0.95, "mps": 0.95}
PATHS = 16  # that steps are on: a GPU's libraries look for kernels anew for each shape
PAIRS = 5  # turns of each loop
SETTLING = 3  # steps at the begin of a turn that are not timed
BATCHES = 4  # of which an epoch is made
COUNTED = 10  # steps in which waiting is counted
CLASSES = 100
SYNCHRONISATIONS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize",
                    "cudaMemcpy")  # fmt: skip


class Block(nn.Module):
    """Two convolutions and a skip (ResNet, arXiv 1512.03385)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.skip: nn.Module = nn.Identity()
        if stride > 1 or inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.skip = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + self.skip(x))


def resnet18() -> nn.Module:
    """For images of 32x32."""
    stem = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm2d(64), nn.ReLU()]
    before = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(before, width, stride), Block(width, width, 1)]
        before = width
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, CLASSES))
    return nn.Sequential(*layers, *head).eval()


def small_mobile(pixels: int) -> Supernet:
    return mobilenet_v2(classes=CLASSES, input_shape=(3, pixels, pixels))


def small_resnet(pixels: int) -> Supernet:
    return convert(resnet18(), torch.zeros(1, 3, pixels, pixels))


NETS: Mapping[str, tuple[Callable[[int], Supernet], int]] = {
    "mobilenet-v2": (small_mobile, 224),
    "resnet-18": (small_resnet, 32),
}


@dataclass
class Row:
    """One net in one precision.

    Attributes:
        ratio: median over the turns of tipsc's steps per second over the bare loop's.
        turns: (tipsc's, the bare loop's) seconds of a step, of each turn.
        peak_mib: what tipsc's and the bare loop's steps took of the GPU's memory at most.
        waits: of a step of tipsc's loop, by the call; None: not on a GPU. What ends the counting is
            counted itself. An event is waited for where the host is several steps ahead.
        warned: of a step, what torch itself calls a synchronisation, with the lines that it names.
        failed: why there are no figures.
    """

    net: str
    precision: str
    batch: int
    pixels: int
    ratio: float = 0.0
    turns: list[tuple[float, float]] = field(default_factory=list)
    peak_mib: tuple[float, float] | None = None
    waits: dict[str, float] | None = None
    warned: dict[str, float] | None = None
    seconds: float = 0.0
    failed: str = ""


@dataclass
class Few:
    """Draws from a few paths, at the cost of drawing from all."""

    sampler: Sampler
    paths: list[Path]

    @classmethod
    def of(cls, supernet: Supernet) -> Few:
        sampler: Any = make_sampler("folded", supernet, 0, {})
        return cls(sampler, sampler.draw(random.Random(0), PATHS))

    def draw(self, generator: random.Random, count: int) -> list[Path]:
        self.sampler.draw(generator, count)
        return generator.choices(self.paths, k=count)


@dataclass
class Bare:
    """The bare loop: it trains a net of its own."""

    net: Supernet
    batches: list[tuple[Tensor, Tensor]]
    few: Few
    config: TrainConfig
    device: torch.device

    def __post_init__(self) -> None:
        self.net = self.net.to(self.device).train()
        self.optimizer = optimizer_of(list(self.net.parameters()), self.config)
        if self.device.type == "cuda":
            self.batches = [(x.pin_memory(), y.pin_memory()) for x, y in self.batches]

    def run(self, steps: Sequence[int]) -> None:
        """The steps on the paths that tipsc's loop draws in the steps of these numbers."""
        type_, dtype = self.device.type, PRECISIONS[self.config.precision]
        paths = [
            self.few.draw(random.Random(seed_of("paths", self.config.seed, step)), 1)[0]
            for step in steps
        ]
        for step, path in zip(steps, paths, strict=True):
            x, y = self.batches[step % len(self.batches)]
            x = x.to(self.device, non_blocking=True)
            x = x.contiguous(memory_format=torch.channels_last)
            y = y.to(self.device, non_blocking=True)
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(type_, dtype or torch.bfloat16, enabled=dtype is not None):
                loss = F.cross_entropy(self.net(x, path), y)
            loss.backward()
            self.optimizer.step()


class Turns:
    """Called by tipsc's loop after each step; lets the loops take turns and times both."""

    def __init__(self, bare: Bare, device: torch.device, block: int, row: Row) -> None:
        self.bare, self.device, self.block, self.row = bare, device, block, row
        self.begin = PATHS  # the first step of a turn
        self.started = self.base = 0.0
        self.peaks: list[tuple[float, float]] = []
        self.counting = contextlib.ExitStack()
        self.profile: Any = None
        self.warned: list[warnings.WarningMessage] = []

    @property
    def steps(self) -> int:
        """That tipsc's loop needs."""
        counted = SETTLING + COUNTED + 1 if self.device.type == "cuda" else 0
        return PATHS + PAIRS * (SETTLING + self.block) + counted + 1

    def __call__(self, done: int, total: int, fields: Mapping[str, float]) -> None:
        if len(self.row.turns) == PAIRS:
            if self.device.type == "cuda" and not self.row.failed:
                try:
                    self._count(done - self.begin)
                except RuntimeError as error:  # the times are worth having without
                    self.row.failed = f"counting waits: {error}"
            return
        if done == self.begin + SETTLING:
            self._start()
        elif done == self.begin + SETTLING + self.block:
            ours = self._stop()
            took = self._peak()
            steps = range(done - self.block, done)
            self.bare.run(range(SETTLING))
            self._start()
            self.bare.run(steps)
            theirs = self._stop()
            self.peaks.append((took, self._peak()))
            self.row.turns.append((ours / self.block, theirs / self.block))
            self.begin = done

    def _start(self) -> None:
        wait(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self.base = torch.cuda.memory_allocated(self.device)
        self.started = self._now()

    def _stop(self) -> float:
        wait(self.device)
        return self._now() - self.started

    def _now(self) -> float:
        return time.process_time() if self.device.type == "cpu" else time.perf_counter()

    def _peak(self) -> float:
        """MiB over what lay there before the turn."""
        if self.device.type != "cuda":
            return 0.0
        return (torch.cuda.max_memory_allocated(self.device) - self.base) / 2**20

    def _count(self, done: int) -> None:
        """After the last turn: which calls of some steps wait for the GPU."""
        if done == SETTLING:
            self.warned = self.counting.enter_context(warnings.catch_warnings(record=True))
            warnings.simplefilter("always")
            activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
            self.profile = self.counting.enter_context(
                torch.profiler.profile(activities=activities)
            )
            torch.cuda.set_sync_debug_mode("warn")
        elif done == SETTLING + COUNTED:
            torch.cuda.set_sync_debug_mode("default")
            self.counting.close()  # which waits for the GPU as well, and is seen itself
            found = Counter(
                f"{File(w.filename).name}:{w.lineno}" for w in self.warned
                if "synchroniz" in str(w.message)
            )  # fmt: skip
            self.row.warned = {place: n / COUNTED for place, n in found.items()}
            calls = Counter(event.name for event in self.profile.events())
            self.row.waits = {name: calls[name] / COUNTED for name in SYNCHRONISATIONS}
            launched = sum(n for name, n in calls.items() if name.startswith("cudaLaunchKernel"))
            self.row.waits["launches"] = launched / COUNTED


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def random_data(examples: int, pixels: int) -> Data:
    chance = torch.Generator().manual_seed(0)
    images = torch.rand(examples, 3, pixels, pixels, generator=chance)
    split = Split(images, torch.randint(CLASSES, (examples,), generator=chance))
    return Data(split, split, split, Classification(tuple(map(str, range(CLASSES)))))


def measure(
    row: Row, supernet: Supernet, few: Few, data: Data, options: argparse.Namespace
) -> None:
    """Fills a row."""
    device = device_of(options.device)
    settings: dict[str, Any] = {
        "batch_size": row.batch, "frozen_epochs": 0, "device": options.device,
        "precision": row.precision, "checkpoint_seconds": 1e9, "learning_rate": 1e-3,
    }  # fmt: skip
    config = TrainConfig(**settings)
    batches = [(x, y) for x, y in in_order(data.train, row.batch)]
    bare = Bare(deepcopy(supernet), batches, few, config, device)
    for place, path in enumerate(few.paths):  # each shape once; the last ones say how long it takes
        if place == PATHS // 2:
            wait(device)
            begin = time.perf_counter()
        replace(bare, few=Few(few.sampler, [path])).run([0])
    wait(device)
    step = (time.perf_counter() - begin) / (PATHS - PATHS // 2)
    block = max(4, min(60, round(options.seconds / (2 * PAIRS * step))))
    turns = Turns(bare, device, block, row)
    config = TrainConfig(**settings, epochs=-(-turns.steps // BATCHES))
    with tempfile.TemporaryDirectory() as folder:
        train(supernet, data, config, few, folder=File(folder), progress=turns)
    row.ratio = statistics.median(theirs / ours for ours, theirs in row.turns)
    if device.type == "cuda":
        row.peak_mib = (max(p for p, _ in turns.peaks), max(p for _, p in turns.peaks))


def rows(options: argparse.Namespace) -> Iterator[Row]:
    on_gpu = device_of(options.device).type != "cpu"
    for name in options.nets:
        make, pixels = NETS[name]
        pixels = options.pixels or (pixels if on_gpu else min(pixels, 64))
        batch = options.batch or (256 if on_gpu else 16)
        supernet = None
        for precision in options.precisions or (["fp32", "bf16"] if on_gpu else ["fp32"]):
            row, begin = Row(name, precision, batch, pixels), time.perf_counter()
            try:
                if supernet is None:
                    torch.manual_seed(0)
                    supernet = make(pixels)
                    few, data = Few.of(supernet), random_data(BATCHES * batch, pixels)
                measure(row, supernet, few, data, options)
            except Exception as error:  # the others are worth having
                traceback.print_exc()
                row.failed = f"{type(error).__name__}: {error}"
            row.seconds = time.perf_counter() - begin
            yield row


def told(row: Row) -> str:
    text = f"{row.net} {row.precision} batch {row.batch} of {row.pixels}x{row.pixels}: "
    if row.failed:
        return text + f"failed: {row.failed}"
    ours, theirs = (1 / statistics.median(turn) for turn in zip(*row.turns, strict=True))
    text += f"{ours:.2f} steps/s, bare {theirs:.2f}, ratio {row.ratio:.3f}"
    if row.peak_mib is not None:
        text += f", peak {row.peak_mib[0]:.0f} MiB, bare {row.peak_mib[1]:.0f}"
    if row.waits is not None:
        text += f", waits a step {row.waits}, warned {row.warned}"
    return f"{text} ({row.seconds:.0f} s)"


def is_missed(row: Row, bar: float) -> bool:
    return bool(row.failed) or row.ratio < bar or any((row.warned or {}).values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (auto)")
    parser.add_argument("--nets", nargs="+", default=list(NETS), choices=NETS)
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS)
    parser.add_argument("--batch", type=int, help="256 on a GPU, 16 on a CPU")
    parser.add_argument("--pixels", type=int, help="a side")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a row's turns, about (8)")
    parser.add_argument("--json", type=File, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    device = device_of(options.device)
    about = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "bar": BARS[device.type],
    }
    print(about, flush=True)
    found = []
    for row in rows(options):
        found.append(row)
        print(told(row), flush=True)
        if options.json:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps({**about, "rows": [asdict(each) for each in found]}, indent=1)
            options.json.write_text(text + "\n")
    return int(any(is_missed(row, BARS[device.type]) for row in found))


if __name__ == "__main__":
    raise SystemExit(main())
