"""Whether estimates from published figures order paths better than MACs do (Spearman's rho).

    python benchmarks/roofline.py --data nasbench201-latency.npz [--json FILE]
    python benchmarks/roofline.py --host [--json FILE]

``--data``: the public latencies of benchmarks/predictor.py, five devices. The network is the one
that NAS-Bench-201 defines: 5 cells at each of 16, 32 and 64 channels on 32, 16 and 8 pixels, in
which all edges run, whatever leads nowhere among them. What ran it on each device the data set does
not say, so that both readings are shown for all of them: ``compiled``, by the rule of
tipsc/profile/roofline.py (what works value by value runs in the kernel before it), and ``eager``,
each operation a kernel of its own. ``--host``: paths of two networks, measured here in an engine,
with figures of this machine that are measured first; see roofline_host.py.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from predictor import DEVICES, EDGES, FAULTY_BELOW, live_edges, machine
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from tipsc.profile.roofline import kernel_ms, traffic_ms
from tipsc.project.target import Roofline

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

STAGES = ((16, 32), (32, 16), (64, 8))  # channels, pixels along a side
CELLS = 5  # of a stage
NONE, CONV1, CONV3, POOL = 0, 2, 3, 4
KERNEL = {CONV1: 1, CONV3: 3}
LAUNCH_US = 5.0  # as in targets/: nobody publishes one
#: (FP32 TFLOPS, GB/s) by the makers' data sheets
FIGURES = {
    "1080ti_1": (11.3, 484.0),  # 3584 cores x 2 x 1.58 GHz; 352-bit GDDR5X
    "gold_6226": (2.07, 140.8),  # 12 cores x 64 x 2.7 GHz (AVX-512); 6 channels of DDR4-2933
    "samsung_a50": (0.074, 12.8),  # Exynos 9610: 4 A73 x 8 x 2.3 GHz; LPDDR4X
    "pixel3": (0.179, 29.8),  # Snapdragon 845: 4 big cores x 16 x 2.8 GHz; LPDDR4X
    "raspi4": (0.048, 12.8),  # BCM2711: 4 A72 x 8 x 1.5 GHz; 32-bit LPDDR4-3200
}


def figures_of(device: str, tflops: float, memory_gb_s: float, launch_us: float) -> Roofline:
    """As a target would have them."""
    source = "see benchmarks/roofline.py"
    return Roofline.model_validate(
        {
            "device": device,
            "tflops": {"fp32": tflops, "fp16": tflops, "int8": tflops},
            "memory_gb_s": memory_gb_s,
            "launch_us": launch_us,
            "sources": {"tflops": source, "memory_gb_s": source, "launch_us": source},
        }
    )


def conv_macs(operation: int, channels: int, side: int) -> int:
    return (channels * KERNEL[operation] * side) ** 2


def macs_of(cells: Ints, edges: NDArray[np.bool_]) -> Array:
    """MACs of the convolutions on these edges, (cells,)."""
    found = np.zeros(len(cells))
    for channels, side in STAGES:
        for operation in KERNEL:
            count = ((cells == operation) & edges).sum(1)
            found += CELLS * count * conv_macs(operation, channels, side)
    return found


def estimates(cells: Ints, roofline: Roofline, *, compiled: bool) -> Array:
    """Estimated ms of the cells of the network, (cells,); the rest is the same in all of them."""
    additions = sum(max(0, sum(head == node for _, head in EDGES) - 1) for node in (1, 2, 3))
    found = np.zeros(len(cells))
    for channels, side in STAGES:
        values = channels * side**2
        by_itself = kernel_ms(roofline, "fp32", 0, 2 * values)  # ReLU, norm, x * 0, pooling
        cost = {NONE: 0.0 if compiled else by_itself, POOL: by_itself}
        for operation, kernel in KERNEL.items():
            moved = 2 * values + (channels * kernel) ** 2
            cost[operation] = kernel_ms(
                roofline, "fp32", conv_macs(operation, channels, side), moved
            ) + (0.0 if compiled else 2 * by_itself)
        for operation, ms in cost.items():
            found += CELLS * ms * (cells == operation).sum(1)
        added = traffic_ms(roofline, "fp32", values)
        found += (
            CELLS * additions * (added if compiled else kernel_ms(roofline, "fp32", 0, 3 * values))
        )
    return found


def rho(guessed: Array, measured: Array) -> float:
    return float(spearmanr(guessed, measured).statistic)


def of_devices(data: Path) -> dict[str, dict[str, float]]:
    """Spearman with the public latencies, by device."""
    with np.load(data, allow_pickle=False) as arrays:
        cells = arrays["architectures"].astype(np.int64)
        tables = {device: arrays[device].astype(np.float64) for device in DEVICES}
    live = live_edges(cells)
    macs, macs_live = macs_of(cells, np.ones_like(live)), macs_of(cells, live)
    found = {}
    for device, table in tables.items():
        keep = live.any(axis=1) & (table > FAULTY_BELOW * np.median(table))
        roofline = figures_of(device, *FIGURES[device], LAUNCH_US)
        guesses = {
            "macs": macs,
            "compiled": estimates(cells, roofline, compiled=True),
            "eager": estimates(cells, roofline, compiled=False),
            "macs_of_live_edges": macs_live,
        }
        found[device] = {name: rho(guess[keep], table[keep]) for name, guess in guesses.items()}
    return found


def table_of(found: dict[str, dict[str, float]]) -> Table:
    table = Table(title="Spearman's rho with what was measured")
    columns = list(next(iter(found.values())))
    table.add_column("", no_wrap=True)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="right")
    for device, row in found.items():
        table.add_row(device, *(f"{row[name]:.3f}" for name in columns))
    means = [np.mean([row[name] for row in found.values()]) for name in columns]
    table.add_row("mean", *(f"{mean:.3f}" for mean in means))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--data", type=Path, help="the .npz file")
    what.add_argument("--host", action="store_true", help="measure on this machine")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()
    content: dict[str, Any] = {"machine": machine()}
    if options.host:
        import roofline_host  # torch, and all that compiles

        content |= roofline_host.run()
    else:
        content["figures"] = {"tflops, GB/s": FIGURES, "launch_us": LAUNCH_US}
        content["networks"] = of_devices(options.data)
    Console().print(table_of(content["networks"]))
    if options.json:
        options.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
