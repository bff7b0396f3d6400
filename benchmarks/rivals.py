"""Paths of one engine against what other tools prune: K nets, each fine-tuned alone.

    python benchmarks/rivals.py run STUDY [--tools torch-pruning,fastnas] [--seeds 0-2]
                                          [--budget latency]
    python benchmarks/rivals.py tune STUDY ...
    python benchmarks/rivals.py show

The same plain nets, data, budgets (shares of the multiply-accumulates), compute and loss as
in `benchmarks/narrowing.py`, whose rows `chosen` and `alone` are shown beside. A tool prunes the
trained net to each budget in its own way, and each of the K nets is fine-tuned with a K-th of the
compute at the best of three learning rates (`tune`, on a seed of its own). What searching takes is
not counted, of any. With `--budget latency` budgets are shares of the trained net's time in ONNX
Runtime on this machine, one thread, and each tool prunes until its net keeps them: measure while
nothing else runs.

    torch-pruning  Torch-Pruning 1.6: group magnitude importance, ranked globally, channels alone
    fastnas        NVIDIA Model-Optimizer 0.47: its FastNAS search, judged by validation accuracy

Both are installed from the package registry into `build/rivals`, an environment of its own over
this one's packages.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import copy
import csv
import io
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "benchmarks"))

PLACE = ROOT / "build" / "rivals"
PACKAGES = {
    "torch-pruning": ["torch-pruning==1.6.1"],
    "fastnas": [
        "nvidia-modelopt==0.47.0", "omegaconf>=2.3", "antlr4-python3-runtime==4.9.3", "pulp<4",
        "nvidia-ml-py>=12", "torchprofile==0.0.4", "regex", "safetensors", "tqdm", "ninja",
    ],
}  # fmt: skip
RESULT = ROOT / "benchmarks" / "results" / "rivals.csv"
OURS = ROOT / "benchmarks" / "results" / "found_rate.csv"  # as a build finds its rate
COLUMNS = ("study", "tool", "passes", "paths", "budget", "rate", "seed", "validation", "test",
           "costs", "original")  # fmt: skip
_SHARES = tuple(0.05 * i for i in range(1, 21))
_CHANNELS = {"channels_ratio": _SHARES, "kernel_size": (), "channel_divisor": 2}
_FEATURES = {"features_ratio": _SHARES, "feature_divisor": 2}
#: FastNAS' own default of 32 channels a step leaves nets as small as these as they are
FASTNAS = {
    "nn.Conv1d": {"*": _CHANNELS}, "nn.Conv2d": {"*": _CHANNELS}, "nn.Linear": {"*": _FEATURES},
    "nn.BatchNorm1d": {"*": _FEATURES}, "nn.BatchNorm2d": {"*": _FEATURES},
}  # fmt: skip
RATES = (0.001, 0.003, 0.01)
TUNED_ON = 100
CALLS = 1500  # of each net, for a latency
FASTNAS_TRIES = 4


def installed() -> Path:
    """The python of the environment with the rivals; made if it is not there."""
    python = PLACE / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", PLACE], check=True)
        (packages,) = (PLACE / "lib").glob("python*/site-packages")
        import torch

        ours = Path(torch.__file__).resolve().parents[1]
        (packages / "ours.pth").write_text(f"{ours}\n")
        wanted = [package for group in PACKAGES.values() for package in group]
        pip = [python, "-m", "pip", "install", "-q", "--no-deps", *wanted]
        subprocess.run(pip, check=True)
    return python


def macs_of(model, example) -> float:  # type: ignore[no-untyped-def]
    """Multiply-accumulates of convolutions and linear layers, for one example."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        model(example)
    return counter.get_total_flops() / 2


def session_of(net, example):  # type: ignore[no-untyped-def]
    """The net in ONNX Runtime, one thread."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    written = io.BytesIO()
    torch.onnx.export(
        copy.deepcopy(net).eval(), (example,), written, dynamo=False, input_names=["x"]
    )
    return onnxruntime.InferenceSession(written.getvalue(), options)


def latency_share(net, model, example) -> float:  # type: ignore[no-untyped-def]
    """Time of the net over that of the trained one, called in turns; p15 of each."""
    feed = {"x": example.numpy()}
    times: tuple[list[float], list[float]] = ([], [])
    sessions = [session_of(one, example) for one in (net, model)]
    for _ in range(CALLS):
        for session, taken in zip(sessions, times, strict=True):
            begun = time.perf_counter()
            session.run(None, feed)
            taken.append(time.perf_counter() - begun)
    here, whole = (sorted(taken)[len(taken) * 15 // 100] for taken in times)
    return here / whole


def cost_share(net, setting) -> float:  # type: ignore[no-untyped-def]
    """What the net costs, over what the trained one does."""
    example = setting.data.train.inputs[:1]
    if setting.budget == "latency":
        return latency_share(net, setting.plain, example)
    return macs_of(net, example) / macs_of(setting.plain, example)


def with_torch_pruning(model, setting, share: float):  # type: ignore[no-untyped-def]
    """Bisects the pruning ratio, until the net just keeps the budget; else the smallest net."""
    import torch
    import torch_pruning as tp
    from torch import nn

    example = setting.data.train.inputs[:1]
    head = [m for m in model.modules() if isinstance(m, nn.Linear)][-1]

    def pruned(ratio: float):  # type: ignore[no-untyped-def]
        net = copy.deepcopy(model)
        last = [m for m in net.modules() if isinstance(m, nn.Linear)][-1]
        assert last.out_features == head.out_features
        pruner = tp.pruner.BasePruner(
            net,
            example,
            importance=tp.importance.GroupMagnitudeImportance(),
            pruning_ratio=ratio,
            max_pruning_ratio=0.95,
            global_pruning=True,
            ignored_layers=[last],
        )
        pruner.step()
        return net

    low, high = 0.0, 0.95
    best = pruned(high)
    for _ in range(10):
        ratio = (low + high) / 2
        net = pruned(ratio)
        if cost_share(net, setting) <= share:
            high, best = ratio, net
        else:
            low = ratio
    assert isinstance(best, torch.nn.Module)
    return best


def with_fastnas(model, setting, share: float):  # type: ignore[no-untyped-def]
    """Its search; it knows no latencies, so MACs are corrected until the net keeps the budget."""
    asked, net = share, fastnas(model, setting, share)
    for _ in range(FASTNAS_TRIES):
        cost = cost_share(net, setting)
        if setting.budget == "macs" or 0.95 * share < cost <= share:
            break
        asked *= 0.99 * share / cost
        try:
            net = fastnas(model, setting, asked)
        except ValueError:  # fewer MACs than it can prune to
            break
    return net


def fastnas(model, setting, share: float):  # type: ignore[no-untyped-def]
    """Its search over a space that it makes of the net, with its own recalibration of norms."""
    import modelopt.torch.prune as mtp
    import torch

    from tipsc.train import quality_of

    data = setting.data
    example = data.train.inputs[:1]
    loader = [data.train.inputs[i : i + 64] for i in range(0, 1024, 64)]

    def score(net) -> float:  # type: ignore[no-untyped-def]
        net.eval()
        return quality_of(net, data.validation, data.judged_by).value

    with tempfile.TemporaryDirectory() as folder:
        pruned, _ = mtp.prune(
            copy.deepcopy(model),
            mode=[("fastnas", FASTNAS)],
            constraints={"flops": f"{100 * share:.1f}%"},
            dummy_input=example,
            config={
                "data_loader": loader,
                "score_func": score,
                "collect_func": lambda batch: (batch,),
                "checkpoint": str(Path(folder) / "search.pth"),
                "verbose": False,
            },
        )
    assert isinstance(pruned, torch.nn.Module)
    return pruned


TOOLS: dict[str, Callable] = {"torch-pruning": with_torch_pruning, "fastnas": with_fastnas}


def fine_tuned(net, setting, compute: float):  # type: ignore[no-untyped-def]
    """By labels and the trained net's answers, as tipsc trains paths."""
    import torch

    from tipsc.train import TrainConfig
    from tipsc.train.passes import TEACHER_SHARE

    data, task = setting.data, setting.data.judged_by
    cost = macs_of(net.eval(), data.train.inputs[:1])
    steps = max(4, round(compute / cost / 64))
    config = TrainConfig(epochs=4, learning_rate=setting.rate)
    matrices = [p for p in net.parameters() if p.dim() > 1]
    vectors = [p for p in net.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        config.learning_rate,
        fused=True,
    )
    chance = torch.Generator().manual_seed(setting.seed)
    order = torch.cat([
        torch.randperm(len(data.train), generator=chance)
        for _ in range(math.ceil(steps * 64 / len(data.train)))
    ])  # fmt: skip
    net.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = config.rate(step, steps)
        index = order[step * 64 : (step + 1) * 64]
        inputs, targets = data.train.inputs[index], data.train.targets[index]
        with torch.no_grad():
            teacher = setting.plain(inputs)
        outputs = net(inputs)
        loss = TEACHER_SHARE * task.imitate(outputs, teacher)
        loss = loss + (1 - TEACHER_SHARE) * task.loss(outputs, targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def one(
    study: str, tool: str, passes: float, budget: str, rate: float, seed: int
) -> dict[str, str]:
    """A row."""
    import torch
    from narrowing import Setting, joined

    from tipsc.train import quality_of

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    setting = Setting(study, "trained", passes, 4, rate, seed, budget=budget)
    data, plain = setting.data, setting.plain
    whole = macs_of(plain, data.train.inputs[:1])
    compute = passes * len(data.train) * whole / setting.paths
    found: dict[str, list[float]] = {"validation": [], "test": [], "costs": []}
    for share in setting.budgets:
        net = TOOLS[tool](plain, setting, share)
        found["costs"].append(cost_share(net, setting))
        net = fine_tuned(net, setting, compute)
        for split in ("validation", "test"):
            found[split].append(quality_of(net, getattr(data, split), data.judged_by).value)
    original = quality_of(plain, data.test, data.judged_by).value
    return {
        "study": study, "tool": tool, "passes": f"{passes:g}", "paths": str(setting.paths),
        "budget": budget, "rate": f"{rate:g}", "seed": str(seed),
        **{k: joined(v) for k, v in found.items()},
        "original": f"{100 * original:.2f}",
    }  # fmt: skip


def rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def mean_of(row: dict[str, str], what: str = "test") -> float:
    return statistics.mean(map(float, row[what].split()))


def tuned(file: Path, study: str, tool: str) -> float:
    found = [
        (mean_of(row, "validation"), float(row["rate"]))
        for row in rows(file)
        if (row["study"], row["tool"], row["seed"]) == (study, tool, str(TUNED_ON))
    ]
    return max(found)[1] if found else RATES[1]


def show(file: Path) -> None:
    from narrowing import rows as our_rows
    from teacher import interval

    found = [row for row in rows(file) if row["seed"] != str(TUNED_ON)]
    for study, passes, budget in sorted({(r["study"], r["passes"], r["budget"]) for r in found}):
        ours = {
            arm: {
                row["seed"]: row
                for row in our_rows(OURS)
                if (row["study"], row["start"], row["paths"], row["lowest"], row["thrift"])
                == (study, "trained", "4", "0.25", "0.5")
                and row["budget"] == budget
                and float(row["passes"]) == float(passes)
                and row["arm"] == arm
                and row["seed"] != str(TUNED_ON)
            }
            for arm in ("chosen", "alone")
        }
        here = [
            row for row in found
            if (row["study"], row["passes"], row["budget"]) == (study, passes, budget)
        ]  # fmt: skip
        tools = {
            row["tool"]: {r["seed"]: r for r in here if r["tool"] == row["tool"]} for row in here
        }
        print(
            f"\n{study}, {passes} passes, budgets of {budget}, original "
            f"{here[0]['original']} % (seed {here[0]['seed']})"
        )
        print(
            f"  {'':<16}seeds  rate  by budget                      mean   cost, % of the largest  "
            "tipsc's paths ahead by; where the tool keeps the budget"
        )
        for name, by_seed in {**ours, **tools}.items():
            if not by_seed:
                continue
            tests = [[float(v) for v in row["test"].split()] for row in by_seed.values()]
            means = [statistics.mean(column) for column in zip(*tests, strict=True)]
            both = sorted(by_seed.keys() & ours["chosen"].keys())
            ahead = (
                interval([mean_of(ours["chosen"][s]) - mean_of(by_seed[s]) for s in both])
                if both and name != "chosen"
                else ""
            )
            costs = [[float(v) for v in row["costs"].split()] for row in by_seed.values()]
            taken = " ".join(f"{statistics.mean(c):.0f}" for c in zip(*costs, strict=True))
            if name in tools:
                kept = [lead for s in both for lead in kept_leads(ours["chosen"][s], by_seed[s])]
                ahead += f"; {statistics.mean(kept):+.2f} ({len(kept)} nets)" if kept else "; none"
            label = f"tipsc, {name}" if name in ours else name
            rate = next(iter(by_seed.values()))["rate"]
            shown = " ".join(f"{value:.2f}" for value in means)
            figures = f"{shown:<30}{statistics.mean(means):>7.2f}"
            print(f"  {label:<16}{len(by_seed):>5}{rate:>7}  {figures}   {taken:<24}{ahead}")


def kept_leads(ours: dict[str, str], tool: dict[str, str]) -> list[float]:
    """By how much our path is ahead at each budget that the tool's net keeps."""
    step = (0.8 / 0.25) ** (1 / 3)
    budgets = [25.0 * step**i for i in range(4)]
    columns = (ours["test"], tool["test"], tool["costs"])
    each = zip(budgets, *([float(v) for v in text.split()] for text in columns), strict=True)
    return [mine - its for budget, mine, its, cost in each if cost <= 1.02 * budget]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["tune", "run", "show"])
    parser.add_argument("study", nargs="?")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--passes", type=float, default=2.5)
    parser.add_argument("--budget", choices=["macs", "latency"], default="macs")
    parser.add_argument("--seeds", default="0-2")
    parser.add_argument("--csv", type=Path, default=RESULT)
    given = parser.parse_args()
    if given.what == "show":
        show(given.csv)
        return
    if given.study is None:
        parser.error("which study?")
    python = installed()
    if Path(sys.prefix) != PLACE:
        os.execv(python, [str(python), *sys.argv])
    first, _, last = given.seeds.partition("-")
    tune = given.what == "tune"
    seeds = [TUNED_ON] if tune else range(int(first), int(last or first) + 1)
    for seed in seeds:
        for tool in given.tools.split(","):
            for rate in RATES if tune else (tuned(given.csv, given.study, tool),):
                key = (
                    given.study, tool, f"{given.passes:g}", given.budget, f"{rate:g}", str(seed),
                )  # fmt: skip
                names = ("study", "tool", "passes", "budget", "rate", "seed")
                if any(tuple(row[n] for n in names) == key for row in rows(given.csv)):
                    continue
                row = one(given.study, tool, given.passes, given.budget, rate, seed)
                fresh = not given.csv.exists()
                with given.csv.open("a", newline="") as stream:
                    writer = csv.DictWriter(stream, COLUMNS)
                    if fresh:
                        writer.writeheader()
                    writer.writerow(row)
                print(*key, row["test"], f"mean {mean_of(row):.2f}", flush=True)


if __name__ == "__main__":
    main()
