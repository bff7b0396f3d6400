"""What a link costs, on an sshd on loopback: 200 MB pushed against scp, and a warm round trip.

    python benchmarks/device.py [URL] [--mbit N] [--json FILE]

URL is ``ssh://127.0.0.1:PORT?...`` of a server that the system's ssh and scp can log into; by
default one is started with throw-away keys. Both send the same file from the page cache; who goes
first alternates, and each turn sends another file. ``push`` is on an open connection, as in a
build; scp has to connect, so its time is also compared with connecting and pushing. scp leaves the
file in the page cache; a push ends when it is on the disk, which is what ``fsync`` shows. With
``--mbit`` both go once more through a relay that passes so many megabits a second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tipsc.device.client import connect

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "device"))

from loopback import sshd

BYTES, TURNS, PINGS = 200_000_000, 9, 500
SLOW_BYTES, SLOW_TURNS = 50_000_000, 3


def spent(work: object, *arguments: object) -> float:
    begin = time.perf_counter()
    work(*arguments)  # type: ignore[operator]
    return time.perf_counter() - begin


def scp(file: Path, copy: Path, port: int) -> None:
    subprocess.run(["scp", "-q", "-P", str(port), file, f"127.0.0.1:{copy}"], check=True)


def flush(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def connect_and_push(url: str, file: Path) -> None:
    with connect(url) as device:
        device.push(file)


def compare(url: str, size: int, turns: int) -> dict[str, object]:
    """Medians in seconds, and the ratios of each turn."""
    port = urlsplit(url).port or 22
    names = ("push", "scp", "fsync_of_scp", "again", "connect", "connect_and_push")
    times: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder, connect(url) as device:
        file, copy = Path(folder) / "weights", Path(folder) / "copy"
        for turn in range(turns):
            done = {}
            for way in ("push", "scp") if turn % 2 else ("scp", "push"):
                if way == "push":
                    file.write_bytes(os.urandom(size))
                    done["push"] = spent(device.push, file)
                    done["again"] = spent(device.push, file)
                    file.write_bytes(os.urandom(size))
                    done["connect"] = spent(connect_and_close, url)
                    done["connect_and_push"] = spent(connect_and_push, url, file)
                else:
                    file.write_bytes(os.urandom(size))
                    done["scp"] = spent(scp, file, copy, port)
                    done["fsync_of_scp"] = spent(flush, copy)
                    copy.unlink()
            for name, value in done.items():
                times[name].append(value)
        device.clean()
    median = {name: statistics.median(values) for name, values in times.items()}
    return {
        "bytes": size,
        **{f"{name}_s": value for name, value in median.items()},
        "push_over_scp": median["push"] / median["scp"],
        "push_over_scp_of_each_turn": ratios(times["push"], times["scp"]),
        "connect_and_push_over_scp": median["connect_and_push"] / median["scp"],
        "connect_and_push_over_scp_of_each_turn": ratios(times["connect_and_push"], times["scp"]),
    }


def ratios(upper: list[float], lower: list[float]) -> list[float]:
    return [round(a / b, 3) for a, b in zip(upper, lower, strict=True)]


def connect_and_close(url: str) -> None:
    with connect(url):
        pass


def pings(url: str) -> dict[str, float]:
    with connect(url) as device:
        times = sorted(device.ping() * 1e3 for _ in range(PINGS))
    return {
        "round_trip_p50_ms": times[PINGS // 2],
        "round_trip_p95_ms": times[PINGS * 95 // 100],
    }


@contextmanager
def relay(port: int, mbit: float) -> Iterator[int]:
    """A port that passes what it gets on to another, no faster than so many megabits a second."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client = server.accept()[0]
            except OSError:
                return
            there = socket.create_connection(("127.0.0.1", port))
            threading.Thread(target=carry, args=(client, there, mbit), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        server.close()


def carry(one: socket.socket, other: socket.socket, mbit: float) -> None:
    free = time.monotonic()  # when the link has room again
    with one, other:
        while True:
            for end in select.select([one, other], [], [])[0]:
                part = end.recv(1 << 14)
                if not part:
                    return
                now = time.monotonic()
                free = max(free, now - 0.01) + len(part) * 8 / (mbit * 1e6)
                time.sleep(max(0.0, free - now))
                (other if end is one else one).sendall(part)


@contextmanager
def server(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as name:
        (folder := Path(name) / "sshd").mkdir()
        with sshd(folder) as port:
            yield f"ssh://127.0.0.1:{port}?python={sys.executable}&root={name}/root"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", nargs="?")
    parser.add_argument("--mbit", type=float)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with server(arguments.url) as url:
        result: dict[str, object] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, loopback",
            **compare(url, BYTES, TURNS),
            **pings(url),
        }
        if arguments.mbit:
            port = urlsplit(url).port or 22
            with relay(port, arguments.mbit) as slow:
                found = compare(url.replace(f":{port}", f":{slow}", 1), SLOW_BYTES, SLOW_TURNS)
            result["limited"] = {"mbit_per_s": arguments.mbit, **found}
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
