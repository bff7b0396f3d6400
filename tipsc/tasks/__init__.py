"""What a model is trained for and judged by: one file a task."""

from tipsc.quality import Quality
from tipsc.tasks.classification import Classification
from tipsc.tasks.detection import Detection
from tipsc.tasks.imitation import Imitation
from tipsc.tasks.keypoints import Keypoints
from tipsc.tasks.multilabel import MultiLabel
from tipsc.tasks.regression import Regression
from tipsc.tasks.segmentation import Segmentation
from tipsc.tasks.task import Tally, Task
from tipsc.tasks.tokens import NextToken

TASKS = {
    "classification": "tipsc.tasks.classification:Classification",
    "multi-label": "tipsc.tasks.multilabel:MultiLabel",
    "regression": "tipsc.tasks.regression:Regression",
    "segmentation": "tipsc.tasks.segmentation:Segmentation",
    "detection": "tipsc.tasks.detection:Detection",
    "keypoints": "tipsc.tasks.keypoints:Keypoints",
    "language-modelling": "tipsc.tasks.tokens:NextToken",
    "imitation": "tipsc.tasks.imitation:Imitation",
}
"""By the name in a configuration."""

__all__ = [
    "TASKS",
    "Classification",
    "Detection",
    "Imitation",
    "Keypoints",
    "MultiLabel",
    "NextToken",
    "Quality",
    "Regression",
    "Segmentation",
    "Tally",
    "Task",
]
