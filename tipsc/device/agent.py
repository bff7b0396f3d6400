"""The agent: one file of the standard library, Python 3.8 or newer, that serves a device.

It speaks frames over stdin and stdout and opens no port. A frame is ``>4sII``: the magic, the
bytes of a JSON object, the bytes of a binary part; then both. Requests have an ``op``; each gets
exactly one final answer, ``{"ok": true, ...}`` or ``{"error": kind, "message": ...}``; a running
job sends ``{"event": ...}`` before it. Every job is a process of its own session, which dies with
the agent. ``jobs`` are named in the table :data:`tipsc.device.jobs.JOBS` of the runtime archive.
"""

import ctypes
import errno
import hashlib
import json
import math
import os
import platform
import queue
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback

VERSION = 2
MAGIC = b"TPSC"
HEADER = struct.Struct(">4sII")
MAX_JSON = 1 << 20
MAX_BINARY = 1 << 20
MAX_DEPTH = 16  # of a JSON value
MAX_PARTS = 100000  # of a JSON value: its commas and brackets
MAX_DIGITS = 24  # of a whole number
QUOTA = 2 << 30  # bytes of blobs, unless the client asks for another bound
MAX_QUOTA = 1 << 50
MAX_BLOBS = 10000
MAX_LENT = 4096  # blobs of one job
MAX_PACKAGES = 100
PACKAGE = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")
MAX_WORDS = 1000  # characters of a name that a client gives
MAX_TIMEOUT_S = 30 * 86400.0
MAX_EVENT = 4096  # bytes of what a job tells of its progress
TAIL = 2000  # bytes of a job's output that are kept, and told if it dies
DIGEST = 64
#: NVIDIA's list of CUDA GPUs, by the chip in the device tree
COMPUTE_CAPABILITIES = {
    "tegra210": "5.3",
    "tegra186": "6.2",
    "tegra194": "7.2",
    "tegra234": "8.7",
    "tegra264": "11.0",
}
#: how libraries say that there is no memory
SPENT = ("bad alloc", "bad_alloc", "allocate memory", "Memory allocation", "failed to map segment")
MARKER = ".tipsc-device"  # in a folder that tipsc made, or found empty
OWN = ("blobs", "jobs", MARKER)  # and agent-*.py: all that tipsc puts there
AGENT = "agent.py"  # this file's name in the folder of a job
FULL = 28  # exit code of a job whose result cannot be written
HEAD = 1 << 20  # bytes by whose digest a blob is asked for before all of it is hashed


class Broken(Exception):
    """The other side is gone, or does not speak the protocol."""


class Refused(Exception):
    """A request that cannot be met: (kind, message)."""


# What may come in: from a client, from a job, and at the other end from a device.


def short(digits):
    if len(digits) > MAX_DIGITS:
        raise ValueError("a number of %d digits" % len(digits))
    return int(digits)


def finite(text):
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number that is not finite")
    return value


DECODER = json.JSONDecoder(parse_int=short, parse_float=finite, parse_constant=finite)


def decode(content, most_parts=MAX_PARTS):
    """A JSON value, all numbers finite. A ValueError says what else it is.

    Its parts are counted before anything is built of them: three bytes can become a list.
    """
    content = bytes(content)
    if sum(map(content.count, (b",", b"[", b"{"))) > most_parts:
        raise ValueError("JSON of more than %d parts" % most_parts)
    try:
        value = DECODER.decode(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("JSON that is too deep")
    if deeper(value, MAX_DEPTH):
        raise ValueError("JSON that is too deep")
    return value


def deeper(value, levels):
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return not levels or any(deeper(part, levels - 1) for part in value)


def whole(message, name, low, high):
    """A field of a request that is a whole number within bounds."""
    value = message.get(name)
    if type(value) is not int or not low <= value <= high:
        text = "%s is no whole number from %d to %d: %.40r"
        raise Refused("protocol", text % (name, low, high, value))
    return value


def seconds(message, name):
    value = message.get(name)
    if type(value) not in (int, float) or not 0 < value <= MAX_TIMEOUT_S:
        raise Refused("protocol", "%s is no number of seconds: %.40r" % (name, value))
    return float(value)


def words(message, name):
    value = message.get(name)
    if not isinstance(value, str) or len(value) > MAX_WORDS:
        raise Refused("protocol", "%s is no name: %.40r" % (name, value))
    return value


def named(message, name, most):
    """A field of a request that is an object of at most so many parts."""
    value = message.get(name)
    if not isinstance(value, dict) or len(value) > most:
        raise Refused("protocol", "%s is no object, or too large: %.40r" % (name, value))
    return value


class Tail:
    """The last bytes of what a program says; all else of it is let go."""

    def __init__(self, fd, most):
        os.set_blocking(fd, False)
        self.fd, self.most, self.open, self.kept = fd, most, True, b""

    def read(self):
        """Takes what is there, without waiting; says whether it was anything."""
        try:
            part = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            part = b""
        self.open = bool(part)
        self.kept = (self.kept + part)[-self.most :]
        return self.open

    def waiting(self):
        """What to wait for: nothing once it has ended."""
        return [self.fd] if self.open else []

    def end(self):
        """All that is kept when its program is gone; what that started may go on talking."""
        for _ in range(64):
            if not self.open or not self.read():
                break
        return self.kept.decode("utf-8", "replace")


def write_all(fd, data):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def head(message, binary):
    """A frame but for its binary part."""
    text = json.dumps(message).encode()
    if len(text) > MAX_JSON:
        text = json.dumps({"error": "protocol", "message": "the answer is too long"}).encode()
    return HEADER.pack(MAGIC, len(text), len(binary)) + text


def send(fd, message, binary=b""):
    write_all(fd, head(message, binary))
    write_all(fd, binary)


def read_exactly(fd, count):
    whole = bytearray(count)
    view = memoryview(whole)
    while view:
        done = os.readv(fd, [view])
        if not done:
            raise Broken("the stream ended within a frame" if len(view) < count else "end")
        view = view[done:]
    return whole


def receive(fd):
    magic, text, binary = HEADER.unpack(read_exactly(fd, HEADER.size))
    if magic != MAGIC or text > MAX_JSON or binary > MAX_BINARY:
        raise Broken("not a frame")
    try:
        message = decode(read_exactly(fd, text))
    except ValueError as error:
        raise Broken("a frame without JSON: %.80s" % error)
    if not isinstance(message, dict):
        raise Broken("a frame without a JSON object")
    return message, read_exactly(fd, binary)


class Beside:
    """Gives parts to a function in a thread of its own: few wait, and none after an error."""

    def __init__(self, work):
        self.work, self.error = work, None
        self.waiting = queue.Queue(2)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        for part in iter(self.waiting.get, None):
            try:
                if self.error is None:
                    self.work(part)
            except Exception as error:
                self.error = error

    def give(self, part):
        self.waiting.put(part)

    def end(self):
        self.waiting.put(None)
        self.thread.join()
        if self.error is not None:
            raise self.error


class Writing:
    """A file that is hashed and written while its next part is read."""

    def __init__(self, file):
        self.stream = open(file, "wb", buffering=0)
        self.hashed = hashlib.sha256()
        self.parts = Beside(self.take)

    def take(self, part):
        self.hashed.update(part)
        write_all(self.stream.fileno(), part)

    def end(self):
        """Gives the digest of what is on the disk now."""
        self.parts.end()
        os.fsync(self.stream.fileno())
        return self.hashed.hexdigest()

    def close(self):
        if self.parts.thread.is_alive():
            self.parts.give(None)
            self.parts.thread.join()
        self.stream.close()


class Store:
    """Blobs by SHA-256, bounded: the longest unused ones go first."""

    def __init__(self, root):
        self.folder = os.path.join(root, "blobs")
        self.quota = QUOTA
        self.held = set()  # asked for or put since the last job: not pruned
        self.stand()
        for name in os.listdir(self.folder):  # what a killed agent left
            if name.endswith(".part") and not serves(name.split(".")[1]):
                remove(os.path.join(self.folder, name))

    def stand(self):
        """Makes the folder if need be: another client may have cleaned. A new one is marked."""
        root = os.path.dirname(self.folder)
        if not os.path.isdir(root):
            os.makedirs(root)
            open(os.path.join(root, MARKER), "a").close()
        os.makedirs(self.folder, exist_ok=True)

    def file(self, digest):
        if not (
            isinstance(digest, str)
            and len(digest) == DIGEST
            and all(c in "0123456789abcdef" for c in digest)
        ):
            raise Refused("protocol", "not a SHA-256 digest")
        return os.path.join(self.folder, digest)

    def has(self, digest):
        file = self.file(digest)
        if not os.path.exists(file):
            return False
        os.utime(file)
        self.held.add(digest)
        return True

    def lend(self, digest, folder):
        """A file with this content that no other client can take away while the folder stands."""
        file = self.file(digest)
        lent = os.path.join(folder, digest)
        try:
            if not os.path.exists(lent):
                os.link(file, lent)
        except FileNotFoundError:
            raise Refused("missing", digest)
        except OSError:  # a file system without links
            return file
        return lent

    def make_room(self, size):
        """Prunes until `size` bytes more fit into the quota; the disk must have them free."""
        self.stand()
        files = []
        for name in os.listdir(self.folder):
            try:
                status = os.stat(os.path.join(self.folder, name))
            except FileNotFoundError:  # pruned by another agent, or its .part is whole now
                continue
            files.append((status.st_mtime, status.st_size, name))
        used = sum(file[1] for file in files)
        count = len(files)
        for _, length, name in sorted(files):
            if used + size <= self.quota and count < MAX_BLOBS:
                break
            if name not in self.held and not name.endswith(".part"):
                remove(os.path.join(self.folder, name))
                used -= length
                count -= 1
        if count >= MAX_BLOBS:
            raise Refused("storage", "%d blobs are in use, and no more may be" % count)
        if used + size > self.quota:
            text = "%d bytes do not fit: %d of the %d that tipsc may take are in use"
            raise Refused("storage", text % (size, used, self.quota))
        disk = os.statvfs(self.folder)
        if size > disk.f_bavail * disk.f_frsize:
            text = "%d bytes do not fit: %d are free on the disk"
            raise Refused("storage", text % (size, disk.f_bavail * disk.f_frsize))

    def like(self, size, head):
        """Whether a blob of this size begins as one with this digest of its first bytes."""
        for name in listed(self.folder):
            try:
                file = os.path.join(self.folder, name)
                if os.path.getsize(file) == size and not name.endswith(".part"):
                    with open(file, "rb") as stream:
                        if hashlib.sha256(stream.read(HEAD)).hexdigest() == head:
                            return True
            except OSError:  # pruned by another agent
                pass
        return False

    def put(self, size, fd):
        """Takes `size` bytes in frames, then a frame that has their digest and no bytes.

        The whole stream is read even where it is refused.
        """
        temporary = os.path.join(self.folder, "blob.%d.part" % os.getpid())
        writing = None
        try:
            try:
                self.make_room(size)
                writing = Writing(temporary)
            except (Refused, OSError) as error:
                self.skip(size, fd)
                raise error
            left, part = size, b"-"
            while part:
                message, part = receive(fd)
                left -= len(part)
                if left < 0:
                    raise Broken("a blob of another length than announced")
                writing.parts.give(part)
            hashed = writing.end()
            if left or hashed != message.get("digest"):
                raise Refused("protocol", "the blob arrived with another content")
            os.replace(temporary, self.file(hashed))
            self.held.add(hashed)
        finally:
            if writing is not None:
                writing.close()
            remove(temporary)

    def skip(self, size, fd):
        part = b"-"
        while part:
            part = receive(fd)[1]
            size -= len(part)
            if size < 0:
                raise Broken("a blob of another length than announced")


class Agent:
    def __init__(self, root, incoming, outgoing):
        self.root, self.incoming, self.outgoing = root, incoming, outgoing
        self.store = Store(root)
        self.jobs = os.path.join(root, "jobs")
        with open(os.path.abspath(__file__), "rb") as stream:
            self.text = stream.read()
        for name in listed(self.jobs):  # what a killed agent left
            if not serves(name):
                shutil.rmtree(os.path.join(self.jobs, name), ignore_errors=True)

    def serve(self):
        while True:
            try:
                message, _ = receive(self.incoming)
            except Broken as error:
                if str(error) != "end":
                    send(self.outgoing, {"error": "protocol", "message": str(error)})
                return
            except OSError:  # a link that was reset
                return
            operation = OPERATIONS.get(str(message.get("op")))
            try:
                if operation is None:
                    raise Refused("protocol", "no operation %.40r" % message.get("op"))
                answer = operation(self, message)
            except Refused as error:
                answer = {"error": error.args[0], "message": error.args[1]}
            except Broken:
                return
            except MemoryError:
                answer = {"error": "memory", "message": "MemoryError"}
            except OSError as error:
                kind = "storage" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "system"
                answer = {"error": kind, "message": str(error)[:MAX_WORDS]}
            send(self.outgoing, answer)

    def hello(self, message):
        if message.get("version") != VERSION:
            raise Refused("protocol", "agent speaks version %d" % VERSION)
        if "quota" in message:
            self.store.quota = whole(message, "quota", 0, MAX_QUOTA)
        packages = message.get("packages", [])
        if not isinstance(packages, list) or len(packages) > MAX_PACKAGES:
            raise Refused("protocol", "packages are no list, or too many: %.40r" % (packages,))
        for name in packages:
            if not isinstance(name, str) or not PACKAGE.match(name):
                raise Refused("protocol", "no package is called %.40r" % (name,))
        return {"ok": True, "version": VERSION, "capabilities": capabilities(packages)}

    def ping(self, message):
        return {"ok": True}

    def has(self, message):
        return {"ok": True, "has": self.store.has(message.get("digest"))}

    def put(self, message):
        self.store.put(whole(message, "size", 0, MAX_QUOTA), self.incoming)
        return {"ok": True}

    def like(self, message):
        """Says before a blob travels whether it may be here already, and that it fits."""
        size = whole(message, "size", 0, MAX_QUOTA)
        like = self.store.like(size, words(message, "head"))
        if not like:
            self.store.make_room(size)
        return {"ok": True, "like": like}

    def clean(self, message):
        at_work = listed(self.jobs)
        at_work += [name.split(".")[1] for name in listed(self.store.folder) if ".part" in name]
        for pid in at_work:
            if pid != str(os.getpid()) and serves(pid):
                raise Refused("busy", "process %s there works for another client" % pid)
        if not os.path.isfile(os.path.join(self.root, MARKER)) and listed(self.root):
            raise Refused("storage", "%s is not marked as tipsc's: nothing is removed" % self.root)
        for name in listed(self.root):
            place = os.path.join(self.root, name)
            if name in ("blobs", "jobs") and not os.path.islink(place):
                shutil.rmtree(place, ignore_errors=True)
            elif name in OWN or name.startswith("agent-"):
                remove(place)
        others = listed(self.root)
        if not others:
            shutil.rmtree(self.root, ignore_errors=True)  # another client may have cleaned
        elif any(name in OWN or name.startswith("agent-") for name in others):
            raise Refused("storage", "%s could not be removed" % self.root)
        return {"ok": True, "left": others[:100]}

    def run(self, message):
        wanted = named(message, "blobs", MAX_LENT)
        specification = {
            "job": words(message, "job"),
            "arguments": named(message, "arguments", MAX_PARTS),
            "memory_bytes": None
            if message.get("memory_bytes") is None
            else whole(message, "memory_bytes", 1, MAX_QUOTA),
        }
        timeout_s = seconds(message, "timeout_s")
        folder = os.path.join(self.jobs, str(os.getpid()))
        shutil.rmtree(folder, ignore_errors=True)
        lent = os.path.join(folder, "blobs")
        os.makedirs(lent)
        os.makedirs(os.path.join(folder, "out"))
        try:
            specification.update(
                blobs={name: self.store.lend(digest, lent) for name, digest in wanted.items()},
                runtime=self.store.lend(message.get("runtime"), lent),
                out=os.path.join(folder, "out"),
            )
            with open(os.path.join(folder, AGENT), "wb") as stream:
                stream.write(self.text)  # another client may have cleaned its own file away
            with open(os.path.join(folder, "job.json"), "w") as stream:
                json.dump(specification, stream)
            return self.watch(folder, timeout_s)
        finally:
            self.store.held = set()
            shutil.rmtree(folder, ignore_errors=True)

    def watch(self, folder, timeout_s):
        """Runs the job to its end; kills it when time is up or the client goes away."""
        killed_before = memory_kills()
        end = time.monotonic() + timeout_s
        events, told = os.pipe()
        process = subprocess.Popen(
            [sys.executable, os.path.join(folder, AGENT), "job", folder, str(told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[told],
            start_new_session=True,
            env=dict(os.environ, TIPSC_AGENT=str(os.getpid())),
        )
        os.close(told)
        said = Tail(process.stdout.fileno(), TAIL)
        try:
            text, told_all = b"", False
            while not told_all or process.poll() is None:
                left = end - time.monotonic()
                if left <= 0:
                    raise Refused("timeout", "longer than %g s" % timeout_s)
                if told_all:  # it ends in a moment
                    left = min(left, 0.01)
                waiting = [self.incoming] + said.waiting() + ([] if told_all else [events])
                ready, _, _ = select.select(waiting, [], [], left)
                if self.incoming in ready:
                    raise Broken("the client went away or spoke while its job ran")
                if said.fd in ready:
                    said.read()
                if events in ready:
                    part = os.read(events, 1 << 16)
                    told_all = not part
                    *lines, text = (text + part).split(b"\n")
                    for line in lines:
                        send(self.outgoing, {"event": "progress", "value": progress_of(line)})
                    if len(text) > MAX_EVENT:
                        progress_of(text)
            return self.finish(folder, process.returncode, killed_before, said)
        finally:
            os.close(events)
            try:
                os.killpg(process.pid, signal.SIGKILL)  # what the job started as well
            except OSError:
                pass
            process.wait()
            process.stdout.close()

    def finish(self, folder, code, killed_before, said):
        result = os.path.join(folder, "result.json")
        if code == FULL:
            raise Refused("storage", "no space is left for the job's result")
        if code != 0 or not os.path.exists(result):
            if code == -signal.SIGKILL:
                killed = memory_kills()
                if killed is None or killed != killed_before:
                    raise Refused("memory", "the system killed it")
                raise Refused("crash", "somebody, or a guard of the memory, killed it (signal 9)")
            log = said.end().strip()
            if out_of_memory(log):
                raise Refused("memory", log.splitlines()[-1])
            how = "signal %d" % -code if code < 0 else "exit code %d" % code
            raise Refused("crash", "%s; %s" % (how, log) if log else how)
        if os.path.getsize(result) > MAX_JSON:
            raise Refused("failed", "its result is longer than %d bytes" % MAX_JSON)
        with open(result, "rb") as stream:
            try:
                answer = decode(stream.read(MAX_JSON))
            except ValueError as error:
                raise Refused("failed", "its result is %s" % error)
        if not isinstance(answer, dict) or not ("error" in answer or "result" in answer):
            raise Refused("failed", "it left no result")
        if "error" in answer:
            return answer
        for name in sorted(os.listdir(os.path.join(folder, "out"))):
            file = os.path.join(folder, "out", name)
            if os.path.islink(file) or not os.path.isfile(file):
                raise Refused("failed", "it left %.80r, which is no file" % name)
            with open(file, "rb") as stream:
                part = stream.read(MAX_BINARY)
                send(self.outgoing, {"event": "file", "name": name}, part)
                while part:
                    part = stream.read(MAX_BINARY)
                    if part:
                        send(self.outgoing, {"event": "more", "name": name}, part)
        return {"ok": True, "result": answer["result"]}


OPERATIONS = {
    "hello": Agent.hello,
    "ping": Agent.ping,
    "has": Agent.has,
    "like": Agent.like,
    "put": Agent.put,
    "run": Agent.run,
    "clean": Agent.clean,
}


def capabilities(packages):
    """What can be said without a library; a job tells the rest.

    Packages are those whose versions are asked for, as indexes of packages spell them.
    """
    names = {}
    try:
        from importlib.metadata import PackageNotFoundError, version
        from importlib.util import find_spec
    except ImportError:
        return {}
    for name in packages:
        try:
            names[name] = version(name)
        except PackageNotFoundError:
            if find_spec(name):  # a system's package without metadata
                names[name] = "unknown"
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "memory_mib": pages * size // (1 << 20),
        "python": platform.python_version(),
        "backends": names,
        **jetson(),
        "clocks_mhz": [
            megahertz("/sys/devices/system/cpu/cpu%d/cpufreq/scaling_cur_freq" % core)
            for core in range(min(os.cpu_count() or 0, 256))
        ],
        "governor": read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "thermal_zones_mc": [
            read_text("/sys/class/thermal/%s/temp" % zone)
            for zone in sorted(listed("/sys/class/thermal"))
            if zone.startswith("thermal_zone")
        ],
    }


def jetson(root="/"):
    """What only a Jetson tells; None elsewhere, and for what it does not tell.

    As :mod:`tipsc.measure.jetson` reads it, which comes with the first job only.
    """
    release = read_text(os.path.join(root, "etc/nv_tegra_release"))
    found = {"l4t": release, "jetpack": None, "power_mode": None, "sm": None}
    if release is None:
        return found
    compatible = read_text(os.path.join(root, "proc/device-tree/compatible")) or ""
    chip = re.search(r"tegra\d+", compatible)
    found["sm"] = COMPUTE_CAPABILITIES.get(chip.group() if chip else "")
    packages = read_text(os.path.join(root, "var/lib/dpkg/status"), 1 << 24) or ""
    package = re.search(r"^Package: nvidia-jetpack\n(?:.+\n)*?Version: (\S+)$", packages, re.M)
    found["jetpack"] = package.group(1) if package else None
    command = shutil.which("nvpmodel", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if command:
        try:
            said = subprocess.run(
                [command, "-q"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=10,
            ).stdout.decode("utf-8", "replace")
        except (OSError, subprocess.TimeoutExpired):
            said = ""
        mode = re.search(r"NV Power Mode:[ \t]*(\S[^\r\n]*)", said)
        found["power_mode"] = mode.group(1).strip() if mode else None
    return found


def serves(pid):
    """Whether this process is an agent that lives; another may have its number by now."""
    try:
        with open("/proc/%d/cmdline" % int(pid), "rb") as stream:
            return b"serve" in stream.read().split(b"\0")
    except (OSError, ValueError):
        return False


def memory_kills():
    """How often the system killed a process for its memory; None where it does not tell."""
    for line in (read_text("/proc/vmstat", 1 << 16) or "").splitlines():
        if line.startswith("oom_kill "):
            return line
    return None


def remove(file):
    try:
        os.unlink(file)
    except FileNotFoundError:
        pass


def listed(folder):
    try:
        return os.listdir(folder)
    except OSError:
        return []


def read_text(file, most=4096):
    try:
        with open(file, errors="replace") as stream:
            return stream.read(most).strip()
    except OSError:
        return None


def megahertz(file):
    text = read_text(file)
    return int(text) / 1000.0 if text and re.match(r"[0-9]{1,12}$", text) else None


def progress_of(line):
    try:
        return decode(line[:MAX_EVENT])
    except ValueError as error:
        raise Refused("failed", "it tells a progress that is %s" % error)


def run_job(folder, told):
    """In the job's process: take the runtime's archive, do the job, write its result."""
    try:  # die with the agent, whatever ends it
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (OSError, AttributeError):
        pass
    if os.getppid() != int(os.environ["TIPSC_AGENT"]):
        os._exit(1)
    try:  # of all processes the system should kill this one first
        with open("/proc/self/oom_score_adj", "w") as stream:
            stream.write("1000")
    except OSError:
        pass
    with open(os.path.join(folder, "job.json")) as stream:
        job = json.load(stream)
    if job["memory_bytes"]:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (job["memory_bytes"],) * 2)
    sys.path[0] = job["runtime"]  # instead of the agent's own folder
    try:
        from tipsc.device.jobs import run

        def progress(*value):
            os.write(told, json.dumps(value).encode() + b"\n")

        answer = {"result": run(job["job"], job["arguments"], job["blobs"], job["out"], progress)}
    except MemoryError:
        answer = {"error": "memory", "message": "MemoryError"}
    except Exception as error:
        traceback.print_exc()
        answer = {
            "error": kind_of(error),
            "kind": type(error).__name__,
            "facts": {
                name: None if getattr(error, name, None) is None else str(getattr(error, name))
                for name in ("what", "where", "expected", "got", "fix")
            },
            "message": text_of(error),
        }
    temporary = os.path.join(folder, "result.tmp")
    try:
        with open(temporary, "w") as stream:
            json.dump(answer, stream)
    except OSError:
        os._exit(FULL)
    os.replace(temporary, os.path.join(folder, "result.json"))
    os._exit(0)  # libraries crash at exit now and then, when all is done


def kind_of(error):
    """What ended a job."""
    if out_of_memory(text_of(error)):
        return "memory"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "storage"
    if isinstance(error, ImportError) or type(error).__name__ == "MissingExtraError":
        return "package"
    return "failed"


def text_of(error):
    """An error with its cause: a package may be there, and miss a library of the system."""
    cause = error.__cause__
    text = "%s: %s" % (type(error).__name__, getattr(error, "what", error))
    return text if cause is None else "%s (%s: %s)" % (text, type(cause).__name__, cause)


def out_of_memory(text):
    return any(words in text for words in SPENT)


def main(arguments):
    if sys.version_info < (3, 8):
        sys.exit("Python %s is too old for tipsc" % platform.python_version())
    if arguments[0] == "job":
        run_job(arguments[1], int(arguments[2]))
    root = arguments[1]
    os.umask(0o77)  # what others send there is nobody else's to read
    # adb sends it when its client goes: the end of the input does the same, and cleans up.
    signal.signal(signal.SIGHUP, lambda *_: None)
    # What a library prints goes to stderr, never between two frames.
    outgoing = os.dup(1)
    os.dup2(2, 1)
    agent = Agent(root, os.dup(0), outgoing)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        agent.serve()
    except ConnectionError:  # over adb the pipes are sockets
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
