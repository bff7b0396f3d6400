"""A stand-in for a phone's adbd: it runs commands here, for the real adb client and server.

It is written after what AOSP publishes of the protocol (protocol.txt, docs/dev/services.md and
shell_protocol.h of packages/modules/adb), knows ``shell,v2,raw:`` alone, and starts, half-closes
and hangs up a command as adbd does: one socket pair for its input and output, another for its
errors, and a SIGHUP when the client or the link is gone.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import socket
import struct
import subprocess
import threading
from contextlib import suppress
from itertools import count

MESSAGE = struct.Struct("<6I")  # command, two arguments, bytes, check, command inverted
CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = (
    int.from_bytes(name, "little")
    for name in (b"CNXN", b"AUTH", b"OPEN", b"OKAY", b"WRTE", b"CLSE")
)
CHECKED, UNCHECKED = 0x01000000, 0x01000001  # versions: with the sum of the bytes, and without
TOKEN = 1  # of AUTH

PACKET = struct.Struct("<BI")  # of a shell: kind, bytes
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


class Broken(Exception):
    """The server is gone, or does not keep to the protocol."""


class Transport:
    """The connection of one adb server."""

    def __init__(self, connection: socket.socket, options: argparse.Namespace) -> None:
        self.connection, self.options = connection, options
        self.version, self.most = CHECKED, 4096  # until both have said theirs
        self.sending = threading.Lock()
        self.shells: dict[int, Shell] = {}
        self.ids = count(1)

    def serve(self) -> None:
        try:
            while True:
                self.answer(*self.receive())
        except (Broken, OSError):
            pass
        finally:
            for shell in list(self.shells.values()):
                shell.hang_up()
            self.connection.close()

    def answer(self, command: int, theirs: int, ours: int, payload: bytes) -> None:
        if command == CNXN and self.options.locked:
            self.send(AUTH, TOKEN, 0, os.urandom(20))
        elif command == CNXN:
            features = "" if self.options.old_shell else "features=shell_v2,cmd"
            banner = f"device::ro.product.name=standin;ro.product.model=Stand-in;{features}"
            self.send(CNXN, self.options.version, self.options.most, banner.encode())
            self.version = min(theirs, self.options.version)
            self.most = min(ours, self.options.most)
        elif command == AUTH:  # a signature, or at last the key, which nobody allows
            if theirs != 3:
                self.send(AUTH, TOKEN, 0, os.urandom(20))
        elif command == OPEN:
            self.open(theirs, payload.rstrip(b"\0").decode())
        elif command not in (OKAY, WRTE, CLSE):
            raise Broken(f"command {command:#x}")
        elif shell := self.shells.get(ours):
            if command == WRTE:
                shell.incoming.put(payload)
            elif command == OKAY:
                shell.ready.release()
            else:
                shell.hang_up()

    def open(self, theirs: int, service: str) -> None:
        name, _, command = service.partition(":")
        kind, *arguments = name.split(",")
        if kind != "shell" or not {"v2", "raw"} <= set(arguments):
            self.send(CLSE, 0, theirs)
            return
        ours = next(self.ids)
        self.send(OKAY, ours, theirs)
        self.shells[ours] = Shell(self, ours, theirs, command)

    def send(self, command: int, first: int, second: int, payload: bytes = b"") -> None:
        check = 0 if self.version >= UNCHECKED else sum(payload) & 0xFFFFFFFF
        head = MESSAGE.pack(command, first, second, len(payload), check, command ^ 0xFFFFFFFF)
        with self.sending:
            self.connection.sendall(head + payload)

    def receive(self) -> tuple[int, int, int, bytes]:
        command, first, second, size, check, inverted = MESSAGE.unpack(self.read(MESSAGE.size))
        if inverted != command ^ 0xFFFFFFFF or size > self.options.most:
            raise Broken("not a message")
        payload = self.read(size)
        if self.version < UNCHECKED and check != sum(payload) & 0xFFFFFFFF:
            raise Broken("a damaged payload")
        return command, first, second, payload

    def read(self, size: int) -> bytes:
        parts = bytearray()
        while len(parts) < size:
            part = self.connection.recv(size - len(parts))
            if not part:
                raise Broken("the end")
            parts += part
        return bytes(parts)


class Shell:
    """A command, and the stream that carries its input, output, errors and exit code."""

    def __init__(self, transport: Transport, ours: int, theirs: int, command: str) -> None:
        self.transport, self.ours, self.theirs = transport, ours, theirs
        self.incoming: queue.Queue[bytes | None] = queue.Queue()
        self.ready = threading.Semaphore(1)  # one message is on its way at most
        self.hung_up = False
        self.streams, inside = socket.socketpair()
        self.errors, errors_inside = socket.socketpair()
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=inside, stdout=inside, stderr=errors_inside, start_new_session=True,
        )  # fmt: skip
        inside.close()
        errors_inside.close()
        outputs = [
            threading.Thread(target=self.pass_output, args=arguments, daemon=True)
            for arguments in ((self.streams, STDOUT), (self.errors, STDERR))
        ]
        for thread in outputs:
            thread.start()
        threading.Thread(target=self.pass_input, daemon=True).start()
        threading.Thread(target=self.finish, args=(outputs,), daemon=True).start()

    def pass_output(self, source: socket.socket, kind: int) -> None:
        try:
            while part := source.recv(self.transport.most - PACKET.size):
                self.write(kind, part)
        except OSError:
            pass

    def pass_input(self) -> None:
        text = bytearray()
        while (part := self.incoming.get()) is not None:
            text += part
            while len(text) >= PACKET.size:  # packets and messages do not begin together
                kind, size = PACKET.unpack_from(text)
                if len(text) < PACKET.size + size:
                    break
                packet = bytes(text[PACKET.size : PACKET.size + size])
                del text[: PACKET.size + size]
                try:
                    if kind == STDIN:
                        self.streams.sendall(packet)
                    elif kind == CLOSE_STDIN:
                        self.streams.shutdown(socket.SHUT_WR)
                except OSError:
                    pass  # a command may end before its input does
            self.tell(OKAY)

    def finish(self, outputs: list[threading.Thread]) -> None:
        for thread in outputs:
            thread.join()
        code = self.process.wait()
        self.write(EXIT, bytes([code if code >= 0 else 128 - code]))
        self.ready.acquire()
        if not self.hung_up:
            self.tell(CLSE)
        self.transport.shells.pop(self.ours, None)
        self.incoming.put(None)

    def write(self, kind: int, content: bytes) -> None:
        self.ready.acquire()
        if not self.hung_up:
            self.tell(WRTE, PACKET.pack(kind, len(content)) + content)

    def tell(self, command: int, payload: bytes = b"") -> None:
        with suppress(OSError):  # the transport ends by itself
            self.transport.send(command, self.ours, self.theirs, payload)

    def hang_up(self) -> None:
        self.hung_up = True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGHUP)
        for side in (self.streams, self.errors):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
        self.ready.release(4)  # whoever waits to write
        self.incoming.put(None)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--version", type=lambda text: int(text, 0), default=UNCHECKED)
    parser.add_argument("--most", type=int, default=1 << 20, help="bytes of a message")
    parser.add_argument("--locked", action="store_true", help="no computer's key is allowed")
    parser.add_argument("--old-shell", action="store_true", help="as before Android 7")
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", options.port)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=Transport(connection, options).serve, daemon=True).start()


if __name__ == "__main__":
    main()
