"""The agent and the client against streams that somebody made up."""

from __future__ import annotations

import random
from pathlib import Path

import fuzz_agent
import fuzz_client
import pytest

from tipsc.errors import TipscError

EXECUTIONS = 1000


@pytest.mark.parametrize(("kind", "accepts"), [(fuzz_agent, 1.0), (fuzz_client, 0.1)])
def test_nothing_but_named_errors(kind: object, accepts: float, tmp_path: Path) -> None:
    execute, taken = kind.make_executor(tmp_path), 0  # type: ignore[attr-defined]
    for seed in range(EXECUTIONS):
        try:
            execute(random.Random(seed))
            taken += 1
        except TipscError:
            pass
    assert taken >= accepts * EXECUTIONS


def test_sound_answers_are_taken() -> None:
    device = fuzz_client.Device()
    for case in fuzz_client.cases():
        frames = [fuzz_client.HAS, fuzz_client.PROGRESS]
        frames += [({"event": "file", "name": name}, content) for name, content in case.files]
        frames.append(({"ok": True, "result": case.result}, b""))
        stream = b"".join(fuzz_client.frame(*part) for part in frames)
        connection = device.connection(stream, b"")
        answer = connection.run("job", {}, {}, case.expected)
        assert answer.files == dict(case.files)
        case.use(connection, answer)
