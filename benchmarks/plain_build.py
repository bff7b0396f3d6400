"""What a plain trained net loses when it is built as a user builds it: `tipsc build`, nothing set.

    python benchmarks/plain_build.py [STUDY ...] [--seed 0] [--target host] [--epochs N]
    python benchmarks/plain_build.py --show
    python benchmarks/plain_build.py --chart docs/images/chart.svg    # the README's picture

A STUDY is a plain net with its data (`benchmarks/compare/nets.py`). Each is trained, written as a
project with a model, data and a name in its `tipsc.yaml`, and built by the command. The latencies
are the build's own measurements: measure while nothing else runs. Rows go to
`benchmarks/results/plain_build.json`; what is there is not run again.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from compare.nets import PLAIN, trained_plain  # noqa: E402

from tipsc.engine.atomic import write_atomically  # noqa: E402
from tipsc.profile import Profile  # noqa: E402
from tipsc.project.defaults import EPOCHS_TRAINED  # noqa: E402
from tipsc.train import TrainConfig  # noqa: E402

RESULT = ROOT / "benchmarks" / "results" / "plain_build.json"
#: what a row is found by; `thrift` is the default of its time
KEY = ("study", "seed", "target", "epochs", "thrift")
CHART = "resnet-20k"
PROJECT = """
import sys
sys.path[:0] = {paths!r}
import torch
from compare.nets import PLAIN

def data():
    return PLAIN[{study!r}].data()

def model():
    net = PLAIN[{study!r}].net()
    net.load_state_dict(torch.load({weights!r}, weights_only=True))
    return net.eval()
"""
CONFIG = """
name: {name}
model: {{callable: "project.py:model"}}
data: {{callable: "project.py:data"}}
"""


def run(study: str, seed: int, target: str, epochs: int, thrift: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        net = trained_plain(PLAIN[study], PLAIN[study].data(), seed)
        torch.save(net.state_dict(), folder / "net.pt")
        paths = [str(ROOT), str(ROOT / "benchmarks")]
        text = PROJECT.format(paths=paths, study=study, weights=str(folder / "net.pt"))
        (folder / "project.py").write_text(text)
        more = f"train: {{epochs: {epochs}}}\n" if epochs != EPOCHS_TRAINED else ""
        (folder / "tipsc.yaml").write_text(CONFIG.format(name=study) + more)
        begun = time.monotonic()
        command = [sys.executable, "-m", "tipsc", "build", "tipsc.yaml", "--target", target]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        environment.pop("OMP_NUM_THREADS")
        done = subprocess.run(
            [*command, "--format", "json"], cwd=folder, env=environment, stdout=subprocess.PIPE,
            check=True,
        )  # fmt: skip
        seconds = time.monotonic() - begun
        built = json.loads(done.stdout)
        profile = Profile.load(folder / built["profile"])
        return {
            "study": study, "seed": seed, "target": target, "epochs": epochs, "thrift": thrift,
            "seconds": round(seconds),
            "original": {
                "quality": built["original"]["quality"]["value"],
                "latency_ms": profile.expected_ms(profile.search_space.largest),
            },
            "stages": {s["name"]: s["seconds"] for s in built["stages"] if "seconds" in s},
            "paths": [
                {"quality": p["quality"]["value"], "latency_ms": p["latency"]["p50_ms"]}
                for p in built["paths"]
            ],
        }  # fmt: skip


def show(rows: list[dict[str, object]]) -> None:
    for row in rows:
        original, paths = row["original"], row["paths"]
        assert isinstance(original, dict)
        assert isinstance(paths, list)
        print(
            f"\n{row['study']}, seed {row['seed']}, {row['target']}, "
            f"{row['epochs']} epochs, thrift {row['thrift']}:\n  original "
            f"{100 * original['quality']:.2f} %, {original['latency_ms']:.4f} ms; "
            f"built in {row['seconds']} s"
        )
        stages = row["stages"]
        assert isinstance(stages, dict)
        looks = 100 * (stages["search"] + stages["choose"]) / stages["narrow"]
        print(f"  search and choice took {looks:.1f} % of the time of the training")
        print(f"  {'latency':>8}{'quality':>9}{'points':>8}")
        for path in paths:
            gained = 100 * (path["quality"] - original["quality"])
            share = path["latency_ms"] / original["latency_ms"]
            print(f"  {share:>8.2f}{100 * path['quality']:>9.2f}{gained:>+8.2f}")


def chart(row: dict[str, object], file: Path) -> None:
    """Accuracy over latency: the original, and the paths of its engine."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "tipsc"  # the same file each time
    from matplotlib import pyplot

    original, paths = row["original"], row["paths"]
    assert isinstance(original, dict)
    assert isinstance(paths, list)
    whole = original["latency_ms"]
    xs = [path["latency_ms"] / whole for path in paths]
    ys = [100 * path["quality"] for path in paths]
    best = [max(ys[: i + 1]) for i in range(len(ys))]
    figure, axes = pyplot.subplots(figsize=(8, 3.6), layout="constrained")
    axes.axhline(100 * original["quality"], color="#9aa5a4", linewidth=1, linestyle=":")
    axes.step(xs, best, where="post", color="#80cbc4", linewidth=1.5)
    names = f"{len(paths)} paths, in one engine", "the original"
    axes.plot(xs, ys, "o", color="#00796b", markersize=7, label=names[0])
    axes.plot(1, 100 * original["quality"], "D", color="#e65100", markersize=8, label=names[1])
    for x, y in zip(xs, ys, strict=True):
        axes.annotate(
            f"{x:.2f}x", (x, y), xytext=(0, 8), textcoords="offset points", ha="center", size=8
        )
    axes.set_xlabel("latency, as a share of the original's")
    axes.set_ylabel("accuracy, %")
    axes.set_xlim(0, 1.15)
    axes.set_ylim(min(ys) - 2, max(ys) + 1.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.savefig(file, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("studies", nargs="*", choices=[*PLAIN, []], metavar="STUDY")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", default="host")
    parser.add_argument("--epochs", type=int, default=EPOCHS_TRAINED, help="train.epochs")
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help=f"draw {CHART}")
    given = parser.parse_args()
    rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
    for study in [] if given.show or given.chart else given.studies or ["resnet"]:
        known = (study, given.seed, given.target, given.epochs, TrainConfig.thrift)
        if known not in {tuple(row[name] for name in KEY) for row in rows}:
            rows.append(run(*known))
            write_atomically(RESULT, [json.dumps(rows, indent=1).encode() + b"\n"])
    show(rows)
    if given.chart:
        chart([r for r in rows if r["study"] == CHART][-1], given.chart)


if __name__ == "__main__":
    main()
