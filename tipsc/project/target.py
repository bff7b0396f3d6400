"""Target: what a kind of device is, read strictly from ``targets/<name>.yaml``.

A target says which backend compiles for the device, with how many threads, and how latency is
measured there. It knows nothing of a particular device: that is what a profile records.

A file may say ``extends: NAME``, the name of a target that tipsc ships: what it does not say
itself, ``measure`` key by key, it has from there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tipsc.errors import TargetError, near
from tipsc.strict.strict_yaml import Strict, read_mapping, validate

SUFFIX = ".yaml"
NAME_PATTERN = r"^[a-z0-9]+(-[a-z0-9]+)*$"

#: of a weight or value, by precision; in int8 biases take more, which is little
BYTES = {"fp32": 4, "fp16": 2, "int8": 1}

Core = Annotated[int, Field(ge=0, le=4095)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1, max_length=300)]


class Measure(Strict):
    """How latency is measured on the target; see :class:`tipsc.profile.Protocol`.

    Attributes:
        pin: ``fastest`` (as many of the fastest cores as there are threads), ``none``, or the
            numbers of the cores to pin to.
        warm_up_ms: how long each path runs before anything counts.
        rounds: how often every path is visited, each time in a new random order.
        batch_ms: how long one visit to a path lasts, roughly.
        time_limit_s: rounds are cut short rather than take longer than this.
        paths: most paths that are measured for a profile, whatever ``build.measured`` asks for:
            fewer where each has to be converted by itself.
        wait_quiet_s: most seconds to wait until other processes leave the measured cores alone.
            Above 0, what was disturbed all the same is measured again, twice at most.
    """

    pin: Literal["fastest", "none"] | Annotated[tuple[Core, ...], Field(min_length=1)] = "fastest"
    warm_up_ms: Annotated[float, Field(ge=0, le=60_000)] = 50.0
    rounds: Annotated[int, Field(ge=4, le=10_000)] = 20
    batch_ms: Annotated[float, Field(gt=0, le=60_000)] = 10.0
    time_limit_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    paths: Annotated[int, Field(ge=10, le=2000)] = 2000
    wait_quiet_s: Annotated[float, Field(ge=0, le=86_400)] = 0.0


class Throughput(Strict):
    """Operations a second of dense arithmetic, in 1e12, by precision.

    Attributes:
        fp32: in single precision.
        fp16: in half precision.
        int8: in 8-bit numbers.
    """

    fp32: Positive
    fp16: Positive
    int8: Positive


class Sources(Strict):
    """Where each figure of a :class:`Roofline` is from.

    Attributes:
        tflops: the arithmetic.
        memory_gb_s: the memory.
        launch_us: the kernels.
    """

    tflops: Text
    memory_gb_s: Text
    launch_us: Text


class Roofline(Strict):
    """What is published of a device, from which latencies are estimated where none was measured.

    Attributes:
        device: whose figures they are.
        tflops: the most that its arithmetic does.
        memory_gb_s: bytes a second between its memory and its arithmetic, in 1e9.
        launch_us: what each kernel takes beside its work.
        sources: of these figures.
    """

    device: Text
    tflops: Throughput
    memory_gb_s: Positive
    launch_us: Annotated[float, Field(ge=0)]
    sources: Sources


class Target(Strict):
    """A kind of device.

    Attributes:
        name: lower-case words joined by hyphens; the file is called the same.
        description: one line for people.
        backend: name of the backend that compiles for it; the table of backends judges it.
        threads: how many threads one inference uses.
        precision: what paths compute in. ``int8``: static, calibrated on training data (litert,
            tensorrt); ``fp16``: weights and activations, with inputs and outputs in fp32 (portable
            graphs).
        measure: how latency is measured.
        roofline: what is published of it; None: nothing, and paths are chosen by their MACs where
            nothing was measured.
    """

    name: Annotated[
        str,
        Field(
            pattern=NAME_PATTERN,
            max_length=64,
            description="lower-case letters and digits, words joined by single hyphens",
        ),
    ]
    description: Annotated[str, Field(min_length=1, max_length=200)]
    backend: Annotated[
        str,
        Field(
            pattern=r"^[a-z0-9_]+$",
            max_length=64,
            description="the name of a backend: lower-case letters, digits and _",
        ),
    ]
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    measure: Measure = Measure()
    roofline: Roofline | None = None


def waiting(target: Target, seconds: float | None) -> Target:
    """The target, measured after a wait for quiet of at most `seconds`; None: as it says."""
    if seconds is None:
        return target
    measure = target.measure.model_copy(update={"wait_quiet_s": seconds})
    return target.model_copy(update={"measure": measure})


def essence_of(target: Target) -> dict[str, Any]:
    """What results for a target depend on: not how long one waits before it is measured, nor what
    is published of it, which only a choice of paths depends on.
    """
    return target.model_dump(mode="json", exclude={"measure": {"wait_quiet_s"}, "roofline": True})


def targets_folder() -> Path:
    """The folder of target files: inside the installed package, else in the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_targets"
    return installed if installed.is_dir() else package.parent / "targets"


def list_targets(folder: Path | None = None) -> tuple[str, ...]:
    """The names of the targets that tipsc ships, or of those in `folder`, sorted."""
    folder = targets_folder() if folder is None else folder
    return tuple(sorted(file.stem for file in folder.glob(f"*{SUFFIX}") if file.is_file()))


def load_target(name_or_file: str | Path) -> Target:
    """Read a target by its name, or from a file (a Path, or text with a folder or ``.yaml``).

    Raises:
        TargetError: no such target (near names are given), or the file is not a valid target
            (file and key are named).
    """
    if _is_file_name(name_or_file):
        return _read(Path(name_or_file))
    name = str(name_or_file)
    if name not in (known := list_targets()):
        raise TargetError(
            f"there is no target {name!r}",
            fix=f"{near(name, known)} (a file is given with its {SUFFIX} ending)",
        )
    target = _read(file := targets_folder() / f"{name}{SUFFIX}")
    if target.name != name:
        raise TargetError("the name does not match the file", where=str(file), got=target.name)
    return target


def _read(file: Path) -> Target:
    return validate(_extended(file, ()), file, Target, TargetError)


def _extended(file: Path, seen: tuple[object, ...]) -> dict[Any, Any]:
    """The mapping in a target file, over that of the target that it extends."""
    hint = "`tipsc targets` lists what is there, `tipsc targets new` writes one for a device"
    content = read_mapping(file, TargetError, "target", hint)
    if "extends" not in content:
        return content
    base = content.pop("extends")
    if base not in (known := list_targets()):
        raise TargetError(
            f"there is no target {base!r} to extend",
            where=f"{file}, key extends",
            fix=near(str(base), known),
        )
    if base in (*seen, file.stem if file.parent == targets_folder() else None):
        raise TargetError("targets extend each other in a circle", where=f"{file}, key extends")
    inherited = _extended(targets_folder() / f"{base}{SUFFIX}", (*seen, base))
    measure, own = inherited.get("measure"), content.get("measure")
    if isinstance(measure, dict) and isinstance(own, dict):
        content["measure"] = {**measure, **own}
    return {**inherited, **content}


def _is_file_name(name_or_file: str | Path) -> bool:
    if isinstance(name_or_file, Path):
        return True
    return name_or_file.endswith((SUFFIX, ".yml")) or os.sep in name_or_file
