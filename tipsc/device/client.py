"""A connected device: pushes blobs and runs jobs; every way to fail has its error."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tipsc.device import agent
from tipsc.device.answers import error_of
from tipsc.device.archive import runtime_archive
from tipsc.device.broken import explain_break, explain_missing
from tipsc.device.link import Link, parse_link
from tipsc.errors import DeviceLinkError, DeviceProtocolError, UsageError

ANSWER_S = 60.0  # for what is no job
MAX_FILES = 4 << 30  # bytes of files that one job may send back
TIMEOUT_S = 3600.0
_LAST_WORDS_S = 2.0  # for the link's program to say why it ends
_MOST_SAID = 4000  # bytes of that
_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", 1031)  # Linux's; not every Python names it


@dataclass(frozen=True)
class Answer:
    """What a job gave: its result, and its files by name."""

    result: Any
    files: Mapping[str, bytes]


class Connection:
    """An agent on the other end of a link; made by :func:`connect`."""

    def __init__(self, link: Link, process: subprocess.Popen[bytes], log: Any) -> None:
        assert process.stdin and process.stdout
        self.link, self._process, self._log = link, process, log
        self._to, self._from = process.stdin.fileno(), process.stdout.fileno()
        os.set_blocking(self._to, False)
        self.capabilities: Mapping[str, Any] = {}
        self._names: dict[str, str] = {}  # of pushed files, by digest

    def start(self, text: bytes, quota: int | None) -> None:
        """Puts the agent in place and greets it."""
        line = b""
        while not line.endswith(b"\n"):
            line += self._read(1, time.monotonic() + ANSWER_S)
            if len(line) > 5 or line not in b"have\npush\n":
                if select.select([self._from], [], [], _LAST_WORDS_S)[0]:
                    line += os.read(self._from, 80)
                shown = line.decode("utf-8", "replace").splitlines()[0]
                raise self._protocol(f"{shown!r} instead of the agent's greeting")
        if line == b"push\n":
            self._write(text)
        request: dict[str, Any] = {"op": "hello", "version": agent.VERSION}
        answer = self.ask({**request, **({} if quota is None else {"quota": quota})})
        self.capabilities = self._field(answer, "capabilities", dict)

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
        left: list[str] = self._field(self.ask({"op": "clean"}), "left", list)
        return [str(name)[:100] for name in left]

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
        answer = self._receive(time.monotonic() + ANSWER_S)[0]
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
        *,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int | None = None,
        progress: Callable[[float, float], None] | None = None,
    ) -> Answer:
        """Does a job of :data:`tipsc.device.jobs.JOBS` in a process of its own.

        Args:
            blobs: name to digest.
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
        self._send(request)
        files: dict[str, bytearray] = {}
        size = 0
        end = time.monotonic() + timeout_s + ANSWER_S
        while True:
            message, binary = self._receive(end)
            event = message.get("event")
            if event == "progress":
                value = self._field(message, "value", list)
                if len(value) != 2 or not all(type(part) in (int, float) for part in value):
                    raise self._protocol(f"a progress of {value!r:.80}")
                if progress is not None:
                    progress(*value)
            elif event in ("file", "more"):
                size += len(binary)
                if size > MAX_FILES:
                    raise self._protocol(f"more than {MAX_FILES} bytes of files")
                files.setdefault(self._field(message, "name", str), bytearray()).extend(binary)
            elif event is None:
                result = self._field(self._checked(message, job), "result", object)
                return Answer(result, {name: bytes(content) for name, content in files.items()})
            else:
                raise self._protocol(f"an event {event!r:.40}")

    def ask(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """A request and its answer."""
        self._send(message)
        return self._answer(time.monotonic() + ANSWER_S)

    def close(self) -> None:
        """Ends the agent: it stops when its input does."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.close()
            self._process.wait(5)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def cut(self) -> None:
        """Ends the link at once, from any thread; the agent and its job end with it."""
        self._process.kill()

    def _answer(self, end: float) -> dict[str, Any]:
        return self._checked(self._receive(end)[0])

    def _checked(self, message: dict[str, Any], job: str = "") -> dict[str, Any]:
        if message.get("ok") is True:
            return message
        error = error_of(message, self.link.url, job, self._names)
        raise error or self._protocol(f"the answer {message!r:.200}")

    def _field(self, message: Mapping[str, Any], name: str, kind: type) -> Any:
        """A field of a message that must be there."""
        if name not in message or not isinstance(message[name], kind):
            raise self._protocol(f"an answer without {name!r}")
        return message[name]

    def _send(self, message: Mapping[str, Any], binary: bytes | memoryview = b"") -> None:
        self._write(agent.head(message, binary))
        self._write(binary)

    def _write(self, content: bytes | memoryview) -> None:
        """Blocks no longer than the other side reads: it may have stopped."""
        rest = memoryview(content)
        while rest:
            if not select.select([], [self._to], [], ANSWER_S)[1]:
                raise self._silent()
            try:
                rest = rest[os.write(self._to, rest) :]
            except BlockingIOError:
                continue
            except OSError as error:
                raise self._broken() from error

    def _receive(self, end: float) -> tuple[dict[str, Any], bytearray]:
        magic, text, binary = agent.HEADER.unpack(self._read(agent.HEADER.size, end))
        if magic != agent.MAGIC or text > agent.MAX_JSON or binary > agent.MAX_BINARY:
            raise self._protocol("bytes that are no frame")
        body = self._read(text, end)
        try:
            message = agent.json.loads(body)
        except (ValueError, RecursionError) as error:
            raise self._protocol("a frame without JSON") from error
        if not isinstance(message, dict):
            raise self._protocol("a frame without a JSON object")
        return message, self._read(binary, end)

    def _read(self, count: int, end: float) -> bytearray:
        whole = bytearray(count)
        view = memoryview(whole)
        while view:
            ready, _, _ = select.select([self._from], [], [], max(end - time.monotonic(), 0.0))
            if not ready:
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
        try:  # its status comes a moment after its output ends
            status = self._process.wait(_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            status = None
        self._log.seek(0)
        said = self._log.read()[-_MOST_SAID:].decode("utf-8", "replace")
        return explain_break(self.link, status, said, greeted=bool(self.capabilities))


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
    text = Path(agent.__file__).read_bytes()
    command = link.start(hashlib.sha256(text).hexdigest(), len(text))
    with tempfile.TemporaryFile() as log:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0
            )
        except OSError as error:
            raise explain_missing(link, error) from error
        connection = Connection(link, process, log)
        with suppress(OSError):  # faster, where the system allows it
            fcntl.fcntl(connection._to, _SETPIPE_SZ, agent.MAX_BINARY)
        try:
            connection.start(text, link.quota if quota is None else quota)
            yield connection
        finally:
            connection.close()
