"""Training from images on the disk against the same from memory.

It makes JPEGs of 224x224 in a folder, as many as asked for (some of them drawn, the others copies
with a number of their own), and writes and prints

- steps per second of the training loop from the disk over the same from memory; they take turns. On
  a busy machine the CPU time says more: a step over a step and the reading of its batch, as if
  computing used all cores;
- the memory that a training from the disk takes beyond one whose data are a single batch in memory,
  in batches: of all processes, shared pages counted once;
- whether a training that is killed within an epoch ends with the same bits;
- whether the examples of this repository train to the same bits from Datasets as from memory.

It needs Pillow. It ends with 1 where the ratio is below 0.9, memory above 20 batches, or bits
differ.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, Subset

from tipsc.batch import mapped
from tipsc.elastic import Supernet, family
from tipsc.elastic.families.mobilenet import mobilenet_v2
from tipsc.project.config import load_config
from tipsc.project.loading import load_model
from tipsc.tasks import Classification
from tipsc.train import Data, OnDisk, Split, TrainConfig, evaluate, train

PIXELS, CLASSES, DRAWN, A_FOLDER = 224, 100, 1000, 1000
RATIO, BATCHES = 0.9, 20
SETTLING = 2  # steps at the begin of a turn that are not timed
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SMALL = {
    "classes": CLASSES, "input_shape": [3, PIXELS, PIXELS], "stem": 8, "stem_stride": 4,
    "stages": [{"channels": 16, "depths": [1, 2], "expansions": [1, 2], "stride": 4}],
    "head": 32, "dropout": 0.1,
}  # fmt: skip


class Images(Dataset[Any]):
    """The JPEGs of a folder that :func:`make` filled, cut at random."""

    def __init__(self, folder: Path, count: int) -> None:
        self.files = [str(file_of(folder, number)) for number in range(count)]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Any:
        with Image.open(self.files[number]) as image:
            pixels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
        shift = int(torch.randint(16, ()))
        return pixels.roll(shift, 2), number % DRAWN % CLASSES


class Held(Dataset[Any]):
    """A split as a Dataset."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, number: int) -> Any:
        batch = self.split.take([number])
        return tuple(mapped(lambda tensor: tensor[0], part) for part in batch)


def file_of(folder: Path, number: int) -> Path:
    return folder / f"{number // A_FOLDER:04}" / f"{number:07}.jpg"


def make(folder: Path, count: int) -> None:
    """Those images that the folder lacks."""
    chance, drawn = np.random.default_rng(0), []
    for _ in range(min(DRAWN, count)):
        coarse = Image.fromarray(chance.integers(0, 256, (14, 14, 3), np.uint8))
        noise = chance.normal(0, 8, (PIXELS, PIXELS, 3))
        pixels = np.asarray(coarse.resize((PIXELS, PIXELS), Image.Resampling.BICUBIC)) + noise
        stream = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=85)
        drawn.append(stream.getvalue())
    for number in range(count):
        file = file_of(folder, number)
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(drawn[number % DRAWN] + f"{number:07}".encode())  # behind the image


def task() -> Classification:
    return Classification(tuple(map(str, range(CLASSES))))


def from_disk(folder: Path, count: int, workers: int | None = None) -> Data:
    images = Images(folder, count)
    held = OnDisk(Subset(images, range(min(count, 256))), workers=workers)
    return Data(OnDisk(images, workers=workers), held, held, task())


def in_memory(examples: int) -> Data:
    pixels = torch.rand(examples, 3, PIXELS, PIXELS, generator=torch.Generator().manual_seed(0))
    split = Split(pixels, torch.arange(examples) % CLASSES)
    return Data(split, split, split, task())


class Enough(Exception):
    """As many steps as were asked for."""


def run(
    supernet: Supernet, data: Data, batch: int, steps: int, called: Callable[[int], None]
) -> None:
    """Some steps of a training of many epochs."""

    def progress(done: int, total: int, fields: Mapping[str, float]) -> None:
        called(done)
        if done == steps:
            raise Enough

    config = TrainConfig(epochs=1000, frozen_epochs=0, batch_size=batch, checkpoint_seconds=1e9)
    with tempfile.TemporaryDirectory() as folder:
        try:
            train(supernet, data, config, folder=Path(folder), progress=progress)
        except Enough:
            return


def speeds(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step, from memory and from the disk, in turns."""
    supernet = mobilenet_v2(classes=CLASSES)
    memory, disk = in_memory(4 * options.batch), from_disk(folder, options.images)
    turns, computing = [], []
    for _ in range(options.turns):
        pair = []
        for data in (memory, disk):
            at: dict[int, tuple[float, float]] = {}
            steps = SETTLING + options.steps

            def note(done: int, at: dict[int, tuple[float, float]] = at) -> None:
                at[done] = time.perf_counter(), time.process_time()

            run(supernet, data, options.batch, steps, note)
            wall, cpu = (b - a for a, b in zip(at[SETTLING], at[steps], strict=True))
            pair.append(wall / options.steps)
            if data is memory:
                computing.append(cpu / options.steps)
        turns.append(tuple(pair))
    ratio = statistics.median(memory / disk for memory, disk in turns)
    step, reading = statistics.median(computing), reading_s(folder, options)
    cpu_time = {"step_s": step, "reading_s": reading, "ratio": step / (step + reading)}
    return {"ratio": ratio, "seconds_a_step": turns, "cpu_time": cpu_time}


def reading_s(folder: Path, options: argparse.Namespace) -> float:
    """CPU time of reading a batch."""
    train, chance = from_disk(folder, options.images, 0).train, np.random.default_rng(1)
    order = [chance.integers(options.images, size=options.batch).tolist() for _ in range(5)]
    took = []
    for index in order:
        begin = time.process_time()
        train.take(index)
        took.append(time.process_time() - begin)
    return statistics.median(took)


def proportional_mib() -> float:
    """Of this process and those that it started; what they share is counted once."""
    mine, total = os.getpid(), 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if mine in (parent, int(entry.name)):
                rollup = (entry / "smaps_rollup").read_text()
                total += int(rollup.partition("\nPss:")[2].split()[0])
        except (OSError, ValueError, IndexError):  # it has just ended
            continue
    return total / 1024


def peak(data: Callable[[], Data], batch: int, steps: int) -> float:
    """MiB that some steps take at most, making the data included."""
    found, ends = [0.0], threading.Event()

    def watch() -> None:
        while not ends.wait(0.2):
            found.append(proportional_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        run(mobilenet_v2(classes=CLASSES), data(), batch, steps, lambda done: None)
    finally:
        ends.set()
        thread.join()
    return max(found)


def memory(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Each in a process of its own."""
    found = {}
    for kind in ("alone", "disk"):
        command = [sys.executable, __file__, "--part", f"peak-{kind}", *passed_on(folder, options)]
        found[kind] = float(subprocess.run(command, check=True, capture_output=True).stdout)
    batch_mib = options.batch * 3 * PIXELS**2 * 4 / 2**20
    batches = (found["disk"] - found["alone"]) / batch_mib
    return {"batches": batches, "batch_mib": batch_mib, "peak_mib": found}


def passed_on(folder: Path, options: argparse.Namespace) -> list[str]:
    numbers = {"images": options.images, "batch": options.batch, "steps": options.steps}
    named = [text for name, value in numbers.items() for text in (f"--{name}", str(value))]
    return ["--folder", str(folder), *named]


def whole(folder: Path, images: Path, workers: int) -> str:
    """Trains a small net for two epochs, or goes on; a digest of its weights."""
    torch.manual_seed(0)
    supernet = family("mobilenet", **SMALL)
    config = TrainConfig(epochs=2, frozen_epochs=0, batch_size=8, threads=1, checkpoint_seconds=0)

    def progress(done: int, total: int, fields: Mapping[str, float]) -> None:
        print(done, flush=True)

    train(supernet, from_disk(images, 320, workers), config, folder=folder, progress=progress)
    digest = hashlib.sha256()
    for tensor in supernet.state_dict().values():
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def killed(folder: Path) -> dict[str, Any]:
    """Whether a training that is killed twice, within each epoch, ends as one that is not."""
    digests, seen = [], []
    with tempfile.TemporaryDirectory() as place:
        for name, stops, workers in (("whole", (), 2), ("killed", (17, 63), 1)):
            command = [
                sys.executable, __file__, "--part", "whole", "--folder", str(folder),
                "--state", str(Path(place) / name), "--workers", str(workers),
            ]  # fmt: skip
            for stop in (*stops, 10**9):
                process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
                assert process.stdout is not None
                line = ""
                for line in process.stdout:
                    if line.strip().isdigit() and int(line) >= stop:
                        process.send_signal(signal.SIGKILL)
                        seen.append(int(line))
                        break
                process.communicate()
            digests.append(line.strip())
    return {"same": digests[0] == digests[1] != "", "killed_after": seen}


def examples() -> Iterator[tuple[str, bool | str]]:
    """Each example trained for three steps and judged, from memory and from Datasets."""
    for folder in sorted(path.parent for path in EXAMPLES.glob("*/tipsc.yaml")):
        try:
            yield folder.name, both_ways(folder)
        except Exception as error:  # the others are worth having
            yield folder.name, f"{type(error).__name__}: {error}"


def both_ways(folder: Path) -> bool:
    found = []
    for place in range(2):
        model = load_model(*load_config(folder))
        task, size = model.data.task, 16
        splits = [
            Split(*getattr(model.data, name).take(range(count)))
            for name, count in (("train", 3 * size), ("validation", 32), ("test", 8))
        ]
        parts = [OnDisk(Held(split), workers=2) for split in splits] if place else splits
        data = Data(*parts, task, model.data.augment)
        config = TrainConfig(epochs=1, frozen_epochs=0, batch_size=size)
        with tempfile.TemporaryDirectory() as state:
            train(model.supernet, data, config, folder=Path(state), original=model.original)
        largest = model.supernet.space.largest
        found.append(
            (model.supernet.state_dict(), evaluate(model.supernet, [largest], data, images=32))
        )
    (one, judged), (other, judged_again) = found
    return judged == judged_again and all(torch.equal(one[name], other[name]) for name in one)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=6, help="of a turn (6)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="for the images, which stay there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("--only", choices=("speed", "memory", "killed", "examples"))
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--state", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "whole":
        print(whole(options.state, options.folder, options.workers))
        return 0
    if options.part is not None:
        alone = options.part == "peak-alone"
        make_data = (
            (lambda: in_memory(options.batch))
            if alone
            else (lambda: from_disk(options.folder, options.images))
        )
        print(peak(make_data, options.batch, options.steps))
        return 0
    folder = options.folder or Path(tempfile.mkdtemp(prefix="tipsc-images-"))
    about: dict[str, Any] = {
        "images": options.images, "batch": options.batch, "cores": os.cpu_count(),
        "threads": torch.get_num_threads(), "torch": torch.__version__,
    }  # fmt: skip
    parts: dict[str, Callable[[], Any]] = {
        "speed": lambda: speeds(folder, options),
        "memory": lambda: memory(folder, options),
        "killed": lambda: killed(folder),
        "examples": lambda: dict(examples()),
    }
    try:
        begin = time.perf_counter()
        make(folder, max(options.images, 320))
        about["making_s"] = time.perf_counter() - begin
        begin = time.perf_counter()
        from_disk(folder, options.images).train.fingerprint  # noqa: B018
        about["opening_s"] = time.perf_counter() - begin
        print(about, flush=True)
        for name in [options.only] if options.only else parts:
            about[name] = parts[name]()
            print(name, about[name], flush=True)
            if options.json:
                options.json.parent.mkdir(parents=True, exist_ok=True)
                options.json.write_text(json.dumps(about, indent=1) + "\n")
    finally:
        if options.folder is None:
            shutil.rmtree(folder)
    fails = [
        about.get("speed", {}).get("ratio", 1) < RATIO,
        about.get("memory", {}).get("batches", 0) > BATCHES,
        not about.get("killed", {}).get("same", True),
        any(found is not True for found in about.get("examples", {}).values()),
    ]
    return int(any(fails))


if __name__ == "__main__":
    raise SystemExit(main())
