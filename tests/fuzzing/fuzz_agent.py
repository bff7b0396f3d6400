"""The agent against a hostile client, and against what a job leaves it: requests, mutated."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
from collections.abc import Callable
from typing import Any

from fuzz_mutations import Frame, mutated, odd_number, odd_value

from tipsc.device import agent

QUOTA = 100_000
CONTENT = b"bytes of a blob"
DIGEST = hashlib.sha256(CONTENT).hexdigest()
HEAD = hashlib.sha256(CONTENT[: agent.HEAD]).hexdigest()
RESULT = {"result": {"cores": [0], "seconds": 0.5}}


def requests() -> list[list[Frame]]:
    """Each with the frames that belong to it; the whole life of a connection, if not mutated."""
    run = {
        "op": "run", "job": "x", "arguments": {"a": [1, {"b": 2.5}]}, "blobs": {"engine": DIGEST},
        "runtime": DIGEST, "timeout_s": 1.5, "memory_bytes": 1 << 30,
    }  # fmt: skip
    return [
        [({"op": "hello", "version": agent.VERSION, "quota": QUOTA}, b"")],
        [({"op": "ping"}, b"")],
        [({"op": "like", "size": len(CONTENT), "head": HEAD}, b"")],
        [({"op": "has", "digest": DIGEST}, b"")],
        [({"op": "put", "size": len(CONTENT)}, b""), ({}, CONTENT), ({"digest": DIGEST}, b"")],
        [(run, b"")],
        [({"op": "clean"}, b"")],
    ]


class WithoutProcesses(agent.Agent):
    """An agent whose jobs have ended as soon as they begin, and left what the test says.

    A process for each execution would take all the time; what it is given and what is taken from
    it is all there.
    """

    generator: random.Random

    def watch(self, folder: str, timeout_s: float) -> dict[str, Any]:
        assert 0 < timeout_s <= agent.MAX_TIMEOUT_S
        job = json.loads(pathlib.Path(folder, "job.json").read_text())
        for file in [job["runtime"], *job["blobs"].values()]:
            assert pathlib.Path(file).resolve().is_relative_to(pathlib.Path(self.root).resolve())
        memory = job["memory_bytes"]
        assert memory is None or (type(memory) is int and memory > 0)
        generator = self.generator
        if generator.random() < 0.9:
            text = json.dumps(odd_value(generator, RESULT)).encode()
            if generator.random() < 0.3:
                text = odd_number(generator, text)
            pathlib.Path(folder, "result.json").write_bytes(text)
        out = pathlib.Path(folder, "out")
        if generator.random() < 0.3:
            (out / "samples.json").write_bytes(b"{}")
        if generator.random() < 0.1:
            generator.choice((
                lambda: (out / "link").symlink_to("/etc/passwd"),
                lambda: (out / "folder").mkdir(),
                lambda: os.mkfifo(out / "pipe"),
                lambda: pathlib.Path(os.fsdecode(os.fsencode(out) + b"/\xff")).write_bytes(b""),
            ))()  # fmt: skip
        said, saying = os.pipe()
        os.write(saying, generator.randbytes(generator.randrange(3000)))
        os.close(saying)
        try:
            code = generator.choice((0, 0, 0, 0, 1, agent.FULL, -9, -11))
            return self.finish(folder, code, None, agent.Tail(said, agent.TAIL))  # type: ignore[no-any-return]
        finally:
            os.close(said)


def answers(place: int) -> list[dict[str, Any]]:
    """What the agent sent: whole frames, and nothing else."""
    end = os.lseek(place, 0, os.SEEK_CUR)
    os.lseek(place, 0, os.SEEK_SET)
    found = []
    while os.lseek(place, 0, os.SEEK_CUR) < end:
        found.append(agent.receive(place)[0])
    return found


def make_executor(folder: pathlib.Path) -> Callable[[random.Random], None]:
    """One mutated connection to the agent, to its end.

    The agent keeps within its quota and its folder, and answers in whole frames: otherwise an
    AssertionError.
    """
    outside = folder / "device"
    outside.mkdir(exist_ok=True)
    root = outside / "agent"
    incoming, outgoing = os.memfd_create("requests"), os.memfd_create("answers")

    def execute(generator: random.Random) -> None:
        known = requests()
        chosen = known[:1] if generator.random() < 0.8 else []
        chosen += generator.choices(known[1:6], weights=(1, 2, 2, 2, 3), k=generator.randint(1, 3))
        chosen += known[6:] if generator.random() < 0.05 else []
        stream = mutated(generator, [part for request in chosen for part in request])
        for place, content in ((incoming, stream), (outgoing, b"")):
            os.ftruncate(place, 0)
            os.pwrite(place, content, 0)
            os.lseek(place, 0, os.SEEK_SET)
        server = WithoutProcesses(str(root), incoming, outgoing)
        server.generator = generator
        server.serve()
        for answer in answers(outgoing):
            assert answer.get("ok") is True or "error" in answer or "event" in answer
        assert agent.listed(str(outside)) in (["agent"], [])
        blobs = agent.listed(str(root / "blobs"))
        assert len(blobs) <= agent.MAX_BLOBS
        for name in blobs:
            content = (root / "blobs" / name).read_bytes()
            assert hashlib.sha256(content).hexdigest() == name
        assert set(agent.listed(str(root))) <= set(agent.OWN)
        assert not agent.listed(str(root / "jobs"))

    return execute
