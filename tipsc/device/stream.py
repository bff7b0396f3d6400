"""Frames over the pipes of a link's program: nothing is waited for without an end."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from tipsc.device import agent
from tipsc.device.broken import explain_break
from tipsc.device.link import Link
from tipsc.errors import DeviceLinkError, DeviceProtocolError

ANSWER_S = 60.0  # for what is no job
LAST_WORDS_S = 2.0  # for the link's program to say why it ends
_CLOSE_S = 5.0  # for it to end
_STEP_S = 0.01  # of waiting for that
_MOST_SAID = 4000  # bytes of what it says
_SLOWEST = 4096  # bytes a second of a link that is not taken for dead


def soon() -> float:
    """When an answer that takes no work has to be there, by the monotonic clock."""
    return time.monotonic() + ANSWER_S


class LinkStream:
    """Sends and receives; of what the link's program says on stderr the end is kept."""

    def __init__(self, link: Link, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout and process.stderr
        self.link, self._process = link, process
        self._said = agent.Tail(process.stderr.fileno(), _MOST_SAID)
        self._to, self._from = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._to, False)
        self.capabilities: Mapping[str, Any] = {}

    def close(self) -> None:
        """Ends the agent: it stops when its input does."""
        process = self._process
        assert process.stdin and process.stdout and process.stderr
        with suppress(OSError):
            process.stdin.close()
        if self._ended(_CLOSE_S) is None:
            process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()

    def _ended(self, limit_s: float) -> int | None:
        """The status of the link's program; what it says is read, lest it waits for that."""
        end = time.monotonic() + limit_s
        while (status := self._process.poll()) is None and time.monotonic() < end:
            self._ready([], [], time.monotonic() + _STEP_S)
        return status

    def cut(self) -> None:
        """Ends the link at once, from any thread; the agent and its job end with it."""
        self._process.kill()

    def _send(self, message: Mapping[str, Any], binary: bytes | memoryview = b"") -> None:
        self._write(agent.head(message, binary))
        self._write(binary)

    def _write(self, content: bytes | memoryview) -> None:
        """Blocks no longer than the other side reads: it may have stopped, or nearly so."""
        rest = memoryview(content)
        end = soon() + len(rest) / _SLOWEST
        while rest:
            if not self._ready([], [self._to], min(end, soon())):
                raise self._silent()
            try:
                rest = rest[os.write(self._to, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._broken() from error

    def _ready(self, reads: list[int], writes: list[int], end: float) -> bool:
        """Waits for one of them, and keeps the end of what the link's program says meanwhile."""
        while True:
            left = end - time.monotonic()
            said = self._said.waiting()
            readable, writable, _ = select.select([*reads, *said], writes, [], max(left, 0.0))
            if writable or any(place in reads for place in readable):
                return True
            if readable:
                self._said.read()
            if left <= 0:
                return False

    def _receive(self, end: float) -> tuple[dict[str, Any], bytearray]:
        magic, length, binary = agent.HEADER.unpack(self._read(agent.HEADER.size, end))
        if magic != agent.MAGIC or length > agent.MAX_JSON or binary > agent.MAX_BINARY:
            raise self._protocol("bytes that are no frame")
        # A frame that has begun comes on, or the device does not answer.
        end = min(end, soon() + (length + binary) / _SLOWEST)
        try:
            message = agent.decode(self._read(length, end))
        except ValueError as error:
            raise self._protocol(f"a frame without JSON ({error!s:.80})") from error
        if not isinstance(message, dict):
            raise self._protocol("a frame without a JSON object")
        return message, self._read(binary, end)

    def _read(self, count: int, end: float) -> bytearray:
        whole = bytearray(count)
        view = memoryview(whole)
        while view:
            if not self._ready([self._from], [], end):
                raise self._silent()
            done = os.readv(self._from, [view])
            if not done:
                raise self._broken()
            view = view[done:]
        return whole

    def _silent(self) -> DeviceLinkError:
        return DeviceLinkError(
            "the device does not answer",
            where=self.link.url,
            fix="see that it is up and not busy with other things, and start the command again",
        )

    def _protocol(self, got: str) -> DeviceProtocolError:
        return DeviceProtocolError(
            "the device does not speak the agent's protocol",
            where=self.link.url,
            got=got,
            fix="look whether a login script prints something there",
        )

    def _broken(self) -> DeviceLinkError:
        status = self._ended(LAST_WORDS_S)  # it comes a moment after its output ends
        greeted = bool(self.capabilities)
        return explain_break(self.link, status, self._said.end(), greeted=greeted)
