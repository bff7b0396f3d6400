"""Checkpoints: whole or not there, and never loaded into a training that they do not fit."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tipsc.elastic import Supernet
from tipsc.errors import TrainingError
from tipsc.train.average import Average

FILE = "checkpoint.pt"
FORMAT = 4
_KEYS = {
    "format", "identity", "step", "model", "optimizer", "history", "samplers", "scaler", "average",
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A training after `step` steps.

    Attributes:
        identity: of what is trained and how, section -> name -> value; a checkpoint continues
            only a training of the same identity.
        step: how many steps are done. All chance depends on this number alone.
        model, optimizer: their state dicts.
        history: (steps, columns) float64, see :class:`History`.
        samplers: what adaptive samplers of the first process have learned.
        scaler: of losses in float16; empty in other precisions.
        average: of the weights over the steps; empty where they are not averaged.
    """

    identity: Mapping[str, Mapping[str, str]]
    step: int
    model: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    history: torch.Tensor
    samplers: Mapping[str, Mapping[str, torch.Tensor]]
    scaler: Mapping[str, float]
    average: Mapping[str, torch.Tensor]

    def to_bytes(self) -> bytes:
        """The same, whatever device the tensors are on."""
        buffer = io.BytesIO()
        torch.save({"format": FORMAT, **_on_host(vars(self))}, buffer)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Checkpoint:
        """The inverse of :meth:`to_bytes`; runs no code from the data.

        Raises:
            TrainingError: it is damaged, or of another format.
        """
        try:
            content = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
        except Exception as error:
            raise TrainingError(
                "this checkpoint is damaged or no checkpoint",
                where=where,
                fix="delete it to train from the start",
            ) from error
        if not isinstance(content, dict) or set(content) != _KEYS:
            raise TrainingError("this is no checkpoint of tipsc", where=where)
        if content.pop("format") != FORMAT:
            raise TrainingError(
                "this checkpoint is of another format", where=where, expected=FORMAT
            )
        return cls(**content)

    def check(self, identity: Mapping[str, Mapping[str, str]], where: str) -> None:
        """Raises TrainingError with what differs, unless the checkpoint has this identity."""
        for section in ("config", "space", "model", "data"):
            ours, theirs = identity[section], self.identity.get(section, {})
            if ours == theirs:
                continue
            names = sorted(set(ours) | set(theirs), key=str)
            name = next(n for n in names if ours.get(n) != theirs.get(n))
            count = sum(ours.get(n) != theirs.get(n) for n in names)
            raise TrainingError(
                f"this checkpoint belongs to another training: {section} {name} differs"
                + (f", and {count - 1} more" if count > 1 else ""),
                where=where,
                expected=ours.get(name, "none"),
                got=theirs.get(name, "none"),
                fix="train in another folder, or delete this checkpoint",
            )


def identity_of(
    supernet: Supernet, config: Mapping[str, object], data: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """What a checkpoint must agree with."""
    return {
        "config": {name: str(value) for name, value in config.items()},
        "space": {
            choice.name: f"{list(choice.options)} from {choice.gate_from} of {choice.gate}"
            for choice in supernet.space.choices
        },
        "model": {
            name: f"{'x'.join(map(str, value.shape)) or 'scalar'} {value.dtype}"
            for name, value in supernet.state_dict().items()
        },
        "data": dict(data),
    }


def _on_host(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, Mapping):
        return {key: _on_host(part) for key, part in value.items()}
    return value


def read(folder: Path) -> bytes | None:
    """The folder's checkpoint, if there is one."""
    file = folder / FILE
    return file.read_bytes() if file.exists() else None


def restore(supernet: Supernet, folder: Path) -> Checkpoint:
    """Puts a training's weights into a supernet of the same architecture; their average, if the
    training has one.

    Raises:
        TrainingError: no checkpoint, a damaged one, or one of another architecture.
    """
    data = read(folder)
    where = str(folder / FILE)
    if data is None:
        raise TrainingError("there is no checkpoint", where=where, fix="train first")
    checkpoint = Checkpoint.from_bytes(data, where)
    ours = identity_of(supernet, {}, {})
    checkpoint.check({**checkpoint.identity, "space": ours["space"], "model": ours["model"]}, where)
    supernet.load_state_dict(dict(checkpoint.model))
    if checkpoint.average:
        average = Average([p for p in supernet.parameters() if p.requires_grad])
        average.load_state(checkpoint.average)
        average.put()
    return checkpoint


def write_whole(file: Path, data: bytes) -> None:
    """Replaces `file` at once: whoever reads it finds the old content or the new, never a part."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        directory = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
