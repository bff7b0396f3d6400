"""What a build asks of a device: what it is, what paths take there, and what they compute."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias
from typing import Protocol as Interface

import numpy as np

from tipsc.backends import backend, runtime_of
from tipsc.device.client import Answer, Connection
from tipsc.device.expected import (
    FACTS,
    SAMPLES,
    Answered,
    computed,
    described,
    measured,
    paused,
    read_answers,
    read_samples,
)
from tipsc.device.plans import Plans, request_plans, write_finished
from tipsc.engine import read_engine
from tipsc.errors import DeviceProtocolError
from tipsc.measure.disturbance import Disturbance
from tipsc.measure.pauses import collect_pauses
from tipsc.measure.quiet import longest_s
from tipsc.profile import Protocol, Samples, System, collect, read_system
from tipsc.profile.conditions import UNKNOWN
from tipsc.progress import Progress
from tipsc.project.target import Target
from tipsc.runtime import Engine

Arrays: TypeAlias = Sequence[np.ndarray]
"""The tensors of a call, in the order of the engine's signature."""

Run = Callable[[Arrays, str], Arrays]


def told_as(progress: Progress, note: str) -> Callable[[float, float], None]:
    """What is told of a measurement, with a note; before the first visit it waits for quiet.

    A wait is told with the longest that it can be, which is the same however often it is told.
    """
    longest_s = 0.0

    def told(share: float, left_s: float) -> None:
        nonlocal longest_s
        if share > 0:
            progress(share, 1.0, note)
            return
        longest_s = max(longest_s, left_s)
        progress(0.0, 0.0, f"waits for quiet, {longest_s:.0f} s at most")

    return told


def disturbance_told(result: Mapping[str, Any], url: str) -> Disturbance:
    """What a device says of other work on it.

    Raises:
        DeviceProtocolError: it is no such thing.
    """
    try:
        return Disturbance.of(result["disturbance"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DeviceProtocolError(
            f"the device tells of other work what cannot be: {error}", where=url
        ) from error


def samples_of(
    connection: Connection, answer: Answer, paths: Sequence[str], rounds: int
) -> Samples:
    """The times that a device answered with.

    Raises:
        DeviceProtocolError: they are not of what was asked for, or cannot be.
    """
    result = answer.result
    with connection.checked():
        batches = read_samples(
            answer.files[SAMPLES], paths, rounds, result["seconds"], answer.waited_s
        )
    disturbance = disturbance_told(result, connection.link.url)
    return Samples(batches, tuple(result["held"]), result["seconds"], disturbance)


def _call(examples: Arrays, batch: int) -> Any:
    """As many of the examples as a call has, as an application gives them, which costs least."""
    return examples[0][:batch] if len(examples) == 1 else [array[:batch] for array in examples]


class Device(Interface):
    """One machine that engines are measured and verified on."""

    @property
    def essence(self) -> Mapping[str, object]:
        """What a measurement depends on beyond processor and backend: part of a stage's key."""

    def system(self) -> System:
        """What it tells about itself now."""

    def versions(self, name: str) -> Mapping[str, str]:
        """What the backend `name` says of itself there."""

    def measure(
        self,
        file: Path,
        target: Target,
        example: Arrays,
        seed: int,
        progress: Progress,
        only: Collection[str] | None,
    ) -> tuple[Protocol, Samples]:
        """Times of the paths of an engine, and the protocol with the cores used there.

        Args:
            example: of each input (N, ...), at least as many as one call of a path takes.
        """

    def pauses(
        self, file: Path, target: Target, example: Arrays, seed: int
    ) -> Mapping[str, Sequence[float]]:
        """Milliseconds of calls of each path after pauses; see :mod:`tipsc.measure.pauses`."""

    def opened(
        self, file: Path, target: Target, paths: Sequence[str], inputs: Arrays
    ) -> AbstractContextManager[Run]:
        """A context manager that gives ``run(example, path)``; see :class:`ThisMachine`."""


def _settings(system: System) -> dict[str, object]:
    """What it may run at; where its cores run now moves all the time."""
    return {
        "limits": [(core.min_mhz, core.max_mhz, core.governor) for core in system.cores],
        "gpu limits": (system.gpu.min_mhz, system.gpu.max_mhz) if system.gpu else None,
        "architecture": system.architecture,
        "power_mode": system.power_mode,
        "l4t": system.l4t,
    }


def conditions(device: Device, backend_name: str) -> dict[str, str]:
    """What :func:`tipsc.profile.conditions.conditions_of` says of a profile, of a device now."""
    return {
        "backend": backend_name,
        f"{backend_name} version": device.versions(backend_name)[backend_name],
        "power mode": device.system().power_mode or UNKNOWN,
    }


class ThisMachine:
    """The machine that this process runs on: no agent, no copy."""

    @property
    def essence(self) -> Mapping[str, object]:
        mode = self.system().power_mode
        return {} if mode is None else {"power_mode": mode}

    def system(self) -> System:
        return read_system()

    def versions(self, name: str) -> Mapping[str, str]:
        return dict(runtime_of(name).check())

    def measure(
        self,
        file: Path,
        target: Target,
        example: Arrays,
        seed: int,
        progress: Progress,
        only: Collection[str] | None,
    ) -> tuple[Protocol, Samples]:
        with Engine.open(file, threads=target.threads) as engine:
            context = engine.context()
            paths = [path for path in engine.paths if only is None or path.id in only]
            calls = {p.id: partial(context.run, _call(example, p.batch), path=p.id) for p in paths}
            protocol = Protocol.for_target(target, seed=seed)
            return protocol, collect(
                calls,
                protocol=protocol,
                progress=told_as(progress, "measuring"),
            )

    def pauses(
        self, file: Path, target: Target, example: Arrays, seed: int
    ) -> Mapping[str, Sequence[float]]:
        with Engine.open(file, threads=target.threads) as engine:
            paths = engine.paths
            calls = {p.id: partial(engine.run, _call(example, p.batch), path=p.id) for p in paths}
            return collect_pauses(calls, Protocol.for_target(target, seed=seed).cores, seed=seed)

    @contextmanager
    def opened(
        self, file: Path, target: Target, paths: Sequence[str], inputs: Arrays
    ) -> Iterator[Run]:
        """Runs the tensors of one call on a path; gives those of its outputs.

        Args:
            paths: ids that will be run.
            inputs: of each input (N, ...) the examples that each path will be given, in this order,
                as many a call as it takes (:func:`tipsc.filled.filled`).
        """
        with Engine.open(file, threads=target.threads) as engine:
            gives = engine.manifest.signature.gives
            yield lambda example, path: gives.flat(engine.run(example, path=path), "the output")


class Remote:
    """A device behind a connection: the same, as jobs of its agent."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._plans: dict[str, Plans] = {}  # by the engine's content hash

    @contextmanager
    def _runnable(self, file: Path, target: Target) -> Iterator[Path]:
        """The engine file, or one like it with plans that were made there if it needs them."""
        engine = read_engine(file) if backend(target.backend).finishes else None
        if engine is None or engine.plans:
            yield file
            return
        if engine.content_hash not in self._plans:  # one at a time: plans are large
            self._plans = {
                engine.content_hash: request_plans(self.connection, file, target.precision)
            }
        with tempfile.TemporaryDirectory(prefix="tipsc-") as folder:
            finished = Path(folder) / file.name
            write_finished(finished, engine, self._plans[engine.content_hash])
            yield finished

    @property
    def essence(self) -> Mapping[str, object]:
        """Where it is, and what its clocks are set to: another setting is measured anew."""
        return {"url": self.connection.link.url, **_settings(self.system())}

    def system(self) -> System:
        answer = self.connection.run("facts", {}, expected=FACTS)
        return System.model_validate_json(json.dumps(answer.result))

    def versions(self, name: str) -> Mapping[str, str]:
        found: dict[str, Mapping[str, str]] = self.connection.run(
            "describe", {"backend": name}, expected=described(name)
        ).result
        return found["versions"]

    def measure(
        self,
        file: Path,
        target: Target,
        example: Arrays,
        seed: int,
        progress: Progress,
        only: Collection[str] | None,
    ) -> tuple[Protocol, Samples]:
        # Which cores a policy means is decided there.
        protocol = Protocol.for_target(
            target.model_copy(
                update={"measure": target.measure.model_copy(update={"pin": "none"})}
            ),
            seed=seed,
        )
        settings = protocol.model_dump(mode="json", exclude={"cores"})
        arguments = {
            "threads": target.threads,
            "pin": target.measure.pin,
            "protocol": settings,
            "only": None if only is None else sorted(only),
        }
        with self._runnable(file, target) as runnable:
            blobs = {"engine": self.connection.push(runnable), "input": self._push(example)}
        paths = self._paths(file, only)
        answer = self.connection.run(
            "measure",
            arguments,
            blobs,
            measured(paths, protocol.rounds),
            timeout_s=longest_s(protocol.settings()) + 600.0,
            progress=told_as(progress, "measuring"),
        )
        samples = samples_of(self.connection, answer, paths, protocol.rounds)
        return protocol.model_copy(update={"cores": tuple(answer.result["cores"])}), samples

    def pauses(
        self, file: Path, target: Target, example: Arrays, seed: int
    ) -> Mapping[str, Sequence[float]]:
        arguments = {"threads": target.threads, "pin": target.measure.pin, "seed": seed}
        with self._runnable(file, target) as runnable:
            blobs = {"engine": self.connection.push(runnable), "input": self._push(example)}
        expected = paused(self._paths(file, None))
        answer = self.connection.run("pauses", arguments, blobs, expected)
        found: dict[str, list[float]] = answer.result["ms"]
        return found

    def _paths(self, file: Path, only: Collection[str] | None) -> list[str]:
        ids = [path.id for path in read_engine(file).manifest.paths]
        return [name for name in ids if only is None or name in only]

    @contextmanager
    def opened(
        self, file: Path, target: Target, paths: Sequence[str], inputs: Arrays
    ) -> Iterator[Run]:
        """As of :class:`ThisMachine`; all is computed at once, and then told one by one."""
        with self._runnable(file, target) as runnable:
            blobs = {"engine": self.connection.push(runnable), "inputs": self._push(inputs)}
        arguments = {"threads": target.threads, "paths": list(paths)}
        manifest, count = read_engine(file).manifest, len(inputs[0])
        answers = {path: Answered.of(manifest, path, count) for path in paths}
        files = self.connection.run("outputs", arguments, blobs, computed(answers)).files
        with self.connection.checked():
            found = {path: read_answers(files, path, answers[path]) for path in paths}
        calls = {path: zip(*answers, strict=True) for path, answers in found.items()}
        yield lambda example, path: next(calls[path])

    def _push(self, arrays: Arrays) -> str:
        """One after the other in one blob."""
        stream = io.BytesIO()
        for array in arrays:
            np.save(stream, array, allow_pickle=False)
        return self.connection.push_bytes(stream.getvalue())
