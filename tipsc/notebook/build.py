"""``tipsc build`` for what is in memory."""

from __future__ import annotations

import copy
import html
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from tipsc.cli.building import doubts_of
from tipsc.cli.output import Output
from tipsc.elastic import Supernet
from tipsc.engine.atomic import write_atomically
from tipsc.errors import ConfigError
from tipsc.paths import Path as Subnet
from tipsc.pipeline.build import Pipeline
from tipsc.pipeline.record import BuildRecord
from tipsc.project.config import FILE_NAME
from tipsc.project.loading import Model, model_of, with_task
from tipsc.report.build import write_build
from tipsc.report.notes import called
from tipsc.runtime import Engine
from tipsc.tasks import Task
from tipsc.train import Data, Unlabelled

_HEIGHT = 900  # pixels of the page in a notebook
_NOTE = """# Written by tipsc.notebook: model and data were in memory. With model.py and data.py
# beside it, which return the same, `tipsc build` goes on from here.
"""


@dataclass(frozen=True)
class Built:
    """What a build made; a notebook shows its page.

    Attributes:
        record: of the build: its engine, paths, stages.
        report: the page; None for an engine that its device has to finish.
    """

    record: BuildRecord
    report: Path | None

    @property
    def engine(self) -> Path:
        """The engine file."""
        return self.record.engine

    def open(self, **options: Any) -> Engine:
        """The engine, opened; see :meth:`tipsc.runtime.Engine.open` for the options."""
        return Engine.open(self.engine, **options)

    def __repr__(self) -> str:
        names = self.record.manifest.names
        paths = ", ".join(called(path.id, names) for path in self.record.manifest.paths)
        return f"Built({str(self.engine)!r}, paths: {paths})"

    def _repr_html_(self) -> str:
        if self.report is None:
            return html.escape(repr(self))
        page = html.escape(self.report.read_text(encoding="utf-8"), quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="{_HEIGHT}" frameborder="0"></iframe>'


def build(
    model: nn.Module,
    data: Data | Unlabelled,
    *,
    task: str | Task | None = None,
    target: str = "host",
    name: str = "model",
    folder: str | Path = "tipsc-build",
    quiet: bool = False,
    **sections: Any,
) -> Built:
    """Measures, chooses, trains, compiles and verifies, as ``tipsc build`` does.

    What was done before is not done again: stages are kept in `folder`, by what model, data and
    settings are, not by where they come from. The model is not changed.

    Args:
        model: a plain module that is trained, or a supernet.
        task: what paths are judged by, if the data do not say so: its name, or the task.
        target: name of a target, or its file.
        name: of the engine: ``<folder>/<name>-<target>.tipsc``.
        quiet: shows no progress, nor what the original is worth.
        sections: of the configuration, each with its keys: ``train={"epochs": 4}``,
            ``build={"goals": [{"lose_at_most": 0.01}]}``, ``convert=...``, ``seed=3``.

    Raises:
        ConfigError: a key is not known, or has no effect; the folder has a configuration that was
            written by hand.
        TipscError: what a stage finds.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    document: dict[str, Any] = {
        "name": name,
        "model": {"callable": "model.py:load"},
        "data": {"callable": "data.py:load"},
        **sections,
    }
    if isinstance(task, str):
        document["task"] = task
    elif task is not None:
        data = replace(data, task=task)
    file = place / FILE_NAME
    _check_own(file)
    text = _NOTE + yaml.safe_dump(document, sort_keys=False)
    write_atomically(file, [text.encode()])
    output = Output(as_json=False, quiet=quiet)
    with output.reporter() as reporter:
        pipeline = _InMemory(file, target, model=model, data=data, reporter=reporter)
        doubts_of(output, pipeline)
        record = pipeline.run()
    return Built(record, None if record.measured is None else write_build(record))


def engine_from(
    supernet: Supernet,
    paths: Sequence[Subnet],
    data: Data,
    **settings: Any,
) -> Built:
    """An engine of these paths of a supernet that is trained already; nothing is trained.

    Norms get each path's own statistics, from training examples.

    Args:
        settings: as of :func:`build`.

    Raises:
        ConfigError, TipscError: as :func:`build`.
    """
    sections = dict(settings)
    train = {"epochs": 0, **sections.pop("train", {})}
    ship = [dict(path.options) for path in paths]
    wanted = {"ship": ship, "paths": len(ship), **sections.pop("build", {})}
    return build(supernet, data, train=train, build=wanted, **sections)


def _check_own(file: Path) -> None:
    """Refuses to write over what a person wrote.

    Raises:
        ConfigError: that is what the file is.
    """
    if file.exists() and not file.read_bytes().startswith(_NOTE.encode()):
        raise ConfigError(
            "a configuration is here already, which is not from tipsc.notebook",
            where=str(file),
            fix="give another folder, or build that one: tipsc build " + str(file.parent),
        )


class _InMemory(Pipeline):
    """A pipeline whose model and data were given."""

    def __init__(
        self, file: Path, target: str, *, model: nn.Module, data: Data | Unlabelled, **more: Any
    ) -> None:
        super().__init__(file, target, **more)
        self._given = model, data

    @cached_property
    def model(self) -> Model:
        made, data = self._given
        if isinstance(made, Supernet):  # a conversion copies
            made = copy.deepcopy(made)
        progress, began = self.reporter.begin("model"), time.perf_counter()
        with self.config.placing():
            model = model_of(self.config, made, with_task(self.config, self.folder, data), progress)
        self.reporter.end("model", time.perf_counter() - began, cached=False)
        return model
