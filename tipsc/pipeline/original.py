"""Stage ``original``: what the plain model scores that was converted.

On the test data that is the figure which its paths are held against; on the validation data it says
before a build whether the model is the one that was meant. Needs the model and both.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import nn

from tipsc.batch import Examples
from tipsc.elastic.looking import at_rest
from tipsc.engine.atomic import write_atomically
from tipsc.fingerprint.installed import TRAINING, versions
from tipsc.pipeline.context import Project, StageSpec
from tipsc.progress import Progress
from tipsc.tasks import Quality, Task
from tipsc.train import Data, quality_of
from tipsc.train.device import device_of, on_device

FILE = "original.json"


@dataclass(frozen=True)
class Original:
    """The plain model as it came.

    Attributes:
        quality: on the test examples that the engine's paths are scored on.
        examples: how many these are.
        parameters: of the model.
        validation: its quality on validation examples, of which nothing is reported at the end.
        validated: how many these are.
    """

    quality: Quality
    examples: int
    parameters: int
    validation: Quality
    validated: int


def score_original(model: nn.Module, data: Data, task: Task, limit: int) -> Original:
    """Runs the model on the first `limit` examples of both parts, in torch."""
    parameters = sum(parameter.numel() for parameter in model.parameters())

    def score(examples: Examples) -> tuple[Quality, int]:
        return quality_of(model, examples, task, most=limit), min(limit, len(examples))

    with at_rest(model):
        (tested, of_test), (seen, of_seen) = score(data.test), score(data.validation)
    return Original(tested, of_test, parameters, seen, of_seen)


def _inputs(project: Project) -> dict[str, object]:
    return {
        "model": project.made_of,
        "data": project.data.test.fingerprint,
        "validation": project.data.validation.fingerprint,
        "task": project.task_key,
        "verify_examples": project.config.build.verify_examples,
        "libraries": versions(TRAINING),
    }


def _make(project: Project, folder: Path, progress: Progress) -> None:
    plain, limit = project.model.original, project.config.build.verify_examples
    assert plain is not None
    with on_device(device_of(project.config.training.device), plain):
        found = score_original(plain, project.data, project.data.judged_by, limit)
    write_atomically(folder / FILE, [json.dumps(asdict(found)).encode()])


ORIGINAL: StageSpec[Project] = StageSpec("original", _inputs, _make)


def original_of(project: Project) -> Original | None:
    """What the original of a converted model scores on the examples that its paths run on.

    None for a supernet. Without labels it agrees with itself, which is what its paths are held
    against.
    """
    if project.model.original is None:
        return None
    found = json.loads((project.done(ORIGINAL).folder / FILE).read_text())
    for name in ("quality", "validation"):
        found[name] = Quality(**found[name])
    return Original(**found)
