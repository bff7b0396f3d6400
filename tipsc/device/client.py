"""A connected device: pushes blobs and runs jobs; every way to fail has its error."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tipsc.backends.table import BACKENDS
from tipsc.device import agent
from tipsc.device.answers import error_of
from tipsc.device.archive import runtime_archive
from tipsc.device.broken import explain_missing
from tipsc.device.expected import GREETING, Expected
from tipsc.device.incoming import Wrong, listing, number, shown, text
from tipsc.device.link import Link, parse_link
from tipsc.device.stream import LAST_WORDS_S, LinkStream, soon
from tipsc.errors import DeviceProtocolError, UsageError

MAX_FILES = 4 << 30  # bytes of files that one job may send back, whatever was asked for
_EVENTS, _EVENTS_S = 1000, 20  # that a job may send, and how many more a second
_PROGRESS = listing(number(0, 1e18), 2, 2)
TIMEOUT_S = 3600.0
_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", 1031)  # Linux's; not every Python names it


@dataclass(frozen=True)
class Answer:
    """What a job gave.

    Attributes:
        result: of it.
        files: by name.
        waited_s: seconds that passed here until it came.
    """

    result: Any
    files: Mapping[str, bytes]
    waited_s: float = 0.0


class Connection(LinkStream):
    """An agent on the other end of a link; made by :func:`connect`."""

    def __init__(self, link: Link, process: subprocess.Popen[bytes]) -> None:
        super().__init__(link, process)
        self._names: dict[str, str] = {}  # of pushed files, by digest

    def start(self, source: bytes, quota: int | None) -> None:
        """Puts the agent in place and greets it."""
        line, end = b"", soon()
        while not line.endswith(b"\n"):
            line += self._read(1, end)
            if len(line) > 5 or line not in b"have\npush\n":
                if self._ready([self._from], [], time.monotonic() + LAST_WORDS_S):
                    line += os.read(self._from, 80)
                told = line.decode("utf-8", "replace").splitlines()[0]
                raise self._protocol(f"{told!r} instead of the agent's greeting")
        if line == b"push\n":
            self._write(source)
        packages = sorted({"numpy", *(name for b in BACKENDS.values() for name in b.packages)})
        request: dict[str, Any] = {"op": "hello", "version": agent.VERSION, "packages": packages}
        answer = self.ask({**request, **({} if quota is None else {"quota": quota})})
        with self.checked():
            self.capabilities = GREETING(answer.get("capabilities"), "capabilities")

    def ping(self) -> float:
        """Seconds of a round trip."""
        begin = time.perf_counter()
        self.ask({"op": "ping"})
        return time.perf_counter() - begin

    def clean(self) -> list[str]:
        """Removes everything that tipsc put on the device, and nothing else.

        Returns:
            What others put into tipsc's folder there, and stays.
        """
        answer = self.ask({"op": "clean"})
        with self.checked():
            left: list[str] = listing(text)(answer.get("left"), "left")
        return [name[:100] for name in left]

    def push(self, file: Path) -> str:
        """Sends a file unless the device has it; gives its digest.

        Raises:
            DeviceStorageError: it does not fit there.
            UsageError: something writes to it at the same time.
        """
        with file.open("rb", buffering=0) as stream:
            digest = self._push(stream, os.fstat(stream.fileno()).st_size, str(file))
        self._names[digest] = file.name
        return digest

    def push_bytes(self, content: bytes) -> str:
        """As :meth:`push`, for bytes in memory."""
        return self._push(io.BytesIO(content), len(content), "bytes in memory")

    def _push(self, stream: BinaryIO | io.RawIOBase, size: int, where: str) -> str:
        """Hashes before it sends only what may be there already; all else while it is sent."""
        first = hashlib.sha256(stream.read(agent.HEAD) or b"")
        if size > agent.HEAD:
            like = self.ask({"op": "like", "size": size, "head": first.hexdigest()})
            known = self._field(like, "like", bool)
        else:
            known = True
        if known:
            while part := stream.read(agent.MAX_BINARY):
                first.update(part)
            name = first.hexdigest()
            if self._field(self.ask({"op": "has", "digest": name}), "has", bool):
                return name
        stream.seek(0)
        digest = hashlib.sha256()
        hashing = agent.Beside(digest.update)
        left = size
        self._send({"op": "put", "size": size})
        try:
            while left and (part := stream.read(min(left, agent.MAX_BINARY))):
                hashing.give(part)
                self._send({}, part)
                left -= len(part)
        finally:
            hashing.end()
        self._send({"digest": None if left else digest.hexdigest()})
        answer = self._receive(soon())[0]
        if left or (known and digest.hexdigest() != name):
            raise UsageError(
                "the file was changed while it was sent", where=where, fix="start it again"
            )
        self._checked(answer)
        return digest.hexdigest()

    def run(
        self,
        job: str,
        arguments: Mapping[str, Any],
        blobs: Mapping[str, str] | None = None,
        expected: Expected = Expected(),  # noqa: B008 - frozen
        *,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int | None = None,
        progress: Callable[[float, float], None] | None = None,
    ) -> Answer:
        """Does a job of :data:`tipsc.device.jobs.JOBS` in a process of its own.

        Args:
            blobs: name to digest.
            expected: what it may send back; by default any result, and no file.
            timeout_s: after which it is killed.
            memory_bytes: of address space that it may use.
            progress: is given what the job tells.

        Raises:
            DeviceJobError and its kinds, or the job's own error if tipsc has one of that name.
        """
        request = {
            "op": "run",
            "job": job,
            "arguments": arguments,
            "blobs": dict(blobs or {}),
            "runtime": self.push_bytes(runtime_archive()),
            "timeout_s": timeout_s,
            "memory_bytes": memory_bytes,
        }
        begin = time.monotonic()
        self._send(request)
        files: dict[str, bytearray] = {}
        size = events = 0
        end = soon() + timeout_s
        while True:
            message, binary = self._receive(end)
            event = message.get("event")
            if event is None:
                return self._answered(message, job, files, expected, time.monotonic() - begin)
            events, size = events + 1, size + len(binary)
            most = _EVENTS + _EVENTS_S * (time.monotonic() - begin) + size / agent.MAX_BINARY
            if events > most:
                raise self._protocol(f"{events} events within {time.monotonic() - begin:.1f} s")
            if event == "progress":
                with self.checked():
                    told = _PROGRESS(message.get("value"), "progress")
                if progress is not None:
                    progress(*told)
            elif event in ("file", "more"):
                with self.checked():
                    _take(files, message.get("name"), binary, expected)
                    if size > MAX_FILES:
                        raise Wrong("files", f"at most {MAX_FILES} bytes", size)
            else:
                raise self._protocol(f"an event {shown(event)}")

    def _answered(
        self,
        message: dict[str, Any],
        job: str,
        files: Mapping[str, bytearray],
        expected: Expected,
        waited_s: float,
    ) -> Answer:
        self._checked(message, job)
        with self.checked():
            result = expected.result(message.get("result"), "result")
            for name in expected.needed:
                if name not in files:
                    raise Wrong("files", f"the file {name}", ", ".join(files) or "none")
        return Answer(result, {name: bytes(part) for name, part in files.items()}, waited_s)

    @contextmanager
    def checked(self) -> Iterator[None]:
        """What a device told is looked at within; what cannot be is a DeviceProtocolError."""
        try:
            yield
        except Wrong as error:
            raise self.wrong(error) from error

    def wrong(self, error: Wrong) -> DeviceProtocolError:
        """The error of what a device told that cannot be."""
        return DeviceProtocolError(
            f"the device reports what cannot be, or was not asked for: {error.place}",
            where=self.link.url,
            expected=error.expected,
            got=error.got,
            fix="look at its clock and its sensors, and whose it is; then start it again",
        )

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A request and its answer."""
        self._send(message)
        return self._answer(soon())

    def _answer(self, end: float) -> dict[str, Any]:
        return self._checked(self._receive(end)[0])

    def _checked(self, message: dict[str, Any], job: str = "") -> dict[str, Any]:
        if message.get("ok") is True:
            return message
        error = error_of(message, self.link.url, job, self._names)
        raise error or self._protocol(f"the answer {shown(message)}")

    def _field(self, message: Mapping[str, Any], name: str, kind: type) -> Any:
        """A field of a message that must be there."""
        if name not in message or not isinstance(message[name], kind):
            raise self._protocol(f"an answer without {name!r}")
        return message[name]


def _take(files: dict[str, bytearray], name: Any, part: bytearray, expected: Expected) -> None:
    """Adds to a file that was asked for, within its bound."""
    if not isinstance(name, str) or name not in expected.files:
        raise Wrong("files", ", ".join(sorted(expected.files)[:8]) or "no file", name)
    content = files.setdefault(name, bytearray())
    if len(content) + len(part) > expected.files[name]:
        most = f"at most {expected.files[name]} bytes"
        raise Wrong(f"the file {name}", most, len(content) + len(part))
    content.extend(part)


@contextmanager
def connect(url: str, *, quota: int | None = None) -> Iterator[Connection]:
    """Starts the agent on a device; it ends with the block.

    Args:
        url: see :mod:`tipsc.device.link`.
        quota: bytes that blobs may take there; by default what the URL says, or 2 GiB.

    Raises:
        UsageError: no such kind of URL.
        DeviceLinkError, DeviceProtocolError: as their names say.
    """
    link = parse_link(url)
    source = Path(agent.__file__).read_bytes()
    command = link.start(hashlib.sha256(source).hexdigest(), len(source))
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
    except OSError as error:
        raise explain_missing(link, error) from error
    connection = Connection(link, process)
    with suppress(OSError):  # faster, where the system allows it
        fcntl.fcntl(connection._to, _SETPIPE_SZ, agent.MAX_BINARY)
    try:
        connection.start(source, link.quota if quota is None else quota)
        yield connection
    finally:
        connection.close()
