"""Profile: what was measured on a device, with everything that is needed to judge it.

Human-readable JSON. Reading is strict: an unknown or missing field, a wrong type or another
version is refused, and the field is named.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from tipsc.errors import PathError, ProfileError
from tipsc.files import open_regular
from tipsc.measure.disturbance import UNTOLD, Disturbance, noise_of
from tipsc.paths import Path as NetPath
from tipsc.paths import SearchSpace
from tipsc.printable import cut
from tipsc.profile.forecast import FORECAST_VERSION, Forecast, PredictedPath
from tipsc.profile.latency import LatencyStatistics, Measurement, NoiseFloor, rank
from tipsc.profile.protocol import Protocol
from tipsc.profile.record import Ratio, Record
from tipsc.profile.system import System
from tipsc.project.target import Target

VERSION = 2  # what `version` must be
MAX_FILE_BYTES = 64 * 1024 * 1024

Name = Annotated[str, Field(min_length=1, max_length=200)]


class ChoiceRecord(Record):
    """A choice as :meth:`tipsc.paths.SearchSpace.to_json` writes it."""

    name: str
    options: tuple[int, ...]
    gate: str | None
    gate_from: int


class BackendUsed(Record):
    """What ran the paths: its name, its version, how many threads."""

    name: Name
    version: str
    threads: Annotated[int, Field(ge=1)]


class PathProfile(Record):
    """One measured path; options by choice name, latencies in milliseconds."""

    id: Name
    options: dict[str, int]
    latency: LatencyStatistics


class Profile(Record):
    """A device's measured paths.

    Attributes:
        version: of this format.
        target: name of the target.
        backend: what ran the paths.
        system: the machine just before measuring.
        system_after: the machine just after: a lower frequency or a warmer zone tells a story.
        protocol: what was asked for.
        taken: when measuring ended, ISO 8601 in UTC, to the second.
        rounds, seconds, pinned_cores: what was done.
        noise_floor, drift, anchors: how far to trust it; see :class:`tipsc.profile.Measurement`.
        space: the choices; the paths belong to it.
        paths: the measured ones, in the order in which they were given.
        forecast: what was predicted from them; None where they were too few for that.
        disturbance: what else the machine did while it was measured.
    """

    version: Literal[2] = 2
    target: Name
    backend: BackendUsed
    system: System
    system_after: System
    protocol: Protocol
    taken: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    rounds: Annotated[int, Field(ge=1)]
    seconds: Ratio
    pinned_cores: tuple[int, ...]
    noise_floor: NoiseFloor
    drift: float
    anchors: tuple[str, ...]
    space: tuple[ChoiceRecord, ...]
    paths: Annotated[tuple[PathProfile, ...], Field(min_length=1)]
    forecast: Forecast | None
    disturbance: Disturbance = UNTOLD

    @model_validator(mode="after")
    def _paths_belong_to_the_space(self) -> Profile:
        space = self.search_space
        ids = set()
        predicted = self.forecast.paths if self.forecast else ()
        every: tuple[PathProfile | PredictedPath, ...] = (*self.paths, *predicted)
        for path in every:
            if space.path(path.options).id != path.id:
                raise PathError(f"the options of path {path.id} belong to another path or space")
            if path.id in ids:
                raise PathError(f"path {path.id} stands twice")
            ids.add(path.id)
        return self

    @property
    def noise(self) -> str:
        """What makes the latencies doubtful, in a sentence; "" if nothing does."""
        return noise_of(self.disturbance, self.drift)

    @property
    def search_space(self) -> SearchSpace:
        return SearchSpace.from_json([choice.model_dump(mode="json") for choice in self.space])

    def latency(self, path: NetPath | str) -> LatencyStatistics:
        """The latency of a path or path id.

        Raises:
            ProfileError: it was not measured.
        """
        wanted = path if isinstance(path, str) else path.id
        for measured in self.paths:
            if measured.id == wanted:
                return measured.latency
        raise ProfileError(
            f"path {wanted} was not measured", expected=f"one of {len(self.paths)} measured paths"
        )

    def expected_ms(self, path: NetPath | str) -> float:
        """p50 of a path or path id: measured, or predicted if it was not measured.

        Raises:
            ProfileError: it is neither.
        """
        wanted = path if isinstance(path, str) else path.id
        for predicted in self.forecast.paths if self.forecast else ():
            if predicted.id == wanted:
                return predicted.p50_ms
        return self.latency(wanted).p50_ms

    def ranked(self) -> tuple[tuple[str, ...], ...]:
        """Path ids from fast to slow, in groups of ties."""
        return rank({p.id: p.latency for p in self.paths}, self.noise_floor.p95)

    def save(self, file: Path) -> None:
        """Write it so that the file is the old one or the whole new one, whatever happens."""
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(self.model_dump_json(indent=2) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(file)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(file.parent)

    @classmethod
    def load(cls, file: Path) -> Profile:
        """Read a profile.

        Raises:
            ProfileError: it cannot be read, is of another version, or a field (named) is wrong.
        """
        return _parse(_read(file), file)


def make_profile(
    target: Target,
    backend_version: str,
    space: SearchSpace,
    paths: Mapping[str, NetPath],
    measurement: Measurement,
    protocol: Protocol,
    before: System,
    after: System,
    forecast: Forecast | None = None,
) -> Profile:
    """Put a measurement, whose names are path ids, together with what is needed to judge it.

    Args:
        before, after: what the device said of itself before and after the measurement.
        forecast: what was predicted from it.
    """
    return Profile(
        target=target.name,
        backend=BackendUsed(name=target.backend, version=backend_version, threads=target.threads),
        system=before,
        system_after=after,
        protocol=protocol,
        taken=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        rounds=measurement.rounds,
        seconds=measurement.seconds,
        pinned_cores=measurement.pinned_cores,
        noise_floor=measurement.noise_floor,
        drift=measurement.drift,
        anchors=measurement.anchors,
        space=tuple(
            ChoiceRecord(name=c.name, options=c.options, gate=c.gate, gate_from=c.gate_from)
            for c in space.choices
        ),
        paths=tuple(
            PathProfile(id=name, options=dict(paths[name].options), latency=latency)
            for name, latency in measurement.latencies.items()
        ),
        forecast=forecast,
        disturbance=measurement.disturbance,
    )


def profile_file(target: str, name: str, root: Path = Path("profiles")) -> Path:
    """Where the profile of a model called `name` lies: ``profiles/<target>/<name>.json``."""
    return root / target / f"{name}.json"


def _read(file: Path) -> bytes:
    try:
        with open_regular(file) as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ProfileError(
            f"cannot read the profile: {error.strerror or error}", where=str(file)
        ) from error
    if len(raw) > MAX_FILE_BYTES:
        raise ProfileError(
            "this is too large for a profile",
            where=str(file),
            expected=f"at most {MAX_FILE_BYTES} bytes",
        )
    return raw


def _parse(raw: bytes, file: Path) -> Profile:
    try:
        return Profile.model_validate_json(raw)
    except PathError as error:
        raise ProfileError(f"the paths are not valid: {error}", where=str(file)) from error
    except ValidationError as error:
        raise _explain(error, file) from error


def _explain(error: ValidationError, file: Path) -> ProfileError:
    problems: list[Any] = list(error.errors(include_url=False))
    # Another version explains all other problems, wherever it stands among them.
    versions = (("version",), ("forecast", "version"))
    problem = next((p for loc in versions for p in problems if p["loc"] == loc), problems[0])
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "json_invalid":
        return ProfileError(
            f"not valid JSON: {problem['msg']}", where=str(file), fix="measure again"
        )
    if field == "version":
        return ProfileError(
            "this profile has a format that this tipsc does not read",
            where=str(file),
            expected=f"version {VERSION}",
            got=cut(repr(problem["input"]), 80),
            fix="measure again with tipsc profile",
        )
    if field == "forecast.version":
        return ProfileError(
            "this profile's forecast has a format that this tipsc does not read",
            where=str(file),
            expected=f"version {FORECAST_VERSION}",
            got=cut(repr(problem["input"]), 80),
            fix="measure again with tipsc profile",
        )
    where = f"{file}, field {field}" if field else str(file)
    if problem["type"] == "extra_forbidden":
        return ProfileError("unknown field", where=where)
    if problem["type"] == "missing":
        return ProfileError("this field is missing", where=where)
    return ProfileError(
        problem["msg"][:1].lower() + problem["msg"][1:],
        where=where,
        got=cut(repr(problem["input"]), 80),
    )


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself survive a power cut, where folders can be synced."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
