"""What an engine says about itself: what it takes and gives, and what each path is and costs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tipsc.engine.strict import LEFT_OUT, decode, encode
from tipsc.errors import EngineDamagedError, PathError
from tipsc.paths import SearchSpace
from tipsc.quality import Quality
from tipsc.signature import Signature

#: a path id becomes the name of a file when an engine is unpacked
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
#: examples of a call
MAX_BATCH = 4096


def entry_ids(path_id: str, batches: Sequence[int]) -> dict[str, int]:
    """The ids under which an engine has a path, and how many examples a call of each takes.

    Args:
        batches: of the engine; under its own id the path takes the first of them.
    """
    first, *others = batches
    return {path_id: first, **{f"{path_id}x{size}": size for size in others}}


#: beginning of a recipe's keys that say under which conditions its paths' profile was taken
TAKEN = "profile's "
#: beginning of a recipe's keys that say what a path may take, from published figures of a device
ESTIMATED = "estimated ms of "
#: beginning of a provenance's keys that say what a path is called
NAMED = "name of "


def _require(ok: bool, what: str, where: str, got: object) -> None:
    if not ok:
        raise EngineDamagedError(what, where=where, got=got)


@dataclass(frozen=True)
class Latency:
    """Measured latency of one call on the target, in milliseconds.

    Args:
        p10_ms, p50_ms, p95_ms: of calls back to back.
        pause_ms: what the median call takes beyond `p50_ms` after a pause, or None when that was
            not measured.
    """

    p10_ms: float
    p50_ms: float
    p95_ms: float
    pause_ms: float | None = None

    def __post_init__(self) -> None:
        for name in ("p10_ms", "p50_ms", "p95_ms"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value > 0, "not a positive time", name, value)
        if self.pause_ms is not None:
            _require(math.isfinite(self.pause_ms), "not a time", "pause_ms", self.pause_ms)


@dataclass(frozen=True)
class PathEntry:
    """One path of an engine, for calls with so many examples.

    Args:
        id: short stable id, unique in the engine.
        options: choice name to option.
        quality: on test data, or None when it was not measured.
        latency: on the target, or None when it was not measured.
        macs: multiply-accumulates of one call.
        parameters: weights and biases that the path uses.
        shared_bytes: bytes of its weights that other paths use too.
        private_bytes: bytes that are its own.
        batch: examples of one call.
        energy_mj: millijoules of one call on the target, what the device takes when idle included,
            or None when that was not measured; then the file has no such key.
    """

    id: str
    options: Mapping[str, int]
    quality: Quality | None
    latency: Latency | None
    macs: int
    parameters: int
    shared_bytes: int
    private_bytes: int
    batch: int = 1
    # Left out where it is not known: readers of before refuse keys that they do not know.
    energy_mj: float | None = field(default=None, metadata=LEFT_OUT)

    def __post_init__(self) -> None:
        _require(_ID.fullmatch(self.id) is not None, "not a path id", "id", repr(self.id))
        for name in ("macs", "parameters", "shared_bytes", "private_bytes"):
            _require(getattr(self, name) >= 0, "is negative", name, getattr(self, name))
        _require(1 <= self.batch <= MAX_BATCH, "not a size of a batch", "batch", self.batch)
        if self.energy_mj is not None:
            energy_mj = self.energy_mj
            known = math.isfinite(energy_mj) and energy_mj > 0
            _require(known, "not a positive energy", "energy_mj", energy_mj)

    @property
    def speed_key(self) -> tuple[float, int, str]:
        """Sorts the fastest first; what was not measured goes last, by its MACs."""
        return (self.latency.p50_ms if self.latency else math.inf, self.macs, self.id)


@dataclass(frozen=True)
class Manifest:
    """The whole of it. `paths` is put in order, the fastest first.

    Args:
        name: name of the engine.
        target: name of the target that it was built for.
        backend: a name in :data:`tipsc.backends.BACKENDS`.
        signature: what each path takes and gives for one example; see :meth:`signature_of`.
        paths: at least one; their qualities are values of one measure.
        space: the search space, as :meth:`tipsc.paths.SearchSpace.to_json` gives it.
        recipe: how a device finishes an engine that only it can build: precision, plans, ... .
            Empty for an engine that needs no such thing.
        built: by what it was finished: module, version, device, power mode, ... . Its plans run
            there only. Empty for an engine that is unbuilt, or needs no finishing.
        provenance: who, what and when: versions, hashes of the checkpoint and profile, ...
        noise: what makes the paths' latencies doubtful, in a sentence: what else the device did
            while they were measured. Empty if nothing does.
        states: of a model that streams: name of an input to that of the output which is its value
            in the next call, of the same dtype and shape.
    """

    name: str
    target: str
    backend: str
    signature: Signature
    paths: tuple[PathEntry, ...]
    space: list[object]
    provenance: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, str] = field(default_factory=dict)
    built: Mapping[str, str] = field(default_factory=dict)
    noise: str = ""
    states: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "paths", tuple(sorted(self.paths, key=lambda p: p.speed_key)))
        _require(len(self.paths) > 0, "is empty", "paths", "no entry")
        ids = [path.id for path in self.paths]
        _require(len(set(ids)) == len(ids), "a path id is repeated", "paths", ids)
        measures = {path.quality.measure for path in self.paths if path.quality is not None}
        _require(len(measures) < 2, "qualities of several measures", "paths", sorted(measures))
        if self.batches != (1,):
            counted = [
                s for s in (*self.signature.inputs, *self.signature.outputs) if "N" in s.layout
            ]
            _require(
                bool(counted) and all(spec == spec.with_batch(1) for spec in counted),
                "paths for several examples, and a signature that is not of one",
                "signature",
                self.batches,
            )
        outputs = {spec.name: spec for spec in self.signature.outputs}
        inputs = {spec.name: spec for spec in self.signature.inputs}
        for taken, given in self.states.items():
            fits = (
                taken in inputs
                and given in outputs
                and replace(outputs[given], name=taken, layout=inputs[taken].layout)
                == inputs[taken]
            )
            _require(fits, "no state: an input and an output alike", "states", f"{taken}: {given}")
        _require(
            len(set(self.states.values())) == len(self.states),
            "two states are one output",
            "states",
            dict(self.states),
        )
        _require(
            len(self.states) < len(inputs) or not self.states,
            "nothing but states goes in",
            "states",
            dict(self.states),
        )
        try:
            SearchSpace.from_json(self.space)
        except (PathError, AttributeError) as error:
            raise EngineDamagedError(str(error), where="space") from error

    @property
    def batches(self) -> tuple[int, ...]:
        """How many examples calls may have, the fewest first."""
        return tuple(sorted({path.batch for path in self.paths}))

    def path(self, path_id: str) -> PathEntry:
        """The path of this id, which is there."""
        return next(path for path in self.paths if path.id == path_id)

    def signature_of(self, path: PathEntry) -> Signature:
        """What a path takes and gives: as many examples as its batch has."""
        return self.signature if path.batch == 1 else self.signature.with_batch(path.batch)

    @property
    def unbuilt(self) -> bool:
        """Whether a device has to finish it before it runs there."""
        return bool(self.recipe) and not self.built

    @property
    def estimated_ms(self) -> dict[str, float]:
        """By path id what its paths were chosen by; nobody measured that. Empty if they were."""
        return {
            key.removeprefix(ESTIMATED): float(value)
            for key, value in self.recipe.items()
            if key.startswith(ESTIMATED)
        }

    @property
    def names(self) -> dict[str, str]:
        """By path id what it is called, beside its id; empty where nothing has a name."""
        return {
            key.removeprefix(NAMED): value
            for key, value in self.provenance.items()
            if key.startswith(NAMED)
        }

    def id_of(self, path: str) -> str:
        """The id of the path that is called so; an id, or what is neither, as it is."""
        if any(entry.id == path for entry in self.paths):
            return path
        return next((name for name, called in self.names.items() if called == path), path)

    @property
    def search_space(self) -> SearchSpace:
        return SearchSpace.from_json(self.space)

    def to_json(self) -> dict[str, object]:
        """Plain dicts and lists; :meth:`from_json` gives an equal manifest back."""
        result: dict[str, object] = encode(self)
        return result

    @classmethod
    def from_json(cls, value: object, where: str = "manifest") -> Manifest:
        """The inverse of :meth:`to_json`.

        Raises:
            EngineDamagedError: names the field that is missing, unknown or not valid.
        """
        return decode(cls, value, where)
