"""A device that sends without end, or what cannot be: each has its bound and its sentence."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import sys
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tipsc.device import agent, stream
from tipsc.device.answers import error_of
from tipsc.device.client import Connection, connect
from tipsc.device.expected import (
    FACTS,
    SAMPLES,
    Answered,
    Expected,
    computed,
    measured,
    paused,
    planned,
    read_answers,
    read_samples,
)
from tipsc.device.incoming import Wrong
from tipsc.device.link import parse_link
from tipsc.errors import (
    DeviceLinkError,
    DeviceProtocolError,
    DeviceStorageError,
    DeviceTimeoutError,
    UsageError,
)
from tipsc.measure.facts import read_facts
from tipsc.measure.pauses import ROUNDS
from tipsc.signature import TensorSpec

#: an agent that greets, has everything, and then does `{act}` in place of a job
HOSTILE = """#!{python}
import os, struct, sys, json
def send(message, binary=b""):
    text = message if isinstance(message, bytes) else json.dumps(message).encode()
    os.write(1, struct.pack(">4sII", b"TPSC", len(text), len(binary)) + text + binary)
def request():
    head = os.read(0, 12)
    if not head: sys.exit()
    message = json.loads(os.read(0, struct.unpack(">4sII", head)[1]))
    return message["op"]
os.write(1, b"have\\n")
while True:
    op = request()
    if op == "hello": send({{"ok": True, "version": 2, "capabilities": {greeting!r}}})
    elif op == "has": send({{"ok": True, "has": True}})
    else:
        {act}
        send({{"ok": True, "result": None}})
"""


@pytest.fixture
def hostile(tmp_path: Path) -> Callable[..., str]:
    """The URL of a device that does this."""

    def make(act: str, greeting: Mapping[str, Any] | None = None) -> str:
        program = tmp_path / "python3"
        text = HOSTILE.format(python=sys.executable, act=act, greeting=dict(greeting or {}))
        program.write_text(text)
        program.chmod(0o755)
        return f"local?python={program}"

    return make


@contextmanager
def little_memory(most: int) -> Any:
    """Within it this process may not grow by more than so many bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def run(url: str, expected: Expected = Expected(), **options: Any) -> None:  # noqa: B008
    with connect(url) as device:
        device.run("job", {}, None, expected, **options)


def test_a_device_that_never_stops_talking_on_stderr_fills_neither_memory_nor_disk(
    hostile: Callable[..., str], tmp_path: Path
) -> None:
    url = hostile("os.write(2, b'x' * 200_000_000); os.write(2, b'last words\\n'); sys.exit(3)")
    with connect(url) as device, little_memory(64 << 20):
        with pytest.raises(DeviceLinkError, match="last words"):
            device.run("job", {})
        assert len(device._said.kept) <= stream._MOST_SAID


@pytest.mark.parametrize(
    ("act", "says"),
    [
        ("while True: send({'event': 'progress', 'value': [0.1, 1]})", "events within"),
        ("while True: send({'event': 'more', 'name': 'a'})", "no file"),
        ("send({'event': 'file', 'name': '../../x'}, b'x')", "expected no file, got '../../x'"),
        ("send({'event': 'progress', 'value': [-1, 0]})", "progress"),
        ('send(b\'{"event": "progress", "value": [NaN, 0]}\')', "not finite"),
        ("send(b'{\"event\": ' + b'9' * 5000 + b'}')", "5000 digits"),
        ("send(b'[' * 90000)", "without JSON"),
        ("send(b'[' + b'[],' * 200000 + b'0]')", "more than 100000 parts"),
    ],
)
def test_what_cannot_come_in(act: str, says: str, hostile: Callable[..., str]) -> None:
    with little_memory(256 << 20), pytest.raises(DeviceProtocolError) as caught:
        run(hostile(act))
    assert says in str(caught.value)


def test_files_have_the_size_that_was_asked_for(hostile: Callable[..., str]) -> None:
    url = hostile("while True: send({'event': 'more', 'name': 'a'}, b'x' * 1000)")
    with little_memory(64 << 20), pytest.raises(DeviceProtocolError, match="at most 5500 bytes"):
        run(url, Expected(files={"a": 5500}))


def test_a_file_that_does_not_come_is_told(hostile: Callable[..., str]) -> None:
    with pytest.raises(DeviceProtocolError, match=r"the file samples\.json"):
        run(hostile("pass"), Expected(files={SAMPLES: 9}, needed=(SAMPLES,)))


def test_a_frame_that_trickles_in_is_no_answer(
    hostile: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "ANSWER_S", 0.5)
    act = "os.write(1, struct.pack('>4sII', b'TPSC', 1000, 0))\n        import time\n"
    act += "        while True: os.write(1, b' '); time.sleep(0.05)"
    with pytest.raises(DeviceLinkError, match="does not answer"):
        run(hostile(act), timeout_s=3600)


@pytest.mark.parametrize(
    "greeting", [{"cores": -1}, {"memory_mib": 10**20}, {"governor": "x" * 5000}, {"backends": [1]}]
)
def test_a_greeting_that_cannot_be(
    greeting: Mapping[str, Any], hostile: Callable[..., str]
) -> None:
    with pytest.raises(DeviceProtocolError, match="capabilities"):
        run(hostile("pass", greeting))


def test_facts_are_those_of_this_machine_and_no_others() -> None:
    facts = json.loads(json.dumps(read_facts()))
    assert FACTS.result({**facts, "more": 1}, "result") == facts
    zone = {"name": "cpu", "celsius": 1e9}
    for wrong in ({"memory_total_mib": -1}, {"cpu": 5}, {"thermal_zones": [zone]}):
        with pytest.raises(Wrong):
            FACTS.result({**facts, **wrong}, "result")


GOOD = {"a": [[10, 11], [12]], "b": [[20], [21]]}


def samples(told: object, told_s: float = 1.0, waited_s: float = 1.0) -> object:
    return read_samples(json.dumps(told).encode(), ["a", "b"], 2, told_s, waited_s)


def test_times_are_those_that_were_asked_for() -> None:
    assert samples(GOOD) == GOOD


@pytest.mark.parametrize(
    "wrong",
    [
        {"a": [[10]]},  # a path is missing
        {**GOOD, "c": [[1]]},
        {**GOOD, "b": [[20], [0]]},
        {**GOOD, "b": [[20], [-5]]},
        {**GOOD, "b": [[20], [1.5]]},
        {**GOOD, "b": [[20], [None]]},
        {**GOOD, "b": [[20], []]},
        {**GOOD, "b": [[20]]},  # fewer rounds than the other
        {**GOOD, "b": [[20]] * 3},
        {**GOOD, "b": [[20], [1] * 2000]},
        {**GOOD, "b": [[[[[1]]]]]},
        [],
    ],
)
def test_times_that_cannot_be(wrong: object) -> None:
    with pytest.raises(Wrong):
        samples(wrong)


def test_a_clock_that_jumps_is_seen() -> None:
    """Calls cannot take longer than the wait for all of them, nor can the whole measurement."""
    hour = {**GOOD, "b": [[20], [3600 * 10**9]]}
    for told_s in (1.0, 3601.0):
        with pytest.raises(Wrong, match="a clock that runs as this one"):
            samples(hour, told_s, waited_s=2.0)
    assert samples(hour, 3601.0, 3602.0) == hour


def test_many_lists_in_samples_are_not_built() -> None:
    with little_memory(64 << 20), pytest.raises(Wrong, match="lists"):
        read_samples(b'{"a": [' + b"[]," * 10_000_000 + b"[1]]}", ["a", "b"], 2, 1.0, 1.0)


def test_calls_after_pauses_took_time() -> None:
    check = paused(["a"]).result
    times = [1.0] * ROUNDS
    assert check({"ms": {"a": times}}, "result") == {"ms": {"a": times}}
    for wrong in ([0.0, *times[1:]], [-1.0, *times[1:]], times[1:], [float("nan"), *times[1:]]):
        with pytest.raises(Wrong):
            check({"ms": {"a": wrong}}, "result")


def test_an_array_is_not_made_larger_than_what_was_asked_for() -> None:
    answered = Answered([TensorSpec("y", "float32", (1, 3), "N-")], 2)
    file = io.BytesIO()
    np.save(file, np.arange(6, dtype=np.float32).reshape(2, 1, 3))
    good = file.getvalue()
    (read,) = read_answers({"a.0.npy": good}, "a", answered)
    assert read.tolist() == [[[0, 1, 2]], [[3, 4, 5]]]
    assert computed({"a": answered}).files["a.0.npy"] >= len(good)
    for wrong in (
        good[:-1], good + b"x", b"", b"\x93NUMPY", good.replace(b"<f4", b"|O8"),
        good.replace(b"(2, 1, 3), }       ", b"(2, 1, 3000000000), }"[:21]),
        good.replace(b"<", b">"),
    ):  # fmt: skip
        with little_memory(64 << 20), pytest.raises(Wrong):
            read_answers({"a.0.npy": wrong}, "a", answered)


def test_plans_are_of_the_paths_that_were_asked_for() -> None:
    expected = planned(["a", "b"], [["a", "b"]], 1000)
    assert set(expected.files) == {"a.plan", "b.plan", "a+b.plan"}
    check = {"path_id": "a", "module": "m", "version": "1", "plan_bytes": 1, "seconds": 0.1,
             "problem": ""}  # fmt: skip
    result = {"module": "m", "version": "1", "compute_capability": None, "stripped": False,
              "checks": [check, {**check, "path_id": "b"}], "trials": []}  # fmt: skip
    assert expected.result(result, "result") == result
    for wrong in ({"path_id": "c"}, {"plan_bytes": -1}, {"seconds": -0.1}):
        with pytest.raises(Wrong):
            expected.result({**result, "checks": [check, {**check, **wrong}]}, "result")
    assert measured(["a"], 10).needed == (SAMPLES,)


@pytest.fixture
def server(root: Path) -> agent.Agent:
    return agent.Agent(str(root), -1, -1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout_s", float("inf")), ("timeout_s", -1), ("timeout_s", True), ("timeout_s", 1e300),
        ("memory_bytes", -1), ("memory_bytes", 1.5), ("memory_bytes", 10**20), ("job", "x" * 5000),
        ("job", None), ("arguments", []), ("blobs", {str(n): "0" * 64 for n in range(5000)}),
        ("blobs", {"a": "../../etc/passwd"}), ("runtime", 5),
    ],
)  # fmt: skip
def test_a_client_stays_within_the_bounds_of_a_job(
    field: str, value: object, server: agent.Agent, root: Path
) -> None:
    request = {"job": "x", "arguments": {}, "blobs": {}, "runtime": "0" * 64, "timeout_s": 1}
    with pytest.raises(agent.Refused) as caught:
        server.run({**request, field: value})
    assert caught.value.args[0] == "protocol"
    assert not agent.listed(str(root / "jobs"))


@pytest.mark.parametrize("quota", [-1, True, "8G", 1.5, 1 << 60, None])
def test_a_client_cannot_ask_for_any_quota(quota: object, server: agent.Agent) -> None:
    with pytest.raises(agent.Refused, match="quota"):
        server.hello({"version": agent.VERSION, "quota": quota})


def test_blobs_are_bounded_in_number(
    local: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = agent.Store(str(root))
    monkeypatch.setattr(agent, "MAX_BLOBS", 3)
    for name in "abcd":
        (Path(store.folder) / (name * 64)).write_bytes(b"x")
    store.make_room(1)
    assert len(list(Path(store.folder).iterdir())) == 2
    store.held.update(path.name for path in Path(store.folder).iterdir())
    (Path(store.folder) / ("e" * 64)).write_bytes(b"x")
    store.held.add("e" * 64)
    with pytest.raises(agent.Refused, match="3 blobs are in use"):
        store.make_room(1)


def test_what_a_job_prints_is_not_kept_on_the_disk(local: str, root: Path) -> None:
    """All that stands there while it runs is what it was given."""
    names: list[str] = []

    def look(*_: object) -> None:
        (folder,) = (root / "jobs").iterdir()
        names.extend(sorted(file.name for file in folder.iterdir()))

    with connect(local) as device, pytest.raises(DeviceTimeoutError):
        device.run("selftest", {"how": "hang"}, timeout_s=1.0, progress=look)
    assert names == ["agent.py", "blobs", "job.json", "out"]


def test_a_tail_keeps_the_end() -> None:
    there, here = os.pipe()
    tail = agent.Tail(there, 5)
    for part in (b"abc", b"defgh"):
        os.write(here, part)
        assert tail.read()
    assert not tail.read()
    os.close(here)
    assert tail.end() == "defgh"
    assert not tail.waiting()
    os.close(there)


@pytest.mark.parametrize(
    ("number", "error", "says"),
    [
        (errno.ENOSPC, DeviceStorageError, "no room on the device"),
        (errno.EACCES, DeviceStorageError, "system refuses what the agent does"),
        (errno.EIO, DeviceStorageError, "system refuses what the agent does"),
    ],
)
def test_what_the_system_refuses_is_no_full_disk(
    number: int, error: type[Exception], says: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(agent.Agent):
        def like(self, message: object) -> None:
            raise OSError(number, os.strerror(number))

    pipes = [os.pipe() for _ in range(2)]
    agent.send(pipes[0][1], {"op": "like"})
    os.close(pipes[0][1])
    monkeypatch.setitem(agent.OPERATIONS, "like", Failing.like)
    Failing(str(root), pipes[0][0], pipes[1][1]).serve()
    answer = agent.receive(pipes[1][0])[0]
    assert says in str(error_of(answer, "ssh://a", "", {}))
    assert isinstance(error_of(answer, "ssh://a", "", {}), error)


def test_an_error_is_a_text_that_can_be_printed() -> None:
    answer = {"error": "failed", "kind": "UsageError", "facts": {"what": "\ud800" * 9, "fix": [1]}}
    error = error_of(answer, "ssh://a", "x", {})
    assert isinstance(error, UsageError)
    str(error).encode()
    long = error_of({"error": "crash", "message": "x" * 10**6}, "ssh://a", "x", {})
    assert len(str(long)) < 10_000


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("local?root=", "this is no root"),
        ("local?python=", "this is no python"),
        ("local?root=/a&root=/b", "given twice"),
        ("local?rot=/a", "did you mean root"),
        ("local?python=a%00b", "no device"),
        ("adb://a%00b", "no device"),
        ("local?quota=0", "no quota"),
        ("local?quota=999999999999999T", "no quota"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(url: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_link(url)
    assert says in str(caught.value)


def test_a_connection_is_checked_as_a_whole(local: str) -> None:
    with connect(local) as device:
        assert isinstance(device, Connection)
        assert device.run("facts", {}, None, FACTS).result["python"]
        with pytest.raises(DeviceProtocolError, match="result"):
            device.run("facts", {}, None, measured(["a"], 4))
