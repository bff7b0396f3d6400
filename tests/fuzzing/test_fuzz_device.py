"""The answers that the client is fuzzed with are sound ones before they are mutated."""

from __future__ import annotations

import fuzz_client


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
