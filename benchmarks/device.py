"""What a link costs, on an sshd on loopback: 200 MB pushed against scp, and a warm round trip.

    python benchmarks/device.py URL [--json FILE]

URL is ``ssh://127.0.0.1:PORT?...`` of a server that the system's ssh and scp can log into. The two
ways to send take turns; the ratio is of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from tipsc.device.client import connect

BYTES, TURNS, PINGS = 200_000_000, 5, 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    parts = urlsplit(arguments.url)
    pushed, copied = [], []
    with tempfile.TemporaryDirectory() as folder, connect(arguments.url) as device:
        file, other = Path(folder) / "weights", Path(folder) / "copy"
        pings = sorted(device.ping() * 1e3 for _ in range(PINGS))
        for _ in range(TURNS):
            file.write_bytes(os.urandom(BYTES))  # random: another blob each turn
            begin = time.perf_counter()
            device.push(file)
            pushed.append(time.perf_counter() - begin)
            target = f"{parts.hostname}:{other}"
            begin = time.perf_counter()
            subprocess.run(["scp", "-q", "-P", str(parts.port or 22), file, target], check=True)
            copied.append(time.perf_counter() - begin)
        device.clean()
    ratios = [push / copy for push, copy in zip(pushed, copied, strict=True)]
    result = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, loopback",
        "bytes": BYTES,
        "push_s": statistics.median(pushed),
        "scp_s": statistics.median(copied),
        "push_over_scp": statistics.median(pushed) / statistics.median(copied),
        "push_over_scp_of_each_turn": [round(ratio, 3) for ratio in ratios],
        "round_trip_p50_ms": pings[PINGS // 2],
        "round_trip_p95_ms": pings[PINGS * 95 // 100],
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
