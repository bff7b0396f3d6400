"""Which pictures a task has."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tipsc.pipeline.answers import Answers
from tipsc.report.data import Pictures
from tipsc.report.pictures.boxes import boxes
from tipsc.report.pictures.confusion import confusion, labels_found
from tipsc.report.pictures.masks import masks
from tipsc.report.pictures.scatter import scatter
from tipsc.tasks import Task
from tipsc.tasks.classification import Classification
from tipsc.tasks.detection import Detection
from tipsc.tasks.multilabel import MultiLabel
from tipsc.tasks.regression import Regression
from tipsc.tasks.segmentation import Segmentation

Show = Callable[..., Pictures | None]

#: by the class of a task; called with the task, the answers, and by path id what it is called
PICTURES: Mapping[type, Show] = {
    Classification: confusion,
    MultiLabel: labels_found,
    Regression: scatter,
    Segmentation: masks,
    Detection: boxes,
}


def pictures_of(task: Task, answers: Answers, captions: Mapping[str, str]) -> Pictures | None:
    """The pictures of a task; None for one that has none, or whose answers cannot be drawn.

    Args:
        captions: by path id, what stands above its picture.
    """
    show = next((show for kind, show in PICTURES.items() if isinstance(task, kind)), None)
    return None if show is None else show(task, answers, captions)
